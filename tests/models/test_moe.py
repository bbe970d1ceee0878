"""Mixture of experts: outputs, rows without text, saving and loading, refused inputs."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from safetensors.torch import load_file, save_file
from test_round_trips import check_round_trip

from hf_specclip import (
    VARIABLES,
    SpecCLIPFeatureExtractor,
    SpecCLIPMoEConfig,
    SpecCLIPMoEForRegression,
)
from hf_specclip.models.experts_specclip import weighted_median
from hf_specclip.models.modeling_specclip_moe import text_view
from hf_specclip.models.spectrum_input_specclip import GLOBALS

FEATURES = len(GLOBALS["physics"])
WIDTHS = {"spectrum": 8, "text": 18, "shared_spectrum": 5, "shared_text": 5, "features": FEATURES}
EVERY_KIND = [
    {"name": "median", "kind": "median", "inputs": []},
    {"name": "knn", "kind": "neighbours", "inputs": ["shared_spectrum", "text"],
     "average": "median"},
    {"name": "ridge", "kind": "ridge", "inputs": ["features", "text"]},
    {"name": "network", "kind": "network", "inputs": ["spectrum"], "hidden": [4]},
    {"name": "distribution", "kind": "distribution", "inputs": ["spectrum", "text"],
     "hidden": [4], "bins": 5},
]  # fmt: skip


def build(seed=0, **changes) -> SpecCLIPMoEForRegression:
    """A model with an expert of every kind and random tensors in every place."""
    config = SpecCLIPMoEConfig(
        **{
            "variables": ["a", "b"], "views": WIDTHS, "text_components": 4, "bank_rows": 30,
            "bank_texts": 10, "experts": EVERY_KIND, "n_folds": 2, "gate_features": [0, 3],
            "difficulty_hidden": 6, "n_scores": 25, "retrieved_texts": 3, **changes,
        }
    )  # fmt: skip
    model = SpecCLIPMoEForRegression(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(
                (".low", ".high", ".kind", ".k", ".std", ".spread", ".knee", "_given")
            ):
                continue
            if name.endswith(("atom", "used")):
                value.copy_(torch.arange(value.shape[1]) < (2 if name.endswith("atom") else 4))
            elif name.endswith(("text_of_row", "fold")):
                value.random_(0, 10 if name.endswith("row") else 2, generator=generator)
            elif name.endswith("scores"):
                value.normal_(generator=generator)
                value.copy_(value.sort(dim=0).values)
            else:
                value.normal_(generator=generator)
        model.scale.kind.copy_(torch.tensor([0, 2]))
        model.bank.targets[:5, 0] = torch.nan
    return model


def inputs(n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    given = {name: torch.randn(n, width, generator=generator) for name, width in WIDTHS.items()}
    for name in ("shared_spectrum", "shared_text"):
        given[name] = torch.nn.functional.normalize(given[name], dim=1)
    return given


def without_text(given):
    return {name: v for name, v in given.items() if name not in ("text", "shared_text")}


def test_outputs_have_the_documented_shapes():
    with torch.no_grad():
        output = build()(**inputs())
    for name in ("predictions", "lower_68", "upper_68", "lower_90", "upper_90"):
        assert output[name].shape == (7, 2), name
        assert output[name].dtype == torch.float32
    assert output.expert_predictions.shape == (7, 5, 2)
    assert output.gate_weights.shape == (7, 2, 5)
    assert torch.allclose(output.gate_weights.sum(dim=2), torch.ones(7, 2), atol=1e-6)
    assert (output.lower_90 <= output.lower_68).all()
    assert (output.upper_68 <= output.upper_90).all()


def test_a_saved_model_loads_without_the_package_and_answers_the_same(tmp_path):
    model, given = build(), inputs()
    model.save_pretrained(tmp_path / "moe")
    with torch.no_grad():
        output = model(**given)
    body = """
model = AutoModel.from_pretrained(place, **trust).eval()
with torch.no_grad():
    results = dict(model(**given))
saved = [("", model)]
"""
    again = check_round_trip(body, tmp_path, tmp_path / "moe", given, dict(output))
    ours = SpecCLIPMoEForRegression.from_pretrained(again)
    assert type(ours).__module__ == "hf_specclip.models.modeling_specclip_moe"
    for name, value in model.state_dict().items():
        assert torch.equal(ours.state_dict()[name].nan_to_num(), value.nan_to_num()), name
    assert not list((tmp_path / "moe").glob("*.bin"))


def test_auto_classes_load_float32_whatever_the_dtype(tmp_path):
    from transformers import AutoConfig, AutoModel

    model = build()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), SpecCLIPMoEConfig)
    loaded = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert isinstance(loaded, SpecCLIPMoEForRegression)
    for name, value in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == value.dtype, name
    with torch.no_grad():
        assert torch.equal(loaded(**inputs()).predictions, model(**inputs()).predictions)


def test_a_row_does_not_depend_on_the_others():
    model, given = build(), inputs(9)
    with torch.no_grad():
        together = model(**given)
        for row in range(9):
            alone = model(**{name: v[row : row + 1] for name, v in given.items()})
            assert torch.allclose(alone.predictions[0], together.predictions[row], atol=1e-5)
            assert torch.allclose(alone.upper_90[0], together.upper_90[row], rtol=1e-4, atol=1e-4)


def test_a_batch_may_mix_rows_with_and_without_text():
    model, given = build(), inputs()
    mask = torch.ones(7, dtype=torch.bool)
    mask[[1, 4]] = False
    with torch.no_grad():
        mixed = model(**given, text_mask=mask)
        with_text = model(**given)
        retrieved = model(**without_text(given))
    assert mixed.panels.tolist() == [0, 1, 0, 0, 1, 0, 0]
    for row in range(7):
        expected = retrieved if row in (1, 4) else with_text
        assert torch.allclose(mixed.predictions[row], expected.predictions[row], atol=1e-5)
    assert (retrieved.panels == 1).all()


def test_the_retrieved_text_is_a_mean_of_the_nearest():
    model = build(retrieved_texts=1)
    with torch.no_grad():
        views = model.prepare(
            spectrum=torch.zeros(1, 8), shared_spectrum=torch.eye(5)[:1],
            features=torch.zeros(1, FEATURES),
        )  # fmt: skip
        other = torch.nn.functional.normalize(
            model.bank.shared_text * model.view_of["shared_text"].std, dim=1
        )
        own = views["shared_spectrum"] * model.view_of["shared_spectrum"].std
        nearest = int((other @ own[0]).argmax())
        found = model.retrieve_text(views)
        assert torch.equal(found["text"][0], model.bank.text[nearest])
        fold = int(model.bank.text_fold[nearest])
        assert not torch.equal(
            model.retrieve_text(views, fold)["text"][0], model.bank.text[nearest]
        )


def test_predict_embeds_spectra_with_the_dual_encoder(small_model):
    clip = small_model(spectrum={"input_kind": "minmax"})
    model = build()
    counts = np.random.default_rng(0).poisson(1.0, (3, 40))
    rows = {"counts": counts, "exposure": np.full(3, 1e3)}
    found = model.predict(clip, rows)
    assert (found.panels == 1).all()
    with torch.no_grad():
        seen = clip(**SpecCLIPFeatureExtractor("minmax", n_bins=40)(rows, return_tensors="pt"))
    numbers = SpecCLIPFeatureExtractor("physics", n_bins=40)(rows, return_tensors="pt")
    expected = model(
        spectrum=seen.spectrum_latent, shared_spectrum=seen.spectrum_embeds,
        features=numbers["spectrum_globals"],
    )  # fmt: skip
    assert torch.allclose(found.predictions, expected.predictions)
    again = model.predict(clip, output=seen, features=numbers["spectrum_globals"])
    assert torch.equal(again.predictions, found.predictions)
    text = torch.randn(3, 18)
    assert (model.predict(clip, rows, text_embeds=text).panels == 0).all()


def test_the_view_of_a_text_leaves_absent_sections_and_sentences_out():
    embeds, mask = torch.arange(12.0).view(2, 6) + 1, torch.tensor([[True, False], [False, False]])
    text, given = text_view(text_embeds=embeds, section_mask=mask)
    assert text.tolist() == [[1, 2, 3, 0, 0, 0], [0] * 6]
    assert given.tolist() == [True, False]
    text, given = text_view(
        sentence_embeds=embeds.view(2, 2, 3), sentence_numbers=torch.ones(2, 2, 1),
        sentence_mask=torch.tensor([[True, True], [False, False]]),
        sentence_sections=torch.zeros(2, 2),
    )  # fmt: skip
    assert text.tolist() == [[2.5, 3.5, 4.5, 1], [0] * 4]
    assert given.tolist() == [True, False]


def test_records_are_plain_values_with_units_and_open_ends_as_none():
    model = build(variables=["powlaw_gamma", "powlaw_nh"], n_scores=5)
    model.panels["full"].put(scores=torch.full((5, 2), torch.nan))
    with torch.no_grad():
        output = model(**inputs())
    record = model.to_records(output)[3]
    assert list(record) == ["powlaw_gamma", "powlaw_nh"]
    assert record["powlaw_nh"]["value"] == output.predictions[3, 1].item()
    assert record["powlaw_gamma"]["lower_90"] is None
    assert record["powlaw_nh"]["unit"] == VARIABLES["powlaw_nh"]


def test_inputs_that_do_not_fit_are_refused():
    model, given = build(), inputs()
    with pytest.raises(ValueError, match="needs shared_spectrum, features"):
        model(spectrum=given["spectrum"])
    with pytest.raises(ValueError, match="give text and shared_text, or neither"):
        model(**{name: v for name, v in given.items() if name != "shared_text"})
    with pytest.raises(ValueError, match=r"spectrum is \(7, 7\)"):
        model(**{**given, "spectrum": given["spectrum"][:, :7]})
    with pytest.raises(ValueError, match="features holds NaN"):
        model(**{**given, "features": given["features"] * torch.nan})
    with pytest.raises(ValueError, match="it must be"):
        model.scale.put(spread=torch.ones(3))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("scale.spread", lambda t: None, "lacks the tensor scale.spread"),
        ("bank.targets", lambda t: t[:-1].clone(), r"bank.targets of shape \(29, 2\)"),
        ("bank.targets", lambda t: t / 0, "NaN or infinity in bank.targets"),
        (
            "panels.full.scores",
            lambda t: t.index_fill(0, torch.tensor(0), torch.nan),
            "full.scores",
        ),
        ("scale.low", lambda t: t.neg(), "infinity in scale.low"),
        ("scale.high", lambda t: t - t, "infinity in scale.low"),  # one end of a range alone
    ],
)
def test_damaged_tensors_are_refused_by_name(name, change, message, tmp_path):
    """NaN is an unknown target, or fills up scores at their end; elsewhere it is damage."""
    model = build()
    model.panels["full"].scores[-3:, 0] = torch.nan
    model.save_pretrained(tmp_path)
    assert SpecCLIPMoEForRegression.from_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[name] = change(tensors[name])
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=message):
        SpecCLIPMoEForRegression.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"experts": [{"name": "x", "kind": "oracle", "inputs": []}]}, "it must be one of"),
        ({"experts": [{"name": "x", "kind": "ridge", "inputs": ["stars"]}]}, "unknown inputs"),
        ({"variables": ["a", "a"]}, "unique names"),
        ({"views": {"text": 3}}, "must give the width of"),
        ({"gate_features": [3]}, "must be indices of"),
        ({"retrieved_texts": -1}, "must be at least 1"),
    ],
)
def test_invalid_configurations_are_refused(settings, message):
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        SpecCLIPMoEConfig(**settings)


def test_conformal_quantiles_have_their_correction():
    model = build(n_scores=19)
    panel = model.panels["full"]
    panel.put(scores=torch.arange(1.0, 20.0)[:, None].expand(19, 2))
    # With 19 scores, the 90 % interval ends at the first and the last but none beyond.
    assert panel.score_at(0.05).tolist() == [1.0, 1.0]
    assert panel.score_at(0.95).tolist() == [19.0, 19.0]
    # For 99 % there are too few.
    assert panel.score_at(0.005).tolist() == [-np.inf, -np.inf]
    assert panel.score_at(0.995).tolist() == [np.inf, np.inf]


def test_the_weighted_median_is_numpys_where_weights_are_equal():
    values = torch.randn(20, 7, 3)
    for k in (1, 2, 6, 7):
        weights = torch.zeros_like(values)
        weights[:, :k] = 1
        expected = np.median(values[:, :k].numpy(), axis=1)
        assert np.allclose(weighted_median(values, weights).numpy(), expected, atol=1e-6)
    weights = torch.tensor([[1.0, 5.0, 1.0]])
    assert weighted_median(torch.tensor([[9.0, 2.0, 1.0]]), weights).item() == 2.0
    assert weighted_median(torch.ones(1, 3), torch.zeros(1, 3)).item() == 0.0


def test_the_median_of_a_distribution():
    expert = build().experts[4]
    expert.put(
        value=torch.tensor([[0.0, 1.0, 2.0, 4.0, 99.0]]).repeat(2, 1),
        atom=torch.tensor([[True, False, False, False, False]]).repeat(2, 1),
    )  # fmt: skip
    cases = {
        (0.6, 0.4, 0.0, 0.0): 0.0,  # more than half of all rows share one value
        (0.4, 0.6, 0.0, 0.0): 1 / 3,  # on the line from the end of the 0s to the middle of the 1s
        (0.0, 0.5, 0.5, 0.0): 1.5,
        (0.0, 0.0, 0.5, 0.5): 3.0,
        (0.0, 1.0, 0.0, 0.0): 1.0,
        (0.0, 0.0, 0.0, 1.0): 4.0,
        (0.1, 0.2, 0.4, 0.3): 2.0,
    }
    for likely, wanted in cases.items():
        said = expert.median(torch.tensor([[[*likely, 0.0]] * 2]))
        assert said[0].tolist() == pytest.approx([wanted] * 2, abs=1e-6), likely
    random = torch.rand(200, 2, 5, generator=torch.Generator().manual_seed(0))
    random[:, :, 4] = 0
    said = expert.median(random / random.sum(dim=2, keepdim=True))
    assert ((said >= 0) & (said <= 4)).all()
    assert len(said.unique()) > 200
