"""Tabulated spectral models of the catalogue, with derivatives, for many parameter pairs.

Each model has one shape parameter (photon index or temperature), the column of cold gas in front of
it, and a normalisation. The numbers come from `models`: shapes are tabulated once on the response's
own energies and interpolated, so there is one definition of each model in the package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import emission as models
from ..emission.grid import cubic_weights

# Between columns of this size and none, steps are taken in N_H, above in its logarithm (1e22 cm⁻²).
COLUMN_SCALE = 0.05
# The catalogue gives columns in 1e20 cm⁻², the models take 1e22.
COLUMN_UNIT = 100.0
# The catalogue's best fits hardly ever go beyond (99.9 % lie below 4e23 cm⁻²).
LARGEST_COLUMN = 100.0


@dataclass(frozen=True)
class ModelDefinition:
    """Model definition, under the column names of the Chandra Source Catalog.

    Attributes:
        name: prefix of the columns.
        shape_name: `gamma` or `kt` (keV).
        norm_name: `ampl` or `norm`, in XSPEC's units (see `models`).
        bounds: of the shape parameter.
        photons: photons/cm²/s per bin of (edges, shape values) for unit normalisation; takes
            `norm=` and `redshift=`.
        logarithmic: step through the shape in its logarithm.
        linear: the model itself interpolates linearly between the temperatures of a table.
    """

    name: str
    shape_name: str
    norm_name: str
    bounds: tuple[float, float]
    photons: Callable[..., NDArray]
    logarithmic: bool = True
    linear: bool = False

    def to_internal(self, shape: NDArray) -> NDArray:
        """Return the fit's coordinate of a shape value."""
        return np.log(shape) if self.logarithmic else np.asarray(shape, dtype=np.float64)

    def to_shape(self, internal: NDArray) -> NDArray:
        """Return the shape value at the fit's coordinate."""
        return np.exp(internal) if self.logarithmic else internal

    def at_redshift(self, redshift: float) -> ModelDefinition:
        """Return the same model of a source at a redshift."""
        return replace(self, photons=partial(self.photons, redshift=redshift)) if redshift else self


# Temperatures: the table's own for the plasma; for the others as wide as the catalogue's values,
# with its limit of 100 keV for bremsstrahlung. Γ stops at 10, as the catalogue's does.
_PLASMA = models.plasma_temperatures()
_TEMPERATURES = (0.03, 100.0)
MODELS = {
    definition.name: definition
    for definition in (
        ModelDefinition(
            "powlaw", "gamma", "ampl", (-4.0, 10.0), models.power_law, logarithmic=False
        ),
        ModelDefinition("bb", "kt", "ampl", _TEMPERATURES, models.black_body),
        ModelDefinition("brems", "kt", "norm", _TEMPERATURES, models.bremsstrahlung),
        ModelDefinition(
            "apec", "kt", "norm", (_PLASMA[0], _PLASMA[-1]), models.thermal_plasma, linear=True
        ),
        ModelDefinition("diskbb", "kt", "norm", _TEMPERATURES, models.disk_black_body),
    )
}
NORM_UNITS = {"powlaw": "ph keV-1 cm-2 s-1"}


def model_definitions(names: Sequence[str]) -> list[ModelDefinition]:
    """Return the models of these names. Raises ValueError for an unknown one, or none at all."""
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in MODELS:
            raise ValueError(f"model {name!r} is unknown: {', '.join(MODELS)}")
    if not wanted:
        raise ValueError(f"no model to fit: give some of {', '.join(MODELS)}")
    return [MODELS[name] for name in wanted]


def column_to_internal(column: NDArray) -> NDArray:
    """Return the fit's coordinate of a column in 1e22 cm⁻²: linear near zero, then logarithmic."""
    return np.log1p(column / COLUMN_SCALE)


def column_from_internal(internal: NDArray) -> NDArray:
    """Return the column density in 1e22 cm⁻² at the fit's coordinate."""
    return COLUMN_SCALE * np.expm1(internal)


class TabulatedModel:
    """Spectral model tabulated on the energies of one response.

    Args:
        definition: which model.
        edges: (n + 1,) keV, the response's energies.

    Between tabulated shapes ln(photons) is a cubic (relative error below 1e-4, and below 1e-6 where
    the photons are); the plasma is linear between its own temperatures, as `thermal_plasma` is. The
    transmission's mean over a bin is exp(−N_H ⟨σ⟩ + N_H² var(σ)/2), ⟨σ⟩ and var(σ) over the bin.
    """

    def __init__(self, definition: ModelDefinition, edges: NDArray) -> None:
        self.definition = definition
        low, high = definition.to_internal(np.asarray(definition.bounds))
        self.step: float | None
        if definition.linear:
            self.nodes = np.log(_PLASMA)
            self.step = None
            table = definition.photons(edges, _PLASMA)
        else:
            self.step = 0.05 if definition.logarithmic else 0.25  # of ln kT, of Γ
            # One node more on both sides for the cubic.
            n_nodes = int(np.ceil((high - low) / self.step)) + 4
            self.nodes = low + self.step * (np.arange(n_nodes) - 1)
            photons = definition.photons(edges, definition.to_shape(self.nodes))
            table = np.log(np.maximum(photons, 1e-300))
        self.lower = torch.tensor([low, 0.0], dtype=torch.float64)
        largest = float(column_to_internal(np.asarray(LARGEST_COLUMN)))
        self.upper = torch.tensor([high, largest], dtype=torch.float64)
        self._table = torch.from_numpy(np.ascontiguousarray(table))
        self._torch_nodes = torch.from_numpy(self.nodes)
        mean, variance = _cross_section_moments(edges)
        self._sigma, self._variance = torch.from_numpy(mean), torch.from_numpy(variance)

    def photons(self, point: Tensor, slopes: bool = True) -> tuple[Tensor, Tensor]:
        """Return photons for unit normalisation, scaled so that the largest bins stay near 1.

        Args:
            point: (N, 2) the fit's coordinates: shape and column.
            slopes: also give the derivatives by the two coordinates.

        Returns:
            (N, 3, n) photons, their slopes by shape and by column ((N, 1, n) without slopes), and
            (N,) the logarithm of what they were divided by.
        """
        shape, internal = point[:, 0], point[:, 1]
        column = COLUMN_SCALE * torch.expm1(internal)[:, None]
        left, weights, weight_slopes = self._weights(shape)
        emitted = _weighted_rows(self._table, left, weights)
        # In place from here on: these arrays are most of a fit's memory traffic.
        result = torch.empty(len(point), 3 if slopes else 1, len(self._sigma), dtype=torch.float64)
        photons = result[:, 0]
        if self.definition.linear:
            shift = torch.zeros_like(shape)
            passing = self._absorption(column).exp_()
            torch.mul(emitted, passing, out=photons)
        else:
            exponent = emitted.add_(self._absorption(column))
            shift = exponent.amax(dim=1)
            torch.sub(exponent, shift[:, None], out=photons).exp_()
        if slopes:
            by_shape = _weighted_rows(self._table, left, weight_slopes)
            torch.mul(by_shape, passing if self.definition.linear else photons, out=result[:, 1])
            torch.mul(column, self._variance, out=result[:, 2]).sub_(self._sigma)
            result[:, 2].mul_(column + COLUMN_SCALE).mul_(photons)
        return result, shift

    def _absorption(self, column: Tensor) -> Tensor:
        """Return (N, n) ln of the mean transmission of each bin."""
        depth = column * self._sigma
        spread = (0.5 * column.square()) * self._variance
        # The mean of exp(−N_H σ) cannot be above exp(−N_H min σ): where a bin straddles an edge of
        # the cross-section and next to nothing comes through, the second term is cut.
        return torch.minimum(spread, 0.5 * depth, out=spread).sub_(depth)

    def samples(self) -> Tensor:
        """Return (K, 2) points of the box, so close that their photons span all others'."""
        inside = (self._torch_nodes >= self.lower[0]) & (self._torch_nodes <= self.upper[0])
        columns = torch.linspace(0.0, float(self.upper[1]), 40, dtype=torch.float64)
        return torch.cartesian_prod(self._torch_nodes[inside], columns)

    def _weights(self, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first table row that counts, the weights from it on, and their slopes."""
        if self.step is None:
            last = len(self.nodes) - 2
            left = torch.bucketize(shape.contiguous(), self._torch_nodes, right=True) - 1
            left = left.clamp(0, last)
            low, high = self._torch_nodes[left], self._torch_nodes[left + 1]
            part = (shape - low) / (high - low)
            slope = 1.0 / (high - low)
            return left, torch.stack([1.0 - part, part], 1), torch.stack([-slope, slope], 1)
        position = (shape - self.nodes[0]) / self.step
        left = position.floor().long().clamp(1, len(self.nodes) - 3)
        t = position - left
        slopes = [
            -(3 * t * t - 6 * t + 2) / 6,
            (3 * t * t - 4 * t - 1) / 2,
            -(3 * t * t - 2 * t - 2) / 2,
            (3 * t * t - 1) / 6,
        ]
        return left - 1, torch.stack(cubic_weights(t), 1), torch.stack(slopes, 1) / self.step


def _weighted_rows(table: Tensor, first: Tensor, weights: Tensor) -> Tensor:
    """Return (N, n): for each of N, the weighted sum of neighbouring rows of the table."""
    rows = first[:, None] + torch.arange(weights.shape[1])
    return torch.nn.functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")


def _cross_section_moments(edges: NDArray) -> tuple[NDArray, NDArray]:
    """Return mean and variance of the cross-section (1e-22 cm²) over each bin, by Gauss's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    sigma = models.photoelectric_cross_section(middle + nodes[:, None] * half)
    mean = weights @ sigma / 2
    return mean, weights @ (sigma - mean) ** 2 / 2
