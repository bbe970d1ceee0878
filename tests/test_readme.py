"""Python blocks and `specclip` commands of the README and the docs, run as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from chandra_pha import CHANNELS, write_pha
from ogip_writer import arf_hdu, ebounds_hdu, matrix_hdu, write

from hf_specclip.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/usage.md", "docs/spectra.md")
CSC_FILE = "acisf01575_001N001_r0085_pha3.fits.gz"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = list(
    dict.fromkeys(
        " ".join(line.removeprefix("$ ").split())
        for page in PAGES
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ specclip ")
    )
)


@pytest.fixture(scope="module")
def reader_folder(tiny_run, tmp_path_factory):
    """A folder as the pages assume it: the demo's run, and spectra to describe."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "runs").mkdir()
    (folder / "runs" / "demo").symlink_to(tiny_run, target_is_directory=True)
    counts = np.random.default_rng(0).poisson(4 * np.exp(-np.arange(CHANNELS) / 200))
    for name in ("source.pi", "one.pha", "two.pha", CSC_FILE):
        write_pha(folder / name, counts)
    # The fit needs a response: photons are recorded in the channel of their energy.
    edges = 0.0146 * np.arange(CHANNELS + 1)
    edges[0] = 1e-3
    diagonal = [[(channel, [1.0])] for channel in range(1, CHANNELS + 1)]
    response = matrix_hdu(diagonal, kind="fixed", edges=edges)
    area = np.full(CHANNELS, 400.0)
    write(folder / CSC_FILE.replace("pha3", "arf3"), arf_hdu(area, edges))
    write(folder / CSC_FILE.replace("pha3", "rmf3"), response, ebounds_hdu(edges))
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, reader_folder, monkeypatch, capsys):
    monkeypatch.chdir(reader_folder)
    words = []
    for word in shlex.split(command)[1:]:
        matches = sorted(path.name for path in reader_folder.glob(word)) if "*" in word else [word]
        words += matches
    assert main(words) == 0, capsys.readouterr().err
    if "-o" in words:
        assert (reader_folder / words[words.index("-o") + 1]).stat().st_size > 500
    else:
        assert len(capsys.readouterr().out) > 50


@pytest.mark.parametrize("page", PAGES)
def test_python_runs(page, reader_folder, monkeypatch):
    """One namespace a page, top to bottom: a block may use what an earlier one made."""
    random = np.random.default_rng(0)
    names = {
        "spectrum_embeds": random.normal(size=(12, 4)),
        "text_embeds": random.normal(size=(6, 4)),
        "text_of_spectrum": np.arange(12) // 2,
        "groups": np.arange(12) // 4,
    }
    monkeypatch.chdir(reader_folder)
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page}, Python block {number + 1}", "exec"), names)
    assert names.keys() & {"Describer", "spectrum"}


def test_every_command_for_spectra_is_shown():
    shown = {command.split()[1] for command in COMMANDS}
    assert shown >= {"describe", "classify", "search", "outliers", "inspect", "fit", "embed"}
