"""Prose about one source: parts in order, each with its chance, padded to a length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import SimpleNamespace

from ..source_classes import COMPONENTS, POWER_LAW
from .composition import Composition
from .grammar import with_article
from .notation import Numerals, luminosity_over_flux
from .reporter import Measurement, Reporter

_AGN = ("qso", "seyfert1", "seyfert2", "lensed_qso")


class SourceText(ABC):
    """Text about one source, each sentence under the section it belongs to.

    A part is a method of its name, or a sentence of the table of its name; of a table by class
    only where the class was told.
    """

    # Tables of the writer: `notations`, of which a text has one; `parts` ([chance, name] in order);
    # `spectral` (first and last of the parts that come in any order); `padding` (names of parts);
    # `sections` of the parts that are a sentence of a table; and the sentences.
    phrases: SimpleNamespace
    length: tuple[int, int]  # fewest and most words
    skew: float  # of the wanted length towards few words
    slack: int  # number of words before the most at which no part is begun
    noun_lots: tuple[float, float]  # below the first the class is told, below the second its family
    # Chances of telling the family of active nuclei by their absorption, of telling the hardness of
    # a source without a family, and of naming the field.
    noun_chances: tuple[float, float, float]
    # Chances of a shape in numbers, of one in words otherwise, of telling a second component, and
    # of its shape.
    fit_chances: tuple[float, float, float, float]
    shape_error: float  # of shapes in words
    colour_error: float  # of hardness
    nucleus_error: float  # of the column of an active nucleus
    power_lots: tuple[float, float]  # below these a flux is told in words, as a luminosity
    log_chance: float  # of a logarithm of a luminosity

    def __init__(self, reporter: Reporter) -> None:
        self.facts, self.reporter = reporter.facts, reporter
        self.composition = Composition(reporter)
        self.add = self.composition.add
        self.class_known = self.has_redshift = self.hosted = False
        self.numerals = Numerals(reporter, reporter.choose(self.phrases.notations))

    @classmethod
    def write(cls, reporter: Reporter) -> dict[str, str]:
        """Write a text, and return its sections."""
        text = cls(reporter)
        phrases, composition = text.phrases, text.composition
        fewest, most = text.length
        wanted = fewest + (most - fewest) * reporter.random.random() ** text.skew
        text.open()
        parts = list(phrases.parts)
        if reporter.chance(0.6):
            first, last = phrases.spectral
            parts[first:last] = reporter.shuffled(parts[first:last])
        for chance, part in parts:
            if composition.words < most - text.slack and reporter.chance(chance):
                text._tell(part)
        while composition.words < wanted:
            text._tell(reporter.choose(phrases.padding))
        return composition.sections()

    def _tell(self, part: str) -> None:
        section = self.phrases.sections.get(part)
        if section is None:
            getattr(self, part)()
            return
        sentences = getattr(self.phrases, part)
        if not isinstance(sentences, dict):
            self.add(section, sentences)
        elif self.class_known:
            self.add(section, sentences[self.facts.class_name])

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        lot = self.reporter.random.random()
        noun = self.noun(lot)
        slots = {"name": self.name(), "noun": noun, "a_noun": with_article(noun)}
        self.add("identity", self.phrases.opening, **slots, place=self._place())

    def noun(self, lot: float) -> str:
        """Name the class, the family or the hardness of the source; empty for none of them."""
        facts, reporter, phrases = self.facts, self.reporter, self.phrases
        class_lot, family_lot = self.noun_lots
        nucleus_chance, nameless_chance, _ = self.noun_chances
        if lot < class_lot:
            self.class_known = True
            reporter.label("class", facts.class_name)
            return reporter.pick(phrases.nouns[facts.class_name])
        if lot < family_lot and facts.class_name in _AGN and reporter.chance(nucleus_chance):
            reporter.label("class", "|".join(_AGN))
            return reporter.word(reporter.measure("nh", self.nucleus_error), phrases.nucleus)
        if lot < family_lot:
            return phrases.families.pick(reporter)
        if reporter.chance(nameless_chance):
            measured = reporter.measure("hardness", self.colour_error)
            return reporter.word(measured, phrases.nameless)
        return ""

    def _place(self) -> str:
        facts, reporter = self.facts, self.reporter
        if not facts.host or not reporter.chance(self.noun_chances[2]):
            return ""
        self.hosted = True
        reporter.label("host", facts.field_kind)
        return f" {reporter.pick(self.places(), host=facts.host)}"

    @abstractmethod
    def name(self) -> str:
        """Return the name of the source, as the text has it."""

    @abstractmethod
    def places(self) -> Sequence[str]:
        """Return templates of the place of the source in its field."""

    @abstractmethod
    def shape(self, quantity: str, kind: int) -> str:
        """Return a photon index or temperature, with its introduction."""

    @abstractmethod
    def at(self) -> str:
        """Return the distance behind a luminosity; may be empty."""

    def fit(self) -> None:
        """Write the model of the spectrum, its shape and a second component."""
        facts, reporter = self.facts, self.reporter
        shape_chance, words_chance, second_chance, shape2_chance = self.fit_chances
        kind = int(facts.first)
        reporter.label("model", COMPONENTS[kind])
        model = with_article(reporter.pick(self.phrases.models[COMPONENTS[kind]]))
        numbered = reporter.chance(shape_chance)
        shape = self.shape("shape", kind) if numbered else ""
        self.add("spectrum", self.phrases.fit, a_model=model, shape=shape)
        if not numbered and reporter.chance(words_chance):
            self._shape_in_words(kind)
        if reporter.tells_second(second_chance):
            kind = int(facts.second)
            shape = self.shape("shape2", kind) if reporter.chance(shape2_chance) else ""
            model = reporter.pick(self.phrases.models[COMPONENTS[kind]])
            slots = {"model": model, "a_model": with_article(model), "shape": shape}
            self.add("spectrum", self.phrases.second, **slots)

    def _shape_in_words(self, kind: int) -> None:
        phrases = self.phrases
        sentences, scale = (
            (phrases.slope, phrases.slope_scale)
            if kind == POWER_LAW
            else (phrases.heat, phrases.heat_scale)
        )
        word = self.reporter.word(self.reporter.measure("shape", self.shape_error), scale)
        self.add("spectrum", sentences, word=word, a_word=with_article(word))

    def hardness(self) -> None:
        """Write the hardness in words."""
        measured = self.reporter.measure("hardness", self.colour_error)
        word = self.reporter.word(measured, self.phrases.hardness)
        self.add("spectrum", self.phrases.hard, word=word)

    def low_energies(self) -> None:
        """Write in words how the spectrum goes on below 1 keV."""
        measured = self.reporter.measure("medium_soft", self.colour_error)
        word = self.reporter.word(measured, self.phrases.soft_end)
        self.add("spectrum", self.phrases.low, word=word)

    def tell_power(self, flux: Measurement, lot: float, section: str, band: str) -> None:
        """Write a flux or luminosity, in words or as a number.

        Args:
            flux: measured flux.
            lot: uniform number that decides on the form.
            section: section of a flux.
            band: band of the flux, with its unit.
        """
        facts = self.facts
        words, luminosity = self.power_lots
        if lot < words:
            word = self.reporter.word(flux, self.phrases.brightness)
            self.add(section, self.phrases.bright, word=word)
        elif lot < luminosity and self.hosted and facts.is_at_known_distance:
            self._luminosity(self.reporter.luminosity(flux), None, band, self.at())
        elif lot < luminosity and self.has_redshift:
            self._luminosity(flux, 1.0 / luminosity_over_flux(facts.redshift), band, "")
        else:
            number = self.numerals.value("flux", flux)
            self.add(section, self.phrases.flux, band=band, number=number)

    def _luminosity(self, measured: Measurement, scale: float | None, band: str, at: str) -> None:
        if self.reporter.chance(self.log_chance):
            write, sentences = self.numerals.logarithm, self.phrases.log_luminosity
        else:
            write, sentences = self.numerals.state, self.phrases.luminosity
        number = write("luminosity", measured, scale=scale)
        self.add("spectrum", sentences, band=band, number=number, distance=at)
