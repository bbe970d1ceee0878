"""Ranks of the right answers in retrieval between spectra and texts.

Scores are exact. Unit vectors are rounded to multiples of 2⁻²⁶ (7e-9, finer than the float32 they
come from) and multiplied in float64, where every product and every partial sum is then a multiple
of 2⁻⁵² below 2 and needs no rounding. The result therefore cannot depend on chunks, threads or the
linear-algebra library, and equal vectors tie exactly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

_SCALE = float(1 << 26)


@dataclass(frozen=True)
class MatchRanks:
    """Rank of the right answer of each query in the gallery.

    Attributes:
        query: (q,) index of the query among the spectra (or texts) given.
        greater: (q,) number of gallery members that score above the best right answer.
        tied: (q,) number of members with exactly its score, itself included.
        tied_right: (q,) number of right answers among the tied.
        right: (q,) number of right answers in the gallery.
        n_gallery: size of the gallery.
    """

    query: np.ndarray
    greater: np.ndarray
    tied: np.ndarray
    tied_right: np.ndarray
    right: np.ndarray
    n_gallery: int

    def __len__(self) -> int:
        return len(self.query)

    @property
    def expected(self) -> np.ndarray:
        """Rank from 1, (q,); ties take the mean over all ways of breaking them."""
        return self.greater + (self.tied + 1) / (self.tied_right + 1)

    def hits(self, top: int) -> np.ndarray:
        """Return the probability that a right answer is among the first `top`, (q,).

        Over all ways of breaking ties: 0 or 1 where nothing ties across that border.
        """
        return _any_within(self.tied, self.tied_right, top - self.greater)

    def chance_hits(self, top: int) -> np.ndarray:
        """Return the same probability for a gallery in random order (hypergeometric), (q,)."""
        return _any_within(np.full(len(self), self.n_gallery), self.right, np.full(len(self), top))

    def chance_median(self) -> float:
        """Return the median rank over all queries for galleries in random order."""
        number, counts = np.unique(self.right, return_counts=True)
        total = np.full(len(number), self.n_gallery)

        def share(top: int) -> float:
            inside = _any_within(total, number, np.full(len(number), top))
            return float(inside @ counts) / len(self)

        # The mean of the two middle values, as for a sample of even size.
        ranks = range(1, self.n_gallery + 1)
        lower = bisect_left(ranks, 0.5 - 1e-12, hi=self.n_gallery - 1, key=share)
        upper = bisect_right(ranks, 0.5 + 1e-12, hi=self.n_gallery - 1, key=share)
        return (ranks[lower] + ranks[upper]) / 2


def match_ranks(
    spectrum_embeds: Any,
    text_embeds: Any,
    text_of_spectrum: Any,
    *,
    chunk_size: int = 1024,
) -> dict[str, MatchRanks]:
    """Rank the right answer of every query by cosine similarity, in both directions.

    Beside the inputs, memory holds one int32 copy of them and a few matrices of `chunk_size` ×
    `chunk_size`; results do not depend on `chunk_size`.

    Args:
        spectrum_embeds: (n, D) array or tensor. A zero vector scores 0 against everything.
        text_embeds: (m, D), one row for each distinct text; texts without a spectrum are
            distractors (they stand in the gallery but are no query).
        text_of_spectrum: (n,) integers, the row of each spectrum's text.
        chunk_size: rows of a block of scores.

    Returns:
        `{"spectrum_to_text": MatchRanks, "text_to_spectrum": MatchRanks}`.

    Raises:
        ValueError: for empty input, shapes that do not fit, an index outside the texts, NaN or
            infinity.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    spectra = _quantise(spectrum_embeds, "spectrum_embeds", chunk_size)
    texts = _quantise(text_embeds, "text_embeds", chunk_size)
    if spectra.shape[1] != texts.shape[1]:
        raise ValueError(
            f"spectrum_embeds have {spectra.shape[1]} dimensions and text_embeds {texts.shape[1]}: "
            "both must come from the shared space of one model"
        )
    owner = _check_index(text_of_spectrum, len(spectra), len(texts))
    # The scores of the right pairs come first: all others are compared with them.
    right = np.empty(len(spectra))
    for start in range(0, len(spectra), chunk_size):
        rows = slice(start, start + chunk_size)
        right[rows] = np.einsum(
            "ij,ij->i", spectra[rows].astype(np.float64), texts[owner[rows]].astype(np.float64)
        )
    counts = _Counts(right, owner, len(texts))
    for start in range(0, len(spectra), chunk_size):
        rows = slice(start, start + chunk_size)
        queries = spectra[rows].astype(np.float64)
        for first in range(0, len(texts), chunk_size):
            columns = slice(first, first + chunk_size)
            counts.add(queries @ texts[columns].astype(np.float64).T, rows, columns)
    return counts.ranks()


def score_ranks(scores: Any, text_of_spectrum: Any) -> dict[str, MatchRanks]:
    """Rank the right answer of every query by a matrix of scores, in both directions.

    For scores other than a cosine, such as a likelihood.

    Args:
        scores: (n, m) of spectra and distinct texts, larger is better; both directions read the
            same matrix.
        text_of_spectrum: (n,) integers, the column of each spectrum's text.

    Returns:
        As `match_ranks`.

    Raises:
        ValueError: for an empty or wrong shape, an index outside the texts, or NaN.
    """
    matrix = to_array(scores)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"scores must have shape (n, m) with n and m above 0, not {matrix.shape}")
    if np.isnan(matrix).any():
        raise ValueError("scores hold NaN")
    owner = _check_index(text_of_spectrum, *matrix.shape)
    counts = _Counts(matrix[np.arange(len(matrix)), owner], owner, matrix.shape[1])
    counts.add(matrix, slice(None), slice(None))
    return counts.ranks()


class _Counts:
    """Numbers of scores above and equal to those of the right pairs, by row and by column.

    Args:
        right: (n,) score of each spectrum with its text.
        owner: (n,) the text of each spectrum.
        n_texts: number of texts m.
    """

    def __init__(self, right: np.ndarray, owner: np.ndarray, n_texts: int):
        self.right, self.owner = right, owner
        self.best = np.full(n_texts, -np.inf)  # of all spectra of a text
        np.maximum.at(self.best, owner, right)
        self.row_greater, self.row_tied = np.zeros((2, len(right)), dtype=np.int64)
        self.column_greater, self.column_tied = np.zeros((2, n_texts), dtype=np.int64)

    def add(self, scores: np.ndarray, rows: slice, columns: slice) -> None:
        """Count a block of scores."""
        right, best = self.right[rows, None], self.best[columns]
        self.row_greater[rows] += _count_true(scores > right, axis=1)
        self.row_tied[rows] += _count_true(scores == right, axis=1)
        self.column_greater[columns] += _count_true(scores > best, axis=0)
        self.column_tied[columns] += _count_true(scores == best, axis=0)

    def ranks(self) -> dict[str, MatchRanks]:
        """Return the ranks in both directions, once every block is counted."""
        n, m = len(self.right), len(self.best)
        one = np.ones(n, dtype=np.int64)
        right = np.bincount(self.owner, minlength=m)
        is_best = self.right == self.best[self.owner]
        tied_right = np.bincount(self.owner[is_best], minlength=m)
        queries = np.flatnonzero(right)
        return {
            "spectrum_to_text": MatchRanks(
                np.arange(n), self.row_greater, self.row_tied, one, one, m
            ),
            "text_to_spectrum": MatchRanks(
                queries,
                self.column_greater[queries],
                self.column_tied[queries],
                tied_right[queries],
                right[queries],
                n,
            ),
        }


def _any_within(total: np.ndarray, right: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return P(at least one of `right` among `total` in random order is in the first `top`).

    1 − C(total − right, top) / C(total, top), as a product of `right` factors.
    """
    top = np.clip(top, 0, total)
    missed = np.ones(len(total))
    if int(right.max(initial=0)) == 1:
        return top / total  # exact, without the rounding of a difference
    for step in range(int(right.max(initial=0))):
        more = right > step
        missed[more] *= np.maximum(total - top - step, 0)[more] / (total - step)[more]
    return 1.0 - missed


def _count_true(mask: np.ndarray, axis: int) -> np.ndarray:
    # About three times as fast as count_nonzero along an axis.
    return np.add.reduce(mask.view(np.uint8), axis=axis, dtype=np.int64)


def to_array(values: Any) -> np.ndarray:
    """Return an array or tensor as a NumPy array."""
    if hasattr(values, "detach"):  # a tensor, possibly on an accelerator or in bfloat16
        values = values.detach().cpu()
        values = values.float() if values.dtype.is_floating_point else values
        values = values.numpy()
    return np.asarray(values)


def _quantise(values: Any, name: str, chunk_size: int) -> np.ndarray:
    """Return unit vectors as int32 multiples of 2⁻²⁶ (see the top of the file)."""
    vectors = to_array(values)
    if vectors.ndim != 2 or vectors.size == 0:
        raise ValueError(f"{name} must have shape (n, D) with n and D above 0, not {vectors.shape}")
    result = np.empty(vectors.shape, dtype=np.int32)
    for start in range(0, len(vectors), chunk_size):
        block = vectors[start : start + chunk_size].astype(np.float64)
        if not np.isfinite(block).all():
            row = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise ValueError(
                f"{name} row {row} holds NaN or infinity: the model that made it has diverged, "
                "or its input was not finite"
            )
        # The largest component first, so that tiny or huge vectors neither under- nor overflow.
        block /= np.maximum(np.abs(block).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        norm = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        result[start : start + chunk_size] = np.rint(block / np.where(norm > 0, norm, 1) * _SCALE)
    return result


def _check_index(values: Any, n: int, m: int) -> np.ndarray:
    owner = to_array(values)
    if owner.shape != (n,) or not np.issubdtype(owner.dtype, np.integer):
        raise ValueError(
            f"text_of_spectrum must be {n} integers, one for each spectrum, "
            f"not {owner.dtype} {owner.shape}"
        )
    if owner.min() < 0 or owner.max() >= m:
        raise ValueError(
            f"text_of_spectrum runs from {owner.min()} to {owner.max()}, but there are {m} texts"
        )
    return owner.astype(np.int64)


__all__ = ["MatchRanks", "match_ranks", "score_ranks", "to_array"]
