"""Statements of a survey abstract on one source, as slots of its templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partialmethod
from math import ceil, floor

from ...source_classes import COMPONENTS, POWER_LAW
from ..grammar import expand
from ..phrases import read_phrases
from ..reporter import Reporter
from .source_slots import SourceSlots, format_error, round_limit

PHRASES = read_phrases("writers/survey_abstract")
# Family of each class: the classes of its name, joined by `|`.
FAMILY = {name: family for family in PHRASES.family_names for name in family.split("|")}
_AGN = FAMILY["qso"]
# Columns, 1e22 cm⁻².
_OBSCURED, _COMPTON_THICK = 1.0, 120.0


@dataclass(frozen=True)
class Typeset:
    """Typography of numbers in an abstract."""

    math: str
    plus_minus: str
    times: str
    about: str
    power: str
    gamma: str
    column: str
    luminosity: str
    flux: str
    unit: str

    def number(self, text: str) -> str:
        """Set a number or a formula."""
        return f"{self.math}{text}{self.math}"

    def log(self, symbol: str, text: str) -> str:
        """Set the logarithm of a quantity."""
        name = r"\log" if self.math else "log"
        return self.number(f"{name} {symbol} = {text}")

    def ten(self, mantissa: str, exponent: int) -> str:
        """Return a number times a power of ten, not yet set."""
        power = self.power.format(exponent)
        return power if mantissa == "1" else f"{mantissa}{self.times}{power}"

    def units(self, *powers: str) -> str:
        """Return units such as `erg`, `cm-2`."""
        return " ".join(
            name + (self.unit.format(power) if power else "")
            for name, power in (_split_unit(unit) for unit in powers)
        )


_TYPESETS = tuple(Typeset(**typeset) for typeset in PHRASES.typesets)


def _split_unit(unit: str) -> tuple[str, str]:
    name = unit.rstrip("-0123456789")
    return name, unit[len(name) :]


class Source(SourceSlots):
    """Statements on the source of an abstract.

    Attributes:
        label: classes that the abstract allows, joined by `|`; empty where it tells none.
        named: whether a pronoun can stand for the source.
        model_told: whether a model of the spectrum is stated.
        column_told: whether the class was named by its column.
    """

    def __init__(self, reporter: Reporter, host_told: bool) -> None:
        super().__init__(reporter, PHRASES, host_told)
        self.style = self.choose(_TYPESETS)
        self.label = ""
        self.model_told = False
        self.column_told = False
        self.name = self._name()
        self.named = False
        self._band_name, self._band_unit = PHRASES.bands[reporter.chance(0.5)]

    def _name(self) -> str:
        full, short = self.facts.position, self.facts.short_position
        source = f"source {1 + int(self.reporter.random.random() * 300)}"
        forms = (f"2CXO {full}", f"CXO {full}", f"CXO {short}", short, f"{source} ({full})")
        return self.choose(forms)

    def groups(self) -> list[str]:
        """Return the groups of quantities that can be stated, those told most often first."""
        facts = self.facts
        power_law = int(facts.first) == POWER_LAW
        groups = [] if self.column_told else ["nh"]
        groups += ["slope" if power_law else "warmth", "colour", "flux", "counts"]
        if self.redshift or (self.host_told and facts.is_at_known_distance):
            groups.append("luminosity")
        groups += ["foreground", "soft_colour"]
        if COMPONENTS[int(facts.first)] == "plasma":
            groups.append("metals")
        return groups

    def _src(self) -> str:
        self.named = True
        return self.name

    def _ref(self) -> str:
        return self._src() if self.reporter.chance(0.6) or not self.named else "This source"

    def _ref2(self) -> str:
        if self.named and self.reporter.chance(0.35):
            return "this object" if self.reporter.chance(0.5) else "the source"
        return self._src()

    def _cls(self) -> str:
        lot = self.reporter.random.random()
        if lot < 0.35:
            self.label = FAMILY[self.facts.class_name]
            if self.label == _AGN and lot < 0.15:
                return self._obscured()
            return self.fill(PHRASES.family_names[self.label]).strip()
        forms = PHRASES.classes[self.facts.class_name]
        phrase, self.label = self.choose(forms)
        return expand(phrase, self.reporter.random).strip()

    def _obscured(self) -> str:
        """Name an active nucleus by its column."""
        column, thick = self.measured["nh"], _COMPTON_THICK
        self.column_told = True
        if column.value > thick and self.reporter.chance(0.7):
            self.reporter.limit(column, thick, upper=False)
            return "a Compton-thick AGN"
        self.reporter.limit(column, _OBSCURED, upper=column.value < _OBSCURED)
        return "an obscured AGN" if column.value > _OBSCURED else "an unobscured AGN"

    def _where(self) -> str:
        if self.facts.redshift > 0.0 and self.reporter.chance(0.5):
            return self.fill(PHRASES.redshifts)
        if self.facts.host and not self.host_told and self.reporter.chance(0.3):
            self.host_told = True
            self.slots["host"] = self.facts.host
            return self.fill(PHRASES.places)
        return ""

    def _scientific(self, quantity: str, unit: float, units: Sequence[str]) -> str:
        style, measured = self.style, self.measured[quantity]
        if self.reporter.chance(0.4):
            mantissa, exponent = self.reporter.significant(measured, 2, unit)
            error = format_error(measured, 1, unit * 10.0**exponent)
            number = style.ten(f"({mantissa}{style.plus_minus}{error})", exponent)
        else:
            digits = 1 + self.reporter.chance(0.6)
            number = style.ten(*self.reporter.significant(measured, digits, unit))
        return f"{style.number(number)} {style.units(*units)}"

    def _equation(self, symbol: str, value: str) -> str:
        """Return symbol = value; a value that is set as a formula joins it."""
        style = self.style
        exact = "(" in value or style.plus_minus in value or self.reporter.chance(0.6)
        sign = " = " if exact else f" {style.about}"
        if style.math and value.startswith(style.math):
            return f"{style.math}{symbol}{sign}{value[1:]}"
        return f"{style.math}{symbol}{style.math}{sign.replace(style.about, '~ ')}{value}"

    def _log(self, quantity: str, symbol: str, unit: float) -> str:
        return self.style.log(symbol, self.reporter.logarithm(self.measured[quantity], 1, unit))

    def _dist(self) -> str:
        return self.reporter.length(self.measured["distance_mpc"], 2, kpc_below=1.0)

    def _z(self) -> str:
        reporter, redshift = self.reporter, self.facts.redshift
        if redshift > 0.25 and reporter.chance(0.35):
            measured = reporter.measure("redshift", 0.04 * (1.0 + redshift))
            text = reporter.decimal(measured, 1 if redshift > 0.8 else 2)
            self.redshift = max(float(text), 0.05)
            return text
        text = reporter.decimal(self.measured["redshift"], 3)
        self.redshift = max(float(text), 0.001)
        return text

    def _z_eq(self) -> str:
        return self.style.number(f"z = {self._z()}")

    _nh = partialmethod(_scientific, "nh", 1e-22, ("cm-2",))
    _galactic = partialmethod(_scientific, "foreground_nh", 1e-22, ("cm-2",))

    def _nh_eq(self) -> str:
        reporter, style, value = self.reporter, self.style, self.measured["nh"].value
        symbol, lot = style.column, reporter.random.random()
        if value < 0.15 and lot < 0.5:
            return self._column_limit(upper=True)
        if value > 10.0 and lot < 0.3:
            return self._column_limit(upper=False)
        if lot < 0.3:
            return self._log("nh", symbol, 1e-22)
        if lot < 0.38:
            exponent = 22 if value >= 1.0 else 21 if value >= 0.1 else 20
            exponent += value >= 10.0
            low = 10.0 ** (exponent - 22)
            if low <= value < 10.0 * low:
                reporter.between(self.measured["nh"], low, 10.0 * low)
                return style.log(symbol, f"{exponent}-{exponent + 1}")
        return self._equation(symbol, self._nh())

    def write_beyond(self, group: str) -> str:
        """Write on which side of a round value a quantity of a group is."""
        reporter, style = self.reporter, self.style
        upper = reporter.chance(0.4)
        if group == "nh":
            return self._column_limit(upper=upper)
        if group == "flux":
            units = ("erg", "cm-2", "s-1")
            return self.write_limit("flux", style.flux, 1.0, units, upper=upper)
        if group == "slope":
            self._tell_model()
            quantity, symbol, step = self.measured["shape"], style.gamma, 0.5
        else:
            quantity, symbol, step = self.measured["hardness"], "HR", 0.25
        limit = (ceil if upper else floor)(quantity.value / step) * step
        reporter.limit(quantity, limit, upper)
        return style.number(f"{symbol} {'<' if upper else '>'} {limit:g}")

    def write_limit(
        self, quantity: str, symbol: str, factor: float, units: Sequence[str], *, upper: bool
    ) -> str:
        """Write on which side of a round number a quantity is, in units of 1/`factor`."""
        style, measured, sign = self.style, self.measured[quantity], "<" if upper else ">"
        limit = round_limit(measured.value, upper=upper)
        self.reporter.limit(measured, limit, upper)
        mantissa, exponent = f"{limit * factor:.1e}".split("e")
        number = style.ten(mantissa.removesuffix(".0"), int(exponent))
        return f"{style.number(f'{symbol} {sign} {number}')} {style.units(*units)}"

    def _column_limit(self, *, upper: bool) -> str:
        return self.write_limit("nh", self.style.column, 1e22, ("cm-2",), upper=upper)

    def _nh_aside(self) -> str:
        """Return the word beside a number, which adds no information."""
        return self.aside("nh", "absorption").split("/")[1]

    def _absorption(self, form: int) -> str:
        return self.word("nh", "absorption").split("/")[form]

    _nh_adj = partialmethod(_absorption, 0)
    _nh_noun = partialmethod(_absorption, 1)

    def _hr(self) -> str:
        measured = self.measured["hardness"]
        return self.style.number(self.reporter.decimal(measured, 1 + (measured.sigma < 0.1)))

    def _hr_eq(self) -> str:
        return f"HR = {self._hr()}"

    def _hr1(self) -> str:
        return self.style.number(self.decimal("medium_soft", 1))

    def _tell_model(self) -> str:
        label = COMPONENTS[int(self.facts.first)]
        if not self.model_told:
            self.reporter.label("model", label)
            self.model_told = True
        return label

    def _model(self) -> str:
        return self.fill(PHRASES.models[self._tell_model()])

    def _model_mute(self) -> str:
        self._tell_model()
        return ""

    def _gamma(self) -> str:
        self._tell_model()
        reporter, style, measured = self.reporter, self.style, self.measured["shape"]
        if reporter.chance(0.5):
            digits = 2 if measured.sigma < 0.12 and reporter.chance(0.5) else 1
            text = reporter.decimal(measured, digits)
            return style.number(f"{text}{style.plus_minus}{format_error(measured, digits)}")
        return style.number(reporter.decimal(measured, 1))

    def _gamma_eq(self) -> str:
        return self._equation(self.style.gamma, self._gamma())

    _slope = partialmethod(SourceSlots.word, "shape", "slope")
    _warmth = partialmethod(SourceSlots.word, "shape", "warmth")
    _metals = partialmethod(SourceSlots.decimal, "abundance", 1)

    def _kt(self) -> str:
        self._tell_model()
        reporter, measured = self.reporter, self.measured["shape"]
        if measured.value < 2.0 and reporter.chance(0.2):
            return f"{reporter.plain(measured, 2, 1 / 11.6045)} MK"
        if measured.value < 0.25 and reporter.chance(0.4):
            return f"{reporter.plain(measured, 2, 1e-3)} eV"
        if reporter.chance(0.4):
            digits = 2 if measured.value < 1.0 else 1
            text = reporter.decimal(measured, digits) + self.style.plus_minus
            return f"{self.style.number(text + format_error(measured, digits))} keV"
        return f"{self.style.number(reporter.plain(measured, 1 + reporter.chance(0.5)))} keV"

    def _kt_eq(self) -> str:
        value = self._kt()
        return self._equation("T" if value.endswith("MK") else "kT", value)

    def _band(self) -> str:
        return f"{self._band_name} keV"

    def _flux(self) -> str:
        return self._scientific("flux", self._band_unit, ("erg", "cm-2", "s-1"))

    def _flux_eq(self) -> str:
        if self.reporter.chance(0.25):
            return self._log("flux", self.style.flux, 1.0)
        return self._equation(self.style.flux, self._flux())

    def _lum_eq(self) -> str:
        if self.reporter.chance(0.35):
            return self._luminosity(log=True)
        return self._equation(self.style.luminosity, self._luminosity(log=False))

    def _luminosity(self, *, log: bool) -> str:
        """Write a luminosity: of the stated redshift, or as that of a source in its host."""
        reporter, (measured, unit) = self.reporter, self.power()
        if log:
            return self.style.log(self.style.luminosity, reporter.logarithm(measured, 1, unit))
        number = self.style.ten(*reporter.significant(measured, 1 + reporter.chance(0.5), unit))
        return f"{self.style.number(number)} {self.style.units('erg', 's-1')}"

    _lum = partialmethod(_luminosity, log=False)

    def _counts(self) -> str:
        mantissa, exponent = self.reporter.significant(self.measured["photons"], 2)
        return f"{float(mantissa) * 10.0**exponent:.0f}"

    def _shape2(self) -> str:
        if int(self.facts.second) == POWER_LAW:
            return self.style.number(f"{self.style.gamma} = {self.decimal('shape2', 1)}")
        return f"kT = {self.style.number(self.reporter.plain(self.measured['shape2'], 2))} keV"
