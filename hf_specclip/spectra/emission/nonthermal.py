"""Power laws and lines."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from .grid import Array, check_edges, check_parameters, in_rows, integrate_decay


def power_law(
    edges: ArrayLike,
    photon_index: ArrayLike,
    norm: ArrayLike = 1.0,
    *,
    redshift: ArrayLike = 0.0,
) -> Array:
    """Return a power law, `norm` · E^(−Γ), in closed form (XSPEC's `powerlaw`, `zpowerlw`).

    Args:
        edges: bin edges (n + 1,), keV, rising and positive.
        photon_index: Γ, shape S.
        norm: photons/keV/cm²/s at 1 keV in the source's frame, shape S.
        redshift: E becomes E (1 + z), shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for edges that do not rise from a positive energy, an index that is not finite,
            or a redshift of −1 and below.
    """
    grid = check_edges(edges)
    check_parameters(finite=[("photon_index", photon_index)], redshift=redshift)
    log_low, step = np.log(grid[:-1]), np.diff(np.log(grid))

    def rows(slope: Array, norm: Array, redshift: Array) -> Array:
        exponent = (1.0 - slope) * step
        # expm1(x)/x keeps its digits through Γ = 1, where the closed form reads 0/0.
        small = np.abs(exponent) < 1e-8
        ratio = np.expm1(exponent) / np.where(small, 1.0, exponent)
        ratio = np.where(small, 1.0 + exponent / 2, ratio)
        scale = norm * (1.0 + redshift) ** -slope
        return scale * np.exp((1.0 - slope) * log_low) * step * ratio

    return in_rows(rows, (photon_index, norm, redshift), len(step), len(step))


def cutoff_power_law(
    edges: ArrayLike,
    photon_index: ArrayLike,
    cutoff: ArrayLike,
    norm: ArrayLike = 1.0,
    *,
    redshift: ArrayLike = 0.0,
) -> Array:
    """Return a power law with exponential cut-off, `norm` · E^(−Γ) exp(−E/E_c) (XSPEC's
    `cutoffpl`).

    Args:
        edges: bin edges (n + 1,), keV.
        photon_index: Γ, shape S.
        cutoff: E_c, keV in the source's frame, shape S.
        norm: photons/keV/cm²/s at 1 keV without the cut-off, shape S.
        redshift: E becomes E (1 + z), shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,). The integral over the bin is a Gauss–Legendre rule, good to
        1e-6 up to 20 E_c.

    Raises:
        ValueError: for bad edges, an index that is not finite, a cut-off that is not positive, or a
            redshift of −1 and below.
    """
    grid = check_edges(edges)
    check_parameters(
        finite=[("photon_index", photon_index)], positive=[("cutoff", cutoff)], redshift=redshift
    )

    def log_slow(energy: Array, slope: Array, _: Array, redshift: Array) -> Array:
        return -slope * np.log(energy * (1.0 + redshift))

    def decay(_: Array, cutoff: Array, redshift: Array) -> Array:
        return (1.0 + redshift) / cutoff

    photons = integrate_decay(grid, (photon_index, cutoff, redshift), log_slow, decay)
    return np.asarray(norm, dtype=np.float64)[..., None] * photons


def gaussian_line(
    edges: ArrayLike,
    energy: ArrayLike,
    width: ArrayLike,
    norm: ArrayLike = 1.0,
    *,
    redshift: ArrayLike = 0.0,
) -> Array:
    """Return a Gaussian emission line, in closed form (XSPEC's `gaussian`, `zgauss`).

    Args:
        edges: bin edges (n + 1,), keV.
        energy: of the line in the source's frame, keV (neutral iron's Kα: 6.4), shape S.
        width: σ of the line in the source's frame, keV; 0 puts all photons into one bin. Shape S.
        norm: photons/cm²/s in the line before they are spread over a time longer by 1 + z, shape S.
        redshift: shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for bad edges, an energy that is not positive, a negative width, or a redshift
            of −1 and below.
    """
    grid = check_edges(edges)
    check_parameters(
        positive=[("energy", energy)], not_negative=[("width", width)], redshift=redshift
    )

    def rows(energy: Array, width: Array, norm: Array, redshift: Array) -> Array:
        away = (grid * (1.0 + redshift) - energy) / np.maximum(width, 1e-9 * energy)
        # Both tails by themselves, so that neither is a small difference of numbers near 1.
        tail = np.copysign(_gaussian_tail(np.abs(away)), away)
        share = tail[:, :-1] - tail[:, 1:]
        share += (away[:, :-1] < 0.0) & (away[:, 1:] >= 0.0)
        return norm / (1.0 + redshift) * share

    return in_rows(rows, (energy, width, norm, redshift), len(grid) - 1, len(grid))


# Nodes of the normal distribution's tail, per σ. Beyond 38 σ it is below the smallest number.
_TAIL_NODES = 16
_TAIL_END = 38.0


def _gaussian_tail(x: Array) -> Array:
    """Return the normal tail beyond x σ, x ≥ 0, by Taylor's series from the nearest node.

    Good to 1e-12 of itself within 8 σ, and to 1e-16 of the whole everywhere.
    """
    tails, densities = _tail_nodes()
    index = np.rint(np.minimum(x, _TAIL_END) * _TAIL_NODES).astype(np.intp)
    node = index / _TAIL_NODES
    d = np.minimum(x, _TAIL_END) - node
    square = node * node
    # Hermite's polynomials of the node, order 1 to 5.
    series = d**6 / 720 * -node * (square * (square - 10.0) + 15.0)
    series += d**5 / 120 * (square * (square - 6.0) + 3.0)
    series -= d**4 / 24 * node * (square - 3.0)
    series += d**3 / 6 * (square - 1.0)
    series += d - d**2 / 2 * node
    return np.maximum(tails[index] - densities[index] * series, 0.0)


@cache
def _tail_nodes() -> tuple[Array, Array]:
    nodes = np.arange(round(_TAIL_END * _TAIL_NODES) + 1) / _TAIL_NODES
    tails = np.array([math.erfc(node / math.sqrt(2.0)) / 2 for node in nodes])
    return tails, np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
