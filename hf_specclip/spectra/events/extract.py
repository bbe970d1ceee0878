"""Spectrum and variability of a source, from an event file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from .event_file import BAND, EventFile, within
from .regions import Region, background_region, source_region
from .variability import Variability, measure_variability

# A position farther than this from every event is off the detector.
_FIELD_EDGE_ARCSEC = 60.0
_MOST_ELSEWHERE = 0.05


@dataclass(frozen=True, eq=False)
class RegionSpectrum:
    """Counts of a region.

    Attributes:
        region: in sky pixels.
        counts: in each channel, (n,).
        ccd: that most of its events are on, None where there is a single one.
        exposure: live time of that CCD, s.
        exposure_text: its comparison with the good times, in words.
    """

    region: Region
    counts: NDArray[np.int64]
    ccd: int | None
    exposure: float
    exposure_text: str


@dataclass(frozen=True, eq=False)
class Extraction:
    """Spectrum and variability of a source.

    Attributes:
        events: the file.
        source: counts in the source region.
        background: of the background region, or None.
        position: centre of the source region, ICRS.
        first_channel: number of the first channel.
        in_region: events in the source region, before any was left out.
        dropped: events of it left out, by reason.
        variability: at 0.5–7 keV.
        notes: what the user should know.
    """

    events: EventFile
    source: RegionSpectrum
    background: RegionSpectrum | None
    position: SkyCoord
    first_channel: int
    in_region: int
    dropped: dict[str, int]
    variability: Variability
    notes: tuple[str, ...]

    @property
    def area_ratio(self) -> float | None:
        """Area of the background region over that of the source region."""
        background = self.background
        return None if background is None else background.region.area / self.source.region.area


def extract_events(
    path: str | os.PathLike[str],
    *,
    at: str | None = None,
    radius: str | float | None = None,
    region: str | Path | None = None,
    background: str | Path | None = None,
) -> Extraction:
    """Extract the spectrum of a region, and measure its variability.

    Args:
        path: event file of Chandra ACIS, XMM-Newton EPIC or Swift XRT.
        at: `RA,DEC` of a circle (ICRS), in degrees or sexagesimal.
        radius: of that circle, arcsec, or with a unit such as `0.5arcmin`.
        region: region file of DS9 or CIAO instead.
        background: `annulus:IN,OUT` around the source (arcsec), or a region file; None for none.

    Raises:
        SpectrumFileError: a file that cannot be used, or no event in the source region.
        ValueError: a position or radius that is not understood.

    Examples:
        >>> extract_events("evt2.fits", at="150.1163,2.2058", radius=3)  # doctest: +SKIP
    """
    events = EventFile(path)
    camera, table, sky = events.camera, events.table, events.sky
    regions = [source_region(sky, at, radius, region)]
    if background is not None:
        regions.append(background_region(sky, background, regions[0]))
    x, y = (np.asarray(table.vector(axis)) for axis in ("X", "Y"))
    inside = [each.holds(x, y) for each in regions]
    rows = np.flatnonzero(np.logical_or.reduce(inside))
    inside = [mask[rows] for mask in inside]
    if not inside[0].any():
        raise _nothing_there(events, regions[0], x, y)
    keep = {name: table.vector(name)[rows] for name in camera.keep}
    times, pi = table.vector("TIME")[rows], table.vector("PI")[rows]
    ccds = None if camera.ccd is None else table.vector(camera.ccd)[rows].astype(np.int64)

    good, dropped = np.ones(len(rows), bool), {}

    def drop(bad: NDArray[np.bool_], reason: str) -> None:
        dropped[reason] = int((good & bad & inside[0]).sum())
        good[bad] = False

    for name, values in camera.keep.items():
        drop(~np.isin(keep[name], values), f"{name} not {_listed(values)}")
    main = _usual(ccds, good & inside[0])
    good_times = events.good_times(main)
    outside = ~within(times, good_times)
    for ccd in set() if ccds is None else set(np.unique(ccds).tolist()) - {main}:
        outside[ccds == ccd] = ~within(times[ccds == ccd], events.good_times(ccd))
    drop(outside | ~np.isfinite(times), "outside the good times")
    first, last = camera.channels
    drop(~((pi >= first) & (pi <= last)), f"PI not {first}–{last}")
    if not (good & inside[0]).any():
        why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
        raise table.error(
            f"none of {inside[0].sum():,} events of the source region is good: {why}",
            mend="give the cleaned event list of the archive",
        )

    spectra = []
    for each, mask in zip(regions, inside, strict=True):
        chosen = good & mask
        ccd = _usual(ccds, chosen)
        ccd = main if ccd is None else ccd
        channels = (pi[chosen].astype(np.int64) - first) // camera.group
        counts = np.bincount(channels, minlength=(last - first) // camera.group + 1)
        live, share, text = events.exposure(ccd, events.good_times(ccd))
        spectra.append(RegionSpectrum(each, counts, ccd, live, text))
        elsewhere = 0.0 if ccds is None else (ccds[chosen] != ccd).mean()
        if elsewhere > _MOST_ELSEWHERE:
            events.notes.append(
                f"{elsewhere:.0%} of the events of the {each.text} are on other CCDs than {ccd}, "
                "whose exposure is taken"
            )
    if len(spectra) > 1 and (both := int((good & inside[0] & inside[1]).sum())):
        events.notes.append(f"the background overlaps the source: {both:,} events are in both")
    if len(spectra) > 1 and spectra[1].ccd != main:
        events.notes.append(f"the background is mostly on CCD {spectra[1].ccd}: not the source's")
    events.notes.append("areas are geometric: chip edges, gaps and bad columns are not subtracted")
    if events.header.text("INSTRUME") == "ACIS":
        events.notes.append(
            "not corrected for dither: near a chip's edge it can look like variability"
        )
    energy = (pi - first + 0.5) * camera.kev
    broad = good & inside[0] & (energy >= BAND[0]) & (energy <= BAND[1])
    share = events.exposure(main, good_times)[1]
    ring = regions[0].include[0]
    return Extraction(
        events=events,
        source=spectra[0],
        background=spectra[1] if len(spectra) > 1 else None,
        position=sky.position(ring.x, ring.y),
        first_channel=first,
        in_region=int(inside[0].sum()),
        dropped=dropped,
        variability=measure_variability(times[broad], good_times, share),
        notes=tuple(dict.fromkeys(events.notes)),
    )


def _usual(ccds: NDArray[np.int64] | None, chosen: NDArray[np.bool_]) -> int | None:
    """Return the CCD of most chosen events; None without CCDs or events."""
    if ccds is None or not chosen.any():
        return None
    numbers, counts = np.unique(ccds[chosen], return_counts=True)
    return int(numbers[counts.argmax()])


def _listed(values: Any) -> str:
    return f"{values[0]}–{values[-1]}" if isinstance(values, range) else ", ".join(map(str, values))


def _nothing_there(
    events: EventFile, region: Region, x: NDArray[Any], y: NDArray[Any]
) -> Exception:
    """Return the error for a region without events: off the detector, or empty."""
    ring = region.include[0]
    distance = np.hypot(x - ring.x, y - ring.y)
    nearest = float(np.nanmin(distance)) * events.sky.scale if len(x) else np.inf
    position = events.sky.position(ring.x, ring.y).to_string("decimal", precision=5)
    if nearest > _FIELD_EDGE_ARCSEC:
        problem = f"{position} lies outside the field: the nearest event is {nearest:,.0f}″ away"
        return events.table.error(problem, mend="check the position, and that the file is its own")
    problem = f"no event in the {region.text} at {position}: the nearest is {nearest:.1f}″ away"
    return events.table.error(problem, mend="check the position, or take a larger radius")
