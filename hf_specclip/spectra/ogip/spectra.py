"""Reader of PHA files (OGIP types I and II) with their responses and backgrounds.

Written after OGIP 92-007 and 92-007a, and after files that keep to them loosely. Side files are
looked for beside the spectrum and nowhere else: a name in a header is untrusted, and only its last
part is used. A file that cannot be read raises `SpectrumFileError`; nothing is guessed in silence,
what was made up for is in `XRaySpectrum.notes`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..response import EffectiveArea, RedistributionMatrix
from ..spectrum import XRaySpectrum
from .errors import SpectrumFileError
from .fits_table import FitsFile, Ragged, Table
from .responses import MAX_CHANNELS, read_arf, read_rmf

__all__ = ["read_arf", "read_rmf", "read_spectra", "read_spectrum"]

FilePath = str | os.PathLike[str]

# Type II files of gratings hold 12 spectra, of time-resolved detectors some hundreds.
MAX_SPECTRA = 100_000

ACIS_PI_CHANNEL_KEV = 0.0146
"""Width of a Chandra ACIS PI channel; channel 1 begins at 0 keV (CIAO, "PI")."""

_ABSENT = {"", "none", "null", "n/a", "unknown", "not available"}
_CSC_NAME = re.compile(r"(?P<before>.+N)(?P<version>\d{3})(?P<after>(?:_.+)?_)pha3$")
_CSC_VERSIONS = 60


def read_spectrum(
    path: FilePath,
    *,
    arf: FilePath | EffectiveArea | None = None,
    rmf: FilePath | RedistributionMatrix | None = None,
    background: FilePath | XRaySpectrum | None = None,
    row: int | None = None,
) -> XRaySpectrum:
    """Read one spectrum with its responses and its background.

    ARF, RMF and background are found through ANCRFILE, RESPFILE and BACKFILE (beside the file,
    gzipped or not), a background HDU in the same file, the names of the Chandra Source Catalog
    (``…_pha3`` → ``…_arf3``, ``…_rmf3``, of any version) and the same stem (``x.pi`` → ``x.arf``,
    ``x.rmf``, ``x.rsp``). What is not found is None, with a note.

    Args:
        path: PHA file, type I or II, plain or gzipped.
        arf, rmf, background: file or object to use in place of what the header names; ``"none"``
            for none. An ``.rsp`` goes to `rmf`.
        row: which spectrum, from 0, where the file holds several.

    Returns:
        the spectrum. Without an RMF the channels of Chandra ACIS PI spectra get their nominal
        energies (14.6 eV each, channel 1 from 0 keV); `XRaySpectrum.energy_from` says so.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend.

    Example:
        >>> spectrum = read_spectrum("acisf01575_001N001_r0085_pha3.fits.gz")  # doctest: +SKIP
        >>> spectrum.rebinned()["counts"].shape  # doctest: +SKIP
        (400,)
    """
    file = FitsFile(path)
    entries = _spectra_in(file)
    if row is None and len(entries) > 1:
        raise SpectrumFileError(
            f"holds {len(entries)} spectra",
            path=file.path,
            mend=f"give row=0…{len(entries) - 1}, or use read_spectra",
        )
    number = 0 if row is None else row
    if not 0 <= number < len(entries):
        raise SpectrumFileError(
            f"has no row {row}", path=file.path, mend=f"give row=0…{len(entries) - 1}"
        )
    return _Assembler(file, arf, rmf, background).spectrum(*entries[number])


def read_spectra(
    path: FilePath,
    *,
    arf: FilePath | EffectiveArea | None = None,
    rmf: FilePath | RedistributionMatrix | None = None,
    background: FilePath | XRaySpectrum | None = None,
) -> list[XRaySpectrum]:
    """Read every spectrum of a file (type II: one for each row), as `read_spectrum` does.

    Args:
        path: PHA file, type I or II, plain or gzipped.
        arf, rmf, background: see `read_spectrum`; used for all of them.

    Returns:
        the spectra in the file's order, at least one; backgrounds do not count.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend.
    """
    file = FitsFile(path)
    assembler = _Assembler(file, arf, rmf, background)
    return [assembler.spectrum(*entry) for entry in _spectra_in(file)]


@dataclass(frozen=True, eq=False)
class _Raw:
    """Spectrum as its table has it, in the order of its channels."""

    table: Table
    row: int | None
    counts: NDArray[np.int64]
    channels: NDArray[np.int64] | None
    exposure: float
    backscal: float | NDArray[np.float64]
    areascal: float | NDArray[np.float64]
    quality: NDArray[np.int64] | None
    grouping: NDArray[np.int64] | None
    stat_error: NDArray[np.float64] | None

    def name(self, keyword: str) -> str | None:
        """Return a file name from the row (type II) or the header; None for ``none``."""
        table = self.table
        if self.row is not None and table.is_text(keyword):
            text: str | None = table.texts(keyword)[self.row]
        else:
            text = table.header.text(keyword)
        return None if text is None or text.lower() in _ABSENT else text

    def on(self, channels: NDArray[np.int64]) -> _Raw:
        """Return the spectrum on other (consecutive) channels; 0 counts where it has none."""
        if self.channels is None:
            raise ValueError("a spectrum without channel numbers cannot be moved")
        at = self.channels - channels[0]

        def moved(values: Any, fill: float) -> Any:
            if not isinstance(values, np.ndarray):
                return values
            new = np.full(channels.size, fill, dtype=values.dtype)
            new[at] = values
            return new

        return replace(
            self,
            channels=channels,
            counts=moved(self.counts, 0),
            backscal=moved(self.backscal, 0),
            areascal=moved(self.areascal, 0),
            quality=moved(self.quality, 5),  # OGIP: bad, set by the user
            grouping=moved(self.grouping, 1),
            stat_error=moved(self.stat_error, 0),
        )


def _spectra_in(file: FitsFile) -> list[tuple[Table, int | None]]:
    """Find the spectra of a file: HDU, and row where the HDU is of type II."""
    tables = [t for t in file.tables if t.name == "SPECTRUM" or t.hduclas(1) == "SPECTRUM"] or [
        t for t in file.tables if "CHANNEL" in t and ("COUNTS" in t or "RATE" in t)
    ]
    if not tables:
        there = ", ".join(f"{t.index}:{t.name or '?'}" for t in file.tables) or "no tables"
        raise SpectrumFileError(
            f"holds no SPECTRUM extension, only {there}",
            path=file.path,
            mend="give a PHA file; responses go to arf= and rmf=",
        )
    sources = [t for t in tables if not _is_background(t)] or tables
    found = _rows_of(sources)
    if not found:
        raise sources[0].error("has no rows", mend="make the spectrum again")
    return found


def _rows_of(tables: list[Table]) -> list[tuple[Table, int | None]]:
    """Yield each spectrum of these HDUs: the HDU alone (type I), or with its row (type II)."""
    found: list[tuple[Table, int | None]] = []
    for table in tables:
        if not _is_type_two(table):
            found.append((table, None))
            continue
        if table.n_rows > MAX_SPECTRA:
            raise table.error(f"{table.n_rows:,} spectra are too many", mend="split the file")
        found += [(table, row) for row in range(table.n_rows)]
    return found


def _is_background(table: Table) -> bool:
    return any(table.hduclas(number) == "BKG" for number in (2, 3))


def _is_type_two(table: Table) -> bool:
    for name in ("COUNTS", "RATE"):
        if name in table:
            values = table.column(name)
            return isinstance(values, Ragged) or values.ndim > 1
    raise table.error("has neither COUNTS nor RATE", mend="give a PHA file")


def _read_raw(table: Table, row: int | None) -> _Raw:
    """Read one spectrum from its table and check it."""
    mend = "make the spectrum again"
    exposure = _per_row(table, row, "EXPOSURE", None)
    if exposure is None or isinstance(exposure, np.ndarray) or not exposure > 0:
        said = "is missing" if exposure is None else f"is {exposure}, not a positive number"
        raise SpectrumFileError(
            said,
            path=table.file.path,
            place=f"{table.label}, keyword EXPOSURE",
            mend="write the live time in seconds to EXPOSURE",
        )
    name = "COUNTS" if "COUNTS" in table else "RATE"
    values = _cell(table, row, name)
    if not np.isfinite(values).all():
        raise table.error("must be finite", column=name, mend=mend)
    if values.min() < 0:
        raise table.error(
            f"is negative in channel row {int(values.argmin())}",
            column=name,
            mend="give the spectrum before background subtraction",
        )
    if not 1 <= values.size <= MAX_CHANNELS:
        raise table.error(f"{values.size:,} channels are too many", column=name, mend=mend)
    expected = values if name == "COUNTS" else values * exposure
    counts = np.rint(expected)
    # Rates in single precision miss whole counts by 6e-8 of them.
    off = np.abs(expected - counts) > 0.01 + 2e-7 * counts
    if off.any():
        channel = int(np.flatnonzero(off)[0])
        what = "RATE × EXPOSURE" if name == "RATE" else "COUNTS"
        raise table.error(
            f"{what} is {expected[channel]:.6g} in row {channel}, not a whole number",
            column=name,
            mend="give the spectrum of counts, before background subtraction or weighting",
        )
    if counts.sum() > 2**31 - 1:
        raise table.error(f"{counts.sum():.3g} counts are too many", column=name, mend=mend)

    stat_error = None
    if "STAT_ERR" in table:
        stat_error = _cell(table, row, "STAT_ERR") * (1.0 if name == "COUNTS" else exposure)
    detchans = table.header.integer("DETCHANS")
    if detchans is not None and not 0 < detchans <= MAX_CHANNELS:
        raise table.error(f"DETCHANS = {detchans} is no number of channels", mend=mend)
    raw = _Raw(
        table=table,
        row=row,
        counts=counts.astype(np.int64),
        channels=_pha_channels(table, row, counts.size),
        exposure=float(exposure),
        backscal=_scaling(table, row, "BACKSCAL"),
        areascal=_scaling(table, row, "AREASCAL"),
        quality=_flags(table, row, "QUALITY"),
        grouping=_flags(table, row, "GROUPING"),
        stat_error=stat_error,
    )
    for label in ("backscal", "areascal", "quality", "grouping", "stat_error"):
        values = getattr(raw, label)
        if isinstance(values, np.ndarray) and values.size != counts.size:
            raise table.error(
                f"has {values.size} values for {counts.size} channels",
                column=label.upper().replace("STAT_ERROR", "STAT_ERR"),
                mend=mend,
            )
    return raw


def _cell(table: Table, row: int | None, name: str) -> NDArray[np.float64]:
    """Return a vector: a column (type I), or one row of it (type II)."""
    values = table.column(name)
    if row is None:
        if isinstance(values, Ragged) or values.ndim != 1:
            raise table.error("must hold one number a row", column=name, mend="see OGIP 92-007")
        found = values
    elif isinstance(values, Ragged):
        start = int(values.starts[row])
        found = values.flat[start : start + int(values.lengths[row])]
    else:
        found = np.atleast_1d(values[row])
    if not found.size:
        raise table.error("is empty", column=name, mend="make the spectrum again")
    with np.errstate(invalid="ignore"):  # signalling NaNs; what is not finite is refused later
        return found.astype(np.float64)


def _per_row(
    table: Table, row: int | None, name: str, default: float | None
) -> float | NDArray[np.float64] | None:
    """Return a quantity that is a keyword, a column per channel (type I), or one per spectrum (II)."""
    if name not in table or table.is_text(name):
        return table.header.number(name, default)
    values = _cell(table, row, name)
    if not np.isfinite(values).all():
        raise table.error("must be finite", column=name, mend="make the spectrum again")
    return float(values[0]) if row is not None and values.size == 1 else values


def _scaling(table: Table, row: int | None, name: str) -> float | NDArray[np.float64]:
    value = _per_row(table, row, name, 1.0)
    assert value is not None
    wrong = np.min(value) < 0 or not np.any(value) or not np.isfinite(value).all()
    if wrong:
        raise SpectrumFileError(
            "must be positive",
            path=table.file.path,
            place=f"{table.label}, {name}",
            mend="write the area of the region (1 where it plays no part)",
        )
    return value


def _flags(table: Table, row: int | None, name: str) -> NDArray[np.int64] | None:
    """Return QUALITY or GROUPING: a column, or None where one keyword speaks for all channels."""
    if name not in table:
        return None
    values = _cell(table, row, name)
    if not (np.abs(values) < 2**31).all() or (values != np.rint(values)).any():
        raise table.error("must hold whole numbers", column=name, mend="see OGIP 92-007")
    return values.astype(np.int64)


def _pha_channels(table: Table, row: int | None, n: int) -> NDArray[np.int64] | None:
    """Return channel numbers, or None where the file has none."""
    if "CHANNEL" not in table:
        return None
    values = _cell(table, row, "CHANNEL")
    if values.size != n:
        raise table.error(
            f"has {values.size} channels for {n} counts",
            column="CHANNEL",
            mend="make the spectrum again",
        )
    if n > 1 and (values == values[0]).all():
        first = table.limit("CHANNEL")
        return None if first is None else first + np.arange(n)
    if (
        not (np.abs(values) < 2**31).all()
        or (np.diff(values) < 1).any()
        or (values != np.rint(values)).any()
    ):
        raise table.error(
            "must ascend in whole numbers", column="CHANNEL", mend="sort the rows by channel"
        )
    return values.astype(np.int64)


class _Assembler:
    """Assembler of the spectra of one file with responses and backgrounds, each read once."""

    def __init__(
        self,
        file: FitsFile,
        arf: FilePath | EffectiveArea | None,
        rmf: FilePath | RedistributionMatrix | None,
        background: FilePath | XRaySpectrum | None,
    ) -> None:
        self.file = file
        self.given = {"arf": arf, "rmf": rmf, "background": background}
        self.path = Path(file.path)
        self._read: dict[tuple[str, Path], Any] = {}

    def spectrum(self, table: Table, row: int | None) -> XRaySpectrum:
        raw = _read_raw(table, row)
        notes: list[str] = []
        rmf = self._response("rmf", "RESPFILE", raw, notes)
        arf = self._response("arf", "ANCRFILE", raw, notes)
        unnamed = self.given["arf"] is None and raw.name("ANCRFILE") is None
        if unnamed and rmf is not None and rmf.path and ".rsp" in Path(rmf.path).name.lower():
            arf = None  # an ARF that happens to lie beside an .rsp is not meant to go with it
        background = self._background(raw, notes)
        channels, edges, energy_from = self._energies(raw, rmf)
        raw = self._aligned(raw, channels, notes)
        ascending = edges[-1] > edges[0]

        def sort(values: Any) -> Any:
            flip = isinstance(values, np.ndarray) and not ascending
            return values[::-1] if flip else values

        about = _about(table, raw)
        values: dict[str, Any] = {}
        if isinstance(background, _Raw):
            background = self._aligned(background, channels, notes)
            values = {
                "background_counts": sort(background.counts),
                "background_exposure": background.exposure,
                "background_backscal": sort(background.backscal),
                "background_areascal": sort(background.areascal),
            }
        elif background is not None:
            values = {
                "background_counts": background.counts,
                "background_exposure": background.exposure,
                "background_backscal": background.backscal,
                "background_areascal": background.areascal,
            }
        try:
            return XRaySpectrum(
                counts=sort(raw.counts),
                energy_edges=edges if ascending else edges[::-1],
                exposure=raw.exposure,
                backscal=sort(raw.backscal),
                areascal=sort(raw.areascal),
                quality=sort(raw.quality),
                grouping=sort(raw.grouping),
                stat_error=sort(raw.stat_error),
                channels=sort(raw.channels),
                arf=arf,
                rmf=rmf,
                path=self.file.path,
                energy_from=energy_from,
                notes=tuple(notes),
                **values,
                **about,
            )
        except SpectrumFileError:
            raise
        except ValueError as error:
            raise table.error(str(error), mend="check the files that belong together") from None

    # -- side files

    def _response(self, kind: str, keyword: str, raw: _Raw, notes: list[str]) -> Any:
        given: Any = self.given[kind]
        read: Any = read_arf if kind == "arf" else read_rmf
        if given is not None and not isinstance(given, (str, os.PathLike)):
            return given
        if given is not None:
            if str(given).lower() == "none":
                return None
            return self._once(kind, Path(given), read)
        named = raw.name(keyword)
        for candidate in self._candidates(kind, named):
            if candidate.is_file():
                return self._once(kind, candidate, read)
        if named is not None:
            notes.append(f"{kind.upper()} {_basename(named)!r} ({keyword}) is not beside the file")
        return None

    def _background(self, raw: _Raw, notes: list[str]) -> _Raw | XRaySpectrum | None:
        given: Any = self.given["background"]
        if isinstance(given, XRaySpectrum):
            return given
        if given is not None:
            if str(given).lower() == "none":
                return None
            return self._once("background", Path(given), _background_of)
        if _is_background(raw.table):
            return None
        columns = _background_columns(raw)
        if columns is not None:
            return columns
        named = raw.name("BACKFILE")
        if named is not None:
            wanted = re.search(r"\{(\d{1,6})\}\s*$", named)
            row = int(wanted[1]) - 1 if wanted else None  # XSPEC counts rows from 1
            for candidate in self._variants(_basename(named)):
                if candidate.name in (self.path.name, self.path.name.removesuffix(".gz")):
                    break  # the file itself: its background HDU is looked for below
                if candidate.is_file():
                    return self._once(
                        f"background {row}", candidate, lambda path: _background_of(path, row)
                    )
        inside = self._background_hdu(raw)
        if inside is None and named is not None:
            notes.append(f"background {_basename(named)!r} (BACKFILE) was not found")
        return inside

    def _background_hdu(self, raw: _Raw) -> _Raw | None:
        """Find a background in the same file; where there are several, the next after the source."""
        tables = [t for t in self.file.tables if _is_background(t) and t.hduclas(1) == "SPECTRUM"]
        tables = [t for t in tables if t.index > raw.table.index] or tables
        if not tables:
            return None
        if not _is_type_two(tables[0]):
            return _read_raw(tables[0], None)
        row = raw.row if raw.row is not None else 0
        return _read_raw(tables[0], row) if row < tables[0].n_rows else None

    def _candidates(self, kind: str, named: str | None) -> Iterator[Path]:
        """List paths of an ARF or RMF, best first; always in the spectrum's own folder."""
        if named is not None:
            yield from self._variants(_basename(named))
        stem = self.path.name.removesuffix(".gz")
        stem = stem.rpartition(".")[0] or stem
        csc = _CSC_NAME.match(stem)
        if csc is not None:
            own = int(csc["version"])
            others = [v for v in range(_CSC_VERSIONS, -1, -1) if v != own]
            for version in (own, *others):
                name = f"{csc['before']}{version:03d}{csc['after']}{kind}3.fits"
                yield from self._variants(name)
        for suffix in ("arf",) if kind == "arf" else ("rmf", "rsp"):
            yield from self._variants(f"{stem}.{suffix}")

    def _variants(self, name: str) -> Iterator[Path]:
        """Return a name in the spectrum's folder, plain and gzipped."""
        if not name or name in (".", "..") or "\0" in name or len(name) > 250:
            return
        yield self.path.parent / name
        other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
        if other:
            yield self.path.parent / other

    def _once(self, kind: str, path: Path, read: Any) -> Any:
        key = (kind, path)
        if key not in self._read:
            self._read[key] = read(path)
        return self._read[key]

    # -- channels and energies

    def _energies(
        self, raw: _Raw, rmf: RedistributionMatrix | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
        """Return channel numbers in the file's order, their edges in that order, and their origin."""
        if rmf is not None:
            numbers = rmf.channels
            if numbers is None:  # made in memory: its channels are the spectrum's
                first = 1 if raw.channels is None else int(raw.channels[0])
                numbers = first + np.arange(rmf.n_channels)
            edges = rmf.channel_edges
            if numbers[0] > numbers[-1]:
                numbers, edges = numbers[::-1], edges[::-1]
            name = Path(rmf.path).name if rmf.path else "the RMF given"
            return numbers, edges, f"EBOUNDS of {name}"
        header = raw.table.header
        kind = (header.text("CHANTYPE") or "PI").upper()
        telescope = (header.text("TELESCOP") or "").upper()
        instrument = (header.text("INSTRUME") or "").upper()
        if telescope == "CHANDRA" and instrument == "ACIS" and kind == "PI":
            if raw.channels is None:
                numbers = np.arange(1, raw.counts.size + 1)
            else:
                numbers = np.arange(raw.channels[0], raw.channels[-1] + 1)
            if numbers[0] < 1 or numbers.size > MAX_CHANNELS:
                raise raw.table.error(
                    f"ACIS PI channels count from 1, not {numbers[0]}",
                    column="CHANNEL",
                    mend="give the response: rmf=",
                )
            edges = ACIS_PI_CHANNEL_KEV * np.append(numbers - 1, numbers[-1])
            return numbers, edges, "ACIS PI channels of 14.6 eV (no RMF)"
        named = raw.name("RESPFILE")
        looked = "the header names none" if named is None else f"{_basename(named)!r} was not found"
        raise SpectrumFileError(
            f"the energies of its channels are unknown without an RMF ({looked})",
            path=self.file.path,
            place=f"{raw.table.label}, keyword RESPFILE",
            mend="put the RMF beside the file or give rmf=",
        )

    def _aligned(self, raw: _Raw, channels: NDArray[np.int64], notes: list[str]) -> _Raw:
        """Return the spectrum on exactly these channels."""
        own = raw.channels
        if own is None and raw.counts.size == channels.size:
            return replace(raw, channels=channels)
        if own is not None:
            if own.size == channels.size and own[0] == channels[0] and own[-1] == channels[-1]:
                return raw
            if own[0] >= channels[0] and own[-1] <= channels[-1]:
                return raw.on(channels)
            consecutive = own[-1] - own[0] == own.size - 1
            if consecutive and own.size == channels.size and abs(own[0] - channels[0]) == 1:
                notes.append(
                    f"channels {own[0]}…{own[-1]} taken as {channels[0]}…{channels[-1]} of the RMF"
                )
                return replace(raw, channels=channels)
        said = f"{raw.counts.size} channels" + ("" if own is None else f" {own[0]}…{own[-1]}")
        raise raw.table.error(
            f"{said} do not fit the response's {channels.size} ({channels[0]}…{channels[-1]})",
            column="CHANNEL",
            mend="give the RMF that belongs to this spectrum: rmf=",
        )


def _background_of(path: Path, row: int | None = None) -> _Raw:
    """Read the background spectrum of another file (the BKG one where it holds several)."""
    file = FitsFile(path)
    marked = [t for t in file.tables if _is_background(t) and t.hduclas(1) == "SPECTRUM"]
    entries = _spectra_in(file)
    if marked and row is None:
        entries = _rows_of(marked[:1])
    if row is None and len(entries) > 1:
        raise SpectrumFileError(
            f"holds {len(entries)} spectra to choose a background from",
            path=file.path,
            mend="give background= a file with one spectrum",
        )
    if not 0 <= (row or 0) < len(entries):
        raise SpectrumFileError(
            f"has no row {(row or 0) + 1}", path=file.path, mend="correct BACKFILE"
        )
    return _read_raw(*entries[row or 0])


def _background_columns(raw: _Raw) -> _Raw | None:
    """Read the background that CIAO puts beside grating spectra: strips above and below the source."""
    table = raw.table
    strips = [
        (counts, scale)
        for counts, scale in (("BACKGROUND_UP", "BACKSCUP"), ("BACKGROUND_DOWN", "BACKSCDN"))
        if counts in table
    ]
    if not strips:
        return None
    total, area = np.zeros(raw.counts.size), np.zeros(())
    for counts, scale in strips:
        values = _cell(table, raw.row, counts)
        if (
            values.size != raw.counts.size
            or not np.isfinite(values).all()
            or values.min() < 0
            or (values != np.rint(values)).any()
        ):
            raise table.error(
                "must hold one whole number for each channel", column=counts, mend="see OGIP"
            )
        total, area = total + values, area + np.asarray(_scaling(table, raw.row, scale))
    if total.sum() > 2**31 - 1:
        raise table.error("counts are too many", column=strips[0][0], mend="see OGIP")
    return replace(
        raw,
        counts=total.astype(np.int64),
        backscal=float(area) if area.ndim == 0 else area,
    )


def _basename(name: str) -> str:
    """Return the last part of a name in a header, without a row or an extension in brackets."""
    name = re.split(r"[\[{]", name, maxsplit=1)[0].strip()
    return re.split(r"[/\\]", name)[-1].strip()


def _about(table: Table, raw: _Raw) -> dict[str, Any]:
    """Return source and observation from the header."""
    header = table.header

    def text(key: str) -> str | None:
        value = header.text(key)
        return None if value is None or value.lower() in _ABSENT else value

    def whole(*keys: str) -> int | None:
        for key in keys:
            value = text(key)
            if value is not None and re.fullmatch(r"\d{1,9}", value):
                return int(value)
        return None

    def degrees(key: str, low: float, high: float) -> float | None:
        value = header.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if low <= value <= high else None

    ra, dec = None, None
    for pair in (("RA", "DEC"), ("RA_OBJ", "DEC_OBJ")):  # RA_TARG is the observation's target
        ra, dec = degrees(pair[0], 0, 360), degrees(pair[1], -90, 90)
        if ra is not None and dec is not None:
            break
    else:
        ra, dec = None, None
    name = text("OBJECT")
    poisson = header.get("POISSERR")
    return {
        "source_name": None if name == "CSC" else name,  # the catalogue's files say no more
        "obsid": whole("OBS_ID"),
        "obi": whole("OBI_NUM", "OBI"),
        "region_id": whole("REGIONID"),
        "telescope": text("TELESCOP"),
        "instrument": text("INSTRUME"),
        "detector": text("DETNAM"),
        "ra": ra,
        "dec": dec,
        "poisson_errors": poisson if isinstance(poisson, bool) else None,
    }
