"""Entries of an index with their embeddings and columns, and exact search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .nearest import nearest, unit_rows


@dataclass(frozen=True)
class Hit:
    """Search result.

    Attributes:
        rank: 1 for the nearest.
        score: cosine similarity, −1 to 1.
        entry: entry of the index; see `SpecCLIPIndex`.
        row: row of the entry among the texts or the spectra.
    """

    rank: int
    score: float
    entry: Mapping[str, Any]
    row: int = -1


class IndexPart:
    """The texts or the spectra of an index.

    Args:
        entries: mappings with a unique string `id`.
        embeddings: (n, D), normalised here.
        columns: name -> array with one row per entry.
        name: noun for an entry in messages.

    Raises:
        ValueError: lengths differ, an `id` is missing or repeated, or a vector is zero or not
            finite.
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
        name: str = "entry",
    ):
        vectors = np.asanyarray(embeddings)
        self.name = name
        self.entries: list[dict[str, Any]] = []
        self.embeddings = np.zeros((0, vectors.shape[1] if vectors.ndim == 2 else 0), np.float32)
        self.columns: dict[str, np.ndarray] = {}
        self._ids: set[str] = set()
        self.add(entries, vectors, columns)

    def __len__(self) -> int:
        return len(self.entries)

    def add(
        self,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Append entries; nothing is changed if one is invalid.

        Raises:
            ValueError: see the class; also if the width or the columns differ from the index.
        """
        vectors = np.asanyarray(embeddings)
        if vectors.dtype != np.float32:
            vectors = vectors.astype(np.float32)
        if vectors.ndim != 2 or len(vectors) != len(entries):
            raise ValueError(
                f"{len(entries)} entries need embeddings of shape ({len(entries)}, D), "
                f"not {vectors.shape}"
            )
        if vectors.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"the new embeddings have {vectors.shape[1]} dimensions, this index has "
                f"{self.embeddings.shape[1]}: embed them with the model of the index"
            )
        new = {name: np.asanyarray(values) for name, values in (columns or {}).items()}
        self._check_columns(new, len(entries))
        ids = self._new_ids(entries)
        vectors = unit_rows(vectors, self.name, len(self))
        if len(self):
            vectors = np.concatenate([self.embeddings, vectors])
            new = {name: np.concatenate([self.columns[name], new[name]]) for name in new}
        self.embeddings, self.columns = vectors, new
        self.entries += [dict(entry) for entry in entries]
        self._ids |= ids

    def search(
        self, queries: np.ndarray, top_k: int, kept: np.ndarray | None = None
    ) -> list[list[Hit]]:
        """Find the entries nearest to unit queries (B, D), among the rows `kept` (default: all)."""
        if kept is None:
            scores, rows = nearest(queries, self.embeddings, top_k)
        else:
            scores, rows = nearest(queries, self.embeddings[kept], top_k)
            rows = kept[rows]
        return [
            [
                Hit(rank, score, self.entries[row], row)
                for rank, (score, row) in enumerate(zip(*neighbours, strict=True), start=1)
            ]
            for neighbours in zip(scores.tolist(), rows.tolist(), strict=True)
        ]

    def _check_columns(self, columns: Mapping[str, np.ndarray], n_entries: int) -> None:
        if len(self) and (unmatched := set(columns) ^ set(self.columns)):
            raise ValueError(
                "the columns of the new entries differ from the index: "
                f"{', '.join(sorted(unmatched))}"
            )
        for name, values in columns.items():
            if values.ndim == 0 or len(values) != n_entries:
                raise ValueError(f"column {name} is {values.shape} for {n_entries} entries")
            if len(self) and values.shape[1:] != self.columns[name].shape[1:]:
                raise ValueError(
                    f"column {name} is {values.shape[1:]} wide, in the index it is "
                    f"{self.columns[name].shape[1:]}"
                )

    def _new_ids(self, entries: Sequence[Mapping[str, Any]]) -> set[str]:
        ids: set[str] = set()
        for row, entry in enumerate(entries):
            identifier = entry.get("id")
            if not isinstance(identifier, str) or not identifier:
                raise ValueError(f"{self.name} {row} has no `id`: it must be a unique string")
            if identifier in ids or identifier in self._ids:
                raise ValueError(f"{self.name} {row} repeats the id {identifier!r}")
            ids.add(identifier)
        return ids
