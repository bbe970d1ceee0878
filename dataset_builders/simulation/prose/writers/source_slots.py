"""Slots of templates that measure a source when, and only when, they are written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache, partialmethod
from math import exp, floor, log, log10, pi, sqrt
from types import SimpleNamespace
from typing import Any

from ...source_classes import COMPONENTS
from ..facts import MPC_IN_CM
from ..reporter import Measurement, Reporter

_LIMITS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


class Slots(dict[str, str]):
    """Slots of templates; one without a text is written by the method of its name, `_name`.

    Args:
        reporter: of the text.
        fillers: for slots without a method, templates to pick from, whole numbers [low, below], or
            decimal numbers [low, high, digits].
        writers: objects with such methods, or functions by slot; the first that has one is asked.
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
            slots = writer if isinstance(writer, dict) else {}
            write = slots.get(name) or getattr(writer, f"_{name}", None)
            if write is not None:
                return write()
        filler = self._fillers[name]
        if isinstance(filler[0], str):
            return self._reporter.fill(filler, self)
        low, high, *digits = filler
        random = self._reporter.random
        if digits:
            return f"{random.uniform(low, high):.{digits[0]}f}"
        return str(random.randrange(low, high))


class Measured(dict[str, Measurement]):
    """Measurements of one source, each made once for a text.

    Errors are drawn between a minimum and a maximum for each quantity (`index` for photon indices).
    """

    def __init__(self, reporter: Reporter, errors: Mapping[str, tuple[float, float]]) -> None:
        super().__init__()
        self._reporter, self._errors = reporter, errors

    def __missing__(self, quantity: str) -> Measurement:
        name = "index" if self._reporter.is_photon_index(quantity) else quantity
        low, high = self._errors[name]
        error = low * exp(self._reporter.random.random() * log(high / low))
        measured = self[quantity] = self._reporter.measure(quantity, error)
        return measured


class SourceSlots:
    """Slots on the source of a text, in the words of its writer.

    Args:
        reporter: of the text.
        phrases: tables of the writer.
        host_told: whether the text names the host.

    Attributes:
        measured: measurements of the source.
        slots: of the templates that slots are filled with.
        redshift: as stated.
    """

    def __init__(
        self, reporter: Reporter, phrases: SimpleNamespace, host_told: bool = False
    ) -> None:
        self.facts, self.reporter, self.phrases = reporter.facts, reporter, phrases
        self.choose = reporter.choose
        self.host_told = host_told
        self.measured = Measured(reporter, phrases.errors)
        self.slots = Slots(reporter, {}, self)
        self.redshift: float | None = None

    def fill(self, options: Sequence[str]) -> str:
        """Return one of several templates, filled in."""
        return self.reporter.fill(options, self.slots)

    def power(self) -> tuple[Measurement, float]:
        """Return the measurement behind a luminosity, and one erg/s in its units: the flux at the
        redshift that is stated, or the luminosity at the distance of the host.
        """
        flux = self.measured["flux"]
        if self.redshift:
            return flux, 1.0 / luminosity_factor(self.redshift)
        return self.reporter.luminosity(flux), 1.0

    def word(self, quantity: str, scale: str) -> str:
        """Put a quantity into words of a scale."""
        return self.reporter.word(self.measured[quantity], getattr(self.phrases, scale))

    def aside(self, quantity: str, scale: str) -> str:
        """Return the word beside a number of the same quantity."""
        return self.reporter.aside(self.measured[quantity], getattr(self.phrases, scale))

    def decimal(self, quantity: str, digits: int) -> str:
        """Write a quantity with so many decimal places."""
        return self.reporter.decimal(self.measured[quantity], digits)

    _colour = partialmethod(word, "hardness", "colour")
    _colour_beside = partialmethod(aside, "hardness", "colour")
    _bright = partialmethod(word, "flux", "brightness")
    _bright_beside = partialmethod(aside, "flux", "brightness")

    def _model2(self) -> str:
        return self.fill(self.phrases.models[COMPONENTS[int(self.facts.second)]])


def format_error(measured: Measurement, digits: int, unit: float = 1.0, sigmas: float = 1.0) -> str:
    """Write the error of a measurement with so many decimal places, at least one in the last."""
    return f"{max(sigmas * measured.sigma / unit, 10.0**-digits):.{digits}f}"


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
