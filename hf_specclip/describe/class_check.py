"""Checks of a predicted class: its probability, and gallery sources in the same field."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any

from ..classify.classifier import SourceClassifier
from ..classify.families import group_by_family
from ..classify.zero_shot import ZeroShotClasses
from ..search.index import SpecCLIPIndex
from .neighbours import position_of

# Key of gallery sources with a known class: True if the classifier finds its family.
RECOVERED = "class_recovered"
# Radius of a field, arcmin: about that of a Chandra image of one ACIS array.
FIELD_RADIUS = 10.0
# Probability of so few correct classes, or fewer, if half of all were correct.
_LEVEL = 0.05


def check_class(
    classes: ZeroShotClasses | SourceClassifier | None,
    probabilities: Mapping[str, float],
    index: SpecCLIPIndex | None,
    facts: Mapping[str, Any],
) -> tuple[bool, list[str]]:
    """Return True if a class stands out, and notes if the field is the reason that none does.

    Args:
        classes: those of the model, or named by the user.
        probabilities: class -> probability.
        index: the gallery; only a classifier trained on labels is checked against it.
        facts: see `spectrum_facts`.
    """
    if classes is None:
        return False, []
    note = None
    if isinstance(classes, SourceClassifier) and index is not None:
        note = _field_note(index, facts)
    probable = group_by_family(probabilities)[0].probability >= classes.least_probability
    return probable and note is None, [] if note is None else [note]


def _field_note(index: SpecCLIPIndex, facts: Mapping[str, Any]) -> str | None:
    """Describe a field in which most of the gallery sources are misclassified."""
    position = position_of(facts)
    if position is None:
        return None
    ra, dec, own = position
    known = [
        bool(match.entry[RECOVERED])
        for match in index.within(ra, dec, FIELD_RADIUS / 60.0)
        if RECOVERED in match.entry and match.separation > own / 3600.0
    ]
    n, right = len(known), sum(known)
    # Binomial probability of at most `right` correct classes out of n.
    if sum(comb(n, k) for k in range(right + 1)) / 2**n >= _LEVEL:
        return None
    return (
        f"of {n} gallery sources of known class within {FIELD_RADIUS:.0f}′, "
        f"{right} would be classified correctly: no class stands out in this field"
    )


__all__ = ["FIELD_RADIUS", "RECOVERED", "check_class"]
