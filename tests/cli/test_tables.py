"""Tables of embeddings in their three formats."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from hf_specclip.cli.tables import FORMATS, write_table

TYPES = {"file": str, "obsid": int, "ra": float}


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


def test_parquet_holds_arrays_and_nulls(rows, tmp_path):
    write_table(rows, tmp_path / "new" / "out.parquet", TYPES)
    table = pq.read_table(tmp_path / "new" / "out.parquet")
    block = table["embedding"].combine_chunks().flatten().to_numpy().reshape(3, 4)
    np.testing.assert_array_equal(block, np.stack([row["embedding"] for row in rows]))
    assert table["file"].to_pylist() == [row["file"] for row in rows]
    assert table["obsid"].to_pylist() == [0, None, 2]
    assert table["ra"].null_count == 3
    assert str(table.schema.field("ra").type) == "double"


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_astropy_formats_hold_arrays_and_masks(rows, tmp_path, suffix):
    write_table(rows, tmp_path / f"out{suffix}", TYPES)
    table = Table.read(tmp_path / f"out{suffix}")
    np.testing.assert_allclose(
        np.asarray(table["embedding"]), np.stack([row["embedding"] for row in rows])
    )
    assert list(table["obsid"].mask) == [False, True, False]
    assert table["obsid"][2] == 2
    assert table["ra"].dtype.kind == "f"
    assert np.ma.getmaskarray(table["ra"]).all()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failed_write_leaves_the_older_file(rows, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("older")
    rows[1]["embedding"] = object()
    with pytest.raises(Exception):  # noqa: B017 - whatever the format's writer raises
        write_table(rows, path, TYPES)
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_suffixes_and_empty_tables_are_refused(rows, tmp_path):
    with pytest.raises(ValueError, match=r"use \.parquet"):
        write_table(rows, tmp_path / "out.pkl", TYPES)
    with pytest.raises(ValueError, match="no rows"):
        write_table([], tmp_path / "out.fits", TYPES)
