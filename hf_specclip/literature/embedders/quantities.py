"""Quantity embedder: the quantities that a text states, as a vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..quantities import KINDS, TYPICAL, find_quantities, scaled
from .base import check_texts

# Number of values kept of each kind: a spectrum may have two components.
_KEPT = 2


class QuantityEmbedder:
    """Vector of the quantities that a text states.

    For each of the first two values of a kind: 1 and the value (a decimal logarithm, except for the
    photon index and the redshift) less a typical one; zeros where none is stated.
    """

    name = "quantities-2"
    dimension = len(KINDS) * _KEPT * 2

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), len(KINDS), _KEPT, 2), dtype=np.float32)
        for row, text in enumerate(texts):
            for kind, values in find_quantities(text).items():
                for i, value in enumerate(values[:_KEPT]):
                    value_scaled = scaled(kind, value) - TYPICAL[kind]
                    vectors[row, KINDS.index(kind), i] = 1.0, value_scaled
        return vectors.reshape(len(texts), -1)


__all__ = ["QuantityEmbedder"]
