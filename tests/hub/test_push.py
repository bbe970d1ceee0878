"""The option `--push` of training/reproduce.py."""

import pytest
from huggingface_hub import HfApi
from tiny_dataset import make_run

from hf_specclip.hub.cards import read_metrics, write_cards
from specclip_training import reproduce
from specclip_training.engine import commands
from specclip_training.engine.presets import load_preset


@pytest.fixture
def run(stored_run):
    return make_run(stored_run, load_preset("demo", []), dataset="sky")


def test_everything_measured_is_pushed(local_hub, run, capsys):
    reproduce.push(run, "ada/stored", private=True)
    names = ("ada/stored", "ada/stored-moe", "ada/stored-spectrum", "ada/stored-outliers")
    said = capsys.readouterr().out
    for name in names:
        info = HfApi().model_info(name)
        assert info.private
        assert "README.md" in {file.rfilename for file in info.siblings}
        assert f"{local_hub.url}/{name} at {info.sha[:7]}" in said


def test_a_study_left_out_leaves_no_card(stored_run):
    for kind in ("model", "moe", "spectrum", "outliers"):
        (stored_run / kind / "README.md").unlink()
    metrics = read_metrics(stored_run)
    metrics["experts"] = {"skipped": "too few rows"}
    del metrics["outliers"]
    made = {path.parent.name for path in write_cards(stored_run, metrics)}
    assert made == {"model", "spectrum"}


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("ada/stored", "hf_wrong", "hf auth login"),
        ("stored", "hf_ada", "give user/name"),
    ],
)
def test_a_push_that_cannot_work_stops_before_training(
    local_hub, tmp_path, monkeypatch, capsys, name, token, message
):
    monkeypatch.setenv("HF_TOKEN", token)
    words = ["--config", "demo", "--dataset", "none", "--output", str(tmp_path / "run")]
    arguments = reproduce.options().parse_args([*words, "--push", name])
    assert commands.call(reproduce.main, arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
