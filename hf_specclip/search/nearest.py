"""Exact nearest neighbours by cosine similarity, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np

# Similarities per block: 64 MB of float32.
SCORES_AT_ONCE = 1 << 24
# Vectors and queries per block.
VECTORS_AT_ONCE, QUERIES_AT_ONCE = 1 << 17, 1 << 10


def nearest(queries: np.ndarray, vectors: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest vectors of each query.

    Args:
        queries: (B, D) float32, unit length.
        vectors: (n, D) float32 or float16, unit length, in memory or memory-mapped.
        top_k: number of neighbours.

    Returns:
        Scores float32 and rows int64, both (B, min(top_k, n)), nearest first; equal scores in
        order of row.
    """
    top_k = min(top_k, len(vectors))
    if len(queries) > QUERIES_AT_ONCE:
        starts = range(0, len(queries), QUERIES_AT_ONCE)
        blocks = [nearest(queries[i : i + QUERIES_AT_ONCE], vectors, top_k) for i in starts]
        return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    step = max(1, min(VECTORS_AT_ONCE, SCORES_AT_ONCE // max(1, len(queries))))
    for start in range(0, len(vectors), step):
        block = np.asarray(vectors[start : start + step], np.float32)
        similarity = queries @ block.T
        columns = _largest(similarity, top_k)
        rows = np.concatenate([rows, columns + start], axis=1)
        scores = np.concatenate([scores, np.take_along_axis(similarity, columns, axis=1)], axis=1)
        # Rows of earlier blocks come first, so a stable sort keeps ties in order of row.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        scores = np.take_along_axis(scores, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return scores, rows


def as_queries(queries: Any, dimension: int) -> np.ndarray:
    """Convert query vectors to unit rows.

    Args:
        queries: array or tensor (B, D) or (D,), on any device, in any precision.
        dimension: D of the index.

    Returns:
        (B, D) float32.

    Raises:
        ValueError: another width, or a query that is zero or not finite.
    """
    if hasattr(queries, "detach"):
        queries = queries.detach().float().cpu().numpy()
    vectors = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise ValueError(
            f"queries are {vectors.shape}, but this index has {dimension} dimensions: embed them "
            "with the model of the index"
        )
    return unit_rows(vectors, "query")


def unit_rows(vectors: np.ndarray, name: str, start: int = 0) -> np.ndarray:
    """Normalise rows to unit length; an array of unit rows is returned without a copy.

    Args:
        vectors: (n, D) float32.
        name: noun for a row in messages.
        start: number of the first row in messages.

    Raises:
        ValueError: a row is zero or not finite.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        raise ValueError(
            f"{name} {start + int(np.flatnonzero(bad)[0])} is a zero or non-finite vector"
        )
    if np.abs(norms - 1.0).max(initial=0.0) < 1e-5:
        return vectors
    return (vectors / norms).astype(np.float32, copy=False)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Find the columns of the k largest scores of each row, in ascending order."""
    if k >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    import torch  # an order of magnitude faster at this than NumPy

    values, columns = (tensor.numpy() for tensor in torch.from_numpy(scores).topk(k + 1, dim=1))
    largest = columns[:, :k]
    # topk picks arbitrarily among ties at the k-th position: take the first columns instead.
    for row in np.flatnonzero(values[:, k] == values[:, k - 1]):
        above = np.flatnonzero(scores[row] > values[row, k])
        ties = np.flatnonzero(scores[row] == values[row, k])[: k - len(above)]
        largest[row] = np.concatenate([above, ties])
    return np.sort(largest, axis=1)
