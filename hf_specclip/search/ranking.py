"""Ranking of sources and texts of an index by a query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .filter import IndexFilter, names_of, positions_of, separation
from .index import Hit, SpecCLIPIndex
from .questions import Question
from .sources import canonical_label

# Maximum and minimum number of entries for `relative_spread`.
_MAX_SAMPLE, _MIN_SAMPLE = 1_000, 20


@dataclass(frozen=True)
class RankedSource:
    """Ranked source of an index.

    Attributes:
        score: mean cosine of the query with a spectrum and with the text of the source; None for a
            query of conditions only.
        rows: rows of its spectra, best first.
        labelled: True if its catalogue class is a requested class.
        candidate: True if it is a candidate of a requested class (`AGN?`).
        separation: separation from the requested position, degrees.
    """

    score: float | None
    rows: tuple[int, ...]
    labelled: bool
    candidate: bool = False
    separation: float | None = None


def question_filter(question: Question, where: IndexFilter | None = None) -> IndexFilter:
    """Add the conditions, position, hosts and sources of a query to a filter."""
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
    """Rank the sources of an index: those of a requested class first, then its candidates (`AGN?`),
    each by similarity.

    The sources in `question.like` are left out.

    Args:
        index: texts and spectra.
        question: see `parse_question`; its conditions are applied as a filter.
        point: embedding of the query (D,); without it, sources are ranked by their separation from
            the requested position, else by their counts.
        top_k: number of sources.
        where: further conditions.
        by_class: rank sources of a requested class first.

    Raises:
        ValueError: the index has no values of a variable in a condition.
    """
    conditions = question_filter(question, where)
    rows = index.matching(conditions)
    # Sources are not among those that resemble them.
    rows = np.setdiff1d(rows, [row for name in question.like for row in index.find(name)])
    if not len(rows):
        return []
    table = index.sources
    separations = None if conditions.cone is None else _separations(index, rows, conditions.cone)
    if point is not None:
        score = index.spectra.embeddings[rows] @ point
        texts = table.text[rows]
        has_text = texts >= 0
        text_score = index.papers.embeddings[texts[has_text]] @ point
        score[has_text] = (score[has_text] + text_score) / 2
    elif separations is not None:
        score = -separations
    else:
        score = np.nan_to_num(index.values("counts")[rows])
    labelled = candidate = np.zeros(len(rows), bool)
    if by_class and question.labels:
        labelled = np.isin(table.label[rows], sorted(question.labels))
        candidate = np.isin(table.label[rows], [f"{label}?" for label in question.labels])
    order = np.lexsort((-score, ~candidate, ~labelled))
    numbers = table.source[rows][order]
    _, firsts = np.unique(numbers, return_index=True)
    groups = (order[numbers == numbers[first]] for first in np.sort(firsts)[:top_k])
    return [
        RankedSource(
            None if point is None else float(score[group[0]]),
            tuple(rows[group].tolist()),
            bool(labelled[group[0]]),
            bool(candidate[group[0]]),
            None if separations is None else float(separations[group[0]]),
        )
        for group in groups
    ]


def rank_texts(
    index: SpecCLIPIndex,
    question: Question,
    point: np.ndarray | None,
    top_k: int,
    where: IndexFilter | None = None,
) -> list[Hit]:
    """Rank the texts of an index; see `rank_sources`. Without a point, the order is kept."""
    rows = index.matching(question_filter(question, where), "papers")
    score = np.zeros(len(rows)) if point is None else index.papers.embeddings[rows] @ point
    entries = [index.papers.entries[row] for row in rows]
    classes = (map(canonical_label, names_of(entry, "class", "classes")) for entry in entries)
    labelled = np.array([not question.labels.isdisjoint(labels) for labels in classes], bool)
    order = np.lexsort((-score, ~labelled))[:top_k]
    return [Hit(rank, float(score[i]), entries[i], int(rows[i])) for rank, i in enumerate(order, 1)]


def relative_spread(index: SpecCLIPIndex, point: np.ndarray) -> float:
    """Return the standard deviation of the similarities of a query (D,) with the spectra, relative
    to the median over the texts of the index; 1 if the index is too small."""
    spectra, texts = (
        entries.embeddings[:: max(1, len(entries) // _MAX_SAMPLE)]
        for entries in (index.spectra, index.papers)
    )
    if min(len(spectra), len(texts)) < _MIN_SAMPLE:
        return 1.0
    median = float(np.median((spectra @ texts.T).std(axis=0)))
    return float((spectra @ point).std()) / max(median, 1e-12)


def _separations(
    index: SpecCLIPIndex, rows: np.ndarray, cone: tuple[float, float, float]
) -> np.ndarray:
    """Return the separations of spectra from the centre of a cone, degrees."""
    positions = (positions_of(index.spectra.entries[row]) for row in rows)
    return np.array([min(separation(*each, *cone[:2]) for each in entry) for entry in positions])
