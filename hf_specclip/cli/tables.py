"""Tables of embeddings on disk: Parquet, FITS, ECSV or JSON lines, by the file's suffix."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = (".parquet", ".fits", ".ecsv", ".jsonl")


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a file name whose suffix is none of `FORMATS`."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(f"{path}: cannot write {suffix!r}; use {', '.join(FORMATS)}")


def write_table(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    types: Mapping[str, type] | None = None,
) -> Path:
    """Write rows as a table, atomically.

    Args:
        rows: mappings from column to string, number, None or one-dimensional array; all rows have
            the same columns.
        path: ends in `.parquet` (needs pyarrow), `.fits`, `.ecsv` or `.jsonl`.
        types: `str`, `int` or `float` of columns that may be None in every row.

    Raises:
        ValueError: for another suffix, or no rows.
        ImportError: for Parquet without pyarrow.
    """
    from ..storage import atomic_file

    target = Path(path)
    check_format(target)
    if not rows:
        raise ValueError(f"{target}: no rows to write")
    with atomic_file(target) as partial:
        if target.suffix == ".parquet":
            _write_parquet(rows, partial, types or {})
        elif target.suffix == ".jsonl":
            _write_json_lines(rows, partial)
        else:
            _write_astropy(rows, partial, types or {})
    return target


def _write_parquet(
    rows: Sequence[Mapping[str, Any]], path: Path, types: Mapping[str, type]
) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            "writing Parquet needs pyarrow: pip install pyarrow, or write .fits, .ecsv or .jsonl"
        ) from error
    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], np.ndarray):
            block = np.stack(values)
            # Fixed-size lists come back as one (n, D) array.
            flat = pa.array(block.reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, block.shape[1])
        else:
            columns[name] = pa.array(values, arrow[types[name]] if name in types else None)
    pq.write_table(pa.table(columns), path)


def _write_json_lines(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for row in rows:
            plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()}
            lines.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")


def _write_astropy(
    rows: Sequence[Mapping[str, Any]], path: Path, types: Mapping[str, type]
) -> None:
    from astropy.table import MaskedColumn, Table

    table = Table()
    for name in rows[0]:
        values = [row[name] for row in rows]
        if path.suffix == ".fits":  # FITS strings are ASCII: α becomes \\u03b1
            values = [_ascii(value) if isinstance(value, str) else value for value in values]
        absent = [value is None for value in values]
        if all(absent) and name not in types:
            continue  # an empty column without a type cannot be written
        if any(absent):
            value_type = types.get(name) or type(next(v for v in values if v is not None))
            filler = value_type()
            filled = [filler if value is None else value for value in values]
            table[name] = MaskedColumn(filled, mask=absent)
        elif isinstance(values[0], np.ndarray):
            table[name] = np.stack(values)
        else:
            table[name] = values
    table.write(path, overwrite=True)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


__all__ = ["FORMATS", "check_format", "write_table"]
