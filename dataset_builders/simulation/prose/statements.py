"""Statements of a summary, in a form from which a likelihood can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log

import numpy as np
from scipy.special import ndtr

from ..source_classes import COMPONENTS
from .facts import Facts

# Quantities that are labels; the others are intervals of numbers.
LABELS = ("class", "host", "model", "second")
# A second component with at most this share of the photons is never mentioned.
LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Statement:
    """One statement of a summary about its source.

    A stated value comes from a measurement of the truth with a separate error. The text gives the
    interval of the measurement: the rounding interval of a number, or the step of a word.
    """

    # Attribute of `Facts`. `class`, `host` (the kind of field), `model` and `second` are labels.
    # `shape` is the photon index or the temperature (keV) of the stated model, `shape2` that of the
    # second one.
    quantity: str
    # low, high: of the interval, in the units of `Facts`; may be infinite
    low: float = -inf
    high: float = inf
    error: float = 0.0  # standard deviation of the measurement behind it, in `scale`
    scale: str = "linear"  # `linear`, or `log` for the natural logarithm of the quantity
    # Label: a key of `source_classes.CLASSES` or `source_classes.FIELD_KINDS`, or one of
    # `source_classes.COMPONENTS`; alternatives are joined by `|`. Empty if the text mentions no
    # second component.
    label: str = ""
    # Probability that this text mentions an existing second component (`second` only)
    chance: float = 1.0

    def likelihood(self, truth: np.ndarray) -> np.ndarray:
        """Return p(interval | truth) of a number or word, for values in the units of `Facts`.

        Φ((high − q)/error) − Φ((low − q)/error), with q the true value, in `scale`.
        """
        low, high = self.low, self.high
        if self.scale == "log":
            truth = np.log(np.maximum(truth, 1e-300))
            low = log(low) if low > 0.0 else -inf
            high = log(high) if high > 0.0 else -inf
        return ndtr((high - truth) / self.error) - ndtr((low - truth) / self.error)


@dataclass(frozen=True)
class Summary:
    """Summary and its statements."""

    sections: Mapping[str, str]  # texts of any of `identity`, `spectrum`, `context`
    # Informative claims in them, one for each separate measurement
    statements: tuple[Statement, ...]
    writer: str  # name of its writer, two joined by ` + `
    wrong: float  # chance that a text of this writer is mistaken
    # True if the text is about another source, which readers do not know.
    mistaken: bool = False


def label_of(facts: Facts, quantity: str) -> str:
    """Return the true label for a statement; `` for a second component that is not there or has
    no more than `LEAST_SHARE` of the photons.
    """
    if quantity == "class":
        return facts.class_name
    if quantity == "host":
        return facts.field_kind
    if quantity == "model":
        return COMPONENTS[int(facts.first)]
    present = facts.second >= 0 and facts.share2 > LEAST_SHARE
    return COMPONENTS[int(facts.second)] if present else ""
