"""Literature of a build's sources: SIMBAD's references and ADS' papers, ranked.

A paper's rank says how much it is about a source. It is a sum of what the paper shows, each bounded
so that no single sign decides:

* 3 where the title names the source, 2 where the abstract does;
* up to 3 for how often SIMBAD counts the object in the paper: log2(1 + frequency);
* 1 where title or abstract speak of X-rays;
* −1 for every factor of ten in the number of objects it deals with, down to −3: a paper on a
  thousand objects says little about any.

Papers behind more sources of a build than the survey limit are set apart: they come last whatever
their rank, and are marked. Ties go to the later paper, then to the bibcode, so that the order never
depends on who answered first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_specclip.literature.source_names import name_matcher

from ...splits import SURVEY_LIMIT, count_sources_of_papers
from ..services.ads import OBJECTS_STAGE, PAPERS_STAGE
from ..services.simbad import STAGE as SIMBAD_STAGE
from ..work.store import Store

# Papers a summary is made of.
PAPERS_EACH = 12
_XRAY = re.compile(
    r"X-?ray|\bkeV\b|Chandra|XMM|NuSTAR|NICER|ROSAT|Suzaku|\bASCA\b|RXTE|Swift|eROSITA|Einstein "
    r"Observatory",
    re.IGNORECASE,
)
# So few objects, and a paper is about each of them.
_FEW_OBJECTS = 5


@dataclass(frozen=True)
class RankedPaper:
    """A paper about a source, with its rank."""

    id: str  # bibcode
    title: str | None
    abstract: str | None
    year: int | None
    about: str  # `source`, or `host` where it deals with the source among others
    xray: bool  # title or abstract speak of X-rays
    score: float  # its rank
    survey: bool  # it is behind more sources than the survey limit
    sources: int  # of this build, that it is behind


@dataclass(frozen=True)
class SourceLiterature:
    """A source with its names and ranked papers."""

    name: str  # in the catalogue
    aliases: tuple[str, ...]  # other names, SIMBAD's main one first
    source_class: str | None  # SIMBAD's type
    host: str | None  # galaxy, cluster or remnant it lies in
    papers: tuple[RankedPaper, ...]  # those most about the source first, surveys last

    def behind_summary(self, limit: int = PAPERS_EACH) -> tuple[RankedPaper, ...]:
        """Choose the papers that a summary is made of; none where all are surveys."""
        own = [paper for paper in self.papers if not paper.survey]
        return tuple(own[:limit])


class Literature:
    """Literature of the sources that SIMBAD knows, assembled source by source on demand."""

    def __init__(self, store: Store, *, survey_limit: int = SURVEY_LIMIT) -> None:
        self.store = store
        self.survey_limit = survey_limit
        # Superseded bibcodes, and those under which ADS keeps the paper now.
        got = store.got(PAPERS_STAGE)
        self._same = {code: paper["bibcode"] for code, paper in got if paper["bibcode"] != code}
        self._searched = dict(store.got(OBJECTS_STAGE))
        codes = {n: [*self._references(n, known)] for n, known in store.got(SIMBAD_STAGE)}
        self._sources_of = count_sources_of_papers([*codes], [*codes.values()])

    def __iter__(self) -> Iterator[SourceLiterature]:
        """Yield all sources, in the order of their names."""
        return (self._of(name, known) for name, known in self.store.got(SIMBAD_STAGE))

    def of(self, name: str) -> SourceLiterature | None:
        """Return a source; None for one that SIMBAD does not know."""
        known = self.store.results(SIMBAD_STAGE, [name])
        return self._of(name, known[name]) if name in known else None

    def _references(self, name: str, known: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """List SIMBAD's references and ADS's findings by their bibcodes as they are now."""
        own = ((self._same.get(r["bibcode"], r["bibcode"]), r) for r in known["references"])
        references = {code: {**reference, "bibcode": code} for code, reference in own}
        return {c: {"bibcode": c} for c in self._searched.get(name, [])} | references

    def _of(self, name: str, known: Mapping[str, Any]) -> SourceLiterature:
        references = self._references(name, known)
        asked = [*references, *(r["bibcode"] for r in known["references"])]
        papers = {p["bibcode"]: p for p in self.store.results(PAPERS_STAGE, asked).values()}
        aliases = dict.fromkeys([known["main_id"], *known["aliases"]])
        aliases.pop(name, None)
        ranked = rank_papers(
            [name, *aliases], references.values(), papers, self._sources_of, self.survey_limit
        )
        of = (tuple(aliases), known["otype"] or None, known["host"], tuple(ranked))
        return SourceLiterature(name, *of)


def rank_papers(
    names: Sequence[str],
    references: Iterable[Mapping[str, Any]],
    papers: Mapping[str, Mapping[str, Any]],
    sources_of: Mapping[str, int],
    survey_limit: int,
) -> list[RankedPaper]:
    """Rank the papers of a source: those most about it first, surveys last.

    Args:
        names: of the source.
        references: `bibcode`, and what SIMBAD says of the paper (`title`, `year`, `frequency`,
            `objects`), where it does.
        papers: bibcode -> what ADS says of it (`title`, `abstract`, `year`), where it does.
        sources_of: bibcode -> behind how many sources it is.
    """
    named = name_matcher(names)
    ranked = {}
    for reference in references:
        code = reference["bibcode"]
        known = papers.get(code, {})
        title, abstract = known.get("title") or reference.get("title"), known.get("abstract")
        in_title, in_abstract = named(title or ""), named(abstract or "")
        objects = reference.get("objects")
        xray = bool(_XRAY.search(f"{title or ''} {abstract or ''}"))
        score = 3.0 * in_title + 2.0 * in_abstract + xray
        score += min(3.0, math.log2(1 + (reference.get("frequency") or 0)))
        score -= min(3.0, math.log10(max(objects or 1, 1)))
        few = objects is not None and objects <= _FEW_OBJECTS
        sources = sources_of.get(code, 1)
        ranked[code] = RankedPaper(
            id=code,
            title=title,
            abstract=abstract,
            year=known.get("year") or reference.get("year"),
            about="source" if in_title or in_abstract or few else "host",
            xray=xray,
            score=round(score, 4),
            survey=sources > survey_limit,
            sources=sources,
        )
    return sorted(ranked.values(), key=lambda p: (p.survey, -p.score, -(p.year or 0), p.id))
