"""Interface of text embedders, and validation of texts and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ...errors import SpecCLIPError


class EmbeddingError(SpecCLIPError, RuntimeError):
    """Texts could not be embedded; the message says what to do and never contains an API key."""


@runtime_checkable
class TextEmbedder(Protocol):
    """Interface of a text embedder.

    An optional attribute `batch_size` is the number of texts between commits of the cache.
    """

    @property
    def name(self) -> str:
        """Unique name of the embedder: model and whatever else changes the embeddings (server,
        weights, dimension)."""

    @property
    def dimension(self) -> int:
        """Width d of the embeddings."""

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list.

    Raises:
        TypeError: a single string, or a text that is not a string.
        ValueError: an empty text.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of strings, not one string: wrap it in a list")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {row} is a {type(text).__name__}, not a string")
        if not text.strip():
            raise ValueError(f"text {row} is empty: leave it out (embed_summaries gives it zeros)")
    return list(texts)


def check_vectors(vectors: np.ndarray, n: int, source: str, width: int | None = None) -> np.ndarray:
    """Return the vectors as float32 (n, d).

    Raises:
        EmbeddingError: wrong shape, another d than `width` (None: any), NaN or infinity; the
            message names `source`.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != n or vectors.shape[1] == 0:
        problem = f"an array {vectors.shape} for {n} texts; nothing of this answer was kept"
    elif width not in (None, vectors.shape[1]):
        problem = (
            f"{vectors.shape[1]} dimensions, but gave {width} before: this name now refers to a "
            "different model"
        )
    elif bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
        problem = (
            f"NaN or infinity for {bad} of {n} texts; the response was discarded. Run again; if "
            "the error persists, check the model or server"
        )
    else:
        return vectors
    raise EmbeddingError(f"{source} answered with {problem}")
