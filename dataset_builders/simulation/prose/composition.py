"""Composition of a text from templates, each used once, with numbers that carry no information."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from .facts import Facts
from .grammar import capitalized, expand
from .reporter import Reporter

# Fillers of slots that no caller fills in.
FILLERS: Mapping[str, Callable[[float], object]] = {
    "arcsec": lambda u: f"{4.0 + 40.0 * u:.0f}",
    "days": lambda u: f"{10.0 ** (0.3 + 1.7 * u):.1f}",
    "dex": lambda u: int(5 + 4 * u),
    "faint": lambda u: f"{17.5 + 7.0 * u:.1f}",
    "bright": lambda u: f"{7.0 + 7.0 * u:.1f}",
    "ghz": lambda u: (1.4, 3, 5.5, 9)[int(4 * u)],
    "hours": lambda u: f"{1.3 + 10.0 * u:.2f}",
    "ks": lambda u: int(8 + 150 * u**2),
    "kms": lambda u: 100 * int(8 + 30 * u),
    "ms": lambda u: f"{30.0 + 400.0 * u:.0f}",
    "n": lambda u: int(2 + 7 * u),
    "seconds": lambda u: f"{10.0 ** (1.0 + 2.0 * u):.0f}",
    "slow": lambda u: f"{2.0 + 9.0 * u:.2f}",
    "small": lambda u: f"{1.1 + 4.0 * u:.2f}",
    "year": lambda u: int(2000 + 24 * u),
    "years": lambda u: int(2 + 15 * u),
}


class Composition:
    """Sentences of one text, by section.

    Args:
        reporter: writer of the text.

    Attributes:
        words: number of words so far.
        used: templates so far.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._sentences: dict[str, list[str]] = {"identity": [], "spectrum": [], "context": []}
        self.used: set[str] = set()
        self.words = 0

    def phrase(self, options: Sequence[str], **slots: object) -> str:
        """Return a phrase by one of the templates that were not used yet; empty if all were.

        Templates are those of `Reporter.pick`; slots without a value get a filler.
        """
        random, template = self._reporter.random, self._reporter.choose(options)
        if template in self.used:
            unused = [option for option in options if option not in self.used]
            if not unused:
                return ""
            template = self._reporter.choose(unused)
        self.used.add(template)
        return expand(template, random).format_map(_Slots(random, slots))

    def add(self, section: str, options: Sequence[str], **slots: object) -> None:
        """Add a sentence by one of the templates that were not used yet, if any; see `phrase`."""
        sentence = self.phrase(options, **slots)
        if sentence:
            self.append(section, capitalized(sentence))

    def append(self, section: str, sentence: str) -> None:
        """Add a sentence as it is."""
        self.words += sentence.count(" ") + 1
        self._sentences[section].append(sentence)

    def unused(self, options: Sequence[str]) -> str:
        """Return one of the templates that were not used yet, of which there must be one."""
        random = self._reporter.random
        template = random.choice(options)
        while template in self.used:
            template = random.choice(options)
        self.used.add(template)
        return template

    def sections(self) -> dict[str, str]:
        """Return the texts of the sections that hold any."""
        return {name: " ".join(texts) for name, texts in self._sentences.items() if texts}


class _Slots(dict[str, object]):
    """Values of slots, and fillers for those without."""

    def __init__(self, random: Random, values: Mapping[str, object]) -> None:
        super().__init__(values)
        self._random = random

    def __missing__(self, key: str) -> object:
        return FILLERS[key](self._random.random())


def is_background(facts: Facts) -> bool:
    """Return True for sources at redshifts of their own, which do not belong to a host."""
    return facts.redshift > 0.0 and facts.class_name != "cluster"
