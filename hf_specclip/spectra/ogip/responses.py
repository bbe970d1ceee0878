"""Readers of ARF and RMF files (OGIP CAL/GEN/92-002 and 92-002a), as archives have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..response import EffectiveArea, RedistributionMatrix, SparseRows
from .errors import SpectrumFileError
from .fits_table import FitsFile, Ragged, Table

__all__ = ["MAX_CHANNELS", "contiguous_bins", "read_arf", "read_rmf"]

# XRISM/Resolve has 60,000 channels, the most of any instrument so far.
MAX_CHANNELS = 1 << 18

_REMAKE = "make the RMF again"
# Largest share of a row of the matrix that may lie below zero.
_MOST_BELOW_ZERO = 1e-3


def read_arf(path: str | os.PathLike[str]) -> EffectiveArea:
    """Read an effective area (ARF); bins are returned in ascending order of energy.

    Args:
        path: plain or gzipped FITS file.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend.
    """
    file = FitsFile(path)
    table = _table(
        file,
        lambda t: t.name == "SPECRESP" or t.hduclas(2) == "SPECRESP",
        lambda t: "SPECRESP" in t,
        "an ARF (no SPECRESP extension)",
    )
    edges, order = _energy_bins(table)
    area = table.vector("SPECRESP")
    unit = (table.unit("SPECRESP") or "cm**2").replace(" ", "").lower()
    if unit in ("m**2", "m^2", "m2"):
        area = area * 1e4
    exposure = table.header.number("EXPOSURE")
    try:
        return EffectiveArea(
            energy_edges=edges, area=area[order], exposure=exposure, path=file.path
        )
    except ValueError as error:
        raise table.error(str(error), column="SPECRESP", mend="make the ARF again") from None


def read_rmf(path: str | os.PathLike[str]) -> RedistributionMatrix:
    """Read a redistribution matrix (RMF, or RSP with the area folded in).

    The energies are read and checked at once, the matrix itself when it is first used (the file is
    then read again). Channels and energies come out in ascending order of energy.

    Args:
        path: plain or gzipped FITS file.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend; on first use
            for what is wrong with the elements.
    """
    tables = _Rmf(FitsFile(path))
    edges, _ = _energy_bins(tables.matrix)
    return RedistributionMatrix(
        edges,
        tables.channel_edges,
        _LazyMatrix(tables.file.path),
        includes_area=True if tables.matrix.hduclas(3) == "FULL" else None,
        channels=(tables.first_channel() + np.arange(tables.ebounds.n_rows))[tables.channel_order],
        path=tables.file.path,
    )


def _table(
    file: FitsFile, named: Callable[[Table], bool], shaped: Callable[[Table], bool], what: str
) -> Table:
    """Return the first table of the declared class, else the first that has the columns."""
    for test in (named, shaped):
        for table in file.tables:
            if test(table):
                return table
    raise SpectrumFileError(
        f"is not {what}; it holds {file.contents()}",
        path=file.path,
        mend="check which file is the spectrum, which the ARF and which the RMF",
    )


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
    if low.size > 1 and low[-1] < low[0]:  # gratings count channels in wavelength
        order = order[::-1]
    if names[0] == "ENERG_LO":
        order = order[high[order] > low[order]]
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


def _energies(table: Table, name: str) -> NDArray[np.float64]:
    """Return a column of energies in keV (the OGIP unit, assumed where none is given)."""
    unit = (table.unit(name) or "keV").strip().lower()
    if unit not in _TO_KEV:
        raise table.error(f"has the unit {unit!r}", column=name, mend="convert it to keV")
    return table.vector(name) * _TO_KEV[unit]


def _energy_bins(table: Table) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    low, high = _energies(table, "ENERG_LO"), _energies(table, "ENERG_HI")
    edges, order = contiguous_bins(table, low, high, ("ENERG_LO", "ENERG_HI"))
    if edges[0] == 0:
        # Power laws diverge at zero; XSPEC and Sherpa lift the edge as well.
        edges[0] = min(1e-10, edges[1] / 2)
    return edges, order


class _Rmf:
    """Tables of an RMF file: MATRIX and EBOUNDS."""

    def __init__(self, file: FitsFile) -> None:
        self.file = file
        self.matrix = _table(
            file,
            lambda t: (
                t.name in ("MATRIX", "RSP_MATRIX", "SPECRESP MATRIX", "SPECRESPMATRIX")
                or t.hduclas(2) == "RSP_MATRIX"
            ),
            lambda t: "MATRIX" in t and "F_CHAN" in t,
            "an RMF (no MATRIX, RSP_MATRIX or SPECRESP MATRIX extension)",
        )
        self.ebounds = _table(
            file,
            lambda t: t.name == "EBOUNDS" or t.hduclas(2) in ("EBOUNDS", "PI_EBOUNDS"),
            lambda t: "E_MIN" in t and "E_MAX" in t,
            "an RMF (no EBOUNDS extension)",
        )
        if self.ebounds.n_rows > MAX_CHANNELS or self.matrix.n_rows > MAX_CHANNELS:
            table = max(self.ebounds, self.matrix, key=lambda t: t.n_rows)
            raise table.error(
                f"{table.n_rows:,} rows are more than {MAX_CHANNELS:,}", mend="is it a response?"
            )
        low, high = _energies(self.ebounds, "E_MIN"), _energies(self.ebounds, "E_MAX")
        self.channel_edges, self.channel_order = contiguous_bins(
            self.ebounds, low, high, ("E_MIN", "E_MAX")
        )

    def first_channel(self) -> int:
        """Return the channel of the first row of EBOUNDS: its own, else the matrix's, else 1."""
        for first in (self._first_number(), *self._stated()):
            if first is not None:
                return first
        groups, f_chan, n_chan, _ = self._groups()
        return 0 if groups.size and (f_chan[n_chan > 0] == 0).any() else 1

    def _stated(self) -> tuple[int | None, int | None]:
        """Return TLMIN of F_CHAN, and of CHANNEL in EBOUNDS."""
        ebounds = self.ebounds
        return (
            self.matrix.limit("F_CHAN"),
            ebounds.limit("CHANNEL") if "CHANNEL" in ebounds else None,
        )

    def _first_number(self) -> int | None:
        """Return the first channel where the CHANNEL column counts up by one, else None.

        Raises:
            SpectrumFileError: other numbers that are not all the same, without a TLMIN that says
                better.
        """
        table = self.ebounds
        if "CHANNEL" not in table:
            return None
        values = table.vector("CHANNEL")
        if values.size > 1 and (values == values[0]).all():
            return None  # a column nobody filled
        if np.isfinite(values).all() and (np.diff(values) == 1).all() and abs(values[0]) < 2**31:
            return int(values[0])
        if self._stated() == (None, None):
            raise table.error("must count up by one", column="CHANNEL", mend="sort the channels")
        return None

    def elements(self) -> SparseRows:
        """Unpack the matrix, without a loop over rows or groups."""
        table = self.matrix
        group_row, f_chan, n_chan, n_rows = self._groups()
        n_channels = self.ebounds.n_rows
        used = n_chan > 0
        offset = self._offset(f_chan[used])
        start = f_chan - offset
        if (start[used] < 0).any() or (start[used] >= n_channels).any():
            where = int(group_row[used][np.argmax((start[used] < 0) | (start[used] >= n_channels))])
            raise table.error(
                f"row {where} begins outside the {n_channels} channels",
                column="F_CHAN",
                mend=_REMAKE,
            )
        per_row = np.bincount(group_row, weights=n_chan, minlength=n_rows).astype(np.int64)
        value = self._first("MATRIX", per_row, "N_CHAN")
        ends = np.cumsum(n_chan)
        within = np.arange(value.size) - np.repeat(ends - n_chan, n_chan)
        column = np.repeat(start, n_chan) + within
        row = np.repeat(group_row, n_chan)
        wrong = ~(np.abs(value) < 1e10)  # cm² at most
        below = np.minimum(value, 0)
        if not wrong.any() and below.any():
            # Interpolation leaves a little below zero (XMM's canned matrices).
            sums = [np.bincount(row, np.abs(part), n_rows) for part in (below, value)]
            wrong = (below < 0) & (sums[0] > _MOST_BELOW_ZERO * sums[1])[row]
        if wrong.any():
            bad = int(row[np.argmax(wrong)])
            raise table.error(
                f"row {bad} holds elements that are negative, not finite or beyond reason",
                column="MATRIX",
                mend=_REMAKE,
            )
        # Some writers overrun the last channel; no detector records what lies there.
        keep = (column < n_channels) & (value != 0)
        row, column, value = row[keep], column[keep], value[keep]
        if self.channel_order[0] != 0:
            column = n_channels - 1 - column
        _, energy_order = _energy_bins(table)
        bin_of = np.full(n_rows, -1)
        bin_of[energy_order] = np.arange(energy_order.size)
        row = bin_of[row]
        if (row < 0).any():  # no photon has the energy of a bin without a width
            row, column, value = row[row >= 0], column[row >= 0], value[row >= 0]
        if energy_order[0] > energy_order[-1]:
            row, column, value = row[::-1], column[::-1], value[::-1]
        return SparseRows(row.astype(np.int32), column.astype(np.int32), value.astype(np.float32))

    def _groups(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]:
        """Return row, first channel and number of channels of each group; and how many rows."""
        table = self.matrix
        n_grp = self._whole("N_GRP", table.vector("N_GRP"))
        if (n_grp < 0).any() or n_grp.max() > MAX_CHANNELS:
            raise table.error("is no number of groups", column="N_GRP", mend=_REMAKE)
        f_chan, n_chan = (
            self._whole(name, self._first(name, n_grp, "N_GRP")) for name in ("F_CHAN", "N_CHAN")
        )
        if (n_chan < 0).any() or (n_chan.size and n_chan.max() > MAX_CHANNELS):
            raise table.error("is no number of channels", column="N_CHAN", mend=_REMAKE)
        return np.repeat(np.arange(n_grp.size), n_grp), f_chan, n_chan, n_grp.size

    def _first(self, name: str, numbers: NDArray[np.int64], counter: str) -> NDArray[Any]:
        """Return the first values of each row of a column, as many as another column says."""
        try:
            return Ragged.of(self.matrix.column(name)).first(numbers)
        except SpectrumFileError:
            raise
        except ValueError as error:
            problem = f"does not fit {counter} ({error})"
            raise self.matrix.error(problem, column=name, mend=_REMAKE) from None

    def _whole(self, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.dtype.kind == "f" and (
            not (np.abs(values) < 2**31).all() or (values != np.rint(values)).any()
        ):
            raise self.matrix.error("must hold whole numbers", column=name, mend=_REMAKE)
        return values.astype(np.int64)

    def _offset(self, f_chan: NDArray[np.int64]) -> int:
        """Return the number F_CHAN counts from: TLMIN, else EBOUNDS, else 0 or 1 by occurrence."""
        f_chan_limit, channel_limit = self._stated()
        choices = [f_chan_limit, self._first_number(), channel_limit, 1, 0]
        lowest = int(f_chan.min()) if f_chan.size else 1
        # A TLMIN above the channels that occur is a slip of the writer (seen in Swift files).
        return next((c for c in choices if c is not None and c <= lowest), 0)


@dataclass(frozen=True)
class _LazyMatrix:
    """Matrix of a file, unpacked when called; small, and survives pickling."""

    path: str

    def __call__(self) -> SparseRows:
        return _Rmf(FitsFile(self.path)).elements()
