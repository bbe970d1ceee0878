"""Text embedder of hashed words and pairs of words.

A sentence embedding tells what a text is about; "moderately faint" and "moderately bright" are
close to each other in it. Which words were used is the better record of such gradings, and search
engines join the two for the same reason.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import log1p

import numpy as np

from ..sentences import split_sentences
from .base import check_texts

# Words of letters: names of sources and numbers are for no one to generalise from.
_WORD = re.compile(r"(?<![\w.+-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w+])")


class WordEmbedder:
    """Hashed counts of words and of neighbours within a sentence (Weinberger et al. 2009).

    Each word or pair adds log(1 + its number) to one of `dimension` places, with a sign of its own
    so that what falls together cancels on average. No vocabulary is fitted: the vector of a text
    depends on that text alone.

    Args:
        dimension: places.
    """

    def __init__(self, dimension: int = 1024):
        self.dimension = dimension

    @property
    def name(self) -> str:
        """Method and width."""
        return f"words-{self.dimension}-1"

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, dimension)."""
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for term, number in Counter(_terms(text)).items():
                code = zlib.crc32(term.encode())
                sign = 1.0 if code & 1 else -1.0
                vectors[row, (code >> 1) % self.dimension] += sign * log1p(number)
        return vectors


def _terms(text: str) -> list[str]:
    terms = []
    for sentence in split_sentences(text):
        words = [word.lower() for word in _WORD.findall(sentence)]
        terms += words
        terms += [f"{first} {second}" for first, second in pairwise(words)]
    return terms


__all__ = ["WordEmbedder"]
