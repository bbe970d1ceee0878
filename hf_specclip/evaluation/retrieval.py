"""Retrieval between spectra and texts: ranks, Recall@k%, median rank, chance, intervals.

A spectrum has one text; a text may belong to several spectra (detections of one source). Each
distinct text stands once in the gallery. From text to spectrum the rank is that of the best-ranked
spectrum of the text, and chance takes the number of its spectra into account.

Scores are exact. Unit vectors are rounded to multiples of 2⁻²⁶ (7e-9, finer than the float32 they
come from) and multiplied in float64, where every product and every partial sum is then a multiple
of 2⁻⁵² below 2 and needs no rounding. The result therefore cannot depend on chunks, threads or the
linear-algebra library, and equal vectors tie exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap

DIRECTIONS = ("spectrum_to_text", "text_to_spectrum")
_SCALE = float(1 << 26)


@dataclass(frozen=True)
class MatchRanks:
    """Where the right answer of each query stands in the gallery.

    Attributes:
        query: (q,) position of the query among the spectra (or texts) given.
        greater: (q,) gallery members that score above the best right answer.
        tied: (q,) members that score exactly as it does, itself included.
        tied_right: (q,) right answers among the tied.
        right: (q,) all right answers in the gallery.
        n_gallery: size of the gallery.
    """

    query: np.ndarray
    greater: np.ndarray
    tied: np.ndarray
    tied_right: np.ndarray
    right: np.ndarray
    n_gallery: int

    def __len__(self) -> int:
        return len(self.query)

    @property
    def expected(self) -> np.ndarray:
        """(q,) rank from 1, ties at the mean over all ways of breaking them."""
        return self.greater + (self.tied + 1) / (self.tied_right + 1)

    def hits(self, top: int) -> np.ndarray:
        """(q,) probability that a right answer is within the first `top`, over ways to break ties.

        0 or 1 where nothing ties across that border.
        """
        return _any_within(self.tied, self.tied_right, top - self.greater)

    def chance_hits(self, top: int) -> np.ndarray:
        """(q,) the same probability for a gallery in random order (hypergeometric)."""
        return _any_within(np.full(len(self), self.n_gallery), self.right, np.full(len(self), top))

    def chance_median(self) -> float:
        """Median rank, over all queries, for galleries in random order."""
        number, counts = np.unique(self.right, return_counts=True)
        total = np.full(len(number), self.n_gallery)

        def first_rank(reaches: Any) -> int:
            low, high = 1, self.n_gallery
            while low < high:
                middle = (low + high) // 2
                inside = _any_within(total, number, np.full(len(number), middle))
                if reaches(float(inside @ counts) / len(self)):
                    high = middle
                else:
                    low = middle + 1
            return low

        # As for a sample of even size: the mean of the two middle values.
        lower = first_rank(lambda share: share >= 0.5 - 1e-12)
        upper = first_rank(lambda share: share > 0.5 + 1e-12)
        return (lower + upper) / 2


def match_ranks(
    spectrum_embeds: Any,
    text_embeds: Any,
    text_of_spectrum: Any,
    *,
    chunk_size: int = 1024,
) -> dict[str, MatchRanks]:
    """Rank of the right answer of every query, by cosine similarity, in both directions.

    Memory beside the inputs is one int32 copy of them and a few matrices of
    `chunk_size` × `chunk_size`; results do not depend on `chunk_size`.

    Args:
        spectrum_embeds: (n, D) array or tensor. A zero vector scores 0 against everything.
        text_embeds: (m, D), one row for each distinct text; texts without a spectrum are
            distractors (they stand in the gallery but are no query).
        text_of_spectrum: (n,) integers, the row of each spectrum's text.

    Returns:
        `{"spectrum_to_text": MatchRanks, "text_to_spectrum": MatchRanks}`.

    Raises:
        ValueError: for empty input, shapes that do not fit, an index outside the texts, NaN or
            infinity.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    spectra = _quantised(spectrum_embeds, "spectrum_embeds", chunk_size)
    texts = _quantised(text_embeds, "text_embeds", chunk_size)
    if spectra.shape[1] != texts.shape[1]:
        raise ValueError(
            f"spectrum_embeds have {spectra.shape[1]} dimensions and text_embeds {texts.shape[1]}: "
            "both must come from the shared space of one model"
        )
    owner = _text_index(text_of_spectrum, len(spectra), len(texts))

    # The score of each right pair comes first: it is what all others are compared with.
    own = np.empty(len(spectra))
    for start in range(0, len(spectra), chunk_size):
        rows = slice(start, start + chunk_size)
        own[rows] = np.einsum(
            "ij,ij->i", spectra[rows].astype(np.float64), texts[owner[rows]].astype(np.float64)
        )
    best = np.full(len(texts), -np.inf)
    np.maximum.at(best, owner, own)
    right = np.bincount(owner, minlength=len(texts))
    tied_right = np.bincount(owner[own == best[owner]], minlength=len(texts))

    row_greater, row_tied = np.zeros((2, len(spectra)), dtype=np.int64)
    column_greater, column_tied = np.zeros((2, len(texts)), dtype=np.int64)
    for start in range(0, len(spectra), chunk_size):
        rows = slice(start, start + chunk_size)
        queries = spectra[rows].astype(np.float64)
        for first in range(0, len(texts), chunk_size):
            columns = slice(first, first + chunk_size)
            scores = queries @ texts[columns].astype(np.float64).T
            row_greater[rows] += _true(scores > own[rows, None], axis=1)
            row_tied[rows] += _true(scores == own[rows, None], axis=1)
            column_greater[columns] += _true(scores > best[columns], axis=0)
            column_tied[columns] += _true(scores == best[columns], axis=0)

    asked = np.flatnonzero(right)
    one = np.ones(len(spectra), dtype=np.int64)
    return {
        "spectrum_to_text": MatchRanks(
            np.arange(len(spectra)), row_greater, row_tied, one, one, len(texts)
        ),
        "text_to_spectrum": MatchRanks(
            asked,
            column_greater[asked],
            column_tied[asked],
            tied_right[asked],
            right[asked],
            len(spectra),
        ),
    }


def score_ranks(scores: Any, text_of_spectrum: Any) -> dict[str, MatchRanks]:
    """Rank of the right answer of every query, by a matrix of scores, in both directions.

    For whoever ranks by something else than a cosine, such as a likelihood.

    Args:
        scores: (n, m) of spectra and distinct texts, the larger the better; a column or a row may
            be anything's own scale, but both directions read the same matrix.
        text_of_spectrum: (n,) integers, the column of each spectrum's text.

    Returns:
        As `match_ranks`.

    Raises:
        ValueError: for an empty or wrong shape, an index outside the texts, or NaN.
    """
    matrix = _array(scores)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"scores must have shape (n, m) with n and m above 0, not {matrix.shape}")
    if np.isnan(matrix).any():
        raise ValueError("scores hold NaN")
    n, m = matrix.shape
    owner = _text_index(text_of_spectrum, n, m)
    own = matrix[np.arange(n), owner]
    best = np.full(m, -np.inf)
    np.maximum.at(best, owner, own)
    right = np.bincount(owner, minlength=m)
    tied_right = np.bincount(owner[own == best[owner]], minlength=m)
    asked = np.flatnonzero(right)
    one = np.ones(n, dtype=np.int64)
    return {
        "spectrum_to_text": MatchRanks(
            np.arange(n),
            _true(matrix > own[:, None], axis=1),
            _true(matrix == own[:, None], axis=1),
            one,
            one,
            m,
        ),
        "text_to_spectrum": MatchRanks(
            asked,
            _true(matrix > best, axis=0)[asked],
            _true(matrix == best, axis=0)[asked],
            tied_right[asked],
            right[asked],
            n,
        ),
    }


def evaluate_retrieval(
    spectrum_embeds: Any,
    text_embeds: Any,
    text_of_spectrum: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    ks: Sequence[float] = (1, 5, 10, 25),
    n_bootstrap: int = 1000,
    seed: int = 0,
    chunk_size: int = 1024,
) -> dict[str, dict[str, Any]]:
    """Recall@k% and median rank in both directions, with chance and a 95 % interval each.

    Recall@k% is the share of queries with a right answer among the first ⌈k·n/100⌉ of the n
    gallery members (arXiv 2603.04516 takes k as a percentage of the test set). Ties count as the
    mean over all ways of breaking them, so embeddings that have collapsed to one point get exactly
    the chance level. Intervals are percentiles of a bootstrap over groups.

    Args:
        spectrum_embeds: (n, D) array or tensor in the shared space.
        text_embeds: (m, D), one row for each distinct text (see `unique_texts`).
        text_of_spectrum: (n,) integers, the row of each spectrum's text.
        groups: (n,) label of the group of each spectrum (DESIGN: source, field, host, paper). A
            text takes the group of its first spectrum. None treats each text as a group.
        ks: percentages of the gallery, each above 0 and at most 100.
        n_bootstrap: draws of the bootstrap.
        seed: of the bootstrap.
        chunk_size: bounds the memory (see `match_ranks`); the result does not depend on it.

    Returns:
        For each direction `n_queries`, `n_gallery`, and for `recall@k%` (fractions 0–1),
        `median_rank` (from 1) and `median_rank_fraction` (of the gallery) a dict of `value`,
        `low`, `high` and `chance`, plain floats that `json.dump` takes.

    Raises:
        ValueError: see `match_ranks`; and for `ks` out of range or groups of another length.

    Example:
        >>> result = evaluate_retrieval(spectra, texts, text_of_spectrum, groups)
        >>> result["spectrum_to_text"]["recall@5%"]
        {'value': 0.31, 'low': 0.27, 'high': 0.35, 'chance': 0.0502}
    """
    ranks = match_ranks(spectrum_embeds, text_embeds, text_of_spectrum, chunk_size=chunk_size)
    return evaluate_ranks(ranks, text_of_spectrum, groups, ks, n_bootstrap, seed)


def evaluate_ranks(
    ranks: dict[str, MatchRanks],
    text_of_spectrum: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    ks: Sequence[float] = (1, 5, 10, 25),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """`evaluate_retrieval` for ranks that are there, however they were found.

    Args:
        ranks: of `match_ranks` or `score_ranks`.
        (others), returns, raises: as for `evaluate_retrieval`.
    """
    percentages = [_percentage(k) for k in ks]
    owner = np.asarray(text_of_spectrum)
    labels = _group_labels(groups, owner)
    result: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        found = ranks[direction]
        n = found.n_gallery
        bootstrap = _bootstrap(_query_groups(labels, owner, direction), n_bootstrap, seed)
        figures: dict[str, Any] = {"n_queries": len(found), "n_gallery": n}
        for k, percentage in zip(ks, percentages, strict=True):
            top = _top(percentage, n)
            hits = found.hits(top)
            figures[f"recall@{float(k):g}%"] = _figure(
                float(hits.mean()),
                bootstrap.interval(bootstrap.means(hits)) if bootstrap else (0.0, 1.0),
                float(found.chance_hits(top).mean()),
            )
        median = _figure(
            float(np.median(found.expected)),
            bootstrap.interval(bootstrap.medians(found.expected)) if bootstrap else (1.0, n),
            found.chance_median(),
        )
        figures["median_rank"] = median
        figures["median_rank_fraction"] = {name: x / n for name, x in median.items()}
        result[direction] = figures
    return result


def recall_curve(
    spectrum_embeds: Any,
    text_embeds: Any,
    text_of_spectrum: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    direction: str = "spectrum_to_text",
    ks: Iterable[float] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    chunk_size: int = 1024,
) -> dict[str, Any]:
    """Recall@k% against k, with its 95 % band and chance: what `plot_recall_curve` draws.

    Args:
        direction: `"spectrum_to_text"` or `"text_to_spectrum"`.
        ks: percentages of the gallery; by default 60 from the first rank to 100 %, evenly spaced
            in the logarithm.
        (others): as for `evaluate_retrieval`.

    Returns:
        `{"direction", "n_queries", "n_gallery", "k", "recall", "low", "high", "chance"}`; the last
        five are lists of float of one length, `k` in per cent, the rest fractions 0–1.

    Raises:
        ValueError: as `evaluate_retrieval`, and for an unknown direction.
    """
    ranks = match_ranks(spectrum_embeds, text_embeds, text_of_spectrum, chunk_size=chunk_size)
    return curve_of_ranks(
        ranks,
        text_of_spectrum,
        groups,
        direction=direction,
        ks=ks,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def curve_of_ranks(
    ranks: dict[str, MatchRanks],
    text_of_spectrum: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    direction: str = "spectrum_to_text",
    ks: Iterable[float] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """`recall_curve` for ranks that are there, however they were found.

    Args:
        ranks: of `match_ranks` or `score_ranks`.
        (others), returns, raises: as for `recall_curve`.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
    owner = np.asarray(text_of_spectrum)
    found = ranks[direction]
    n = found.n_gallery
    if ks is None:
        tops = np.unique(np.rint(np.geomspace(1, n, 60)).astype(int))
        grid = [100.0 * float(top) / n for top in tops]
    else:
        grid = [float(k) for k in ks]
        tops = np.array([_top(_percentage(k), n) for k in grid])
    hits = np.stack([found.hits(int(top)) for top in tops], axis=1)
    chance = [float(found.chance_hits(int(top)).mean()) for top in tops]
    labels = _query_groups(_group_labels(groups, owner), owner, direction)
    bootstrap = _bootstrap(labels, n_bootstrap, seed)
    if bootstrap:
        low, high = bootstrap.interval(bootstrap.means(hits))
    else:
        low, high = np.zeros(len(tops)), np.ones(len(tops))
    return {
        "direction": direction,
        "n_queries": len(found),
        "n_gallery": n,
        "k": grid,
        "recall": hits.mean(axis=0).tolist(),
        "low": np.asarray(low).tolist(),
        "high": np.asarray(high).tolist(),
        "chance": chance,
    }


def unique_texts(text_embeds: Any, text_ids: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """One row for each distinct text, from one row for each pair.

    Args:
        text_embeds: (n, D), the text embedding of each pair.
        text_ids: (n,) equal where the text is the same (the text itself will do).

    Returns:
        `(unique (m, D), text_of_spectrum (n,))`, texts in order of first appearance: what
        `evaluate_retrieval` takes.

    Raises:
        ValueError: when lengths differ or there are none.
    """
    vectors = _array(text_embeds)
    places: dict[Any, int] = {}
    first: list[int] = []
    owner = np.empty(len(text_ids), dtype=np.int64)
    for row, text in enumerate(text_ids):
        if text not in places:
            places[text] = len(first)
            first.append(row)
        owner[row] = places[text]
    if not first or len(vectors) != len(owner):
        raise ValueError(f"{len(vectors)} text embeddings and {len(owner)} text ids")
    return vectors[first], owner


def _any_within(total: np.ndarray, right: np.ndarray, top: np.ndarray) -> np.ndarray:
    """P(at least one of `right` among `total` in random order stands in the first `top`).

    1 − C(total − right, top) / C(total, top), as a product of `right` factors.
    """
    top = np.clip(top, 0, total)
    missed = np.ones(len(total))
    if int(right.max(initial=0)) == 1:
        return top / total  # the same, without the rounding of a difference
    for step in range(int(right.max(initial=0))):
        more = right > step
        missed[more] *= np.maximum(total - top - step, 0)[more] / (total - step)[more]
    return 1.0 - missed


def _true(mask: np.ndarray, axis: int) -> np.ndarray:
    # About three times as fast as count_nonzero along an axis.
    return np.add.reduce(mask.view(np.uint8), axis=axis, dtype=np.int64)


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, perhaps on an accelerator or in bfloat16
        values = values.detach().cpu()
        values = values.float() if values.dtype.is_floating_point else values
        values = values.numpy()
    return np.asarray(values)


def _quantised(values: Any, name: str, chunk_size: int) -> np.ndarray:
    """Unit vectors as int32 multiples of 2⁻²⁶ (see the top of the file)."""
    vectors = _array(values)
    if vectors.ndim != 2 or vectors.size == 0:
        raise ValueError(f"{name} must have shape (n, D) with n and D above 0, not {vectors.shape}")
    result = np.empty(vectors.shape, dtype=np.int32)
    for start in range(0, len(vectors), chunk_size):
        block = vectors[start : start + chunk_size].astype(np.float64)
        if not np.isfinite(block).all():
            row = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise ValueError(
                f"{name} row {row} holds NaN or infinity: the model that made it has diverged, "
                "or its input was not finite"
            )
        # The largest component first, so that tiny or huge vectors do not under- or overflow.
        block /= np.maximum(np.abs(block).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        norm = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        result[start : start + chunk_size] = np.rint(block / np.where(norm > 0, norm, 1) * _SCALE)
    return result


def _text_index(values: Any, n: int, m: int) -> np.ndarray:
    owner = _array(values)
    if owner.shape != (n,) or not np.issubdtype(owner.dtype, np.integer):
        raise ValueError(
            f"text_of_spectrum must be {n} integers, one for each spectrum, "
            f"not {owner.dtype} {owner.shape}"
        )
    if owner.min() < 0 or owner.max() >= m:
        raise ValueError(
            f"text_of_spectrum runs from {owner.min()} to {owner.max()}, but there are {m} texts"
        )
    return owner.astype(np.int64)


def _group_labels(groups: Any, owner: np.ndarray) -> np.ndarray:
    if groups is None:
        return owner
    labels = _array(groups)
    if labels.shape != owner.shape:
        raise ValueError(f"{len(owner)} spectra need as many groups, not shape {labels.shape}")
    return labels


def _query_groups(labels: np.ndarray, owner: np.ndarray, direction: str) -> np.ndarray:
    if direction == "spectrum_to_text":
        return labels
    _, first = np.unique(owner, return_index=True)  # in the order of match_ranks' queries
    return labels[first]


def _bootstrap(labels: np.ndarray, n_bootstrap: int, seed: int) -> GroupBootstrap | None:
    bootstrap = GroupBootstrap(labels, n_bootstrap, seed)
    if bootstrap.n_groups > 1:
        return bootstrap
    # Drawing the one group again and again would claim perfect knowledge.
    warnings.warn(
        "all queries belong to one group, so nothing can be said about their spread: "
        "intervals cover every possible value",
        stacklevel=3,
    )
    return None


def _percentage(k: float) -> Fraction:
    # Through the decimal a person wrote: 1.1 % of 1000 is 11, which binary floats make 12.
    value = Fraction(str(k))
    if not 0 < value <= 100:
        raise ValueError(f"k is a percentage of the gallery, above 0 and at most 100, not {k}")
    return value


def _top(percentage: Fraction, n: int) -> int:
    return -int(-percentage * n // 100)


def _figure(value: float, interval: tuple[Any, Any], chance: float) -> dict[str, float]:
    low, high = interval
    return {"value": value, "low": float(low), "high": float(high), "chance": float(chance)}


__all__ = [
    "DIRECTIONS",
    "MatchRanks",
    "curve_of_ranks",
    "evaluate_ranks",
    "evaluate_retrieval",
    "match_ranks",
    "recall_curve",
    "score_ranks",
    "unique_texts",
]
