"""Quantity embedder: the quantities that a text states, as a vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..quantities import QUANTITY_WIDTH, quantity_numbers
from .base import check_texts


class QuantityEmbedder:
    """Vector of the quantities that a text states."""

    name = "quantities-2"
    dimension = QUANTITY_WIDTH

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        return quantity_numbers(check_texts(texts))


__all__ = ["QuantityEmbedder"]
