"""Summary of a spectrum: exposure, counts, background, responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .spectrum import XRaySpectrum

__all__ = ["spectrum_facts"]

_OBSERVATION = (
    *("source_name", "obsid", "obi", "region_id"),
    *("telescope", "instrument", "detector", "grating", "order", "date", "ra", "dec"),
)
_OF_BAND = (
    *("background_scale", "counts_0.5_8kev", "net_counts_0.5_8kev", "net_counts_error_0.5_8kev"),
    *("net_rate_0.5_8kev_per_s", "effective_area_max_cm2"),
)


def spectrum_facts(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return plain values under names that carry their units; None where unknown.

    Net counts have the error of two Poisson counts by Gaussian propagation: good enough to read,
    not to publish.
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
        "total_counts": int(spectrum.counts[good].sum()),
        "background_total_counts": None if background is None else int(background[good].sum()),
        **_facts_of_band(spectrum),
        "arf": _name(spectrum.arf),
        "rmf": _name(spectrum.rmf),
        "notes": list(spectrum.notes),
    }


def _facts_of_band(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return the values at 0.5–8 keV; None where the energies of the channels are unknown."""
    if spectrum.energy_edges is None:
        scale = spectrum.background_scale
        known = isinstance(scale, float) and spectrum.background_counts is not None
        return dict.fromkeys(_OF_BAND) | {"background_scale": scale if known else None}
    binned = spectrum.rebinned()
    counts = int(binned["counts"].sum())
    scale = float(binned["background_scale"] or 0.0)
    region = int(binned["background_counts"].sum())
    net = counts - scale * region
    area = binned["effective_area"]
    values = (
        None if spectrum.background_counts is None else scale,
        counts,
        net,
        (counts + scale**2 * region) ** 0.5,
        net / spectrum.exposure,
        None if area is None else float(area.max()),
    )
    return dict(zip(_OF_BAND, values, strict=True))


def _name(response: Any) -> str | None:
    path = getattr(response, "path", None)
    return None if response is None else Path(path).name if path else "in memory"
