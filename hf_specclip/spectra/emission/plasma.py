"""Collisionally ionised plasma from a table of emissivities."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike

from .grid import Array, check_edges, check_parameters, in_rows


def thermal_plasma(
    edges: ArrayLike,
    kt: ArrayLike,
    abundance: ArrayLike = 1.0,
    redshift: ArrayLike = 0.0,
    norm: ArrayLike = 1.0,
) -> Array:
    """Return a collisionally ionised plasma, XSPEC's `apec`, from a table of AtomDB 3.0.8.

    The table has 10 eV bins from 0.1 to 12 keV in the source's frame and is interpolated linearly
    in ln kT; photons are shared out over the grid by overlap. Outside the table there is nothing.

    Args:
        edges: bin edges (n + 1,), keV, in the observer's frame.
        kt: temperature, keV, 0.0544 to 68.4, shape S.
        abundance: of the metals, in units of Anders & Grevesse (1989), shape S.
        redshift: shape S.
        norm: 1e-14 / (4π (D_A (1 + z))²) ∫ n_e n_H dV, with D_A in cm, shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for bad edges, kT outside the table, a negative abundance, or z ≤ −1.
    """
    grid = check_edges(edges)
    check_parameters(not_negative=[("abundance", abundance)], redshift=redshift)
    energies, temperatures, base, metals = _plasma_table()
    # The grid of the table is stored in float32: its ends may miss a rounded number by 1e-7.
    values = np.asarray(kt, dtype=np.float64)
    if not np.all((values > temperatures[0] * 0.999999) & (values < temperatures[-1] * 1.000001)):
        raise ValueError(
            f"kt must lie within the table, {temperatures[0]:.4g} to {temperatures[-1]:.4g} keV"
        )
    log_temperatures = np.log(temperatures)
    width = (energies[-1] - energies[0]) / (len(energies) - 1)

    def rows(kt: Array, abundance: Array, redshift: Array, norm: Array) -> Array:
        position = np.interp(np.log(kt[:, 0]), log_temperatures, np.arange(len(temperatures)))
        lower = np.minimum(position.astype(np.intp), len(temperatures) - 2)
        weight = (position - lower)[:, None]
        photons = (1.0 - weight) * (base[lower] + abundance * metals[lower])
        photons += weight * (base[lower + 1] + abundance * metals[lower + 1])
        # Photons above each edge of the table; between edges they are even, so overlap is exact.
        # Summed from above, the steep tail of a cool plasma keeps its digits.
        above = np.zeros((len(photons), len(energies)))
        above[:, :-1] = np.cumsum(photons[:, ::-1], axis=1)[:, ::-1]
        stretch = 1.0 + redshift
        position = np.clip((grid * stretch - energies[0]) / width, 0.0, len(energies) - 1.0)
        left = np.minimum(position.astype(np.intp), len(energies) - 2)
        rest = 1.0 - (position - left)
        cumulative = np.take_along_axis(above, left + 1, axis=1)
        cumulative += rest * np.take_along_axis(photons, left, axis=1)
        # Arriving photons are spread over a time longer by 1 + z.
        flux = (cumulative[:, :-1] - cumulative[:, 1:]) / stretch
        return norm * np.maximum(flux, 0.0)

    widest = max(len(grid), len(energies))
    return in_rows(rows, (kt, abundance, redshift, norm), len(grid) - 1, widest)


def plasma_temperatures() -> Array:
    """Return the temperatures of the plasma table, keV, (32,); models interpolate between them."""
    return _plasma_table()[1].copy()


@cache
def _plasma_table() -> tuple[Array, Array, Array, Array]:
    path = resources.files("hf_specclip.spectra") / "tables" / "plasma_emissivity.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as table:
        edges, kt, base, metals = (
            table[name].astype(np.float64)
            for name in ("energy_edges_kev", "kt_kev", "base", "metals")
        )
    # Even by construction; float32 has blurred the last digit.
    return np.linspace(round(edges[0], 4), round(edges[-1], 4), len(edges)), kt, base, metals
