"""Embedding of sentences by the offline embedder."""

from __future__ import annotations

from collections.abc import Iterator

from hf_specclip.literature.embedders.local import offline_embedder

from .side_by_side import Comparison, compare


def sentences(small: bool = False) -> Iterator[Comparison]:
    """Compare the offline embedder in bfloat16 with float32, without the cache."""
    n = 8 if small else 512
    texts = [
        f"Source {i} is an absorbed AGN with a photon index of {1 + i / n:.3f}." for i in range(n)
    ]
    wide, narrow = offline_embedder(), offline_embedder(bfloat16=True)
    rivals = {"bfloat16": lambda: narrow.embed(texts), "float32": lambda: wide.embed(texts)}
    yield compare(f"offline embedder, {n} sentences", (n, "sentences"), rivals, 5)
