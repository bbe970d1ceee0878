"""A map of the catalogue in two dimensions, and the place of a new point on it."""

from __future__ import annotations

import numpy as np

# Laying out takes a second for each 150 points; further ones are placed between their neighbours.
MAP_POINTS = 3000
_NEIGHBOURS = 5
# Fewer points than this show no more by neighbourhoods than by their principal axes.
_FEW = 200
_ROWS_AT_ONCE = 1024
# How steeply a neighbour's weight falls with its distance (one less the cosine).
_REACH = 0.02


def lay_out(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places (n, 2) float32 on a map, near for what is alike; distances mean no more than that.

    A t-SNE of at most `MAP_POINTS` of the points, the others between their nearest ones on it; the
    two principal axes of fewer than 200, or where scikit-learn is not installed.

    Args:
        vectors: (n, D) of unit length.
        seed: of the choice and the layout.
    """
    points = np.asarray(vectors, np.float32)
    if len(points) < _FEW:
        return _principal_axes(points)
    try:
        from ..evaluation.latent_maps import map_points, sample_rows

        rows = sample_rows(len(points), MAP_POINTS, seed)
        drawn = map_points(points[rows], seed=seed)
    except ImportError:
        return _principal_axes(points)
    if len(rows) == len(points):
        return drawn
    result = place_among(points, points[rows], drawn)
    result[rows] = drawn
    return result


def place_among(vectors: np.ndarray, bank: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Places (n, 2) of vectors (n, D) between the nearest of a bank (m, D) whose places are known.

    Args:
        vectors, bank: of unit length.
        positions: (m, 2).
    """
    k = min(_NEIGHBOURS, len(bank))
    result = np.empty((len(vectors), 2), np.float32)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        cosine = vectors[block] @ bank.T
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        close = np.take_along_axis(cosine, near, axis=1)
        result[block] = place_between(close, np.asarray(positions)[near])
    return result


def place_between(cosines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Weighted means (b, 2) of the places (b, k, 2) of neighbours, by their cosines (b, k)."""
    apart = 1.0 - cosines
    weights = np.exp(-(apart - apart.min(axis=1, keepdims=True)) / _REACH)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * positions).sum(axis=1).astype(np.float32)


def _principal_axes(points: np.ndarray) -> np.ndarray:
    result = np.zeros((len(points), 2), np.float32)
    if len(points) > 1:
        centred = (points - points.mean(axis=0)).astype(np.float64)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        placed = centred @ axes[:2].T
        # An axis has no sign of its own: the longest arm points up.
        arms = np.take_along_axis(placed, np.abs(placed).argmax(axis=0)[None], axis=0)
        placed *= np.where(arms < 0, -1.0, 1.0)
        result[:, : placed.shape[1]] = placed
    return result


__all__ = ["MAP_POINTS", "lay_out", "place_among", "place_between"]
