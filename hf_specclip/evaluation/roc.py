"""How well a score sets a few rows apart from the rest, with intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap


def roc_auc(
    scores: np.ndarray, positive: np.ndarray, bootstrap: GroupBootstrap | None = None
) -> dict[str, float]:
    """Area under the receiver operating characteristic: the chance that a positive scores higher.

    Ties count one half. Draws of the bootstrap that took no positive, or nothing else, say nothing
    and are left out.

    Args:
        scores: (n,) finite.
        positive: (n,) bool.
        bootstrap: over the groups of the same rows; without one the interval is nan.

    Returns:
        `value`, `low`, `high`, `chance` (0.5).

    Raises:
        ValueError: when a score is not finite, or all rows are of one kind.
    """
    return {**weighted_figure(auc_of(scores, positive), len(scores), bootstrap), "chance": 0.5}


def auc_of(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The area under the curve as a function of row weights, for `weighted_figure`.

    Args:
        scores, positive: see `roc_auc`.

    Returns:
        From weights (draws, n) to areas (draws,), nan for a draw without rows of both kinds.

    Raises:
        ValueError: see `roc_auc`.
    """
    scores, positive = _checked(scores, positive)
    values, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))

    def area(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order].astype(np.float64)
        right = np.add.reduceat(ordered * positive[order], starts, axis=1)
        wrong = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
        below = np.cumsum(wrong, axis=1) - 0.5 * wrong
        pairs = right.sum(axis=1) * wrong.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs > 0, (right * below).sum(axis=1) / pairs, np.nan)

    return area


def recall_at_top(
    scores: np.ndarray,
    positive: np.ndarray,
    fraction: float,
    bootstrap: GroupBootstrap | None = None,
) -> dict[str, float]:
    """Share of the positives among the highest-scoring rows.

    The top holds ⌈fraction · n⌉ rows; rows that tie for its last places share them.

    Args:
        scores: (n,) finite.
        positive: (n,) bool.
        fraction: of the rows that are looked at, above 0 and at most 1.
        bootstrap: see `roc_auc`; each draw has a top of its own.

    Returns:
        `value`, `low`, `high`; `chance`, the share of the rows looked at; and `most`, what a
        perfect score would reach, below 1 where there are more positives than places.

    Raises:
        ValueError: as `roc_auc`, and for a fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, not {fraction}")
    scores, positive = _checked(scores, positive)
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    starts = np.flatnonzero(np.r_[True, np.diff(falling) > 0])

    def recall(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order].astype(np.float64)
        tied = np.add.reduceat(ordered, starts, axis=1)
        right = np.add.reduceat(ordered * positive[order], starts, axis=1)
        above = np.cumsum(tied, axis=1) - tied
        places = np.ceil(fraction * tied.sum(axis=1, keepdims=True) - 1e-9)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip((places - above) / tied, 0.0, 1.0)
            share = np.where(tied > 0, share, 0.0)
            return (right * share).sum(axis=1) / right.sum(axis=1)

    places = int(np.ceil(fraction * len(scores) - 1e-9))
    return {
        **weighted_figure(recall, len(scores), bootstrap),
        "chance": places / len(scores),
        "most": min(1.0, places / int(positive.sum())),
    }


def weighted_figure(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    bootstrap: GroupBootstrap | None,
) -> dict[str, float]:
    """A statistic of weighted rows, and its interval over the draws of a bootstrap.

    Args:
        statistic: from row weights (draws, n) to one number for each draw; nan where a draw says
            nothing.
        n: number of rows.
        bootstrap: over their groups; None, or a single group, gives an interval of nan.

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
    values, kinds = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.ndim != 1 or values.shape != kinds.shape:
        raise ValueError(f"scores {values.shape} and positive {kinds.shape} must be (n,) both")
    if not np.isfinite(values).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
    if kinds.all() or not kinds.any():
        raise ValueError("rows of both kinds are needed to tell them apart")
    return values, kinds


__all__ = ["auc_of", "recall_at_top", "roc_auc", "weighted_figure"]
