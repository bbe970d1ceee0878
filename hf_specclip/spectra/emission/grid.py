"""Energy bins, batches of parameters, and integrals over bins that the models share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Widest step of a Gauss–Legendre rule of four nodes, in ln E; good to 1e-7 for slopes up to 20.
_WIDEST_STEP = 0.1
# Spacing in log10 E of the values from which the slow part of a spectrum is interpolated.
_SLOW_STEP = 0.05
# Numbers in a chunk of rows: it stays in the cache, and memory stays bounded.
_CELLS = 1 << 18


def check_edges(edges: ArrayLike) -> Array:
    """Return (n + 1,) bin edges as float64. Raises ValueError where they do not rise above 0."""
    grid = np.asarray(edges, dtype=np.float64)
    if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all():
        raise ValueError("edges must be a list of at least two finite energies in keV")
    if grid[0] <= 0.0 or np.any(np.diff(grid) <= 0.0):
        raise ValueError("edges must rise from an energy above 0 keV")
    return grid


def check_parameters(
    *,
    finite: Sequence[tuple[str, ArrayLike]] = (),
    positive: Sequence[tuple[str, ArrayLike]] = (),
    not_negative: Sequence[tuple[str, ArrayLike]] = (),
    redshift: ArrayLike = 0.0,
) -> None:
    """Raise ValueError, by name, for unphysical parameters."""
    for parameters, least, holds, said in (
        (finite, -np.inf, np.greater, "finite"),
        (positive, 0.0, np.greater, "above 0 and finite"),
        (not_negative, 0.0, np.greater_equal, "0 or more, and finite"),
        ((("redshift", redshift),), -1.0, np.greater, "above -1 and finite"),
    ):
        for name, values in parameters:
            array = np.asarray(values, dtype=np.float64)
            if not np.all(holds(array, least) & np.isfinite(array)):
                raise ValueError(f"{name} must be {said}")


def in_rows(
    compute: Callable[..., Array], parameters: Sequence[ArrayLike], n_bins: int, width: int
) -> Array:
    """Call a model with a few parameter sets at a time.

    Args:
        compute: maps parameters (m, 1) each to (m, n_bins).
        parameters: broadcast against each other, to S.
        n_bins: of the result.
        width: numbers that one parameter set needs in between.

    Returns:
        S + (n_bins,).
    """
    arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in parameters))
    shape = arrays[0].shape
    columns = [array.reshape(-1, 1) for array in arrays]
    n_rows = len(columns[0])
    result = np.empty((n_rows, n_bins))
    step = max(1, _CELLS // max(width, 1))
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        result[rows] = compute(*(column[rows] for column in columns))
    return result.reshape((*shape, n_bins))


def cut_bins(grid: Array, widest: float) -> tuple[Array, NDArray[np.intp]]:
    """Return edges with steps of at most `widest` in ln E, and the first step of each bin."""
    logs = np.log(grid)
    steps = np.maximum(1, np.ceil(np.diff(logs) / widest)).astype(np.intp)
    first = np.concatenate([[0], np.cumsum(steps)])
    within = np.arange(first[-1]) - np.repeat(first[:-1], steps)
    fine = np.exp(np.repeat(logs[:-1], steps) + within * np.repeat(np.diff(logs) / steps, steps))
    fine = np.append(fine, grid[-1])
    fine[first] = grid
    return fine, first[:-1]


def quadrature(
    grid: Array, widest: float = _WIDEST_STEP, n_nodes: int = 4
) -> tuple[Array, Array, NDArray[np.intp]]:
    """Return a Gauss–Legendre rule for every bin, however wide.

    Args:
        grid: bin edges (n + 1,).
        widest: step in ln E; wider bins are cut.
        n_nodes: nodes of each step.

    Returns:
        Energies and weights (n_nodes, m) of m steps, and the first step of each bin (n,).
    """
    fine, first = cut_bins(grid, widest)
    nodes, weights = _gauss_legendre(n_nodes)
    middle, half = (fine[1:] + fine[:-1]) / 2, np.diff(fine) / 2
    return middle + nodes[:, None] * half, weights[:, None] * half, first


@cache
def _gauss_legendre(n_nodes: int) -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(n_nodes)


def integrate_decay(
    edges: Array,
    parameters: Sequence[ArrayLike],
    log_slow: Callable[..., Array],
    scale: ArrayLike,
    redshift: ArrayLike,
    norm: ArrayLike,
) -> Array:
    """Integrate norm · exp(slow(E) − E (1 + z) / scale) over each bin.

    Args:
        edges: bin edges (n + 1,).
        parameters: broadcast against each other, to S.
        log_slow: slow(E) from energies (k,) and parameters (m, 1), (m, k); it must be smooth in
            ln E, and is interpolated (a power law exactly).
        scale, redshift, norm: of the exponential decay, keV, and of the whole; as parameters.

    Returns:
        S + (n,).
    """
    energies, weights, first = quadrature(edges)
    # Values at the same energies whatever the grid: the photons of two grids then agree.
    log_energies = np.log10(energies) / _SLOW_STEP
    lowest = int(np.floor(log_energies.min())) - 1
    n_coarse = int(np.ceil(log_energies.max())) + 2 - lowest
    coarse = 10.0 ** ((lowest + np.arange(n_coarse)) * _SLOW_STEP)
    left, taps = cubic_taps(log_energies - lowest, n_coarse)
    uncut = len(first) == energies.shape[1]

    def rows(scale: Array, redshift: Array, *chunk: Array) -> Array:
        slow, rate = log_slow(coarse, *chunk), (1.0 + redshift) / scale
        total = np.zeros((len(rate), energies.shape[1]))
        for node in range(len(energies)):
            exponent = -rate * energies[node]
            for tap in range(4):
                exponent += taps[tap, node] * slow[:, left[node] + tap]
            total += weights[node] * np.exp(exponent)
        return total if uncut else np.add.reduceat(total, first, axis=1)

    photons = in_rows(rows, (scale, redshift, *parameters), len(edges) - 1, energies.shape[1])
    return np.asarray(norm, dtype=np.float64)[..., None] * photons


def cubic_taps(position: Array, size: int) -> tuple[NDArray[np.intp], Array]:
    """Return Lagrange's cubic weights through four neighbours of an even table.

    Args:
        position: where to interpolate, in steps from the first entry, any shape S.
        size: entries of the table.

    Returns:
        Index of the first neighbour, S, and the weights of the four, (4,) + S.
    """
    left = np.clip(np.floor(position).astype(np.intp) - 1, 0, size - 4)
    return left, np.stack(cubic_weights(position - left - 1.0))


def cubic_weights(t: Any) -> list[Any]:
    """Return Lagrange's weights at t of values at −1, 0, 1 and 2, for arrays or tensors."""
    return [
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    ]


def read_table(name: str) -> tuple[list[str], Array]:
    """Read a CSV file of `spectra/tables`: names of the columns, and rows of numbers."""
    path = resources.files("hf_specclip.spectra") / "tables" / name
    with path.open("r", encoding="ascii") as file:
        return file.readline().strip().split(","), np.loadtxt(file, delimiter=",")
