"""Literature of a build's sources: SIMBAD's references and ADS' papers, ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...splits import SURVEY_LIMIT, count_sources_of_papers
from ..services.ads import OBJECTS_STAGE, PAPERS_STAGE, Ads
from ..services.simbad import STAGE as SIMBAD_STAGE
from ..work.queue import WorkQueue
from .ranking import RankedPaper, rank_papers

# Papers a summary is made of.
PAPERS_EACH = 12
# Names that ADS is asked about; the others are spellings of catalogues that it does not know.
_NAMES_EACH = 4


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


def want_papers(queue: WorkQueue, ads: Ads, *, search_objects: bool = True) -> tuple[int, int]:
    """Queue the queries to ADS that SIMBAD's answers lead to.

    Args:
        queue: of the build, with SIMBAD's answers.
        ads: where they are wanted.
        search_objects: look for papers about each object, too. That takes two requests a source,
            of 5,000 a day.

    Returns:
        How many sources and how many papers are new.
    """
    names: dict[str, list[str]] = {}
    codes: set[str] = set()
    for item in queue.items(SIMBAD_STAGE, ["got"]):
        codes.update(reference["bibcode"] for reference in item.result["references"])
        names[item.id] = _names_for_ads(item.id, item.result["main_id"], item.result["aliases"])
    objects = ads.want_objects(names) if search_objects else 0
    return objects, ads.want_papers(sorted(codes))


class Literature:
    """Literature of the sources that SIMBAD knows, assembled source by source on demand.

    Args:
        queue: of the build.
        survey_limit: a paper behind more sources is a survey.
    """

    def __init__(self, queue: WorkQueue, *, survey_limit: int = SURVEY_LIMIT) -> None:
        self.queue = queue
        self.survey_limit = survey_limit
        self._same = _same_papers(queue)
        self._searched = {item.id: item.result for item in queue.items(OBJECTS_STAGE, ["got"])}
        self._sources_of = _count_papers(queue, self._same, self._searched)

    def __iter__(self) -> Iterator[SourceLiterature]:
        """Yield all sources, in the order of their names."""
        for item in self.queue.items(SIMBAD_STAGE, ["got"]):
            yield self._of(item.id, item.result)

    def of(self, name: str) -> SourceLiterature | None:
        """Return a source; None for one that SIMBAD does not know."""
        known = self.queue.results(SIMBAD_STAGE, [name])
        return self._of(name, known[name]) if name in known else None

    def _of(self, name: str, known: Mapping[str, Any]) -> SourceLiterature:
        references = [
            {**reference, "bibcode": self._same.get(reference["bibcode"], reference["bibcode"])}
            for reference in known["references"]
        ]
        codes = {reference["bibcode"] for reference in references}
        references += [{"bibcode": c} for c in self._searched.get(name, []) if c not in codes]
        asked = [r["bibcode"] for r in (*known["references"], *references)]
        papers = {p["bibcode"]: p for p in self.queue.results(PAPERS_STAGE, asked).values()}
        aliases = [known["main_id"], *known["aliases"]]
        aliases = [alias for alias in dict.fromkeys(aliases) if alias != name]
        ranked = rank_papers(
            [name, *aliases], references, papers, self._sources_of, self.survey_limit
        )
        return SourceLiterature(
            name=name,
            aliases=tuple(aliases),
            source_class=known["otype"] or None,
            host=known["host"],
            papers=tuple(ranked),
        )


def _count_papers(
    queue: WorkQueue, same: Mapping[str, str], searched: Mapping[str, Sequence[str]]
) -> Counter[str]:
    names, codes = [], []
    for item in queue.items(SIMBAD_STAGE, ["got"]):
        own = {same.get(r["bibcode"], r["bibcode"]) for r in item.result["references"]}
        names.append(item.id)
        codes.append(sorted(own | set(searched.get(item.id, []))))
    return count_sources_of_papers(names, codes)


def _same_papers(queue: WorkQueue) -> dict[str, str]:
    """Map superseded bibcodes to those under which ADS keeps the paper now."""
    got = queue.items(PAPERS_STAGE, ["got"])
    return {i.id: i.result["bibcode"] for i in got if i.result["bibcode"] != i.id}


def _names_for_ads(name: str, main_id: str, aliases: list[str]) -> list[str]:
    """Choose a few names that ADS may resolve: SIMBAD's own, popular ones, the catalogue's."""
    popular = [alias.removeprefix("NAME ") for alias in aliases if alias.startswith("NAME ")]
    names = [main_id.removeprefix("NAME "), *popular, name]
    return list(dict.fromkeys(names))[:_NAMES_EACH]


__all__ = ["PAPERS_EACH", "Literature", "SourceLiterature", "want_papers"]
