"""Datasets built from the sky, published with every configuration and streamed back."""

import json
from pathlib import Path

import pytest
from building import built_world, digest

from specclip_datasets import CSCPapers
from specclip_datasets.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
READ = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
found = {}
for name in get_dataset_config_names("ada/csc"):
    parts = load_dataset("ada/csc", name, streaming=True)
    rows = {split: list(part) for split, part in parts.items()}
    some = rows["train"][0]
    found[name] = {
        "rows": {split: len(of) for split, of in rows.items()},
        "columns": sorted(some),
        "vector": len(some.get("text_embedding") or []),
        "counts": [sum(row["counts"]) for of in rows.values() for row in of],
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("built")
    with built_world(root, whole=True):
        return root


def test_a_stranger_streams_every_configuration(built, local_hub, stranger):
    words = ["build", "--output", str(built / "dataset"), "--stages", "push", "--push", "ada/csc"]
    assert main(words) == 0
    found = json.loads(stranger(READ).stdout)
    assert set(found) == {"default", "embedded", "spectra"}
    assert found["embedded"]["vector"] == 24
    assert found["default"]["rows"] == found["embedded"]["rows"]
    assert sum(found["default"]["rows"].values()) == 24
    assert "summary" in found["default"]["columns"]
    assert "summary" not in found["spectra"]["columns"]
    assert sorted(found["spectra"]["counts"]) == sorted(found["default"]["counts"])
    assert min(found["spectra"]["counts"]) > 0


def test_the_builder_publishes_and_a_second_version_replaces_the_first(
    built, local_hub, stranger, tmp_path
):
    builder = CSCPapers(built / "work")
    builder.write(tmp_path / "dataset")
    assert digest(tmp_path / "dataset" / "data") == digest(built / "dataset" / "data")
    for _ in range(2):
        builder.push_to_hub("ada/csc")
    code = "from specclip_datasets import load; print(load('ada/csc')[1].builder)"
    assert stranger(code).stdout.split() == ["csc"]


def test_a_push_that_fails_says_so_and_loses_nothing(built, local_hub, monkeypatch, capfd):
    before = digest(built / "dataset")
    monkeypatch.setenv("HF_TOKEN", "hf_MARKED_expired")
    words = ["build", "--output", str(built / "dataset"), "--stages", "push"]
    assert main([*words, "--push", "ada/csc"]) == 2
    said = "".join(capfd.readouterr())
    assert "error: ada/csc was not published" in said
    assert "MARKED" not in said
    assert main(words) == 2
    assert "needs --push USER/NAME" in capfd.readouterr().err
    assert digest(built / "dataset") == before
