"""The small encoder, and the settings of the text side that go with it."""

import numpy as np
import pytest
import torch

from hf_specclip import (
    SpecCLIPConfig,
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
    SpecCLIPSpectrumConfig,
)

SMALL = {"input_kind": "physics", "encoder": "mlp", "hidden_size": 16, "num_hidden_layers": 2}


@pytest.fixture
def inputs():
    counts = np.random.default_rng(0).poisson(0.4, (6, 400))
    return SpecCLIPFeatureExtractor("physics")(counts, exposure=[1e4] * 6, return_tensors="pt")


def build(**changes) -> SpecCLIPModel:
    config = SpecCLIPConfig(
        spectrum_config=SMALL, text_config={"embedding_dim": 8},
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
