"""Summaries of a build's sources: a stage over any summariser, the extractive one to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from hf_specclip.literature import SECTIONS, extractive_summary

from .bibliography import SourceLiterature
from .queue import WorkQueue
from .ranking import RankedPaper

STAGE = "summaries"
AT_ONCE = 20


class Summariser(Protocol):
    """What writes the three sections.

    Attributes:
        name: of it and of all that changes its texts, for the card and the queue.
    """

    name: str

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Sections of a source; all None where its papers say nothing."""
        ...


class ExtractiveSummariser:
    """Sentences of the papers' own abstracts: no key, no cost, no invention."""

    name = "extractive"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """See `hf_specclip.literature.extractive_summary`."""
        return extractive_summary(
            name=source.name,
            aliases=source.aliases,
            host=source.host,
            source_class=source.source_class,
            papers=[paper.as_dict() for paper in papers],
        )


def write_summaries(
    queue: WorkQueue,
    sources: Iterable[SourceLiterature],
    summariser: Summariser,
    *,
    papers_each: int,
    progress: Callable[[int], None] = lambda n: None,
) -> None:
    """Summarise every source that has papers of its own; those done before are kept.

    A source whose papers have changed since is summarised anew.

    Args:
        queue: of the build.
        sources: with their papers.
        summariser: what writes.
        papers_each: papers behind a summary, at most.
        progress: called with the number of sources finished.

    Raises:
        whatever the summariser raises to stop; what it has written is kept.
    """
    known = {source.name: source for source in sources}
    wanted: dict[str, Any] = {}
    for source in known.values():
        ids = [paper.id for paper in source.behind_summary(papers_each)]
        wanted[source.name] = {"papers": ids, "summariser": summariser.name}
    stale = [
        item.id
        for item in queue.items(STAGE)
        if item.id in wanted and item.payload != wanted[item.id] and item.state != "claimed"
    ]
    queue.remove(STAGE, stale)
    queue.add(STAGE, wanted)
    while items := queue.claim(STAGE, AT_ONCE):
        left = [item.id for item in items]
        try:
            for item in items:
                about = known.get(item.id)
                papers = () if about is None else about.behind_summary(papers_each)
                sections: Mapping[str, str | None] = {}
                if about is not None and papers:
                    sections = summariser.summarise(about, papers)
                if any(sections.get(name) for name in SECTIONS):
                    result = {
                        "sections": {name: sections.get(name) for name in SECTIONS},
                        "papers": [paper.id for paper in papers],
                    }
                    queue.finish(STAGE, {item.id: result})
                else:
                    why = "its papers say nothing" if papers else "no paper but surveys"
                    queue.finish(STAGE, absent={item.id: why})
                left.remove(item.id)
                progress(1)
        finally:
            queue.release(STAGE, left)


def read_summaries(queue: WorkQueue) -> dict[str, dict[str, str | None]]:
    """Source -> its three sections, for all that have any."""
    return {item.id: item.result["sections"] for item in queue.items(STAGE, ["got"])}


__all__ = ["ExtractiveSummariser", "Summariser", "read_summaries", "write_summaries"]
