"""Instrument response: effective area (ARF) and redistribution matrix (RMF).

A model gives photons/cm²/s in bins of true energy. The effective area (ARF, cm²) turns them into
detected events a second, the redistribution matrix (RMF) spreads these over detector channels:
``counts/s = RMFᵀ (ARF · photons)`` (OGIP CAL/GEN/92-002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rebin import ascending_edges, overlap_fractions

__all__ = ["EffectiveArea", "RedistributionMatrix", "SparseRows"]

# A matrix of pure redistribution has rows that sum to at most 1 (a little more by rounding and by
# escape peaks); with the area folded in they sum to cm².
_LARGEST_PROBABILITY = 1.5
# No telescope is a square kilometre; larger numbers are damage, and overflow single precision.
_LARGEST_AREA = 1e10
# Dense matrices larger than this (float64) are built in parts, or not at all.
_DENSE_BYTES = 512 << 20


def in_unit(value: Any, unit: str) -> Any:
    """Return the number in `unit` where `value` is an astropy quantity, else `value` itself."""
    return value.to_value(unit) if hasattr(value, "to_value") else value


@dataclass(frozen=True, eq=False, kw_only=True)
class EffectiveArea:
    """Effective area against true energy (ARF).

    Attributes:
        energy_edges: (n + 1,) keV, ascending; an astropy quantity is converted.
        area: (n,) cm², not negative; an astropy quantity is converted.
        exposure: s, where the file states one.
        path: file it was read from, or None.
        notes: what is wrong with that file although it can be used, such as its checksums.

    Raises:
        ValueError: shapes that do not fit, edges that do not ascend, an area that is negative,
            not finite or beyond a square kilometre.
    """

    energy_edges: NDArray[np.float64]
    area: NDArray[np.float64]
    exposure: float | None = None
    path: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        edges = ascending_edges(in_unit(self.energy_edges, "keV"), "energy_edges").copy()
        area = np.array(in_unit(self.area, "cm2"), np.float64)
        if area.shape != (edges.size - 1,):
            raise ValueError(f"area must have shape ({edges.size - 1},), not {area.shape}")
        if not ((area >= 0) & (area < _LARGEST_AREA)).all():
            raise ValueError(f"area must be from 0 to {_LARGEST_AREA:g} cm²")
        for name, values in (("energy_edges", edges), ("area", area)):
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def at(self, energies: ArrayLike) -> NDArray[np.float64]:
        """Return cm² at `energies` (keV): linear between bin centres, 0 outside the ARF."""
        energies = np.asarray(energies, dtype=np.float64)
        centres = (self.energy_edges[:-1] + self.energy_edges[1:]) / 2
        inside = (energies >= self.energy_edges[0]) & (energies <= self.energy_edges[-1])
        return np.where(inside, np.interp(energies, centres, self.area), 0.0)

    def on(self, energy_edges: ArrayLike) -> NDArray[np.float64]:
        """Return (m,) mean cm² in other bins (keV); the stored values where the bins agree."""
        edges = ascending_edges(energy_edges, "energy_edges")
        if edges.shape == self.energy_edges.shape and np.allclose(
            edges, self.energy_edges, rtol=1e-5, atol=1e-5
        ):
            return self.area
        return overlap_fractions(edges, self.energy_edges) @ self.area


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Non-zero elements of a matrix, row by row.

    Attributes:
        row, column: (k,) int32 indices, rows ascending.
        value: (k,) float32 as stored in the file.
    """

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    value: NDArray[np.float32]


class RedistributionMatrix:
    """Redistribution matrix (RMF): probability that a photon of an energy is recorded in a channel.

    The matrix is unpacked on first use, so that a spectrum can be read for the price of its channel
    energies alone; what is wrong with it is found then.

    Args:
        energy_edges: (n_energies + 1,) true energies, keV, ascending.
        channel_edges: (n_channels + 1,) nominal energies of the channels, keV, ascending (EBOUNDS).
        matrix: (n_energies, n_channels) array, `SparseRows`, or a function that returns either.
        includes_area: whether the effective area is folded in (``.rsp``; elements in cm²); None
            leaves it to the sums of the rows.
        channels: (n_channels,) channel numbers, descending where energies do; None where unknown.
        path: file it was read from, or None.
        notes: what is wrong with that file although it can be used.

    Raises:
        ValueError: shapes that do not fit, edges that do not ascend, elements that are not finite
            or far below zero (those of a function when it is first called).
    """

    def __init__(
        self,
        energy_edges: ArrayLike,
        channel_edges: ArrayLike,
        matrix: ArrayLike | SparseRows | Callable[[], Any],
        *,
        includes_area: bool | None = None,
        channels: ArrayLike | None = None,
        path: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = notes
        self.energy_edges = ascending_edges(energy_edges, "energy_edges").copy()
        self.channel_edges = ascending_edges(channel_edges, "channel_edges").copy()
        self.channels = None if channels is None else np.array(channels, dtype=np.int64)
        if self.channels is not None and self.channels.shape != (self.n_channels,):
            raise ValueError(
                f"channels must have shape ({self.n_channels},), not {self.channels.shape}"
            )
        self.path = path
        self._includes_area = includes_area
        self._load = matrix if callable(matrix) else None
        self._rows: SparseRows | None = None
        if self._load is None:
            self._rows = self._checked(matrix)

    def __repr__(self) -> str:
        return (
            f"<RedistributionMatrix {self.n_energies} energies × {self.n_channels} channels"
            f"{'' if self.path is None else f', {self.path}'}>"
        )

    @property
    def n_energies(self) -> int:
        """Number of bins of true energy."""
        return self.energy_edges.size - 1

    @property
    def n_channels(self) -> int:
        """Number of detector channels."""
        return self.channel_edges.size - 1

    @property
    def elements(self) -> SparseRows:
        """Non-zero elements, unpacked and checked on first use."""
        if self._rows is None:
            assert self._load is not None
            self._rows = self._checked(self._load())
        return self._rows

    @property
    def includes_area(self) -> bool:
        """True where the effective area is folded in: `fold` then wants no ARF."""
        if self._includes_area is None:
            self._includes_area = bool(self.row_sums.max() > _LARGEST_PROBABILITY)
        return self._includes_area

    @property
    def row_sums(self) -> NDArray[np.float64]:
        """Sums over the channels (n_energies,): about 1, or cm² where the area is folded in."""
        rows = self.elements
        sums = np.bincount(rows.row, weights=rows.value, minlength=self.n_energies)
        return sums.astype(np.float64, copy=False)

    @property
    def effective_area(self) -> EffectiveArea:
        """Area folded into the matrix (its row sums). Raises ValueError where there is none."""
        if not self.includes_area:
            raise ValueError("this matrix has no effective area folded in; read its ARF")
        return EffectiveArea(energy_edges=self.energy_edges, area=self.row_sums, path=self.path)

    def dense(self) -> NDArray[np.float32]:
        """Return (n_energies, n_channels) float32. Raises ValueError beyond 512 MiB."""
        if self.n_energies * self.n_channels * 8 > _DENSE_BYTES:
            raise ValueError(
                f"{self.n_energies} × {self.n_channels} elements are too many for a dense matrix; "
                "use fold or elements"
            )
        return self._dense_rows(0, self.n_energies).astype(np.float32)

    def fold(
        self,
        photons: ArrayLike,
        arf: EffectiveArea | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Fold a model into count rates per channel.

        Args:
            photons: (…, n_energies) photons/cm²/s in each bin of `energy_edges`. Many at once cost
                one matrix product; float32 halves its time.
            arf: effective area; left out where the matrix includes it (or to fold events/s).
            out: where to put the rates, of the result's shape and type; for many models batch by
                batch, which need not ask for memory anew each time.

        Returns:
            (…, n_channels) counts/s, float32 for such photons and float64 for all others; `out`
            where given.

        Raises:
            ValueError: a number of energies other than the matrix's, an `out` that does not fit.
        """
        rates = np.asarray(photons)
        if rates.dtype != np.float32:
            rates = rates.astype(np.float64, copy=False)
        if rates.ndim == 0 or rates.shape[-1] != self.n_energies:
            raise ValueError(f"photons must end in {self.n_energies} energies, not {rates.shape}")
        shape = (*rates.shape[:-1], self.n_channels)
        if out is None:
            out = np.empty(shape, dtype=rates.dtype)
        elif out.shape != shape or out.dtype != rates.dtype:
            raise ValueError(f"out must be {rates.dtype} {shape}, not {out.dtype} {out.shape}")
        area = None if arf is None else arf.on(self.energy_edges)
        if rates.ndim == 1:
            rows = self.elements
            weights = rows.value * (rates if area is None else rates * area)[rows.row]
            out[:] = np.bincount(rows.column, weights=weights, minlength=self.n_channels)
            return out
        # The area goes to the matrix: there are fewer elements in it than in many spectra.
        step = max(1, (_DENSE_BYTES // 8) // (8 * self.n_channels))
        for start in range(0, self.n_energies, step):
            stop = min(start + step, self.n_energies)
            block = self._dense_rows(start, stop, area).astype(rates.dtype, copy=False)
            if start == 0:
                np.matmul(rates[..., :stop], block, out=out)
            else:
                out += rates[..., start:stop] @ block
        return out

    def _dense_rows(
        self, start: int, stop: int, area: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return rows of the matrix, times the area of their energies where one is given."""
        rows = self.elements
        part = slice(*np.searchsorted(rows.row, [start, stop]))
        # Groups of one row may overlap; their elements add up.
        index = (rows.row[part] - start).astype(np.int64) * self.n_channels + rows.column[part]
        values = rows.value[part] if area is None else rows.value[part] * area[rows.row[part]]
        dense = np.bincount(index, weights=values, minlength=(stop - start) * self.n_channels)
        return dense.astype(np.float64, copy=False).reshape(stop - start, self.n_channels)

    def _checked(self, matrix: Any) -> SparseRows:
        if not isinstance(matrix, SparseRows):
            dense = np.asarray(matrix, dtype=np.float32)
            if dense.shape != (self.n_energies, self.n_channels):
                raise ValueError(
                    f"matrix must have shape ({self.n_energies}, {self.n_channels}), "
                    f"not {dense.shape}"
                )
            row, column = np.nonzero(dense)
            matrix = SparseRows(row.astype(np.int32), column.astype(np.int32), dense[row, column])
        largest = matrix.value.max(initial=0)
        for name, index, size in (
            ("rows", matrix.row, self.n_energies),
            ("columns", matrix.column, self.n_channels),
        ):
            # As unsigned numbers, those below zero are the largest.
            if index.size and int(index.astype(np.int32, copy=False).view(np.uint32).max()) >= size:
                raise ValueError(f"{name} of the matrix must be from 0 to {size - 1}")
        if not ((matrix.value >= -largest) & (matrix.value < _LARGEST_AREA)).all():
            raise ValueError(f"matrix elements must be from 0 to {_LARGEST_AREA:g}")
        return matrix
