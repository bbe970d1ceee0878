"""Evaluation of physical variables: errors, gains over a baseline, coverage of intervals.

The mean absolute error is that of arXiv 2603.04516 (its table 3); its gain is the mean over the
variables of 1 − MAE / MAE of the baseline. Intervals come from resampling whole groups, and two
methods are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap

# What the predictions are compared with -> name of the gain.
_GAINS = {"baseline": "gain", "guess": "gain_over_guess"}


def evaluate_regression(
    predictions: Any,
    targets: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    variables: Sequence[str],
    baseline: Any = None,
    guess: Any = None,
    n_bootstrap: int = 1000,
) -> dict[str, Any]:
    """Compute the mean absolute error of each variable, and the gain over a baseline.

    Args:
        predictions: (n, v) in the units of the targets.
        targets: (n, v), nan where unknown; such entries are ignored.
        groups: (n,) group label of each row, the unit of resampling; None resamples rows.
        variables: (v,) names.
        baseline: (n, v) predictions to compare with, such as those from spectra alone; or None.
        guess: (v,) a constant estimate to compare with, such as the training median; or None.
        n_bootstrap: number of bootstrap draws.

    Returns:
        `{"variables": {name: …}, "mean_gain": …, "mean_gain_over_guess": …}`. For each variable
        `n`, `mae` `{"value", "low", "high"}`, `spearman` (None where it is not defined), and where
        given `guess` and `baseline` (their MAE), `gain` and `gain_over_guess` `{"value", "low",
        "high"}`, fractions: 0.1 is an error ten per cent smaller. The mean gain is over the
        variables that have a gain. A variable without known rows has `n` 0 and nothing else.

    Raises:
        ValueError: for shapes that do not fit, or predictions that are missing for a known target.

    Examples:
        >>> result = evaluate_regression(moe, truth, groups, variables=names, baseline=knn)
        >>> result["mean_gain"]
        {'value': 0.17, 'low': 0.14, 'high': 0.2}
    """
    truth = _to_matrix(targets, "targets")
    known = np.isfinite(truth)
    methods = {"predictions": _to_matrix(predictions, "predictions")}
    if baseline is not None:
        methods["baseline"] = _to_matrix(baseline, "baseline")
    if guess is not None:
        methods["guess"] = np.broadcast_to(np.asarray(guess, np.float64), truth.shape)
    _check_methods(methods, known, variables)
    bootstrap = _bootstrap(groups, len(truth), n_bootstrap)
    # Every method and variable sees the same draws; the mean of a variable is over the rows of the
    # draw where it is known.
    target = np.where(known, truth, 0)
    mae = {
        name: bootstrap.ratios(np.where(known, np.abs(values - target), 0.0), known)
        for name, values in methods.items()
    }
    result: dict[str, Any] = {"variables": {}}
    gains: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in _GAINS}
    for column, variable in enumerate(variables):
        rows = known[:, column]
        entry: dict[str, Any] = {"n": int(rows.sum())}
        result["variables"][variable] = entry
        if not rows.any():
            continue
        errors = {name: (value[column], drawn[:, column]) for name, (value, drawn) in mae.items()}
        value, drawn = errors.pop("predictions")
        entry["mae"] = bootstrap.figure(value, drawn)
        entry["spearman"] = _spearman(methods["predictions"][rows, column], truth[rows, column])
        for name, (other, others) in errors.items():
            entry[name] = float(other)
            if other > 0:
                with np.errstate(divide="ignore", invalid="ignore"):
                    gains[name].append((1 - value / other, 1 - drawn / others))
                entry[_GAINS[name]] = bootstrap.figure(*gains[name][-1])
    for name, pairs in gains.items():
        if pairs:
            changes = np.stack([change for _, change in pairs])
            with np.errstate(invalid="ignore"):
                means = np.nanmean(np.where(np.isfinite(changes), changes, np.nan), axis=0)
            gain = np.mean([gain for gain, _ in pairs])
            result[f"mean_{_GAINS[name]}"] = bootstrap.figure(gain, means)
    return result


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
) -> dict[str, Any]:
    """Compute the coverage of intervals: overall, by variable and by subset.

    Args:
        lower, upper: (n, v) ends of the intervals, inclusive.
        targets: (n, v), nan where a variable is unknown.
        groups, n_bootstrap: as for `evaluate_regression`.
        variables: (v,) names.
        nominal: nominal coverage, between 0 and 1.
        by: name -> (n,) bool, subsets of the rows (bright and faint, say).

    Returns:
        `{"nominal", "overall", "variables": {name: …}, "by": {name: …}}`, each a dict of `value`,
        `low`, `high`, `n` (entries behind it) and `holds`: True if it is within 3 percentage points
        of the nominal coverage, or the latter within its interval. `overall` and `by` are means
        over all known entries. None where nothing is known.

    Raises:
        ValueError: for shapes that do not fit, or a lower end above an upper one.
    """
    low, high, truth = (
        _to_matrix(values, name)
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
    bootstrap = _bootstrap(groups, len(truth), n_bootstrap)
    masks = {name: np.asarray(rows, bool) for name, rows in (by or {}).items()}
    # Column by column: each variable, then everything, then the subsets.
    rows = np.stack([np.ones(len(truth), bool), *masks.values()], axis=1)
    hits, total = (
        np.concatenate([entries, entries.sum(axis=1, keepdims=True) * rows], axis=1)
        for entries in (inside, known)
    )
    value, draws = bootstrap.ratios(hits, total)

    def figure(column: int) -> dict[str, Any] | None:
        if not total[:, column].any():
            return None
        entry = bootstrap.figure(value[column], draws[:, column])
        near = abs(entry["value"] - nominal) <= 0.03
        return {
            **entry,
            "n": int(total[:, column].sum()),
            "holds": bool(near or entry["low"] <= nominal <= entry["high"]),
        }

    overall = len(variables)
    return {
        "nominal": nominal,
        "overall": figure(overall),
        "variables": {name: figure(column) for column, name in enumerate(variables)},
        "by": {name: figure(column) for column, name in enumerate(masks, start=overall + 1)},
    }


def _bootstrap(groups: Any, n: int, n_bootstrap: int) -> GroupBootstrap:
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups are {labels.shape}, they must be one label for each row")
    return GroupBootstrap(labels, n_bootstrap)


def _check_methods(
    methods: dict[str, np.ndarray], known: np.ndarray, variables: Sequence[str]
) -> None:
    shape = (len(known), len(variables))
    for name, values in methods.items():
        if not values.shape == known.shape == shape:
            raise ValueError(
                f"{name} have shape {values.shape} and targets {known.shape}, both must be (n, "
                f"{len(variables)}): one column for each of the variables"
            )
        missing = known & ~np.isfinite(values)
        if missing.any():
            row, column = np.argwhere(missing)[0]
            raise ValueError(
                f"{name} of {variables[column]} is not finite in row {row}, where its target is "
                "known: predict it, or leave the variable out"
            )


def _spearman(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the rank correlation; None for a constant or fewer than three rows."""
    from scipy.stats import spearmanr

    if len(predicted) < 3 or np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return None
    return float(spearmanr(predicted, truth).statistic)


def _to_matrix(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, on any device
        values = values.detach().cpu().double().numpy()
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"{name} must be (rows, variables), not {matrix.shape}")
    return matrix


__all__ = ["evaluate_coverage", "evaluate_regression"]
