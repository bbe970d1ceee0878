"""Presets: their settings, overrides and refusals."""

import dataclasses
from pathlib import Path

import pytest

from specclip_training.engine.presets import CONFIGS, Preset, PresetError, load_preset

PRESETS = ("paper", "best", "demo")


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def leaves(settings, path=()):
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, (*path, item.name))
        else:
            yield (*path, item.name)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_and_write_every_setting_out(name):
    preset = load_preset(name)
    assert preset.name == name
    assert load_preset(CONFIGS / f"{name}.yaml") == preset
    import yaml

    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    for path in leaves(preset):
        value = content
        for key in path:
            assert key in value, f"{name}.yaml leaves {'.'.join(path)} to a default"
            value = value[key]


def test_paper_says_what_the_paper_says():
    paper = load_preset("paper")
    assert paper.spectrum.input_kind == "minmax"
    assert paper.spectrum.n_bins == 400
    assert paper.spectrum.energy_range == (0.5, 8.0)
    assert paper.spectrum.latent_dim == 64
    assert paper.spectrum.reconstruction_loss == "mae"
    assert paper.model.shared_dim == 64
    assert paper.model.contrastive_loss == "infonce_text_to_spectrum"
    assert paper.align.freeze_spectrum
    assert paper.pretrain.optimizer == paper.align.optimizer == "adam"
    assert 1e-4 <= paper.align.lr <= 1e-3
    assert 16 <= paper.model.projection_hidden_size <= 1024
    assert 0.1 <= paper.model.dropout <= 0.5
    assert paper.moe.mode == "select"


def test_overrides_win_and_scientific_notation_is_a_number(tmp_path):
    path = write(tmp_path, "align:\n  lr: 1e-3\n  steps: 3\n")
    assert load_preset(path).align.lr == pytest.approx(1e-3)
    preset = load_preset(path, ["align.lr=3e-4", "model.shared_dim=16", "align.lr=2e-4"])
    assert preset.align.lr == pytest.approx(2e-4)
    assert preset.align.steps == 3
    assert preset.model.shared_dim == 16
    assert load_preset(path, ["align.patience=null"]).align.patience is None


def test_an_empty_file_is_the_defaults(tmp_path):
    assert load_preset(write(tmp_path, "")) == Preset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algin: {}", r"mine\.yaml: unknown key algin: did you mean 'align'\?"),
        ("align: {lrr: 1}", r"unknown key align\.lrr: did you mean 'lr'\? allowed here: .*steps"),
        ("align: 3", r"align is 3: input should be an object"),
        ("- 1", r"must hold keys"),
        ("align: {lr: fast}", r"align\.lr is 'fast': input should be a valid number"),
        ("align: {lr: 0}", r"align\.lr is 0: input should be greater than 0"),
        ("align: {lr: .inf}", r"should be a finite number"),
        ("align: {lr: true}", r"align\.lr is True: input should be a valid number"),
        ("align: {steps: 1.5}", r"should be a valid integer"),
        ("align: {steps: null}", r"should be a valid integer"),
        ("align: {freeze_spectrum: 1}", r"should be a valid boolean"),
        ("model: {dropout: 1.2}", r"should be less than or equal to 0\.95"),
        ("model: {contrastive_loss: infonse}", r"should be .* or 'infonce'"),
        ("spectrum: {energy_range: [8, 0.5]}", r"must rise from at least 0"),
        ("spectrum: {energy_range: [1]}", r"energy_range\.1 is \[1\]: field required"),
        ("spectrum: {patch_size: 21}", r"must divide n_bins \(400\): .*20.* would do"),
        ("spectrum: {num_attention_heads: 3}", r"must be a multiple of num_attention_heads"),
        ("align: {thinning: 0.5}", r"freeze_spectrum is true"),
        ("evaluation: {ks: [0, 5]}", r"ks\.0 is 0: input should be greater than 0"),
        ("align: {lr: 1}\nalign: {lr: 2}", r"the key 'align' is written twice"),
        ("align: {lr: [}", r"not valid YAML"),
        ("text: {embedder: ''}", r"should have at least 1 character"),
    ],
)
def test_refusals_name_the_key_and_what_is_allowed(tmp_path, text, message):
    with pytest.raises(PresetError, match=message):
        load_preset(write(tmp_path, text))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["align.lr"], r"write it as key\.path=value"),
        (["align.lr=-1"], r"--set align\.lr=-1: align\.lr is -1"),
        (["algn.lr=1"], r"--set algn\.lr=1: unknown key algn: did you mean 'align'"),
        (["name.first=1"], r"holds a value, no keys"),
        (["spectrum.encoder=mlp"], "spectrum.encoder"),
        (["spectrum.encoder=mlp", "spectrum.input_kind=physics", "spectrum.mask_ratio=0.2"],
         "spectrum.mask_ratio"),
        (["model.text_dropout=1.0"], "model.text_dropout"),
        (["align.ema=1.0"], "align.ema"),
        (["spectrum.bands=[[1, 2], [2, 3]]"], r"bands\.2"),
    ],
)  # fmt: skip
def test_refused_overrides_say_which(overrides, message):
    with pytest.raises(PresetError, match=message):
        load_preset("paper", overrides)


def test_an_unknown_preset_lists_the_known(tmp_path):
    with pytest.raises(PresetError, match=r"best, demo, fine_tune, paper"):
        load_preset(tmp_path / "absent.yaml")
