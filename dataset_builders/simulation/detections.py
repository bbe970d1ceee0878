"""Sources, detections and observed counts of the simulated catalogue, and its measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra import emission, timing

from ..contract import BIN_EDGES
from . import instrument, light_curves, photometry, populations

# A typical response, counts per absorbed photon/cm² in 0.5–7 keV: turns counts into a flux.
REFERENCE_AREA = 430.0
# Fainter than this, a source in an observation is no detection that has a spectrum.
LEAST_NET_COUNTS = 18.0
LEAST_SIGNIFICANCE = 3.0
ERG_PER_KEV = 1.602177e-9
# Standard deviation of `Detections.hardening`, for sources that vary.
HARDENING = 0.06


@dataclass(frozen=True)
class Sources(light_curves.Rows):
    """Sources, arrays (n)."""

    field: np.ndarray  # index of the field
    place: np.ndarray  # number within the field
    class_index: np.ndarray  # index into `populations.CLASS_NAMES`
    ra: np.ndarray  # degrees
    dec: np.ndarray  # degrees
    flux: np.ndarray  # absorbed photons/cm²/s in 0.5–7 keV, on average over time
    spectra: populations.Spectra  # their average spectra
    names: np.ndarray  # `2CXO J…`, unique


@dataclass(frozen=True)
class Detections(light_curves.Rows):
    """Detections: sources in observations, arrays (n)."""

    source: np.ndarray  # index of the source
    # obsid, obi, region_id: the detection
    obsid: np.ndarray
    obi: np.ndarray
    region_id: np.ndarray
    # family, year, exposure, theta: of the observation (`ACIS-S` or `ACIS-I`; yr, s, arcmin)
    family: np.ndarray
    year: np.ndarray
    exposure: np.ndarray
    theta: np.ndarray
    response: np.ndarray  # index into `instrument.load_epochs()`
    flux_factor: np.ndarray  # flux at that time over the average
    hardening: np.ndarray  # excess over the average spectrum (in photon index, or in ln kT)
    background: np.ndarray  # local background over the quiescent one
    background_scale: np.ndarray  # background-region counts times this are aperture counts
    light: light_curves.LightCurves  # variability during the observation


@dataclass(frozen=True)
class Observed:
    """Instrument output for n detections."""

    # channels, background_channels: counts in the aperture and in the background region, in PI
    # channels, (n, 560)
    channels: np.ndarray
    background_channels: np.ndarray
    # counts, background: the same in the contract's bins, (n, 400)
    counts: np.ndarray
    background: np.ndarray
    area: np.ndarray  # effective area at the bins' centres, cm², (n, 400)
    # Counts of the aperture in 0.5–7 keV, in equal parts of the observation, (n, timing.N_TIMES)
    times: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Rows that are made together: complete sources of one split."""

    split: str  # name of the split
    number: int  # of the batch within its split
    rows: np.ndarray  # indices of detections, (n)


def noise_free_quantities(spectra: populations.Spectra, flux: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantities that texts state, without noise, for n sources.

    The flux is in absorbed photons/cm²/s, 0.5–7 keV, (n).
    """
    photons = populations.photon_spectra(spectra)
    colours = instrument.hardness_ratios(photons)
    broad = instrument.photons_within("b")
    stated = ("first", "second", "shape", "shape2", "share2", "nh", "abundance", "redshift")
    return {
        "flux": flux * (photons[:, broad] @ instrument.PHOTON_CENTRES[broad] * ERG_PER_KEV),
        "hardness": colours["hard_hs"],
        "medium_soft": colours["hard_ms"],
        **{name: getattr(spectra, name) for name in stated},
    }


def at_the_time(spectra: populations.Spectra, hardening: np.ndarray) -> populations.Spectra:
    """Return average spectra as they are in an observation, see `Detections.hardening`."""
    # Those that every thermal model covers, keV.
    temperatures = emission.plasma_temperatures()
    shape = np.where(
        spectra.first == populations.POWER_LAW,
        spectra.shape - hardening,
        np.clip(spectra.shape * np.exp(hardening), temperatures[0], temperatures[-1]),
    )
    return replace(spectra, shape=shape)


def is_detected(net: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return True for sources with a spectrum in the catalogue.

    Args:
        net: expected source counts in 0.5–7 keV, for `REFERENCE_AREA`.
        behind: expected background counts in the aperture.
    """
    return (net > LEAST_NET_COUNTS) & (net / np.sqrt(net + 2 * behind) > LEAST_SIGNIFICANCE)


def bins_within(band: str) -> np.ndarray:
    """Return the contract's bins that lie in a band, (400,) of booleans."""
    return instrument.within(band, BIN_EDGES)


def source_names(ra: np.ndarray, dec: np.ndarray, extended: np.ndarray) -> np.ndarray:
    """Return unique catalogue names of positions (degrees), truncated as the IAU asks.

    Names of extended sources end in `X`.
    """
    names, used = np.empty(len(ra), dtype=object), set()
    for index, (longitude, latitude, large) in enumerate(zip(ra, dec, extended, strict=True)):
        tenths = int(longitude / 15.0 * 36000.0)
        seconds = int(abs(latitude) * 3600.0)
        while True:
            sign = "-" if latitude < 0 else "+"
            name = (
                f"2CXO J{tenths // 36000:02d}{tenths // 600 % 60:02d}"
                f"{tenths // 10 % 60:02d}.{tenths % 10}"
                f"{sign}{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
                f"{'X' if large else ''}"
            )
            if name not in used:
                break
            tenths = (tenths + 1) % 864000
        used.add(name)
        names[index] = name
    return names


def measured_variables(observed: Observed, seen: Detections) -> dict[str, np.ndarray]:
    """Measure the columns that follow from counts: hardness, significance, variability.

    Args:
        observed: instrument output.
        seen: the detections; all of each source.

    Returns:
        Arrays (n) by column, nan where the catalogue has no value.
    """
    bands, areas = {}, instrument.map_areas(seen.response, seen.theta)
    for name in BANDS:
        inside = bins_within(name)
        bands[name] = photometry.Band(
            observed.counts[:, inside].sum(axis=1),
            observed.background[:, inside].sum(axis=1),
            seen.background_scale,
            1.0 / (areas[name] * seen.exposure),
        )
    columns = photometry.catalogue_columns(bands)
    columns |= timing.within_observation(observed.times, seen.exposure)
    broad = bands["b"]
    columns["var_inter_prob_b"] = timing.between_observations(
        seen.source,
        broad.counts,
        broad.scale * broad.background,
        1.0 / broad.flux_per_count,
    )
    return columns
