"""ROC-AUC with its interval over groups."""

from __future__ import annotations

from collections.abc import Callable

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
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise ValueError(f"scores {scores.shape} and positive {positive.shape} must be (n,) both")
    if not np.isfinite(scores).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(scores))[0])} is not finite")
    if positive.all() or not positive.any():
        raise ValueError("positive and negative rows are needed, and all have one label")
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

    return {**weighted_figure(area, len(scores), bootstrap), "chance": 0.5}


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
    if bootstrap is None or bootstrap.n_groups < 2:
        return {"value": value, "low": float("nan"), "high": float("nan")}
    draws = [statistic(weights) for weights in bootstrap.row_weights()]
    return bootstrap.figure(value, np.concatenate(draws))


__all__ = ["roc_auc", "weighted_figure"]
