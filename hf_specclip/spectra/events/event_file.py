"""Event files of Chandra ACIS, XMM-Newton EPIC and Swift XRT: columns, coordinates, good times."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from ..ogip.errors import SpectrumFileError
from ..ogip.fits_table import FitsFile, Table
from .regions import SkyPixels

BAND = (0.5, 7.0)
"""Energies of the catalogue's broad band, keV."""
_AGAIN = "give the original file of the archive"
_DISAGREE = 0.01  # good times and header: relative difference that is said
_NO_IMAGE = re.compile("CONTINUOUS|CC\\d|WINDOWED|TIMING|BURST|PHOTODIODE|LOWRATE")


class Camera(NamedTuple):
    """Camera and its event columns.

    Attributes:
        ccd: column of the CCD, None for a single one.
        channels: first and last PI channel.
        kev: width of a channel; the first begins at 0 keV.
        group: PI channels in a channel of a spectrum, as the observatory's software has it.
        keep: values of columns that good events have.
        responses: the commands that make ARF and RMF.
    """

    ccd: str | None
    channels: tuple[int, int]
    kev: float
    group: int
    keep: Mapping[str, Sequence[int]]
    responses: str


_XMM = "arfgen and rmfgen of SAS"
_CAMERAS = {
    "ACIS": Camera(
        "CCD_ID", (1, 1024), 0.0146, 1, {"GRADE": (0, 2, 3, 4, 6)}, "specextract of CIAO"
    ),
    "EPN": Camera("CCDNR", (0, 20479), 0.001, 5, {"PATTERN": range(5), "FLAG": (0,)}, _XMM),
    "EMOS": Camera("CCDNR", (0, 11999), 0.001, 5, {"PATTERN": range(13), "FLAG": (0,)}, _XMM),
    "XRT": Camera(
        None, (0, 1023), 0.01, 1, {"GRADE": range(13)}, "xrtmkarf of HEASoft, and the CALDB's RMF"
    ),
}


class EventFile:
    """Event file, its columns mapped into memory and read as needed.

    Args:
        path: plain (of any size) or gzipped.

    Attributes:
        table: its EVENTS extension.
        notes: what the user should know of the file.

    Raises:
        SpectrumFileError: no event file of a known camera in an imaging mode, or a level 1 file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = FitsFile(path, mapped=True)
        self.notes: list[str] = []
        tables = [t for t in self.file.tables if t.name == "EVENTS"]
        if not tables:
            mend = "give the cleaned event list of the archive (…_evt2.fits, *EVLI*, *_cl.evt)"
            raise self.file.error(
                f"holds no EVENTS extension, only {self.file.contents()}", mend=mend
            )
        self.table: Table = tables[0]
        self.header = self.table.header
        name = self.header.text("INSTRUME") or "no camera"
        camera = next((c for start, c in _CAMERAS.items() if name.upper().startswith(start)), None)
        if camera is None:
            mend = "make the spectrum with the observatory's own software"
            raise self._error(f"events of {name}, not of ACIS, EPIC or XRT", mend)
        self.camera: Camera = camera
        mode = f"{self.header.text('DATAMODE')} {self.header.text('READMODE')}".upper()
        if _NO_IMAGE.search(mode):
            mend = "give an observation in an imaging mode"
            raise self._error(f"not in an imaging mode ({mode})", mend)
        if (self.header.text("CONTENT") or "").upper() == "EVT1":
            mend = "give the level 2 file (…_evt2.fits), or make it with chandra_repro"
            raise self._error("level 1: not cleaned (CONTENT = EVT1)", mend)
        first = self.table.limit("PI")
        if first is not None and first != camera.channels[0]:
            mend = f"PI of {name} counts from {camera.channels[0]}"
            raise self._error(f"PI counts from {first} (TLMIN)", mend)
        unit = (self.header.text("TIMEUNIT") or "s").lower()
        if unit not in ("s", "sec", "seconds"):
            raise self._error(f"times in {unit}", "convert them to seconds")
        self._note_cuts()

    @cached_property
    def sky(self) -> SkyPixels:
        """Sky coordinates of the columns X and Y (TCRVL …, or XMM's REFXCRVL …)."""
        kinds, reference, pixel, step = (
            [self._coordinate(axis, name) for axis in ("X", "Y")]
            for name in ("CTYP", "CRVL", "CRPX", "CDLT")
        )
        if kinds != ["RA---TAN", "DEC--TAN"] or 0 in step:
            raise self._error(f"coordinates {kinds}", _AGAIN)
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = kinds, reference, pixel, step
        try:
            wcs.wcs.set()
        except ValueError as error:
            raise self._error("coordinates of no tangent plane", _AGAIN) from error
        system = (self.header.text("RADESYS") or self.header.text("RADECSYS") or "FK5").lower()
        if system not in ("icrs", "fk5"):
            raise self._error(f"coordinates in {system.upper()}", "give ICRS or FK5")
        return SkyPixels(wcs, system, 3600.0 * float(np.sqrt(abs(np.prod(step)))))

    def _coordinate(self, axis: str, name: str) -> Any:
        """Return a coordinate keyword of a column, such as TCRVL11 or XMM's REFXCRVL."""
        keys = (f"T{name}{self.table.number(axis)}", f"REF{axis}{name}")
        key = next((key for key in keys if key in self.header), None)
        if key is None:
            problem = f"no {keys[0]}: its sky coordinates are unknown"
            raise self.table.error(problem, column=axis, mend=_AGAIN)
        return self.header.text(key) if name == "CTYP" else self.header.number(key)

    def ccd_of(self, table: Table) -> int | None:
        """Return the CCD of a table of good times, None for all.

        From its header, else the data subspace (DSREF …), else the digits of its name.
        """
        ccd = self.camera.ccd
        if ccd is None:
            return None
        if (number := table.header.integer(ccd)) is not None:
            return number
        names = {table.name, (table.header.text("HDUNAME") or "").upper()} - {""}
        stated = [number for name, number in self._subspace.items() if name in names]
        numbered = [re.fullmatch(r"(?:STD)?GTI(\d{1,2})", name) for name in names]
        return next(iter([*stated, *(int(match[1]) for match in numbered if match)]), None)

    def good_times(self, ccd: int | None) -> NDArray[np.float64]:
        """Return the good times of a CCD, (g, 2): start and end of each, ascending and apart.

        Where several tables are of the CCD, only times in all of them are good.
        """
        tables = [t for t in self.file.tables if t.hduclas(1) == "GTI" or "GTI" in t.name]
        tables = [t for t in tables if "START" in t and "STOP" in t and t.n_rows]
        owners = [self.ccd_of(table) for table in tables]
        of_ccd = [t for t, owner in zip(tables, owners, strict=True) if owner in (ccd, None)]
        if not of_ccd:
            which = "" if ccd is None else f" for {self.camera.ccd} {ccd}"
            mend = f"{_AGAIN}, with its GTI extensions"
            raise self._error(f"no good times{which}, only {self.file.contents()}", mend)
        own_zero = self.header.number("TIMEZERO", 0.0) or 0.0
        intervals = []
        for table in of_ccd:
            zero = table.header.number("TIMEZERO", own_zero) or 0.0
            times = np.stack([table.vector("START"), table.vector("STOP")], axis=1)
            intervals.append(_merged(times + (zero - own_zero)))
        good = reduce(_common, intervals)
        if not len(good):
            raise self._error("no good time is left", _AGAIN)
        return good

    def exposure(self, ccd: int | None, good: NDArray[np.float64]) -> tuple[float, float, str]:
        """Return live time (s), live time over good time, and their comparison in words.

        The header's live time is used if it agrees with the good times to 1 %, else the good times
        less the header's share of dead time.
        """
        total = float(np.diff(good, axis=1).sum())
        live_key, live = self._of_ccd(ccd, ("LIVTIME", "LIVETI", "EXPOSUR", "EXPOSU"), "LIVETIME")
        if live is None:
            live_key, live = "EXPOSURE", self.header.number("EXPOSURE")
        _, on = self._of_ccd(ccd, ("ONTIME",), "ONTIME")
        share = self.header.number("DTCOR")
        if share is None or not 0 < share <= 1:
            share = min(live / on, 1.0) if live and on else 1.0
        expected = total * share
        times = "1 good time interval" if len(good) == 1 else f"{len(good)} good time intervals"
        sums = f"{times} of {total:,.1f} s × {share:.5f} live = {expected:,.1f} s"
        if live is not None and live > 0 and abs(live - expected) <= _DISAGREE * expected:
            return live, live / total, f"{live:,.1f} s ({live_key}); {sums}"
        stated = "not stated by the header" if live is None else f"the header has {live:,.1f} s"
        if live is not None:
            live_time = f"{expected:,.1f} s from the good time intervals"
            self.notes.append(f"exposure: {stated} ({live_key}), {live_time} are taken")
        return expected, share, f"{expected:,.1f} s, {stated}; {sums}"

    def _of_ccd(
        self, ccd: int | None, stems: Sequence[str], general: str
    ) -> tuple[str, float | None]:
        """Return a time of a CCD (Chandra: LIVTIME7, XMM: LIVETI07), else that of all."""
        keys = [f"{stem}{form}" for stem in stems for form in (f"{ccd}", f"{ccd or 0:02d}")]
        for key in [general] if ccd is None else [*keys, general]:
            if (value := self.header.number(key)) is not None:
                return key, value
        return general, None

    @cached_property
    def _subspace(self) -> dict[str, int]:
        """CCD of each table of good times, by the data subspace keywords (DSTYPn, DSREFn …)."""
        kinds = {n: (self.header.text(f"DSTYP{n}") or "").upper() for n in range(1, 40)}
        time = next((n for n, kind in kinds.items() if kind == "TIME"), None)
        ccd = next((n for n, kind in kinds.items() if kind in ("CCD_ID", "CCDNR")), None)
        found: dict[str, int] = {}
        for component in ("", *range(2, 40)) if time and ccd else ():
            reference = self.header.text(f"{component}DSREF{time}")
            value = re.match(r"\d+", self.header.text(f"{component}DSVAL{ccd}") or "")
            if reference and value:
                found[reference.strip(":[] ").upper()] = int(value[0])
        return found

    def _note_cuts(self) -> None:
        for n in range(1, 40):
            kind = (self.header.text(f"DSTYP{n}") or "").upper().replace(" ", "")
            if kind in ("POS(X,Y)", "(X,Y)", "SKY", "POS", "X,Y"):
                cut = self.header.text(f"DSVAL{n}") or "a region"
                self.notes.append(f"the file was filtered to {cut[:60]}: no events lie outside")

    def _error(self, problem: str, mend: str) -> SpectrumFileError:
        return self.table.error(problem, mend=mend)


def _merged(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the union of intervals (g, 2), ascending and apart."""
    times = times[np.isfinite(times).all(axis=1) & (times[:, 1] > times[:, 0])]
    times = times[np.argsort(times[:, 0])]
    ends = np.maximum.accumulate(times[:, 1])
    apart = times[1:, 0] > ends[:-1]
    starts = np.append(times[:1, 0], times[1:, 0][apart])
    return np.stack([starts, np.append(ends[:-1][apart], ends[-1:])], axis=1)


def _common(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times that both have; each ascending and apart."""
    edges = np.unique(np.concatenate([one.ravel(), other.ravel()]))
    middle = (edges[:-1] + edges[1:]) / 2
    inside = within(middle, one) & within(middle, other)
    return _merged(np.stack([edges[:-1], edges[1:]], axis=1)[inside])


def within(times: NDArray[np.float64], good: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return True for times in one of the good times (g, 2), ascending and apart."""
    at = np.searchsorted(good[:, 0], times, side="right") - 1
    return (at >= 0) & (times <= good[at, 1])
