"""Conversion of index entries to search results.

An index is untrusted: values of the wrong type are treated as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..search.index import Hit, paper_url
from .description import LiteratureHit, Paper, SimilarSource


def literature_hit(hit: Hit) -> LiteratureHit:
    """Convert a text of the index."""
    entry = hit.entry
    summary = entry.get("summary")
    return LiteratureHit(
        rank=hit.rank,
        score=round(hit.score, 4),
        id=entry["id"],
        source_names=tuple(str(name) for name in _as_list(entry.get("source_names"))),
        papers=_papers(entry),
        summary=(
            {str(section): as_text(text) for section, text in summary.items()}
            if isinstance(summary, Mapping)
            else {}
        ),
        split=as_text(entry.get("split")),
    )


def papers_of_source(hit: Hit) -> LiteratureHit:
    """Convert a spectrum of an index without texts to the papers about its source."""
    return literature_hit(replace(hit, entry={
        **hit.entry, "source_names": [hit.entry.get("source_name")], "summary": {}
    }))  # fmt: skip


def similar_source(
    hit: Hit, map_position: Any = None, separation: float | None = None
) -> SimilarSource:
    """Convert a spectrum or a source of the index.

    Args:
        hit: the search result.
        map_position: position on the map (2,).
        separation: separation from a position, arcsec.
    """
    entry = hit.entry
    return SimilarSource(
        rank=hit.rank,
        score=round(hit.score, 4),
        id=str(entry.get("id") or entry.get("source_name")),
        name=str(entry.get("source_name") or entry.get("id")),
        source_class=as_text(entry.get("class")),
        obsid=as_int(entry.get("obsid")),
        counts=as_int(entry.get("counts")),
        exposure_s=as_float(entry.get("exposure")),
        ra=as_float(entry.get("ra")),
        dec=as_float(entry.get("dec")),
        map_position=(
            None if map_position is None else (float(map_position[0]), float(map_position[1]))
        ),
        split=as_text(entry.get("split")),
        host=as_text(entry.get("host")),
        aliases=tuple(str(name) for name in _as_list(entry.get("aliases"))),
        papers=_papers(entry),
        separation_arcsec=separation,
    )


def _papers(entry: Mapping[str, Any]) -> tuple[Paper, ...]:
    return tuple(
        Paper(
            id=str(paper.get("id") or ""),
            id_type=str(paper.get("id_type") or ""),
            title=as_text(paper.get("title")),
            year=as_int(paper.get("year")),
            link=paper_url(paper),
            about=as_text(paper.get("about")),
        )
        for paper in _as_list(entry.get("papers"))
        if isinstance(paper, Mapping)
    )


def as_text(value: Any) -> str | None:
    """Return a string, or None for anything else."""
    return value if isinstance(value, str) else None


def as_int(value: Any) -> int | None:
    """Return an integer, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_float(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
