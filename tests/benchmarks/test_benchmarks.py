"""Benchmarks at tiny sizes: they run, name absent peers and write their results."""

import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import peers
from benchmarks.side_by_side import compare


def test_rivals_take_turns_and_are_compared_by_item():
    turns = []
    found = compare(
        "task",
        (10, "things"),
        {"ours": lambda: turns.append(1), "theirs": lambda: turns.append(2), "absent": None},
        repeats=3,
        sizes={"theirs": 5},
    )
    assert turns == [1, 2, 1, 2, 1, 2, 1, 2]  # one call each for the memory, then in turn
    assert found.absent == ("absent",)
    ours, theirs = found.rows()
    assert ours["times_ours"] == 1.0
    assert theirs["per_second"] == pytest.approx(5 / theirs["median_s"])
    expected = (theirs["median_s"] / 5) / (ours["median_s"] / 10)
    assert theirs["times_ours"] == pytest.approx(expected)


@pytest.mark.slow
def test_small_benchmarks_run_and_leave_json(tmp_path):
    names = ["folding", "loss", "sentences", "search", "questions"]
    command.main(["--small", *names, "--json", str(tmp_path / "results.json")])
    record = json.loads((tmp_path / "results.json").read_text())
    assert {row["benchmark"] for row in record["rows"]} == set(names)
    assert all(row["median_s"] > 0 for row in record["rows"])
    assert all(row["peak_mib"] >= 0 for row in record["rows"])
    assert record["cores"] >= 1


def test_absent_peers_are_said(monkeypatch, capsys):
    for name in ("faiss", "sentence_transformers.util", "open_clip"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    command.main(["--small", "loss", "search"])
    printed = capsys.readouterr().out
    for rival in ("open_clip ClipLoss", "FAISS IndexFlatIP", "semantic_search"):
        [line] = [line for line in printed.splitlines() if rival in line]
        assert "skipped" in line


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "no benchmark called nothing" in capsys.readouterr().err
