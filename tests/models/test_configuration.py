"""Configurations refuse what cannot work, and come back from JSON as they were."""

from inspect import signature

import pytest

from hf_specclip import (
    SpecCLIPConfig,
    SpecCLIPSpectrumConfig,
    SpecCLIPTextConfig,
)
from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra.fitting.fit import fit_counts, fit_spectra


@pytest.mark.parametrize(
    "config",
    [
        SpecCLIPSpectrumConfig(n_bins=30, patch_size=5, energy_range=(1, 10), mask_ratio=0.5),
        SpecCLIPTextConfig(embedding_dim=384, embedder_name="all-MiniLM-L6-v2"),
        SpecCLIPConfig(
            spectrum_config={"input_kind": "physics", "n_bins": 200},
            text_config={"embedding_dim": 7},
            contrastive_loss="infonce",
            freeze_spectrum_encoder=True,
        ),
    ],
)
def test_round_trip(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = type(config).from_pretrained(tmp_path)
    before, after = config.to_dict(), loaded.to_dict()
    assert before == after


SPECTRUM = [
    ({"n_bins": 410}, r"not a multiple of patch_size \(20\).*such as .*\b10\b"),
    ({"hidden_size": 30}, "hidden_size .* not a multiple of num_attention_heads"),
    ({"input_kind": "fancy"}, "minmax.*physics"),
    ({"n_bins": 400.5}, "n_bins"),
    ({"n_bins": 0}, "n_bins"),
    ({"energy_range": (8.0, 0.5)}, "energy_range .* must be 0 ≤ low"),
    ({"energy_range": [1.0]}, "energy_range .* must be \\(low, high\\)|expected a tuple"),
    ({"dropout": 1.5}, "dropout is 1.5"),
    ({"mask_ratio": -0.1}, "mask_ratio"),
    ({"num_channels": 7}, "num_channels is 7"),
    ({"patchsize": 20}, "did you mean 'patch_size'"),
    ({"reconstruction_loss": "mse"}, "mae.*poisson"),
    ({"num_hidden_layers": -1}, "must be 0 to 1000"),
    ({"encoder": "mlp"}, "physics"),
    ({"encoder": "mlp", "input_kind": "physics", "mask_ratio": 0.2}, "mask_ratio"),
    ({"bands": [[1, 2], [2, 3]]}, "bands are .* three pairs"),
    ({"bands": [[1, 2], [3, 2], [4, 5]]}, "bands are"),
    ({"windows": [0, 1]}, "windows are .* positive"),
    ({"axis": ("energy", "")}, "axis is .* a name and a unit"),
]
MODEL = [
    ({"shared_dim": 0}, "shared_dim is 0"),
    ({"contrastive_loss": "triplet"}, "infonce"),
    ({"dropout": 1.0}, "dropout is 1.0"),
    ({"shared_dims": 3}, "did you mean 'shared_dim'"),
    ({"spectrum_config": {"n_bins": 401}}, "not a multiple"),
]
TEXT = [
    ({"sections": ["a", "b"], "n_sections": 4}, "2 sections are named"),
    ({"n_sections": 2**40}, "at most 100 sections"),
    ({"sections": ["a", "a", "b"]}, "must be unique"),
    ({"text_encoder_config": {"model_type": "no_such_model"}}, "transformers does not support"),
]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (kind, *case)
        for kind, cases in (
            (SpecCLIPSpectrumConfig, SPECTRUM), (SpecCLIPConfig, MODEL), (SpecCLIPTextConfig, TEXT)
        )
        for case in cases
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(kind, settings, message):
    with pytest.raises(Exception, match=message):
        kind(**settings)


def test_text_encoder_settings(tiny_bert, tmp_path):
    config = SpecCLIPTextConfig(text_encoder=str(tiny_bert))
    assert config.embedding_dim == 8  # follows from the encoder
    config.save_pretrained(tmp_path)
    loaded = SpecCLIPTextConfig.from_pretrained(tmp_path)
    assert loaded.text_encoder_config.to_dict() == config.text_encoder_config.to_dict()
    with pytest.raises(ValueError, match="the text encoder gives 8"):
        SpecCLIPTextConfig(text_encoder=str(tiny_bert), embedding_dim=9)


def test_each_setting_of_the_input_makes_another_signature():
    settings = [
        {},
        {"input_kind": "physics"},
        {"n_bins": 200},
        {"energy_range": (0.5, 7.5)},
        {"axis": ("wavelength", "keV")},
        {"axis": ("energy", "nm")},
        {"bands": [[0.5, 1], [1, 2], [2, 8]]},
        {"windows": (1, 2)},
    ]
    found = [SpecCLIPSpectrumConfig(**each).input_signature for each in settings]
    assert len(set(found)) == len(found)
    assert all(0 < signature < 2**63 for signature in found)


def test_sections_are_named_and_counted():
    assert SpecCLIPTextConfig().sections == ["identity", "spectrum", "context"]
    assert SpecCLIPTextConfig(n_sections=2).sections == ["section_1", "section_2"]
    assert SpecCLIPTextConfig(sections=["star", "population"]).n_sections == 2


def test_spectra_are_fitted_in_the_broad_band():
    """`spectra` lies below `models`, and so does not import the table of bands."""
    for function in (fit_counts, fit_spectra):
        assert signature(function).parameters["energy_range"].default == BANDS["b"]
