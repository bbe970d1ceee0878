"""Ranking of sources and texts of an index by a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..literature.source_classes import find_class
from .filter import IndexFilter, names_of, positions_of, separation
from .index import Hit, SpecCLIPIndex
from .questions import Question


@dataclass(frozen=True)
class RankedSource:
    """Source of an index that answers a question.

    Attributes:
        score: mean cosine of the question with a spectrum of the source and with the text about it.
        rows: its spectra, nearest first.
        labelled: the catalogue gives it a class that the question asks for.
    """

    score: float
    rows: tuple[int, ...]
    labelled: bool


def question_filter(question: Question, where: IndexFilter | None = None) -> IndexFilter:
    """Add the conditions and the position of a question to a filter."""
    where = where or IndexFilter()
    return replace(
        where, where=(*where.where, *question.conditions), cone=where.cone or question.cone
    )


def rank_sources(
    index: SpecCLIPIndex,
    question: Question,
    point: np.ndarray | None,
    top_k: int,
    where: IndexFilter | None = None,
    *,
    by_class: bool = True,
) -> list[RankedSource]:
    """Rank the sources of an index: those of a class that is asked for, then by similarity.

    Args:
        index: texts and spectra.
        question: see `understand`; its conditions must hold.
        point: (D,) the question in the shared space; without one, sources are in order of their
            distance from the position asked for.
        top_k: number of sources.
        where: further conditions.
        by_class: let classes of the catalogue precede similarity.

    Raises:
        ValueError: for a condition on a variable that the index lacks.
    """
    only = question_filter(question, where)
    rows = index.matching(only)
    if not len(rows):
        return []
    entries = [index.spectra.entries[row] for row in rows]
    if point is None:
        score = -np.array([_distance(entry, only.cone) for entry in entries])
    else:
        score = index.spectra.embeddings[rows] @ point
        texts = index.text_rows[rows]
        about = np.where(texts >= 0, index.papers.embeddings[texts] @ point, score)
        score = (score + about) / 2
    labelled = np.zeros(len(rows), bool)
    if by_class and question.labels:
        labelled = np.array([bool(_labels(entry) & question.labels) for entry in entries])
    order = np.lexsort((-score, ~labelled))
    sources: dict[str, list[int]] = {}
    for place in order.tolist():
        entry = entries[place]
        sources.setdefault(str(entry.get("source_name") or entry["id"]), []).append(place)
    return [
        RankedSource(
            float(score[places[0]]), tuple(rows[places].tolist()), bool(labelled[places[0]])
        )
        for places in list(sources.values())[:top_k]
    ]


def rank_texts(
    index: SpecCLIPIndex,
    question: Question,
    point: np.ndarray | None,
    top_k: int,
    where: IndexFilter | None = None,
) -> list[Hit]:
    """Rank the texts of an index in the same way; without a point they keep its order."""
    rows = index.matching(question_filter(question, where), "papers")
    score = np.zeros(len(rows)) if point is None else index.papers.embeddings[rows] @ point
    entries = [index.papers.entries[row] for row in rows]
    labelled = np.array([bool(_labels(entry) & question.labels) for entry in entries], bool)
    order = np.lexsort((-score, ~labelled))[:top_k]
    return [Hit(rank, float(score[i]), entries[i], int(rows[i])) for rank, i in enumerate(order, 1)]


def _labels(entry: Mapping[str, Any]) -> set[str]:
    """Return the classes of an entry by their usual labels."""
    names = names_of(entry, "class", "classes")
    return {source_class.label if (source_class := find_class(n)) else n for n in names}


def _distance(entry: Mapping[str, Any], cone: tuple[float, float, float] | None) -> float:
    positions = positions_of(entry)
    if cone is None or not positions:
        return 0.0
    return min(separation(*position, *cone[:2]) for position in positions)


__all__ = ["RankedSource", "question_filter", "rank_sources", "rank_texts"]
