"""Texts of the same source."""

from __future__ import annotations

import numpy as np

from specclip_training.data.pairs import SplitArrays


class SourceTexts:
    """Texts of the sources of a split.

    Args:
        split: rows with the column `source_name`.

    Attributes:
        labels: (n,) int64, equal for rows that are positives of each other: those of a source, or
            of a text, where several sources share one of their texts.
    """

    def __init__(self, split: SplitArrays):
        names = split.table["source_name"].combine_chunks().dictionary_encode()
        source = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._texts = np.unique(np.column_stack([source, split.text_ids]), axis=0)
        sources, texts = self._texts.T
        self._first, stop = (np.searchsorted(sources, source, side) for side in ("left", "right"))
        self._count = stop - self._first
        keys = self._texts @ [split.text_ids.max(initial=0) + 1, 1]
        self._place = np.searchsorted(keys, keys[self._first] - texts[self._first] + split.text_ids)
        shared = np.bincount(texts)[texts] > 1
        sharing = np.bincount(sources, weights=shared)[source] > 0
        self.labels = np.where(sharing, split.text_ids, -1 - source)

    def another(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return another text of the source of each row (its own, where there is no other).

        Args:
            rows: (B,) of the split.
            numbers: (B,) uniform in [0, 1), that choose.
        """
        first, count = self._first[rows], self._count[rows]
        step = np.where(count > 1, 1 + np.floor(numbers * (count - 1)), 0).astype(np.int64)
        return self._texts[first + (self._place[rows] - first + step) % count, 1]
