"""Retrieval of a finished model on a dataset."""

import json

from tiny_dataset import make_dataset

from specclip_training import retrieval
from specclip_training.data.shard_job import call_job


def test_a_model_is_measured_on_another_dataset(tiny_run, tmp_path, capsys):
    other = make_dataset(tmp_path / "other", embedded=False, sizes={"test": 24, "calibration": 8})
    found = {}
    for split in ("test", "all"):
        words = ["--model", tiny_run, "--dataset", other, "--output", tmp_path / "figures.json"]
        words += ["--split", split, "--bootstrap", 20]
        arguments = retrieval.options().parse_args([str(word) for word in words])
        assert call_job(retrieval.main, arguments) == 0
        found[split] = json.loads((tmp_path / "figures.json").read_text())["by_writer"]["all"]
    assert found["test"]["spectrum_to_text"]["n_queries"] == 24
    assert found["all"]["spectrum_to_text"]["n_queries"] == 32
    assert 0 < found["all"]["over_sources"]["value"] <= 1
    assert "Retrieval by writer, text → spectrum" in capsys.readouterr().out


def test_a_split_without_rows_is_refused(tiny_run, tmp_path, capsys):
    other = make_dataset(tmp_path / "other", embedded=False, sizes={"test": 24})
    words = ["--model", str(tiny_run), "--dataset", str(other), "--split", "validation"]
    assert call_job(retrieval.main, retrieval.options().parse_args(words)) == 2
    assert "has no rows in validation" in capsys.readouterr().err
