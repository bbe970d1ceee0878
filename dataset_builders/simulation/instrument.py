"""Simulated ACIS instrument: areas, redistribution, background, apertures.

Three epochs of the S array and three of the I array come from the tables of
`hf_specclip.spectra`. The growing contamination is in the areas; the redistribution is a Gaussian
of the tabulated width. What is approximate is said where it is used.

Throughout, `epoch` is an index into `load_epochs()` and `theta` an off-axis angle in arcmin, (B)
each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import erf

import numpy as np

from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra.instruments import ACIS_PI_CHANNEL_KEV
from hf_specclip.spectra.rebin import overlap_fractions

# Photon energies: 10 eV bins, as the plasma table. Photons of 9 keV fall below 8 keV no more.
PHOTON_EDGES = np.round(np.linspace(0.3, 9.0, 871), 6)
PHOTON_CENTRES = (PHOTON_EDGES[1:] + PHOTON_EDGES[:-1]) / 2
# PI channels of 14.6 eV from 1 on, to just above the 8 keV where the rows end.
N_CHANNELS = 560
CHANNEL_EDGES = np.arange(N_CHANNELS + 1) * ACIS_PI_CHANNEL_KEV
# A Gaussian's full width at half maximum, in standard deviations.
FWHM_PER_SIGMA = 2.354820045

# The catalogue's exposure maps, which turn net counts into photon fluxes, hold the effective area
# at one energy of each band, keV (Evans et al. 2010, ApJS 189, 37).
MAP_ENERGIES = {"b": 2.3, "s": 0.92, "m": 1.56, "h": 3.8}
# Of `load_epochs()`: hardness ratios that belong to no observation are those of ACIS-S in 2007.
USUAL_EPOCH = 1

# Quiescent background, counts/s/arcsec² in 0.5–7 keV, rounded from the rates per chip in the
# Proposers' Observatory Guide: about 0.8 counts/s on the back-illuminated S3, 0.3 on an I chip.
BACKGROUND_RATES = {"ACIS-S": 3.1e-6, "ACIS-I": 1.2e-6}


@dataclass(frozen=True)
class Response:
    """Response of one array at one date."""

    family: str  # `ACIS-S` or `ACIS-I`
    year: float  # decimal year of the calibration
    area: np.ndarray  # effective area on axis at `PHOTON_CENTRES`, cm², (870,)
    redistribution: np.ndarray  # share of the photons of each bin in each channel, (870, 560)
    # Share of the 0.5–7 keV background in each channel, (560,); the channels of that band add up to
    # one
    background: np.ndarray


@cache
def load_epochs() -> tuple[Response, ...]:
    """Load the six calibration epochs, in the order of the tables."""
    areas, widths = _table("acis_effective_area.csv"), _table("acis_resolution.csv")
    epochs = []
    for column in areas.dtype.names[1:]:
        label = column.removesuffix("_cm2")
        detector, year = label.split("_")
        family = {"aciss": "ACIS-S", "acisi": "ACIS-I"}[detector]
        area = np.interp(PHOTON_CENTRES, areas["energy_kev"], areas[column])
        fwhm = np.interp(PHOTON_CENTRES, widths["energy_kev"], widths[f"{label}_fwhm_kev"])
        redistribution = _redistribution(fwhm / FWHM_PER_SIGMA)
        background = _background_shape(detector)
        epochs.append(Response(family, float(year), area, redistribution, background))
    return tuple(epochs)


def _background_shape(detector: str) -> np.ndarray:
    """Return the share of the 0.5–7 keV background in each channel, (560,); below 0.3 keV there is
    none.
    """
    table = _table("acis_background.csv")
    lower, counts = table["energy_lo_kev"], table[f"{detector}_counts"]
    edges = np.append(lower, 2 * lower[-1] - lower[-2])
    band = ((lower > 0.499) & (lower < 6.999)) * counts
    return counts @ overlap_fractions(edges, CHANNEL_EDGES) / band.sum()


def within(band: str, edges: np.ndarray) -> np.ndarray:
    """Return True for the bins with their centre in a band (`b`, `s`, `m`, `h`) of the catalogue.

    Edges are in keV, (n + 1).
    """
    middle = (edges[1:] + edges[:-1]) / 2
    low, high = BANDS[band]
    return (middle > low) & (middle < high)


def channels_within(band: str) -> np.ndarray:
    """Select the channels in a band of the catalogue, (560,) of booleans."""
    return within(band, CHANNEL_EDGES)


def photons_within(band: str) -> np.ndarray:
    """Select the photon energies in a band of the catalogue, (870,) of booleans."""
    return within(band, PHOTON_EDGES)


def nearest_epochs(family: np.ndarray, year: np.ndarray) -> np.ndarray:
    """Return the index into `load_epochs()` of the nearest calibration of the same array, (n), for
    arrays (`ACIS-S` or `ACIS-I`) and decimal years.
    """
    epochs = load_epochs()
    distance = np.abs(year[:, None] - np.array([epoch.year for epoch in epochs]))
    other = family[:, None] != np.array([epoch.family for epoch in epochs])
    return np.argmin(np.where(other, np.inf, distance), axis=1)


def vignetting(theta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return area off axis over area on axis at energies (n), keV: (B, n).

    1 / (1 + (θ/θ₀)²) with θ₀ falling from 21′ at 1.5 keV to 14′ at 6.4 keV: our approximation to
    the mirror's curves in the Proposers' Observatory Guide (0.82 and 0.65 at 10′).
    """
    scale = np.interp(energy, [1.5, 6.4], [21.3, 13.6])
    return 1.0 / (1.0 + (np.asarray(theta)[:, None] / scale) ** 2)


def aperture_area(theta: np.ndarray) -> np.ndarray:
    """Return the area of a source aperture, arcsec², which grows with the point-spread function.

    A circle of radius 1.5″ + 0.11″ (θ/1′)², close to the 90 % radius at 1.5 keV.
    """
    return np.pi * (1.5 + 0.11 * np.asarray(theta) ** 2) ** 2


def local_background(theta: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the background around a source over the quiescent one, for standard normals (B).

    Near the axis most sources with a literature are in galaxies, clusters and crowded fields, and
    apertures are larger than the circle here; far off axis, the quiescent background dominates.
    Median and scatter follow the rates in the catalogue's apertures at angles from 0 to 15′.
    """
    median = 1.3 + 24.0 * np.exp(-theta / 2.2)
    return median * 10.0 ** ((0.25 + 0.55 * np.exp(-theta / 5.0)) * normal)


def effective_area(epoch: np.ndarray, theta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return the effective area of each detection at energies (n), keV: cm², (B, n)."""
    on_axis = np.stack([np.interp(energy, PHOTON_CENTRES, item.area) for item in load_epochs()])
    return on_axis[epoch] * vignetting(theta, energy)


def map_areas(epoch: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Return the effective area at each band's `MAP_ENERGIES`, cm², (B) each."""
    area = effective_area(epoch, theta, np.array(list(MAP_ENERGIES.values())))
    return dict(zip(MAP_ENERGIES, area.T, strict=True))


def fold(photons: np.ndarray, epoch: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return the expected counts/s in each channel, (B, 560), of photons/cm²/s on `PHOTON_EDGES`.

    In float64: the last digit of a float32 product depends on the number of threads, and a Poisson
    draw can depend on it.
    """
    seen = photons * effective_area(epoch, theta, PHOTON_CENTRES)
    rates = np.zeros((len(photons), N_CHANNELS))
    for index in np.unique(epoch):
        rows = epoch == index
        rates[rows] = seen[rows] @ load_epochs()[index].redistribution
    return rates


@cache
def _fluxes_per_photon() -> np.ndarray:
    """Return the photon flux of each band that the catalogue finds for one photon/cm²/s of each
    energy at `USUAL_EPOCH`, (870, 4).
    """
    item = load_epochs()[USUAL_EPOCH]
    fluxes = [
        item.area
        * item.redistribution[:, channels_within(band)].sum(axis=1)
        / np.interp(energy, PHOTON_CENTRES, item.area)
        for band, energy in MAP_ENERGIES.items()
    ]
    return np.stack(fluxes, axis=1)


def hardness_ratios(photons: np.ndarray) -> dict[str, np.ndarray]:
    """Return `hard_hm`, `hard_hs` and `hard_ms` of a noise-free measurement on axis.

    Of photons/cm²/s on `PHOTON_EDGES`, at `USUAL_EPOCH`, (B) each.
    """
    band = dict(zip(MAP_ENERGIES, (photons @ _fluxes_per_photon()).T, strict=True))
    return {
        f"hard_{hard}{soft}": (band[hard] - band[soft]) / (band[hard] + band[soft])
        for hard, soft in ("hm", "hs", "ms")
    }


def background_rates(epoch: np.ndarray, theta: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Return the expected background in the aperture, counts/s in each channel, (B, 560).

    The brightness is the local background over the quiescent one (host, flares), (B).
    """
    rate = quiescent_background(np.array([item.family for item in load_epochs()]))[epoch]
    shapes = np.stack([item.background for item in load_epochs()])
    return (rate * aperture_area(theta) * brightness)[:, None] * shapes[epoch]


def quiescent_background(family: np.ndarray) -> np.ndarray:
    """Return the background of arrays (`ACIS-S` or `ACIS-I`), counts/s/arcsec²."""
    return np.where(family == "ACIS-I", BACKGROUND_RATES["ACIS-I"], BACKGROUND_RATES["ACIS-S"])


def _redistribution(sigma: np.ndarray) -> np.ndarray:
    """Return a Gaussian of each photon energy over the channels, (870, 560)."""
    distance = (CHANNEL_EDGES[None, :] - PHOTON_CENTRES[:, None]) / sigma[:, None]
    near = np.abs(distance) < 6.0
    below = (distance > 0).astype(float)
    below[near] = [0.5 + 0.5 * erf(value) for value in distance[near] / np.sqrt(2.0)]
    return np.diff(below, axis=1)


def _table(name: str) -> np.ndarray:
    """Read a table of the package, with named columns."""
    path = resources.files("hf_specclip.spectra") / "tables" / name
    with path.open("r", encoding="ascii") as file:
        return np.genfromtxt(file, delimiter=",", names=True, deletechars="")
