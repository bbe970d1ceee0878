"""Abstract of a paper about a single source: its parts and their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..composition import Composition, distance, has_distance, is_background
from ..facts import Facts
from ..notation import Notation, Numerals, luminosity_over_flux, with_article
from ..phrases import read_phrases
from ..reporter import LOG, Measurement, Reporter
from ..writer import Writer

PHRASES = read_phrases("source_paper")
_NOTATIONS = tuple(Notation(**notation) for notation in PHRASES.notations)
_AGN = ("qso", "seyfert1", "seyfert2", "lensed_qso")
_FEWEST, _MOST = 80, 200


class _Abstract:
    """Sentences of one abstract by section, within its length."""

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts, self.reporter = facts, reporter
        self.composition = Composition(reporter)
        self.add = self.composition.add
        self.class_known = False
        self.has_redshift = False
        self.hosted = False
        notation = _NOTATIONS[int(len(_NOTATIONS) * reporter.random.random())]
        self.numerals = Numerals(reporter, notation)

    def number(self, key: str, found: Measurement, chance: float = 0.6) -> str:
        """State a quantity, with this chance of a printed error."""
        return self.numerals.state(key, found, error=self.reporter.chance(chance))

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        noun = reporter.pick(PHRASES.unknown)
        if lot < 0.84:
            self.class_known = True
            reporter.label("class", facts.class_name)
            noun = reporter.pick((PHRASES.nouns[facts.class_name],))
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

    def evidence(self) -> None:
        """Write the evidence for the class."""
        if self.class_known:
            self.add("identity", PHRASES.evidence[self.facts.class_name])

    def redshift(self) -> None:
        """Write the redshift of lines in the optical."""
        if self.facts.redshift > 0.0:
            self.has_redshift = True
            found = self.reporter.measure("redshift", self.facts.redshift, 5e-4)
            self.add("identity", PHRASES.redshift, z=self.numerals.state("z", found))

    def observations(self) -> None:
        """Write what was observed and how it was reduced."""
        self.add("context", PHRASES.observed)

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
        facts, reporter = self.facts, self.reporter
        kind = int(facts.first)
        reporter.label("model", COMPONENTS[kind])
        model = reporter.pick((PHRASES.models[COMPONENTS[kind]],))
        numbered = reporter.chance(0.72)
        shape = self._shape("shape", kind, facts.shape) if numbered else ""
        self.add("spectrum", PHRASES.fit, a_model=with_article(model), shape=shape)
        if not numbered and reporter.chance(0.8):
            self._shape_in_words(kind)
        if reporter.tells_second(facts, 0.8):
            kind = int(facts.second)
            shape = self._shape("shape2", kind, facts.shape2) if reporter.chance(0.6) else ""
            model = reporter.pick((PHRASES.models[COMPONENTS[kind]],))
            self.add(
                "spectrum", PHRASES.second, model=model, a_model=with_article(model), shape=shape
            )
        if facts.first == PLASMA and reporter.chance(0.3):
            found = reporter.measure("abundance", facts.abundance, 0.2, LOG)
            self.add("spectrum", PHRASES.metals, number=self.number("abundance", found))

    def _shape(self, quantity: str, kind: int, truth: float) -> str:
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

    def _shape_in_words(self, kind: int) -> None:
        reporter = self.reporter
        if kind == POWER_LAW:
            word = reporter.word(
                reporter.measure("shape", self.facts.shape, 0.15), PHRASES.slope_scale
            )
            self.add("spectrum", PHRASES.slope, word=word)
        else:
            found = reporter.measure("shape", self.facts.shape, 0.15, LOG)
            word = reporter.word(found, PHRASES.heat_scale)
            self.add("spectrum", PHRASES.heat, word=word, a_word=with_article(word))

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

    def hardness(self) -> None:
        """Write the hardness in words."""
        found = self.reporter.measure("hardness", self.facts.hardness, 0.08)
        self.add("spectrum", PHRASES.hard, word=self.reporter.word(found, PHRASES.hardness))

    def low_energies(self) -> None:
        """Write how the spectrum goes on below 1 keV."""
        found = self.reporter.measure("medium_soft", self.facts.medium_soft, 0.08)
        self.add("spectrum", PHRASES.low, word=self.reporter.word(found, PHRASES.soft_end))

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
        if lot < 0.2:
            self.add(section, PHRASES.bright, word=reporter.word(found, PHRASES.brightness))
        elif lot < 0.55 and self.hosted and has_distance(facts):
            value = found.value * facts.luminosity / facts.flux
            found = reporter.again(found, "luminosity", value)
            self._luminosity(found, band, None, self._at())
        elif lot < 0.55 and self.has_redshift:
            self._luminosity(found, band, 1.0 / luminosity_over_flux(facts.redshift), "")
        else:
            number = self.numerals.value("flux", found)
            self.add(section, PHRASES.flux, band=band, number=number)

    def _luminosity(self, found: Measurement, band: str, scale: float | None, at: str) -> None:
        if self.reporter.chance(0.25):
            number = self.numerals.logarithm("luminosity", found, scale=scale)
            self.add("spectrum", PHRASES.log_luminosity, band=band, number=number, distance=at)
        else:
            number = self.numerals.state("luminosity", found, scale=scale)
            self.add("spectrum", PHRASES.luminosity, band=band, number=number, distance=at)

    def _at(self) -> str:
        if not self.reporter.chance(0.6):
            return ""
        number = distance(self.facts, self.reporter, 0.08)
        return self.reporter.pick((" at {d}", " for a distance of {d}"), d=number)

    def sightline(self) -> None:
        """Write the Galactic column."""
        found = self.reporter.measure("foreground_nh", self.facts.foreground_nh, 0.12, LOG)
        self.add("context", PHRASES.sightline, number=self.numerals.value("column", found))

    def behaviour(self) -> None:
        """Write how such a source behaves."""
        if self.class_known:
            self.add("spectrum", PHRASES.behaviour[self.facts.class_name])

    def meaning(self) -> None:
        """Write an interpretation."""
        if self.class_known:
            self.add("context", PHRASES.meaning[self.facts.class_name])

    def other_wavelengths(self) -> None:
        """Write about other data."""
        self.add("context", PHRASES.other_wavelengths)

    def ending(self) -> None:
        """Write an outlook."""
        self.add("context", PHRASES.ending)


# In the order of an abstract; each with its chance.
_PARTS: tuple[tuple[float, Callable[[_Abstract], None]], ...] = (
    (0.6, _Abstract.evidence),
    (0.55, _Abstract.redshift),
    (0.6, _Abstract.observations),
    (0.25, _Abstract.observations),
    (0.35, _Abstract.counts),
    (0.85, _Abstract.fit),
    (0.6, _Abstract.column),
    (0.4, _Abstract.hardness),
    (0.25, _Abstract.low_energies),
    (0.75, _Abstract.power),
    (0.45, _Abstract.behaviour),
    (0.08, _Abstract.sightline),
    (0.35, _Abstract.other_wavelengths),
    (0.55, _Abstract.meaning),
    (0.5, _Abstract.ending),
)
# Those on the spectrum, in this order or another.
_SPECTRAL = slice(5, 10)
_PADDING = (
    _Abstract.observations,
    _Abstract.other_wavelengths,
    _Abstract.ending,
    _Abstract.evidence,
    _Abstract.behaviour,
    _Abstract.meaning,
)


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the abstract, each sentence under the section it belongs to.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    abstract = _Abstract(facts, reporter)
    length = _FEWEST + (_MOST - _FEWEST) * reporter.random.random() ** 2
    abstract.open()
    composition = abstract.composition
    parts = list(_PARTS)
    if reporter.chance(0.6):
        parts[_SPECTRAL] = reporter.random.sample(parts[_SPECTRAL], len(parts[_SPECTRAL]))
    for chance, part in parts:
        if composition.words < _MOST - 25 and reporter.chance(chance):
            part(abstract)
    while composition.words < length:
        _PADDING[int(len(_PADDING) * reporter.random.random())](abstract)
    return composition.sections()


WRITER = Writer("source_paper", write, wrong=0.015)

__all__ = ["WRITER"]
