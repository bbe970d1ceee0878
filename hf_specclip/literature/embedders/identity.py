"""Identity of text embedders: the recorded name, and a probe of the vectors of a server."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .base import EmbeddingError, TextEmbedder

# Embedded to recognise the model behind a server. Its wording is part of what models record.
PROBE = "The X-ray spectrum is an absorbed power law with a photon index of 1.8."
_PROBE_WIDTH = 32
# Servers repeat a vector to about 1e-3; other models give other directions.
_LEAST_COSINE = 0.99
_FINGERPRINT = re.compile(r"@([0-9a-f]{16})$")
_SERVICE = "openai:"


def probe_vector(embedder: TextEmbedder) -> list[float] | None:
    """Return the first numbers of the unit vector of `PROBE` by a server; None for a folder, whose
    name holds a fingerprint of its weights.

    Raises:
        EmbeddingError: when the server fails.
    """
    if not embedder.name.startswith(_SERVICE):
        return None
    [vector] = embedder.embed([PROBE])
    return [round(float(value), 5) for value in (vector / np.linalg.norm(vector))[:_PROBE_WIDTH]]


def current_probe(embedder: TextEmbedder) -> list[float] | None:
    """Return `probe_vector` of the server as it answers now; None where it does not answer."""
    try:
        return probe_vector(getattr(embedder, "embedder", embedder))  # past the cache
    except EmbeddingError:
        return None  # what is cached needs no server, and what is not says so itself


def check_embedder(
    name: str | None,
    recorded: str | None,
    probe: Sequence[float] | None = None,
    recorded_probe: Sequence[float] | None = None,
) -> None:
    """Refuse an embedder other than the one that embedded a model's texts.

    A folder is known by the fingerprint of its weights, wherever it lies and whatever it is called;
    a server by the name of its model and, where there are two, by the probes.

    Args:
        name: of the embedder at hand.
        recorded: name that the model records; None takes any.
        probe, recorded_probe: see `probe_vector`.

    Raises:
        ValueError: says how to go on.
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
