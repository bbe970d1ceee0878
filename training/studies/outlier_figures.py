"""Injection test of outlier detectors, and outlier percentiles by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.roc import roc_auc
from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.outliers.rows import DETECTORS, OutlierRows

# A class with fewer rows has no meaningful median.
FEWEST_ROWS = 5


def detection_figures(
    scores: Mapping[str, np.ndarray],
    rare: np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the ROC-AUC of each detector.

    Args:
        scores: detector -> (n,); a row it cannot score (nan) comes last.
        rare: (n,) bool, the rows to detect.
        groups: (n,).
        n_bootstrap, seed: of the intervals.

    Returns:
        detector -> `auc`, with `value`, `low`, `high`, `chance`.

    Raises:
        ValueError: when all rows are rare, or none is.
    """
    bootstrap = GroupBootstrap(groups, n_bootstrap, seed)
    result = {}
    for name, values in scores.items():
        known = values[np.isfinite(values)]
        if not len(known):
            continue
        filled = np.where(np.isfinite(values), values, known.min() - 1.0)
        result[name] = {"auc": roc_auc(filled, rare, bootstrap)}
    return result


def injection_test(
    train: OutlierRows,
    test: OutlierRows,
    kinds: Sequence[str],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Hide one rare class at a time among the other sources, and detect it.

    Only the detectors are fitted without the class: the embedding may have been trained with it.

    Args:
        train: rows to fit on, with classes.
        test: rows of other groups, with classes.
        kinds: rare classes. While one is hidden, the others are left out.
        n_bootstrap, seed: of the intervals; `seed` of the forest, too.
        options: passed to `SpecCLIPOutlierDetector.fit`.

    Returns:
        class -> `n`, `n_groups`, `n_others` and `detectors` (`detection_figures`); and `together`
        for all classes at once. A class without rows in `test` is left out.
    """
    classes, train_classes = np.asarray(test.classes, object), np.asarray(train.classes, object)
    groups = np.asarray(test.groups, object).astype(str)
    any_rare = np.isin(classes, kinds)
    # One fit for all classes: leaving the others out as well makes none of them easier to miss.
    fitted = train.take(~np.isin(train_classes, kinds))
    scores = SpecCLIPOutlierDetector.fit(fitted, seed=seed, **options).score(test).raw
    result: dict[str, Any] = {}
    for kind in [*kinds, "together"]:
        hidden = list(kinds) if kind == "together" else [kind]
        rare = np.isin(classes, hidden)
        rows = np.flatnonzero(rare | ~any_rare)
        if not rare.any() or rare[rows].all():
            continue
        result[kind] = {
            "n": int(rare.sum()),
            "n_groups": len(set(groups[rare].tolist())),
            "n_others": int((~any_rare).sum()),
            "detectors": detection_figures(
                {name: scores[name][rows] for name in DETECTORS},
                rare[rows],
                groups[rows],
                n_bootstrap=n_bootstrap,
                seed=seed,
            ),
        }
    return result


def percentiles_by_class(
    percentiles: np.ndarray,
    classes: Sequence[Any],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Compute the median outlier percentile of each class with an interval, and its spread.

    Args:
        percentiles: (n,) 0 to 100, nan where a row cannot be scored.
        classes: (n,) class, None where unknown.
        groups: (n,).
        n_bootstrap, seed: of the intervals.

    Returns:
        class -> `n`, `value` (median), `low`, `high`, `lower`, `upper` (16th and 84th percentile
        of its rows), the highest median first.
    """
    labels, names = np.asarray(groups), np.array([str(c) if c else "" for c in classes])
    result = {}
    for name in sorted(set(names[names != ""].tolist())):
        rows = np.flatnonzero((names == name) & np.isfinite(percentiles))
        if len(rows) < FEWEST_ROWS:
            continue
        values = percentiles[rows]
        bootstrap = GroupBootstrap(labels[rows], n_bootstrap, seed)
        low = high = float("nan")
        if bootstrap.n_groups > 1:
            low, high = bootstrap.interval(bootstrap.medians(values))
        lower, upper = np.quantile(values, [0.16, 0.84])
        figures = {"value": np.median(values), "low": low, "high": high, "lower": lower,
                   "upper": upper}  # fmt: skip
        result[name] = {"n": len(rows), **{key: float(x) for key, x in figures.items()}}
    return dict(sorted(result.items(), key=lambda item: -item[1]["value"]))
