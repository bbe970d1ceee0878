"""Tables of embeddings on disk: Parquet, FITS or ECSV, by the suffix of the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..formatting import format_cell

FORMATS = (".parquet", ".fits", ".ecsv")


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a suffix that is none of `FORMATS`, ImportError without pyarrow."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(f"{path}: cannot write {suffix!r}; use {', '.join(FORMATS)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError(
            "writing Parquet needs pyarrow: pip install pyarrow, or write .fits or .ecsv"
        )


def write_table(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    types: Mapping[str, type],
    units: Mapping[str, str] | None = None,
) -> None:
    """Write rows as a table, atomically.

    Args:
        rows: mappings from column to string, number, None or one-dimensional array; all rows have
            the same columns.
        path: ends in `.parquet` (needs pyarrow), `.fits` or `.ecsv`.
        types: `str`, `int` or `float` of the columns that are no arrays.
        units: astropy's, of the columns that have one; Parquet holds none.

    Raises:
        ValueError: for another suffix, or no rows.
        ImportError: for Parquet without pyarrow.
    """
    from ..storage import atomic_file

    check_format(path)
    if not rows:
        raise ValueError(f"{path}: no rows to write")
    columns = {
        name: [format_cell(v) if isinstance(v, str) else v for v in (row[name] for row in rows)]
        for name in rows[0]
    }
    with atomic_file(path) as partial:
        if partial.suffix == ".parquet":
            _write_parquet(columns, partial, types)
        else:
            _write_astropy(columns, partial, types, units or {})


def _write_parquet(columns: Mapping[str, list[Any]], path: Path, types: Mapping[str, type]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow_types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    arrays = {}
    for name, values in columns.items():
        if name in types:
            arrays[name] = pa.array(values, arrow_types[types[name]])
        else:  # fixed-size lists come back as one (n, D) array
            block = np.stack(values)
            arrays[name] = pa.FixedSizeListArray.from_arrays(block.reshape(-1), block.shape[1])
    pq.write_table(pa.table(arrays), path)


def _write_astropy(
    columns: Mapping[str, list[Any]],
    path: Path,
    types: Mapping[str, type],
    units: Mapping[str, str],
) -> None:
    from astropy.table import MaskedColumn, Table

    table = Table()
    for name, values in columns.items():
        if name not in types:
            table[name] = np.stack(values)
            continue
        absent = [value is None for value in values]
        filled = [types[name]() if value is None else value for value in values]
        if types[name] is str and path.suffix == ".fits":  # FITS strings are ASCII: α is \\u03b1
            filled = [text.encode("ascii", "backslashreplace").decode("ascii") for text in filled]
        table[name] = MaskedColumn(filled, mask=absent) if any(absent) else filled
        if name in units:
            table[name].unit = units[name]
    table.write(path, overwrite=True)
