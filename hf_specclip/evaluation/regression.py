"""How well physical variables are estimated: errors, gains over a baseline, coverage of intervals.

The mean absolute error is that of arXiv 2603.04516 (its table 3); its gain is the mean over the
variables of 1 − MAE / MAE of the baseline. Intervals come from resampling whole groups, and two
methods are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap


def evaluate_regression(
    predictions: Any,
    targets: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    variables: Sequence[str],
    baseline: Any = None,
    guess: Any = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Mean absolute error of each variable, and the gain over a baseline.

    Args:
        predictions: (n, v) in the units of the targets.
        targets: (n, v), nan where a variable is not known; such entries count for nothing.
        groups: (n,) label of the group of each row, the unit of resampling; None for the row.
        variables: (v,) their names.
        baseline: (n, v) predictions to compare with (spectra alone, say), or None.
        guess: (v,) what one would say without any data: the training median; or None.
        n_bootstrap: draws of the bootstrap.
        seed: of the draws.
        level: probability inside the intervals.

    Returns:
        `{"variables": {name: …}, "mean_gain": …, "mean_gain_over_guess": …}`. For each variable
        `n`, `mae` `{"value", "low", "high"}`, `spearman` (None where it is not defined), and where
        given `guess` and `baseline` (their MAE), `gain` and `gain_over_guess` `{"value", "low",
        "high"}`, fractions: 0.1 is an error ten per cent smaller. The mean gain is over the
        variables that have a gain. A variable that is known nowhere has `n` 0 and nothing else.

    Raises:
        ValueError: for shapes that do not fit, or predictions that are missing for a known target.

    Example:
        >>> found = evaluate_regression(moe, truth, groups, variables=names, baseline=knn)
        >>> found["mean_gain"]
        {'value': 0.17, 'low': 0.14, 'high': 0.2}
    """
    said, truth = _matrix(predictions, "predictions"), _matrix(targets, "targets")
    count = len(variables)
    if said.shape != truth.shape or truth.shape[1] != count:
        raise ValueError(
            f"predictions are {said.shape} and targets {truth.shape}, they must both be (n, "
            f"{count}): one column for each of the variables"
        )
    others: dict[str, np.ndarray] = {}
    if baseline is not None:
        others["baseline"] = _matrix(baseline, "baseline")
    if guess is not None:
        others["guess"] = np.broadcast_to(np.asarray(guess, np.float64), truth.shape)
    for name, values in others.items():
        if values.shape != truth.shape:
            raise ValueError(f"{name} is {values.shape}, it must be {truth.shape}")
    known = np.isfinite(truth)
    for name, values in {"predictions": said, **others}.items():
        lost = known & ~np.isfinite(values)
        if lost.any():
            row, column = np.argwhere(lost)[0]
            raise ValueError(
                f"{name} of {variables[column]} is not finite in row {row}, where its target is "
                "known: predict it, or leave the variable out"
            )
    labels = np.arange(len(truth)) if groups is None else np.asarray(groups)
    if labels.shape != (len(truth),):
        raise ValueError(f"groups are {labels.shape}, they must be one label for each row")
    bootstrap = GroupBootstrap(labels, n_bootstrap=n_bootstrap, seed=seed, level=level)
    # Sums over the groups of a draw, so that every method and variable sees the same draws; a
    # variable's mean is over the rows of the draw where it is known.
    share = bootstrap.means(known.astype(np.float64))
    methods = {"predictions": said, **others}
    wrong = {name: np.where(known, np.abs(v - np.where(known, truth, 0)), 0.0) for name, v in
             methods.items()}  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = {name: bootstrap.means(error) / share for name, error in wrong.items()}
        mae = {name: error.sum(axis=0) / known.sum(axis=0) for name, error in wrong.items()}
    found: dict[str, Any] = {"variables": {}}
    gains: dict[str, list[tuple[float, np.ndarray]]] = {"baseline": [], "guess": []}
    for column, variable in enumerate(variables):
        rows = int(known[:, column].sum())
        entry: dict[str, Any] = {"n": rows}
        found["variables"][variable] = entry
        if not rows:
            continue
        entry["mae"] = _figure(
            mae["predictions"][column], draws["predictions"][:, column], bootstrap
        )
        entry["spearman"] = _spearman(
            said[known[:, column], column], truth[known[:, column], column]
        )
        for name, gain in (("baseline", "gain"), ("guess", "gain_over_guess")):
            if name not in others:
                continue
            entry[name] = float(mae[name][column])
            if mae[name][column] <= 0:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                change = 1 - draws["predictions"][:, column] / draws[name][:, column]
            value = float(1 - mae["predictions"][column] / mae[name][column])
            entry[gain] = _figure(value, change, bootstrap)
            gains[name].append((value, change))
    for name, key in (("baseline", "mean_gain"), ("guess", "mean_gain_over_guess")):
        if gains[name]:
            with np.errstate(invalid="ignore"):
                together = np.nanmean(_finite(np.stack([d for _, d in gains[name]])), axis=0)
            found[key] = _figure(float(np.mean([v for v, _ in gains[name]])), together, bootstrap)
    return found


def evaluate_coverage(
    lower: Any,
    upper: Any,
    targets: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    variables: Sequence[str],
    nominal: float,
    by: Mapping[str, np.ndarray] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """How often intervals hold the truth, overall, by variable and by subset of the rows.

    Args:
        lower, upper: (n, v) ends of the intervals, which belong to them.
        targets: (n, v), nan where a variable is not known.
        groups, n_bootstrap, seed, level: as for `evaluate_regression`.
        variables: (v,) names.
        nominal: what the intervals promise, between 0 and 1.
        by: name -> (n,) bool, subsets of the rows (bright and faint, say).

    Returns:
        `{"nominal", "overall", "variables": {name: …}, "by": {name: …}}`, each a dict of `value`,
        `low`, `high`, `n` (entries behind it) and `holds`: whether it is within 3 points of what
        was promised, or what was promised is within its interval. `overall` and `by` are means over
        all known entries. None where nothing is known.

    Raises:
        ValueError: for shapes that do not fit, or a lower end above an upper one.
    """
    low, high, truth = (
        _matrix(values, name)
        for values, name in ((lower, "lower"), (upper, "upper"), (targets, "targets"))
    )
    if not low.shape == high.shape == truth.shape or truth.shape[1] != len(variables):
        raise ValueError(
            f"lower {low.shape}, upper {high.shape} and targets {truth.shape} must all be (n, "
            f"{len(variables)})"
        )
    known = np.isfinite(truth)
    if (known & ~(low <= high)).any():
        raise ValueError("a lower end is above its upper end, or one of them is nan")
    inside = known & (low <= truth) & (truth <= high)
    labels = np.arange(len(truth)) if groups is None else np.asarray(groups)
    bootstrap = GroupBootstrap(labels, n_bootstrap=n_bootstrap, seed=seed, level=level)
    masks = {name: np.asarray(rows, bool) for name, rows in (by or {}).items()}
    # Column by column: each variable, then everything, then the subsets.
    pairs = [(inside[:, c], known[:, c]) for c in range(len(variables))]
    pairs.append((inside.sum(axis=1), known.sum(axis=1)))
    pairs += [(inside.sum(axis=1) * m, known.sum(axis=1) * m) for m in masks.values()]
    hits = np.stack([p[0] for p in pairs], axis=1).astype(np.float64)
    total = np.stack([p[1] for p in pairs], axis=1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = bootstrap.means(hits) / bootstrap.means(total)
        value = hits.sum(axis=0) / total.sum(axis=0)

    def figure(column: int) -> dict[str, Any] | None:
        if not total[:, column].any():
            return None
        entry = _figure(value[column], draws[:, column], bootstrap)
        near = abs(entry["value"] - nominal) <= 0.03
        return {
            **entry,
            "n": int(total[:, column].sum()),
            "holds": bool(near or entry["low"] <= nominal <= entry["high"]),
        }

    count = len(variables)
    return {
        "nominal": nominal,
        "overall": figure(count),
        "variables": {name: figure(c) for c, name in enumerate(variables)},
        "by": {name: figure(count + 1 + place) for place, name in enumerate(masks)},
    }


def _figure(value: float, draws: np.ndarray, bootstrap: GroupBootstrap) -> dict[str, float]:
    drawn = draws[np.isfinite(draws)]  # a draw may hold no row where the variable is known
    low, high = bootstrap.interval(drawn) if len(drawn) else (value, value)
    return {"value": float(value), "low": float(low), "high": float(high)}


def _finite(draws: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(draws), draws, np.nan)


def _spearman(said: np.ndarray, truth: np.ndarray) -> float | None:
    """Rank correlation, ties at their mean rank; None for a constant or fewer than three."""
    if len(said) < 3 or np.ptp(said) == 0 or np.ptp(truth) == 0:
        return None
    return float(np.corrcoef(_ranks(said), _ranks(truth))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _matrix(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, wherever it is
        values = values.detach().cpu().double().numpy()
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"{name} must be (rows, variables), not {matrix.shape}")
    return matrix


__all__ = ["evaluate_coverage", "evaluate_regression"]
