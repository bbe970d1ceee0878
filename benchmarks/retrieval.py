"""Ranks of the right answer among all texts, and the search of the closest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_specclip.evaluation.retrieval import match_ranks
from hf_specclip.index import SpecCLIPIndex

from .side_by_side import Comparison, compare


def retrieval() -> Iterator[Comparison]:
    """Exact ranks with ties against a plain float32 product; top-k against a full sort."""
    n, width = 4_000, 64
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(n, width)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    spectra = texts + 0.2 * rng.normal(size=(n, width)).astype(np.float32)
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)

    def plain() -> None:
        scores = spectra @ texts.T
        right = np.diagonal(scores)
        (scores > right[:, None]).sum(axis=1)
        (scores > right).sum(axis=0)

    yield compare(
        f"ranks, {n:,} × {n:,}, both directions",
        (n, "queries"),
        {
            "match_ranks (exact, ties, bounded memory)": lambda: match_ranks(
                spectra, texts, np.arange(n)
            ),
            "float32 product, whole, no ties": plain,
        },
    )

    index = SpecCLIPIndex([{"id": str(i)} for i in range(n)], texts)
    yield compare(
        f"10 closest of {n:,}",
        (500, "queries"),
        {
            "SpecCLIPIndex.search": lambda: index.search(spectra[:500], 10),
            "full argsort": lambda: np.argsort(-(spectra[:500] @ texts.T), axis=1)[:, :10],
        },
    )
