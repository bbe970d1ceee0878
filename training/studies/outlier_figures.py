"""How well outlier detectors find kinds of source that are rare, and how odd each class is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.roc import recall_at_top, roc_auc
from hf_specclip.outliers.detector import DETECTORS, OutlierRows, SpecCLIPOutlierDetector

FRACTIONS = (0.01, 0.05)


def detection_figures(
    scores: Mapping[str, np.ndarray],
    rare: np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """ROC-AUC and recall in the top 1 % and 5 % of each detector.

    Args:
        scores: detector -> (n,); a row it cannot score (nan) comes last.
        rare: (n,) bool, what is to be found.
        groups: (n,).
        n_bootstrap, seed: of the intervals.

    Returns:
        detector -> `auc`, `recall@1%`, `recall@5%`, each with `value`, `low`, `high`, `chance`
        (and `most` for recall: what a perfect detector reaches).

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
        result[name] = {
            "auc": roc_auc(filled, rare, bootstrap),
            **{
                f"recall@{100 * fraction:g}%": recall_at_top(filled, rare, fraction, bootstrap)
                for fraction in FRACTIONS
            },
        }
    return result


def injection_test(
    train: OutlierRows,
    test: OutlierRows,
    kinds: Sequence[str],
    *,
    natural: bool = False,
    n_bootstrap: int = 1000,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Hide one rare kind at a time among the other sources, and look for it.

    Only the detectors are fitted without the kind: whatever made the embedding may have seen it.

    Args:
        train: rows to fit on, with classes.
        test: rows of other groups, with classes.
        kinds: rare classes. While one is looked for, the others are not there.
        natural: leave the kinds in `train`, at the share they have: they are then rare, not new.
        n_bootstrap, seed: of the intervals; `seed` of the forest, too.
        options: passed to `SpecCLIPOutlierDetector.fit`.

    Returns:
        kind -> `n`, `n_groups`, `n_others`, `n_train` and `detectors` (`detection_figures`); and
        `together` for all kinds at once. A kind without rows in `test` is left out.
    """
    classes, train_classes = np.asarray(test.classes, object), np.asarray(train.classes, object)
    all_kinds = np.isin(classes, kinds)
    fits: dict[tuple[str, ...], dict[str, np.ndarray]] = {}

    def scores_without(hidden: tuple[str, ...]) -> dict[str, np.ndarray]:
        if hidden not in fits:
            keep = ~np.isin(train_classes, hidden)
            detector = SpecCLIPOutlierDetector.fit(train.take(keep), seed=seed, **options)
            fits[hidden] = detector.score(test).raw
        return fits[hidden]

    # One fit for all kinds: leaving the others out as well makes none of them easier to miss.
    scores = scores_without(() if natural else tuple(kinds))
    result: dict[str, Any] = {}
    for kind in [*kinds, "together"]:
        rare = all_kinds if kind == "together" else classes == kind
        there = np.flatnonzero(rare | ~all_kinds)
        if not rare.any() or rare[there].all():
            continue
        groups = np.asarray(test.groups, object)[there].astype(str)
        result[kind] = {
            "n": int(rare.sum()),
            "n_groups": len(set(groups[rare[there]].tolist())),
            "n_others": int((~rare[there]).sum()),
            "n_train": 0
            if not natural
            else int(np.isin(train_classes, kinds if kind == "together" else [kind]).sum()),
            "detectors": detection_figures(
                {name: scores[name][there] for name in DETECTORS},
                rare[there],
                groups,
                n_bootstrap=n_bootstrap,
                seed=seed,
            ),
        }
    return result


def scores_by_class(
    percentiles: np.ndarray,
    classes: Sequence[Any],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    least: int = 5,
) -> dict[str, dict[str, float]]:
    """How odd each class is: its median percentile with an interval, and its spread.

    Args:
        percentiles: (n,) 0 to 100, nan where a row cannot be scored.
        classes: (n,) class, None where unknown.
        groups: (n,).
        n_bootstrap, seed: of the intervals.
        least: rows that a class must have.

    Returns:
        class -> `n`, `value` (median), `low`, `high`, `lower`, `upper` (16th and 84th percentile
        of its rows), the oddest class first.
    """
    labels, names = np.asarray(groups), np.array([str(c) if c else "" for c in classes])
    found = {}
    for kind in sorted(set(names[names != ""].tolist())):
        rows = np.flatnonzero((names == kind) & np.isfinite(percentiles))
        if len(rows) < least:
            continue
        values = percentiles[rows]
        bootstrap = GroupBootstrap(labels[rows], n_bootstrap, seed)
        low = high = float("nan")
        if bootstrap.n_groups > 1:
            low, high = bootstrap.interval(bootstrap.medians(values))
        lower, upper = np.quantile(values, [0.16, 0.84])
        found[kind] = {
            "n": len(rows),
            "value": float(np.median(values)),
            "low": float(low),
            "high": float(high),
            "lower": float(lower),
            "upper": float(upper),
        }
    return dict(sorted(found.items(), key=lambda item: -item[1]["value"]))


def plot_scores_by_class(
    by_detector: Mapping[str, Mapping[str, Mapping[str, float]]], path: Any = None
) -> Any:
    """Median percentile of each class with its interval, and the middle 68 % of its rows.

    Args:
        by_detector: title -> what `scores_by_class` gave.
        path: where to write the figure.

    Returns:
        The matplotlib figure.
    """
    from matplotlib.figure import Figure

    from hf_specclip.evaluation.plots import COLOURS

    kinds = list(next(iter(by_detector.values())))
    figure = Figure(
        figsize=(2.0 + 3.4 * len(by_detector), 1.2 + 0.26 * len(kinds)), layout="constrained",
        dpi=130,
    )  # fmt: skip
    panels = figure.subplots(1, len(by_detector), sharey=True, squeeze=False)[0]
    for panel, (title, found) in zip(panels, by_detector.items(), strict=True):
        for row, kind in enumerate(kinds):
            if kind not in found:
                continue
            one = found[kind]
            panel.plot([one["lower"], one["upper"]], [row, row], color="#c8d8e4", lw=6)
            panel.plot([one["low"], one["high"]], [row, row], color=COLOURS[0], lw=2)
            panel.plot(one["value"], row, "o", color=COLOURS[0], ms=5)
        panel.axvline(50, color="0.5", lw=1, ls="--")
        panel.set(xlim=(0, 100), xlabel="percentile of oddness")
        panel.set_title(title, loc="left", fontsize=10)
    first = next(iter(by_detector.values()))
    panels[0].set_yticks(range(len(kinds)), [f"{k} ({first[k]['n']:,})" for k in kinds], fontsize=8)
    panels[0].invert_yaxis()
    if path is not None:
        figure.savefig(path)
    return figure


__all__ = ["detection_figures", "injection_test", "plot_scores_by_class", "scores_by_class"]
