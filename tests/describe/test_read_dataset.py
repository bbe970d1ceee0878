"""Dataset folders read by the package: layouts, damage, and folders of the same name."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_specclip.describe.read_dataset import read_splits
from hf_specclip.errors import FileFormatError

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: rows/*
---
"""


def write_rows(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"value": values}), path)


@pytest.mark.parametrize("card", [False, True])
def test_two_folders_of_the_same_name_give_their_own_rows(card, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for number, place in enumerate(("one", "other")):
        folder = tmp_path / place / "set"
        data = folder / ("rows" if card else "data")
        write_rows(data / "train-00000-of-00001.parquet", [number])
        if card:
            (folder / "README.md").write_text(CARD)
    for number, place in enumerate(("one", "other")):
        monkeypatch.chdir(tmp_path / place)
        assert read_splits("set")["train"]["value"][:] == [number]
        assert read_splits(tmp_path / place / "set")["train"]["value"][:] == [number]
    assert not (tmp_path / "cache").exists()


def test_files_of_a_split_are_joined_in_order(tmp_path):
    for number in (1, 0):
        write_rows(tmp_path / "data" / f"calibration-{number}.parquet", [number])
    assert read_splits(tmp_path)["calibration"]["value"][:] == [0, 1]


def test_damage_and_other_formats_are_named(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be loaded"):
        read_splits(tmp_path)
    (tmp_path / "train.csv").write_text("value\n1\n")
    with pytest.raises(FileFormatError, match=r"not Parquet files \(train.csv\)"):
        read_splits(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match="train"):
        read_splits(tmp_path)
