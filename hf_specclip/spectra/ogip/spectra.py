"""Reader of PHA files (OGIP types I and II) with their responses and backgrounds.

Follows OGIP 92-007 and 92-007a, and accepts common deviations. Associated files are only looked for
in the folder of the spectrum: names in headers are untrusted, and only their last part is used. A
file that cannot be read raises `SpectrumFileError`; assumptions are listed in
`XRaySpectrum.notes`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instruments import ACIS_CHANNELS, ACIS_PI_CHANNEL_KEV, Instrument, identify
from ..response import EffectiveArea, RedistributionMatrix
from ..spectrum import XRaySpectrum
from .checksums import wrong_checksums
from .errors import NoCountsError, SpectrumFileError
from .fits_table import FitsFile, Table
from .pha_table import (
    RawSpectrum,
    background_columns,
    is_background,
    is_net,
    is_type_two,
    observation_of,
    own_errors,
    read_raw,
    rows_of,
    side_file,
    spectra_in,
    split_pointer,
    total_of,
)
from .responses import MAX_CHANNELS, contiguous_bins, read_arf, read_rmf

__all__ = ["iter_spectra", "read_arf", "read_rmf", "read_spectra", "read_spectrum"]

FilePath = str | os.PathLike[str]

KEV_ANGSTROM = 12.398419843
"""Energy of a photon times its wavelength, h c, keV Å (CODATA 2018)."""

_CSC_NAME = re.compile(r"(?P<before>.+N)(?P<version>\d{3})(?P<after>(?:_.+)?_)pha3$")
_CSC_VERSIONS = 60
# Quantities of a spectrum and of its background, and those of the spectrum alone.
_OF_BACKGROUND = ("counts", "exposure", "backscal", "areascal", "quality")
_OF_SOURCE = ("grouping", "stat_error", "systematic_error", "channels")


def read_spectrum(
    path: FilePath,
    *,
    arf: FilePath | EffectiveArea | None = None,
    rmf: FilePath | RedistributionMatrix | None = None,
    background: FilePath | XRaySpectrum | None = None,
    row: int | None = None,
    strict: bool = False,
) -> XRaySpectrum:
    """Read one spectrum with its responses and its background.

    ARF, RMF and background are found through ANCRFILE, RESPFILE and BACKFILE (beside the file,
    gzipped or not), a background HDU in the same file, the names of the Chandra Source Catalog
    (``…_pha3`` → ``…_arf3``, ``…_rmf3``, of any version) and the same stem (``x.pi`` → ``x.arf``,
    ``x.rmf``, ``x.rsp``). Missing files give None and a note.

    Args:
        path: PHA file, type I or II, plain or gzipped.
        arf, rmf, background: file or object that replaces the one named in the header; ``"none"``
            for none. Pass an ``.rsp`` as `rmf`.
        row: index of the spectrum, from 0, in a file with several.
        strict: refuse files with wrong checksums (DATASUM, CHECKSUM) or total counts (TOTCTS),
            instead of adding a note.

    Returns:
        the spectrum. Without an RMF the energies of the channels come from the wavelengths of a
        dispersed spectrum (BIN_LO, BIN_HI) or, for the 1,024 PI channels of Chandra ACIS, are
        nominal (14.6 eV each, channel 1 from 0 keV); see `XRaySpectrum.energy_from`. For
        other instruments the energies are unknown, and operations that need them raise.

    Raises:
        SpectrumFileError: names the file, the HDU, column or keyword, and the remedy.

    Examples:
        >>> spectrum = read_spectrum("acisf01575_001N001_r0085_pha3.fits.gz")  # doctest: +SKIP
        >>> spectrum.rebinned()["counts"].shape  # doctest: +SKIP
        (400,)
    """
    file = FitsFile(path)
    entries = spectra_in(file)
    mend = f"give row=0…{len(entries) - 1}"
    if row is None and len(entries) > 1:
        mend += ", or use read_spectra"
        raise file.error(f"holds {len(entries)} spectra", mend=mend)
    if not 0 <= (row or 0) < len(entries):
        raise file.error(f"has no row {row}", mend=mend)
    return _Assembler(file, arf, rmf, background, strict).spectrum(*entries[row or 0])


def read_spectra(
    path: FilePath,
    *,
    arf: FilePath | EffectiveArea | None = None,
    rmf: FilePath | RedistributionMatrix | None = None,
    background: FilePath | XRaySpectrum | None = None,
    strict: bool = False,
) -> list[XRaySpectrum]:
    """Read every spectrum of a file (type II: one for each row), as `read_spectrum` does.

    Returns:
        the spectra in the order of the file, at least one; backgrounds are excluded.
    """
    return list(iter_spectra(path, arf=arf, rmf=rmf, background=background, strict=strict))


def iter_spectra(
    path: FilePath,
    *,
    arf: FilePath | EffectiveArea | None = None,
    rmf: FilePath | RedistributionMatrix | None = None,
    background: FilePath | XRaySpectrum | None = None,
    strict: bool = False,
) -> Iterator[XRaySpectrum]:
    """Read the spectra of a file one by one, as `read_spectra` does, holding one at a time."""
    file = FitsFile(path)
    assembler = _Assembler(file, arf, rmf, background, strict)
    for entry in spectra_in(file):
        yield assembler.spectrum(*entry)


class _Assembler:
    """Assembler of the spectra of one file with responses and backgrounds, each read once."""

    def __init__(
        self,
        file: FitsFile,
        arf: FilePath | EffectiveArea | None,
        rmf: FilePath | RedistributionMatrix | None,
        background: FilePath | XRaySpectrum | None,
        strict: bool,
    ) -> None:
        self.file, self.strict = file, strict
        self.given = {"arf": arf, "rmf": rmf, "background": background}
        self.path = Path(file.path)
        self._once: Any = cache(lambda read, *arguments: read(*arguments))
        self._damage = list(wrong_checksums(file))

    def spectrum(self, table: Table, row: int | None) -> XRaySpectrum:
        raw = read_raw(table, row)
        notes = [f"{name} is not stated: taken as 1" for name in raw.assumed]
        if is_background(table):
            notes.append("the file is marked as a background spectrum (HDUCLAS2 = BKG)")
        rmf = self._response("rmf", "RESPFILE", raw, notes)
        arf = self._response("arf", "ANCRFILE", raw, notes)
        unnamed = self.given["arf"] is None and raw.name("ANCRFILE") is None
        if unnamed and rmf is not None and rmf.path and ".rsp" in Path(rmf.path).name.lower():
            arf = None  # an ARF that happens to lie beside an .rsp is not meant to go with it
        background = self._checked_background(raw, notes)
        about = observation_of(table, raw)
        named = ("telescope", "instrument", "detector", "grating", "order")
        keywords = {name: about[name] for name in named}
        instrument = identify(**keywords, channels=raw.counts.size)
        channels, edges, energy_from = self._energies(raw, rmf, instrument)
        raw = self._aligned(raw, channels, notes)
        ascending = edges is None or edges[-1] > edges[0]

        def sort(values: Any) -> Any:
            flip = isinstance(values, np.ndarray) and not ascending
            return values[::-1] if flip else values

        values = {name: sort(getattr(raw, name)) for name in (*_OF_BACKGROUND, *_OF_SOURCE)}
        if isinstance(background, RawSpectrum):
            background = self._aligned(background, channels, notes)
            values |= {f"background_{n}": sort(getattr(background, n)) for n in _OF_BACKGROUND}
            values["background_error"] = sort(own_errors(background))
        elif background is not None:
            values |= {f"background_{name}": getattr(background, name) for name in _OF_BACKGROUND}
            if not background.are_poisson:
                values["background_error"] = background.stat_error
        notes += self._damage_of(raw, background, arf, rmf)
        try:
            spectrum = XRaySpectrum(
                energy_edges=sort(edges),
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
        more = _notes_on_errors(spectrum)
        return spectrum.replace(notes=(*notes, *more)) if more else spectrum

    def _damage_of(self, raw: RawSpectrum, background: Any, *responses: Any) -> list[str]:
        """List checksums and totals that disagree with the data.

        Raises:
            SpectrumFileError: if there are any and reading is strict.
        """
        found = list(self._damage)
        total = total_of(raw)
        counted = raw.counts.sum().item()
        if total is not None and total != round(counted):
            found.append(f"TOTCTS is {total:,}, the counts add up to {counted:,}")
        if isinstance(background, RawSpectrum) and background.table.file is not self.file:
            name = Path(background.table.file.path).name
            sums = self._once(wrong_checksums, background.table.file)
            found += [f"{name}: {problem}" for problem in sums]
        for response in responses:
            name = Path(getattr(response, "path", None) or "response").name
            found += [f"{name}: {problem}" for problem in getattr(response, "notes", ())]
        if found and self.strict:
            raise self.file.error("; ".join(found), mend="get the file again")
        return found

    # -- side files

    def _response(self, kind: str, keyword: str, raw: RawSpectrum, notes: list[str]) -> Any:
        given: Any = self.given[kind]
        read: Any = read_arf if kind == "arf" else read_rmf
        if given is not None and not isinstance(given, (str, os.PathLike)):
            return given
        if given is not None:
            if str(given).lower() == "none":
                return None
            path, pointer = Path(given), None
            if not path.exists():  # unless that is its name, as headers point to an extension
                name, pointer = split_pointer(str(given))
                path = Path(name)
            return self._once(read, path, pointer)
        named = raw.name(keyword)
        file_name, pointer = (None, None) if named is None else side_file(named)
        beside = next((path for path in self._candidates(kind, file_name) if path.is_file()), None)
        if file_name is not None and beside not in [*self._variants(file_name)]:
            instead = "" if beside is None else f": {beside.name!r} is taken for it"
            missing = f"{kind.upper()} {file_name!r} ({keyword}) is not beside the file"
            notes.append(missing + instead)
            pointer = None
        return None if beside is None else self._once(read, beside, pointer)

    def _checked_background(
        self, raw: RawSpectrum, notes: list[str]
    ) -> RawSpectrum | XRaySpectrum | None:
        """Find the background, None where it is subtracted already or no counts; note why."""
        try:
            background = self._background(raw, notes)
        except NoCountsError as error:
            if self.strict:
                raise
            name = Path(str(error.path)).name
            notes.append(f"background of {name} left out, no counts: {error.problem}")
            if error.path is not None and error.path != self.file.path:
                notes += [f"{name}: {each}" for each in wrong_checksums(FitsFile(error.path))]
            return None
        if is_net(raw.table):
            notes.append(
                "the background is subtracted already (HDUCLAS2 = NET): it is not subtracted "
                "again, and the counts are not Poisson"
            )
            return None
        if isinstance(background, RawSpectrum):
            notes += [
                f"{name} of the background is not stated: taken as 1" for name in background.assumed
            ]
            if background.counts.dtype.kind == "f":
                errors = "of STAT_ERR and SYS_ERR" if own_errors(background) is not None else "none"
                notes.append(
                    "the background counts are not integers: used as expected counts, with "
                    f"errors {errors}"
                )
        return background

    def _background(self, raw: RawSpectrum, notes: list[str]) -> RawSpectrum | XRaySpectrum | None:
        given: Any = self.given["background"]
        if isinstance(given, XRaySpectrum):
            return given
        if given is not None:
            return None if str(given).lower() == "none" else self._background_of(Path(given))
        if is_background(raw.table):
            return None
        columns = background_columns(raw)
        if columns is not None:
            return columns
        named = raw.name("BACKFILE")
        if named is not None:
            wanted = re.search(r"\{(\d{1,6})\}\s*$", named)
            row = int(wanted[1]) - 1 if wanted else None  # XSPEC counts rows from 1
            for candidate in self._variants(side_file(named)[0]):
                if candidate.name in (self.path.name, self.path.name.removesuffix(".gz")):
                    break  # the file itself: its background HDU is looked for below
                if candidate.is_file():
                    return self._background_of(candidate, row)
        inside = self._background_hdu(raw)
        if inside is None and named is not None:
            name = side_file(named)[0]
            notes.append(f"background {name!r} (BACKFILE) was not found")
        return inside

    def _background_of(self, path: Path, row: int | None = None) -> RawSpectrum:
        """Read the background of another file: a row, else the one marked so, else the only one."""
        entries, marked = self._once(_backgrounds_in, path)
        if marked and row is None:
            entries = marked
        if row is None and len(entries) > 1:
            raise SpectrumFileError(
                f"holds {len(entries)} spectra to choose a background from",
                path=path,
                mend="give background= a file with one spectrum",
            )
        number = row or 0
        if not 0 <= number < len(entries):
            raise SpectrumFileError(f"has no row {number + 1}", path=path, mend="correct BACKFILE")
        return self._once(read_raw, *entries[number], True)

    def _background_hdu(self, raw: RawSpectrum) -> RawSpectrum | None:
        """Find a background in the same file: the next after the source, or the first."""
        tables = [t for t in self.file.tables if is_background(t) and t.hduclas(1) == "SPECTRUM"]
        tables = [t for t in tables if t.index > raw.table.index] or tables
        if not tables:
            return None
        if not is_type_two(tables[0]):
            return read_raw(tables[0], None)
        row = raw.row if raw.row is not None else 0
        return read_raw(tables[0], row) if row < tables[0].n_rows else None

    def _candidates(self, kind: str, named: str | None) -> Iterator[Path]:
        """List paths of an ARF or RMF, best first; always in the spectrum's own folder."""
        if named is not None:
            yield from self._variants(named)
        stem = self.path.name.removesuffix(".gz")
        stem = stem.rpartition(".")[0] or stem
        csc = _CSC_NAME.match(stem)
        if csc is not None:
            for version in (int(csc["version"]), *range(_CSC_VERSIONS, -1, -1)):
                name = f"{csc['before']}{version:03d}{csc['after']}{kind}3.fits"
                yield from self._variants(name)
        for suffix in ("arf",) if kind == "arf" else ("rmf", "rsp"):
            yield from self._variants(f"{stem}.{suffix}")

    def _variants(self, name: str) -> Iterator[Path]:
        """Return a name in the spectrum's folder, plain and gzipped."""
        if not name or name in (".", "..") or "\0" in name or len(name) > 250:
            return
        yield self.path.parent / name
        if name != ".gz":
            other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
            yield self.path.parent / other

    # -- channels and energies

    def _energies(
        self, raw: RawSpectrum, rmf: RedistributionMatrix | None, instrument: Instrument
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, str]:
        """Return channel numbers and edges (or None) in the file's order, and their origin."""
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
        first, last = (1, raw.counts.size) if raw.channels is None else raw.channels[[0, -1]]
        numbers = np.arange(first, last + 1)
        if raw.wavelengths is not None and raw.counts.size == numbers.size:
            return numbers, _energies_of(raw), "BIN_LO and BIN_HI of the spectrum (no RMF)"
        if _has_acis_pi_channels(raw, instrument):
            if numbers[0] < 1 or numbers[-1] > ACIS_CHANNELS:
                raise raw.table.error(
                    f"ACIS PI channels count from 1 to {ACIS_CHANNELS}, "
                    f"not {numbers[0]}…{numbers[-1]}",
                    column="CHANNEL",
                    mend="give the response: rmf=",
                )
            edges = ACIS_PI_CHANNEL_KEV * np.append(numbers - 1, numbers[-1])
            return numbers, edges, "ACIS PI channels of 14.6 eV (no RMF)"
        if numbers.size > MAX_CHANNELS:
            raise raw.table.error(f"{numbers.size:,} channels are too many", mend="give rmf=")
        named = raw.name("RESPFILE")
        if named is None:
            return numbers, None, "the header names none"
        return numbers, None, f"{side_file(named)[0]!r} was not found"

    def _aligned(
        self, raw: RawSpectrum, channels: NDArray[np.int64], notes: list[str]
    ) -> RawSpectrum:
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


def _notes_on_errors(spectrum: XRaySpectrum) -> list[str]:
    """Return notes on the use of the errors that the file states."""
    notes = []
    if spectrum.systematic_error is not None:
        most = 100 * spectrum.systematic_error.max()
        notes.append(f"systematic errors (SYS_ERR) of up to {most:.3g} % enter χ² alone")
    if not spectrum.are_poisson and spectrum.hduclas2 != "NET":
        notes.append("errors other than Poisson (POISSERR = F, STAT_ERR): χ² alone takes them")
    return notes


def _energies_of(raw: RawSpectrum) -> NDArray[np.float64]:
    """Return channel edges (keV) of a dispersed spectrum in the order of its channels."""
    assert raw.wavelengths is not None
    low, high = raw.wavelengths
    with np.errstate(divide="ignore", invalid="ignore"):
        energies = KEV_ANGSTROM / high, KEV_ANGSTROM / low
    edges, order = contiguous_bins(raw.table, *energies, ("BIN_LO", "BIN_HI"))
    return edges if order[0] == 0 else edges[::-1]


def _has_acis_pi_channels(raw: RawSpectrum, instrument: Instrument) -> bool:
    """Return True for the 1,024 PI channels of ACIS, the only ones with nominal energies."""
    header = raw.table.header
    channels = header.integer("DETCHANS") or raw.counts.size
    return (
        instrument.chandra
        and instrument.imaging_ccd
        and instrument.stated_camera
        and (header.text("CHANTYPE") or "PI").upper() == "PI"
        and channels == ACIS_CHANNELS
    )


def _backgrounds_in(path: Path) -> tuple[list[Any], list[Any]]:
    """Find the spectra of a background file, and those that are marked as backgrounds."""
    file = FitsFile(path)
    marked = [t for t in file.tables if is_background(t) and t.hduclas(1) == "SPECTRUM"]
    return spectra_in(file), rows_of(marked[:1])
