"""Stage that summarises a build's sources, and the extractive summariser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hf_specclip.literature import SECTIONS, extractive_summary

from ..work.store import Absent, Failed, Item, Store
from .bibliography import SourceLiterature
from .ranking import RankedPaper
from .summaries import ModelSummariser, SummaryError

STAGE = "summaries"


class ExtractiveSummariser:
    """Summariser that takes sentences of the papers' abstracts: no key, no cost, no invention."""

    name = "extractive"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Choose sentences; see `hf_specclip.literature.extractive_summary`."""
        return extractive_summary(
            name=source.name,
            aliases=source.aliases,
            host=source.host,
            source_class=source.source_class,
            papers=[paper.as_dict() for paper in papers],
        )


Summariser = ExtractiveSummariser | ModelSummariser


def write_summaries(
    store: Store,
    sources: Iterable[SourceLiterature],
    summariser: Summariser,
    *,
    papers_each: int,
    find: Callable[[str], SourceLiterature | None] | None = None,
) -> None:
    """Summarise every source that has papers of its own; those done before are kept.

    A source whose papers have changed since is summarised anew.

    Args:
        summariser: writes the sections.
        find: gives one of the sources again; without it, all are held in memory.

    Raises:
        Exception: whatever the summariser raises to stop; what it has written is kept.
    """
    if find is None:
        held = {source.name: source for source in sources}
        sources, find = held.values(), held.get
    store.add(
        STAGE, {s.name: payload_of(s.behind_summary(papers_each), summariser) for s in sources}
    )

    def write(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        [item] = items
        try:
            yield {item.id: _summarise(summariser, find(item.id), papers_each)}
        except SummaryError as error:
            yield {item.id: Failed(error, service=False)}

    store.work(STAGE, write, workers=max(1, getattr(summariser, "workers", 1)))


def payload_of(papers: Iterable[RankedPaper], summariser: Summariser) -> dict[str, Any]:
    """Name all that a summary is made of: one made of something else is made anew."""
    return {"papers": [paper.id for paper in papers], "summariser": summariser.name}


def _summarise(
    summariser: Summariser, source: SourceLiterature | None, papers_each: int
) -> dict[str, Any] | Absent:
    papers = () if source is None else source.behind_summary(papers_each)
    if source is None or not papers:
        return Absent("no paper but surveys")
    sections = summariser.summarise(source, papers)
    if not any(sections.get(name) for name in SECTIONS):
        return Absent("its papers say nothing")
    return {
        "sections": {name: sections.get(name) for name in SECTIONS},
        "papers": [paper.id for paper in papers],
    }


def read_summaries(store: Store) -> dict[str, dict[str, str | None]]:
    """Read the three sections of every source that has any."""
    return {name: result["sections"] for name, result in store.got(STAGE)}
