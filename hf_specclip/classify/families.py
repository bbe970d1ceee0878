"""Families of classes: probabilities summed over the kinds of a family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..literature.source_classes import FAMILIES, find_class


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
    "family_matrix",
    "family_name",
    "fit_least_probability",
    "group_by_family",
]
