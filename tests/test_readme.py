"""Every Python call and every `specclip` command of the README, run as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from chandra_pha import write_pha

from hf_specclip.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# tests/hub/test_from_an_empty_folder.py runs this one, against a Hub.
README = re.sub(r"^## On the Hub$.*?(?=^## )", "", README, flags=re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").strip()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
    if line.startswith("$ specclip ")
]
# Blocks that need a repository or a large job of their own, and the tests that make their calls.
ELSEWHERE = {
    'load_dataset("user/name"': "tests/dataset_builders/sky/test_csc_papers.py",
    'VectorShards("runs/vectors")': "tests/training/test_embed_catalogue.py",
}
CSC = "acisf01575_001N001_r0085_pha3.fits.gz"


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A folder as the README takes it for granted: the demo's run, and files to ask about."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "runs").mkdir()
    (folder / "runs" / "demo").symlink_to(tiny_run, target_is_directory=True)
    real = ROOT.parent / "shared" / "data" / "chandra_spectra" / "csc_1575"
    shape = np.exp(-np.arange(1024) / 200)
    draw = np.random.default_rng(0).poisson
    for name in ("source.pi", "one.pha", "two.pha"):
        write_pha(folder / name, draw(4 * shape))
    if real.is_dir():
        for path in real.iterdir():
            (folder / path.name).symlink_to(path)
    else:
        write_pha(folder / CSC, draw(4 * shape))
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = []
    for word in shlex.split(command)[1:]:
        words += sorted(path.name for path in folder.glob(word)) if "*" in word else [word]
    assert main(words) == 0, capsys.readouterr().err
    if "-o" in words:
        assert (folder / words[words.index("-o") + 1]).stat().st_size > 500
    else:
        assert len(capsys.readouterr().out) > 50


def test_python(folder, monkeypatch, capsys):
    """In one namespace, from top to bottom: a later block may use what an earlier one made."""
    random = np.random.default_rng(0)
    names = {
        "spectrum_embeds": random.normal(size=(12, 4)),
        "text_embeds": random.normal(size=(6, 4)),
        "text_of_spectrum": np.arange(12) // 2,
        "groups": np.arange(12) // 4,
    }
    monkeypatch.chdir(folder)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    blocks = [text for kind, text in BLOCKS if kind == "python"]
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        if any(mark in block for mark in ELSEWHERE):
            continue
        exec(compile(block, f"README, Python block {number + 1}", "exec"), names)
    assert (folder / "source.ecsv").is_file()
    assert names["embedding"].shape[0] == 1
    assert "value" in capsys.readouterr().out


@pytest.mark.parametrize("mark", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(mark):
    [block] = [text for kind, text in BLOCKS if kind == "python" and mark in text]
    test = (ROOT / ELSEWHERE[mark]).read_text(encoding="utf-8")
    code = re.sub(r"#.*", "", block)
    # Every function that is called, and every setting it is given.
    asked = {*re.findall(r"(\w+)\(", code), *re.findall(r"\b(\w+)=", code)}
    asked |= set(re.findall(r'"(\w+)"', code))
    assert {word for word in asked if word not in test} == set(), ELSEWHERE[mark]


def test_there_is_something_to_run():
    assert {command.split()[1] for command in COMMANDS} >= {
        "describe", "classify", "search", "outliers", "report", "inspect", "fit"
    }  # fmt: skip
