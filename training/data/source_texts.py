"""Texts of the same source."""

from __future__ import annotations

from typing import Literal

import numpy as np

from specclip_training.data.pairs import SplitArrays

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


class SourceTexts:
    """Texts of the sources of a split.

    Args:
        split: rows with the column `source_name`.
        further: (k, 2) int64, texts with further texts about their sources (`Texts.further`).

    Attributes:
        labels: (n,) int64, equal for rows that are positives of each other: those of a source, or
            of a text, where several sources share one of their texts.
    """

    def __init__(self, split: SplitArrays, further: np.ndarray | None = None):
        names = split.table["source_name"].combine_chunks().dictionary_encode()
        source = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        pairs = np.unique(np.column_stack([source, split.text_ids]), axis=0)
        if further is not None:
            further = further[np.argsort(further[:, 0], kind="stable")]
            start, stop = (np.searchsorted(further[:, 0], pairs[:, 1], side) for side in _SIDES)
            count = stop - start
            place = np.arange(count.sum()) + np.repeat(start - (np.cumsum(count) - count), count)
            added = np.column_stack([np.repeat(pairs[:, 0], count), further[place, 1]])
            pairs = np.unique(np.concatenate([pairs, added]), axis=0)
        sources, self._texts = pairs.T
        texts = self._texts
        self._first, stop = (np.searchsorted(sources, source, side) for side in _SIDES)
        self._count = stop - self._first
        shared = np.bincount(texts)[texts] > 1
        sharing = np.bincount(sources, weights=shared)[source] > 0
        self.labels = np.where(sharing, split.text_ids, -1 - source)

    def draw(self, rows: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw two texts of the source of each row; the same twice where there is no other.

        Args:
            rows: (B,) of the split.
            numbers: (B, 2) uniform in [0, 1), that choose.
        """
        first, count = self._first[rows], self._count[rows]
        one = np.floor(numbers[:, 0] * count).astype(np.int64)
        step = np.where(count > 1, 1 + np.floor(numbers[:, 1] * (count - 1)), 0).astype(np.int64)
        return self._texts[first + one], self._texts[first + (one + step) % count]
