"""Stage that summarises a build's sources, and the extractive summariser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import Any, Protocol

from hf_specclip.literature import SECTIONS, extractive_summary

from ..work.queue import WorkQueue
from .bibliography import SourceLiterature
from .ranking import RankedPaper
from .summaries import SummaryError

STAGE = "summaries"
AT_ONCE = 20


class Summariser(Protocol):
    """Writer of the three sections; with an attribute `workers`, in so many threads."""

    @property
    def name(self) -> str:
        """Name of the summariser and of all that changes its texts, for the card and the queue."""
        ...

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Write the sections of a source; all None where its papers say nothing."""
        ...


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


def write_summaries(
    queue: WorkQueue,
    sources: Iterable[SourceLiterature],
    summariser: Summariser,
    *,
    papers_each: int,
    find: Callable[[str], SourceLiterature | None] | None = None,
    progress: Callable[[int], object] = lambda n: None,
) -> None:
    """Summarise every source that has papers of its own; those done before are kept.

    A source whose papers have changed since is summarised anew.

    Args:
        queue: of the build.
        sources: with their papers; read once, one at a time.
        summariser: what writes.
        papers_each: papers behind a summary, at most.
        find: gives one of the sources again; without it, all are held in memory.
        progress: called with the number of sources finished.

    Raises:
        whatever the summariser raises to stop; what it has written is kept.
    """
    if find is None:
        held = {source.name: source for source in sources}
        sources, find = held.values(), held.get
    wanted: dict[str, Any] = {}
    for source in sources:
        ids = [paper.id for paper in source.behind_summary(papers_each)]
        wanted[source.name] = {"papers": ids, "summariser": summariser.name}
    stale = [
        item.id
        for item in queue.items(STAGE)
        if item.id in wanted and item.payload != wanted[item.id] and item.state != "claimed"
    ]
    queue.remove(STAGE, stale)
    queue.add(STAGE, wanted)
    workers = max(1, getattr(summariser, "workers", 1))
    # A refused key stops all threads at once: each further question would be asked in vain.
    stopped = Event()

    def write(source: SourceLiterature | None) -> dict[str, Any] | str | None:
        if stopped.is_set():
            return None
        try:
            return _summarise(summariser, source, papers_each)
        except SummaryError:
            raise
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        while items := queue.claim(STAGE, AT_ONCE):
            waiting = {pool.submit(write, find(item.id)): item.id for item in items}
            try:
                for future in as_completed(waiting):
                    name = waiting[future]
                    try:
                        result = future.result()
                    except SummaryError as error:
                        queue.finish(STAGE, failed={name: str(error)})
                    else:
                        if result is None:
                            continue
                        if isinstance(result, str):
                            queue.finish(STAGE, absent={name: result})
                        else:
                            queue.finish(STAGE, {name: result})
                    progress(1)
            finally:
                for future in waiting:
                    future.cancel()
                queue.release(STAGE, waiting.values())


def _summarise(
    summariser: Summariser, source: SourceLiterature | None, papers_each: int
) -> dict[str, Any] | str:
    """Summarise a source; return the record, or the reason why there is none."""
    papers = () if source is None else source.behind_summary(papers_each)
    if source is None or not papers:
        return "no paper but surveys"
    sections = summariser.summarise(source, papers)
    if not any(sections.get(name) for name in SECTIONS):
        return "its papers say nothing"
    return {
        "sections": {name: sections.get(name) for name in SECTIONS},
        "papers": [paper.id for paper in papers],
    }


def read_summary_papers(queue: WorkQueue) -> dict[str, list[str]]:
    """Read the ids of the papers behind each source's summary."""
    return {item.id: item.result["papers"] for item in queue.items(STAGE, ["got"])}


def read_summaries(queue: WorkQueue) -> dict[str, dict[str, str | None]]:
    """Read the three sections of every source that has any."""
    return {item.id: item.result["sections"] for item in queue.items(STAGE, ["got"])}


__all__ = [
    "ExtractiveSummariser",
    "Summariser",
    "read_summaries",
    "read_summary_papers",
    "write_summaries",
]
