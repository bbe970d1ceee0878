"""Fit of probes to labelled spectra, measured across groups.

Shrinkage or penalty and the calibration come from folds over groups; every figure of the report
comes from further folds around that choice, whose rows no part of it has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..evaluation.bootstrap import GroupBootstrap
from ..evaluation.latent_probes import balanced_accuracy, explained_variance
from ..evaluation.roc import weighted_figure
from .probe import (
    FAR_PERCENTILE,
    INPUTS,
    SpecCLIPProbe,
    SpecCLIPProbeError,
    class_probabilities,
    squared_distances,
    stack_inputs,
)
from .zero_shot import calibration_error, fit_temperature

MIN_EXAMPLES, MIN_GROUPS, MIN_NUMBERS = 5, 3, 20
SHRINKAGES = (0.01, 0.1, 0.3, 0.6, 0.9)
PENALTIES = tuple(np.logspace(-1, 5, 13))
_FOLDS, _INNER_FOLDS, _SEED = 5, 3, 0
_QUANTILES = 1001
# `fit_temperature` looks from 0.01 to 10; log densities of Gaussians want up to 100.
_LOGIT_UNIT = 10.0
# A positive column whose inner 90 % spans more than this factor is fitted by its logarithm.
_LOG_SPAN = 30.0


class _Setting(NamedTuple):
    """Number of columns that Gaussians read, and shrinkage of their covariance."""

    width: int
    shrinkage: float


def _settings(x: np.ndarray, widths: Mapping[str, int]) -> list[_Setting]:
    """Return the settings to choose from: the embedding alone, or all representations."""
    choices = dict.fromkeys([widths.get(INPUTS[0], x.shape[1]), x.shape[1]])
    return [_Setting(width, shrinkage) for width in choices for shrinkage in SHRINKAGES]


def fit_classes(
    inputs: Mapping[str, np.ndarray],
    labels: Sequence[str],
    groups: Sequence[Any],
    fingerprint: str,
    *,
    name: str = "probe",
    n_bootstrap: int = 1000,
) -> SpecCLIPProbe:
    """Fit classes.

    Args:
        inputs: representation -> (n, width), some of `INPUTS`.
        labels: (n,) class of each spectrum.
        groups: (n,) spectra of one group are never on both sides of a fold.
        fingerprint: of the model.
        name: of the probe.
        n_bootstrap: draws of groups behind the intervals.

    Returns:
        A probe whose report has `balanced_accuracy` and `accuracy` (`value`, `low`, `high`,
        `guess`: always the commonest class), `calibration_error` (classes of equal weight),
        `beyond` (share of held-out rows called none of these), `left_out` (class -> share called
        so where the fit did not know the class), `recall`, and `dropped`: classes too small to fit,
        with their number of spectra `n` and of groups `n_groups`.

    Raises:
        SpecCLIPProbeError: for fewer than two classes with 5 spectra in 3 groups.
    """
    names, group = np.asarray(labels, str), _codes(groups)
    counts = Counter(names.tolist())
    n_groups = {label: len(set(group[names == label])) for label in counts}
    enough = {
        label for label, n in counts.items() if n >= MIN_EXAMPLES and n_groups[label] >= MIN_GROUPS
    }
    if len(enough) < 2:
        raise SpecCLIPProbeError(
            f"{len(enough)} classes have {MIN_EXAMPLES} spectra in {MIN_GROUPS} groups (there are "
            f"{_count_words(counts)} in {len(set(group))} groups): label more spectra, or give the "
            "groups of independent sources in a column `group`"
        )
    kept = np.isin(names, list(enough))
    widths = {each: inputs[each].shape[1] for each in INPUTS if each in inputs}
    x, names, group = stack_inputs(inputs, widths)[kept], names[kept], group[kept]
    classes = sorted(enough)
    truth = np.array([classes.index(label) for label in names])
    report = _measure_classes(x, truth, group, classes, _settings(x, widths), n_bootstrap)
    report["dropped"] = {
        label: {"n": n, "n_groups": n_groups[label]}
        for label, n in counts.items()
        if label not in enough
    }
    fit = _fit_gaussians(x, truth, group, len(classes), _settings(x, widths))
    # The embedding comes first, and may be all that is read.
    widths = widths if len(fit.mean) == x.shape[1] else {INPUTS[0]: widths[INPUTS[0]]}
    about: dict[str, Any] = {"name": name, "inputs": widths, "fingerprint": fingerprint}
    return replace(fit, **about, classes=tuple(classes), report=report | fit.report)


def fit_number(
    inputs: Mapping[str, np.ndarray],
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any],
    fingerprint: str,
    *,
    name: str = "probe",
    n_bootstrap: int = 1000,
) -> SpecCLIPProbe:
    """Fit a number, or its logarithm where it is positive and spans orders of magnitude.

    Args:
        values: (n,) finite.
        inputs, groups, fingerprint, name, n_bootstrap: see `fit_classes`.

    Returns:
        A probe whose report has `r_squared` and `error` (mean absolute; `value`, `low`, `high`,
        `guess`: the median of the other folds), and `held_68`, `held_90`: shares within the
        intervals.

    Raises:
        SpecCLIPProbeError: for fewer than 20 values in 5 groups, or values that do not vary.
    """
    y, group = np.asarray(values, np.float64), _codes(groups)
    low, high = np.quantile(y, [0.05, 0.95]) if len(y) else (0.0, 0.0)
    log10 = bool(len(y) and y.min() > 0 and high > _LOG_SPAN * low)
    y = np.log10(y) if log10 else y
    n_groups = len(set(group))
    if len(y) < MIN_NUMBERS or n_groups < _FOLDS or not np.isfinite(y).all() or not np.ptp(y) > 0:
        raise SpecCLIPProbeError(
            f"{len(y)} values in {n_groups} groups: a number needs {MIN_NUMBERS} finite ones in "
            f"{_FOLDS} groups, not all the same"
        )
    widths = {each: inputs[each].shape[1] for each in INPUTS if each in inputs}
    x = stack_inputs(inputs, widths)
    report = _measure_number(x, y, group, n_bootstrap)
    about: dict[str, Any] = {"name": name, "inputs": widths, "fingerprint": fingerprint}
    return replace(_fit_ridge(x, y, group), **about, log10=log10, report=report)


def _measure_classes(
    x: np.ndarray,
    truth: np.ndarray,
    group: np.ndarray,
    classes: list[str],
    settings: list[_Setting],
    n_bootstrap: int,
) -> dict[str, Any]:
    """Measure a fit on folds of groups that it did not see."""
    n, n_classes = len(truth), len(classes)
    shares, far = np.zeros((n, n_classes)), np.zeros(n, bool)
    unknown = np.zeros(n, bool)
    folds = list(_folds(truth, group, _FOLDS))
    for train, held in tqdm(folds, "measuring", unit="fold", leave=False, delay=2, disable=None):
        fit = _fit_gaussians(x[train], truth[train], group[train], n_classes, settings)
        squares = fit.squares(x[held])
        shares[held] = class_probabilities(squares, fit.temperature)
        far[held] = fit.percentiles(squares) >= FAR_PERCENTILE
        for label in range(n_classes) if n_classes > 2 else ():
            others, own = train[truth[train] != label], held[truth[held] == label]
            if len(own):
                known = x[others], truth[others], group[others], n_classes
                setting = _Setting(len(fit.mean), fit.report["shrinkage"])
                without = _fit_gaussians(*known, [setting])
                unknown[own] = without.percentiles(without.squares(x[own])) >= FAR_PERCENTILE
    right = shares.argmax(axis=1) == truth
    bootstrap = GroupBootstrap(group, n_bootstrap, _SEED)
    commonest = np.bincount(truth).argmax()
    of_class = {label: truth == number for number, label in enumerate(classes)}
    balanced = weighted_figure(balanced_accuracy(right, truth, range(n_classes)), n, bootstrap)
    plain = weighted_figure(partial(_weighted_mean, right), n, bootstrap)
    return {
        "n": n,
        "n_groups": bootstrap.n_groups,
        "balanced_accuracy": {**balanced, "guess": 1.0 / n_classes},
        "accuracy": {**plain, "guess": float((truth == commonest).mean())},
        "commonest": classes[commonest],
        "calibration_error": calibration_error(shares, truth, weights=_balance(truth)),
        "beyond": float(far.mean()),
        "left_out": {
            label: float(unknown[rows].mean()) for label, rows in of_class.items() if n_classes > 2
        },
        "count": {label: int(rows.sum()) for label, rows in of_class.items()},
        "groups": {label: len(set(group[rows])) for label, rows in of_class.items()},
        "recall": {label: float(right[rows].mean()) for label, rows in of_class.items()},
    }


def _measure_number(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, n_bootstrap: int
) -> dict[str, Any]:
    """Measure a fit of a number on folds of groups that it did not see."""
    predicted, guess = np.zeros(len(y)), np.zeros(len(y))
    far, held_68, held_90 = (np.zeros(len(y), bool) for _ in range(3))
    for train, held in _folds(None, group, _FOLDS):
        fit = _fit_ridge(x[train], y[train], group[train])
        predicted[held] = fit.numbers(x[held])
        guess[held] = np.median(y[train])
        error = np.abs(y[held] - predicted[held])
        held_68[held], held_90[held] = error <= fit.half_68, error <= fit.half_90
        far[held] = fit.percentiles(fit.squares(x[held])) >= FAR_PERCENTILE
    bootstrap = GroupBootstrap(group, n_bootstrap, _SEED)
    figures = {}
    for name, estimate in (("value", predicted), ("guess", guess)):
        error = y - estimate
        figures[name] = (
            weighted_figure(explained_variance(y, error), len(y), bootstrap),
            weighted_figure(partial(_weighted_mean, np.abs(error)), len(y), bootstrap),
        )
    ours, guessed = figures["value"], figures["guess"]
    return {
        "n": len(y),
        "n_groups": bootstrap.n_groups,
        "r_squared": {**ours[0], "guess": guessed[0]["value"]},
        "error": {**ours[1], "guess": guessed[1]["value"]},
        "held_68": float(held_68.mean()),
        "held_90": float(held_90.mean()),
        "beyond": float(far.mean()),
    }


def _fit_gaussians(
    x: np.ndarray,
    truth: np.ndarray,
    group: np.ndarray,
    n_classes: int,
    settings: Sequence[_Setting],
) -> SpecCLIPProbe:
    """Fit Gaussians; width, shrinkage, temperature and distances are those of folds over groups."""
    mean, scale = _standard(x)
    z = (x - mean) / scale
    folds = list(_folds(truth, group, _INNER_FOLDS))
    weights = _balance(truth)
    best: tuple[float, _Setting, float, np.ndarray] | None = None
    for setting in settings:
        squares = np.zeros((len(z), n_classes))
        for train, held in folds:
            centres, precision = _gaussians(z[train], truth[train], n_classes, setting)
            squares[held] = squared_distances(z[held, : setting.width], centres, precision)
        # A class that a fold did not see is as far as anything, and its rows say nothing.
        seen = weights * np.isfinite(squares[np.arange(len(z)), truth])
        squares = np.where(np.isfinite(squares), squares, 1e3 + squares[np.isfinite(squares)].max())
        logits = -0.5 * squares / _LOGIT_UNIT
        temperature = _LOGIT_UNIT * fit_temperature(logits, truth, seen)
        shares = class_probabilities(squares, temperature)
        chosen = np.maximum(shares[np.arange(len(z)), truth], 1e-12)
        loss = -float(seen @ np.log(chosen)) / seen.sum()
        if best is None or loss < best[0]:
            best = loss, setting, temperature, squares.min(axis=1)
    assert best is not None
    _, (width, shrinkage), temperature, nearest = best
    centres, precision = _gaussians(z, truth, n_classes, best[1])
    levels = np.quantile(nearest, np.linspace(0, 1, _QUANTILES))
    fit = mean[:width], scale[:width], centres, precision, levels, temperature
    return SpecCLIPProbe("", (), {}, "", *fit, report={"shrinkage": shrinkage})


def _fit_ridge(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> SpecCLIPProbe:
    """Fit a ridge regression; penalty, intervals and distances are those of folds over groups."""
    mean, scale = _standard(x)
    z = (x - mean) / scale
    one, all_columns = np.zeros(len(z), np.int64), _Setting(x.shape[1], 0.1)
    predicted, nearest = np.zeros((len(z), len(PENALTIES))), np.zeros(len(z))
    for train, held in _folds(None, group, _INNER_FOLDS):
        weights = _ridge(z[train], y[train])
        predicted[held] = z[held] @ weights[:, :-1].T + weights[:, -1]
        centres, precision = _gaussians(z[train], one[train], 1, all_columns)
        nearest[held] = squared_distances(z[held], centres, precision)[:, 0]
    best = int(((y[:, None] - predicted) ** 2).mean(axis=0).argmin())
    residuals = np.sort(np.abs(y - predicted[:, best]))
    ranks = (min(len(y), int(np.ceil((len(y) + 1) * share))) for share in (0.68, 0.9))
    half_68, half_90 = (float(residuals[rank - 1]) for rank in ranks)
    centres, precision = _gaussians(z, one, 1, all_columns)
    levels = np.quantile(nearest, np.linspace(0, 1, _QUANTILES))
    fit = mean, scale, centres, precision, levels, 1.0, _ridge(z, y)[best]
    return SpecCLIPProbe("", (), {}, "", *fit, half_68=half_68, half_90=half_90)


def _ridge(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Solve ridge regressions of all `PENALTIES`; returns (P, d + 1), the constant last."""
    centre, middle = z.mean(axis=0), y.mean()
    u, s, vt = np.linalg.svd(z - centre, full_matrices=False)
    along = u.T @ (y - middle)
    weights = np.stack([(s / (s**2 + penalty) * along) @ vt for penalty in PENALTIES])
    return np.concatenate([weights, middle - weights @ centre[:, None]], axis=1)


def _gaussians(
    z: np.ndarray, truth: np.ndarray, n_classes: int, setting: _Setting
) -> tuple[np.ndarray, np.ndarray]:
    """Return class means (C, d), nan of absent classes, and the shared precision (d, d)."""
    z, shrinkage = z[:, : setting.width], setting.shrinkage
    members = np.eye(n_classes)[truth]
    with np.errstate(invalid="ignore", divide="ignore"):
        centres = (members.T @ z) / members.sum(axis=0)[:, None]
    spread = z - centres[truth]
    covariance = spread.T @ spread / max(len(z) - n_classes, 1)
    average = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance = (1 - shrinkage) * covariance + shrinkage * average * np.eye(len(covariance))
    return centres, np.linalg.inv(covariance)


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ values / weights.sum(axis=1)


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-9, scale, 1.0)


def _folds(truth: np.ndarray | None, group: np.ndarray, n: int) -> Any:
    """Split rows by group into at most `n` folds, with the classes alike where there are any."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    fewest = len(set(group))
    if truth is None:
        return GroupKFold(min(n, fewest), shuffle=True, random_state=_SEED).split(
            group, None, group
        )
    fewest = min(len(set(group[truth == label])) for label in set(truth.tolist()))
    folds = StratifiedGroupKFold(max(2, min(n, fewest)), shuffle=True, random_state=_SEED)
    return folds.split(group, truth, group)


def _balance(truth: np.ndarray) -> np.ndarray:
    """Return row weights (n,) by which all classes weigh alike."""
    counts = np.bincount(truth)
    return (len(truth) / np.count_nonzero(counts) / np.maximum(counts, 1))[truth]


def _codes(groups: Sequence[Any]) -> np.ndarray:
    return np.unique(np.asarray(groups, str), return_inverse=True)[1]


def _count_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {label}" for label, n in sorted(counts.items())[:8]) or "no labels"


__all__ = ["MIN_EXAMPLES", "fit_classes", "fit_number"]
