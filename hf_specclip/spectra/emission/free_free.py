"""Thermal bremsstrahlung with the exact non-relativistic Gaunt factor."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from .grid import Array, check_edges, check_parameters, cubic_taps, integrate_decay, read_table

RYDBERG = 0.0136056931  # keV


def bremsstrahlung(
    edges: ArrayLike,
    kt: ArrayLike,
    norm: ArrayLike = 1.0,
    *,
    redshift: ArrayLike = 0.0,
    helium: float = 0.085,
) -> Array:
    """Return thermal bremsstrahlung of hydrogen and helium, XSPEC's `bremss` and `zbremss`.

    Photons/cm²/s/keV are `norm` · (g₁ + 4 Y g₂) · exp(−E/kT) / (E √kT), with the number Y of helium
    nuclei per hydrogen nucleus and the free–free Gaunt factors g₁ and g₂ of both (see
    `gaunt_factor`; XSPEC's polynomials, Kellogg, Baldwin & Koch 1975, ApJ 199, 299, give the same
    numbers to 2 %, mostly to 1 %).

    Args:
        edges: bin edges (n + 1,), keV.
        kt: temperature, keV in the source's frame, shape S. Above some 30 keV relativity, which
            this model leaves out as XSPEC's does, adds ten per cent and more.
        norm: 3.02e-15 / (4π D²) ∫ n_e n_H dV, with D in cm and densities in cm⁻³, shape S.
        redshift: E becomes E (1 + z), shape S.
        helium: Y, by number; 0.085 in XSPEC's `bremss`.

    Returns:
        Photons/cm²/s per bin, S + (n,). The integral over the bin is a Gauss–Legendre rule.

    Raises:
        ValueError: for bad edges, kT ≤ 0, negative helium, or z ≤ −1.
    """
    grid = check_edges(edges)
    check_parameters(positive=[("kt", kt)], not_negative=[("helium", helium)], redshift=redshift)

    def log_slow(energy: Array, kt: Array, redshift: Array) -> Array:
        shifted = energy * (1.0 + redshift)
        gaunt = gaunt_factor(shifted, kt)
        if helium:
            gaunt = gaunt + 4.0 * helium * gaunt_factor(shifted, kt, charge=2)
        return np.log(gaunt / shifted)

    scale = np.asarray(norm, dtype=np.float64) / np.sqrt(np.asarray(kt, dtype=np.float64))
    return integrate_decay(grid, (kt, redshift), log_slow, kt, redshift, scale)


def gaunt_factor(energy: ArrayLike, kt: ArrayLike, charge: float = 1.0) -> Array:
    """Return the free–free Gaunt factor of a bare nucleus, averaged over Maxwellian electrons.

    Exact without relativity (Karzas & Latter 1961, ApJS 6, 167), interpolated in a table of ours
    that agrees with van Hoof et al. (2014, MNRAS 444, 420) to 2e-5; the interpolation is good to
    1e-4. Beyond the table: hotter than 1360 Z² keV it is within 1 % of Born's limit; cooler than
    1.36 Z² eV it keeps the value there; below E = 1e-4 kT it goes on with its logarithm.

    Args:
        energy: keV, above 0.
        kt: temperature, keV, of a shape that broadcasts with `energy`.
        charge: Z of the nucleus.

    Raises:
        ValueError: for an energy, temperature or charge that is not positive.
    """
    check_parameters(positive=[("energy", energy), ("kt", kt), ("charge", charge)])
    temperature = np.asarray(kt, dtype=np.float64)
    log_gammas, log_us, table = _gaunt_table()
    log_gamma = np.log10(charge**2 * RYDBERG / temperature)
    log_u = np.log10(np.asarray(energy, dtype=np.float64) / temperature)
    first, first_taps = cubic_taps(_position(log_gamma, log_gammas), len(log_gammas))
    second, second_taps = cubic_taps(_position(log_u, log_us), len(log_us))
    result = np.zeros(np.broadcast_shapes(log_gamma.shape, log_u.shape))
    for i in range(4):
        for j in range(4):
            result += first_taps[i] * second_taps[j] * table[first + i, second + j]
    beyond = np.sqrt(3.0) / np.pi * np.log(10.0) * np.maximum(log_us[0] - log_u, 0.0)
    return np.exp(result) + beyond


def _position(value: Array, nodes: Array) -> Array:
    """Return the position of a value among evenly spaced nodes, in steps."""
    step = (nodes[-1] - nodes[0]) / (len(nodes) - 1)
    return (np.clip(value, nodes[0], nodes[-1]) - nodes[0]) / step


@cache
def _gaunt_table() -> tuple[Array, Array, Array]:
    """Load log10 γ², log10 u, and ln of the Gaunt factor on both."""
    names, rows = read_table("free_free_gaunt.csv")
    log_us = np.array([float(name.removeprefix("log10_u=")) for name in names[1:]])
    return rows[:, 0], log_us, np.log(rows[:, 1:])
