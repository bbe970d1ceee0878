"""Two-dimensional map of a catalogue, and the position of a new spectrum on it."""

from __future__ import annotations

from typing import Any

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
        rows = sample_rows(len(points), MAP_POINTS, seed)
        layout = map_points(points[rows], seed=seed)
    except ImportError:
        return _principal_axes(points)
    if len(rows) == len(points):
        return layout
    result = place_among(points, points[rows], layout)
    result[rows] = layout
    return result


def map_points(points: Any, *, seed: int = 0) -> np.ndarray:
    """Map points of a latent space to a plane by t-SNE, which keeps neighbours together.

    Distances between clusters, their sizes and the axes mean nothing. A pass takes about a second
    for each 150 points; thin out larger sets with `sample_rows`.

    Args:
        points: (n, K) finite, at least 10 rows; compared by their cosine.
        seed: of the layout.

    Returns:
        (n, 2) float32.

    Raises:
        ImportError: where scikit-learn is not installed.
        ValueError: for too few points, or some that are not finite.
    """
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or len(values) < 10 or not np.isfinite(values).all():
        raise ValueError(
            f"a map needs at least 10 finite points of shape (n, K), not {values.shape}"
        )
    from sklearn.manifold import TSNE

    layout = TSNE(
        perplexity=min(30.0, (len(values) - 1) / 3),
        metric="cosine",
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(layout.fit_transform(values), np.float32)


def sample_rows(n: int, most: int, seed: int = 0) -> np.ndarray:
    """Draw at most `most` of n rows without replacement, in ascending order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 3]).choice(n, most, replace=False))


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


__all__ = [
    "MAP_POINTS", "lay_out", "map_points", "place_among", "place_between", "sample_rows",
]  # fmt: skip
