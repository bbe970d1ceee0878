"""Prose about one source: parts in order, each with its chance, padded to a length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import SimpleNamespace

from ..source_classes import COMPONENTS, POWER_LAW
from .composition import Composition
from .facts import Facts
from .grammar import with_article
from .notation import Numerals, luminosity_over_flux
from .reporter import LOG, Measurement, Reporter


class SourceText(ABC):
    """Text about one source, each sentence under the section it belongs to.

    A part is a method of its name, or a sentence of the table of its name; of a table by class
    only where the class was told. `open`, `shape` and `at` are written by each writer.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.

    Attributes:
        phrases: tables of the writer, among them `notations`, one of which a text has, `parts`
            ([chance, name] in order), `spectral` (first and last of the parts that come in any
            order), `padding` (names) and `sections` of the parts that are a sentence of a table.
        length: fewest and most words.
        skew: of the wanted length towards few words.
        slack: number of words before the most at which no part is begun.
        fit_chances: of a shape in numbers, of one in words otherwise, of telling a second
            component, and of its shape.
        shape_error, colour_error: of shapes in words, and of hardness.
        power_lots: below the first a flux is told in words, below the second as a luminosity.
        log_chance: of a logarithm of a luminosity.
        class_known, has_redshift, hosted: what the text has told.
    """

    phrases: SimpleNamespace
    length: tuple[int, int]
    skew: float
    slack: int
    fit_chances: tuple[float, float, float, float]
    shape_error: float
    colour_error: float
    power_lots: tuple[float, float]
    log_chance: float

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts, self.reporter = facts, reporter
        self.composition = Composition(reporter)
        self.add = self.composition.add
        self.class_known = self.has_redshift = self.hosted = False
        notations = self.phrases.notations
        notation = notations[int(len(notations) * reporter.random.random())]
        self.numerals = Numerals(reporter, notation)

    def write(self) -> dict[str, str]:
        """Write the text, and return its sections."""
        reporter, phrases, composition = self.reporter, self.phrases, self.composition
        fewest, most = self.length
        wanted = fewest + (most - fewest) * reporter.random.random() ** self.skew
        self.open()
        parts = list(phrases.parts)
        if reporter.chance(0.6):
            first, last = phrases.spectral
            parts[first:last] = reporter.shuffled(parts[first:last])
        for chance, part in parts:
            if composition.words < most - self.slack and reporter.chance(chance):
                self._tell(part)
        while composition.words < wanted:
            self._tell(phrases.padding[int(len(phrases.padding) * reporter.random.random())])
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

    @abstractmethod
    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""

    @abstractmethod
    def shape(self, quantity: str, kind: int, truth: float) -> str:
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
        shape = self.shape("shape", kind, facts.shape) if numbered else ""
        self.add("spectrum", self.phrases.fit, a_model=model, shape=shape)
        if not numbered and reporter.chance(words_chance):
            self._shape_in_words(kind)
        if reporter.tells_second(facts, second_chance):
            kind = int(facts.second)
            told = reporter.chance(shape2_chance)
            shape = self.shape("shape2", kind, facts.shape2) if told else ""
            model = reporter.pick(self.phrases.models[COMPONENTS[kind]])
            slots = {"model": model, "a_model": with_article(model), "shape": shape}
            self.add("spectrum", self.phrases.second, **slots)

    def _shape_in_words(self, kind: int) -> None:
        if kind == POWER_LAW:
            sentences, scale = self.phrases.slope, self.phrases.slope_scale
            found = self.reporter.measure("shape", self.facts.shape, self.shape_error)
        else:
            sentences, scale = self.phrases.heat, self.phrases.heat_scale
            found = self.reporter.measure("shape", self.facts.shape, self.shape_error, LOG)
        word = self.reporter.word(found, scale)
        self.add("spectrum", sentences, word=word, a_word=with_article(word))

    def hardness(self) -> None:
        """Write the hardness in words."""
        found = self.reporter.measure("hardness", self.facts.hardness, self.colour_error)
        word = self.reporter.word(found, self.phrases.hardness)
        self.add("spectrum", self.phrases.hard, word=word)

    def low_energies(self) -> None:
        """Write in words how the spectrum goes on below 1 keV."""
        found = self.reporter.measure("medium_soft", self.facts.medium_soft, self.colour_error)
        word = self.reporter.word(found, self.phrases.soft_end)
        self.add("spectrum", self.phrases.low, word=word)

    def tell_power(self, flux: Measurement, lot: float, section: str, band: str) -> None:
        """Write a flux or luminosity, in words or as a number.

        Args:
            flux: as measured.
            lot: that decides, in 0–1.
            section: of a flux.
            band: of the flux, with its unit.
        """
        facts = self.facts
        words, luminosity = self.power_lots
        if lot < words:
            word = self.reporter.word(flux, self.phrases.brightness)
            self.add(section, self.phrases.bright, word=word)
        elif lot < luminosity and self.hosted and facts.is_at_known_distance:
            value = flux.value * facts.luminosity / facts.flux
            found = self.reporter.again(flux, "luminosity", value)
            self._luminosity(found, None, band, self.at())
        elif lot < luminosity and self.has_redshift:
            self._luminosity(flux, 1.0 / luminosity_over_flux(facts.redshift), band, "")
        else:
            number = self.numerals.value("flux", flux)
            self.add(section, self.phrases.flux, band=band, number=number)

    def _luminosity(self, found: Measurement, scale: float | None, band: str, at: str) -> None:
        if self.reporter.chance(self.log_chance):
            write, sentences = self.numerals.logarithm, self.phrases.log_luminosity
        else:
            write, sentences = self.numerals.state, self.phrases.luminosity
        number = write("luminosity", found, scale=scale)
        self.add("spectrum", sentences, band=band, number=number, distance=at)
