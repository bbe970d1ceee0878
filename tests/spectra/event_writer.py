"""Writes small event files for tests: simulated photons, as the archives lay them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

RA, DEC = 150.1, 60.0  # far from the equator: cos(dec) is 0.5
START = 2.0e8
# Telescope, instrument, first PI channel, keV a channel, sky pixel in degrees, its reference pixel.
CAMERAS = {
    "ACIS": ("CHANDRA", 1, 0.0146, 0.492 / 3600, 4096.5),
    "EPN": ("XMM", 0, 0.001, 0.05 / 3600, 25921.0),
    "XRT": ("SWIFT", 0, 0.01, 2.36 / 3600, 500.5),
}
QUALITY = {"EPN": ["PATTERN", "FLAG"]}


def flare(length: float, number: int, draw: np.random.Generator) -> np.ndarray:
    """Times from 0 to `length`, half of them in a flare of a tenth of it."""
    times = draw.uniform(0, length, number)
    times[: number // 2] = length * draw.uniform(0.6, 0.7, number // 2)
    return times


def periodic(length: float, number: int, draw: np.random.Generator) -> np.ndarray:
    """Times of a source whose rate is modulated by 90 % with a period of a fifth of the length."""
    times = draw.uniform(0, length, 10 * number)
    kept = draw.uniform(0, 1.9, len(times)) < 1 + 0.9 * np.sin(10 * np.pi * times / length)
    return times[kept][:number]


def write_events(
    path: Path,
    times: np.ndarray,
    *,
    camera: str = "ACIS",
    good: Any = ((0.0, 20_000.0),),
    other_good: Any = ((0.0, 5_000.0),),
    offset: tuple[float, float] = (30.0, -20.0),
    radius: float = 0.5,
    background: int = 0,
    drop: tuple[str, ...] = (),
    seed: int = 0,
    gti_zero: float = 0.0,
    **header: Any,
) -> Path:
    """Write events of one source, `offset` (arcsec, east and north) from the centre of the field.

    Args:
        times: since START, s.
        good, other_good: good times of the source's CCD (7) and of another (6), since START.
        radius: of the disc that the events lie in, arcsec.
        background: events within 100 arcsec besides.
        drop: columns to leave out.
        gti_zero: TIMEZERO of the good times, whose numbers are lowered by it.
        header: keywords of EVENTS to add or change.
    """
    telescope, first, kev, pixel, middle = CAMERAS[camera]
    draw = np.random.default_rng(seed)
    n = len(times) + background
    reach = np.where(np.arange(n) < len(times), radius, 100.0) / 3600 / pixel
    distance, angle = reach * np.sqrt(draw.random(n)), 2 * np.pi * draw.random(n)
    low = min(np.min(good), 0.0)
    every = np.concatenate([times, draw.uniform(low, np.max(good), background)])
    ccd = "CCDNR" if camera == "EPN" else "CCD_ID"
    columns = {
        "TIME": START + every,
        "X": middle - offset[0] / 3600 / pixel + distance * np.cos(angle),
        "Y": middle + offset[1] / 3600 / pixel + distance * np.sin(angle),
        "PI": first + (draw.uniform(0.6, 6.5, n) / kev).astype(np.int32),
        **({} if camera == "XRT" else {ccd: np.full(n, 7, np.int16)}),
        **{name: np.zeros(n, int) for name in QUALITY.get(camera, ["GRADE"])},
    }
    table = Table(columns)
    table.remove_columns([name for name in drop if name in columns])
    events = fits.BinTableHDU(table, name="EVENTS")
    for number, name in enumerate(table.colnames, start=1):
        if name in ("X", "Y"):
            axis, sign, value = ("RA---TAN", -1, RA) if name == "X" else ("DEC--TAN", 1, DEC)
            cards = {"TCTYP": axis, "TCRVL": value, "TCRPX": middle, "TCDLT": sign * pixel}
            events.header.update({f"{key}{number}": card for key, card in cards.items()})
        elif name == "PI":
            events.header[f"TLMIN{number}"] = first
    total = float(np.diff(good, axis=1).sum())
    cards = {
        "TELESCOP": telescope, "INSTRUME": camera, "OBJECT": "Test source", "OBS_ID": "1234",
        "MJDREF": 50814.0, "TIMEZERO": 0.0, "TIMEUNIT": "s",
        "RADESYS": "ICRS", "ONTIME": 9e3, "LIVETIME": 9e3, "EXPOSURE": 9e3, "DTCOR": 0.98,
        ("LIVETI07" if camera == "EPN" else "LIVTIME7"): 0.98 * total,
    }  # fmt: skip
    if camera == "XRT":
        cards |= {"ONTIME": total, "LIVETIME": 0.98 * total, "EXPOSURE": 0.98 * total}
    events.header.update(cards | header)
    hdus = [fits.PrimaryHDU(), events]
    for number, intervals in ((6, other_good), (7, good)):
        table = np.asarray(intervals, float) + START - gti_zero
        name = f"STDGTI0{number}" if camera == "EPN" else "GTI"
        hdu = fits.BinTableHDU(Table(table, names=["START", "STOP"]), name=name)
        hdu.header["TIMEZERO"] = gti_zero
        if camera == "ACIS":
            hdu.header["CCD_ID"] = number
        if camera != "XRT" or number == 7:
            hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
