"""Summary of a spectrum: exposure, counts, background, responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .spectrum import XRaySpectrum

__all__ = ["spectrum_facts"]

_OBSERVATION = (
    *("source_name", "obsid", "obi", "region_id"),
    *("telescope", "instrument", "detector", "grating", "ra", "dec"),
)


def spectrum_facts(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return plain values under names that carry their units; None where unknown.

    Net counts have the error of two Poisson counts by Gaussian propagation: good enough to read,
    not to publish.
    """
    binned = spectrum.rebinned()
    counts = int(binned["counts"].sum())
    scale = float(binned["background_scale"] or 0.0)
    region = int(binned["background_counts"].sum())
    background = spectrum.background_counts
    net = counts - scale * region
    net_error = (counts + scale**2 * region) ** 0.5
    area = binned["effective_area"]
    return {
        **{name: getattr(spectrum, name) for name in _OBSERVATION},
        "target_ra": None if spectrum.target is None else spectrum.target[0],
        "target_dec": None if spectrum.target is None else spectrum.target[1],
        "exposure_s": float(spectrum.exposure),
        "frame_time_s": spectrum.frame_time,
        "channels": len(spectrum.counts),
        "energy_range_kev": [float(spectrum.energy_edges[0]), float(spectrum.energy_edges[-1])],
        "total_counts": int(spectrum.counts.sum()),
        "background_total_counts": None if background is None else int(background.sum()),
        "background_scale": None if background is None else scale,
        "counts_0.5_8kev": counts,
        "net_counts_0.5_8kev": net,
        "net_counts_error_0.5_8kev": net_error,
        "net_rate_0.5_8kev_per_s": net / spectrum.exposure,
        "effective_area_max_cm2": None if area is None else float(area.max()),
        "arf": _name(spectrum.arf),
        "rmf": _name(spectrum.rmf),
        "notes": list(spectrum.notes),
    }


def _name(response: Any) -> str | None:
    path = getattr(response, "path", None)
    return None if response is None else Path(path).name if path else "in memory"
