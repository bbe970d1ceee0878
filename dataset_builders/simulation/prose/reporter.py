"""Reporter for a writer: measures, rounds, words, and records the statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log10
from random import Random
from typing import TypeVar

from ..source_classes import COMPONENTS, POWER_LAW
from .facts import Facts
from .grammar import capitalized, expand
from .statements import Statement, label_of

LINEAR, LOG = "linear", "log"
T = TypeVar("T")
# Errors of the other quantities, and of temperatures, are of their natural logarithms.
_LINEAR = ("redshift", "hardness", "medium_soft")


@dataclass(frozen=True)
class Measurement:
    """Quantity as another observation measured it."""

    quantity: str  # as in `Statement`
    value: float  # measured, in the units of `Facts`
    error: float  # standard deviation behind it, in `scale`
    scale: str  # `linear` or `log`

    @property
    def sigma(self) -> float:
        """Return the standard deviation in the units of the value."""
        return self.error * self.value if self.scale == LOG else self.error


@dataclass(frozen=True)
class WordScale:
    """Verbal scale."""

    # Upper limits, and templates (see `Reporter.pick`) for values below them
    steps: Sequence[tuple[float, str]]

    @classmethod
    def from_table(cls, rows: Iterable[Sequence[object]]) -> WordScale:
        """Return the scale of [limit, phrase] pairs, the last limit infinite."""
        return cls(tuple((float(limit), str(phrase)) for limit, phrase in rows))

    def step(self, value: float) -> tuple[float, float, str]:
        """Return lower and upper limit of the step that holds a value, and its phrase."""
        low = -inf
        for limit, phrase in self.steps:
            if value < limit:
                return low, limit, phrase
            low = limit
        raise ValueError(f"{value} is beyond the last step of the scale")


class Reporter:
    """Measurements, wordings and statements of one text.

    Args:
        facts: what the literature has as true.
        random: generator of this text.
        errors: factor on the errors of all measurements.

    Attributes:
        statements: what has been stated so far.
    """

    def __init__(self, facts: Facts, random: Random, errors: float = 1.0) -> None:
        self.facts = facts
        self.random = random
        self.errors = errors
        self.statements: list[Statement] = []

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def pick(self, options: Sequence[str], **slots: object) -> str:
        """Return one of several templates, each as likely, expanded and filled in.

        Args:
            options: templates of `grammar.expand`, with slots of `str.format`: `<a|b>` is a choice,
                a literal `<`, `>` or `|` has a backslash before it, literal braces are doubled.
            slots: values of the slots.
        """
        return self.fill(options, slots)

    def fill(self, options: Sequence[str], slots: Mapping[str, object]) -> str:
        """Return the same with slots that may make their values when they are asked."""
        return expand(self.random.choice(options), self.random).format_map(slots)

    def say(self, measured: Measurement, scale: WordScale, options: Sequence[str]) -> str:
        """Return one of several templates with a measurement in words, as `word` or `Word`."""
        word = self.word(measured, scale)
        return self.pick(options, word=word, Word=capitalized(word))

    def tell(self, quantity: str, error: float, scale: WordScale, options: Sequence[str]) -> str:
        """Measure a quantity and `say` it."""
        return self.say(self.measure(quantity, error), scale, options)

    def power(
        self,
        options: Sequence[str],
        measured: Measurement,
        digits: int,
        unit: float = 1.0,
        **slots: object,
    ) -> str:
        """Return one of several templates with mantissa `m` and exponent `e` of a measurement."""
        mantissa, exponent = self.significant(measured, digits, unit)
        return self.pick(options, m=mantissa, e=exponent, **slots)

    def draw(self, numbers: Mapping[str, Callable[[Random], object]]) -> dict[str, object]:
        """Return slots of numbers that tell nothing about the source, see `phrases`."""
        return {name: number(self.random) for name, number in numbers.items()}

    def choose(self, options: Sequence[T]) -> T:
        """Return one of several things, each as likely."""
        return options[int(self.random.random() * len(options))]

    def shuffled(self, sentences: Sequence[str]) -> list[str]:
        """Return sentences in random order."""
        return self.random.sample(sentences, len(sentences))

    def measure(self, quantity: str, error: float) -> Measurement:
        """Observe a quantity at another time, with an error of its own.

        Args:
            quantity: attribute of `Facts`.
            error: standard deviation of redshifts, colours and photon indices, and of the natural
                logarithm of everything else.
        """
        truth = getattr(self.facts, quantity)
        error *= self.errors
        deviation = error * self.random.gauss(0.0, 1.0)
        if quantity in _LINEAR or self.is_photon_index(quantity):
            return Measurement(quantity, truth + deviation, error, LINEAR)
        return Measurement(quantity, truth * exp(deviation), error, LOG)

    def is_photon_index(self, quantity: str) -> bool:
        """Return True for the shape of a power law."""
        component = {"shape": "first", "shape2": "second"}.get(quantity)
        return component is not None and getattr(self.facts, component) == POWER_LAW

    def luminosity(self, flux: Measurement) -> Measurement:
        """Return a flux as a luminosity, erg/s, at the distance of the host."""
        value = flux.value * self.facts.luminosity / self.facts.flux
        return replace(flux, quantity="luminosity", value=value)

    def label(self, quantity: str, label: str) -> None:
        """Record a label, or several joined by `|` that the words allow."""
        self.statements.append(Statement(quantity, label=label))

    def label_shape(self) -> None:
        """Record what a photon index or a temperature says of the model."""
        thermal = [name for kind, name in enumerate(COMPONENTS) if kind != POWER_LAW]
        is_index = self.facts.first == POWER_LAW
        self.label("model", COMPONENTS[POWER_LAW] if is_index else "|".join(thermal))

    def tells_second(self, chance: float) -> bool:
        """Return True if the text mentions a second component; record the statement or the silence.

        The chance is that of this writer to mention a second component that exists.
        """
        component = label_of(self.facts, "second")
        told = bool(component) and self.chance(chance)
        label = component if told else ""
        self.statements.append(Statement("second", label=label, chance=chance))
        return told

    def word(self, measured: Measurement, scale: WordScale) -> str:
        """Put a measurement into words."""
        low, high, phrase = scale.step(measured.value)
        self._note(measured, low, high)
        return expand(phrase, self.random)

    def aside(self, measured: Measurement, scale: WordScale) -> str:
        """Return the word beside a number of the same measurement, which adds no information."""
        return expand(scale.step(measured.value)[2], self.random)

    def limit(self, measured: Measurement, value: float, upper: bool) -> None:
        """Record that a measurement lies below (`upper`) or above a value, see `between`."""
        self.between(measured, *((-inf, value) if upper else (value, inf)))

    def between(self, measured: Measurement, low: float, high: float) -> None:
        """Record that a measurement lies in a range, in its units.

        Raises:
            ValueError: when it does not.
        """
        if not low <= measured.value < high:
            raise ValueError(f"{measured} is outside of {low} to {high}")
        self._note(measured, low, high)

    def decimal(self, measured: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write a measurement with so many decimal places, in units of `unit`."""
        text, half = f"{measured.value / unit:.{digits}f}", 0.5 * 10.0**-digits
        self._note(measured, (float(text) - half) * unit, (float(text) + half) * unit)
        return text

    def significant(self, measured: Measurement, digits: int, unit: float = 1.0) -> tuple[str, int]:
        """Write a positive measurement with so many significant digits.

        The unit of the text is given in the units of `Facts`.

        Returns:
            Mantissa as text, and exponent of ten.
        """
        mantissa, exponent = f"{measured.value / unit:.{digits - 1}e}".split("e")
        ten = 10.0 ** int(exponent)
        half = 0.5 * 10.0 ** (1 - digits)
        # Below a power of ten the numbers lie ten times as dense.
        below = half / 10.0 if float(mantissa) == 1.0 else half
        self._note(
            measured, (float(mantissa) - below) * ten * unit, (float(mantissa) + half) * ten * unit
        )
        return mantissa, int(exponent)

    def plain(self, measured: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write the same without a power of ten."""
        mantissa, exponent = self.significant(measured, digits, unit)
        return f"{float(mantissa) * 10.0**exponent:.{max(0, digits - 1 - exponent)}f}"

    def length(
        self, measured: Measurement, digits: int, *, kpc_below: float = 0.1, pc_below: float = 1e-3
    ) -> str:
        """Write a distance (Mpc) with its unit, kpc or pc below these limits in Mpc."""
        if measured.value >= kpc_below:
            return f"{self.plain(measured, digits)} Mpc"
        unit, name = (1e-3, "kpc") if measured.value >= pc_below else (1e-6, "pc")
        return f"{self.plain(measured, digits, unit)} {name}"

    def logarithm(self, measured: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write the decimal logarithm of a positive measurement with so many decimal places."""
        text, half = f"{log10(measured.value / unit):.{digits}f}", 0.5 * 10.0**-digits
        low, high = float(text) - half, float(text) + half
        self._note(measured, 10.0**low * unit, 10.0**high * unit)
        return text

    def _note(self, measured: Measurement, low: float, high: float) -> None:
        self.statements.append(
            Statement(measured.quantity, low, high, measured.error, measured.scale)
        )


class LabelTable:
    """Phrases for labels, each with the labels that it allows.

    Args:
        quantity: `class`, `host`, `model` or `second`.
        phrases: by labels joined by `|`, templates as for `Reporter.pick`. All that allow the
            truth are as likely.
    """

    def __init__(self, quantity: str, phrases: Mapping[str, Sequence[str]]) -> None:
        self.quantity = quantity
        self._options: dict[str, list[tuple[str, str]]] = {}
        for labels, templates in phrases.items():
            for label in labels.split("|"):
                options = self._options.setdefault(label, [])
                options += [(labels, template) for template in templates]

    def pick(self, reporter: Reporter, **slots: object) -> str:
        """Return a phrase that is true of a source, and record the labels that it allows."""
        options = self._options[label_of(reporter.facts, self.quantity)]
        labels, template = reporter.random.choice(options)
        reporter.label(self.quantity, labels)
        return expand(template, reporter.random).format(**slots)


@dataclass(frozen=True)
class Writer:
    """Manner of prose, with its own vocabulary, word scales, units, rounding and structure."""

    name: str  # of the writer, the contract's `writer`
    # Returns the text of any of the sections `identity`, `spectrum` and `context`.
    write: Callable[[Reporter], dict[str, str]]
    unseen: bool = False  # True if its texts are never in `train` and `calibration`
    wrong: float = 0.02  # probability that a text is about another source
    errors: float = 1.0  # factor on the errors of its measurements
    weight: float = 1.0  # share of the texts, over the sum of all weights
