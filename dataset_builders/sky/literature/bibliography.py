"""Literature of a build's sources: SIMBAD's references and ADS' papers, ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...splits import SURVEY_LIMIT, count_sources_of_papers
from ..services.ads import OBJECTS_STAGE, PAPERS_STAGE
from ..services.simbad import STAGE as SIMBAD_STAGE
from ..work.store import Store
from .ranking import RankedPaper, rank_papers

# Papers a summary is made of.
PAPERS_EACH = 12


@dataclass(frozen=True)
class SourceLiterature:
    """A source with its names and ranked papers.

    Attributes:
        name: in the catalogue.
        aliases: other names, SIMBAD's main one first.
        source_class: SIMBAD's type, or None.
        host: galaxy, cluster or remnant it lies in, or None.
        papers: all of them, those most about the source first, surveys last.
    """

    name: str
    aliases: tuple[str, ...]
    source_class: str | None
    host: str | None
    papers: tuple[RankedPaper, ...]

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
        names, codes = [], []
        for name, known in store.got(SIMBAD_STAGE):
            own = {self._same.get(r["bibcode"], r["bibcode"]) for r in known["references"]}
            names.append(name)
            codes.append(sorted(own | set(self._searched.get(name, []))))
        self._sources_of = count_sources_of_papers(names, codes)

    def __iter__(self) -> Iterator[SourceLiterature]:
        """Yield all sources, in the order of their names."""
        for name, known in self.store.got(SIMBAD_STAGE):
            yield self._of(name, known)

    def of(self, name: str) -> SourceLiterature | None:
        """Return a source; None for one that SIMBAD does not know."""
        known = self.store.results(SIMBAD_STAGE, [name])
        return self._of(name, known[name]) if name in known else None

    def _of(self, name: str, known: Mapping[str, Any]) -> SourceLiterature:
        references = [
            {**reference, "bibcode": self._same.get(reference["bibcode"], reference["bibcode"])}
            for reference in known["references"]
        ]
        codes = {reference["bibcode"] for reference in references}
        references += [{"bibcode": c} for c in self._searched.get(name, []) if c not in codes]
        asked = [r["bibcode"] for r in (*known["references"], *references)]
        papers = {p["bibcode"]: p for p in self.store.results(PAPERS_STAGE, asked).values()}
        aliases = dict.fromkeys([known["main_id"], *known["aliases"]])
        aliases.pop(name, None)
        ranked = rank_papers(
            [name, *aliases], references, papers, self._sources_of, self.survey_limit
        )
        return SourceLiterature(
            name, tuple(aliases), known["otype"] or None, known["host"], tuple(ranked)
        )
