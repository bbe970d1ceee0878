"""Summary of a spectrum: exposure, counts, background, responses."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from .rebin import overlap_fractions
from .spectrum import XRaySpectrum

# Frame of six ACIS chips, s, where a file does not state it.
ACIS_FRAME = 3.2
# Smallest pile-up fraction that is noted.
PILE_UP_NOTED = 0.03

_BAND = (0.5, 8.0)  # keV

_OBSERVATION = (
    *("source_name", "obsid", "obi", "region_id"),
    *("telescope", "instrument", "detector", "grating", "order", "date", "ra", "dec"),
)
_OF_BAND = (
    *("background_scale", "counts_0.5_8kev", "net_counts_0.5_8kev", "net_counts_error_0.5_8kev"),
    *("net_rate_0.5_8kev_per_s", "effective_area_max_cm2", "pile_up_share"),
)


def spectrum_facts(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return plain values under names that carry their units; None where unknown.

    The error of net counts is propagated from √N, or from the errors given by the file: good enough
    to read, not to publish. `pile_up_share` of ACIS follows from rate and frame time (3.2 s where
    the file states none), as if all counts fell in one 3 × 3 pixel island.
    """
    background = spectrum.background_counts
    edges, good = spectrum.energy_edges, spectrum.good
    return {
        **{name: getattr(spectrum, name) for name in _OBSERVATION},
        "target_ra": None if spectrum.target is None else spectrum.target[0],
        "target_dec": None if spectrum.target is None else spectrum.target[1],
        "exposure_s": float(spectrum.exposure),
        "frame_time_s": spectrum.frame_time,
        "channels": len(spectrum.counts),
        "energy_range_kev": None if edges is None else [float(edges[0]), float(edges[-1])],
        "energy_from": spectrum.energy_from,
        "bad_channels": int((~good).sum()),
        "total_counts": spectrum.counts[good].sum().item(),
        "background_total_counts": None if background is None else background[good].sum().item(),
        **_facts_of_band(spectrum),
        "variability": None if spectrum.variability is None else dict(spectrum.variability),
        "arf": _name(spectrum.arf),
        "rmf": _name(spectrum.rmf),
        "notes": list(spectrum.notes),
    }


def _facts_of_band(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return the values at 0.5–8 keV; None where the energies of the channels are unknown."""
    if spectrum.energy_edges is None:
        return dict.fromkeys(_OF_BAND) | {"background_scale": _scale_of(spectrum)}
    if not spectrum.counted:
        return dict.fromkeys(_OF_BAND) | _net_of_band(spectrum)
    binned = spectrum.rebinned()
    counts = int(binned["counts"].sum())
    scale = float(binned["background_scale"] or 0.0)
    region = int(binned["background_counts"].sum())
    net = counts - scale * region
    area = binned["effective_area"]
    per_frame = counts / spectrum.exposure * (spectrum.frame_time or ACIS_FRAME)
    imaged = spectrum.camera.imaging_ccd and spectrum.camera.stated_camera
    facts = {
        "background_scale": _scale_of(spectrum, scale),
        "counts_0.5_8kev": counts,
        "net_counts_0.5_8kev": net,
        "net_counts_error_0.5_8kev": (counts + scale**2 * region) ** 0.5,
        "net_rate_0.5_8kev_per_s": net / spectrum.exposure,
        "effective_area_max_cm2": None if area is None else float(area.max()),
        "pile_up_share": pile_up_share(per_frame) if imaged else None,
    }
    return facts if spectrum.are_poisson else facts | _net_of_band(spectrum)


def _scale_of(spectrum: XRaySpectrum, mean: float | None = None) -> float | None:
    """Return the one factor of a background, `mean` where it varies; None without a background."""
    scale = spectrum.background_scale
    if spectrum.background_counts is None:
        return None
    return scale if isinstance(scale, float) else mean


def _net_of_band(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return net counts at 0.5–8 keV with the errors given, those errors, and the rate."""
    inside = overlap_fractions(spectrum.channel_edges, np.array(_BAND))[:, 0] * spectrum.good
    region, scale = spectrum.background_observed
    net = float(inside @ (spectrum.counts - scale * region))
    error = float("nan")
    if spectrum.stat_error is not None:
        error = float(inside @ (spectrum.stat_error**2 + scale**2 * region)) ** 0.5
    return {
        "background_scale": _scale_of(spectrum),
        "counts_0.5_8kev": float(inside @ spectrum.counts),
        "net_counts_0.5_8kev": net,
        "net_counts_error_0.5_8kev": error,
        "net_rate_0.5_8kev_per_s": net / spectrum.exposure,
    }


def notes_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the notes of the reader, and one on pile-up."""
    share = facts["pile_up_share"] or 0.0
    if share < PILE_UP_NOTED:
        return list(facts["notes"])
    text = f"about {share:.0%} of the events are piled up if the source is near the optical axis"
    return [*facts["notes"], text]


def pile_up_share(detected: float) -> float:
    """Return the pile-up fraction: the share of recorded events of two photons or more.

    Args:
        detected: events in a frame. With μ photons in a frame, 1 − exp(−μ) events are recorded,
            of which μ exp(−μ) are of a single photon.
    """
    photons = -log(max(1.0 - detected, exp(-20.0)))
    if photons <= 0:
        return 0.0
    return 1.0 - photons * exp(-photons) / (1.0 - exp(-photons))


def _name(response: Any) -> str | None:
    path = getattr(response, "path", None)
    return None if response is None else Path(path).name if path else "in memory"
