"""Scientific justification of a proposal to observe a source."""

from __future__ import annotations

from ...source_classes import PLASMA, POWER_LAW
from ..composition import distance, is_background
from ..facts import Facts
from ..grammar import with_article
from ..phrases import read_phrases
from ..reporter import LOG, Reporter
from ..source_text import SourceText
from ..writer import Writer

PHRASES = read_phrases("writers/proposal")
_AGN = ("qso", "seyfert1", "seyfert2", "lensed_qso")


class _Justification(SourceText):
    """Justification of one proposal."""

    phrases = PHRASES
    length, skew, slack = (60, 165), 1.5, 15
    fit_chances = (0.65, 0.7, 0.55, 0.5)
    shape_error, colour_error = 0.2, 0.12
    power_lots, log_chance = (0.25, 0.6), 0.3

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        if lot < 0.72:
            self.class_known = True
            reporter.label("class", facts.class_name)
            noun = reporter.pick(PHRASES.nouns[facts.class_name])
        elif lot < 0.92 and facts.class_name in _AGN and reporter.chance(0.5):
            reporter.label("class", "|".join(_AGN))
            noun = reporter.word(reporter.measure("nh", facts.nh, 0.35, LOG), PHRASES.nucleus)
        elif lot < 0.92:
            noun = PHRASES.families.pick(facts, reporter)
        elif reporter.chance(0.4):
            found = reporter.measure("hardness", facts.hardness, 0.12)
            noun = reporter.word(found, PHRASES.nameless)
        else:
            noun = reporter.pick(PHRASES.unknown)
        name = facts.name.removeprefix("2CXO ").rstrip("X")
        if reporter.chance(0.5):
            name = f"CXO {name[:5]}{name[9:14]}"
        slots = {"name": name, "noun": noun, "a_noun": with_article(noun)}
        self.add("identity", PHRASES.opening, **slots, place=self._place())

    def _place(self) -> str:
        facts, reporter = self.facts, self.reporter
        if not facts.host or not reporter.chance(0.5):
            return ""
        self.hosted = True
        reporter.label("host", facts.field_kind)
        fitting = self.class_known and (facts.field_kind == "survey" or not is_background(facts))
        place = PHRASES.places[facts.field_kind] if fitting else PHRASES.neutral_place
        return f" {reporter.pick(place, host=facts.host)}"

    def redshift(self) -> None:
        """Write the redshift, from lines or from photometry."""
        facts, reporter = self.facts, self.reporter
        if facts.redshift > 0.0:
            self.has_redshift = True
            photometric = reporter.chance(0.2)
            error = 0.04 * (1.0 + facts.redshift) if photometric else 1e-3
            found = reporter.measure("redshift", facts.redshift, error)
            if found.value > 0.0:
                number = self.numerals.state("z", found)
                options = PHRASES.photometric if photometric else PHRASES.redshift
                self.add("identity", options, z=number)

    def goal(self) -> None:
        """Write an aim."""
        if self.class_known:
            goal = self.composition.phrase(PHRASES.goals[self.facts.class_name])
            if goal:
                self.add("context", PHRASES.goal, goal=goal)

    def shape(self, quantity: str, kind: int, truth: float) -> str:
        """Return a photon index or temperature, with its introduction."""
        reporter = self.reporter
        key = "gamma"
        if kind == POWER_LAW:
            found = reporter.measure(quantity, truth, 0.1 * 3.0 ** reporter.random.random())
        else:
            found = reporter.measure(quantity, truth, 0.08 * 3.0 ** reporter.random.random(), LOG)
            if found.value > 6.0 and reporter.chance(0.35):
                return f" with {self.numerals.limit('kt', found, upper=False)}"
            key = "ev" if found.value < 0.2 and reporter.chance(0.5) else "kt"
            if kind == PLASMA and reporter.chance(0.1):
                key = "mk"
        number = self.numerals.state(key, found, error=reporter.chance(0.2))
        return reporter.pick((" (with {number})", " with {number}"), number=number)

    def column(self) -> None:
        """Write the absorbing column, roughly in words, as a number or as a limit."""
        facts, reporter = self.facts, self.reporter
        found = reporter.measure("nh", facts.nh, 0.2 * 2.0 ** reporter.random.random(), LOG)
        lot = reporter.random.random()
        if found.value < 0.1 and lot < 0.4:
            number = self.numerals.limit("column", found)
            self.add("spectrum", PHRASES.column_limit, number=number)
        elif lot < 0.45:
            self.add("spectrum", PHRASES.column, word=reporter.word(found, PHRASES.absorption))
        elif lot < 0.65:
            word = reporter.word(found, PHRASES.column_scale)
            self.add("spectrum", PHRASES.column_rough, word=word)
        else:
            numerals = self.numerals
            write = numerals.logarithm if reporter.chance(0.25) else numerals.state
            self.add("spectrum", PHRASES.column_number, number=write("column", found))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        facts, reporter = self.facts, self.reporter
        band, widening = (("0.5-7 keV", 0.0), ("0.3-10 keV", 0.2))[reporter.chance(0.4)]
        error = 0.25 + 0.3 * reporter.random.random() + widening
        found = reporter.measure("flux", facts.flux, error, LOG)
        self.tell_power(found, reporter.random.random(), "spectrum", band)

    def at(self) -> str:
        """Return the distance behind a luminosity; may be empty."""
        if not self.reporter.chance(0.5):
            return ""
        return f" ({distance(self.facts, self.reporter, 0.1)} away)"

    def counts(self) -> None:
        """Write the counts that are expected."""
        reporter = self.reporter
        found = reporter.measure("photons", self.facts.photons, 0.3, LOG)
        if reporter.chance(0.5):
            sign = "~" if reporter.chance(0.6) else "about "
            text = f"{sign}{reporter.plain(found, 1 + reporter.chance(0.5))} counts"
        else:
            text = reporter.word(found, PHRASES.counts_scale)
        self.add("context", PHRASES.counts, counts=text)


def _write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    return _Justification(facts, reporter).write()


WRITER = Writer("proposal", _write, wrong=0.03, errors=1.2)
