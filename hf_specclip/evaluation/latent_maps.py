"""Two-dimensional maps of a latent space by t-SNE or UMAP, reproducible by seed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

MAPS = ("t-SNE", "UMAP")


def map_points(points: Any, method: str = "t-SNE", *, seed: int = 0) -> np.ndarray:
    """Map points of a latent space to a plane that keeps neighbours together.

    Distances between clusters, their sizes and the axes mean nothing. A pass takes about a second
    for each 150 points; thin out larger sets with `sample_rows`.

    Args:
        points: (n, K) finite, at least 10 rows; compared by their cosine.
        method: `"t-SNE"` (van der Maaten & Hinton 2008) or `"UMAP"` (McInnes et al. 2018).
        seed: of both.

    Returns:
        (n, 2) float32.

    Raises:
        ImportError: for UMAP where `umap-learn` is not installed.
        ValueError: for another method, too few points, or some that are not finite.
    """
    values = np.asarray(points, np.float64)
    if method not in MAPS:
        raise ValueError(f"method must be one of {', '.join(MAPS)}, not {method!r}")
    if values.ndim != 2 or len(values) < 10 or not np.isfinite(values).all():
        raise ValueError(
            f"a map needs at least 10 finite points of shape (n, K), not {values.shape}"
        )
    if method == "UMAP":
        return _umap(values, seed)
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


def _umap(values: np.ndarray, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TensorFlow, which it does not need
        try:
            from umap import UMAP
        except ImportError as error:
            raise ImportError('a UMAP needs umap-learn: pip install "hf-specclip[maps]"') from error
        layout = UMAP(
            n_neighbors=min(15, len(values) - 1), metric="cosine", random_state=seed, n_jobs=1
        )
        return np.asarray(layout.fit_transform(values), np.float32)


__all__ = ["MAPS", "map_points", "sample_rows"]
