"""Scientific justification of an observation: its parts and their order."""

from __future__ import annotations

from collections.abc import Callable

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..composition import Composition, distance, has_distance, is_background
from ..facts import Facts
from ..notation import Notation, Numerals, luminosity_over_flux, with_article
from ..phrases import read_phrases
from ..reporter import LOG, Measurement, Reporter
from ..writer import Writer

PHRASES = read_phrases("proposal")
_NOTATIONS = tuple(Notation(**notation) for notation in PHRASES.notations)
_AGN = ("qso", "seyfert1", "seyfert2", "lensed_qso")
_FEWEST, _MOST = 60, 165


class _Justification:
    """Sentences of one proposal."""

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts, self.reporter = facts, reporter
        self.composition = Composition(reporter)
        self.add = self.composition.add
        self.class_known = self.has_redshift = self.hosted = False
        notation = _NOTATIONS[int(len(_NOTATIONS) * reporter.random.random())]
        self.numerals = Numerals(reporter, notation)

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        if lot < 0.72:
            self.class_known = True
            reporter.label("class", facts.class_name)
            noun = reporter.pick((PHRASES.nouns[facts.class_name],))
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
        return f" {reporter.pick((place,), host=facts.host)}"

    def known(self) -> None:
        """Write what other wavelengths say of such a source."""
        if self.class_known:
            self.add("identity", PHRASES.known[self.facts.class_name])

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

    def why(self) -> None:
        """Write why such sources matter."""
        if self.class_known:
            self.add("context", PHRASES.why[self.facts.class_name])

    def goal(self) -> None:
        """Write an aim."""
        if self.class_known:
            goal = self.composition.phrase(PHRASES.goals[self.facts.class_name])
            if goal:
                self.add("context", PHRASES.goal, goal=goal)

    def spectrum(self) -> None:
        """Write the model that is expected, its shape and a second component."""
        facts, reporter = self.facts, self.reporter
        kind = int(facts.first)
        reporter.label("model", COMPONENTS[kind])
        model = reporter.pick((PHRASES.models[COMPONENTS[kind]],))
        numbered = reporter.chance(0.65)
        shape = self._shape("shape", kind, facts.shape) if numbered else ""
        self.add("spectrum", PHRASES.fit, a_model=with_article(model), shape=shape)
        if not numbered and reporter.chance(0.7):
            self._shape_in_words(kind)
        if reporter.tells_second(facts, 0.55):
            kind = int(facts.second)
            shape = self._shape("shape2", kind, facts.shape2) if reporter.chance(0.5) else ""
            model = with_article(reporter.pick((PHRASES.models[COMPONENTS[kind]],)))
            self.add("spectrum", PHRASES.second, a_model=model, shape=shape)

    def _shape(self, quantity: str, kind: int, truth: float) -> str:
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

    def _shape_in_words(self, kind: int) -> None:
        reporter = self.reporter
        if kind == POWER_LAW:
            found = reporter.measure("shape", self.facts.shape, 0.2)
            self.add("spectrum", PHRASES.slope, word=reporter.word(found, PHRASES.slope_scale))
        else:
            found = reporter.measure("shape", self.facts.shape, 0.2, LOG)
            self.add("spectrum", PHRASES.heat, word=reporter.word(found, PHRASES.heat_scale))

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

    def hardness(self) -> None:
        """Write the hardness in words."""
        found = self.reporter.measure("hardness", self.facts.hardness, 0.12)
        word = self.reporter.word(found, PHRASES.hardness)
        self.add("spectrum", PHRASES.hard, word=word)

    def low_energies(self) -> None:
        """Write how much of the light is soft."""
        found = self.reporter.measure("medium_soft", self.facts.medium_soft, 0.12)
        self.add("spectrum", PHRASES.low, word=self.reporter.word(found, PHRASES.soft_end))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        facts, reporter = self.facts, self.reporter
        band, widening = (("0.5-7 keV", 0.0), ("0.3-10 keV", 0.2))[reporter.chance(0.4)]
        error = 0.25 + 0.3 * reporter.random.random() + widening
        found = reporter.measure("flux", facts.flux, error, LOG)
        lot = reporter.random.random()
        if lot < 0.25:
            self.add("spectrum", PHRASES.bright, word=reporter.word(found, PHRASES.brightness))
        elif lot < 0.6 and self.hosted and has_distance(facts):
            value = found.value * facts.luminosity / facts.flux
            at = ""
            if reporter.chance(0.5):
                at = f" ({distance(facts, reporter, 0.1)} away)"
            self._luminosity(reporter.again(found, "luminosity", value), None, at)
        elif lot < 0.6 and self.has_redshift:
            self._luminosity(found, 1.0 / luminosity_over_flux(facts.redshift), "")
        else:
            number = self.numerals.value("flux", found)
            self.add("spectrum", PHRASES.flux, band=band, number=number)

    def _luminosity(self, found: Measurement, scale: float | None, at: str) -> None:
        if self.reporter.chance(0.3):
            number = self.numerals.logarithm("luminosity", found, scale=scale)
            self.add("spectrum", PHRASES.log_luminosity, number=number, distance=at)
        else:
            number = self.numerals.state("luminosity", found, scale=scale)
            self.add("spectrum", PHRASES.luminosity, number=number, distance=at)

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

    def precision(self) -> None:
        """Write how good the data would be."""
        self.add("context", PHRASES.precision)

    def feasibility(self) -> None:
        """Write on the observation itself."""
        self.add("context", PHRASES.feasibility)

    def other_wavelengths(self) -> None:
        """Write about other data."""
        self.add("context", PHRASES.other_wavelengths)

    def ending(self) -> None:
        """Write an end."""
        self.add("context", PHRASES.ending)


# In the order of a justification; each with its chance.
_PARTS: tuple[tuple[float, Callable[[_Justification], None]], ...] = (
    (0.55, _Justification.known),
    (0.5, _Justification.redshift),
    (0.6, _Justification.why),
    (0.65, _Justification.spectrum),
    (0.5, _Justification.column),
    (0.35, _Justification.hardness),
    (0.2, _Justification.low_energies),
    (0.65, _Justification.power),
    (0.6, _Justification.goal),
    (0.4, _Justification.goal),
    (0.6, _Justification.counts),
    (0.3, _Justification.precision),
    (0.35, _Justification.feasibility),
    (0.25, _Justification.other_wavelengths),
    (0.3, _Justification.ending),
)
# Those on the spectrum, in this order or another.
_SPECTRAL = slice(3, 8)
_PADDING = (
    _Justification.known,
    _Justification.why,
    _Justification.goal,
    _Justification.precision,
    _Justification.feasibility,
    _Justification.other_wavelengths,
    _Justification.ending,
)


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the justification, each sentence under the section it belongs to.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    justification = _Justification(facts, reporter)
    composition = justification.composition
    length = _FEWEST + (_MOST - _FEWEST) * reporter.random.random() ** 1.5
    justification.open()
    parts = list(_PARTS)
    if reporter.chance(0.6):
        parts[_SPECTRAL] = reporter.random.sample(parts[_SPECTRAL], len(parts[_SPECTRAL]))
    for chance, part in parts:
        if composition.words < _MOST - 15 and reporter.chance(chance):
            part(justification)
    while composition.words < length:
        _PADDING[int(len(_PADDING) * reporter.random.random())](justification)
    return composition.sections()


WRITER = Writer("proposal", write, wrong=0.03, errors=1.2)

__all__ = ["WRITER"]
