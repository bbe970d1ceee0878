"""Ensembles: cosines are the weighted mean of the members', and they load as models do."""

import numpy as np
import pytest
import torch
from test_round_trips import check_round_trip
from transformers import AutoConfig, AutoModel, AutoProcessor

from hf_specclip import (
    SpecCLIPEnsembleConfig,
    SpecCLIPEnsembleModel,
    SpecCLIPFeatureExtractor,
    SpecCLIPIndex,
    SpecCLIPProcessor,
)


@pytest.fixture
def members(small_model):
    """Three members, with shared spaces of two sizes and two temperatures."""
    first = small_model(seed=0, shared_dim=5)
    second = small_model(seed=1, shared_dim=7, projection_hidden_size=9)
    third = small_model(seed=2, logit_scale_init_value=1.0)
    random = torch.Generator().manual_seed(3)
    for member in (first, second, third):
        member.text_model.fit_statistics(torch.randn(20, 18, generator=random))
    return [first, second, third]


def embed_both(model, inputs):
    inputs = dict(inputs)
    texts = inputs.pop("text_embeds")
    with torch.no_grad():
        return (
            model.get_spectrum_features(**inputs).pooler_output,
            model.get_text_features(texts).pooler_output,
        )


@pytest.mark.parametrize("weights", [None, [0.2, 0.5, 0.3], [1, 2, 5]])
def test_cosines_are_the_weighted_mean_of_the_members(members, small_batch, weights):
    ensemble = SpecCLIPEnsembleModel.from_members(members, weights)
    inputs = small_batch(8)
    spectra, texts = embed_both(ensemble, inputs)
    assert spectra.shape == texts.shape == (8, 17)
    assert torch.allclose(spectra.norm(dim=1), torch.ones(8), atol=1e-6)
    share = np.ones(3) / 3 if weights is None else np.array(weights) / np.sum(weights)
    expected = sum(
        w * s.double() @ t.double().T
        for w, (s, t) in zip(share, (embed_both(m, inputs) for m in members), strict=True)
    )
    assert torch.allclose(spectra.double() @ texts.double().T, expected, atol=1e-6)
    output = ensemble(**inputs)
    scale = sum(w * m.logit_scale.exp() for w, m in zip(share, members, strict=True))
    assert torch.allclose(output.logits_per_spectrum, (expected * scale).float(), atol=1e-4)
    assert torch.equal(output.logits_per_text, output.logits_per_spectrum.T)
    assert torch.equal(output.spectrum_embeds, spectra)


def test_tensors_made_for_another_input_are_refused(members):
    ensemble = SpecCLIPEnsembleModel.from_members(members)
    counts = np.ones((2, 40), int)
    wrong = SpecCLIPFeatureExtractor(n_bins=40, energy_range=(1.0, 8.0))
    with pytest.raises(ValueError, match="energy_range"):
        ensemble.get_spectrum_features(**wrong(counts, exposure=1.0, return_tensors="pt"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spectrum": {"input_kind": "physics"}}, "spectrum_config.input_kind"),
        ({"text": {"embedding_dim": 4}}, "text_config.embedding_dim"),
        ({"text": {"embedder_name": "another"}}, "text_config.embedder_name"),
    ],
)
def test_members_of_other_inputs_are_refused(members, small_model, change, words):
    with pytest.raises(ValueError, match=f"members differ in {words}"):
        SpecCLIPEnsembleModel.from_members([members[0], small_model(**change)])


@pytest.mark.parametrize(
    "settings",
    [{"weights": [1.0]}, {"weights": [1.0, 0.0]}, {"weights": [1.0, float("nan")]}],
)
def test_settings_that_cannot_be_are_refused(small_config, settings):
    member = small_config().to_dict()
    with pytest.raises(ValueError, match="weights are"):
        SpecCLIPEnsembleConfig(members=[member, member], **settings)


def test_no_members_and_no_loss(members, small_batch):
    with pytest.raises(ValueError, match="at least one member"):
        SpecCLIPEnsembleModel.from_members([])
    ensemble = SpecCLIPEnsembleModel.from_members(members)
    with pytest.raises(ValueError, match="train its members"):
        ensemble(**small_batch(2), return_loss=True)
    with pytest.raises(ValueError, match="give spectrum_values"):
        ensemble()


def test_saved_and_loaded_it_is_the_same_and_fills_a_gallery(members, small_batch, tmp_path):
    ensemble = SpecCLIPEnsembleModel.from_members(members, [3, 1, 1])
    ensemble.save_pretrained(tmp_path / "ensemble")
    SpecCLIPProcessor(SpecCLIPFeatureExtractor(n_bins=40)).save_pretrained(tmp_path / "ensemble")
    assert not list((tmp_path / "ensemble").glob("*.bin"))
    config = AutoConfig.from_pretrained(tmp_path / "ensemble")
    assert isinstance(config, SpecCLIPEnsembleConfig)
    assert config.weights == ensemble.config.weights == [0.6, 0.2, 0.2]
    assert config.shared_dim == 17
    assert (config.spectrum_config.n_bins, config.text_config.embedding_dim) == (40, 6)
    inputs = small_batch(4)
    spectra, texts = embed_both(ensemble, inputs)
    for kind in (SpecCLIPEnsembleModel, AutoModel):
        loaded = kind.from_pretrained(tmp_path / "ensemble")
        assert isinstance(loaded, SpecCLIPEnsembleModel)
        assert not loaded.training
        for ours, theirs in zip(embed_both(loaded, inputs), (spectra, texts), strict=True):
            assert torch.equal(ours, theirs)
    processor = AutoProcessor.from_pretrained(tmp_path / "ensemble")
    assert isinstance(processor, SpecCLIPProcessor)
    SpecCLIPIndex([{"id": str(i)} for i in range(4)], texts.numpy()).save(tmp_path / "gallery")
    hits = SpecCLIPIndex.load(tmp_path / "gallery").search(spectra, top_k=4)
    scores = spectra @ texts.T
    for row, found in enumerate(hits):
        assert [int(hit.entry["id"]) for hit in found] == scores[row].argsort().flip(0).tolist()


def test_it_loads_where_the_package_is_not_installed(members, small_batch, tmp_path):
    folder = tmp_path / "model"
    ensemble = SpecCLIPEnsembleModel.from_members(members, [1, 2, 3])
    ensemble.save_pretrained(folder)
    SpecCLIPProcessor(SpecCLIPFeatureExtractor(n_bins=40)).save_pretrained(folder)
    inputs = {k: v for k, v in small_batch(4).items() if isinstance(v, torch.Tensor)}
    spectra, texts = embed_both(ensemble, inputs)
    body = """
model = AutoModel.from_pretrained(place, **trust)
output = model(**given)
results = {"spectra": output.spectrum_embeds, "texts": output.text_embeds}
saved = [("", model), ("", AutoProcessor.from_pretrained(place, **trust))]
"""
    check_round_trip(body, tmp_path, folder, inputs, {"spectra": spectra, "texts": texts})
