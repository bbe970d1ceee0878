"""Readers of ARF and RMF files (OGIP CAL/GEN/92-002 and 92-002a), as archives have them."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..response import EffectiveArea, RedistributionMatrix, SparseRows
from .checksums import wrong_checksums
from .errors import SpectrumFileError
from .fits_table import MAX_ELEMENTS, FitsFile, Ragged, Table

# XRISM/Resolve has 60,000 channels, the most of any instrument so far.
MAX_CHANNELS = 1 << 18

_REMAKE = "make the RMF again"
ENERGIES = ("ENERG_LO", "ENERG_HI")  # columns of true energy
# Keywords that say for what a response is valid: matrices that differ in them are alternatives.
_VALIDITY = ("TELESCOP", "INSTRUME", "DETNAM", "FILTER", "GRATING", "TG_M", "TG_PART", "RFLORDER",
             "HDUCLAS3", "OBS_ID", "PHAFILE", "TSTART", "TSTOP", "DATE-OBS", "TIME-OBS", "DATE-END",
             "TIME-END", "MJD-OBS", "CCNM0001", "CVSD0001", "CVST0001", "CBD10001", "CBD20001",
             "CBD30001")  # fmt: skip
# Edges that differ by less than this share, of single precision, are one.
_SAME_EDGE = 1e-6
# Largest share of a row of the matrix that may lie below zero.
_MOST_BELOW_ZERO = 1e-3


def read_arf(path: str | os.PathLike[str], extension: str | None = None) -> EffectiveArea:
    """Read an effective area (ARF); bins are returned in ascending order of energy.

    Args:
        path: plain or gzipped FITS file.
        extension: which of several areas, as headers point to it: ``[2]`` for the second HDU
            behind the primary, ``[SPECRESP,2]`` by name and EXTVER, ``{2}`` for the second, also
            of the rows of a type II table.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend.
    """
    file = FitsFile(path)
    found = _tables(file, ["SPECRESP"], ["SPECRESP"], "an ARF (no SPECRESP extension)", extension)
    table = found[0]
    if len(found) > 1:
        raise _several(found, "effective areas", "x.arf")
    row = _row_of_areas(table, extension)
    edges, order = _bins(table, ENERGIES, row)
    area = _values(table, "SPECRESP", row)
    unit = (table.unit("SPECRESP") or "cm**2").replace(" ", "").lower()
    if unit in ("m**2", "m^2", "m2"):
        area = area * 1e4
    exposure = table.header.number("EXPOSURE")
    try:
        return EffectiveArea(
            energy_edges=edges,
            area=area[order],
            exposure=exposure,
            path=file.path,
            notes=wrong_checksums(file),
        )
    except ValueError as error:
        raise table.error(str(error), column="SPECRESP", mend="make the ARF again") from None


def read_rmf(path: str | os.PathLike[str], extension: str | None = None) -> RedistributionMatrix:
    """Read a redistribution matrix (RMF, or RSP with the area folded in).

    The energies are read and checked at once, the matrix on first use: if another RMF was read in
    between, the file is read again, and must not have changed. Channels and energies come in
    ascending order of energy. Several matrices of one file add up (CAL/GEN/92-002 of 2020), unless
    their keywords differ.

    Args:
        path: plain or gzipped FITS file.
        extension: which of several matrices, see `read_arf`.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend; on first use
            for what is wrong with the elements.
    """
    file = FitsFile(Path(path).absolute())
    tables = _Rmf(file, extension)
    matrix = _LazyMatrix(file.path, extension, hashlib.sha256(file.data).digest())
    _latest[:] = [(matrix, tables)]
    return RedistributionMatrix(
        tables.edges,
        tables.channel_edges,
        matrix,
        includes_area=True if tables.parts[0].hduclas(3) == "FULL" else None,
        channels=(tables.first_channel() + np.arange(tables.ebounds.n_rows))[tables.channel_order],
        path=file.path,
        notes=wrong_checksums(file),
    )


def _tables(
    file: FitsFile, names: list[str], columns: list[str], what: str, extension: str | None = None
) -> list[Table]:
    """Return the tables of a name or class, else those that have the columns; of these the ones
    that `extension` points to, where it points to any.
    """
    found = [t for t in file.tables if t.name in names or t.hduclas(2) in names]
    found = found or [t for t in file.tables if all(name in t for name in columns)]
    if found:
        return _pointed_at(found, extension) or found
    mend = "check which file is the spectrum, which the ARF and which the RMF"
    raise file.error(f"is not {what}; it holds {file.contents()}", mend=mend)


def _pointed_at(tables: list[Table], extension: str | None) -> list[Table]:
    inner = (extension or "")[1:-1].strip()
    if not inner:
        return []
    if extension is not None and extension.startswith("{"):
        by_version = [t for t in tables if t.header.integer("EXTVER") == int(inner)]
        return by_version or tables[int(inner) - 1 : int(inner)]
    if inner.isdigit():
        return [table for table in tables if table.index == int(inner)]
    name, _, version = inner.upper().partition(",")
    named, version = [table for table in tables if table.name == name.strip()], version.strip()
    return [t for t in named if not version or t.header.text("EXTVER") == version]


def _row_of_areas(table: Table, extension: str | None) -> int | None:
    """Return the row that the extension points to in a table of areas (type II); None for type I.

    Raises SpectrumFileError for several rows without a pointer.
    """
    if not table.is_vector("SPECRESP"):
        return None
    pointer = re.fullmatch(r"\{(\d{1,6})\}", extension or "")
    row = int(pointer[1]) - 1 if pointer else 0
    if (pointer is None and table.n_rows != 1) or not 0 <= row < table.n_rows:
        mend = "name the row that belongs to the spectrum, from 1, such as x.arf{2}"
        problem = f"holds {table.n_rows} effective areas (type II)"
        raise table.error(problem, column="SPECRESP", mend=mend)
    return row


def _differing(tables: list[Table]) -> list[str]:
    return [k for k in _VALIDITY if len({str(t.header.get(k)) for t in tables}) > 1]


def _several(tables: list[Table], what: str, example: str) -> SpectrumFileError:
    differing = _differing(tables)
    reason = f", which differ in {', '.join(differing)}" if differing else ""
    mend = f"name the one that belongs to the spectrum, such as {example}{{2}}"
    return tables[0].file.error(f"holds {len(tables)} {what}{reason}", mend=mend)


def contiguous_bins(
    table: Table, low: NDArray[np.float64], high: NDArray[np.float64], names: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return ascending edges (keV) from lower and upper ones, and the rows that they belong to.

    Bins of true energy without a width (some of ROSAT's) take no photons and are left out.

    Raises:
        SpectrumFileError: energies that are not finite, not monotonic, or leave gaps.
    """
    label = f"{names[0]}/{names[1]}"
    mend = "correct the energies of the response"
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise table.error("energies must be finite", column=label, mend=mend)
    low, high = np.minimum(low, high), np.maximum(low, high)
    order = np.arange(low.size)
    if names == ENERGIES:
        order = order[high > low]
    if order.size > 1 and low[order[-1]] < low[order[0]]:  # gratings count channels in wavelength
        order = order[::-1]
    low, high = low[order], high[order]
    edges = np.append(low, high[-1:])
    widths = high - low
    if edges.size < 2 or not (np.diff(edges) > 0).all() or not (widths > 0).all():
        raise table.error("energies must be monotonic", column=label, mend=mend)
    # Single precision leaves gaps of some 1e-6; anything a photon could fall into is an error.
    gaps = np.abs(low[1:] - high[:-1])
    if (gaps > 0.02 * np.minimum(widths[1:], widths[:-1]) + 2e-6 * high[:-1]).any():
        row = int(np.argmax(gaps))
        raise table.error(
            f"bins {row} and {row + 1} leave a gap or overlap", column=label, mend=mend
        )
    if edges[0] < 0:
        raise table.error("energies must not be negative", column=label, mend=mend)
    return edges, order


_TO_KEV = {"kev": 1.0, "ev": 1e-3, "mev": 1e3, "gev": 1e6}


def _values(table: Table, name: str, row: int | None) -> NDArray[np.float64]:
    """Return a column, or the vector of a row, as long as all others of that row."""
    if row is not None:
        sizes = {each: table.cell(each, row).size for each in (*ENERGIES, "SPECRESP")}
        if len(set(sizes.values())) > 1:
            raise table.error(f"vectors of row {row + 1} hold {sizes} values", mend="make it again")
    return table.vector(name, row)


def _bins(
    table: Table, names: tuple[str, str], row: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return edges in keV (the OGIP unit, assumed where none is given), and their rows."""
    ends = []
    for name in names:
        unit = (table.unit(name) or "keV").strip().lower()
        if unit not in _TO_KEV:
            raise table.error(f"has the unit {unit!r}", column=name, mend="convert it to keV")
        ends.append(_values(table, name, row) * _TO_KEV[unit])
    low, high = ends
    edges, order = contiguous_bins(table, low, high, names)
    if names == ENERGIES and edges[0] == 0:
        # Power laws diverge at zero; XSPEC and Sherpa lift the edge as well.
        edges[0] = min(1e-10, edges[1] / 2)
    return edges, order


class _Rmf:
    """Tables of an RMF file: the parts of the matrix, which add up, and EBOUNDS."""

    def __init__(self, file: FitsFile, extension: str | None = None) -> None:
        names = ["MATRIX", "RSP_MATRIX", "SPECRESP MATRIX", "SPECRESPMATRIX"]
        what = "an RMF (no MATRIX, RSP_MATRIX or SPECRESP MATRIX extension)"
        self.parts = _tables(file, names, ["MATRIX", "F_CHAN"], what, extension)
        if len(self.parts) > 1 and _differing(self.parts):
            raise _several(self.parts, "matrices", "x.rsp")
        names, what = ["EBOUNDS", "PI_EBOUNDS"], "an RMF (no EBOUNDS extension)"
        bounds = _tables(file, names, ["E_MIN", "E_MAX"], what)
        version = self.parts[0].header.get("EXTVER")
        self.ebounds = next((t for t in bounds if t.header.get("EXTVER") == version), bounds[0])
        for table in (self.ebounds, *self.parts):
            if table.n_rows > MAX_CHANNELS:
                problem = f"{table.n_rows:,} rows are more than {MAX_CHANNELS:,}"
                raise table.error(problem, mend="is it a response?")
        self.channel_edges, self.channel_order = _bins(self.ebounds, ("E_MIN", "E_MAX"))
        self._bins = {table.index: _bins(table, ENERGIES) for table in self.parts}
        self.edges = _common_edges([edges for edges, _ in self._bins.values()])

    def first_channel(self) -> int:
        """Return the channel of the first row of EBOUNDS: its own, else the matrix's, else 1."""
        for first in (self._first_number(), *self._stated(self.parts[0])):
            if first is not None:
                return first
        groups, f_chan, n_chan, _ = self._groups(self.parts[0])
        return 0 if groups.size and (f_chan[n_chan > 0] == 0).any() else 1

    def _stated(self, table: Table) -> tuple[int | None, int | None]:
        """Return TLMIN of F_CHAN, and of CHANNEL in EBOUNDS."""
        bounds = self.ebounds
        return table.limit("F_CHAN"), bounds.limit("CHANNEL") if "CHANNEL" in bounds else None

    def _first_number(self) -> int | None:
        """Return the first channel where the CHANNEL column counts up by one, else None.

        Raises SpectrumFileError for other numbers that are not all the same, without a TLMIN.
        """
        table = self.ebounds
        if "CHANNEL" not in table:
            return None
        values = table.vector("CHANNEL")
        if values.size > 1 and (values == values[0]).all():
            return None  # a column nobody filled
        if np.isfinite(values).all() and (np.diff(values) == 1).all() and abs(values[0]) < 2**31:
            return int(values[0])
        if self._stated(self.parts[0]) == (None, None):
            raise table.error("must count up by one", column="CHANNEL", mend="sort the channels")
        return None

    def elements(self) -> SparseRows:
        """Unpack the matrix and add up its parts."""
        unpacked = [self._on_common_edges(table, self._unpack(table)) for table in self.parts]
        if len(unpacked) == 1:
            return unpacked[0]
        row, column, value = (
            np.concatenate([getattr(part, name) for part in unpacked])
            for name in ("row", "column", "value")
        )
        order = np.argsort(row, kind="stable")
        return SparseRows(row[order], column[order], value[order])

    def _on_common_edges(self, table: Table, rows: SparseRows) -> SparseRows:
        """Repeat the rows of a part for the finer energies that it shares with others.

        A bin of a part takes the photons of all finer bins inside it, and spreads them alike.
        """
        edges, _ = self._bins[table.index]
        if edges.size == self.edges.size:
            return rows
        first = np.searchsorted((self.edges[1:] + self.edges[:-1]) / 2, edges)
        finer = np.diff(first)[rows.row]
        total = int(finer.sum())
        if total > MAX_ELEMENTS:
            problem = f"{total:,} elements on the energies of all matrices are too many"
            raise table.error(problem, mend="use the matrices one by one, such as x.rmf{1}")
        within = np.arange(total) - np.repeat(np.cumsum(finer) - finer, finer)
        row = np.repeat(first[rows.row], finer) + within
        order = np.argsort(row, kind="stable")
        column, value = np.repeat(rows.column, finer), np.repeat(rows.value, finer)
        return SparseRows(row[order].astype(np.int32), column[order], value[order])

    def _unpack(self, table: Table) -> SparseRows:
        """Unpack one part of the matrix, without a loop over rows or groups."""
        group_row, f_chan, n_chan, n_rows = self._groups(table)
        n_channels = self.ebounds.n_rows
        used = n_chan > 0
        offset = self._offset(table, f_chan[used])
        start = f_chan - offset
        if (start[used] < 0).any() or (start[used] >= n_channels).any():
            where = int(group_row[used][np.argmax((start[used] < 0) | (start[used] >= n_channels))])
            problem = f"row {where} begins outside the {n_channels} channels"
            raise table.error(problem, column="F_CHAN", mend=_REMAKE)
        per_row = np.bincount(group_row, weights=n_chan, minlength=n_rows).astype(np.int64)
        value = _first(table, "MATRIX", per_row, "N_CHAN")
        column = np.arange(value.size) + np.repeat(start - np.cumsum(n_chan) + n_chan, n_chan)
        row = np.repeat(group_row, n_chan)
        wrong = ~(np.abs(value) < 1e10)  # cm² at most
        below = np.minimum(value, 0)
        if not wrong.any() and below.any():
            # Interpolation leaves a little below zero (XMM's canned matrices).
            sums = [np.bincount(row, np.abs(part), n_rows) for part in (below, value)]
            wrong = (below < 0) & (sums[0] > _MOST_BELOW_ZERO * sums[1])[row]
        if wrong.any():
            bad = int(row[np.argmax(wrong)])
            problem = f"row {bad} holds elements that are negative, not finite or too large"
            raise table.error(problem, column="MATRIX", mend=_REMAKE)
        # Some writers overrun the last channel; no detector records what lies there.
        keep = (column < n_channels) & (value != 0)
        if not keep.all():
            row, column, value = row[keep], column[keep], value[keep]
        if self.channel_order[0] != 0:
            column = n_channels - 1 - column
        _, energy_order = self._bins[table.index]
        bin_of = np.full(n_rows, -1)
        bin_of[energy_order] = np.arange(energy_order.size)
        row = bin_of[row]
        if (row < 0).any():  # no photon has the energy of a bin without a width
            row, column, value = row[row >= 0], column[row >= 0], value[row >= 0]
        if energy_order[0] > energy_order[-1]:
            row, column, value = row[::-1], column[::-1], value[::-1]
        return SparseRows(row.astype(np.int32), column.astype(np.int32), value.astype(np.float32))

    def _groups(self, table: Table) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]:
        """Return row, first channel and number of channels of each group; and how many rows."""
        n_grp = table.as_integers("N_GRP", table.vector("N_GRP"))
        if (n_grp < 0).any() or n_grp.max() > MAX_CHANNELS:
            raise table.error("is not a valid number of groups", column="N_GRP", mend=_REMAKE)
        f_chan, n_chan = (
            table.as_integers(name, _first(table, name, n_grp, "N_GRP"))
            for name in ("F_CHAN", "N_CHAN")
        )
        if (n_chan < 0).any() or (n_chan.size and n_chan.max() > MAX_CHANNELS):
            raise table.error("is not a valid number of channels", column="N_CHAN", mend=_REMAKE)
        return np.repeat(np.arange(n_grp.size), n_grp), f_chan, n_chan, n_grp.size

    def _offset(self, table: Table, f_chan: NDArray[np.int64]) -> int:
        """Return the number F_CHAN counts from: TLMIN, else EBOUNDS, else 0 or 1 by occurrence."""
        f_chan_limit, channel_limit = self._stated(table)
        choices = [f_chan_limit, self._first_number(), channel_limit, 1, 0]
        lowest = int(f_chan.min()) if f_chan.size else 1
        # A TLMIN above the channels that occur is a slip of the writer (seen in Swift files).
        return next((c for c in choices if c is not None and c <= lowest), 0)


def _first(table: Table, name: str, numbers: NDArray[np.int64], counter: str) -> NDArray[Any]:
    """Return the first values of each row of a column, as many as another column says."""
    try:
        return Ragged.of(table.column(name)).first(numbers)
    except SpectrumFileError:
        raise
    except ValueError as error:
        problem = f"does not fit {counter} ({error})"
        raise table.error(problem, column=name, mend=_REMAKE) from None


def _common_edges(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return edges of bins that lie in one bin of each part at most."""
    first, *others = parts
    if all(p.size == first.size and np.allclose(p, first, rtol=_SAME_EDGE) for p in others):
        return first
    merged = np.sort(np.concatenate(parts))
    return merged[np.append(True, np.diff(merged) > 2 * _SAME_EDGE * merged[1:])]


@dataclass(frozen=True)
class _LazyMatrix:
    """Matrix of a file, unpacked when called; small, and survives pickling.

    Attributes:
        path: absolute.
        extension: see `read_rmf`.
        digest: SHA-256 of the file when its energies were read.
    """

    path: str
    extension: str | None
    digest: bytes

    def __call__(self) -> SparseRows:
        for matrix, tables in _latest:
            if matrix == self:
                _latest.clear()
                return tables.elements()
        file = FitsFile(self.path)
        if hashlib.sha256(file.data).digest() != self.digest:
            raise file.error("has changed since the spectrum was read", mend="read it again")
        return _Rmf(file, self.extension).elements()


# The RMF read last, which as a rule is the next to be unpacked.
_latest: list[tuple[_LazyMatrix, _Rmf]] = []
