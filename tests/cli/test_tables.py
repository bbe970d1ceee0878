"""Tables of embeddings in the four formats."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from hf_specclip.cli.tables import FORMATS, write_table


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return [
        {
            "file": f"α{i}.pha",
            "obsid": None if i == 1 else i,
            "ra": None,
            "embedding": rng.normal(size=4).astype(np.float32),
        }
        for i in range(3)
    ]


def test_parquet_comes_back_as_arrays(rows, tmp_path):
    path = write_table(rows, tmp_path / "new" / "out.parquet")
    table = pq.read_table(path)
    block = table["embedding"].combine_chunks().flatten().to_numpy().reshape(3, 4)
    np.testing.assert_array_equal(block, np.stack([row["embedding"] for row in rows]))
    assert table["obsid"].to_pylist() == [0, None, 2]
    assert table["ra"].null_count == 3


@pytest.mark.parametrize("ending", [".fits", ".ecsv"])
def test_astropy_reads_it(rows, tmp_path, ending):
    table = Table.read(write_table(rows, tmp_path / f"out{ending}"))
    np.testing.assert_allclose(
        np.asarray(table["embedding"]), np.stack([row["embedding"] for row in rows])
    )
    assert list(table["obsid"].mask) == [False, True, False]
    assert table["obsid"][2] == 2
    assert "ra" not in table.colnames


def test_json_lines(rows, tmp_path):
    lines = write_table(rows, tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["obsid"] for line in lines] == [0, None, 2]
    assert json.loads(lines[0])["embedding"] == rows[0]["embedding"].tolist()


@pytest.mark.parametrize("ending", FORMATS)
def test_a_failed_write_leaves_the_older_file(rows, tmp_path, ending):
    path = tmp_path / f"out{ending}"
    path.write_text("older")
    rows[1]["embedding"] = object()
    with pytest.raises(Exception):  # noqa: B017 - whatever the format's writer raises
        write_table(rows, path)
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_endings_and_empty_tables_are_refused(rows, tmp_path):
    with pytest.raises(ValueError, match=r"use \.parquet"):
        write_table(rows, tmp_path / "out.pkl")
    with pytest.raises(ValueError, match="no rows"):
        write_table([], tmp_path / "out.fits")


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".ecsv"])
def test_an_empty_column_keeps_its_type(rows, tmp_path, ending):
    path = write_table(rows, tmp_path / f"out{ending}", {"ra": float, "obsid": int})
    if ending == ".parquet":
        assert str(pq.read_table(path).schema.field("ra").type) == "double"
    else:
        table = Table.read(path)
        assert table["ra"].dtype.kind == "f"
        assert np.ma.getmaskarray(table["ra"]).all()
