"""Several embedders as one: their vectors side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import TextEmbedder


class JoinedEmbedder:
    """The vectors of several embedders, joined in their order.

    Args:
        parts: the embedders, one or more.
    """

    def __init__(self, parts: Sequence[TextEmbedder]):
        if not parts:
            raise ValueError("nothing to join: give one embedder or more")
        self.parts = tuple(parts)

    def __repr__(self) -> str:
        return f"JoinedEmbedder({list(self.parts)!r})"

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)

    @property
    def dimension(self) -> int:
        return sum(part.dimension for part in self.parts)

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Texts (n, none empty) -> float32 (n, d)."""
        return np.concatenate([part.embed(texts, progress=progress) for part in self.parts], axis=1)


__all__ = ["JoinedEmbedder"]
