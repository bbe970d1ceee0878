"""Embedding of the sections of summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .embedders.base import TextEmbedder

# Sections of a summary, in the order in which their embeddings are concatenated.
SECTIONS = ("identity", "spectrum", "context")


def section_mask(
    summaries: Sequence[Mapping[str, str | None]], sections: Sequence[str] = SECTIONS
) -> np.ndarray:
    """Return a mask of the non-empty sections, bool (n, len(sections)).

    Raises:
        TypeError: a section is neither a string nor None.
    """
    mask = np.zeros((len(summaries), len(sections)), dtype=bool)
    for row, summary in enumerate(summaries):
        for column, section in enumerate(sections):
            text = summary.get(section)
            if not isinstance(text, str | None):
                wrong = type(text).__name__
                raise TypeError(f"summary {row}: {section} is a {wrong}, not a string or None")
            mask[row, column] = bool(text and text.strip())
    return mask


def embed_summaries(
    summaries: Sequence[Mapping[str, str | None]],
    embedder: TextEmbedder,
    *,
    sections: Sequence[str] = SECTIONS,
    progress: bool = False,
) -> np.ndarray:
    """Embed sections separately and concatenate their embeddings, as in arXiv 2603.04516
    (3 × 1,536 = 4,608 dimensions for Ada-002).

    Args:
        summaries: mappings from `sections` to text or None.

    Returns:
        float32 (n, len(sections)·d) in the order of `sections`; zeros for an absent section.

    Raises:
        EmbeddingError: the embedder fails; finished texts are in its cache.

    Examples:
        >>> summaries = [{"identity": "A quasar at z = 2.1.", "spectrum": None, "context": None}]
        >>> embed_summaries(summaries, get_embedder("offline")).shape
        (1, 1152)
    """
    mask = section_mask(summaries, sections)
    texts = [(summaries[row][sections[column]] or "").strip() for row, column in np.argwhere(mask)]
    # Detections of one source share their summary, so each distinct text is embedded once.
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    embed = embedder.embed  # the width of an unknown server costs a request
    vectors = embed(list(rows), progress=progress) if rows else np.zeros((0, embedder.dimension))
    result = np.zeros((*mask.shape, vectors.shape[1]), dtype=np.float32)
    result[mask] = vectors[[rows[text] for text in texts]]
    return result.reshape(len(summaries), mask.shape[1] * vectors.shape[1])
