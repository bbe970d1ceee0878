"""Retrieval of a finished model on a dataset."""

import json

import pytest
from tiny_dataset import make_dataset

from specclip_training import retrieval
from specclip_training.data.shard_job import call_job


@pytest.fixture(scope="module")
def run(tiny_dataset, tiny_preset, tmp_path_factory):
    from accelerate import Accelerator

    from specclip_training.data.pairs import load_embedded_pairs
    from specclip_training.engine.commands import Run
    from specclip_training.engine.presets import load_preset
    from specclip_training.reproduce import train

    folder = tmp_path_factory.mktemp("run")
    run = Run(
        preset=load_preset(tiny_preset), dataset=str(tiny_dataset), output=folder, seed=0,
        max_steps=2, cache_dir=folder / "cache", accelerator=Accelerator(cpu=True), command="",
    )  # fmt: skip
    train(run, load_embedded_pairs(run))
    return run


def test_a_model_is_measured_on_another_dataset(run, tmp_path, capsys):
    other = make_dataset(tmp_path / "other", sizes={"test": 24, "calibration": 8})
    found = {}
    for split in ("test", "all"):
        words = ["--model", run.output, "--dataset", other, "--output", tmp_path / "figures.json"]
        words += ["--split", split, "--bootstrap", 20]
        arguments = retrieval.options().parse_args([str(word) for word in words])
        assert call_job(retrieval.main, arguments) == 0
        found[split] = json.loads((tmp_path / "figures.json").read_text())["by_writer"]["all"]
    assert found["test"]["spectrum_to_text"]["n_queries"] == 24
    assert found["all"]["spectrum_to_text"]["n_queries"] == 32
    assert 0 < found["all"]["over_sources"]["value"] <= 1
    assert "Retrieval by writer, text → spectrum" in capsys.readouterr().out


def test_a_split_without_rows_is_refused(run, tmp_path, capsys):
    other = make_dataset(tmp_path / "other", sizes={"test": 24})
    words = ["--model", str(run.output), "--dataset", str(other), "--split", "validation"]
    assert call_job(retrieval.main, retrieval.options().parse_args(words)) == 2
    assert "has no rows in validation" in capsys.readouterr().err
