"""Slots of templates that measure a source when, and only when, they are written."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from math import exp, floor, log, log10, pi, sqrt
from typing import Any

from ..facts import MPC_IN_CM, Facts
from ..grammar import below
from ..reporter import LOG, Measurement, Reporter

_NAME = re.compile(r"J(\d\d)(\d\d)(\d\d)\.(\d)([+-])(\d\d)(\d\d)(\d\d)")
_LIMITS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


class Slots(dict[str, str]):
    """Slots of templates; one without a text is written by the method of its name, `_name`.

    Args:
        reporter: of the text.
        fillers: for slots without a method, templates to pick from, whole numbers [low, below], or
            decimal numbers [low, high, digits].
        writers: objects with such methods; the first that has one is asked.
    """

    def __init__(
        self, reporter: Reporter, fillers: Mapping[str, Sequence[Any]], *writers: object
    ) -> None:
        super().__init__()
        self._reporter = reporter
        self._fillers = fillers
        self._writers = writers

    def __missing__(self, name: str) -> str:
        for writer in self._writers:
            method = getattr(writer, f"_{name}", None)
            if method is not None:
                return method()
        filler = self._fillers[name]
        if isinstance(filler[0], str):
            return self._reporter.fill(filler, self)
        low, high, *digits = filler
        random = self._reporter.random
        if digits:
            return f"{random.uniform(low, high):.{digits[0]}f}"
        return str(low + below(random, high - low))


class Measured:
    """Measurements of one source, made once each for a text.

    Args:
        facts: the truth.
        reporter: of the text.
        errors: for some quantities, the least and the largest error of such a text, and the scale
            (`linear` or `log`).
    """

    def __init__(
        self, facts: Facts, reporter: Reporter, errors: dict[str, tuple[float, float, str]]
    ) -> None:
        self.facts = facts
        self.reporter = reporter
        self._errors = errors
        self._found: dict[str, Measurement] = {}

    def __getitem__(self, quantity: str) -> Measurement:
        return self.draw(quantity, quantity)

    def draw(self, quantity: str, errors: str) -> Measurement:
        """Return the measurement of a quantity, made now with the errors of a name, or before."""
        found = self._found.get(quantity)
        if found is None:
            low, high, scale = self._errors[errors]
            error = low * exp(self.reporter.random.random() * log(high / low))
            truth = getattr(self.facts, quantity)
            found = self.reporter.measure(quantity, truth, error, scale)
            self._found[quantity] = found
        return found


def error_of(found: Measurement) -> float:
    """Return the standard deviation of a measurement in the units of its value."""
    return found.error * found.value if found.scale == LOG else found.error


def round_limit(value: float, *, upper: bool) -> float:
    """Return the nearest of some round numbers above or below a positive value."""
    ten = 10.0 ** floor(log10(value))
    index = bisect_left(_LIMITS, value / ten)
    return ten * _LIMITS[min(index, len(_LIMITS) - 1) if upper else max(index - 1, 0)]


@cache
def luminosity_factor(redshift: float) -> float:
    """Return 4πd² of a redshift, cm², for H0 = 70 km/s/Mpc, a flat universe and Ωm = 0.3."""
    steps = 64
    width = redshift / steps
    integral = sum(
        width / sqrt(0.3 * (1.0 + (step + 0.5) * width) ** 3 + 0.7) for step in range(steps)
    )
    return 4.0 * pi * ((1.0 + redshift) * integral * 299792.458 / 70.0 * MPC_IN_CM) ** 2


def coordinates(name: str) -> tuple[str, ...]:
    """Return the numbers of a name `2CXO JHHMMSS.s±DDMMSS`: h, m, s, tenths, sign, d, m, s."""
    found = _NAME.search(name)
    return found.groups() if found else ("00", "00", "00", "0", "+", "00", "00", "00")


__all__ = [
    "Measured",
    "Slots",
    "coordinates",
    "error_of",
    "luminosity_factor",
    "round_limit",
]
