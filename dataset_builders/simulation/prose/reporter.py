"""Reporter for a writer: measures, rounds, words, and records the statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log10
from random import Random

from .facts import Facts
from .grammar import below, capitalized, expand
from .statements import Statement, label_of

LINEAR, LOG = "linear", "log"


@dataclass(frozen=True)
class Measurement:
    """Quantity as another observation measured it.

    Attributes:
        quantity: as in `Statement`.
        value: measured, in the units of `Facts`.
        error: standard deviation behind it, in `scale`.
        scale: `linear` or `log`.
    """

    quantity: str
    value: float
    error: float
    scale: str


@dataclass(frozen=True)
class WordScale:
    """Verbal scale.

    Attributes:
        steps: everything below the limit (and not below the one before), and how it is put: a
            template as for `Reporter.pick`.
    """

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
        random: generator of this text.
        errors: factor on the errors of all measurements.

    Attributes:
        statements: what has been stated so far.
    """

    def __init__(self, random: Random, errors: float = 1.0) -> None:
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
        return expand(options[below(self.random, len(options))], self.random).format_map(slots)

    def say(self, options: Sequence[str], found: Measurement, scale: WordScale) -> str:
        """Return one of several templates with a measurement in words, as `word` or `Word`."""
        word = self.word(found, scale)
        return self.pick(options, word=word, Word=capitalized(word))

    def shuffled(self, sentences: Sequence[str]) -> list[str]:
        """Return sentences in random order."""
        return self.random.sample(sentences, len(sentences))

    def measure(
        self, quantity: str, truth: float, error: float, scale: str = LINEAR
    ) -> Measurement:
        """Observe a quantity at another time, with an error of its own."""
        error *= self.errors
        deviation = error * self.random.gauss(0.0, 1.0)
        value = truth * exp(deviation) if scale == LOG else truth + deviation
        return Measurement(quantity, value, error, scale)

    def again(self, found: Measurement, quantity: str, value: float) -> Measurement:
        """Return the same measurement as another quantity that is proportional to it."""
        return Measurement(quantity, value, found.error, found.scale)

    def label(self, quantity: str, label: str) -> None:
        """Record a label, or several joined by `|` that the words allow."""
        self.statements.append(Statement(quantity, label=label))

    def tells_second(self, facts: Facts, chance: float) -> bool:
        """Decide whether a second component is told of, and record it or the silence about it.

        Args:
            facts: what the literature has as true.
            chance: that this writer tells of a second component where there is one.
        """
        component = label_of(facts, "second")
        told = bool(component) and self.chance(chance)
        label = component if told else ""
        self.statements.append(Statement("second", label=label, chance=chance))
        return told

    def word(self, found: Measurement, scale: WordScale) -> str:
        """Put a measurement into words."""
        low, high, phrase = scale.step(found.value)
        self._note(found, low, high)
        return expand(phrase, self.random)

    def aside(self, found: Measurement, scale: WordScale) -> str:
        """Return the word beside a number of the same measurement, which adds no information."""
        return expand(scale.step(found.value)[2], self.random)

    def limit(self, found: Measurement, value: float, upper: bool) -> None:
        """Record that a measurement lies below (`upper`) or above a value, in its units.

        Raises:
            ValueError: when it does not.
        """
        if (found.value < value) != upper:
            raise ValueError(f"{found} is on the other side of the limit {value}")
        self._note(found, *((-inf, value) if upper else (value, inf)))

    def between(self, found: Measurement, low: float, high: float) -> None:
        """Record that a measurement lies in a range, in its units.

        Raises:
            ValueError: when it does not.
        """
        if not low <= found.value < high:
            raise ValueError(f"{found} is outside of {low} to {high}")
        self._note(found, low, high)

    def decimal(self, found: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write a measurement with so many decimal places, in units of `unit`."""
        text, half = f"{found.value / unit:.{digits}f}", 0.5 * 10.0**-digits
        self._note(found, (float(text) - half) * unit, (float(text) + half) * unit)
        return text

    def significant(self, found: Measurement, digits: int, unit: float = 1.0) -> tuple[str, int]:
        """Write a positive measurement with so many significant digits.

        Args:
            found: the measurement.
            digits: how many.
            unit: what one in the text is, in the units of `Facts`.

        Returns:
            Mantissa as text, and exponent of ten.
        """
        mantissa, exponent = f"{found.value / unit:.{digits - 1}e}".split("e")
        ten = 10.0 ** int(exponent)
        half = 0.5 * 10.0 ** (1 - digits)
        # Below a power of ten the numbers lie ten times as dense.
        below = half / 10.0 if float(mantissa) == 1.0 else half
        self._note(
            found, (float(mantissa) - below) * ten * unit, (float(mantissa) + half) * ten * unit
        )
        return mantissa, int(exponent)

    def plain(self, found: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write the same without a power of ten."""
        mantissa, exponent = self.significant(found, digits, unit)
        return f"{float(mantissa) * 10.0**exponent:.{max(0, digits - 1 - exponent)}f}"

    def logarithm(self, found: Measurement, digits: int, unit: float = 1.0) -> str:
        """Write the decimal logarithm of a positive measurement with so many decimal places.

        Args:
            found: the measurement.
            digits: how many.
            unit: what one in the text is, in the units of `Facts`.
        """
        text, half = f"{log10(found.value / unit):.{digits}f}", 0.5 * 10.0**-digits
        low, high = float(text) - half, float(text) + half
        self._note(found, 10.0**low * unit, 10.0**high * unit)
        return text

    def _note(self, found: Measurement, low: float, high: float) -> None:
        self.statements.append(Statement(found.quantity, low, high, found.error, found.scale))


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

    def pick(self, facts: Facts, reporter: Reporter, **slots: object) -> str:
        """Return a phrase that is true of a source, and record the labels that it allows."""
        options = self._options[label_of(facts, self.quantity)]
        labels, template = options[below(reporter.random, len(options))]
        reporter.label(self.quantity, labels)
        return expand(template, reporter.random).format(**slots)
