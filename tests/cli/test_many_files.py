"""Many files on the command line: folders, patterns, lists, standard input, and processes."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from chandra_pha import CHANNELS, write_arf, write_pha

from hf_specclip.cli.main import main


@pytest.fixture
def folder(tmp_path):
    """Five spectra with 0 to 4 counts a channel in folders, with a background and an ARF."""
    (tmp_path / "spectra" / "far").mkdir(parents=True)
    for level in range(5):
        place = tmp_path / "spectra" / ("far" if level == 4 else "")
        write_pha(place / f"s{level}.pha", np.full(CHANNELS, level))
    write_pha(tmp_path / "spectra" / "s1_bkg.pha", np.ones(CHANNELS, int))
    write_pha(tmp_path / "spectra" / "sky.pha", np.ones(CHANNELS, int), HDUCLAS2="BKG")
    write_arf(tmp_path / "spectra" / "s1.arf").rename(tmp_path / "spectra" / "area.fits")
    return tmp_path / "spectra"


def inspected(*words, capsys):
    """Run `specclip inspect`; return the exit status, the counts a channel, and what was said."""
    status = main(["inspect", "--json", *map(str, words)])
    printed = capsys.readouterr()
    levels = [facts["total_counts"] // CHANNELS for facts in json.loads(printed.out)]
    return status, levels, printed.err


def test_folders_patterns_lists_and_standard_input_name_files(folder, capsys, monkeypatch):
    status, levels, said = inspected(folder, capsys=capsys)
    assert (status, levels) == (0, [4, 0, 1, 2, 3])
    assert "2 background files left out" in said
    assert inspected(folder / "s[23].pha", capsys=capsys)[:2] == (0, [2, 3])
    names = folder / "names.txt"
    lines = ["# two", f"{folder}/s3.pha", "", f"{folder}/far", f"@{names}"]
    names.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert inspected(f"@{names}", capsys=capsys)[:2] == (1, [3, 4])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder}/s2.pha\n{folder}/**/s4.pha\n"))
    assert inspected("-", folder / "s0.pha", capsys=capsys)[:2] == (0, [2, 4, 0])


def test_what_names_no_file_is_reported_and_the_others_go_on(folder, capsys):
    empty = folder / "empty"
    empty.mkdir()
    damaged = folder / "damaged [1]"
    damaged.mkdir()
    (damaged / "s9.pha").touch()
    (damaged / "image.fits").touch()
    words = [folder / "*.pi", f"@{folder}/none.txt", empty, damaged, damaged / "*.pha"]
    status, levels, said = inspected(*words, folder / "s2.pha", capsys=capsys)
    assert (status, levels, said.count("s9.pha: is not a FITS file")) == (1, [2], 2)
    for text in ("no file matches", "none.txt: list of files", "no spectrum in this folder"):
        assert text in said
    assert main(["inspect"]) == 1
    assert "name a FILE" in capsys.readouterr().err


def test_processes_keep_the_order_and_report_bad_files(folder, capsys):
    (folder / "broken.pha").write_text("not FITS")
    words = [folder / "s3.pha", folder / "broken.pha", folder / "gone.pha", folder / "far"] * 12
    one, two = (inspected(f"--jobs={n}", *words, capsys=capsys) for n in (1, 2))
    assert one == two
    status, levels, said = one
    assert (status, levels) == (1, [3, 4] * 12)
    assert (said.count("broken.pha"), said.count("gone.pha: no")) == (12, 12)
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_interrupt_ends_reading_and_its_processes_cleanly(folder, tmp_path):
    many = tmp_path / "many.txt"
    many.write_text(f"{folder}/s3.pha\n" * 5_000)
    words = [sys.executable, "-m", "hf_specclip.cli.main", "inspect", "--jobs=2", f"@{many}"]
    running = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert "s3.pha" in running.stdout.readline()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    started = time.monotonic()
    _, said = running.communicate(timeout=60)  # also the processes that share the pipes
    assert (running.returncode, said) == (130, "specclip: stopped\n")
    assert time.monotonic() - started < 30


def test_a_table_of_embeddings_makes_the_round_trip_through_datasets(folder, tmp_path, tiny_run):
    import pyarrow.parquet as pq
    from datasets import Dataset, List

    for level in range(5):
        write_arf(folder / ("far" if level == 4 else "") / f"s{level}.arf")
    output, again = tmp_path / "e.parquet", tmp_path / "again.parquet"
    words = ["embed", "--model", str(tiny_run), str(folder / "s[123].pha"), "-o", str(output)]
    assert main([*words, "--batch-size", "2"]) == 0
    rows = Dataset.from_parquet(str(output), cache_dir=str(tmp_path / "cache"))
    for name in ("embedding", "latent"):
        assert isinstance(rows.features[name], List)
        assert rows.features[name].length == 8
    assert rows.with_format("numpy")["embedding"][:].shape == (3, 8)
    rows.to_parquet(str(again))
    assert pq.read_table(again).equals(pq.read_table(output))
