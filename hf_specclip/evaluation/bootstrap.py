"""Bootstrap over groups.

Detections of one source, one field or one paper are not independent, so groups are drawn with
replacement, never rows (a cluster bootstrap: Davison & Hinkley 1997, §3.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Integers held at once while medians are taken: 32 MB.
_ENTRIES_AT_ONCE = 1 << 22


class GroupBootstrap:
    """Bootstrap draws of groups, shared by every statistic of one set of rows.

    Args:
        groups: (n,) the group of each row; anything `numpy.unique` takes.
        n_bootstrap: number of draws.
        seed: of the draws; the same seed and groups give the same intervals.

    Attributes:
        n_groups: number of distinct groups.

    Raises:
        ValueError: for no rows, or fewer than one draw.
    """

    def __init__(self, groups: Sequence[Any] | np.ndarray, n_bootstrap: int = 1000, seed: int = 0):
        labels = np.asarray(groups)
        if labels.ndim != 1 or len(labels) == 0:
            raise ValueError(f"groups must be one label for each row, not shape {labels.shape}")
        if n_bootstrap < 1:
            raise ValueError(f"n_bootstrap must be at least 1, not {n_bootstrap}")
        names, index = np.unique(labels, return_inverse=True)
        self.n_groups = len(names)
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self._index = index.astype(np.int64)
        self._sizes = np.bincount(self._index, minlength=self.n_groups).astype(np.float64)

    def weights(self, entries: int = _ENTRIES_AT_ONCE) -> Iterator[np.ndarray]:
        """Yield how often each draw took each group: blocks (draws, n_groups) of int64.

        The draws are the same at every call and for every size of block. They are not kept, because
        a million groups would take gigabytes.
        """
        rng = np.random.default_rng(self.seed)
        rows = max(1, entries // self.n_groups)
        for start in range(0, self.n_bootstrap, rows):
            shape = (min(rows, self.n_bootstrap - start), self.n_groups)
            drawn = rng.integers(self.n_groups, size=shape)
            drawn += np.arange(shape[0])[:, None] * self.n_groups
            yield np.bincount(drawn.ravel(), minlength=shape[0] * shape[1]).reshape(shape)

    def row_weights(self) -> Iterator[np.ndarray]:
        """Yield how often each draw took each row: blocks (draws, n) of int64."""
        entries = max(1, _ENTRIES_AT_ONCE // len(self._index)) * self.n_groups
        for weights in self.weights(entries):
            yield weights[:, self._index]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Compute the mean of each draw: (n,) or (n, c) -> (n_bootstrap,) or (n_bootstrap, c)."""
        values = np.asarray(values, dtype=np.float64)
        columns = values.reshape(len(self._index), -1)
        sums = np.stack(
            [np.bincount(self._index, weights=c, minlength=self.n_groups) for c in columns.T],
            axis=1,
        )
        result = np.concatenate([(w @ sums) / (w @ self._sizes)[:, None] for w in self.weights()])
        return result[:, 0] if values.ndim == 1 else result

    def medians(self, values: np.ndarray) -> np.ndarray:
        """Compute the median of each draw, as `numpy.median`: (n,) -> (n_bootstrap,)."""
        values = np.asarray(values, dtype=np.float64)
        order = np.argsort(values, kind="stable")
        ordered, index = values[order], self._index[order]
        result = []
        # Blocks are sized by rows, which are at least as many as groups.
        entries = _ENTRIES_AT_ONCE // len(values) * self.n_groups
        for weights in self.weights(entries):
            for cumulative in np.cumsum(weights[:, index], axis=1):
                total = int(cumulative[-1])
                # The two middle values of the draw with its repeats.
                middle = np.searchsorted(cumulative, [(total - 1) // 2, total // 2], side="right")
                result.append(ordered[middle].mean())
        return np.array(result)

    def interval(self, draws: np.ndarray) -> tuple[Any, Any]:
        """Return the 95 % interval over draws (n_bootstrap, …)."""
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        return low, high

    def figure(self, value: Any, draws: np.ndarray) -> dict[str, float]:
        """Return `value`, `low` and `high`: a statistic with the interval over its finite draws.

        The ends are nan where no draw is finite.
        """
        finite = draws[np.isfinite(draws)]
        low, high = self.interval(finite) if len(finite) else (np.nan, np.nan)
        return {"value": float(value), "low": float(low), "high": float(high)}

    def ratios(self, parts: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Divide the sums of two arrays (n, c): (c,) over all rows, (n_bootstrap, c) by draw.

        Such as a mean over known entries; nan where there are none.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return parts.sum(axis=0) / totals.sum(axis=0), self.means(parts) / self.means(totals)


__all__ = ["GroupBootstrap"]
