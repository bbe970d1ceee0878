"""Abstract of a survey, or of another paper on many sources, that mentions a source in passing.

Most of its sentences are about the survey, its sample and other sources, with numbers of their
own; a few state something about this one.
"""

from __future__ import annotations

from random import Random

from ..facts import Facts
from ..grammar import below
from ..reporter import Reporter
from ..writer import Writer
from . import survey_tables as tables
from .source_slots import Slots, pick
from .survey_source import Source, Typeset

_FEWEST_WORDS, _MOST_WORDS = 95, 200
_SECOND_TOLD = 0.3

_INTRO = (
    "<Among|Of> <them|these> is {src}, {cls}{where}.",
    "{src} is <identified|classified> as {cls}{where}.",
    "<One of the entries|One of the objects>, {src}, is {cls}{where}.",
    "We <confirm|establish|find> that {src} is {cls}{where}.",
    "<For|In the case of> {src}, the <preferred|most probable> identification is {cls}{where}.",
    "The <list|sample> includes {src}, {cls}{where}<, discussed <further|in an appendix>|>.",
    "{src}{where} is <listed|catalogued> as {cls}.",
    "<We report the discovery of|Newly recognised is> {cls}, {src}{where}.",
    "Our <classification|match> of {src} is {cls}<, with a probability of 0.{p1}|>.",
)
_INTRO_BARE = (
    "One <source|object> that <stands apart|merits attention> is {src}{where}.",
    "{src}{where} <remains|is still> without <a secure identification|a firm class>.",
    "We <comment on|single out> {src}{where} <as an example|among the remaining entries>.",
    "<The nature of {src}{where} is left open|Nothing firm is known of {src}{where}>.",
    "Individual <entries|sources> <such as|like> {src}{where} <are|will be> <examined|followed"
    " up>.",
)
# By group of quantities: verb phrases, then noun phrases.
_PHRASES = {
    "nh": (
        (
            "is {nh_adj}",
            "lies behind {nh_eq}",
            "is <seen|observed> through {nh_eq}",
            "<shows|displays> {nh_noun}",
            "<is absorbed|has a spectrum cut off> by {nh_eq}",
            "suffers {nh_aside} ({nh_eq})",
        ),
        ("{nh_eq}", "<a column|an absorbing column> of {nh}", "{nh_noun}", "{nh_aside} ({nh_eq})"),
    ),
    "colour": (
        (
            "is {colour}",
            "has a hardness ratio of {hr}",
            "has {hr_eq}",
            "turns out to be {colour}",
            "<shows|has> X-ray colours that are {colour}",
        ),
        ("a hardness ratio of {hr}", "{hr_eq}", "colours that are {colour}"),
    ),
    "soft_colour": (
        ("has a <medium-to-soft|low-energy> ratio (M-S)/(M+S) of {hr1}",),
        ("(M-S)/(M+S) = {hr1}",),
    ),
    "slope": (
        (
            "has a photon index of {gamma}",
            "is <fitted|described> by {model} <with|of> {gamma_eq}",
            "has a {slope} <power-law |>continuum{model_mute}",
            "shows a {slope} slope{model_mute}",
        ),
        (
            "a photon index of {gamma}",
            "{gamma_eq}",
            "a spectral slope of {gamma}",
            "a {slope} power law{model_mute}",
        ),
    ),
    "warmth": (
        (
            "is <fitted|described> by {model} <with|of> {kt_eq}",
            "is consistent with {model} <of|at> {kt_eq}",
            "is best <reproduced|matched> by {model}, which is {warmth}",
            "<requires|prefers> {model} <with|at> a temperature of {kt}",
        ),
        ("{model} with {kt_eq}", "a temperature of {kt} for {model}", "{model} that is {warmth}"),
    ),
    "flux": (
        (
            "is {bright}",
            "has an <observed|absorbed> {band} flux of {flux}",
            "is detected at {flux_eq}",
            "has {flux_eq}",
        ),
        ("<a {band} flux|a broad-band flux> of {flux}", "{flux_eq}"),
    ),
    "luminosity": (
        (
            "has a luminosity of {lum}",
            "<reaches|attains> {lum_eq}",
            "radiates {lum}",
            "has {lum_eq}",
        ),
        ("a luminosity of {lum}", "{lum_eq}"),
    ),
    "counts": (
        ("is detected with {counts} <net |>counts", "has {counts} <net|source> counts"),
        ("{counts} <net|background-subtracted> counts", "a total of {counts} counts"),
    ),
    "metals": (
        ("has a metallicity of {metals} solar",),
        ("<a metal abundance|metals> of {metals} solar",),
    ),
    "foreground": (
        ("lies behind a <Galactic|foreground> column of {galactic}",),
        ("a Galactic column of {galactic}",),
    ),
}
_FRAMES = {
    1: (
        "{ref} {vp}.",
        "For {ref2}, we <find|measure|obtain> {np}.",
        "{ref} is <notable|exceptional only> for {np}.",
        "<In particular|Interestingly|Notably>, {ref2} {vp}.",
        "{ref} {vp}, <unlike|like> <most|the bulk> of the <sample|others>.",
        "<The data yield|Chandra gives> {np} for {ref2}.",
    ),
    2: (
        "{ref} {vp} and {vp2}.",
        "For {ref2}, we <find|derive> {np} and {np2}.",
        "With {np}, {ref2} {vp2}.",
        "{ref}, which {vp}, {vp2}.",
        "<The data|Measurements> give {np} and {np2} for {ref2}.",
        "{ref} {vp} (with {np2}).",
        "{ref} {vp}; it {vp2}.",
        "<We draw attention to|Of interest is> {ref2}, which {vp} and {vp2}.",
    ),
}
# A sentence that has the source on one side of a value, with others.
_CUT = (
    "{src} is <one|also one> of {part} <sources|objects> with {beyond}.",
    "{part2} <sources|objects>, <including {src}|{src} among them>, have {beyond}.",
    "<A cut at|Selecting> {beyond} leaves {part} <candidates|sources>, <one being|such as> {src}.",
)
_SECOND = (
    "<A second component|An additional term>, {model2}, is <needed|required> for {ref2}<|"
    " ({shape2})>.",
    "<Residuals|Excess counts> in {ref2} <call for|are removed by> {model2}<| with {shape2}>.",
    "{ref} <also|in addition> <shows|requires> {model2}<|, {shape2}>.",
)

# Chances of the theme: the field of the source, a sample of its class, or any sources.
_FIELD, _SAMPLE = 0.45, 0.2
_CLASS_TOLD = 0.7
_CUT_CHANCE = 0.2
# log10 of the number of sources in a field.
_SIZES = {
    "survey": (2.2, 3.6),
    "galaxy": (1.6, 2.7),
    "globular": (1.3, 2.4),
    "nursery": (2.0, 3.2),
    "cluster": (1.6, 2.3),
    "plane": (2.2, 3.8),
}
# Chance that a group of quantities is stated, by group.
_STATED = {
    "nh": 0.5,
    "slope": 0.5,
    "warmth": 0.5,
    "colour": 0.45,
    "flux": 0.45,
    "luminosity": 0.5,
    "counts": 0.2,
    "foreground": 0.04,
    "soft_colour": 0.08,
    "metals": 0.1,
}


class _Sample:
    """Numbers about the survey and its sample, which no source has any part in."""

    def __init__(self, random: Random, style: Typeset, size: tuple[float, float]) -> None:
        self.random = random
        self._size = 10.0 ** random.uniform(*size)
        self._faintest = random.uniform(-16.0, -14.2)
        self.style = style

    def _n(self) -> str:
        return _whole(self._size)

    def _part(self) -> str:
        return self._share(0.1, 0.4)

    def _part2(self) -> str:
        return self._share(0.03, 0.1)

    def _small(self) -> str:
        return self._share(0.005, 0.03)

    def _small2(self) -> str:
        return self._share(0.004, 0.02)

    def _fields(self) -> str:
        return _whole(10.0 ** self.random.uniform(0.5, 2.5))

    def _years(self) -> str:
        return str(self._between(8, 24))

    def _cut(self) -> str:
        return str(self._one_of(20, 30, 50, 100, 200, 500))

    def _cut2(self) -> str:
        return _whole(10.0 ** self.random.uniform(3.2, 5.0))

    def _p1(self) -> str:
        return str(self._between(40, 90))

    def _p2(self) -> str:
        return str(self._between(12, 60))

    def _p3(self) -> str:
        return str(self._between(2, 12))

    def _accuracy(self) -> str:
        return str(self._between(78, 98))

    def _area(self) -> str:
        return f"{self._size / 10.0 ** self.random.uniform(2.6, 3.5):.2g}"

    def _exposure(self) -> str:
        kiloseconds = 10.0 ** self.random.uniform(1.4, 3.3)
        return f"{kiloseconds / 1e3:.1f} Ms" if kiloseconds > 1000 else f"{kiloseconds:.0f} ks"

    def _arcsec(self) -> str:
        return self._decimal(0.2, 0.9)

    def _limit(self) -> str:
        return self._flux(0.0, 0.0)

    def _flux2(self) -> str:
        return self._flux(0.4, 0.9)

    def _flux3(self) -> str:
        return self._flux(1.1, 2.2)

    def _flux4(self) -> str:
        return self._flux(3.2, 3.9)

    def _lf(self) -> str:
        return self._decimal(1.3, 2.6)

    def _gmean(self) -> str:
        return f"{self.style.number(self.style.gamma)} = {self._gbare()}"

    def _gbare(self) -> str:
        value, error = self.random.uniform(1.2, 2.3), self.random.uniform(0.04, 0.2)
        return self.style.number(f"{value:.2f}{self.style.plus_minus}{error:.2f}")

    def _gone(self) -> str:
        return self.style.number(("1.4", "1.7", "1.8", "1.9", "2")[self._between(0, 5)])

    def _gsig(self) -> str:
        return self._decimal(0.1, 0.6)

    def _hlow(self) -> str:
        return self.style.number(self._decimal(-0.95, -0.5))

    def _hhigh(self) -> str:
        return self.style.number(self._decimal(0.5, 0.95))

    def _hmed(self) -> str:
        return self.style.number(f"{self.random.uniform(-0.4, 0.4):.2f}")

    def _nhcut(self) -> str:
        number = self.style.ten(str(self._one_of(1, 2, 3, 5)), self._one_of(22, 23, 24))
        return f"{self.style.number(number)} {self.style.units('cm-2')}"

    def _klow(self) -> str:
        return self._decimal(0.2, 0.9)

    def _khigh(self) -> str:
        return str(self._between(2, 11))

    def _year1(self) -> str:
        return str(self._between(1999, 2011))

    def _year2(self) -> str:
        return str(self._between(2012, 2025))

    def _above(self) -> str:
        return self.style.number(">")

    def _other(self) -> str:
        between = self._between
        number = f"J{between(0, 24):02d}{between(0, 60):02d}{'+-'[between(0, 2)]}"
        number += f"{between(0, 80):02d}{between(0, 60):02d}"
        lot = between(0, 4)
        if lot < 2:
            return f"CXO {number}" if lot else number
        return f"source {between(1, 400)}" if lot == 2 else f"X{between(1, 90)}"

    def _between(self, low: int, high: int) -> int:
        return low + below(self.random, high - low)

    def _decimal(self, low: float, high: float) -> str:
        return f"{self.random.uniform(low, high):.1f}"

    def _one_of(self, *values: int) -> int:
        return values[int(self.random.random() * len(values))]

    def _share(self, low: float, high: float) -> str:
        return _whole(2 + min(self._size, 3e3) * self.random.uniform(low, high))

    def _flux(self, low: float, high: float) -> str:
        mantissa, exponent = (
            f"{10.0 ** (self._faintest + self.random.uniform(low, high)):.0e}".split("e")
        )
        number = self.style.number(self.style.ten(mantissa, int(exponent)))
        return f"{number} {self.style.units('erg', 'cm-2', 's-1')}"


def _whole(number: float) -> str:
    return f"{int(number):,}" if number > 9999 else str(int(number))


class _Abstract:
    """Sentences of one abstract, each under its section."""

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts = facts
        self.reporter = reporter
        lot = reporter.random.random()
        self.kind = facts.field_kind if facts.host and lot < _FIELD else ""
        self.family = tables.FAMILY[facts.class_name] if 1.0 - lot < _SAMPLE else ""
        self.source = Source(facts, reporter, host_told=bool(self.kind))
        size = _SIZES.get(self.kind, (1.3, 2.4) if self.family else (2.8, 5.2))
        self.sample = _Sample(reporter.random, self.source.style, size)
        self.slots = Slots(self.source, self.sample, self)
        self.sections: dict[str, list[str]] = {"identity": [], "spectrum": [], "context": []}
        self.words = 0
        self._groups: list[str] = []
        self._used: set[str] = set()
        self._counted = False

    def write(self) -> dict[str, str]:
        """Write the abstract, and record the labels that it states."""
        self._open()
        for _ in range(1 + self.reporter.chance(0.6)):
            self._general()
        self._mention()
        while self.words < _FEWEST_WORDS or (
            self.words < _MOST_WORDS - 60 and self.reporter.chance(0.68)
        ):
            self._general()
        if self.reporter.chance(0.7):
            self._add("context", self._pick(tables.CLOSINGS))
        label = self.source.label or self.family
        if label:
            self.reporter.label("class", label)
        if self.source.host_told:
            self.reporter.label("host", self.facts.field_kind)
        return {name: " ".join(lines) for name, lines in self.sections.items() if lines}

    def _pick(self, options: tuple[str, ...]) -> str:
        return pick(options, self.reporter.random, self.slots)

    def _add(self, section: str, sentence: str) -> None:
        sentence = sentence[0].upper() + sentence[1:]
        self.sections[section].append(sentence)
        self.words += sentence.count(" ") + 1

    def _open(self) -> None:
        host = self.facts.host
        if self.kind:
            options = tables.FIELD_OPENINGS[self.kind]
        elif self.family:
            options = tables.CLASS_OPENINGS[self.family]
        else:
            options = tables.GENERAL_OPENINGS
        self.slots["host"], self.slots["Host"] = host, host[:1].upper() + host[1:]
        self._add("context", self._pick(options))
        self._templates = {
            "identity": tables.CLASS_COUNTS[self.family]
            if self.family
            else tables.IDENTITY[self.kind],
            "spectrum": tables.SPECTRUM + tables.OTHERS,
            "context": tables.CONTEXT,
        }

    def _general(self) -> None:
        """Write a sentence on the survey, the sample or somebody else."""
        lot = self.reporter.random.random()
        section = "identity" if lot < 0.25 else "spectrum" if lot < 0.6 else "context"
        # Two counts of the classes of one sample would contradict each other.
        if section == "identity" and (self._counted or not self._templates["identity"]):
            section = "context"
        self._counted |= section == "identity" and not self.kind
        options = self._templates[section]
        template = options[below(self.reporter.random, len(options))]
        while template in self._used:
            template = options[below(self.reporter.random, len(options))]
        if len(self._used.intersection(options)) + 1 == len(options):
            self._counted = True
        self._used.add(template)
        self._add(section, self._pick((template,)))

    def _mention(self) -> None:
        """Write one to four sentences on the source."""
        reporter, source = self.reporter, self.source
        if reporter.chance(_CLASS_TOLD):
            self._add("identity", self._pick(_INTRO))
        elif reporter.chance(0.5):
            self._add("identity", self._pick(_INTRO_BARE))
        groups = [name for name in source.groups() if reporter.chance(_STATED[name])]
        if "flux" in groups and "luminosity" in groups:
            groups.remove("flux")
        if not groups and not (source.label or self.family):
            groups = ["colour", "nh"]
        cut = [name for name in groups if name in ("nh", "slope", "colour", "flux")]
        if cut and reporter.chance(_CUT_CHANCE):
            self._groups = cut[:1]
            groups.remove(cut[0])
            self._add("spectrum", self._pick(_CUT))
        source.named = source.named and not self.sections["spectrum"]
        groups = reporter.random.sample(groups, min(len(groups), 5))
        while groups:
            size = min(len(groups), 1 + reporter.chance(0.6))
            self._add("spectrum", self._phrase(groups[:size]))
            del groups[:size]
        if source.model_told and reporter.tells_second(self.facts, _SECOND_TOLD):
            self._add("spectrum", self._pick(_SECOND))

    def _phrase(self, groups: list[str]) -> str:
        """Write a sentence that states one or two groups of quantities of the source."""
        self._groups = groups
        return self._pick(_FRAMES[len(groups)])

    def _beyond(self) -> str:
        return self.source.write_beyond(self._groups[0])

    def _vp(self) -> str:
        return self._pick(_PHRASES[self._groups[0]][0])

    def _np(self) -> str:
        return self._pick(_PHRASES[self._groups[0]][1])

    def _vp2(self) -> str:
        return self._pick(_PHRASES[self._groups[1]][0])

    def _np2(self) -> str:
        return self._pick(_PHRASES[self._groups[1]][1])


def _write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    return _Abstract(facts, reporter).write()


WRITER = Writer("survey_abstract", _write, unseen=True)

__all__ = ["WRITER"]
