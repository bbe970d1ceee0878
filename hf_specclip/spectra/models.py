"""Spectral models: photons per energy bin, for many parameter sets at once.

Every model gives photons/cm²/s in each bin of `edges`, integrated over the bin, so that photons
are conserved whatever the grid. Normalisations follow XSPEC. A parameter is a number or an array
of any shape S; the result then has shape S + (n,), with S broadcast over all parameters.

    >>> edges = np.linspace(0.5, 8.0, 401)
    >>> flux = power_law(edges, [1.7, 2.1], norm=1e-4) * phabs(edges, nh_1e22=[0.05, 1.0])
    >>> flux.shape
    (2, 400)

The tables (plasma emissivity, cross-sections) lie in `tables/`, with their sources.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# As XSPEC's manual has it. It stands for 15/π⁴ × 1e39 erg/s / (4π (10 kpc)²), which with today's
# constants is 0.25 % less; kept, so that norms agree with published ones.
BLACK_BODY_CONSTANT = 8.0525
CROSS_SECTIONS = ("phabs_angr", "tbabs_wilm")

# Gauss–Legendre rule of each step of a numerical integral.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
# Widest step of a numerical integral, in ln E.
_WIDEST_STEP = 0.1


def power_law(edges: ArrayLike, photon_index: ArrayLike, norm: ArrayLike = 1.0) -> Array:
    """Power law, `norm` · E^(−Γ), in closed form.

    Args:
        edges: bin edges (n + 1,), keV, rising and positive.
        photon_index: Γ, shape S.
        norm: photons/keV/cm²/s at 1 keV, shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for edges that do not rise from a positive energy.
    """
    grid = _edges(edges)
    slope, norm = _parameters(photon_index, norm)
    low, step = grid[:-1], np.diff(np.log(grid))
    exponent = (1.0 - slope) * step
    # expm1(x)/x keeps its digits through Γ = 1, where the closed form reads 0/0.
    small = np.abs(exponent) < 1e-8
    ratio = np.where(small, 1.0 + exponent / 2, np.expm1(exponent) / np.where(small, 1.0, exponent))
    return norm * np.exp((1.0 - slope) * np.log(low)) * step * ratio


def black_body(edges: ArrayLike, kt: ArrayLike, norm: ArrayLike = 1.0) -> Array:
    """Black body, as XSPEC's `bbody`, in closed form.

    Photons/cm²/s/keV are 8.0525 · `norm` · E² / (kT⁴ (exp(E/kT) − 1)).

    Args:
        edges: bin edges (n + 1,), keV.
        kt: temperature, keV, shape S.
        norm: luminosity in 1e39 erg/s over (distance in 10 kpc)², shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for bad edges, or a temperature that is not positive.
    """
    grid = _edges(edges)
    kt, norm = _parameters(kt, norm)
    _need_positive(kt, "kt")
    below, above = _planck_integrals(grid / kt)
    # The difference of the integral from 0 is exact at low energies, of that to ∞ in the tail.
    x = grid / kt
    low = below[..., 1:] - below[..., :-1]
    high = above[..., :-1] - above[..., 1:]
    photons = np.where(x[..., 1:] < 1.0, low, high)
    return BLACK_BODY_CONSTANT * norm / kt * photons


def bremsstrahlung(edges: ArrayLike, kt: ArrayLike, norm: ArrayLike = 1.0) -> Array:
    """Thermal bremsstrahlung of hydrogen, in the normalisation of XSPEC's `bremss`.

    Photons/cm²/s/keV are `norm` · g(E, kT) · exp(−E/kT) / (E √kT), with the free–free Gaunt factor
    in Born's approximation (see `gaunt_factor`).

    Args:
        edges: bin edges (n + 1,), keV.
        kt: temperature, keV, shape S.
        norm: 3.02e-15 / (4π D²) ∫ n_e n_H dV, with D in cm and densities in cm⁻³, shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,). The integral over the bin is a Gauss–Legendre rule.

    Raises:
        ValueError: for bad edges, or a temperature that is not positive.
    """
    grid = _edges(edges)
    kt, norm = _parameters(kt, norm)
    _need_positive(kt, "kt")

    def density(energy: Array) -> Array:
        return gaunt_factor(energy, kt) * np.exp(-energy / kt) / energy

    return norm / np.sqrt(kt) * _integrate(density, grid)


def gaunt_factor(energy: ArrayLike, kt: ArrayLike) -> Array:
    """Free–free Gaunt factor in Born's approximation: (√3/π) exp(x/2) K₀(x/2), x = E/kT.

    It holds for kT well above Z² Ry = 13.6 Z² eV, that is for hydrogen at all X-ray temperatures;
    for helium, and below 0.1 keV, Elwert's correction would raise it by some per cent. K₀ is the
    polynomial of Abramowitz & Stegun (1964), 9.8.5 and 9.8.6, good to 2e-7.

    Args:
        energy: keV.
        kt: temperature, keV, of a shape that broadcasts with `energy`.
    """
    half = np.asarray(energy, dtype=np.float64) / np.asarray(kt, dtype=np.float64) / 2.0
    near = np.minimum(half, 2.0)
    t = (near / 2.0) ** 2
    bessel_i = _polynomial(
        (near / 3.75) ** 2,
        (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813),
    )
    series = (
        -0.57721566,
        0.42278420,
        0.23069756,
        0.03488590,
        0.00262698,
        0.00010750,
        0.00000740,
    )
    small = np.exp(near) * (-np.log(near / 2.0) * bessel_i + _polynomial(t, series))
    far = np.maximum(half, 2.0)
    tail = (1.25331414, -0.07832358, 0.02189568, -0.01062446, 0.00587872, -0.00251540, 0.00053208)
    large = _polynomial(2.0 / far, tail) / np.sqrt(far)
    return np.sqrt(3.0) / np.pi * np.where(half < 2.0, small, large)


def thermal_plasma(
    edges: ArrayLike,
    kt: ArrayLike,
    abundance: ArrayLike = 1.0,
    redshift: ArrayLike = 0.0,
    norm: ArrayLike = 1.0,
) -> Array:
    """Collisionally ionised plasma, as XSPEC's `apec`, from a table of AtomDB 3.0.8.

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
        ValueError: for bad edges, a temperature outside the table, a negative abundance, or a
            redshift of −1 and below.
    """
    grid = _edges(edges)
    kt, abundance, redshift, norm = _parameters(kt, abundance, redshift, norm)
    energies, temperatures, base, metals = _plasma_table()
    # The grid of the table is stored in float32: its ends may miss a rounded number by 1e-7.
    if not np.all((kt > temperatures[0] * 0.999999) & (kt < temperatures[-1] * 1.000001)):
        raise ValueError(
            f"kt must lie within the table, {temperatures[0]:.4g} to {temperatures[-1]:.4g} keV"
        )
    if not np.all(abundance >= 0.0):
        raise ValueError("abundance must be 0 or more")
    if not np.all(redshift > -1.0):
        raise ValueError("redshift must be above -1")
    shape = kt.shape[:-1]
    where = np.interp(
        np.log(kt[..., 0].ravel()), np.log(temperatures), np.arange(len(temperatures))
    )
    lower = np.minimum(where.astype(int), len(temperatures) - 2)
    weight = (where - lower)[:, None]
    metal = abundance.reshape(-1, 1)
    photons = (1.0 - weight) * (base[lower] + metal * metals[lower])
    photons += weight * (base[lower + 1] + metal * metals[lower + 1])
    # Photons above each edge of the table; between edges they are even, so overlap is exact. Summed
    # from above, the steep tail of a cool plasma keeps its digits.
    above = np.zeros((len(photons), len(energies)))
    above[:, :-1] = np.cumsum(photons[:, ::-1], axis=1)[:, ::-1]
    stretch = 1.0 + redshift.reshape(-1, 1)
    width = (energies[-1] - energies[0]) / (len(energies) - 1)
    place = np.clip((grid * stretch - energies[0]) / width, 0.0, len(energies) - 1.0)
    left = np.minimum(place.astype(int), len(energies) - 2)
    rest = 1.0 - (place - left)
    cumulative = np.take_along_axis(above, left + 1, axis=1)
    cumulative += rest * np.take_along_axis(photons, left, axis=1)
    # Arriving photons are spread over a time longer by 1 + z.
    flux = (cumulative[:, :-1] - cumulative[:, 1:]) / stretch
    return norm * np.maximum(flux, 0.0).reshape((*shape, len(grid) - 1))


def phabs(edges: ArrayLike, nh_1e22: ArrayLike, *, cross_section: str = "phabs_angr") -> Array:
    """Share of the photons that cold gas lets through, averaged over each bin.

    The average is over energies inside the bin without a spectrum as weight: multiply the model on
    a grid fine enough for the spectrum not to change within a bin (10 eV for the softest).

    Args:
        edges: bin edges (n + 1,), keV.
        nh_1e22: hydrogen column in 1e22 cm⁻² (the catalogue's columns are in 1e20), shape S.
        cross_section: `phabs_angr` (Balucinska-Church & McCammon 1992 with the abundances of
            Anders & Grevesse, as the Chandra Source Catalog) or `tbabs_wilm` (Wilms et al. 2000).

    Returns:
        Transmission between 0 and 1, S + (n,).

    Raises:
        ValueError: for bad edges, a negative column, or an unknown cross-section.
    """
    grid = _edges(edges)
    (column,) = _parameters(nh_1e22)
    if not np.all(column >= 0.0):
        raise ValueError("nh_1e22 must be 0 or more")

    def transmission(energy: Array) -> Array:
        return np.exp(-column * photoelectric_cross_section(energy, cross_section))

    return _integrate(transmission, grid) / np.diff(grid)


def photoelectric_cross_section(energy: ArrayLike, cross_section: str = "phabs_angr") -> Array:
    """Photoelectric cross-section per hydrogen atom, interpolated in log E and log σ.

    Beyond the table (0.1–12 keV) it goes on with the slope of the table's end.

    Args:
        energy: keV, any shape.
        cross_section: `phabs_angr` or `tbabs_wilm` (see `phabs`).

    Returns:
        1e-22 cm², in the shape of `energy`.

    Raises:
        ValueError: for an unknown cross-section.
    """
    if cross_section not in CROSS_SECTIONS:
        raise ValueError(
            f"cross-section {cross_section!r} is unknown: {' or '.join(CROSS_SECTIONS)}"
        )
    log_energy, log_sigma = _cross_section_table(cross_section)
    wanted = np.log(np.asarray(energy, dtype=np.float64))
    result = np.interp(wanted, log_energy, log_sigma)
    for inner, outer, beyond in ((1, 0, wanted < log_energy[0]), (-2, -1, wanted > log_energy[-1])):
        slope = (log_sigma[outer] - log_sigma[inner]) / (log_energy[outer] - log_energy[inner])
        result = np.where(beyond, log_sigma[outer] + slope * (wanted - log_energy[outer]), result)
    return np.exp(result)


def plasma_temperatures() -> Array:
    """Temperatures of the plasma table, keV, (32,); models are interpolated between them."""
    return _plasma_table()[1].copy()


def _edges(edges: ArrayLike) -> Array:
    grid = np.asarray(edges, dtype=np.float64)
    if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all():
        raise ValueError("edges must be a list of at least two finite energies in keV")
    if grid[0] <= 0.0 or np.any(np.diff(grid) <= 0.0):
        raise ValueError("edges must rise from an energy above 0 keV")
    return grid


def _parameters(*values: ArrayLike) -> list[Array]:
    """Parameters broadcast against each other, with a last axis of length 1 for the energies."""
    arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values))
    return [array[..., None] for array in arrays]


def _need_positive(values: Array, name: str) -> None:
    if not np.all(values > 0.0):
        raise ValueError(f"{name} must be above 0")


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    result = np.zeros_like(x)
    for coefficient in reversed(coefficients):
        result = result * x + coefficient
    return result


def _integrate(density: Callable[[Array], Array], grid: Array) -> Array:
    """Integral of a function of energy over each bin, however wide.

    Args:
        density: maps energies (m,) to S + (m,).
        grid: bin edges (n + 1,).

    Returns:
        S + (n,).
    """
    steps = np.maximum(1, np.ceil(np.diff(np.log(grid)) / _WIDEST_STEP)).astype(int)
    first = np.concatenate([[0], np.cumsum(steps)])
    within = np.arange(first[-1]) - np.repeat(first[:-1], steps)
    # Narrow bins are cut evenly in energy, wide ones in ln E.
    logs = np.log(grid)
    fine = np.exp(np.repeat(logs[:-1], steps) + within * np.repeat(np.diff(logs) / steps, steps))
    fine = np.append(fine, grid[-1])
    fine[first] = grid
    middle, half = (fine[1:] + fine[:-1]) / 2, np.diff(fine) / 2
    total: Array | float = 0.0
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        total = total + weight * half * density(middle + node * half)
    return np.add.reduceat(np.asarray(total), first[:-1], axis=-1)


# Coefficients of t²/(eᵗ − 1) = Σ B_k tᵏ⁺¹/k!, integrated from 0: B_k / (k! (k + 2)).
_BERNOULLI = {
    0: 1.0,
    1: -0.5,
    2: 1 / 6,
    4: -1 / 30,
    6: 1 / 42,
    8: -1 / 30,
    10: 5 / 66,
    12: -691 / 2730,
    14: 7 / 6,
    16: -3617 / 510,
}


def _planck_integrals(x: Array) -> tuple[Array, Array]:
    """∫ t²/(eᵗ − 1) dt from 0 to x and from x to ∞, each exact where it is the smaller.

    Below x = 1 the power series of the first, above it the exponential series of the second.
    """
    total = 2.4041138063191885  # 2 ζ(3)
    small = np.minimum(x, 1.0)
    below = np.zeros_like(x)
    factorial = 1.0
    for k in range(17):
        factorial *= max(k, 1)
        if k in _BERNOULLI:
            below += _BERNOULLI[k] / (factorial * (k + 2)) * small ** (k + 2)
    large = np.maximum(x, 1.0)
    above = np.zeros_like(x)
    for k in range(1, 41):
        above += np.exp(-k * large) * (large**2 / k + 2 * large / k**2 + 2 / k**3)
    return np.where(x < 1.0, below, total - above), np.where(x < 1.0, total - below, above)


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


@cache
def _cross_section_table(cross_section: str) -> tuple[Array, Array]:
    path = resources.files("hf_specclip.spectra") / "tables" / "photoelectric_cross_section.csv"
    with path.open("r", encoding="ascii") as file:
        names = file.readline().strip().split(",")
        table = np.loadtxt(file, delimiter=",")
    column = names.index(f"{cross_section}_1e-22cm2")
    return np.log(table[:, 0]), np.log(table[:, column])
