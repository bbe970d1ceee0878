"""Tables of embeddings on disk, in the format the file name asks for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = (".parquet", ".fits", ".ecsv", ".jsonl")


def check_format(path: str | os.PathLike[str]) -> None:
    """Raises ValueError where the ending of `path` is none of `FORMATS`."""
    ending = Path(path).suffix
    if ending not in FORMATS:
        raise ValueError(f"{path}: cannot write {ending!r}; use {', '.join(FORMATS)}")


def write_table(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    types: Mapping[str, type] | None = None,
) -> Path:
    """Write rows that share their columns; a failed write leaves an older file as it was.

    Args:
        rows: mappings from column to string, number, None or one-dimensional array.
        path: ends in `.parquet` (needs pyarrow), `.fits`, `.ecsv` or `.jsonl`.
        types: `str`, `int` or `float` of columns that may hold nothing but None, so that the
            columns of a file never depend on what was in it.

    Raises:
        ValueError: for another ending, or no rows.
        ImportError: for Parquet without pyarrow.
    """
    target = Path(path)
    check_format(target)
    if not rows:
        raise ValueError(f"{target}: no rows to write")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last: astropy chooses the format by it.
    fresh = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        if target.suffix == ".parquet":
            _write_parquet(rows, fresh, types or {})
        elif target.suffix == ".jsonl":
            _write_json_lines(rows, fresh)
        else:
            _write_astropy(rows, fresh, types or {})
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
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
        if path.suffix == ".fits":  # the standard knows ASCII alone: α becomes \\u03b1
            values = [_ascii(value) if isinstance(value, str) else value for value in values]
        absent = [value is None for value in values]
        if all(absent) and name not in types:
            continue  # a column of nothing has no type to be written in
        if any(absent):
            kind = types.get(name) or type(next(value for value in values if value is not None))
            filler = kind()
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
