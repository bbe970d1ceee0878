"""Two-dimensional map of a catalogue (t-SNE), and positions of new spectra on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .nearest import nearest

# Maximum number of points of a t-SNE (a second per 150 points); others are interpolated.
MAP_POINTS = 3000
_NEIGHBOURS = 5
# Below this number of points, principal axes are used.
_MIN_TSNE_POINTS = 200
# e-folding distance (1 − cosine) of the weight of a neighbour.
_DECAY = 0.02


def compute_map(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Compute a map of vectors: t-SNE of at most `MAP_POINTS`, with the others interpolated.

    Fewer than 200 vectors, or all without scikit-learn, are mapped to their two principal axes.

    Args:
        vectors: (n, D), unit length.
        seed: seed of the sample and of the t-SNE.

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
    result = interpolate_map(points, points[rows], layout)
    result[rows] = layout
    return result


def map_points(points: Any, *, seed: int = 0) -> np.ndarray:
    """Compute a t-SNE of points in a latent space.

    It preserves neighbourhoods; the axes, the sizes of clusters and the distances between them have
    no meaning. It takes about a second per 150 points; subsample larger sets by `sample_rows`.

    Args:
        points: (n, K), at least 10 rows; compared by cosine.
        seed: seed of the t-SNE.

    Returns:
        (n, 2) float32.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: too few points, NaN or infinity.
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


def interpolate_map(vectors: np.ndarray, bank: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate the map positions of vectors between their nearest neighbours.

    Args:
        vectors: (n, D), unit length.
        bank: (m, D) vectors on the map, unit length.
        positions: (m, 2) map positions of the bank.

    Returns:
        Positions (n, 2) float32.
    """
    cosines, rows = nearest(np.asarray(vectors, np.float32), bank, _NEIGHBOURS)
    return average_positions(cosines, np.asarray(positions)[rows])


def average_positions(cosines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Average positions (b, k, 2) of neighbours to (b, 2), weighted by their cosines (b, k)."""
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
