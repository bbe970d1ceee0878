"""Benchmarks at tiny sizes: they run, say what is absent, and their results reach the README."""

import json
import subprocess
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import gpu, peers, readme
from benchmarks.side_by_side import compare, peak_memory, processor_time


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


def test_memory_is_what_a_call_takes_beyond_what_was_there():
    kept = bytearray(64 << 20)
    assert peak_memory(lambda: bytearray(32 << 20)) == pytest.approx(32, abs=8)
    assert len(kept) == 64 << 20


def test_the_processor_time_of_processes_that_are_started_counts():
    work = [sys.executable, "-c", "sum(range(10**7))"]
    before = processor_time()
    subprocess.run(work, check=True)
    assert processor_time() - before > 0.05  # most of it is the other's


NAMES = ["rebinning", "folding", "loss", "retrieval", "search", "streaming"]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "results.json"
    command.main(["--small", *NAMES, "--json", str(path)])
    return json.loads(path.read_text())


def test_small_benchmarks_run_and_leave_json(record):
    assert {row["benchmark"] for row in record["rows"]} == set(NAMES)
    for row in record["rows"]:
        assert row["median_s"] > 0
        assert row["peak_mib"] >= 0
    assert record["cores"] >= 1


def test_the_readme_is_written_from_the_results(record, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\nstale words\n{readme.END}\nafter\n")
    record = {**record, "rows": record["rows"] + [
        {"task": "growth, x", "sizes": [1, 100], "exponent": 1.0123},
        {"task": "embedding and indexing a catalogue", "spectra": 1000, "embedding_s": 2.0,
         "embedding_cpu_s": 2.0, "indexing_s": 1.0, "indexing_cpu_s": 1.0, "peak_mib": 500.0,
         "bytes_a_spectrum": 300.0},
        {"task": "an index", "vectors": 2_000_000, "building_s": 61.0, "index_mb": 144.0,
         "peak_mib": 900.0, "approximate_ms_a_query": 0.123, "exact_ms_a_query": 45.0,
         "found_of_the_closest_ten": 9.87},
        {"task": "an index", "vectors": 20, "skipped": "no FAISS here"},
    ]}  # fmt: skip
    readme.write(record, page)
    text = page.read_text()
    assert text.startswith(f"before\n{readme.BEGIN}\n")
    assert text.endswith(f"{readme.END}\nafter\n")
    assert "stale words" not in text
    assert "size^1.01 up to 100" in text
    assert "- an index, 2,000,000: built in 61 s, 900 MiB at most, 144 MB on disk" in text
    assert "a query 0.12 ms (9.9 of the closest ten found), exact 45 ms" in text
    assert "- an index, 20: no FAISS here" in text
    assert "| transformers CLIP |" in text
    assert "1,000 spectra: 2 s embedding" in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="needs one"):
        readme.write(record, page)


def test_several_runs_are_joined_the_last_first():
    one = {"cores": 2, "rows": [{"benchmark": "a", "n": 1}, {"benchmark": "b", "n": 1}]}
    two = {"cores": 2, "rows": [{"benchmark": "b", "n": 2}]}
    rows = readme.joined([one, two])["rows"]
    assert [(row["benchmark"], row["n"]) for row in rows] == [("a", 1), ("b", 2)]
    with pytest.raises(ValueError, match="not measured alike"):
        readme.joined([one, {**two, "cores": 4}])


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


def test_the_accelerators_benchmark_runs_here(tmp_path):
    rows = gpu.main(["--small", "--json", str(tmp_path / "gpu.json")])
    assert {row["task"] for row in rows} == {"training step", "contrastive loss, width 512"}
    assert json.loads((tmp_path / "gpu.json").read_text()) == rows
    for row in rows:
        assert row["device"]
        assert row["pairs_per_second"] > 0
