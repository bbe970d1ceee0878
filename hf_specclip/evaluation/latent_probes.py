"""What can be read from an embedding: the class of a source, and what ought not to be there.

Every probe learns on one set of rows and is measured on others whose groups it has not seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import SpecCLIPError
from .bootstrap import GroupBootstrap
from .roc import roc_auc, weighted_figure

MIN_ROWS = 20


class ProbeError(SpecCLIPError, ValueError):
    """A probe that cannot be made of these rows; the message says why."""


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
    """Linear probe: how well logistic regression names the class of a source.

    Args:
        train: (m, K), standardised here by its own mean and spread.
        train_classes: (m,) class, None where unknown (left out).
        points: (n, K) of groups that `train` does not hold.
        classes: (n,) as above. A class that `train` lacks stays in, and counts as a miss.
        groups: (n,).
        n_bootstrap, seed: of the intervals.

    Returns:
        `accuracy` (chance: always the commonest class of `train`), `balanced_accuracy` (mean recall
        over the classes there are; chance: one over their number), each with `value`, `low`,
        `high`, `chance`; `n`, `n_train`, `n_classes`, and `recall` by class.

    Raises:
        ProbeError: for too few rows with a class, or a single class.
    """
    from sklearn.linear_model import LogisticRegression

    known_train, known = _known(train_classes), _known(classes)
    names = np.asarray(train_classes, dtype=object)[known_train].astype(str)
    truth = np.asarray(classes, dtype=object)[known].astype(str)
    if min(len(names), len(truth)) < MIN_ROWS or len(set(names.tolist())) < 2:
        raise ProbeError(
            f"{len(names)} training rows of {len(set(names.tolist()))} classes and {len(truth)} "
            "others have a class: too few for a probe"
        )
    x, z = _standardised(np.asarray(train)[known_train], np.asarray(points)[known])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping at the step limit costs a probe nothing
        probe = LogisticRegression(max_iter=300).fit(x, names)
    right = probe.predict(z) == truth
    bootstrap = GroupBootstrap(np.asarray(groups)[known], n_bootstrap, seed)
    kinds = sorted(set(truth.tolist()))
    common = max(sorted(set(names.tolist())), key=lambda name: int((names == name).sum()))
    return {
        "accuracy": {
            **weighted_figure(lambda w: w @ right / w.sum(axis=1), len(truth), bootstrap),
            "chance": float((truth == common).mean()),
        },
        "balanced_accuracy": {
            **weighted_figure(_balanced(right, truth, kinds), len(truth), bootstrap),
            "chance": 1.0 / len(kinds),
        },
        "recall": {kind: float(right[truth == kind].mean()) for kind in kinds},
        "n": len(truth),
        "n_train": len(names),
        "n_classes": len(kinds),
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
    """How well a number, such as the logarithm of the exposure, can be read from an embedding.

    Args:
        train: (m, K).
        train_values: (m,), nan where unknown.
        points: (n, K) of groups that `train` does not hold.
        values: (n,).
        groups: (n,).
        n_bootstrap, seed: of the intervals; `seed` also draws what the boosting holds back.

    Returns:
        `ridge` and `boosting`: the share of the variance that ridge regression (its penalty chosen
        by leave-one-out on `train`) and gradient-boosted trees explain (R²; below 0 where they do
        worse than the mean), each with `value`, `low`, `high`, `chance`; `n`, `n_train`.

    Raises:
        ProbeError: for too few known rows, or values that do not vary.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV

    known_train, known = np.isfinite(train_values), np.isfinite(values)
    y, truth = np.asarray(train_values)[known_train], np.asarray(values)[known]
    if min(len(y), len(truth)) < MIN_ROWS or not (np.ptp(y) > 0 and np.ptp(truth) > 0):
        raise ProbeError(
            f"{len(y)} training rows and {len(truth)} others have a value: too few, or all the same"
        )
    x, z = _standardised(np.asarray(train)[known_train], np.asarray(points)[known])
    bootstrap = GroupBootstrap(np.asarray(groups)[known], n_bootstrap, seed)
    models = {
        "ridge": RidgeCV(alphas=np.logspace(-1, 5, 13)),
        "boosting": HistGradientBoostingRegressor(
            max_iter=150,
            max_leaf_nodes=15,
            learning_rate=0.1,
            early_stopping=True,
            n_iter_no_change=10,
            random_state=seed,
        ),
    }
    result: dict[str, Any] = {"n": len(truth), "n_train": len(y)}
    for name, model in models.items():
        error = truth - model.fit(x, y).predict(z)
        figure = weighted_figure(_explained(truth, error), len(truth), bootstrap)
        result[name] = {**figure, "chance": 0.0}
    return result


def without_readable(
    train: np.ndarray, train_values: np.ndarray, *points: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Points of a shared space without the directions along which a linear probe reads values.

    Args:
        train: (m, K), where the directions are found by ridge regression.
        train_values: (m, V), nan where unknown; a column without known or varying values is passed
            over.
        points: (n, K) each, such as spectra and texts of the space.

    Returns:
        The points with what lies along the directions taken out, of unit length.
    """
    from sklearn.linear_model import RidgeCV

    train = np.asarray(train, np.float64)
    directions = []
    for values in np.asarray(train_values, np.float64).T:
        known = np.isfinite(values)
        if known.sum() < MIN_ROWS or not np.ptp(values[known]) > 0:
            continue
        x, _ = _standardised(train[known], train[:1])
        spread = train[known].std(axis=0)
        slope = RidgeCV(alphas=np.logspace(-1, 5, 13)).fit(x, values[known]).coef_
        directions.append(slope / np.where(spread > 0, spread, 1.0))
    basis = np.linalg.qr(np.stack(directions, axis=1))[0] if directions else train[:0].T
    left = [np.asarray(one, np.float64) for one in points]
    left = [one - (one @ basis) @ basis.T for one in left]
    return tuple(
        one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in left
    )


def label_probe(
    train: np.ndarray,
    train_labels: Sequence[Any],
    points: np.ndarray,
    labels: Sequence[Any],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """How well a label that ought not to be there, such as the detector, can be read.

    Args:
        train, points, groups: as for `value_probe`.
        train_labels, labels: None where unknown.
        n_bootstrap, seed: of the intervals.

    Returns:
        What `class_probe` gives, and `auc` of the commonest label against all others (chance 0.5)
        by gradient-boosted trees.

    Raises:
        ProbeError: for too few known rows, or a single label.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    result = class_probe(
        train, train_labels, points, labels, groups, n_bootstrap=n_bootstrap, seed=seed
    )
    known_train, known = _known(train_labels), _known(labels)
    names = np.asarray(train_labels, dtype=object)[known_train].astype(str)
    truth = np.asarray(labels, dtype=object)[known].astype(str)
    common = max(sorted(set(names.tolist())), key=lambda name: int((names == name).sum()))
    if len(set((truth == common).tolist())) < 2:
        raise ProbeError(f"all rows to be measured on are, or none is, {common}")
    x, z = _standardised(np.asarray(train)[known_train], np.asarray(points)[known])
    trees = HistGradientBoostingClassifier(
        max_iter=150,
        max_leaf_nodes=15,
        learning_rate=0.1,
        early_stopping=True,
        n_iter_no_change=10,
        random_state=seed,
    ).fit(x, names == common)
    bootstrap = GroupBootstrap(np.asarray(groups)[known], n_bootstrap, seed)
    result["auc"] = roc_auc(trees.decision_function(z), truth == common, bootstrap)
    result["label"] = common
    return result


def _known(labels: Sequence[Any]) -> np.ndarray:
    return np.array([label is not None and label == label for label in labels], dtype=bool)


def _standardised(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    train, other = np.asarray(train, np.float64), np.asarray(other, np.float64)
    centre, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (train - centre) / spread, (other - centre) / spread


def _balanced(right: np.ndarray, truth: np.ndarray, kinds: Sequence[str]) -> Any:
    members = np.stack([truth == kind for kind in kinds], axis=1).astype(np.float64)
    hits = members * right[:, None]

    def mean_recall(weights: np.ndarray) -> np.ndarray:
        # A class that a draw did not take has no recall there.
        total, found = weights @ members, weights @ hits
        recall = np.where(total > 0, found / np.where(total > 0, total, 1.0), np.nan)
        return np.nanmean(recall, axis=1)

    return mean_recall


def _explained(truth: np.ndarray, error: np.ndarray) -> Any:
    centred = truth - truth.mean()

    def r_squared(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1.0 - weights @ error**2 / spread, np.nan)

    return r_squared


__all__ = ["ProbeError", "class_probe", "label_probe", "value_probe"]
