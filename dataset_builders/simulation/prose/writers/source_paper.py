"""Abstract of a paper about a single source."""

from __future__ import annotations

from collections.abc import Sequence

from ...source_classes import PLASMA, POWER_LAW
from ..composition import distance, is_background
from ..facts import Facts
from ..grammar import with_article
from ..phrases import read_phrases
from ..reporter import LOG, Measurement, Reporter
from ..source_text import SourceText
from ..writer import Writer

PHRASES = read_phrases("writers/source_paper")
_AGN = ("qso", "seyfert1", "seyfert2", "lensed_qso")


class _Abstract(SourceText):
    """Abstract of a paper about one source."""

    phrases = PHRASES
    length, skew, slack = (80, 200), 2.0, 25
    fit_chances = (0.72, 0.8, 0.8, 0.6)
    shape_error, colour_error = 0.15, 0.08
    power_lots, log_chance = (0.2, 0.55), 0.25

    def number(self, key: str, found: Measurement) -> str:
        """State a quantity, in six of ten cases with its error."""
        return self.numerals.state(key, found, error=self.reporter.chance(0.6))

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        noun = reporter.pick(PHRASES.unknown)
        if lot < 0.84:
            self.class_known = True
            reporter.label("class", facts.class_name)
            noun = reporter.pick(PHRASES.nouns[facts.class_name])
        elif lot < 0.95 and facts.class_name in _AGN and reporter.chance(0.6):
            reporter.label("class", "|".join(_AGN))
            noun = reporter.word(reporter.measure("nh", facts.nh, 0.25, LOG), PHRASES.nucleus)
        elif lot < 0.95:
            noun = PHRASES.families.pick(facts, reporter)
        elif reporter.chance(0.5):
            found = reporter.measure("hardness", facts.hardness, 0.08)
            noun = reporter.word(found, PHRASES.nameless)
        name = facts.name if reporter.chance(0.4) else facts.name.split()[-1]
        slots = {"name": name.rstrip("X"), "noun": noun, "a_noun": with_article(noun)}
        self.add("identity", PHRASES.opening, **slots, place=self._place())

    def _place(self) -> str:
        facts, reporter = self.facts, self.reporter
        if not facts.host or not reporter.chance(0.6):
            return ""
        self.hosted = True
        reporter.label("host", facts.field_kind)
        options: Sequence[str] = ("in the <field|direction> of {host}", "<near|towards> {host}")
        if self.class_known:
            places = PHRASES.far_places if is_background(facts) else PHRASES.galactic_places
            options = places.get(facts.field_kind, options)
        return f" {reporter.pick(options, host=facts.host)}"

    def redshift(self) -> None:
        """Write the redshift of lines in the optical."""
        if self.facts.redshift > 0.0:
            self.has_redshift = True
            found = self.reporter.measure("redshift", self.facts.redshift, 5e-4)
            self.add("identity", PHRASES.redshift, z=self.numerals.state("z", found))

    def counts(self) -> None:
        """Write the number of counts, in words or as a number."""
        found = self.reporter.measure("photons", self.facts.photons, 0.25, LOG)
        if found.value > 40.0 and self.reporter.chance(0.4):
            text = f"about {self.reporter.plain(found, 2)} counts"
        else:
            text = self.reporter.word(found, PHRASES.counts_scale)
        self.add("context", PHRASES.counts, counts=text)

    def fit(self) -> None:
        """Write the model of the spectrum, its shape, a second component and the metals."""
        super().fit()
        if self.facts.first == PLASMA and self.reporter.chance(0.3):
            found = self.reporter.measure("abundance", self.facts.abundance, 0.2, LOG)
            self.add("spectrum", PHRASES.metals, number=self.number("abundance", found))

    def shape(self, quantity: str, kind: int, truth: float) -> str:
        """Return a photon index or temperature, with its introduction."""
        reporter = self.reporter
        if kind == POWER_LAW:
            found = reporter.measure(quantity, truth, 0.05 * 6.0 ** reporter.random.random())
            value = self.numerals.value("gamma", found, error=reporter.chance(0.6))
            if reporter.chance(0.3):
                return f" of photon index {value}"
            symbol = self.numerals.notation.symbols["gamma"]
            quote = self.numerals.notation.quote
            equation = f"{quote}{symbol}={value.strip('$')}{quote}" if quote else (
                f"{symbol} = {value}"
            )  # fmt: skip
            return f" with {equation}" if reporter.chance(0.6) else f" ({equation})"
        found = reporter.measure(quantity, truth, 0.05 * 4.0 ** reporter.random.random(), LOG)
        if found.value > 8.0 and reporter.chance(0.4):
            return f" with {self.numerals.limit('kt', found, upper=False)}"
        key = "ev" if found.value < 0.25 and reporter.chance(0.4) else "kt"
        if kind == PLASMA and reporter.chance(0.12):
            key = "mk"
        if reporter.chance(0.25):
            error = reporter.chance(0.5)
            return f" with a temperature of {self.numerals.value(key, found, error=error)}"
        number = self.number(key, found)
        return f" with {number}" if reporter.chance(0.6) else f" ({number})"

    def column(self) -> None:
        """Write the absorbing column: in words, as a number or as a limit."""
        facts, reporter = self.facts, self.reporter
        found = reporter.measure("nh", facts.nh, 0.1 * 3.5 ** reporter.random.random(), LOG)
        if found.value < 0.06 and reporter.chance(0.5):
            self.add("spectrum", PHRASES.column_limit, number=self.numerals.limit("column", found))
        elif reporter.chance(0.35):
            self.add("spectrum", PHRASES.column[:1], word=reporter.word(found, PHRASES.absorption))
        elif reporter.chance(0.3):
            number = f" ({self.number('column', found)})"
            word = reporter.aside(found, PHRASES.absorption)
            self.add("spectrum", PHRASES.column[1:], word=word, number=number)
        elif reporter.chance(0.15):
            number = self.numerals.logarithm("column", found)
            self.add("spectrum", PHRASES.column_number[2:], number=number)
        else:
            self.add("spectrum", PHRASES.column_number, number=self.number("column", found))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        facts, reporter = self.facts, self.reporter
        section = "context" if reporter.chance(0.2) else "spectrum"
        lot = reporter.random.random()
        band, widening = (("0.5-7 keV", 0.0), ("0.5-8 keV", 0.1), ("0.3-8 keV", 0.15))[
            int(3.0 * reporter.random.random())
        ]
        error = 0.2 + 0.25 * reporter.random.random() ** 2 + widening
        found = reporter.measure("flux", facts.flux, error, LOG)
        self.tell_power(found, lot, section, band)

    def at(self) -> str:
        """Return the distance behind a luminosity; may be empty."""
        if not self.reporter.chance(0.6):
            return ""
        number = distance(self.facts, self.reporter, 0.08)
        return self.reporter.pick((" at {d}", " for a distance of {d}"), d=number)

    def sightline(self) -> None:
        """Write the Galactic column."""
        found = self.reporter.measure("foreground_nh", self.facts.foreground_nh, 0.12, LOG)
        self.add("context", PHRASES.sightline, number=self.numerals.value("column", found))


def _write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    return _Abstract(facts, reporter).write()


WRITER = Writer("source_paper", _write, wrong=0.015)
