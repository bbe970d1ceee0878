"""Entries of an index as search results.

An index may come from strangers: a value of the wrong type counts as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        papers=tuple(
            Paper(
                id=str(paper.get("id") or ""),
                id_type=str(paper.get("id_type") or ""),
                title=as_text(paper.get("title")),
                year=as_int(paper.get("year")),
                link=paper_url(paper),
            )
            for paper in _as_list(entry.get("papers"))
            if isinstance(paper, Mapping)
        ),
        summary=(
            {str(section): as_text(text) for section, text in summary.items()}
            if isinstance(summary, Mapping)
            else {}
        ),
        split=as_text(entry.get("split")),
    )


def similar_source(hit: Hit, map_position: Any = None) -> SimilarSource:
    """Convert a spectrum of the index, with its position (2,) on the map."""
    entry = hit.entry
    return SimilarSource(
        rank=hit.rank,
        score=round(hit.score, 4),
        id=entry["id"],
        name=str(entry.get("source_name") or entry["id"]),
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
