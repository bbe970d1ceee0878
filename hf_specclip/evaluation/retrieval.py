"""Retrieval between spectra and texts: Recall@k%, median rank, chance and intervals.

A spectrum has one text; a text may belong to several spectra (detections of one source). Each
distinct text stands once in the gallery. From text to spectrum the rank is that of the best-ranked
spectrum of the text, and chance takes the number of its spectra into account.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .bootstrap import GroupBootstrap
from .ranks import MatchRanks, match_ranks, to_array

DIRECTIONS = ("spectrum_to_text", "text_to_spectrum")


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
    """Compute Recall@k% and median rank in both directions, with chance and 95 % intervals.

    Recall@k% is the fraction of queries with a match among the first ⌈k·n/100⌉ of the n gallery
    members (arXiv 2603.04516 takes k as a percentage of the test set). Ties count as the mean over
    all orders, so that collapsed embeddings give exactly the chance level. Intervals are
    percentiles of a bootstrap over groups.

    Args:
        spectrum_embeds: (n, D) array or tensor in the shared space.
        text_embeds: (m, D), one row for each distinct text (see `unique_texts`).
        text_of_spectrum: (n,) integers, the row of each spectrum's text.
        groups: (n,) label of the group of each spectrum (source, field, host, paper). A
            text takes the group of its first spectrum. None treats each text as a group.
        ks: percentages of the gallery, each above 0 and at most 100.
        n_bootstrap: number of bootstrap draws.
        seed: seed of the bootstrap.
        chunk_size: bounds the memory (see `match_ranks`); the result does not depend on it.

    Returns:
        For each direction `n_queries`, `n_gallery`, and for `recall@k%` (fractions 0–1),
        `median_rank` (from 1) and `median_rank_fraction` (of the gallery) a dict of `value`,
        `low`, `high` and `chance`, plain floats that `json.dump` takes.

    Raises:
        ValueError: see `match_ranks`; and for `ks` out of range or groups of another length.

    Examples:
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
    """Compute the metrics of `evaluate_retrieval` from ranks.

    Args:
        ranks: of `match_ranks` or `score_ranks`.
        (others), returns, raises: as for `evaluate_retrieval`.
    """
    result: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        match = ranks[direction]
        n, expected = match.n_gallery, match.expected
        bootstrap = _bootstrap(groups, text_of_spectrum, direction, n_bootstrap, seed)
        figures: dict[str, Any] = {"n_queries": len(match), "n_gallery": n}
        for k in ks:
            hits, chance = match.hits(places(k, n)), match.chance_hits(places(k, n))
            ends = bootstrap.interval(bootstrap.means(hits)) if bootstrap else (0, 1)
            figures[f"recall@{float(k):g}%"] = _figure(hits.mean(), ends, chance.mean())
        ends = bootstrap.interval(bootstrap.medians(expected)) if bootstrap else (1, n)
        median = _figure(np.median(expected), ends, match.chance_median())
        figures["median_rank"] = median
        figures["median_rank_fraction"] = {name: x / n for name, x in median.items()}
        result[direction] = figures
    return result


def recall_curve(
    ranks: dict[str, MatchRanks],
    text_of_spectrum: Any,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    direction: str = "spectrum_to_text",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute Recall@k% against k, with its 95 % band and chance, for `plot_recall_curve`.

    Args:
        ranks: of `match_ranks` or `score_ranks`.
        direction: `"spectrum_to_text"` or `"text_to_spectrum"`.
        (others): as for `evaluate_retrieval`.

    Returns:
        `{"direction", "n_queries", "n_gallery", "k", "recall", "low", "high", "chance"}`; the last
        five are lists of float of one length: 60 values of k, in per cent, from the first rank to
        100 %, evenly spaced in the logarithm; the rest fractions 0–1.

    Raises:
        ValueError: for an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
    match = ranks[direction]
    n = match.n_gallery
    tops = np.unique(np.rint(np.geomspace(1, n, 60)).astype(int))
    hits = np.stack([match.hits(int(top)) for top in tops], axis=1)
    low, high = np.zeros(len(tops)), np.ones(len(tops))
    if bootstrap := _bootstrap(groups, text_of_spectrum, direction, n_bootstrap, seed):
        low, high = bootstrap.interval(bootstrap.means(hits))
    return {
        "direction": direction,
        "n_queries": len(match),
        "n_gallery": n,
        "k": (100.0 * tops / n).tolist(),
        "recall": hits.mean(axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "chance": [float(match.chance_hits(int(top)).mean()) for top in tops],
    }


def unique_texts(text_embeds: Any, text_ids: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Reduce one row for each pair to one row for each distinct text.

    Args:
        text_embeds: (n, D), the text embedding of each pair.
        text_ids: (n,) equal where the text is the same (the text itself will do).

    Returns:
        `(unique (m, D), text_of_spectrum (n,))` for `evaluate_retrieval`, texts in order of first
        appearance.

    Raises:
        ValueError: when lengths differ or there are none.
    """
    vectors = to_array(text_embeds)
    index = {text: number for number, text in enumerate(dict.fromkeys(text_ids))}
    owner = np.array([index[text] for text in text_ids], dtype=np.int64)
    if not index or len(vectors) != len(owner):
        raise ValueError(f"{len(vectors)} text embeddings and {len(owner)} text ids")
    return vectors[np.unique(owner, return_index=True)[1]], owner


def _bootstrap(
    groups: Any, text_of_spectrum: Any, direction: str, n_bootstrap: int, seed: int
) -> GroupBootstrap | None:
    """Return the bootstrap over the groups of the queries; None, with a warning, for one group."""
    owner = np.asarray(text_of_spectrum)
    labels = owner if groups is None else to_array(groups)
    if labels.shape != owner.shape:
        raise ValueError(f"{len(owner)} spectra need as many groups, not shape {labels.shape}")
    if direction == "text_to_spectrum":  # in the order of match_ranks' queries
        labels = labels[np.unique(owner, return_index=True)[1]]
    bootstrap = GroupBootstrap(labels, n_bootstrap, seed)
    if bootstrap.n_groups > 1:
        return bootstrap
    # Resampling a single group would give intervals of zero width.
    warnings.warn(
        "all queries belong to one group, so their spread is unknown: intervals cover every "
        "possible value",
        stacklevel=3,
    )
    return None


def places(k: float, n: int) -> int:
    """Return the places in the top k % of a gallery of n, rounded up.

    Raises:
        ValueError: for a percentage out of range.
    """
    # From the decimal text: 1.1 % of 1000 is 11, which binary floats round up to 12.
    percentage = Fraction(str(k))
    if not 0 < percentage <= 100:
        raise ValueError(f"k is a percentage of the gallery, above 0 and at most 100, not {k}")
    return math.ceil(percentage * n / 100)


def _figure(value: Any, interval: tuple[Any, Any], chance: Any) -> dict[str, float]:
    figure = {"value": value, "low": interval[0], "high": interval[1], "chance": chance}
    return {name: float(number) for name, number in figure.items()}


__all__ = [
    "DIRECTIONS",
    "evaluate_ranks",
    "evaluate_retrieval",
    "places",
    "recall_curve",
    "unique_texts",
]
