"""Training texts of a model that stand in for questions of a few words.

A model learns from whole summaries. A question lacks nearly all of what one says, and its own point
lies where no summary does. So the texts that say most nearly what it says are looked up, and the
mean of their points is where it is put: pseudo-relevance feedback (Rocchio 1971), across two
spaces.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..storage import atomic_folder, map_tensors

KNOWN_FOLDER, TENSORS_FILE = "known_texts", "texts.safetensors"
# Share of the texts that stand in for a question, and how many at least.
STAND_IN, FEWEST = 0.02, 8
# A number of the vectors counts by its deviations from the mean: one that hardly any text has, by
# not more than this, or a word that two of them use would outweigh all else that is asked.
SMALLEST_DEVIATION, MAX_DEVIATIONS = 0.3, 8.0
TIED = 1e-6
MAX_TEXTS = 20_000


class KnownTexts:
    """Embedded texts beside their points in the shared space.

    Args:
        vectors: (n, W) what the model was given of each text, 0 where a text has nothing to say.
        points: (n, D) where it put them, of any positive length.

    Raises:
        ValueError: for shapes that do not fit, or without texts.
    """

    def __init__(self, vectors: np.ndarray, points: np.ndarray):
        if vectors.ndim != 2 or points.ndim != 2 or not len(vectors) == len(points) > 0:
            raise ValueError(f"vectors {vectors.shape} and points {points.shape} of known texts")
        if len(vectors) > MAX_TEXTS:
            kept = np.linspace(0, len(vectors) - 1, MAX_TEXTS).astype(np.int64)
            vectors, points = vectors[kept], points[kept]
        columns, rows = np.nonzero(vectors.T)
        self._rows = rows.astype(np.int32)
        self._values = vectors[rows, columns].astype(np.float32)
        self._starts = np.searchsorted(columns, np.arange(vectors.shape[1] + 1)).astype(np.int64)
        self.points = np.asarray(points, np.float32)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def width(self) -> int:
        """Width W of the vectors."""
        return len(self._starts) - 1

    def stand_in(self, vectors: np.ndarray) -> np.ndarray:
        """Return the points of questions: the mean over the 2 % of texts that say most nearly the
        same.

        Only what a question says is compared, the numbers of its vector that are not 0.

        Args:
            vectors: (m, W) questions, embedded as the texts were.

        Returns:
            (m, D) float32 of unit length; nan for a question of which no text says anything.

        Raises:
            ValueError: for another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(
                f"questions are {vectors.shape}, the known texts have {self.width} numbers: use "
                "the embedder the model was trained with"
            )
        number = min(len(self), max(FEWEST, round(STAND_IN * len(self))))
        found = np.full((len(vectors), self.points.shape[1]), np.nan, np.float32)
        for row, vector in enumerate(vectors):
            said = np.flatnonzero((vector != 0) & (np.diff(self._starts) > 0))
            if len(said):
                distances = self._distances(vector, said)
                farthest = np.partition(distances, number - 1)[number - 1]
                nearer = distances < farthest - TIED
                tied = ~nearer & (distances <= farthest + TIED)
                # Texts that tie for the last places share them: which comes first means nothing.
                left = number - int(nearer.sum())
                mean = self.points[nearer].sum(axis=0) + left * self.points[tied].mean(axis=0)
                found[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return found

    def _distances(self, vector: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Return squared distances (n,) of the texts to a question, in deviations."""
        total = np.zeros(len(self))
        for column in said.tolist():
            part = slice(self._starts[column], self._starts[column + 1])
            values = np.zeros(len(self))
            values[self._rows[part]] = self._values[part]
            scale = max(float(values.std()), SMALLEST_DEVIATION)
            bounds = -MAX_DEVIATIONS, MAX_DEVIATIONS
            here = np.clip((values - values.mean()) / scale, *bounds)
            total += (here - np.clip((vector[column] - values.mean()) / scale, *bounds)) ** 2
        return total

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder `known_texts/` inside `folder` atomically."""
        from safetensors.numpy import save_file

        target = Path(folder) / KNOWN_FOLDER
        tensors: dict[str, np.ndarray] = {
            "rows": self._rows,
            "values": self._values,
            "starts": self._starts,
            "points": self.points,
        }
        with atomic_folder(target) as fresh:
            save_file(tensors, str(fresh / TENSORS_FILE))
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> KnownTexts:
        """Read the known texts of a model folder.

        Raises:
            FileNotFoundError: where it has none.
            FileFormatError: for a damaged file.
        """
        path = Path(folder) / KNOWN_FOLDER / TENSORS_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path.parent} has no {path.name}: training leaves it")
        known = cls.__new__(cls)
        try:
            tensors = map_tensors(path)
            known._rows, known._values = tensors["rows"], tensors["values"]
            known._starts, known.points = tensors["starts"], tensors["points"]
            known._check()
        except (FileFormatError, KeyError, ValueError, TypeError) as error:
            raise FileFormatError(
                f"{path} cannot be used ({error}): fetch the model again, or train it"
            ) from error
        return known

    def _check(self) -> None:
        starts, rows = self._starts, self._rows
        forms = (self.points, 2, "f"), (self._values, 1, "f"), (rows, 1, "i"), (starts, 1, "i")
        if any(array.ndim != axes or array.dtype.kind != kind for array, axes, kind in forms):
            raise ValueError("tensors of another form")
        if not 0 < len(self.points) <= MAX_TEXTS or len(rows) != len(self._values):
            raise ValueError("tensors of other lengths")
        if len(starts) < 2 or starts[0] != 0 or starts[-1] != len(rows):
            raise ValueError("columns that do not fit")
        if (np.diff(starts) < 0).any():
            raise ValueError("columns out of order")
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self.points)):
            raise ValueError("rows that are not there")
        if not (np.isfinite(self.points).all() and np.isfinite(self._values).all()):
            raise ValueError("numbers that are not finite")


__all__ = ["KNOWN_FOLDER", "FileFormatError", "KnownTexts"]
