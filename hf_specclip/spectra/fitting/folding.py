"""Folding of many spectra: photons to groups of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .models import TabulatedModel

# Spectra dealt with at once, and the bytes of their responses.
_CHUNK_SPECTRA = 128
_CHUNK_BYTES = 48 << 20
# From this many spectra on, the response is decomposed (SVD); components below this share of the
# largest change no model by more than 1e-4 of its peak.
_MANY = 16
_SMALLEST_COMPONENT = 1e-4
# Components that contribute less than this share to every spectrum of a model are left out.
_SMALLEST_SHARE = 1e-6


class Folding:
    """Cumulative response on the energies that matter, from which groups are cut."""

    def __init__(
        self,
        matrix: NDArray[Any],
        area: NDArray[Any],
        edges: NDArray[Any],
        exposure: NDArray[Any],
        n_spectra: int,
    ) -> None:
        widest = area.max(axis=0) if area.ndim == 2 else area
        seen = np.flatnonzero(matrix.any(axis=1) & (widest > 0) & (np.diff(edges) > 0))
        if not seen.size:
            raise ValueError("the response records nothing in the fitted range: check ARF and RMF")
        rows = slice(int(seen[0]), int(seen[-1]) + 1)
        self.edges = edges[rows.start : rows.stop + 1]
        if area.ndim == 1:
            matrix, self.area = matrix[rows] * area[rows, None], None
        else:
            # The mean area goes into the matrix, and so into its components.
            mean = area[:, rows].mean(axis=0)
            matrix = matrix[rows] * mean[:, None]
            self.area = float_tensor(area[:, rows] / np.where(mean > 0, mean, 1.0))
        self.exposure = float_tensor(exposure)
        matrix = np.asarray(matrix, dtype=np.float64)
        self.components = None
        if n_spectra >= _MANY:
            # A detector resolves far fewer energies than its matrix has rows.
            left, strength, right = np.linalg.svd(matrix, full_matrices=False)
            kept = strength > _SMALLEST_COMPONENT * strength[0]
            self.components = float_tensor(left[:, kept] * strength[kept])
            matrix = right[kept]
        below = np.zeros((matrix.shape[1] + 1, matrix.shape[0]))
        np.cumsum(matrix.T, axis=0, out=below[1:])
        self.below = torch.from_numpy(below)

    def seen(self, model: TabulatedModel) -> tuple[Tensor | None, Tensor]:
        """Return the components that contribute to a model's spectra, and the response to them."""
        if self.components is None or self.area is not None:
            return self.components, self.below
        photons, _ = model.photons(model.samples(), slopes=False)
        found = photons[:, 0] @ self.components
        found /= found.norm(dim=1, keepdim=True)
        strength, turned = torch.linalg.eigh(found.T @ found)
        kept = strength > _SMALLEST_SHARE**2 * strength[-1]
        return self.components @ turned[:, kept], self.below @ turned[:, kept]


def chunks_of(numbers: NDArray[np.int64], n_components: int) -> list[slice]:
    """Return slices of spectra, ordered by number of groups, whose responses fit in memory."""
    chunks, start = [], 0
    while start < len(numbers):
        stop = start + 1
        while stop < len(numbers) and (
            (stop + 1 - start) * int(numbers[stop]) * n_components * 8 <= _CHUNK_BYTES
            and stop - start < _CHUNK_SPECTRA
        ):
            stop += 1
        chunks.append(slice(start, stop))
        start = stop
    return chunks


def float_tensor(values: NDArray[Any]) -> Tensor:
    """Return a float64 copy that torch owns."""
    return torch.from_numpy(np.array(values, dtype=np.float64))
