"""Account of a build: where each name, detection, source, paper and spectrum ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from .literature import texts
from .services import full_texts, simbad, sources
from .services.ads import PAPERS_STAGE
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import read_catalogue
from .work.queue import WorkQueue


def describe_account(
    queue: WorkQueue, work: Path, unreadable: Mapping[str, str] | None = None
) -> str:
    """Count in sentences what came of everything that was asked for.

    Args:
        queue: of the build.
        work: its folder.
        unreadable: detection -> problem of its spectrum.
    """
    table = read_catalogue(work)
    masked = Counter(reason for reason in table["masked"].to_pylist() if reason)
    names, spectra = queue.counts(sources.STAGE), queue.counts(SPECTRA_STAGE)
    objects, summaries = queue.counts(simbad.STAGE), queue.counts(texts.STAGE)
    papers, full = queue.counts(PAPERS_STAGE), queue.counts(full_texts.STAGE)
    sentences = []
    if sum(names.values()):
        sentences.append(
            f"Of {sum(names.values()):,} names, {names['got']:,} are sources of the catalogue."
        )
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(masked.items()))
    sentences.append(
        f"Of {len(table):,} ACIS detections, {sum(masked.values()):,} are masked"
        + (f" ({reasons})." if reasons else ".")
    )
    sentences.append(
        f"SIMBAD knows {objects['got']:,} of {sum(objects.values()):,} sources; "
        f"{summaries['got']:,} have a summary."
    )
    sentences.append(f"ADS knows {papers['got']:,} of {sum(papers.values()):,} papers.")
    if sum(full.values()):
        sentences.append(
            f"Of {sum(full.values()):,} full texts asked for, {full['got']:,} are open."
        )
    sentences.append(
        f"Of {sum(spectra.values()):,} spectra asked for, {spectra['got']:,} came, "
        f"{spectra['absent']:,} are not in the archive and {spectra['failed']:,} failed; "
        f"{len(unreadable or {}):,} could not be read."
    )
    return " ".join(sentences)


__all__ = ["describe_account"]
