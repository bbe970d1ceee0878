"""Ranking of sources and texts of an index by a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .filter import IndexFilter, names_of, positions_of, separation
from .index import Hit, SpecCLIPIndex
from .questions import Question
from .sources import usual_label

# Entries that similarities are compared over.
_SAMPLE, _FEWEST = 1_000, 20


@dataclass(frozen=True)
class RankedSource:
    """Source of an index that answers a question.

    Attributes:
        score: mean cosine of the question with a spectrum of the source and with the text about
            it; None for a question of conditions alone.
        rows: its spectra, best first.
        labelled: the catalogue gives it a class that the question asks for.
        separation: from the position asked for, degrees.
    """

    score: float | None
    rows: tuple[int, ...]
    labelled: bool
    separation: float | None = None


def question_filter(question: Question, where: IndexFilter | None = None) -> IndexFilter:
    """Add the conditions, position, hosts and sources of a question to a filter."""
    where = where or IndexFilter()
    return replace(
        where,
        where=(*where.where, *question.conditions),
        cone=where.cone or question.cone,
        hosts=where.hosts or question.hosts,
        names=where.names or question.sources,
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
        point: (D,) the question in the shared space; without one, sources are ordered by their
            separation from the position asked for, else by their counts.
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
    table = index.sources
    separations = None if only.cone is None else _separations(index, rows, only.cone)
    if point is not None:
        score = index.spectra.embeddings[rows] @ point
        texts = table.text[rows]
        has_text = texts >= 0
        about = index.papers.embeddings[texts[has_text]] @ point
        score[has_text] = (score[has_text] + about) / 2
    elif separations is not None:
        score = -separations
    else:
        score = np.nan_to_num(index.values("counts")[rows])
    labelled = np.zeros(len(rows), bool)
    if by_class and question.labels:
        labelled = np.isin(table.label[rows], sorted(question.labels))
    order = np.lexsort((-score, ~labelled))
    numbers = table.source[rows][order]
    _, firsts = np.unique(numbers, return_index=True)
    ranked = []
    for first in np.sort(firsts)[:top_k]:
        of_source = order[numbers == numbers[first]]
        best = of_source[0]
        ranked.append(
            RankedSource(
                None if point is None else float(score[best]),
                tuple(rows[of_source].tolist()),
                bool(labelled[best]),
                None if separations is None else float(separations[best]),
            )
        )
    return ranked


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
    labelled = np.zeros(len(rows), bool)
    if question.labels:
        labelled = np.array([bool(_labels(entry) & question.labels) for entry in entries], bool)
    order = np.lexsort((-score, ~labelled))[:top_k]
    return [Hit(rank, float(score[i]), entries[i], int(rows[i])) for rank, i in enumerate(order, 1)]


def relative_spread(index: SpecCLIPIndex, point: np.ndarray) -> float:
    """Return the standard deviation of the similarities of a point (D,) with the spectra, over that
    of the texts of the index; 1 where it has too few of either."""
    spectra, texts = (
        part.embeddings[:: max(1, len(part) // _SAMPLE)] for part in (index.spectra, index.papers)
    )
    if len(spectra) < _FEWEST or len(texts) < _FEWEST:
        return 1.0
    usual = float(np.median((spectra @ texts.T).std(axis=0)))
    return float((spectra @ point).std()) / max(usual, 1e-12)


def _labels(entry: Mapping[str, Any]) -> set[str]:
    return {usual_label(name) for name in names_of(entry, "class", "classes")}


def _separations(
    index: SpecCLIPIndex, rows: np.ndarray, cone: tuple[float, float, float]
) -> np.ndarray:
    """Return the separations of spectra inside a cone from its centre, degrees."""
    positions = (positions_of(index.spectra.entries[row]) for row in rows)
    return np.array([min(separation(*each, *cone[:2]) for each in entry) for entry in positions])


__all__ = ["RankedSource", "question_filter", "rank_sources", "rank_texts", "relative_spread"]
