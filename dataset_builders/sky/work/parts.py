"""Look-up by key of rows in many small Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# Files kept open: neighbours in the order of rows lie in one file, or in few.
_FILES = 64


class Parts:
    """Rows in Parquet files, by key.

    Args:
        schema: of the rows, the key included.
        place_of: key -> file and number of the row in it.
    """

    def __init__(self, schema: pa.Schema, place_of: Mapping[str, tuple[Path, int]]) -> None:
        self.schema = schema
        self.place_of = place_of
        self._read = lru_cache(_FILES)(pq.read_table)

    def __contains__(self, key: object) -> bool:
        return key in self.place_of

    def __len__(self) -> int:
        return len(self.place_of)

    def take(self, keys: Sequence[str]) -> pa.Table:
        """Read the rows of some keys, in their order."""
        if not keys:
            return self.schema.empty_table()
        rows_of: dict[Path, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            path, row = self.place_of[key]
            rows_of.setdefault(path, []).append((place, row))
        tables, order = [], []
        for path, rows in rows_of.items():
            tables.append(self._read(path).take(pa.array([row for _, row in rows], pa.int64())))
            order += [place for place, _ in rows]
        back = [0] * len(order)
        for now, place in enumerate(order):
            back[place] = now
        return pa.concat_tables(tables).take(pa.array(back, pa.int64()))


__all__ = ["Parts"]
