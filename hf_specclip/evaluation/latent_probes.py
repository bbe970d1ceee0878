"""Linear probes of an embedding: the class of a source, and values such as the exposure.

Every probe is fitted on one set of rows and measured on others of different groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import SpecCLIPError
from .bootstrap import GroupBootstrap
from .latent import MIN_ROWS
from .roc import weighted_figure


class ProbeError(SpecCLIPError, ValueError):
    """Rows that a probe cannot be fitted on or measured on; the message says why."""


def class_probe(
    train: np.ndarray,
    train_classes: Sequence[Any],
    points: np.ndarray,
    classes: Sequence[Any],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Classify sources by logistic regression on an embedding.

    Args:
        train: (m, K), standardised here by its own mean and spread.
        train_classes: (m,) class, None where unknown (left out).
        points: (n, K) of groups that `train` does not hold.
        classes: (n,) as above. A class that `train` lacks stays in, and counts as a miss.
        groups: (n,) the unit of resampling.
        n_bootstrap, seed: of the intervals.

    Returns:
        `accuracy` (chance: always the commonest class of `train`), `balanced_accuracy` (mean recall
        over the classes there are; chance: one over their number), each with `value`, `low`,
        `high`, `chance`; `n`, `n_train`, `n_classes`, and `recall` by class.

    Raises:
        ProbeError: for too few rows with a class, or a single class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labelled_train, labelled = _has_label(train_classes), _has_label(classes)
    names = np.asarray(train_classes, dtype=object)[labelled_train].astype(str)
    truth = np.asarray(classes, dtype=object)[labelled].astype(str)
    learned, counts = np.unique(names, return_counts=True)
    if min(len(names), len(truth)) < MIN_ROWS or len(learned) < 2:
        raise ProbeError(
            f"{len(names)} training rows of {len(learned)} classes and {len(truth)} others have a "
            "class: too few for a probe"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping at the step limit costs a probe nothing
        probe.fit(np.asarray(train, np.float64)[labelled_train], names)
    correct = probe.predict(np.asarray(points, np.float64)[labelled]) == truth
    bootstrap = GroupBootstrap(np.asarray(groups)[labelled], n_bootstrap, seed)
    distinct = np.unique(truth).tolist()
    return {
        "accuracy": {
            **weighted_figure(lambda w: w @ correct / w.sum(axis=1), len(truth), bootstrap),
            "chance": float((truth == learned[counts.argmax()]).mean()),
        },
        "balanced_accuracy": {
            **weighted_figure(balanced_accuracy(correct, truth, distinct), len(truth), bootstrap),
            "chance": 1.0 / len(distinct),
        },
        "recall": {name: float(correct[truth == name].mean()) for name in distinct},
        "n": len(truth),
        "n_train": len(names),
        "n_classes": len(distinct),
    }


def value_probe(
    train: np.ndarray,
    train_values: np.ndarray,
    points: np.ndarray,
    values: np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Predict a value, such as the log of the exposure, from an embedding by ridge regression.

    Args:
        train: (m, K).
        train_values: (m,), nan where unknown.
        points: (n, K) of groups that `train` does not hold.
        values: (n,), nan where unknown.
        groups: (n,) the unit of resampling.
        n_bootstrap, seed: of the intervals.

    Returns:
        The explained share of the variance R² (below 0: worse than the mean) as `value`, `low`,
        `high`, `chance`, with `n` and `n_train`. The penalty is chosen by leave-one-out on `train`.

    Raises:
        ProbeError: for too few known rows, or values that do not vary.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known_train, known = np.isfinite(train_values), np.isfinite(values)
    y, truth = np.asarray(train_values)[known_train], np.asarray(values)[known]
    if min(len(y), len(truth)) < MIN_ROWS or not (np.ptp(y) > 0 and np.ptp(truth) > 0):
        raise ProbeError(
            f"{len(y)} training rows and {len(truth)} others have a value: too few, or all the same"
        )
    probe = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 5, 13)))
    probe.fit(np.asarray(train, np.float64)[known_train], y)
    error = truth - probe.predict(np.asarray(points, np.float64)[known])
    bootstrap = GroupBootstrap(np.asarray(groups)[known], n_bootstrap, seed)
    figure = weighted_figure(explained_variance(truth, error), len(truth), bootstrap)
    return {**figure, "chance": 0.0, "n": len(truth), "n_train": len(y)}


def balanced_accuracy(
    correct: np.ndarray, truth: np.ndarray, classes: Sequence[Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the mean recall over classes as a function of row weights, for `weighted_figure`.

    Args:
        correct: (n,) bool.
        truth: (n,) class.
        classes: the classes to average over.
    """
    members = np.stack([truth == name for name in classes], axis=1).astype(np.float64)
    hits = members * correct[:, None]

    def mean_recall(weights: np.ndarray) -> np.ndarray:
        # A class that a draw did not take has no recall there.
        total, right = weights @ members, weights @ hits
        recall = np.where(total > 0, right / np.where(total > 0, total, 1.0), np.nan)
        return np.nanmean(recall, axis=1)

    return mean_recall


def explained_variance(truth: np.ndarray, error: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return R² as a function of row weights, for `weighted_figure`.

    Args:
        truth: (n,) values.
        error: (n,) truth minus prediction.
    """
    centred = truth - truth.mean()

    def r_squared(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1.0 - weights @ error**2 / spread, np.nan)

    return r_squared


def _has_label(labels: Sequence[Any]) -> np.ndarray:
    return np.array([label is not None and label == label for label in labels], dtype=bool)


__all__ = ["ProbeError", "balanced_accuracy", "class_probe", "explained_variance", "value_probe"]
