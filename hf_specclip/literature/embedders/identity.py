"""Identity of text embedders: recorded name, and a probe embedding of a server."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


__all__ = ["PROBE", "check_embedder", "current_probe", "probe_vector"]
