"""Abstract of a survey, or of another paper on many sources, that mentions a source in passing.

Most of its sentences are about the survey, its sample and other sources, with numbers of their
own; a few state something about this one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..composition import Composition
from ..grammar import capitalized
from ..reporter import Reporter, Writer
from .source_slots import Slots
from .survey_source import FAMILY, PHRASES, Source, Typeset

_FEWEST_WORDS, _MOST_WORDS = 95, 200
_SECOND_TOLD = 0.3


# Chances of the theme: the field of the source, a sample of its class, or any sources.
_FIELD, _SAMPLE = 0.45, 0.2
_CLASS_TOLD = 0.7
_CUT_CHANCE = 0.2


def _sample_slots(
    reporter: Reporter, style: Typeset, size: tuple[float, float]
) -> dict[str, Callable[[], str]]:
    """Return slots about the survey and its sample, which no source has any part in."""
    random, choose, number = reporter.random, reporter.choose, style.number
    uniform, below = random.uniform, random.randrange
    n = 10.0 ** uniform(*size)
    faintest = uniform(-16.0, -14.2)

    def exposure() -> str:
        kiloseconds = 10.0 ** uniform(1.4, 3.3)
        return f"{kiloseconds / 1e3:.1f} Ms" if kiloseconds > 1000 else f"{kiloseconds:.0f} ks"

    def photon_index() -> str:
        value, error = uniform(1.2, 2.3), uniform(0.04, 0.2)
        return number(f"{value:.2f}{style.plus_minus}{error:.2f}")

    def column_cut() -> str:
        column = style.ten(choose("1235"), choose((22, 23, 24)))
        return f"{number(column)} {style.units('cm-2')}"

    def other_name() -> str:
        name = f"J{below(24):02d}{below(60):02d}{random.choice('+-')}"
        name += f"{below(80):02d}{below(60):02d}"
        lot = below(4)
        if lot < 2:
            return f"CXO {name}" if lot else name
        return f"source {below(1, 400)}" if lot == 2 else f"X{below(1, 90)}"

    def share(low: float, high: float) -> str:
        return _whole(2 + min(n, 3e3) * uniform(low, high))

    def flux(low: float, high: float) -> str:
        """Write a flux, in powers of ten above the faintest."""
        mantissa, exponent = f"{10.0 ** (faintest + uniform(low, high)):.0e}".split("e")
        value = number(style.ten(mantissa, int(exponent)))
        return f"{value} {style.units('erg', 'cm-2', 's-1')}"

    return {
        "n": lambda: _whole(n),
        "fields": lambda: _whole(10.0 ** uniform(0.5, 2.5)),
        "cut": lambda: str(choose((20, 30, 50, 100, 200, 500))),
        "cut2": lambda: _whole(10.0 ** uniform(3.2, 5.0)),
        "area": lambda: f"{n / 10.0 ** uniform(2.6, 3.5):.2g}",
        "exposure": exposure,
        "gmean": lambda: f"{number(style.gamma)} = {photon_index()}",
        "gbare": photon_index,
        "gone": lambda: number(random.choice(("1.4", "1.7", "1.8", "1.9", "2"))),
        "hlow": lambda: number(f"{uniform(-0.95, -0.5):.1f}"),
        "hhigh": lambda: number(f"{uniform(0.5, 0.95):.1f}"),
        "hmed": lambda: number(f"{uniform(-0.4, 0.4):.2f}"),
        "nhcut": column_cut,
        "above": lambda: number(">"),
        "other": other_name,
        "part": lambda: share(0.1, 0.4),
        "part2": lambda: share(0.03, 0.1),
        "small": lambda: share(0.005, 0.03),
        "small2": lambda: share(0.004, 0.02),
        "limit": lambda: flux(0.0, 0.0),
        "flux2": lambda: flux(0.4, 0.9),
        "flux3": lambda: flux(1.1, 2.2),
        "flux4": lambda: flux(3.2, 3.9),
    }


def _whole(number: float) -> str:
    return f"{int(number):,}" if number > 9999 else str(int(number))


class _Abstract:
    """Sentences of one abstract, each under its section."""

    def __init__(self, reporter: Reporter) -> None:
        facts = self.facts = reporter.facts
        self.reporter = reporter
        lot = reporter.random.random()
        self.kind = facts.field_kind if facts.host and lot < _FIELD else ""
        self.family = FAMILY[facts.class_name] if 1.0 - lot < _SAMPLE else ""
        self.source = Source(reporter, host_told=bool(self.kind))
        size = PHRASES.sizes.get(self.kind, (1.3, 2.4) if self.family else (2.8, 5.2))
        sample = _sample_slots(reporter, self.source.style, size)
        self.slots = Slots(reporter, PHRASES.fillers, self.source, sample, self)
        self.text = Composition(reporter)
        self._groups: list[str] = []
        self._vp, self._np, self._vp2, self._np2 = (
            partial(self._phrase, group, form) for group in (0, 1) for form in (0, 1)
        )
        self._counted = False

    def write(self) -> dict[str, str]:
        """Write the abstract, and record the labels that it states."""
        self._open()
        for _ in range(1 + self.reporter.chance(0.6)):
            self._general()
        self._mention()
        while self.text.words < _FEWEST_WORDS or (
            self.text.words < _MOST_WORDS - 60 and self.reporter.chance(0.68)
        ):
            self._general()
        if self.reporter.chance(0.7):
            self._add("context", PHRASES.closings)
        label = self.source.label or self.family
        if label:
            self.reporter.label("class", label)
        if self.source.host_told:
            self.reporter.label("host", self.facts.field_kind)
        return self.text.sections()

    def _pick(self, options: tuple[str, ...]) -> str:
        return self.reporter.fill(options, self.slots)

    def _add(self, section: str, options: tuple[str, ...]) -> None:
        self.text.append(section, capitalized(self._pick(options)))

    def _open(self) -> None:
        host = self.facts.host
        if self.kind:
            options = PHRASES.field_openings[self.kind]
        elif self.family:
            options = PHRASES.class_openings[self.family]
        else:
            options = PHRASES.general_openings
        self.slots["host"], self.slots["Host"] = host, host[:1].upper() + host[1:]
        self._add("context", options)
        self._templates = {
            "identity": PHRASES.class_counts[self.family]
            if self.family
            else PHRASES.identity[self.kind],
            "spectrum": PHRASES.spectrum + PHRASES.others,
            "context": PHRASES.context,
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
        template = self.text.unused(options)
        self._counted |= self.text.used.issuperset(options)
        self._add(section, (template,))

    def _mention(self) -> None:
        """Write one to four sentences on the source."""
        reporter, source = self.reporter, self.source
        if reporter.chance(_CLASS_TOLD):
            self._add("identity", PHRASES.intro)
        elif reporter.chance(0.5):
            self._add("identity", PHRASES.intro_bare)
        groups = [name for name in source.groups() if reporter.chance(PHRASES.stated[name])]
        if "flux" in groups and "luminosity" in groups:
            groups.remove("flux")
        if not groups and not (source.label or self.family):
            groups = ["colour", "nh"]
        cut = [name for name in groups if name in ("nh", "slope", "colour", "flux")]
        if cut and reporter.chance(_CUT_CHANCE):
            self._groups = cut[:1]
            groups.remove(cut[0])
            self._add("spectrum", PHRASES.cut)
        source.named = source.named and "spectrum" not in self.text.sections()
        groups = reporter.random.sample(groups, min(len(groups), 5))
        while groups:
            size = min(len(groups), 1 + reporter.chance(0.6))
            self._groups, groups = groups[:size], groups[size:]
            self._add("spectrum", PHRASES.frames[size])
        if source.model_told and reporter.tells_second(_SECOND_TOLD):
            self._add("spectrum", PHRASES.second)

    def _beyond(self) -> str:
        return self.source.write_beyond(self._groups[0])

    def _phrase(self, group: int, form: int) -> str:
        return self._pick(PHRASES.phrases[self._groups[group]][form])


WRITER = Writer("survey_abstract", lambda reporter: _Abstract(reporter).write(), unseen=True)
