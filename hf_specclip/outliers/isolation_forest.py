"""Isolation Forest as plain arrays: scored without scikit-learn, saved without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ARRAYS = ("left", "right", "feature", "threshold", "length")
MAX_TREES, MAX_NODES = 10_000, 1 << 20
# Bounds the memory to rows × trees numbers.
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class IsolationForestArrays:
    """Trees of an Isolation Forest (Liu, Ting & Zhou 2008).

    Attributes:
        left, right: (T, M) int32, children of each node; a leaf names itself.
        feature: (T, M) int32, the column a node compares.
        threshold: (T, M) float64; values up to it go left.
        length: (T, M) float64, path length to a leaf, with that expected below it for its rows.
        n_features: columns of a point.
        expected: mean path length of a search among the rows of each tree, c(ψ).
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    length: np.ndarray
    n_features: int
    expected: float

    @classmethod
    def fit(
        cls, points: np.ndarray, *, n_trees: int = 200, max_samples: int = 256, seed: int = 0
    ) -> IsolationForestArrays:
        """Fit with scikit-learn.

        Args:
            points: (n, K) finite.
            n_trees: number of trees.
            max_samples: rows of each tree, ψ.
            seed: of the trees.
        """
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(
            n_estimators=n_trees, max_samples=min(max_samples, len(points)), random_state=seed
        )
        return cls.from_sklearn(forest.fit(np.asarray(points, np.float32)))

    @classmethod
    def from_sklearn(cls, forest: Any) -> IsolationForestArrays:
        """Convert a fitted `sklearn.ensemble.IsolationForest`."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        shape = (len(trees), max(tree.node_count for tree in trees))
        left = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
        right, feature = left.copy(), np.zeros(shape, np.int32)
        threshold, length = np.zeros(shape), np.zeros(shape)
        for number, (tree, columns) in enumerate(
            zip(trees, forest.estimators_features_, strict=True)
        ):
            inner = np.flatnonzero(tree.children_left >= 0)
            left[number, inner] = tree.children_left[inner]
            right[number, inner] = tree.children_right[inner]
            feature[number, inner] = np.asarray(columns)[tree.feature[inner]]
            threshold[number, inner] = tree.threshold[inner]
            depth = np.zeros(tree.node_count)
            for node in inner:  # children come after their parents
                depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
            leaf = np.flatnonzero(tree.children_left < 0)
            rows = tree.n_node_samples[leaf]
            length[number, leaf] = depth[leaf] + average_path_length(rows)
        expected = float(average_path_length(np.array([forest.max_samples_]))[0])
        return cls(left, right, feature, threshold, length, forest.n_features_in_, expected)

    def score(self, points: np.ndarray) -> np.ndarray:
        """Compute anomaly scores (n,) of points (n, K): 0 to 1, higher for those isolated sooner.

        They equal `−score_samples` of scikit-learn's forest.

        Raises:
            ValueError: for points of another width, or that are not finite.
        """
        # As in scikit-learn: thresholds were fitted in single precision.
        values = np.asarray(points, np.float32)
        if values.ndim != 2 or values.shape[1] != self.n_features:
            raise ValueError(f"points are {values.shape}, they must be (n, {self.n_features})")
        if not np.isfinite(values).all():
            raise ValueError("points hold NaN or infinity")
        trees = np.arange(len(self.left))
        result = np.empty(len(values))
        for start in range(0, len(values), _BLOCK_ROWS):
            block = values[start : start + _BLOCK_ROWS]
            rows = np.arange(len(block))[:, None]
            node = np.zeros((len(block), len(trees)), dtype=np.int64)
            while True:
                low = block[rows, self.feature[trees, node]] <= self.threshold[trees, node]
                child = np.where(low, self.left[trees, node], self.right[trees, node])
                if np.array_equal(child, node):
                    break
                node = child
            depth = self.length[trees, node].sum(axis=1)
            scale = len(trees) * self.expected
            result[start : start + len(block)] = 2.0 ** -(depth / (scale or 1.0))
        return result

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, np.ndarray], n_features: int, expected: float
    ) -> IsolationForestArrays:
        """Make a forest of the arrays named in `ARRAYS`, validated node by node.

        Raises:
            ValueError: for arrays that do not fit together, a child that comes before its parent
                (a walk down such a tree would never end), or a column that no point has.
        """
        parts = {name: np.asarray(tensors[name]) for name in ARRAYS}
        shape = parts["left"].shape
        if len(shape) != 2 or not (0 < shape[0] <= MAX_TREES and 0 < shape[1] <= MAX_NODES):
            raise ValueError(f"the forest is {shape}, it must be (trees, nodes)")
        for name, part in parts.items():
            kind = np.float64 if name in ("threshold", "length") else np.int32
            if part.shape != shape or part.dtype != kind:
                raise ValueError(
                    f"forest.{name} is {part.dtype} {part.shape}, not {np.dtype(kind)} {shape}"
                )
            if not np.isfinite(part).all():
                raise ValueError(f"forest.{name} must be finite")
        node = np.arange(shape[1])
        leaf = (parts["left"] == node) & (parts["right"] == node)
        for name in ("left", "right"):
            child = parts[name]
            if not (leaf | ((child > node) & (child < shape[1]))).all():
                raise ValueError(f"forest.{name} names a node that does not come after its parent")
        if (parts["feature"] < 0).any() or (parts["feature"] >= n_features).any():
            raise ValueError(f"forest.feature compares a column beyond {n_features}")
        if not np.isfinite(expected) or expected < 0:
            raise ValueError(f"forest expected path length is {expected}")
        return cls(**parts, n_features=n_features, expected=float(expected))


def average_path_length(n: np.ndarray) -> np.ndarray:
    """Compute c(n), the mean path length of a failed search in a binary tree of n rows."""
    rows = np.asarray(n, np.float64)
    more = np.maximum(rows, 3.0)
    length = 2.0 * (np.log(more - 1.0) + np.euler_gamma) - 2.0 * (more - 1.0) / more
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))


__all__ = ["ARRAYS", "IsolationForestArrays", "average_path_length"]
