"""Families of classes: probabilities summed over the kinds of a family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..literature.source_classes import FAMILIES, find_class

MAX_CLASSES, MAX_NAME = 10_000, 200


@dataclass(frozen=True)
class FamilyProbability:
    """Probability of a family of classes.

    Attributes:
        name: such as "active galactic nucleus"; of a class without family its label.
        probability: sum over its classes.
        classes: class -> probability, largest first.
    """

    name: str
    probability: float
    classes: Mapping[str, float]


def check_class_names(classes: Sequence[str]) -> None:
    """Raise ValueError unless the classes are a list of short and distinct names."""
    if (
        not isinstance(classes, list | tuple)
        or not 0 < len(classes) <= MAX_CLASSES
        or not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in classes)
    ):
        raise ValueError("`classes` must be a list of short names")
    if len(set(classes)) < len(classes):
        raise ValueError("duplicate class names")


def softmax(values: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def rank_classes(classes: Sequence[str], probabilities: np.ndarray) -> list[dict[str, float]]:
    """Return class -> probability, largest first, for each row of probabilities (n, C)."""
    orders = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        {classes[i]: float(row[i]) for i in order}
        for row, order in zip(probabilities, orders, strict=True)
    ]


def family_name(label: str) -> str:
    """Return the name of the family of a class; the label itself where it has none."""
    source_class = find_class(label)
    family = FAMILIES.get(source_class.family) if source_class else None
    return family.name if family else label


def group_by_family(classes: Mapping[str, float]) -> tuple[FamilyProbability, ...]:
    """Sum the probabilities of classes by family, largest first."""
    members: dict[str, dict[str, float]] = {}
    for label, probability in sorted(classes.items(), key=lambda item: -item[1]):
        members.setdefault(family_name(label), {})[label] = probability
    families = [FamilyProbability(n, sum(kinds.values()), kinds) for n, kinds in members.items()]
    return tuple(sorted(families, key=lambda family: -family.probability))


def family_matrix(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the families of some classes, and a matrix (C, F) of 1 where a class belongs."""
    names = list(dict.fromkeys(family_name(label) for label in labels))
    matrix = np.zeros((len(labels), len(names)))
    matrix[np.arange(len(labels)), [names.index(family_name(label)) for label in labels]] = 1.0
    return names, matrix


def fit_least_probability(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the probability below which the largest family is right less than half of the time.

    Args:
        confidence: (n,) probability of the largest family.
        right: (n,) True where it is the true one.

    Returns:
        0 where it is right more often at every level.
    """
    order = np.argsort(confidence, kind="stable")
    # Where this sum is smallest, a monotonic (isotonic) fit of the accuracy crosses one half.
    surplus = np.cumsum(right[order] - 0.5)
    last = int(np.argmin(surplus))
    if surplus[last] >= 0:
        return 0.0
    above = confidence[order][last + 1 :]
    return float(above[0]) if len(above) else 1.0


__all__ = [
    "FamilyProbability",
    "check_class_names",
    "family_matrix",
    "family_name",
    "fit_least_probability",
    "group_by_family",
    "rank_classes",
    "softmax",
]
