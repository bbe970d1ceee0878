"""Two-dimensional map of a catalogue, and the position of a new spectrum on it."""

from __future__ import annotations

import numpy as np

from .nearest import nearest

# t-SNE takes a second for each 150 points; further ones are put between their neighbours.
MAP_POINTS = 3000
_NEIGHBOURS = 5
# Below this, neighbourhoods show no more than the principal axes do.
_MIN_TSNE_POINTS = 200
# Decay length of a neighbour's weight in its distance (1 − cosine).
_DECAY = 0.02


def lay_out(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay vectors out on a map: similar ones lie close, distances mean no more than that.

    A t-SNE of at most `MAP_POINTS` of the points, the others between their nearest ones on it; the
    two principal axes of fewer than 200, or where scikit-learn is not installed.

    Args:
        vectors: (n, D), unit length.
        seed: seed of the sample and the layout.

    Returns:
        Positions (n, 2) float32.
    """
    points = np.asarray(vectors, np.float32)
    if len(points) < _MIN_TSNE_POINTS:
        return _principal_axes(points)
    try:
        from ..evaluation.latent_maps import map_points, sample_rows

        rows = sample_rows(len(points), MAP_POINTS, seed)
        layout = map_points(points[rows], seed=seed)
    except ImportError:
        return _principal_axes(points)
    if len(rows) == len(points):
        return layout
    result = place_among(points, points[rows], layout)
    result[rows] = layout
    return result


def place_among(vectors: np.ndarray, bank: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Put vectors on a map between their nearest neighbours there.

    Args:
        vectors: (n, D), unit length.
        bank: (m, D) vectors that are on the map, unit length.
        positions: (m, 2) of the bank.

    Returns:
        Positions (n, 2) float32.
    """
    cosines, rows = nearest(np.asarray(vectors, np.float32), bank, _NEIGHBOURS)
    return place_between(cosines, np.asarray(positions)[rows])


def place_between(cosines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Average the positions (b, k, 2) of neighbours, weighted by their cosines (b, k); (b, 2)."""
    distances = 1.0 - cosines
    weights = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / _DECAY)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * positions).sum(axis=1).astype(np.float32)


def _principal_axes(points: np.ndarray) -> np.ndarray:
    result = np.zeros((len(points), 2), np.float32)
    if len(points) > 1:
        centred = (points - points.mean(axis=0)).astype(np.float64)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        projected = centred @ axes[:2].T
        # The sign of an axis is arbitrary: make its largest component positive.
        largest = np.take_along_axis(projected, np.abs(projected).argmax(axis=0)[None], axis=0)
        projected *= np.where(largest < 0, -1.0, 1.0)
        result[:, : projected.shape[1]] = projected
    return result


__all__ = ["MAP_POINTS", "lay_out", "place_among", "place_between"]
