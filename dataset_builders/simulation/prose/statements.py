"""Statements of a summary, in a form from which a likelihood can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, inf, log, sqrt

from ..source_classes import COMPONENTS
from .facts import Facts

# Quantities that are said in words of their own; the others are intervals of numbers.
LABELS = ("class", "host", "model", "second")


@dataclass(frozen=True)
class Statement:
    """One statement of a summary about its source.

    A stated value comes from a measurement of the truth with an error of its own. What is read in
    the text is the interval into which the measurement fell: the rounding interval of a number, the
    step of a word.

    Attributes:
        quantity: attribute of `Facts`; `shape` and `shape2` belong to the model and the second
            model that are stated. `class`, `host` (the kind of field), `model` and `second` are
            labels.
        low, high: of the interval, in the units of `Facts`; may be infinite.
        error: standard deviation of the measurement behind it, in `scale`.
        scale: `linear`, or `log` for the natural logarithm of the quantity.
        label: what was said where it is no number: a key of `source_classes.CLASSES`, of
            `source_classes.FIELD_KINDS`, or one of `source_classes.COMPONENTS`.
    """

    quantity: str
    low: float = -inf
    high: float = inf
    error: float = 0.0
    scale: str = "linear"
    label: str = ""

    def log_likelihood(self, facts: Facts) -> float:
        """Return ln p of this statement if `facts` are true and nobody is mistaken.

        For a label it is 0 or −inf; for a number or word ln [Φ((high − q)/error) −
        Φ((low − q)/error)], with q the true value, in `scale`.
        """
        if self.quantity in LABELS:
            return 0.0 if self.label == label_of(facts, self.quantity) else -inf
        truth = float(getattr(facts, self.quantity))
        low, high = self.low, self.high
        if self.scale == "log":
            if not truth > 0.0:
                return -inf
            truth = log(truth)
            low = log(low) if low > 0.0 else -inf
            high = log(high) if high > 0.0 else -inf
        share = _normal((high - truth) / self.error) - _normal((low - truth) / self.error)
        return log(share) if share > 0.0 else -inf


@dataclass(frozen=True)
class Summary:
    """Summary and its statements.

    Attributes:
        sections: `identity`, `spectrum`, `context`.
        statements: every informative claim in them, once for each time it is made from a
            measurement of its own.
        mistaken: whether the literature took something else for the source. No reader knows.
    """

    sections: Mapping[str, str]
    statements: tuple[Statement, ...]
    mistaken: bool = False


def label_of(facts: Facts, quantity: str) -> str:
    """Return the true label for a statement; `` for a second component that is not there."""
    if quantity == "class":
        return facts.class_name
    if quantity == "host":
        return facts.field_kind
    component = int(facts.first if quantity == "model" else facts.second)
    return COMPONENTS[component] if component >= 0 else ""


def _normal(deviation: float) -> float:
    return 0.5 * (1.0 + erf(deviation / sqrt(2.0)))


__all__ = ["LABELS", "Statement", "Summary", "label_of"]
