"""Aperture photometry as in the catalogue: posteriors of fluxes, hardness ratios, significance.

Counts in the aperture are Poisson with source and background, counts in the background region
Poisson with background alone. With flat priors, the background is marginalised, and the rest is a
posterior of source counts on a grid (Primini & Kashyap 2014, ApJ 796, 24). A hardness ratio's
posterior follows from those of two bands (Park et al. 2006, ApJ 652, 610); the catalogue gives its
mode, and the smallest interval that holds 68 % of it (Evans et al. 2010, ApJS 189, 37).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Nodes of a posterior; the range covers 6 σ on either side, so a step is a sixth of σ.
_NODES = 72
# Nodes, each side, of the integral over the narrower of two posteriors.
_HALF = 12
_LEVEL = 0.6827
# The catalogue's 68 % limits of fluxes are wider than those of this posterior by as much, at all
# brightnesses (`specclip dataset columns`); we take its grid of fluxes to be the reason.
_WIDER_LIMITS = 1.07
# Gauss–Hermite rule for the background's posterior.
_NORMALS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)


@dataclass(frozen=True)
class Band:
    """Counts in one energy band, arrays (n)."""

    counts: np.ndarray  # in the aperture
    background: np.ndarray  # in the background region
    scale: np.ndarray  # background-region counts times this are aperture counts
    flux_per_count: np.ndarray  # photons/cm²/s for one count in the aperture

    @cached_property
    def log_flux(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the posterior of ln(flux) on even nodes: the first, (n), their distance, (n),
        and the density
        """
        low, high = np.log(_reach(self))
        step = (high - low) / (_NODES - 1)
        grid = low[:, None] + step[:, None] * np.arange(_NODES)
        density = log_likelihood(self, np.exp(grid)) + grid
        density = np.exp(density - density.max(axis=1, keepdims=True))
        return low + np.log(self.flux_per_count), step, density


def log_likelihood(band: Band, source_counts: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of source counts in the aperture, (n, k), up to a constant for each
    band, marginalised over the background.
    """
    # The background's posterior is a gamma distribution; its quantiles by Wilson & Hilferty (1931).
    shape = band.background + 1.0
    cube = 1.0 - 1.0 / (9.0 * shape[:, None]) + _NORMALS / (3.0 * np.sqrt(shape[:, None]))
    behind = (band.scale * shape)[:, None] * np.maximum(cube, 0.02) ** 3
    counts = band.counts[:, None]
    best = np.maximum(counts - (band.scale * band.background)[:, None], 0.5)
    best += (band.scale * shape)[:, None]
    top = counts * np.log(best) - best
    total = np.zeros(source_counts.shape)
    for weight, level in zip(_WEIGHTS, behind.T, strict=True):
        expected = source_counts + level[:, None]
        total += weight * np.exp(np.minimum(counts * np.log(expected) - expected - top, 600.0))
    return np.log(np.maximum(total, 1e-300))


def _reach(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Return source counts below and above which a posterior is negligible, (n) each."""
    net = band.counts - band.scale * band.background
    sigma = np.sqrt(band.counts + band.scale**2 * band.background + 1.0)
    high = np.maximum(net, 0.0) + 6.0 * sigma + 6.0
    return np.maximum(net - 6.0 * sigma, 2e-4 * high), high


def flux_significance(band: Band) -> np.ndarray:
    """Return the mode of the flux's posterior over half of the catalogue's 68 % interval, (n)."""
    low, high = _reach(band)
    low = np.where(low < 0.01 * high, 0.0, low)
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, 3 * _NODES)
    log_density = log_likelihood(band, np.maximum(grid, 1e-9))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    mode, lower, upper = _mode_and_limits(grid, density, density)
    return 2.0 * mode / np.maximum(_WIDER_LIMITS * (upper - lower), 1e-12)


def hardness_ratio(hard: Band, soft: Band) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (F_hard − F_soft) / (F_hard + F_soft) of photon fluxes.

    With u = ln(F_hard / F_soft) the ratio is tanh(u / 2), and the posterior of u is the correlation
    of those of ln F_hard and ln F_soft.

    Returns:
        Mode of the posterior, and lower and upper end of the smallest interval with 68 % of it; nan
        if neither band has a count.
    """
    tables = (hard.log_flux, soft.log_flux)
    # The narrower posterior is the one summed over: the other way its peaks would make a comb.
    swap = tables[0][1] < tables[1][1]
    wide, narrow = (
        [np.where(swap if one.ndim == 1 else swap[:, None], other, one) for one, other in pairs]
        for pairs in (zip(*tables, strict=True), zip(*tables[::-1], strict=True))
    )
    low, step, density = wide
    middle = narrow[0] + narrow[1] * (_NODES - 1) / 2.0
    # Nodes of the narrow one lie whole steps of the wide one's grid apart: sums are gathers.
    stride = np.maximum(1, np.ceil(narrow[1] * (_NODES - 1) / 2.0 / (_HALF * step))).astype(int)
    offsets = np.arange(-_HALF, _HALF + 1) * stride[:, None]
    place = (offsets * step[:, None]) / narrow[1][:, None] + (_NODES - 1) / 2.0
    weights = _interpolate(narrow[2], place)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    # Node i of the result is ln F_wide − ln F_narrow = low + i·step − middle.
    reach = _NODES // 2
    padded = np.zeros((len(density), _NODES + 4 * reach))
    padded[:, 2 * reach : 2 * reach + _NODES] = density
    nodes = np.arange(-reach, _NODES + reach)
    total = np.zeros((len(density), len(nodes)))
    # Each row's nodes are neighbours: one copy of a piece, not a gather of numbers.
    pieces = np.lib.stride_tricks.sliding_window_view(padded, len(nodes), axis=1)
    first, rows = reach + np.clip(offsets, -reach, reach), np.arange(len(density))
    for column in range(2 * _HALF + 1):
        total += weights[:, column, None] * pieces[rows, first[:, column]]
    u = (low - middle)[:, None] + step[:, None] * nodes
    u = np.where(swap[:, None], -u, u)
    order = np.where(swap, -1, 1)
    flipped = order < 0
    u[flipped], total[flipped] = u[flipped, ::-1], total[flipped, ::-1]
    ratio = np.tanh(u / 2.0)
    # Density of the ratio: that of u over dh/du = (1 − h²)/2, written without a difference.
    jacobian = 2.0 * np.cosh(np.clip(u / 2.0, -300.0, 300.0)) ** 2
    mode, lower, upper = _mode_and_limits(ratio, total * jacobian, total)
    known = (hard.counts + soft.counts) > 0
    return tuple(np.where(known, values, np.nan) for values in (mode, lower, upper))


def catalogue_columns(bands: Mapping[str, Band]) -> dict[str, np.ndarray]:
    """Return `flux_significance_b` and the hardness ratios with limits, (n) by column.

    Bands are `b`, `s`, `m` and `h`.
    """
    columns = {"flux_significance_b": flux_significance(bands["b"])}
    for hard, soft in ("hm", "hs", "ms"):
        ratio = hardness_ratio(bands[hard], bands[soft])
        for end, values in zip(("", "_lolim", "_hilim"), ratio, strict=True):
            columns[f"hard_{hard}{soft}{end}"] = values
    return columns


def _interpolate(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Interpolate rows of a table (n, k) at fractional positions (n, m), zero outside."""
    inside = (place >= 0.0) & (place <= table.shape[1] - 1)
    index = np.clip(place.astype(int), 0, table.shape[1] - 2)
    part = place - index
    values = (1.0 - part) * np.take_along_axis(table, index, axis=1)
    values += part * np.take_along_axis(table, index + 1, axis=1)
    return np.where(inside, values, 0.0)


def _mode_and_limits(
    grid: np.ndarray, density: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mode and the smallest interval that holds 68 % of the mass.

    Args:
        grid: nodes in rising order, (n, k).
        density: per unit of the grid's variable, (n, k).
        mass: in each node, up to a factor, (n, k).
    """
    n, k = grid.shape
    rows = np.arange(n)
    top = density.argmax(axis=1)
    inner = np.clip(top, 1, k - 2)
    left, middle, right = (density[rows, inner + shift] for shift in (-1, 0, 1))
    curvature = left - 2.0 * middle + right
    shift = np.where(
        curvature < 0.0, 0.5 * (left - right) / np.where(curvature == 0.0, 1.0, curvature), 0.0
    )
    # A parabola through three nodes, in units of the node; the ends of the grid are ends.
    shift = np.where(top == inner, np.clip(shift, -0.5, 0.5), 0.0)
    side = np.where(shift < 0.0, -1, 1)
    mode = grid[rows, top]
    mode = mode + np.abs(shift) * (grid[rows, np.clip(top + side, 0, k - 1)] - mode)

    order = np.argsort(-density, axis=1, kind="stable")
    ordered = np.take_along_axis(density, order, axis=1)
    within = np.take_along_axis(mass, order, axis=1)
    # Down to the density of a node, half of that node's own mass is inside.
    held = np.cumsum(within, axis=1) - within / 2.0
    wanted = _LEVEL * within.sum(axis=1)
    number = np.clip((held < wanted[:, None]).sum(axis=1), 1, k - 1)
    gained = held[rows, number] - held[rows, number - 1]
    part = np.clip((wanted - held[rows, number - 1]) / np.maximum(gained, 1e-300), 0.0, 1.0)
    level = (1.0 - part) * ordered[rows, number - 1] + part * ordered[rows, number]
    above = density >= level[:, None]
    first, last = above.argmax(axis=1), k - 1 - above[:, ::-1].argmax(axis=1)
    return (
        mode,
        np.minimum(_crossing(grid, density, level, first, -1), mode),
        np.maximum(_crossing(grid, density, level, last, 1), mode),
    )


def _crossing(
    grid: np.ndarray, density: np.ndarray, level: np.ndarray, node: np.ndarray, side: int
) -> np.ndarray:
    """Return the position at which the density falls through a level beyond a node, linearly."""
    rows, beyond = np.arange(len(grid)), np.clip(node + side, 0, grid.shape[1] - 1)
    inside, outside = density[rows, node], density[rows, beyond]
    part = np.where(
        inside > outside, (inside - level) / np.where(inside > outside, inside - outside, 1.0), 0.0
    )
    return grid[rows, node] + np.clip(part, 0.0, 1.0) * (grid[rows, beyond] - grid[rows, node])
