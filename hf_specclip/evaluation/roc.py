"""ROC-AUC with its interval over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap


def roc_auc(
    scores: np.ndarray, positive: np.ndarray, bootstrap: GroupBootstrap | None = None
) -> dict[str, float]:
    """Compute the area under the receiver operating characteristic curve.

    Ties count one half. Bootstrap draws without rows of both labels are left out.

    Args:
        scores: (n,) finite.
        positive: (n,) bool.
        bootstrap: over the groups of the same rows; without one the interval is nan.

    Returns:
        `value`, `low`, `high`, `chance` (0.5).

    Raises:
        ValueError: when a score is not finite, or all rows have one label.
    """
    return {**weighted_figure(auc_of(scores, positive), len(scores), bootstrap), "chance": 0.5}


def auc_of(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the area under the curve as a function of row weights, for `weighted_figure`.

    Args:
        scores, positive: see `roc_auc`.

    Returns:
        From weights (draws, n) to areas (draws,), nan for a draw without rows of both labels.

    Raises:
        ValueError: see `roc_auc`.
    """
    scores, positive = _checked(scores, positive)
    values, rank = np.unique(scores, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], np.arange(len(values)))

    def area(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order].astype(np.float64)
        right = np.add.reduceat(ordered * positive[order], starts, axis=1)
        wrong = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
        below = np.cumsum(wrong, axis=1) - 0.5 * wrong
        pairs = right.sum(axis=1) * wrong.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs > 0, (right * below).sum(axis=1) / pairs, np.nan)

    return area


def weighted_figure(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    bootstrap: GroupBootstrap | None,
) -> dict[str, float]:
    """Compute a statistic of weighted rows, and its interval over the draws of a bootstrap.

    Args:
        statistic: from row weights (draws, n) to one number for each draw; nan where undefined.
        n: number of rows.
        bootstrap: over their groups; None or a single group gives an interval of nan.

    Returns:
        `value`, `low`, `high`.
    """
    value = float(statistic(np.ones((1, n), dtype=np.int64))[0])
    low = high = float("nan")
    if bootstrap is not None and bootstrap.n_groups > 1:
        draws = np.concatenate([statistic(weights) for weights in bootstrap.row_weights()])
        draws = draws[np.isfinite(draws)]
        if len(draws):
            low, high = (float(edge) for edge in bootstrap.interval(draws))
    return {"value": value, "low": low, "high": high}


def _checked(
    scores: Sequence[float] | np.ndarray, positive: Sequence[Any] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(f"scores {values.shape} and positive {labels.shape} must be (n,) both")
    if not np.isfinite(values).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
    if labels.all() or not labels.any():
        raise ValueError("positive and negative rows are needed, and all have one label")
    return values, labels


__all__ = ["auc_of", "roc_auc", "weighted_figure"]
