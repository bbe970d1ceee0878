"""Scientific justification of a proposal to observe a source."""

from __future__ import annotations

from collections.abc import Sequence

from ...source_classes import PLASMA, POWER_LAW
from ..composition import is_background
from ..phrases import read_phrases
from ..reporter import Writer
from ..source_text import SourceText

PHRASES = read_phrases("writers/proposal")


class _Justification(SourceText):
    """Justification of one proposal."""

    phrases = PHRASES
    length, skew, slack = (60, 165), 1.5, 15
    noun_lots, noun_chances = (0.72, 0.92), (0.5, 0.4, 0.5)
    fit_chances = (0.65, 0.7, 0.55, 0.5)
    shape_error, colour_error, nucleus_error = 0.2, 0.12, 0.35
    power_lots, log_chance = (0.25, 0.6), 0.3

    def name(self) -> str:
        """Return the position in one of two forms."""
        facts = self.facts
        return f"CXO {facts.short_position}" if self.reporter.chance(0.5) else facts.position

    def noun(self, lot: float) -> str:
        """Name the class, the family or the hardness of the source, or call it unknown."""
        return super().noun(lot) or self.reporter.pick(PHRASES.unknown)

    def places(self) -> Sequence[str]:
        """Return templates of the place of the source in its field."""
        kind, background = self.facts.field_kind, is_background(self.facts)
        fitting = self.class_known and (kind == "survey" or not background)
        return PHRASES.places[kind] if fitting else PHRASES.neutral_place

    def redshift(self) -> None:
        """Write the redshift, from lines or from photometry."""
        facts, reporter = self.facts, self.reporter
        if facts.redshift > 0.0:
            self.has_redshift = True
            photometric = reporter.chance(0.2)
            error = 0.04 * (1.0 + facts.redshift) if photometric else 1e-3
            measured = reporter.measure("redshift", error)
            if measured.value > 0.0:
                number = self.numerals.state("z", measured)
                options = PHRASES.photometric if photometric else PHRASES.redshift
                self.add("identity", options, z=number)

    def goal(self) -> None:
        """Write an aim."""
        if self.class_known:
            goal = self.composition.phrase(PHRASES.goals[self.facts.class_name])
            if goal:
                self.add("context", PHRASES.goal, goal=goal)

    def shape(self, quantity: str, kind: int) -> str:
        """Return a photon index or temperature, with its introduction."""
        reporter = self.reporter
        key = "gamma"
        if kind == POWER_LAW:
            measured = reporter.measure(quantity, 0.1 * 3.0 ** reporter.random.random())
        else:
            measured = reporter.measure(quantity, 0.08 * 3.0 ** reporter.random.random())
            if measured.value > 6.0 and reporter.chance(0.35):
                return f" with {self.numerals.limit('kt', measured, upper=False)}"
            key = "ev" if measured.value < 0.2 and reporter.chance(0.5) else "kt"
            if kind == PLASMA and reporter.chance(0.1):
                key = "mk"
        number = self.numerals.state(key, measured, error=reporter.chance(0.2))
        return reporter.pick((" (with {number})", " with {number}"), number=number)

    def column(self) -> None:
        """Write the absorbing column, roughly in words, as a number or as a limit."""
        reporter = self.reporter
        measured = reporter.measure("nh", 0.2 * 2.0 ** reporter.random.random())
        lot = reporter.random.random()
        if measured.value < 0.1 and lot < 0.4:
            number = self.numerals.limit("column", measured)
            self.add("spectrum", PHRASES.column_limit, number=number)
        elif lot < 0.45:
            self.add("spectrum", PHRASES.column, word=reporter.word(measured, PHRASES.absorption))
        elif lot < 0.65:
            word = reporter.word(measured, PHRASES.column_scale)
            self.add("spectrum", PHRASES.column_rough, word=word)
        else:
            numerals = self.numerals
            write = numerals.logarithm if reporter.chance(0.25) else numerals.state
            self.add("spectrum", PHRASES.column_number, number=write("column", measured))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        reporter = self.reporter
        band, widening = (("0.5-7 keV", 0.0), ("0.3-10 keV", 0.2))[reporter.chance(0.4)]
        error = 0.25 + 0.3 * reporter.random.random() + widening
        measured = reporter.measure("flux", error)
        self.tell_power(measured, reporter.random.random(), "spectrum", band)

    def at(self) -> str:
        """Return the distance behind a luminosity; may be empty."""
        if not self.reporter.chance(0.5):
            return ""
        measured = self.reporter.measure("distance_mpc", 0.1)
        return f" ({self.reporter.length(measured, 2, kpc_below=0.3)} away)"

    def counts(self) -> None:
        """Write the counts that are expected."""
        reporter = self.reporter
        measured = reporter.measure("photons", 0.3)
        if reporter.chance(0.5):
            sign = "~" if reporter.chance(0.6) else "about "
            text = f"{sign}{reporter.plain(measured, 1 + reporter.chance(0.5))} counts"
        else:
            text = reporter.word(measured, PHRASES.counts_scale)
        self.add("context", PHRASES.counts, counts=text)


WRITER = Writer("proposal", _Justification.write, wrong=0.03, errors=1.2)
