"""Vectors with what is known of each, and the search among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .faiss_index import build_approximate
from .filter import IndexFilter

# Similarities held at once, 64 MB of float32: what bounds the memory of a search.
SCORES_AT_ONCE = 1 << 24
METHODS = ("exact", "hnsw", "ivf")


@dataclass(frozen=True)
class Hit:
    """One answer of a search.

    Attributes:
        rank: 1 for the closest.
        score: cosine similarity, −1 to 1.
        entry: what the index knows of it (see `SpecCLIPIndex`).
        place: of the entry among those of its kind.
    """

    rank: int
    score: float
    entry: Mapping[str, Any]
    place: int = -1


class IndexPart:
    """Entries of one kind: the texts of an index, or its spectra.

    Args:
        entries: one mapping for each, with `id` (string, unique).
        embeddings: (n, D), any positive length; brought to unit length here.
        columns: name -> array whose first axis is that of the entries.
        what: how an entry is called in messages.

    Raises:
        ValueError: when lengths differ, an `id` is missing or repeated, or a vector is zero or
            not finite.
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
        what: str = "entry",
    ):
        self.what = what
        self.entries: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        vectors = np.asanyarray(embeddings)
        self.embeddings = np.zeros((0, vectors.shape[1] if vectors.ndim == 2 else 0), np.float32)
        self.columns: dict[str, np.ndarray] = {}
        self._approximate: Any = None
        self.method = "exact"
        self.add(entries, vectors, columns)

    def __len__(self) -> int:
        return len(self.entries)

    def add(
        self,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Put entries behind those there are; nothing is changed where one is refused.

        Raises:
            ValueError: see the class; also for another width or other columns than there are.
        """
        vectors = np.asanyarray(embeddings)
        if vectors.dtype != np.float32:
            vectors = vectors.astype(np.float32)
        if vectors.ndim != 2 or len(vectors) != len(entries):
            raise ValueError(
                f"{len(entries)} entries need embeddings of shape ({len(entries)}, D), "
                f"not {vectors.shape}"
            )
        if len(self) and vectors.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"the new embeddings have {vectors.shape[1]} dimensions, this index has "
                f"{self.embeddings.shape[1]}: embed them with the model the index came with"
            )
        new = {name: np.asanyarray(values) for name, values in (columns or {}).items()}
        if len(self) and set(new) != set(self.columns):
            odd = ", ".join(sorted(set(new) ^ set(self.columns)))
            raise ValueError(f"new entries come with other columns than the index has: {odd}")
        for name, values in new.items():
            if values.ndim == 0 or len(values) != len(entries):
                raise ValueError(f"column {name} is {values.shape} for {len(entries)} entries")
            if len(self) and values.shape[1:] != self.columns[name].shape[1:]:
                raise ValueError(
                    f"column {name} is {values.shape[1:]} wide, in the index it is "
                    f"{self.columns[name].shape[1:]}"
                )
        ids = self._checked_ids(entries)
        vectors = _unit(vectors, self.what, len(self))
        # A first lot is kept as it came, which leaves a mapped file on disk.
        first = not len(self)
        self.embeddings = vectors if first else np.concatenate([self.embeddings, vectors])
        self.columns = {
            name: values if first else np.concatenate([self.columns[name], values])
            for name, values in new.items()
        }
        self.entries += [dict(entry) for entry in entries]
        self._ids |= ids
        self._approximate = None

    def use(self, method: str) -> None:
        """Search by `"exact"` comparison, or approximately by FAISS's `"hnsw"` or `"ivf"`.

        Raises:
            ValueError: for another method.
            ImportError: where FAISS is not installed.
        """
        if method not in METHODS:
            raise ValueError(f"method is {method!r}, it must be one of {', '.join(METHODS)}")
        self._approximate = None if method == "exact" else build_approximate(self, method)
        self.method = method

    def search(
        self, queries: np.ndarray, top_k: int, where: IndexFilter | None = None
    ) -> list[list[Hit]]:
        """See `SpecCLIPIndex.search`; a search under conditions is always exact."""
        vectors = _unit(queries, "query")
        if where is not None:
            places = np.flatnonzero([where.keeps(entry) for entry in self.entries])
            return self._exact(vectors, top_k, places)
        if self.method != "exact":
            if self._approximate is None:  # entries were added
                self._approximate = build_approximate(self, self.method)
            scores, places = self._approximate.search(vectors, min(top_k, len(self)))
            return [self._hits(p[p >= 0], s[p >= 0]) for s, p in zip(scores, places, strict=True)]
        return self._exact(vectors, top_k, None)

    def _exact(self, vectors: np.ndarray, top_k: int, places: np.ndarray | None) -> list[list[Hit]]:
        bank = self.embeddings if places is None else self.embeddings[places]
        if not len(bank):
            return [[] for _ in vectors]
        top_k = min(top_k, len(bank))
        rows = max(1, SCORES_AT_ONCE // len(bank))
        results: list[list[Hit]] = []
        for start in range(0, len(vectors), rows):
            scores = vectors[start : start + rows] @ bank.T
            for best, score in zip(_largest(scores, top_k), scores, strict=True):
                results.append(self._hits(best if places is None else places[best], score[best]))
        return results

    def _hits(self, places: np.ndarray, scores: np.ndarray) -> list[Hit]:
        return [
            Hit(rank, float(score), self.entries[place], int(place))
            for rank, (place, score) in enumerate(zip(places, scores, strict=True), start=1)
        ]

    def _checked_ids(self, entries: Sequence[Mapping[str, Any]]) -> set[str]:
        seen: set[str] = set()
        for position, entry in enumerate(entries):
            identifier = entry.get("id")
            if not isinstance(identifier, str) or not identifier:
                raise ValueError(
                    f"{self.what} {position} has no `id`: give each a string of its own"
                )
            if identifier in seen or identifier in self._ids:
                raise ValueError(f"{self.what} {position} repeats the id {identifier!r}")
            seen.add(identifier)
        return seen


def _unit(vectors: np.ndarray, what: str, before: int = 0) -> np.ndarray:
    """Rows at unit length; a row that has no direction is an error, never a silent zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        place = before + int(np.flatnonzero(bad)[0])
        raise ValueError(f"{what} {place} is a zero or non-finite vector")
    # What is of unit length already stays the array it is, perhaps on disk.
    if np.abs(norms - 1.0).max(initial=0.0) < 1e-5:
        return vectors
    return (vectors / norms).astype(np.float32, copy=False)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest of each row, largest first, ties in order of position."""
    if k < scores.shape[1]:
        import torch  # an order of magnitude faster at this than NumPy

        values, found = (part.numpy() for part in torch.from_numpy(scores).topk(k + 1, dim=1))
        chosen = found[:, :k]
        # Among equal scores at the k-th place it picks freely: those are taken again in order.
        for row in np.flatnonzero(values[:, k] == values[:, k - 1]):
            above = np.flatnonzero(scores[row] > values[row, k])
            level = np.flatnonzero(scores[row] == values[row, k])[: k - len(above)]
            chosen[row] = np.concatenate([above, level])
        chosen = np.sort(chosen, axis=1)
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


__all__ = ["METHODS", "SCORES_AT_ONCE", "Hit", "IndexPart"]
