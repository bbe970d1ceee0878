"""Abstract of a paper about a single source."""

from __future__ import annotations

from collections.abc import Sequence

from ...source_classes import PLASMA, POWER_LAW
from ..composition import is_background
from ..phrases import read_phrases
from ..reporter import Measurement, Writer
from ..source_text import SourceText

PHRASES = read_phrases("writers/source_paper")


class _Abstract(SourceText):
    """Abstract of a paper about one source."""

    phrases = PHRASES
    length, skew, slack = (80, 200), 2.0, 25
    noun_lots, noun_chances = (0.84, 0.95), (0.6, 0.5, 0.6)
    fit_chances = (0.72, 0.8, 0.8, 0.6)
    shape_error, colour_error, nucleus_error = 0.15, 0.08, 0.25
    power_lots, log_chance = (0.2, 0.55), 0.25

    def number(self, key: str, measured: Measurement) -> str:
        """State a quantity, in six of ten cases with its error."""
        return self.numerals.state(key, measured, error=self.reporter.chance(0.6))

    def name(self) -> str:
        """Return the name of the catalogue, or the position alone."""
        return f"{'2CXO ' if self.reporter.chance(0.4) else ''}{self.facts.position}"

    def noun(self, lot: float) -> str:
        """Name the class, the family or the hardness of the source, or call it unknown."""
        unknown = self.reporter.pick(PHRASES.unknown)
        return super().noun(lot) or unknown

    def places(self) -> Sequence[str]:
        """Return templates of the place of the source in its field."""
        options: Sequence[str] = ("in the <field|direction> of {host}", "<near|towards> {host}")
        if not self.class_known:
            return options
        places = PHRASES.far_places if is_background(self.facts) else PHRASES.galactic_places
        return places.get(self.facts.field_kind, options)

    def redshift(self) -> None:
        """Write the redshift of lines in the optical."""
        if self.facts.redshift > 0.0:
            self.has_redshift = True
            measured = self.reporter.measure("redshift", 5e-4)
            self.add("identity", PHRASES.redshift, z=self.numerals.state("z", measured))

    def counts(self) -> None:
        """Write the number of counts, in words or as a number."""
        measured = self.reporter.measure("photons", 0.25)
        if measured.value > 40.0 and self.reporter.chance(0.4):
            text = f"about {self.reporter.plain(measured, 2)} counts"
        else:
            text = self.reporter.word(measured, PHRASES.counts_scale)
        self.add("context", PHRASES.counts, counts=text)

    def fit(self) -> None:
        """Write the model of the spectrum, its shape, a second component and the metals."""
        super().fit()
        if self.facts.first == PLASMA and self.reporter.chance(0.3):
            measured = self.reporter.measure("abundance", 0.2)
            self.add("spectrum", PHRASES.metals, number=self.number("abundance", measured))

    def shape(self, quantity: str, kind: int) -> str:
        """Return a photon index or temperature, with its introduction."""
        reporter = self.reporter
        if kind == POWER_LAW:
            measured = reporter.measure(quantity, 0.05 * 6.0 ** reporter.random.random())
            value = self.numerals.value("gamma", measured, error=reporter.chance(0.6))
            if reporter.chance(0.3):
                return f" of photon index {value}"
            symbol = self.numerals.notation.symbols["gamma"]
            quote = self.numerals.notation.quote
            equation = f"{quote}{symbol}={value.strip('$')}{quote}" if quote else (
                f"{symbol} = {value}"
            )  # fmt: skip
            return f" with {equation}" if reporter.chance(0.6) else f" ({equation})"
        measured = reporter.measure(quantity, 0.05 * 4.0 ** reporter.random.random())
        if measured.value > 8.0 and reporter.chance(0.4):
            return f" with {self.numerals.limit('kt', measured, upper=False)}"
        key = "ev" if measured.value < 0.25 and reporter.chance(0.4) else "kt"
        if kind == PLASMA and reporter.chance(0.12):
            key = "mk"
        if reporter.chance(0.25):
            error = reporter.chance(0.5)
            return f" with a temperature of {self.numerals.value(key, measured, error=error)}"
        number = self.number(key, measured)
        return f" with {number}" if reporter.chance(0.6) else f" ({number})"

    def column(self) -> None:
        """Write the absorbing column: in words, as a number or as a limit."""
        reporter = self.reporter
        measured = reporter.measure("nh", 0.1 * 3.5 ** reporter.random.random())
        if measured.value < 0.06 and reporter.chance(0.5):
            self.add(
                "spectrum", PHRASES.column_limit, number=self.numerals.limit("column", measured)
            )
        elif reporter.chance(0.35):
            self.add(
                "spectrum", PHRASES.column[:1], word=reporter.word(measured, PHRASES.absorption)
            )
        elif reporter.chance(0.3):
            number = f" ({self.number('column', measured)})"
            word = reporter.aside(measured, PHRASES.absorption)
            self.add("spectrum", PHRASES.column[1:], word=word, number=number)
        elif reporter.chance(0.15):
            number = self.numerals.logarithm("column", measured)
            self.add("spectrum", PHRASES.column_number[2:], number=number)
        else:
            self.add("spectrum", PHRASES.column_number, number=self.number("column", measured))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        reporter = self.reporter
        section = "context" if reporter.chance(0.2) else "spectrum"
        lot = reporter.random.random()
        bands = (("0.5-7 keV", 0.0), ("0.5-8 keV", 0.1), ("0.3-8 keV", 0.15))
        band, widening = reporter.choose(bands)
        error = 0.2 + 0.25 * reporter.random.random() ** 2 + widening
        measured = reporter.measure("flux", error)
        self.tell_power(measured, lot, section, band)

    def at(self) -> str:
        """Return the distance behind a luminosity; may be empty."""
        if not self.reporter.chance(0.6):
            return ""
        measured = self.reporter.measure("distance_mpc", 0.08)
        number = self.reporter.length(measured, 2, kpc_below=0.3)
        return self.reporter.pick((" at {d}", " for a distance of {d}"), d=number)

    def sightline(self) -> None:
        """Write the Galactic column."""
        measured = self.reporter.measure("foreground_nh", 0.12)
        self.add("context", PHRASES.sightline, number=self.numerals.value("column", measured))


WRITER = Writer("source_paper", _Abstract.write, wrong=0.015)
