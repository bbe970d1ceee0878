"""Notice of a new observation, as astronomers telegraph them to each other.

Few words: what was seen with which telescope and when, a fit in a sentence or two, a likely class,
and a call for observations. Dates, detectors and remarks on earlier epochs tell nothing about the
spectrum.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partialmethod
from math import exp
from random import Random

from ...source_classes import COMPONENTS, POWER_LAW
from ..composition import Composition
from ..grammar import capitalized
from ..papers import AUTHORS
from ..phrases import read_phrases
from ..reporter import Measurement, Reporter, Writer
from .source_slots import Slots, SourceSlots, format_error, round_limit

PHRASES = read_phrases("writers/notice")
_FEWEST_WORDS, _MOST_WORDS = 58, 150
_SECOND_TOLD = 0.45
_EXTENDED = ("snr", "hot_gas", "cluster")
# Counts/s of a source of 1 erg/cm²/s.
_RATE = 8e10
# Lower-case words that begin a sentence as they are.
_SENTENCE = re.compile(r"(?!bbodyrad|bremsstrahlung )[a-z]+[ ,]")


class _Source(SourceSlots):
    """Statements on the source of a notice."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(reporter, PHRASES)
        self._is_named = self._located = False
        self._flux_band = self.choose(PHRASES.bands)
        self._flux_unit = self.choose(PHRASES.flux_units)
        self._name = self.choose(PHRASES.names)
        # Stated errors are those of 68 or 90 % confidence.
        self._confidence = self.choose((1.0, 1.645))
        self._exponent = self.choose(("e{}", "E{}", " x 10^{}"))
        self._duration = 1e3 * exp(reporter.random.uniform(1.2, 4.1))

    def _src(self) -> str:
        """Name the source, in full the first time."""
        if self._is_named and self.reporter.chance(0.5):
            return "the source"
        self._is_named = True
        return f"{self._name} {self.facts.position}"

    def _position(self) -> str:
        name = self.facts.position
        hours, minutes, seconds = name[1:3], name[3:5], name[5:9]
        degrees, arcmin, arcsec = name[9:12], name[12:14], name[14:16]
        if self.reporter.chance(0.5):
            return f"RA = {hours}:{minutes}:{seconds}, Dec = {degrees}:{arcmin}:{arcsec}"
        return f"{hours}h{minutes}m{seconds}s {degrees}d{arcmin}m{arcsec}s"

    def _place(self) -> str:
        if self.facts.host and self.reporter.chance(0.5):
            self.host_told = True
            return f"{self.choose((' in', ' toward', ', in the direction of'))} {self.facts.host}"
        return ""

    def _cls(self) -> str:
        return PHRASES.classes.pick(self.reporter).strip()

    def place_known(self) -> bool:
        """Return True where a luminosity can be stated."""
        return self.facts.redshift > 0.0 or (self.host_told and self.facts.is_at_known_distance)

    def _exposure(self) -> str:
        return f"{self._duration / 1e3:.{self._duration < 2e4:d}f} ks"

    def expose(self) -> None:
        """Set the exposure to one that fits the counts and the flux, both of which are stated."""
        rate = self.measured["flux"].value * _RATE * exp(self.reporter.random.gauss(0.0, 0.2))
        self._duration = self.measured["photons"].value / rate

    def _counts(self) -> str:
        text = self.reporter.plain(self.measured["photons"], 2)
        self.slots["rate"] = self._count_rate()
        return text

    def _rate(self) -> str:
        """Write the count rate, which states the counts."""
        self.reporter.significant(self.measured["photons"], 2, round(self._duration, -2))
        return self._count_rate()

    def _count_rate(self) -> str:
        return f"{self.measured['photons'].value / round(self._duration, -2):.1e} c/s"

    def _band(self) -> str:
        return self._flux_band[0]

    def _ten(self, mantissa: str, exponent: int) -> str:
        return mantissa + self._exponent.format(exponent)

    def _error(self, measured: Measurement, unit: float, digits: int) -> str:
        return format_error(measured, digits, unit, self._confidence)

    def _with_error(self, measured: Measurement, unit: float = 1.0) -> str:
        """Write a number with a power of ten, at times with its error."""
        if self.reporter.chance(0.5):
            mantissa, exponent = self.reporter.significant(measured, 2, unit)
            error = self._error(measured, unit * 10.0**exponent, 1)
            return self._ten(f"({mantissa} +/- {error})", exponent)
        digits = 1 + self.reporter.chance(0.5)
        return ("" if digits == 2 else "~") + self._ten(
            *self.reporter.significant(measured, digits, unit)
        )

    def _flux(self) -> str:
        return f"{self._with_error(self.measured['flux'], self._flux_band[1])} {self._flux_unit}"

    def _log_flux(self) -> str:
        return self.reporter.logarithm(self.measured["flux"], 1, self._flux_band[1])

    def _distance(self) -> str:
        """Write the redshift or the distance of the host."""
        facts, reporter = self.facts, self.reporter
        self._located = True
        if facts.redshift > 0.0:
            text = reporter.decimal(self.measured["redshift"], 3)
            self.redshift = max(float(text), 0.001)
            return f"{self.choose(('z =', 'a redshift of', 'z ='))} {text}"
        measured = self.measured["distance_mpc"]
        text = reporter.length(measured, 1 + reporter.chance(0.5), kpc_below=1.0)
        return f"{self.choose(('a distance of', 'd =', 'D ~'))} {text}"

    def _lum(self) -> str:
        if not self._located:
            # The distance stands behind the luminosity that it gives.
            self.slots["distance"] = self._distance()
        measured, unit = self.power()
        digits = 1 + self.reporter.chance(0.5)
        number = self.reporter.significant(measured, digits, unit * self._flux_band[1])
        return f"{self._ten(*number)} erg/s"

    def _model(self) -> str:
        label = COMPONENTS[int(self.facts.first)]
        self.reporter.label("model", label)
        return self.fill(PHRASES.models[label])

    def _fitted(self, quantity: str) -> str:
        """Write the photon index or the temperature of a component."""
        write = self._index if self.reporter.is_photon_index(quantity) else self._temperature
        return write(self.measured[quantity])

    _shape = partialmethod(_fitted, "shape")
    _shape2 = partialmethod(_fitted, "shape2")

    def _index(self, measured: Measurement) -> str:
        text = self.reporter.decimal(measured, 1)
        error = self._error(measured, 1.0, 1)
        name = self.choose(
            ("Gamma = ", "Gamma=", "photon index ", "a photon index of ", "PhoIndex=")
        )
        lot = self.reporter.random.random()
        if lot < 0.45:
            return f"{name}{text} +/- {error}"
        if lot < 0.6:
            return f"{name}{text} (+{error}, -{error})"
        return f"{name}{text}" if lot < 0.8 else f"Gamma ~ {text}"

    def _temperature(self, measured: Measurement) -> str:
        reporter, value = self.reporter, measured.value
        if value < 0.25 and reporter.chance(0.5):
            text = reporter.plain(measured, 2, 1e-3)
            error = self._error(measured, 1e-3, 0)
            return f"kT = {text} +/- {error} eV" if reporter.chance(0.5) else f"kT ~ {text} eV"
        digits = 2 if value < 1.0 else 1 if value < 10.0 else 0
        text = reporter.decimal(measured, digits)
        if reporter.chance(0.5):
            name = self.choose(("kT = ", "kT=", "a temperature of "))
            return f"{name}{text} +/- {self._error(measured, 1.0, digits)} keV"
        return f"{self.choose(('kT ~ ', 'kT = ', 'kT about '))}{text} keV"

    def _slope(self) -> str:
        self.reporter.label("model", "power_law")
        return self.word("shape", "slope")

    def _slope_beside(self) -> str:
        self.reporter.label("model", "power_law")
        return self.aside("shape", "slope")

    def _nh(self) -> str:
        """Write the column in front of the source."""
        measured, reporter = self.measured["nh"], self.reporter
        if measured.value < 0.12 and reporter.chance(0.5):
            limit = round_limit(measured.value, upper=True)
            reporter.limit(measured, limit, upper=True)
            mantissa, exponent = f"{limit * 1e22:.1e}".split("e")
            return f"nH < {self._ten(mantissa.removesuffix('.0'), int(exponent))} cm^-2"
        if reporter.chance(0.3):
            digits = 2 if measured.value < 1.0 else 1
            text = reporter.decimal(measured, digits)
            return f"nH = {text} +/- {self._error(measured, 1.0, digits)} (10^22 cm^-2)"
        name = self.choose(("nH = ", "N_H = ", "NH=", "an nH of "))
        return f"{name}{self._with_error(measured, 1e-22)} cm^-2".replace("= ~", "~ ").replace(
            "=~", "~"
        )

    def _nh_fixed(self) -> str:
        text = self._ten(*self.reporter.significant(self.measured["foreground_nh"], 2, 1e-22))
        return f"the Galactic value, {text} cm^-2"

    _thick = partialmethod(SourceSlots.word, "nh", "absorption")

    def _hr(self) -> str:
        return self.reporter.decimal(self.measured["hardness"], 1 + self.reporter.chance(0.3))


def _circumstances(random: Random) -> dict[str, Callable[[], str]]:
    """Return slots of dates and numbers of an observation, in which the source has no part."""
    latest, obsid = random.randrange(2021, 2026), str(random.randrange(23000, 31000))
    style = random.randrange(5)

    def date() -> str:
        month, day = random.randrange(12), random.randrange(1, 29)
        name = PHRASES.months[month]
        if style == 0:
            return f"{latest} {name} {day}"
        if style == 1:
            hour, minute = random.randrange(24), random.randrange(60)
            return f"{latest}-{month + 1:02d}-{day:02d}T{hour:02d}:{minute:02d}"
        if style == 2:
            return f"{day} {name[:3]} {latest}"
        if style == 3:
            return f"MJD {59215 + 365 * (latest - 2021) + random.randrange(365)}"
        return f"{latest} {name[:3]} {day}.{random.randrange(100):02d} UT"

    def statistic() -> str:
        freedom = random.randrange(20, 400)
        return f"{freedom * random.uniform(0.85, 1.15):.0f}/{freedom}"

    return {
        "date": date,
        "date2": date,
        "year": lambda: str(random.randrange(1999, latest - 1)),
        "year2": lambda: str(latest),
        "obsid": lambda: obsid,
        "pi": lambda: random.choice(AUTHORS),
        "author": lambda: random.choice(AUTHORS),
        "factor": lambda: f"{exp(random.uniform(0.5, 4.0)):.2g}",
        "stat": statistic,
    }


class _Notice:
    """Sentences of one notice, each under its section."""

    def __init__(self, reporter: Reporter) -> None:
        self.facts, self.reporter = reporter.facts, reporter
        self.source = _Source(reporter)
        about = _circumstances(reporter.random)
        self.slots = Slots(reporter, PHRASES.fillers, self.source, about)
        self.source.slots = self.slots
        self.text = Composition(reporter)

    def write(self) -> dict[str, str]:
        """Write the notice, and record the kind of field where the host is named."""
        chance, extended = self.reporter.chance, self.facts.class_name in _EXTENDED
        counted = chance(0.3)
        if counted:
            self.source.expose()
        self._add("identity", PHRASES.detection)
        for _ in range(self.reporter.random.randrange(4)):
            self._add("context", PHRASES.details)
        self._describe(counted)
        if not extended and chance(0.35):
            self._add("context", PHRASES.history)
        if extended or chance(0.72):
            self._add("identity", PHRASES.identification)
        elif chance(0.5):
            self._add("identity", PHRASES.unidentified)
        if chance(0.3):
            self._add("context", PHRASES.elsewhere)
        while self.text.words < _FEWEST_WORDS:
            self._add("context", PHRASES.details)
        if chance(0.75):
            self._add("context", PHRASES.requests)
        if chance(0.3):
            self._add("context", PHRASES.thanks)
        if self.source.host_told:
            self.reporter.label("host", self.facts.field_kind)
        return self.text.sections()

    def _describe(self, counted: bool) -> None:
        """Write on counts where they are told, spectrum and brightness, in some order."""
        chance, source = self.reporter.chance, self.source
        if counted:
            self._add("spectrum", PHRASES.counts)
        bright = source.place_known() and chance(0.45)
        parts = [self._fit if chance(0.6) else self._characterise]
        if counted or chance(0.75):
            parts.insert(
                chance(0.7),
                lambda: self._add("spectrum", PHRASES.luminosity if bright else PHRASES.flux),
            )
        for part in parts:
            part()

    def _fit(self) -> None:
        self._add("spectrum", PHRASES.fit)
        if self.reporter.tells_second(_SECOND_TOLD):
            self._add("spectrum", PHRASES.second)

    def _characterise(self) -> None:
        """Write on the spectrum without a fit."""
        lot = self.reporter.random.random()
        if lot < 0.65:
            self._add("spectrum", PHRASES.colour_words)
        elif int(self.facts.first) == POWER_LAW:
            self._add("spectrum", PHRASES.slope_words)
            if self.reporter.tells_second(0.1):
                self._add("spectrum", PHRASES.second)
        if self.reporter.chance(0.45):
            self._add("spectrum", PHRASES.absorption_words)

    def _add(self, section: str, options: tuple[str, ...]) -> None:
        """Write a sentence that the notice does not have yet."""
        if self.text.words > _MOST_WORDS - 20 and section == "context":
            return
        sentence = self.reporter.fill((self.text.unused(options),), self.slots)
        if _SENTENCE.match(sentence):
            sentence = capitalized(sentence)
        self.text.append(section, sentence)


WRITER = Writer("notice", lambda reporter: _Notice(reporter).write(), unseen=True)
