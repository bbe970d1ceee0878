"""Readers of table columns; errors name file, row, column, problem and correction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_specclip.errors import SpecCLIPError

from ..contract import SENTINELS

N_CHANNELS = 1024
CHANNEL_WIDTH = 0.0146
CHANNEL_EDGES = np.arange(N_CHANNELS + 1) * CHANNEL_WIDTH
MAX_INTEGER = 2**31 - 1


class LocalTablesError(SpecCLIPError, ValueError):
    """Invalid tables; the message names file, column, row and correction."""


def refuse(path: Path, column: str, row: int, problem: str, mend: str) -> NoReturn:
    """Raise a `LocalTablesError` for a cell."""
    raise LocalTablesError(f"{path}, row {row}, column {column!r}: {problem}; {mend}")


def read_columns(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> pa.Table:
    """Read required columns of a Parquet file, and optional ones if present."""
    try:
        schema = pq.read_schema(path)
        missing = [name for name in required if name not in schema.names]
        if missing:
            raise LocalTablesError(f"{path}: columns {missing} are missing: add them")
        wanted = [*required, *(name for name in optional if name in schema.names)]
        return pq.read_table(path, columns=wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise LocalTablesError(f"{path} cannot be read as Parquet: {error}") from None


def cells(table: pa.Table, name: str) -> list[Any]:
    """Return the values of a column; all None if the column is missing."""
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def required_texts(table: pa.Table, name: str, path: Path) -> list[str]:
    """Return a text column; raise an error for empty cells."""
    texts = cells(table, name)
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            refuse(path, name, row, "is not text", "write the name")
    return texts


def optional_texts(table: pa.Table, name: str) -> list[str | None]:
    """Return stripped texts; None for null, empty, and pandas' nan in a column of mixed types."""
    return [cell.strip() or None if isinstance(cell, str) else None for cell in cells(table, name)]


def integers(table: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Return integers, (n,) int64; row numbers and path are for error messages."""
    values = finite_numbers(table, name, rows, path)
    bad = (values != np.floor(values)) | (np.abs(values) > MAX_INTEGER)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        refuse(path, name, int(rows[first]), f"is {values[first]}", "give a whole number")
    return values.astype(np.int64)


def finite_numbers(table: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Return finite numbers, (n,) float64; raise an error for missing values."""
    values = _numbers(table, name, rows, path)
    bad = ~np.isfinite(values) | np.isin(values, SENTINELS)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        refuse(path, name, int(rows[first]), "is missing", "every detection needs one")
    return values


def measured_numbers(table: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Return numbers (n,), nan for missing values and sentinels."""
    values = _numbers(table, name, rows, path).copy()
    values[~np.isfinite(values) | np.isin(values, SENTINELS)] = np.nan
    return values


def channel_counts(table: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Return counts (n, 1024) of a column of lists."""
    column = table[name].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    bad = lengths != N_CHANNELS
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        problem = "is missing" if lengths[first] < 0 else f"has {lengths[first]} channels"
        refuse(path, name, int(rows[first]), problem, f"give {N_CHANNELS} PI channels from 1 on")
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, N_CHANNELS)
    wrong = ~np.isfinite(values) | (values < 0) | (values > MAX_INTEGER)
    if values.dtype.kind == "f":
        wrong |= values != np.floor(values)
    if wrong.any():
        first, channel = (int(index[0]) for index in np.nonzero(wrong))
        problem = f"channel {channel + 1} holds {values[first, channel]}"
        mend = "counts are whole numbers from 0 on; do not subtract the background"
        refuse(path, name, int(rows[first]), problem, mend)
    return values.astype(np.int64)


def _numbers(table: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    try:
        return table[name].cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        refuse(path, name, int(rows[0]), f"has type {table[name].type}", "give numbers")
