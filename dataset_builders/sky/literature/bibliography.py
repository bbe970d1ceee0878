"""Literature of sources: papers from SIMBAD and ADS, ranked by relevance.

The score of a paper is the sum of

* 3 if the title names the source, and 2 if the abstract does;
* log2(1 + frequency), at most 3, for the number of times SIMBAD counts the object in the paper;
* 1 if title or abstract mention X-rays;
* −log10(number of objects in the paper), at least −3.

Papers on more sources of the build than the survey limit are marked as surveys and ranked last.
Ties are resolved by year (latest first) and bibcode, so the order is reproducible.
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

# Maximum number of papers per summary.
PAPERS_EACH = 12
_XRAY = re.compile(
    r"X-?ray|\bkeV\b|Chandra|XMM|NuSTAR|NICER|ROSAT|Suzaku|\bASCA\b|RXTE|Swift|eROSITA|Einstein "
    r"Observatory",
    re.IGNORECASE,
)
# A paper on at most this many objects is about each of them.
_FEW_OBJECTS = 5


@dataclass(frozen=True)
class RankedPaper:
    """Paper about a source, with its score."""

    id: str  # bibcode
    title: str | None
    abstract: str | None
    year: int | None
    about: str  # `source`, or `host` if the source is one of many
    xray: bool  # title or abstract mention X-rays
    score: float  # see the module
    survey: bool  # about more sources than the survey limit
    sources: int  # number of sources of the build that it is about


@dataclass(frozen=True)
class SourceLiterature:
    """Source with its names and ranked papers."""

    name: str  # in the catalogue
    aliases: tuple[str, ...]  # SIMBAD's main identifier first
    source_class: str | None  # SIMBAD's object type
    host: str | None  # galaxy, cluster or remnant
    papers: tuple[RankedPaper, ...]  # by decreasing score, surveys last

    def summary_papers(self, limit: int = PAPERS_EACH) -> tuple[RankedPaper, ...]:
        """Return the papers to summarise, without surveys."""
        return tuple([paper for paper in self.papers if not paper.survey][:limit])


class Literature:
    """Literature of all sources in SIMBAD, assembled on demand."""

    def __init__(self, store: Store, *, survey_limit: int = SURVEY_LIMIT) -> None:
        self.store = store
        self.survey_limit = survey_limit
        papers = store.iter_results(PAPERS_STAGE)
        # Superseded bibcode -> current bibcode in ADS.
        self._current = {code: p["bibcode"] for code, p in papers if p["bibcode"] != code}
        self._searched = dict(store.iter_results(OBJECTS_STAGE))
        objects = store.iter_results(SIMBAD_STAGE)
        bibcodes = {name: [*self._references(name, row)] for name, row in objects}
        self._n_sources = count_sources_of_papers([*bibcodes], [*bibcodes.values()])

    def __iter__(self) -> Iterator[SourceLiterature]:
        """Yield all sources, sorted by name."""
        return (self._assemble(name, row) for name, row in self.store.iter_results(SIMBAD_STAGE))

    def get(self, name: str) -> SourceLiterature | None:
        """Return a source, or None if it is not in SIMBAD."""
        rows = self.store.results(SIMBAD_STAGE, [name])
        return self._assemble(name, rows[name]) if name in rows else None

    def _references(self, name: str, row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the references of SIMBAD and the search results of ADS, by current bibcode."""
        current = ((self._current.get(r["bibcode"], r["bibcode"]), r) for r in row["references"])
        references = {code: {**reference, "bibcode": code} for code, reference in current}
        return {c: {"bibcode": c} for c in self._searched.get(name, [])} | references

    def _assemble(self, name: str, row: Mapping[str, Any]) -> SourceLiterature:
        references = self._references(name, row)
        bibcodes = [*references, *(r["bibcode"] for r in row["references"])]
        papers = {p["bibcode"]: p for p in self.store.results(PAPERS_STAGE, bibcodes).values()}
        aliases = dict.fromkeys([row["main_id"], *row["aliases"]])
        aliases.pop(name, None)
        ranked = rank_papers(
            [name, *aliases], references.values(), papers, self._n_sources, self.survey_limit
        )
        return SourceLiterature(
            name, tuple(aliases), row["otype"] or None, row["host"], tuple(ranked)
        )


def rank_papers(
    names: Sequence[str],
    references: Iterable[Mapping[str, Any]],
    papers: Mapping[str, Mapping[str, Any]],
    n_sources: Mapping[str, int],
    survey_limit: int,
) -> list[RankedPaper]:
    """Rank the papers of a source by score, surveys last.

    Args:
        names: all names of the source.
        references: `bibcode`, and optionally `title`, `year`, `frequency` and `objects` from
            SIMBAD.
        papers: bibcode -> optionally `title`, `abstract` and `year` from ADS.
        n_sources: bibcode -> number of sources with this paper.
    """
    names_source = name_matcher(names)
    ranked = {}
    for reference in references:
        code = reference["bibcode"]
        paper = papers.get(code, {})
        title, abstract = paper.get("title") or reference.get("title"), paper.get("abstract")
        in_title, in_abstract = names_source(title or ""), names_source(abstract or "")
        objects = reference.get("objects")
        xray = bool(_XRAY.search(f"{title or ''} {abstract or ''}"))
        score = 3.0 * in_title + 2.0 * in_abstract + xray
        score += min(3.0, math.log2(1 + (reference.get("frequency") or 0)))
        score -= min(3.0, math.log10(max(objects or 1, 1)))
        few = objects is not None and objects <= _FEW_OBJECTS
        sources = n_sources.get(code, 1)
        ranked[code] = RankedPaper(
            id=code,
            title=title,
            abstract=abstract,
            year=paper.get("year") or reference.get("year"),
            about="source" if in_title or in_abstract or few else "host",
            xray=xray,
            score=round(score, 4),
            survey=sources > survey_limit,
            sources=sources,
        )
    return sorted(ranked.values(), key=lambda p: (p.survey, -p.score, -(p.year or 0), p.id))
