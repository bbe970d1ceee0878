"""Notations of numbers: errors, powers of ten, logarithms and limits, as a text prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log10, pi, sqrt

from .facts import MPC_IN_CM
from .reporter import LOG, Measurement, Reporter

# One printed unit, in the units of `Facts`.
UNITS = {
    "column": 1e-22,
    "ev": 1e-3,
    "mk": 1.0 / 11.6,
}
_POWERS = ("column", "flux", "luminosity")
# Steps within a decade to which limits are rounded.
_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class Notation:
    """Notation of one text."""

    # Of each key (`gamma`, `column`, `kt`, `ev`, `mk`, `flux`, `luminosity`, `z`, …)
    symbols: Mapping[str, str]
    units: Mapping[str, str]  # of each key, as printed; keys without one are pure numbers
    about: Sequence[str]  # relations for a value without error
    power: str  # power of ten, of mantissa {m} and exponent {e}
    # Value {v} with error {e}, or with {a} above and {b} below; mantissas take the first
    errors: Sequence[str]
    quote: str = ""  # around symbol and number, `$` in LaTeX
    gap: str = " "  # around relations
    below: str = "<"  # relation of upper limits
    above: str = ">"  # relation of lower limits
    log: str = "log "  # name of the logarithm to base ten
    spread: float = 1.0  # printed errors, in standard deviations


class Numerals:
    """Printer of measurements, which records what it prints."""

    def __init__(self, reporter: Reporter, notation: Notation) -> None:
        self._reporter = reporter
        self.notation = notation

    def state(
        self, key: str, measured: Measurement, *, error: bool = False, scale: float | None = None
    ) -> str:
        """Write a symbol, its value and unit, such as `kT = 0.31 ± 0.04 keV`.

        Args:
            key: key of the notation's symbols.
            measured: measurement.
            error: print the error.
            scale: printed unit, in that of the measurement; default as in `UNITS`.
        """
        relation = "=" if error else self._reporter.choose(self.notation.about)
        return self._equation(key, relation, self.number(key, measured, error=error, scale=scale))

    def value(self, key: str, measured: Measurement, *, error: bool = False) -> str:
        """Write a number and its unit, without symbol."""
        text = self.number(key, measured, error=error)
        number = f"{self.notation.quote}{text}{self.notation.quote}"
        unit = self.notation.units.get(key, "")
        return f"{number} {unit}" if unit else number

    def logarithm(self, key: str, measured: Measurement, *, scale: float | None = None) -> str:
        """Write the logarithm of a quantity, such as `log NH = 22.3`."""
        text = self._reporter.logarithm(measured, 1, scale or UNITS.get(key, 1.0))
        notation = self.notation
        relation = self._reporter.choose(notation.about)
        relation = f"{notation.gap}{relation}{notation.gap}" if relation else " "
        symbol = f"{notation.log}{notation.symbols[key]}"
        return f"{notation.quote}{symbol}{relation}{text}{notation.quote}"

    def limit(self, key: str, measured: Measurement, *, upper: bool = True) -> str:
        """Write a round limit beyond a measurement, such as `NH < 3e21 cm^-2`."""
        side = 1.0 if upper else -1.0
        unit = UNITS.get(key, 1.0)
        if measured.scale == LOG:
            edge = measured.value * exp(1.3 * side * measured.error) / unit
        else:
            edge = (measured.value + 1.3 * side * measured.error) / unit
        ten = 10.0 ** floor(log10(max(edge, 1e-3)))
        steps = [step * ten for step in _ROUND]
        value = next((step for step in steps if step >= edge), steps[-1])
        if not upper:
            value = next((step for step in reversed(steps) if step <= edge), steps[0])
        self._reporter.limit(measured, value * unit, upper)
        if key in _POWERS:
            mantissa, exponent = f"{value:.1e}".split("e")
            number = self._power(mantissa.removesuffix(".0"), int(exponent))
        else:
            number = f"{value:.4g}"
        return self._equation(key, self.notation.below if upper else self.notation.above, number)

    def number(
        self, key: str, measured: Measurement, *, error: bool = False, scale: float | None = None
    ) -> str:
        """Write a number without symbol and unit."""
        unit = scale or UNITS.get(key, 1.0)
        sigma = measured.sigma / unit
        if key in _POWERS:
            mantissa, exponent = self._reporter.significant(measured, 2, unit)
            if error:
                error_form = self.notation.errors[0]
                mantissa = self._with_error(mantissa, sigma / 10.0**exponent, 1, error_form)
                return self._power(f"({mantissa})", exponent)
            return self._power(mantissa, exponent)
        digits = _digits(key, measured.value / unit, sigma)
        text = self._reporter.decimal(measured, digits, unit)
        if not error:
            return text
        return self._with_error(text, sigma, digits, self._reporter.choose(self.notation.errors))

    def _equation(self, key: str, relation: str, number: str) -> str:
        notation = self.notation
        gap, quote, unit = notation.gap, notation.quote, notation.units.get(key, "")
        relation = f"{gap}{relation}{gap}" if relation else " "
        text = f"{quote}{notation.symbols[key]}{relation}{number}{quote}"
        return f"{text} {unit}" if unit else text

    def _power(self, mantissa: str, exponent: int) -> str:
        return self.notation.power.format(m=mantissa, e=exponent)

    def _with_error(self, text: str, sigma: float, digits: int, form: str) -> str:
        sigma *= self.notation.spread
        sizes = (max(sigma * factor, 10.0**-digits) for factor in (1.0, 1.1, 0.9))
        e, a, b = (f"{size:.{digits}f}" for size in sizes)
        return form.format(v=text, e=e, a=a, b=b)


def luminosity_over_flux(redshift: float) -> float:
    """Return 4πd² at a redshift, cm² (flat, H0 = 70 km/s/Mpc, Ω_m = 0.3)."""
    step = redshift / 16
    heights = [1.0 / sqrt(0.3 * (1.0 + k * step) ** 3 + 0.7) for k in range(17)]
    integral = step * (sum(heights) - 0.5 * (heights[0] + heights[-1]))
    return 4.0 * pi * ((1.0 + redshift) * 4282.7 * integral * MPC_IN_CM) ** 2


def _digits(key: str, value: float, sigma: float) -> int:
    """Return decimal places that suit a value and its error."""
    if key == "z":
        return 3 if sigma < 2e-3 else 2
    if key in ("ev", "counts"):
        return 0
    if key == "gamma":
        return 1 if sigma > 0.12 else 2
    least = max(sigma, 0.02 * abs(value), 1e-3)
    return min(max(0, ceil(-log10(least))), 2)
