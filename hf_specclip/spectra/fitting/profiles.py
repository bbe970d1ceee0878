"""Fit of one or two components behind one column of gas, with confidence limits.

`engine` fits the catalogue's models to many spectra at once. Here a sum of components is fitted to
one spectrum, optionally with a fixed column. The limits of a quantity (a parameter, normalisation
or flux) are where the statistic, minimised over all other parameters, has risen by 1 (Avni 1976,
ApJ 210, 642).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .engine import SpectraBatch
from .models import ModelDefinition, TabulatedModel, column_to_internal

ERG_PER_KEV = 1.602176634e-9
# Widest bin of a flux's integral, in ln E: the energy of its photons is good to 1e-3 for a line.
_FLUX_STEP = 0.002
# Shapes, columns (1e22 cm⁻²) and shares of the first component that minimisations start from.
_START_SHAPES = 8
_START_COLUMNS = (0.0, 0.03, 0.2, 1.0, 4.0, 20.0)
_START_SHARES = (0.05, 0.3, 0.7, 0.95)
_STARTS = 6
# Counts of a component, as a share of all, that stand for none.
_NONE = 1e-6
_LONGEST_STEP = 1.2
_TINY = 1e-30


# Point of a fit with K components, (2K + 1,): shapes and column as `TabulatedModel` has them, then
# the counts that each component leaves in the groups.
Coordinates = NDArray[np.float64]
# Maps a point to a value that grows with the quantity, and its slope (2K + 1,).
Quantity = Callable[[Coordinates], tuple[float, NDArray[np.float64]]]


class SumOfComponents:
    """Sum of K components behind one column, folded to the groups of one spectrum.

    Args:
        batch: the spectrum, as a batch of one.
        edges: (n + 1,) keV, the energies of the batch's response.
        definitions: of the components, K of them.
        column: 1e22 cm⁻², held there; None leaves it free.
    """

    def __init__(
        self,
        batch: SpectraBatch,
        edges: NDArray[np.float64],
        definitions: Sequence[ModelDefinition],
        column: float | None = None,
    ) -> None:
        self.batch, self.definitions = batch, list(definitions)
        self.models = [TabulatedModel(definition, edges) for definition in definitions]
        self.held = None if column is None else float(column_to_internal(np.asarray(column)))
        n = len(self.models)
        bounds = [(float(model.lower[0]), float(model.upper[0])) for model in self.models]
        largest = float(self.models[0].upper[1])
        bounds.append((0.0, largest) if self.held is None else (self.held, self.held))
        data = batch.statistic
        flat = batch.fold(torch.ones(1, 1, len(edges) - 1, dtype=torch.float64))
        total = float((data.normalisation(flat)[..., None] * flat).sum())
        self.total = max(total, 1.0)
        bounds += [(_NONE * self.total, 1e3 * self.total)] * n
        self.lower, self.upper = np.array(bounds).T
        # A point is asked for by the statistic, by a pull on it, and by the next minimisation.
        self._unit_at = lru_cache(maxsize=16)(
            lambda k, *at: self.unit(k, torch.tensor([at], dtype=torch.float64))
        )

    def unit(self, component: int, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (P, 3, G) counts of a component and their slopes, scaled to 1 count in all,
        (P, 3) sums before that, and (P,) ln of the scale, at (P, 2) points.
        """
        photons, shift = self.models[component].photons(points)
        folded = self.batch.fold(photons.reshape(1, -1, photons.shape[-1]))
        folded = folded.reshape(len(points), 3, -1)
        folded[:, 0].clamp_(min=0.0)
        sums = folded.sum(-1)
        whole = sums[:, :1, None].clamp(min=_TINY)
        share = folded[:, :1] / whole
        slopes = folded[:, 1:] / whole - share * (sums[:, 1:, None] / whole)
        return torch.cat([share, slopes], 1), sums, shift

    def unit_at(self, component: int, point: Coordinates) -> tuple[Tensor, ...]:
        """Return `unit` of a component at a point."""
        return self._unit_at(component, float(point[component]), float(point[len(self.models)]))

    def evaluate(self, point: Coordinates) -> tuple[float, NDArray, NDArray]:
        """Return the statistic, its gradient (2K + 1,) and expected curvature."""
        n = len(self.models)
        unit = torch.stack([self.unit_at(k, point)[0][0] for k in range(n)])  # (K, 3, G)
        scaled = unit * torch.tensor(point[n + 1 :])[:, None, None]
        value, slope, curvature = self.batch.statistic.terms(scaled[:, 0].sum(0)[None, None])
        jacobian = torch.cat([scaled[:, 1], scaled[:, 2].sum(0)[None], unit[:, 0]])
        weighted = jacobian * curvature[0]
        gradient, bend = jacobian @ slope[0, 0], weighted @ jacobian.T
        return float(value[0, 0]), gradient.numpy(), bend.numpy()

    def norm(self, component: int, point: Coordinates) -> tuple[float, NDArray]:
        """Return the logarithm of a component's normalisation, and its slope (a `Quantity`)."""
        n, (_, sums, shift) = len(self.models), self.unit_at(component, point)
        counts, slope = float(point[n + 1 + component]), np.zeros(len(point))
        slope[component] = -float(sums[0, 1] / sums[0, 0])
        slope[n] = -float(sums[0, 2] / sums[0, 0])
        slope[n + 1 + component] = 1.0 / counts
        return np.log(counts / float(sums[0, 0])) - float(shift[0]), slope

    def coordinate(self, index: int, point: Coordinates) -> tuple[float, NDArray]:
        """Return a shape or the column itself, and its slope (a `Quantity`)."""
        return float(point[index]), np.eye(len(point))[index]

    def starts(self) -> list[Coordinates]:
        """Return the most promising points of a coarse grid, each of another column or share."""
        n = len(self.models)
        columns = column_to_internal(np.asarray(_START_COLUMNS))
        columns = columns if self.held is None else np.array([self.held])
        shapes = [_start_shapes(definition) for definition in self.definitions]
        units = []
        for k in range(n):
            grid = torch.cartesian_prod(torch.from_numpy(shapes[k]), torch.from_numpy(columns))
            units.append(self.unit(k, grid)[0][:, 0].reshape(len(shapes[k]), len(columns), -1))
        best: list[tuple[float, Coordinates]] = []
        shares = ((1.0,),) if n == 1 else tuple((share, 1.0 - share) for share in _START_SHARES)
        for j, share in product(range(len(columns)), shares):
            model = share[0] * units[0][:, j]
            if n == 2:
                model = (model[:, None] + share[1] * units[1][None, :, j]).flatten(0, 1)
            factor = self.batch.statistic.normalisation(model[None])
            value = self.batch.statistic.terms(factor[..., None] * model[None])[0][0]
            index = int(value.argmin())
            chosen = np.unravel_index(index, [len(each) for each in shapes])
            counts = [part * float(factor[0, index]) for part in share]
            values = [shapes[k][chosen[k]] for k in range(n)] + [columns[j], *counts]
            point = np.clip(np.array(values, dtype=np.float64), self.lower, self.upper)
            best.append((float(value[index]), point))
        best.sort(key=lambda item: item[0])
        return [point for _, point in best[:_STARTS]]


def band_fluxes(components: SumOfComponents, low: float, high: float) -> tuple[Quantity, Quantity]:
    """Return ln of the flux at low–high keV, erg/cm²/s: at Earth, and without the absorbing gas."""
    edges = np.geomspace(low, high, int(np.ceil(np.log(high / low) / _FLUX_STEP)) + 1)
    energy = torch.from_numpy(ERG_PER_KEV * (edges[1:] + edges[:-1]) / 2)
    models = [TabulatedModel(definition, edges) for definition in components.definitions]
    n = len(models)

    def quantity(absorbed: bool, point: Coordinates) -> tuple[float, NDArray]:
        slope, total = np.zeros(len(point)), 0.0
        for k, model in enumerate(models):
            log_norm, norm_slope = components.norm(k, point)
            at = torch.tensor([[point[k], point[n] if absorbed else 0.0]], dtype=torch.float64)
            photons, shift = model.photons(at)
            flux, by_shape, by_column = (photons[0] @ energy).tolist()
            factor = float(np.exp(log_norm + float(shift[0])))
            total += factor * flux
            slope += factor * flux * norm_slope
            slope[k] += factor * by_shape
            slope[n] += factor * by_column if absorbed else 0.0
        return float(np.log(total)), slope / total

    return partial(quantity, True), partial(quantity, False)


@dataclass(frozen=True)
class Pull:
    """Penalty that draws a quantity to a target: weight · (quantity − target)²."""

    quantity: Quantity
    target: float
    weight: float


def minimise_from(
    components: SumOfComponents,
    start: Coordinates,
    pull: Pull | None = None,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
) -> tuple[Coordinates, float, NDArray[np.float64]]:
    """Minimise by Levenberg–Marquardt inside the bounds.

    Args:
        components: the model and the data.
        start: where to begin.
        pull: on a quantity. Whatever its weight, the statistic is then at its lowest for the value
            that the quantity takes.
        tolerance: smallest decrease of the statistic that is worth a step.

    Returns:
        The point, its statistic (without the penalty), and the curvature.
    """

    def evaluate(point: Coordinates) -> tuple[float, float, NDArray, NDArray]:
        value, gradient, curvature = components.evaluate(point)
        if pull is None:
            return value, value, gradient, curvature
        at, slope = pull.quantity(point)
        away = at - pull.target
        return (
            value,
            value + pull.weight * away**2,
            gradient + 2.0 * pull.weight * away * slope,
            curvature + 2.0 * pull.weight * np.outer(slope, slope),
        )

    point, damping = start, 1e-4
    statistic, value, gradient, curvature = evaluate(point)
    for _ in range(max_iterations):
        step = _box_step(components, point, gradient, curvature, damping)
        expected = -(gradient @ step) - 0.5 * step @ curvature @ step
        # A step that damping has made tiny ends the search too (at a kink of the plasma's table).
        if expected <= tolerance * (1.0 if damping < 1.0 else 0.1):
            break
        trial = np.clip(point + step, components.lower, components.upper)
        found = evaluate(trial)
        if found[1] < value:
            point, (statistic, value, gradient, curvature) = trial, found
            damping = max(damping / 10.0, 1e-9)
        elif damping > 1e9:
            break
        else:
            damping = max(10.0 * damping, 0.1)
    return point, statistic, curvature


def _box_step(
    components: SumOfComponents,
    point: Coordinates,
    gradient: NDArray[np.float64],
    curvature: NDArray[np.float64],
    damping: float,
) -> NDArray[np.float64]:
    """Return the damped step; coordinates that would leave the box stop at its side."""
    n = len(components.models)
    low, high = components.lower - point, components.upper - point
    low[: n + 1] = np.maximum(low[: n + 1], -_LONGEST_STEP)
    high[: n + 1] = np.minimum(high[: n + 1], _LONGEST_STEP)
    diagonal = np.diag(curvature)
    # Relative to each coordinate's own scale: counts and indices differ by orders of magnitude.
    scale = np.sqrt(np.maximum(diagonal, _TINY))
    matrix = curvature / np.outer(scale, scale)
    matrix += np.diag(np.full(len(scale), damping + 1e-12))
    step = np.zeros(len(scale))
    free = ~((low >= 0) & (gradient > 0)) & ~((high <= 0) & (gradient < 0)) & (high > low)
    for _ in range(len(scale)):
        right = -gradient / scale - matrix @ np.where(free, 0.0, step * scale)
        step[free] = np.linalg.solve(matrix[np.ix_(free, free)], right[free]) / scale[free]
        outside = free & ((step < low) | (step > high))
        if not outside.any():
            break
        step[outside] = np.clip(step, low, high)[outside]
        free &= ~outside
    return step


def limits_of(
    components: SumOfComponents, best: Coordinates, floor: float, quantity: Quantity
) -> tuple[float | None, float | None]:
    """Return the limits of a quantity, where the statistic has risen by 1 over its minimum.

    Args:
        components: the model and the data.
        best, floor: the minimum, and its statistic.
        quantity: of a point.

    Returns:
        Lower and upper limit; None where a bound is met first.
    """
    centre, slope = quantity(best)
    curvature = components.evaluate(best)[2]
    free = (best > components.lower) & (best < components.upper)
    width = 0.0
    if free.any():
        scale = np.sqrt(np.maximum(np.diag(curvature)[free], _TINY))
        matrix = curvature[np.ix_(free, free)] / np.outer(scale, scale) + 1e-9 * np.eye(free.sum())
        inner = slope[free] / scale
        width = float(np.sqrt(2.0 * inner @ np.linalg.solve(matrix, inner)))
    width = min(max(width, 1e-4), 2.0) if width else 1.0

    def search(sign: float) -> float | None:
        distance, point = width, best
        inner, outer = (0.0, -1.0), (np.inf, np.nan)
        for _ in range(30):
            pull = Pull(quantity, centre + sign * distance, 30.0 / width**2)
            point, statistic, _ = minimise_from(components, point, pull, tolerance=1e-4)
            reached = sign * (quantity(point)[0] - centre)
            rise = np.sqrt(max(statistic - floor, 0.0)) - 1.0
            if abs(rise) < 0.005:
                return centre + sign * reached / (1.0 + rise)
            if rise < 0 and reached < 0.7 * distance:  # a bound holds it back
                return None
            if rise < 0:
                inner = (reached, rise)
            else:
                outer = (reached, rise)
            if np.isfinite(outer[0]):
                share = -inner[1] / (outer[1] - inner[1])
                distance = inner[0] + np.clip(share, 0.05, 0.95) * (outer[0] - inner[0])
            else:
                distance = reached * float(np.clip(1.0 / (1.0 + rise + 1e-9), 1.1, 3.0))
            if distance > 60.0:
                return None
        return centre + sign * distance

    return search(-1.0), search(1.0)


def _start_shapes(definition: ModelDefinition) -> NDArray[np.float64]:
    """Return shapes that a search begins at, where spectra are usually found."""
    low, high = definition.bounds
    usual = (0.06, 30.0) if definition.logarithmic else (-1.0, 8.0)
    ends = np.array([max(low, usual[0]), min(high, usual[1])])
    first, last = definition.to_internal(ends)
    return np.linspace(first, last, _START_SHAPES)
