"""The model that comes with the package."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chandra_pha import write_arf, write_spectra

from hf_specclip import Describer
from hf_specclip.cli.main import main
from hf_specclip.models.trained_run import BUNDLED, BUNDLED_CARD
from specclip_training.reports.bundled import card_text
from specclip_training.studies.bundled import measure

CHECK = Path(__file__).with_name("bundled_check.parquet")
MOST_BYTES = 8_000_000


@pytest.fixture(scope="module")
def card():
    return json.loads((BUNDLED / BUNDLED_CARD).read_text())


@pytest.fixture(scope="module")
def describer():
    return Describer.from_pretrained()


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}/{key}")
    else:
        yield path, value


def test_it_is_small_and_holds_data_alone():
    files = [path for path in BUNDLED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".gz", ".safetensors", ".md"}
    settings = json.loads((BUNDLED / "config.json").read_text())
    assert "auto_map" not in json.dumps(settings)


def test_it_measures_as_its_card_says(card, describer):
    measured = measure(describer, pq.read_table(CHECK), card["guess"])
    expected = dict(leaves(card["check"]))
    found = dict(leaves(measured))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Shares move by a row where another processor rounds otherwise.
        assert found[name] == pytest.approx(value, rel=1e-3, abs=0.02), name
    assert (BUNDLED / "README.md").read_text() == card_text(card)


def test_the_wheel_takes_every_file_of_it(repository):
    patterns = re.findall(r'"default_model/([^"]+)"', (repository / "pyproject.toml").read_text())
    packed = {path for pattern in patterns for path in BUNDLED.glob(pattern) if path.is_file()}
    assert packed == {path for path in BUNDLED.rglob("*") if path.is_file()}


def test_the_command_line_uses_it_and_says_so(tmp_path, capsys, monkeypatch, card):
    monkeypatch.delenv("SPECCLIP_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    file = write_spectra(tmp_path)[0]
    assert main(["describe", "--json", str(file)]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    # It divides by the effective area: without one it says nothing of the source.
    assert "no ARF" in answer["limitations"][0]["text"]
    for section in ("variables", "classes", "similar"):
        assert not answer[section]
        assert "--arf" in answer["withheld"][section]
    write_arf(file.with_suffix(".arf"))
    assert main(["describe", "--json", str(file)]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert answer["model"] == f"bundled model ({card['training']['pairs']:,} simulated pairs)"
    assert any("bundled model" in note for note in answer["notes"])
    coverage = card["real"]["coverage_68"]["value"]
    assert any(f"{coverage:.0%} (68 %)" in note for note in answer["notes"])
    assert answer["classes"]
    assert answer["variables"]
    # Real sources by name; nothing of the simulated sky.
    assert answer["similar"][0]["name"].startswith("2CXO J")
    assert answer["literature"] == []
    assert main(["describe", "--only", "literature", str(file)]) == 1
    assert "ask for similar" in capsys.readouterr().err
    name = answer["similar"][0]["name"]
    assert main(["search", "--kind", "papers", "--like", name, "--where", "powlaw_nh>1"]) == 0
    out = capsys.readouterr().out
    assert "contains no texts" in out
    assert "arxiv.org" in out
    assert re.search(r"powlaw_nh: known for [\d,]+ of [\d,]+ sources", out)
