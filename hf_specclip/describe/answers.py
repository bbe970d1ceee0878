"""Answers to questions in words: what was understood, and the sources or papers found."""

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

# Likeness to a training sentence below which words are no question about a source, and spread of
# the similarities, over that of usual texts, below which they tell no source from another. Chosen
# on phrases that are not in training/configs/questions.yaml.
LEAST_LIKENESS, LEAST_SPREAD = 0.375, 0.5
NO_TEXTS = "the index contains no texts: listing the papers of the sources found"


@dataclass(frozen=True)
class FoundSource:
    """Source of the index that answers a question.

    Attributes:
        rank: 1 for the best.
        score: mean cosine of the question with a spectrum of the source and with the text about
            it; None for a question of conditions alone.
        name, source_class: of the source.
        ra, dec: degrees, ICRS.
        asked_class: the catalogue gives it a class that the question asks for.
        values: variables that the question states, of the nearest observation.
        observations: its spectra, nearest first.
        separation_arcsec: from the position asked for.
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
    """Answer to a question in words.

    Attributes:
        question: the question as understood; with a `refusal` there are no hits.
        hits: sources, or papers.
        notes: sentences on the order of the hits, and on values that the index lacks.
    """

    question: Question
    hits: tuple[FoundSource, ...] | tuple[LiteratureHit, ...] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[FoundSource | LiteratureHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
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
    """Answer a question by the sources or the papers of an index.

    Args:
        index: texts and spectra.
        queries: embeds texts.
        text: question in English.
        top_k: number of hits.
        kind: `"spectra"` (their sources) or `"papers"`.
        where: further conditions.
        by_class: sources of a class that is asked for come first.

    Raises:
        ValueError: for an unknown kind, `top_k` below 1, or a question that is too long.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    index.part(kind)
    question = parse_for_index(index, queries, text)
    if question.refusal is not None:
        return Answer(question)
    point = _query_point(index, queries, question)
    missing = missing_values(index, question_filter(question, where))
    if kind == "papers" and not len(index.papers):
        papers = _papers_of_sources(index, question, point, top_k, where)
        return Answer(question, papers, (NO_TEXTS, *missing))
    if kind == "papers":
        texts = rank_texts(index, question, point, top_k, where)
        return Answer(question, tuple(literature_hit(hit) for hit in texts), missing)
    ranked = rank_sources(
        index, question, point, top_k + len(question.like), where, by_class=by_class
    )
    ranked = [each for each in ranked if _name(index, each) not in question.like][:top_k]
    sources = (found_source(index, question, each, rank) for rank, each in enumerate(ranked, 1))
    return Answer(question, tuple(sources), (*missing, *_order(question, ranked)))


def _query_point(index: SpecCLIPIndex, queries: TextQueries, question: Question) -> Any:
    """Return the point (D,) that hits are to be near: that of the sources to resemble, else that
    of the words; None for a question of names, hosts or a position alone."""
    if question.like:
        brightest = [index.find(name)[0] for name in question.like]
        return np.asarray(index.spectra.embeddings[brightest], np.float32).mean(axis=0)
    stated = question.kinds or question.words or question.conditions
    return queries.embed_question(question) if stated else None


def _name(index: SpecCLIPIndex, ranked: RankedSource) -> str:
    return str(index.spectra.entries[ranked.rows[0]].get("source_name"))


def missing_values(index: SpecCLIPIndex, where: IndexFilter) -> tuple[str, ...]:
    """Say of each condition on a value that some sources lack how many have it."""
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
    """Return the papers of the best sources that have any, of an index without texts."""
    ranked = rank_sources(index, question, point, len(index.spectra), where)
    entries = index.spectra.entries
    with_papers = [each for each in ranked if entries[each.rows[0]].get("papers")][:top_k]
    return tuple(
        papers_of_source(Hit(rank, each.score or 0.0, entries[each.rows[0]], each.rows[0]))
        for rank, each in enumerate(with_papers, 1)
    )


def parse_for_index(index: SpecCLIPIndex, queries: TextQueries, text: str) -> Question:
    """Read a question to a model and its index; see `parse_question`.

    Words alone are a question where a training sentence is like them, and where they lie nearer to
    some sources than to others.
    """
    question = parse_question(
        text, queries.vocabulary, index.variables, index.host_names, index.names
    )
    if question.refusal or question.kinds or question.conditions or question.cone:
        return question
    # Their sources answer, whatever the other words say.
    if question.hosts or question.sources or question.like:
        return question
    if queries.training_similarity(question.text) < LEAST_LIKENESS:
        reason = "Not understood: nothing similar occurs in the training texts."
    elif relative_spread(index, queries.embed_question(question)) < LEAST_SPREAD:
        reason = (
            f"“{question.content}” does not distinguish sources: add a source class, a spectral "
            "property or a value."
        )
    else:
        return question
    return replace(question, refusal=reason)


def found_source(
    index: SpecCLIPIndex, question: Question, ranked: RankedSource, rank: int
) -> FoundSource:
    """Convert a source of the index."""
    score = None if ranked.score is None else round(ranked.score, 4)
    observations = tuple(
        similar_source(Hit(number, score or 0.0, index.spectra.entries[row], row))
        for number, row in enumerate(ranked.rows, start=1)
    )
    first, variables = observations[0], [c.variable for c in question.conditions]
    return FoundSource(
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
    if labelled == len(ranked):
        yield "all results have a requested catalogue class"
    elif labelled == 0:
        yield "no result has a requested catalogue class; ranked by similarity"
    else:
        yield f"the first {labelled} have a requested catalogue class; the others are similar"


__all__ = [
    "NO_TEXTS", "Answer", "FoundSource", "answer_question", "found_source", "missing_values",
    "parse_for_index",
]  # fmt: skip
