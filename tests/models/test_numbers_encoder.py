"""The small encoder, and the settings of the text side that go with it."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError

from hf_specclip import (
    SpecCLIPConfig,
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
    SpecCLIPSpectrumConfig,
    SpecCLIPTextConfig,
    SpecCLIPTextModel,
)

SMALL = {"input_kind": "physics", "encoder": "mlp", "hidden_size": 16, "num_hidden_layers": 2}


@pytest.fixture
def inputs():
    counts = np.random.default_rng(0).poisson(0.4, (6, 400))
    return SpecCLIPFeatureExtractor("physics")(counts, exposure=[1e4] * 6, return_tensors="pt")


def build(**changes) -> SpecCLIPModel:
    config = SpecCLIPConfig(
        spectrum_config=SMALL, text_config={"embedding_dim": 8, "max_deviation": 3.0},
        shared_dim=8, projection_hidden_size=16, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    return SpecCLIPModel(config)


def test_it_reads_the_numbers_alone(inputs):
    model = build().eval()
    latent = model.spectrum_model(**inputs).pooler_output
    assert latent.shape == (6, 64)
    other = {**inputs, "spectrum_values": torch.zeros_like(inputs["spectrum_values"])}
    assert torch.equal(model.spectrum_model(**other).pooler_output, latent)
    other = {**inputs, "spectrum_globals": inputs["spectrum_globals"] + 1}
    assert not torch.allclose(model.spectrum_model(**other).pooler_output, latent)


def test_it_reconstructs_learns_and_comes_back(inputs, tmp_path):
    model = SpecCLIPForSpectrumPreTraining(
        SpecCLIPSpectrumConfig(**SMALL, reconstruction_loss="poisson", decoder_hidden_size=16)
    )
    counts = torch.ones(6, 400)
    model(**inputs, target_counts=counts).loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    dual = build(text_dropout=0.6, projection_norm=True).eval()
    dual.save_pretrained(tmp_path)
    loaded = SpecCLIPModel.from_pretrained(tmp_path).eval()
    assert loaded.text_projection.dropout.p == 0.6
    assert loaded.spectrum_projection.dropout.p == 0.2
    texts = torch.randn(4, 24)
    one, other = dual(**inputs, text_embeds=texts), loaded(**inputs, text_embeds=texts)
    assert torch.equal(one.logits_per_spectrum, other.logits_per_spectrum)


def test_what_cannot_be_is_refused():
    with pytest.raises(StrictDataclassClassValidationError, match="physics"):
        SpecCLIPSpectrumConfig(encoder="mlp")
    with pytest.raises(StrictDataclassClassValidationError, match="mask_ratio"):
        SpecCLIPSpectrumConfig(**SMALL, mask_ratio=0.2)
    with pytest.raises(StrictDataclassClassValidationError, match="max_deviation"):
        SpecCLIPTextConfig(embedding_dim=8, max_deviation=0)


def test_rare_words_are_cut_off_at_the_deviation():
    texts = torch.zeros(200, 24)
    texts[0, 3] = 1.0
    texts[:, 0] = 1.0  # no section is absent
    texts[:, 8] = texts[:, 16] = 1.0
    pooled = {}
    for most in (None, 3.0):
        model = SpecCLIPTextModel(SpecCLIPTextConfig(embedding_dim=8, max_deviation=most)).eval()
        model.fit_statistics(texts)
        pooled[most] = model(texts).pooler_output
    assert pooled[None][0, 3] > 10
    assert pooled[3.0][0, 3] == 3.0
    assert torch.equal(pooled[3.0], pooled[None].clamp(-3, 3))


def test_dimensions_that_hardly_vary_are_not_looked_at():
    random = torch.Generator().manual_seed(0)
    texts = torch.randn(400, 24, generator=random)
    texts[:, 5] *= 0.01
    texts[:, 6] = 0.0
    config = SpecCLIPTextConfig(embedding_dim=8, min_deviation=0.1)
    model = SpecCLIPTextModel(config).eval()
    model.fit_statistics(texts)
    plain = SpecCLIPTextModel(SpecCLIPTextConfig(embedding_dim=8)).eval()
    plain.fit_statistics(texts)
    # Another text may have what no training text had.
    other = texts[:3] + 1.0
    found, expected = model(other).pooler_output, plain(other).pooler_output
    assert found[:, 5:7].abs().max() < 1e-4
    assert expected[:, 5:7].abs().max() > 0.5
    kept = [i for i in range(24) if i not in (5, 6)]
    assert torch.equal(found[:, kept], expected[:, kept])
    with pytest.raises(StrictDataclassClassValidationError, match="min_deviation"):
        SpecCLIPTextConfig(embedding_dim=8, min_deviation=-1.0)
