"""Answers to text queries: the parsed query, and ranked sources or papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..search.filter import IndexFilter
from ..search.index import Hit, SpecCLIPIndex
from ..search.questions import Question, parse_question
from ..search.ranking import (
    RankedSource,
    question_filter,
    rank_sources,
    rank_texts,
    relative_spread,
)
from ..search.text_queries import TextQueries
from .description import LiteratureHit, SimilarSource
from .hits import as_float, literature_hit, papers_of_source, similar_source

# Minimum similarity of a query to a training sentence, and minimum relative spread of its
# similarities with the spectra. Chosen on phrases that are not in training/configs/questions.yaml.
MIN_SIMILARITY, MIN_SPREAD = 0.375, 0.5
NO_TEXTS = "the index contains no texts: listing the papers of the sources found"


@dataclass(frozen=True)
class SourceHit:
    """Source of the index that matches a query.

    Attributes:
        rank: 1 for the best.
        score: mean cosine of the query with a spectrum and with the text of the source; None for a
            query of conditions only.
        name, source_class: name and class of the source.
        ra, dec: degrees, ICRS.
        asked_class: True if its catalogue class is a requested class.
        values: values of the variables in the query, for the nearest observation.
        observations: its spectra, nearest first.
        separation_arcsec: separation from the requested position.
    """

    rank: int
    score: float | None
    name: str
    source_class: str | None
    ra: float | None
    dec: float | None
    asked_class: bool
    values: Mapping[str, float | None]
    observations: tuple[SimilarSource, ...]
    separation_arcsec: float | None = None


@dataclass(frozen=True)
class Answer:
    """Answer to a text query.

    Attributes:
        question: the parsed query; with a `refusal` there are no hits.
        hits: sources or papers.
        notes: remarks on the order of the hits and on missing values.
    """

    question: Question
    hits: tuple[SourceHit, ...] | tuple[LiteratureHit, ...] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[SourceHit | LiteratureHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {
            "question": self.question.to_dict(),
            "notes": list(self.notes),
            "hits": [asdict(hit) for hit in self.hits],
        }


def answer_question(
    index: SpecCLIPIndex,
    queries: TextQueries,
    text: str,
    *,
    top_k: int = 10,
    kind: str = "spectra",
    where: IndexFilter | None = None,
    by_class: bool = True,
) -> Answer:
    """Answer a text query by sources or papers of an index.

    Args:
        index: texts and spectra.
        queries: text encoder.
        text: query in English.
        top_k: number of hits.
        kind: `"spectra"` (grouped by source) or `"papers"`.
        where: further conditions.
        by_class: rank sources of a requested class first.

    Raises:
        ValueError: unknown kind, `top_k` below 1, or a query that is too long.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    index.part(kind)
    question = parse_for_index(index, queries, text)
    if question.refusal is not None:
        return Answer(question)
    point = _query_point(index, queries, question)
    missing = missing_values(index, question_filter(question, where))
    if question.like and question.words:
        ignored = f"not used beside “like”: {', '.join(question.words)}"
        missing = (ignored, *missing)
    if kind == "papers" and not len(index.papers):
        papers = _papers_of_sources(index, question, point, top_k, where)
        return Answer(question, papers, (NO_TEXTS, *missing))
    if kind == "papers":
        texts = rank_texts(index, question, point, top_k, where)
        return Answer(question, tuple(literature_hit(hit) for hit in texts), missing)
    ranked = rank_sources(index, question, point, top_k, where, by_class=by_class)
    sources = (source_hit(index, question, source, rank) for rank, source in enumerate(ranked, 1))
    return Answer(question, tuple(sources), (*missing, *_order(question, ranked)))


def _query_point(index: SpecCLIPIndex, queries: TextQueries, question: Question) -> Any:
    """Return the embedding of a query (D,): the mean spectrum of the sources in `like`, else the
    embedded text; None for a query of names, hosts or a position only."""
    if question.like:
        brightest = [index.find(name)[0] for name in question.like]
        return np.asarray(index.spectra.embeddings[brightest], np.float32).mean(axis=0)
    stated = question.kinds or question.words or question.conditions
    return queries.embed_question(question) if stated else None


def missing_values(index: SpecCLIPIndex, where: IndexFilter) -> tuple[str, ...]:
    """Note the number of sources with a value, for each condition on incomplete values."""
    has_value = {c.variable: np.isfinite(index.values(c.variable)) for c in where.conditions}
    if where.counts is not None:
        has_value["counts"] = np.isfinite(index.values("counts"))
    if where.classes is not None:
        has_value["class"] = index.sources.label != ""
    n = len(np.unique(index.sources.source))
    n_known = {k: len(np.unique(index.sources.source[has])) for k, has in has_value.items()}
    return tuple(
        f"{name}: known for {count:,} of {n:,} sources; the other {n - count:,} are excluded"
        for name, count in n_known.items()
        if count < n
    )


def _papers_of_sources(
    index: SpecCLIPIndex,
    question: Question,
    point: Any,
    top_k: int,
    where: IndexFilter | None,
) -> tuple[LiteratureHit, ...]:
    """Return the papers of the best sources with papers, for an index without texts."""
    ranked = rank_sources(index, question, point, len(index.spectra), where)
    entries = index.spectra.entries
    with_papers = [source for source in ranked if entries[source.rows[0]].get("papers")][:top_k]
    return tuple(
        papers_of_source(Hit(rank, source.score or 0.0, entries[source.rows[0]], source.rows[0]))
        for rank, source in enumerate(with_papers, 1)
    )


def parse_for_index(index: SpecCLIPIndex, queries: TextQueries, text: str) -> Question:
    """Parse a query for a model and its index; see `parse_question`.

    A query of words only is refused if no training sentence is similar, or if it is about equally
    similar to all sources.
    """
    question = parse_question(
        text, queries.vocabulary, index.variables, index.host_names, index.names
    )
    if question.refusal or question.kinds or question.conditions or question.cone:
        return question
    # These are answered whatever the other words.
    if question.hosts or question.sources or question.like:
        return question
    if queries.training_similarity(question.text) < MIN_SIMILARITY:
        reason = "Not understood: nothing similar occurs in the training texts."
    elif relative_spread(index, queries.embed_question(question)) < MIN_SPREAD:
        reason = (
            f"“{question.content}” does not distinguish sources: add a source class, a spectral "
            "property or a value."
        )
    else:
        return question
    return replace(question, refusal=reason)


def source_hit(
    index: SpecCLIPIndex, question: Question, ranked: RankedSource, rank: int
) -> SourceHit:
    """Convert a ranked source of the index."""
    score = None if ranked.score is None else round(ranked.score, 4)
    observations = tuple(
        similar_source(Hit(number, score or 0.0, index.spectra.entries[row], row))
        for number, row in enumerate(ranked.rows, start=1)
    )
    first, variables = observations[0], [c.variable for c in question.conditions]
    return SourceHit(
        rank=rank,
        score=score,
        name=first.name,
        source_class=first.source_class,
        ra=first.ra,
        dec=first.dec,
        asked_class=ranked.labelled,
        values={name: as_float(float(index.values(name)[ranked.rows[0]])) for name in variables},
        observations=observations,
        separation_arcsec=None if ranked.separation is None else 3600 * ranked.separation,
    )


def _order(question: Question, ranked: list[RankedSource]) -> Iterator[str]:
    if not question.labels or not ranked:
        return
    labelled = sum(each.labelled for each in ranked)
    candidates = sum(each.candidate for each in ranked)
    if labelled == len(ranked):
        yield "all results have a requested catalogue class"
    elif labelled + candidates == 0:
        yield "no result has a requested catalogue class; ranked by similarity"
    else:
        parts = [f"the first {labelled} have a requested catalogue class"] if labelled else []
        parts += [f"{candidates} are candidates (“?”)"] if candidates else []
        others = "; the others are similar" if labelled + candidates < len(ranked) else ""
        yield " and ".join(parts) + others
