"""Power laws."""

from __future__ import annotations

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
        ValueError: for edges that do not rise from above 0, an infinite index, or z ≤ −1.
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
    """Return a cut-off power law, `norm` · E^(−Γ) exp(−E/E_c) (XSPEC's `cutoffpl`).

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
        ValueError: for bad edges, an infinite index, E_c ≤ 0, or z ≤ −1.
    """
    grid = check_edges(edges)
    check_parameters(
        finite=[("photon_index", photon_index)], positive=[("cutoff", cutoff)], redshift=redshift
    )

    def log_slow(energy: Array, slope: Array, redshift: Array) -> Array:
        return -slope * np.log(energy * (1.0 + redshift))

    return integrate_decay(grid, (photon_index, redshift), log_slow, cutoff, redshift, norm)
