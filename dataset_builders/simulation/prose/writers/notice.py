"""Notice of a new observation, as astronomers telegraph them to each other.

Few words: what was seen with which telescope and when, a fit in a sentence or two, a likely class,
and a call for observations. Dates, detectors and remarks on earlier epochs tell nothing about the
spectrum.
"""

from __future__ import annotations

import re
from math import exp
from random import Random

from ...source_classes import POWER_LAW
from ..facts import Facts
from ..grammar import below
from ..names import AUTHORS
from ..reporter import Reporter
from ..writer import Writer
from . import notice_tables as tables
from .notice_source import Source
from .source_slots import Slots, pick

_FEWEST_WORDS, _MOST_WORDS = 58, 150
_SECOND_TOLD = 0.45
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip
_TRIGGERS = (
    "an alert <from|of> {mission}",
    "its <detection|discovery> <by|with> {mission}",
    "a <report|notice> <by|from> {author} et al. (ATel #{atel})",
    "a <brightening|new source> <noted|reported> by {mission}",
)
_POSITIONS = (
    "the {mission} source",
    "the <latest |>{mission} <error circle|localisation>",
    "the <candidate|object> of ATel #{atel}",
)
_MISSIONS = ("eROSITA", "Swift/XRT", "Einstein Probe", "MAXI", "INTEGRAL", "XMM-Newton", "ZTF",
             "ATLAS", "MeerKAT", "ASKAP", "SVOM", "Swift/BAT")  # fmt: skip
# Lower-case words that begin a sentence as they are.
_SENTENCE = re.compile(r"(?!bbodyrad|bremsstrahlung )[a-z]+[ ,]")


class _Circumstances:
    """Dates, numbers and names of an observation, in which the source has no part."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.slots = Slots(self)
        self._latest = self._between(2021, 2026)
        self._observation = str(self._between(23000, 31000))
        self._style = self._between(0, 5)

    def _between(self, low: int, high: int) -> int:
        return low + below(self.random, high - low)

    def _uniform(self, low: float, high: float, digits: int) -> str:
        return f"{self.random.uniform(low, high):.{digits}f}"

    def _date(self) -> str:
        year, month, day = self._latest, self._between(0, 12), self._between(1, 29)
        name = _MONTHS[month]
        if self._style == 0:
            return f"{year} {name} {day}"
        if self._style == 1:
            hour, minute = self._between(0, 24), self._between(0, 60)
            return f"{year}-{month + 1:02d}-{day:02d}T{hour:02d}:{minute:02d}"
        if self._style == 2:
            return f"{day} {name[:3]} {year}"
        if self._style == 3:
            return f"MJD {59215 + 365 * (year - 2021) + self._between(0, 365)}"
        return f"{year} {name[:3]} {day}.{self._between(0, 100):02d} UT"

    def _date2(self) -> str:
        return self._date()

    def _year(self) -> str:
        return str(self._between(1999, self._latest - 1))

    def _year2(self) -> str:
        return str(self._latest)

    def _chip(self) -> str:
        return ("ACIS-S", "ACIS-I", "ACIS", "ACIS-S3")[self._between(0, 4)]

    def _too(self) -> str:
        return ("DDT observation", "ToO", "ToO observation", "short pointing")[self._between(0, 4)]

    def _obsid(self) -> str:
        return self._observation

    def _pi(self) -> str:
        return AUTHORS[self._between(0, len(AUTHORS))]

    def _author(self) -> str:
        return self._pi()

    def _atel(self) -> str:
        return str(self._between(14300, 17400))

    def _mission(self) -> str:
        return _MISSIONS[self._between(0, len(_MISSIONS))]

    def _trigger(self) -> str:
        return pick(_TRIGGERS, self.random, self.slots)

    def _trigger2(self) -> str:
        return pick(_POSITIONS, self.random, self.slots)

    def _ciao(self) -> str:
        return f"4.{self._between(13, 18)}"

    def _arcsec(self) -> str:
        return self._uniform(0.3, 1.2, 1)

    def _radius(self) -> str:
        return str(self._between(5, 60))

    def _small(self) -> str:
        return str(self._between(3, 20))

    def _seconds(self) -> str:
        return str(self._between(300, 2500))

    def _hertz(self) -> str:
        return self._uniform(0.1, 2.0, 1)

    def _factor(self) -> str:
        return f"{exp(self.random.uniform(0.5, 4.0)):.2g}"

    def _mag(self) -> str:
        return self._uniform(14.0, 23.5, 1)

    def _sep(self) -> str:
        return self._uniform(0.1, 0.9, 1)

    def _ghz(self) -> str:
        return ("3", "5.5", "9")[self._between(0, 3)]

    def _ujy(self) -> str:
        return str(self._between(12, 300))

    def _days(self) -> str:
        return str(self._between(2, 40))

    def _stat(self) -> str:
        freedom = self._between(20, 400)
        return f"{freedom * self.random.uniform(0.85, 1.15):.0f}/{freedom}"

    def _chi(self) -> str:
        return self._uniform(0.8, 1.2, 2)


class _Notice:
    """Sentences of one notice, each under its section."""

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts = facts
        self.reporter = reporter
        self.source = Source(facts, reporter)
        self.slots = Slots(self.source, _Circumstances(reporter.random))
        self.source.slots = self.slots
        self.sections: dict[str, list[str]] = {"identity": [], "spectrum": [], "context": []}
        self.words = 0
        self._used: set[str] = set()

    def write(self) -> dict[str, str]:
        """Write the notice, and record the kind of field where the host is named."""
        chance, extended = self.reporter.chance, self.facts.class_name in tables.EXTENDED
        counted = chance(0.3)
        if counted:
            self.source.expose()
        self._add("identity", tables.DETECTION)
        for _ in range(below(self.reporter.random, 4)):
            self._add("context", tables.DETAILS)
        self._describe(counted)
        if not extended and chance(0.35):
            self._add("context", tables.HISTORY)
        if extended or chance(0.72):
            self._add("identity", tables.IDENTIFICATION)
        elif chance(0.5):
            self._add("identity", tables.UNIDENTIFIED)
        if chance(0.3):
            self._add("context", tables.ELSEWHERE)
        while self.words < _FEWEST_WORDS:
            self._add("context", tables.DETAILS)
        if chance(0.75):
            self._add("context", tables.REQUESTS)
        if chance(0.3):
            self._add("context", tables.THANKS)
        if self.source.host_told:
            self.reporter.label("host", self.facts.field_kind)
        return {name: " ".join(lines) for name, lines in self.sections.items() if lines}

    def _describe(self, counted: bool) -> None:
        """Write on counts where they are told, spectrum and brightness, in some order."""
        chance, source = self.reporter.chance, self.source
        if counted:
            self._add("spectrum", tables.COUNTS)
        bright = source.place_known() and chance(0.45)
        parts = [self._fit if chance(0.6) else self._characterise]
        if counted or chance(0.75):
            parts.insert(
                chance(0.7),
                lambda: self._add("spectrum", tables.LUMINOSITY if bright else tables.FLUX),
            )
        for part in parts:
            part()

    def _fit(self) -> None:
        self._add("spectrum", tables.FIT)
        if self.reporter.tells_second(self.facts, _SECOND_TOLD):
            self._add("spectrum", tables.SECOND)

    def _characterise(self) -> None:
        """Write on the spectrum without a fit."""
        lot = self.reporter.random.random()
        if lot < 0.65:
            self._add("spectrum", tables.COLOUR_WORDS)
        elif int(self.facts.first) == POWER_LAW:
            self._add("spectrum", tables.SLOPE_WORDS)
            if self.reporter.tells_second(self.facts, 0.1):
                self._add("spectrum", tables.SECOND)
        if self.reporter.chance(0.45):
            self._add("spectrum", tables.ABSORPTION_WORDS)

    def _add(self, section: str, options: tuple[str, ...]) -> None:
        """Write a sentence that the notice does not have yet."""
        if self.words > _MOST_WORDS - 20 and section == "context":
            return
        template = options[below(self.reporter.random, len(options))]
        while template in self._used:
            template = options[below(self.reporter.random, len(options))]
        self._used.add(template)
        sentence = pick((template,), self.reporter.random, self.slots)
        if _SENTENCE.match(sentence):
            sentence = sentence[0].upper() + sentence[1:]
        self.sections[section].append(sentence)
        self.words += sentence.count(" ") + 1


def _write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    return _Notice(facts, reporter).write()


WRITER = Writer("notice", _write, unseen=True)

__all__ = ["WRITER"]
