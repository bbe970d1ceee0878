"""Reader of FITS binary tables from untrusted files.

Every size in a header (rows, row length, repeat counts, heap, pointers of variable-length arrays)
is checked against the length of the file before anything is allocated. The memory for headers,
converted columns and rows that share their bytes is bounded. Variable-length arrays come out flat,
without a Python loop over rows.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SpectrumFileError
from .fits_header import CARD, Header, readable
from .read_bytes import TRUNCATED, map_bytes, read_bytes

MAX_HEADER_BLOCKS = 10_000  # 360,000 cards in all HDUs
MAX_HDUS = 2_000
MAX_COLUMNS = 999  # the standard's own limit
MAX_ROWS = 1 << 22
MAX_ELEMENTS = 1 << 25  # of one column once its variable-length rows are unpacked
MAX_SHARED = 1 << 22  # the same where rows share their bytes

_BLOCK, _CHUNK = 2880, 1 << 20
_END = b"END".ljust(CARD)

_TFORM = re.compile(r"\s*(\d{0,10})([LXBIJKAEDCMPQ])(.*)")
_RAGGED_TFORM = re.compile(r"([LXBIJKAEDCM])(?:\((\d{0,12})\))?")
_TYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_BYTES = {code: int(kind[-1]) for code, kind in _TYPES.items()} | (
    {"A": 1, "L": 1, "C": 8, "M": 16, "P": 8, "Q": 16}
)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Variable-length column: row i is ``flat[starts[i] : starts[i] + lengths[i]]``.

    Rows may lie anywhere in `flat` and leave gaps.
    """

    flat: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, column: NDArray[Any] | Ragged) -> Ragged:
        """Convert any column to this form: one value a row, or vectors of one length."""
        if isinstance(column, Ragged):
            return column
        wide = column.reshape(column.shape[0], -1)
        starts = np.arange(wide.shape[0], dtype=np.int64) * wide.shape[1]
        return cls(wide.reshape(-1), starts, np.full(wide.shape[0], wide.shape[1], dtype=np.int64))

    def first(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return the first ``numbers[i]`` values of each row, joined.

        Raises ValueError past the end of a row, or for more than `MAX_ELEMENTS`.
        """
        if (numbers < 0).any() or (numbers > self.lengths).any():
            raise ValueError("a row holds fewer values than are needed")
        total = int(numbers.sum())
        if total > MAX_ELEMENTS:
            raise ValueError(f"{total:,} values are more than {MAX_ELEMENTS:,}")
        ends = np.cumsum(numbers)
        begin = int(self.starts[0]) if self.starts.size else 0
        if (self.starts[1:] == begin + ends[:-1]).all():
            return self.flat[begin : begin + total]
        offsets = np.arange(total) - np.repeat(ends - numbers, numbers)
        return self.flat[np.repeat(self.starts, numbers) + offsets]


@dataclass(frozen=True)
class _Column:
    number: int
    code: str
    repeat: int
    offset: int
    ragged: str | None  # element type of a variable-length array


class Table:
    """Binary table: its header and its columns by name (case does not matter)."""

    def __init__(self, file: FitsFile, index: int, header: Header, start: int, end: int) -> None:
        self.file, self.index, self.header = file, index, header
        self._start, self._end = start, end
        self.name = (header.text("EXTNAME") or "").upper()
        self.row_bytes = header.integer("NAXIS1", 0) or 0
        self.n_rows = header.integer("NAXIS2", 0) or 0
        self._pointers: dict[str, Ragged] = {}

    @property
    def label(self) -> str:
        """Name under which errors mention the table."""
        return f"HDU {self.index} ({self.name or 'unnamed'})"

    def hduclas(self, number: int) -> str:
        """Return HDUCLAS1…4 in upper case, empty where absent."""
        return (self.header.text(f"HDUCLAS{number}") or "").upper()

    def error(
        self,
        problem: str,
        *,
        column: str | None = None,
        keyword: str | None = None,
        mend: str = TRUNCATED,
    ) -> SpectrumFileError:
        """Return an error that names the file, this HDU, and the column or keyword."""
        what = f", column {column}" if column else f", keyword {keyword}" if keyword else ""
        return SpectrumFileError(problem, path=self.file.path, place=self.label + what, mend=mend)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def column(self, name: str) -> NDArray[Any] | Ragged:
        """Return a numeric column, scaled by TSCAL and TZERO: (rows,) or (rows, k), or `Ragged`.

        Integers equal to TNULL become NaN (and the column floating). Raises SpectrumFileError for a
        column that is absent or not numbers.
        """
        spec = self._find(name)
        if spec.ragged is None:
            field = self._numbers(name, spec)
            self._bound(name, field.size, MAX_ELEMENTS)
            return self._scaled(spec, field[:, 0] if spec.repeat == 1 else field)
        ragged = self._ragged(name, spec)
        lengths, starts = ragged.lengths, ragged.starts
        total, low = int(lengths.sum()), int(starts.min(initial=0, where=lengths > 0))
        span = int((starts + lengths).max(initial=0)) - low
        if span > 2 * total:  # the cells of other columns lie between
            flat, starts = ragged.first(lengths), np.cumsum(lengths) - lengths
        else:
            flat, starts = ragged.flat[low : low + span], np.where(lengths > 0, starts - low, 0)
        return Ragged(self._scaled(spec, flat), starts, lengths)

    def cell(self, name: str, row: int) -> NDArray[Any]:
        """Return (k,) one row of a numeric column, as `column` does; no other row is touched."""
        spec = self._find(name)
        if spec.ragged is None:
            return self._scaled(spec, self._numbers(name, spec)[row])
        ragged = self._ragged(name, spec)
        start, length = int(ragged.starts[row]), int(ragged.lengths[row])
        return self._scaled(spec, ragged.flat[start : start + length])

    def is_vector(self, name: str) -> bool:
        """Return True for a column with an array in each row."""
        spec = self._find(name)
        return spec.ragged is not None or spec.repeat != 1

    def n_values(self, name: str) -> int:
        """Return the number of values in all rows of a column."""
        spec = self._find(name)
        if spec.ragged is None:
            return self.n_rows * spec.repeat
        return int(self._ragged(name, spec).lengths.sum())

    def vector(self, name: str, row: int | None = None) -> NDArray[np.float64]:
        """Return a column of one number a row (type I), or the vector in one row (type II).

        Raises SpectrumFileError for another column, or one without numbers.
        """
        values = self.column(name) if row is None else self.cell(name, row)
        if isinstance(values, Ragged) or values.ndim != 1:
            raise self.error("must hold one number a row", column=name, mend="see OGIP 92-007")
        if not values.size:
            problem = "has no rows" if row is None else "is empty"
            raise self.error(problem, column=name, mend="make the file again")
        with np.errstate(invalid="ignore"):  # signalling NaNs; what is not finite is refused later
            return values.astype(np.float64)

    def as_integers(self, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return values of a column as int64. Raises SpectrumFileError for fractions, or ≥ 2³¹."""
        if values.dtype.kind == "f" and not (
            (np.abs(values) < 2**31).all() and (values == np.rint(values)).all()
        ):
            raise self.error("must hold whole numbers", column=name, mend="see OGIP 92-007")
        return values.astype(np.int64)

    def text(self, name: str, row: int) -> str:
        """Return one row of a column of strings. Raises SpectrumFileError where there is none."""
        spec = self._find(name)
        if spec.code != "A":
            raise self.error("must hold text", column=name, mend="see OGIP 92-007")
        field = self._field(spec, f"S{spec.repeat}", min(spec.repeat, 1))
        return readable(b"".join(field[row]).split(b"\0")[0])

    def is_text(self, name: str) -> bool:
        """Return True where a column of that name exists and holds strings."""
        return name in self.columns and self.columns[name].code == "A"

    def number(self, name: str) -> int:
        """Return the number of a column, from 1, as in its keywords."""
        return self._find(name).number

    def limit(self, name: str) -> int | None:
        """Return TLMIN of a column as a whole number, None where absent."""
        return self.header.integer(f"TLMIN{self.number(name)}")

    def unit(self, name: str) -> str | None:
        """Return TUNIT of a column, None where absent."""
        return self.header.text(f"TUNIT{self.number(name)}")

    def _find(self, name: str) -> _Column:
        spec = self.columns.get(name)
        if spec is None:
            there = ", ".join(self.columns) or "none"
            raise self.error(f"has no column {name}", mend=f"the columns there are: {there}")
        return spec

    @cached_property
    def columns(self) -> dict[str, _Column]:
        """Layout of the columns by upper-case name, in the table's order."""
        most = self.file.max_rows
        if self.n_rows > most:
            raise self.error(f"{self.n_rows:,} rows are more than {most:,}")
        count = self.header.integer("TFIELDS", 0) or 0
        if not 0 <= count <= MAX_COLUMNS:
            raise self.error(f"TFIELDS = {count} is not a valid number of columns")
        found: dict[str, _Column] = {}
        offset = 0
        for number in range(1, count + 1):
            form = self.header.text(f"TFORM{number}") or ""
            match = _TFORM.match(form.upper())
            repeat, code = (int(match[1] or 1), match[2]) if match else (0, "")
            inner = _RAGGED_TFORM.match(match[3]) if match and code in "PQ" else None
            if not match or (code in "PQ" and (inner is None or repeat > 1)):
                raise self.error(f"TFORM{number} = {form!r} is not a FITS type")
            ragged = inner[1] if inner else None
            width = (repeat + 7) // 8 if code == "X" else repeat * _BYTES[code]
            name = (self.header.text(f"TTYPE{number}") or f"COL{number}").upper()
            found.setdefault(name, _Column(number, code, repeat, offset, ragged))
            offset += width
        if offset != self.row_bytes:
            raise self.error(f"columns take {offset} bytes a row, NAXIS1 says {self.row_bytes}")
        return found

    def _field(self, spec: _Column, kind: str, repeat: int) -> NDArray[Any]:
        """Return a (rows, repeat) view of a column's bytes."""
        shape, size = (self.n_rows, repeat), np.dtype(kind).itemsize
        if 0 in shape:
            return np.zeros(shape, dtype=kind)
        offset, strides = self._start + spec.offset, (self.row_bytes, size)
        return np.ndarray(shape, kind, self.file.data, offset, strides)

    def _numbers(self, name: str, spec: _Column) -> NDArray[Any]:
        """Return a (rows, repeat) view of a column of numbers."""
        return self._field(spec, self._dtype(name, spec.code), spec.repeat)

    def _dtype(self, name: str, code: str | None) -> str:
        if code not in _TYPES:
            raise self.error(f"holds type {code}, not numbers", column=name, mend="see OGIP")
        return _TYPES[code]

    def _bound(self, name: str, number: int, most: int) -> None:
        if number > most:
            problem = f"{number:,} values are more than {most:,}"
            raise self.error(problem, column=name)

    def _ragged(self, name: str, spec: _Column) -> Ragged:
        """Return a variable-length column as it lies in the heap, read once."""
        if name not in self._pointers:
            self._pointers[name] = self._follow(name, spec)
        return self._pointers[name]

    def _follow(self, name: str, spec: _Column) -> Ragged:
        kind = self._dtype(name, spec.ragged)
        size = np.dtype(kind).itemsize
        table_bytes = self.row_bytes * self.n_rows
        heap = self.header.integer("THEAP", table_bytes)
        heap_bytes = self._end - self._start - (heap or 0)
        if heap is None or heap < table_bytes or heap_bytes < 0:
            raise self.error(f"THEAP = {heap} points out of the table")
        if spec.repeat == 0:
            nothing = np.zeros(self.n_rows, dtype=np.int64)
            return Ragged(np.zeros(0, dtype=kind), nothing, nothing)
        pairs = self._field(spec, ">i4" if spec.code == "P" else ">i8", 2).astype(np.int64)
        lengths, starts = pairs[:, 0], pairs[:, 1]
        # Compared by division: a product of two hostile numbers may wrap around.
        wrong = (lengths < 0) | (starts < 0) | (starts > heap_bytes)
        wrong |= lengths > (heap_bytes - np.minimum(starts, heap_bytes)) // size
        wrong &= lengths != 0
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            problem = f"row {row} points out of the file's data"
            raise self.error(problem, column=name)
        total = int(lengths.sum())
        most = MAX_ELEMENTS if total * size <= heap_bytes else min(MAX_SHARED, MAX_ELEMENTS)
        self._bound(name, total, most)
        starts = np.where(lengths == 0, 0, starts)
        base = self._start + heap
        used = starts[lengths > 0]
        shift = int(used[0]) % size if used.size else 0
        if (used % size == shift).all():
            flat: NDArray[Any] = np.frombuffer(
                self.file.data, dtype=kind, count=(heap_bytes - shift) // size, offset=base + shift
            )
            return Ragged(flat, starts // size, lengths)
        # Heaps of mixed types need not be aligned: gather bytes, then look at them as numbers.
        raw = np.frombuffer(self.file.data, dtype="u1", count=heap_bytes, offset=base)
        packed = Ragged(raw, starts, lengths * size).first(lengths * size)
        flat = np.frombuffer(packed.tobytes(), dtype=kind)
        return Ragged(flat, np.cumsum(lengths) - lengths, lengths)

    def _scaled(self, spec: _Column, values: NDArray[Any]) -> NDArray[Any]:
        """Apply native byte order, TSCAL, TZERO and TNULL."""
        scale = self.header.number(f"TSCAL{spec.number}", 1.0)
        zero = self.header.number(f"TZERO{spec.number}") or 0.0
        assert scale is not None
        null = self.header.integer(f"TNULL{spec.number}")
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        missing = native == null if null is not None and native.dtype.kind in "iu" else None
        if scale == 1.0 and zero == 0.0:
            result = native
        elif scale == 1.0 and zero.is_integer() and native.dtype.kind in "iu":
            # Unsigned integers are stored with an offset; they must not pass through floats.
            shifted = _shifted(native, int(zero))
            if shifted is None:
                raise self.error(f"TZERO{spec.number} = {zero:g} leaves 64 bits", mend="see OGIP")
            result = shifted
        else:
            result = native.astype(np.float64) * scale + zero
        if missing is not None and missing.any():
            result = np.where(missing, np.nan, result)
        return result


def _shifted(values: NDArray[Any], zero: int) -> NDArray[Any] | None:
    """Return integers plus an offset: int64, uint64 where that does not hold them, else None."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    fits = [
        dtype
        for dtype in (np.int64, np.uint64)
        if np.iinfo(dtype).min <= low + zero and high + zero <= np.iinfo(dtype).max
    ]
    if not fits:
        return None
    # Modulo 2**64 the sum is right, whatever the sign of its parts.
    total = values.astype(np.int64).view(np.uint64) + np.uint64(zero % 2**64)
    return total.view(fits[0])


class FitsFile:
    """FITS file read into memory, its structure checked.

    Args:
        path: plain or gzipped; up to `MAX_FILE_BYTES` once decompressed.
        mapped: map a plain file into memory instead, and take tables of up to `MAX_ELEMENTS` rows:
            for event lists, of which a few columns are used.

    Raises:
        SpectrumFileError: no such file, not FITS, too large, truncated.
    """

    def __init__(self, path: str | os.PathLike[str], *, mapped: bool = False) -> None:
        self.path = str(path)
        self.data = map_bytes(Path(path)) if mapped else read_bytes(Path(path))
        self.max_rows = MAX_ELEMENTS if mapped else MAX_ROWS
        self.tables: list[Table] = []
        self.hdus: list[tuple[Header, int, int, int]] = []
        """Header of each HDU, and where the HDU, its data and the next HDU begin."""
        self._header_blocks = 0
        position, index = 0, 0
        while index == 0 or position < len(self.data):
            if index >= MAX_HDUS:
                raise self.error(f"more than {MAX_HDUS} HDUs")
            position = self._read_hdu(position, index)
            index += 1

    def contents(self) -> str:
        """Return the numbers and names of the tables, for messages."""
        return ", ".join(f"{t.index}:{t.name or '?'}" for t in self.tables) or "no tables"

    def error(self, problem: str, *, mend: str = TRUNCATED) -> SpectrumFileError:
        """Return an error that names the file."""
        return SpectrumFileError(problem, path=self.path, mend=mend)

    def _read_hdu(self, position: int, index: int) -> int:
        first = self.data[position : position + 10]
        if first != (b"XTENSION= " if index else b"SIMPLE  = "):
            if index == 0:
                raise self.error("is not a FITS file", mend="give a PHA, ARF, RMF or event file")
            chunks = range(position, len(self.data), _CHUNK)
            if not any(self.data[at : at + _CHUNK].strip(b" \0") for at in chunks):
                return len(self.data)  # padding some writers leave at the end
            raise self.error(f"HDU {index} does not begin with a FITS header")
        last = position + (MAX_HEADER_BLOCKS - self._header_blocks) * _BLOCK
        end = self.data.find(_END, position, last)
        while end >= 0 and (end - position) % CARD:
            end = self.data.find(_END, end + 1, last)
        data_start = position + ((end - position) // _BLOCK + 1) * _BLOCK
        if end < 0 and last <= len(self.data):
            raise self.error(f"headers of more than {MAX_HEADER_BLOCKS:,} blocks")
        if end < 0 or data_start > len(self.data):
            raise self.error(f"the header of HDU {index} has no end")
        self._header_blocks += (data_start - position) // _BLOCK
        text = self.data[position:end].decode("latin-1")
        cards = [text[at : at + CARD] for at in range(0, len(text), CARD)]
        header = Header(cards, self.path, str(index))

        axes = header.integer("NAXIS", 0) or 0
        if not 0 <= axes <= 999:
            raise self.error(f"NAXIS = {axes} in HDU {index}")
        size = 1 if axes else 0
        for axis in range(1, axes + 1):
            length = header.integer(f"NAXIS{axis}")
            if length is None or length < 0:
                raise self.error(f"NAXIS{axis} = {length} in HDU {index}")
            size *= length
        extra, groups = header.integer("PCOUNT", 0) or 0, header.integer("GCOUNT", 1)
        bits = header.integer("BITPIX", 8)
        if extra < 0 or groups != 1 or bits not in (8, 16, 32, 64, -32, -64):
            raise self.error(f"PCOUNT = {extra}, GCOUNT = {groups}, BITPIX = {bits} in HDU {index}")
        size = (size + extra) * abs(bits) // 8
        if size > len(self.data) - data_start:
            there = max(len(self.data) - data_start, 0)
            raise self.error(f"HDU {index} declares {size:,} bytes of data, {there:,} are there")
        if index and header.text("XTENSION") in ("BINTABLE", "A3DTABLE"):
            if axes != 2 or bits != 8:
                raise self.error(f"HDU {index} is not a binary table")
            self.tables.append(Table(self, index, header, data_start, data_start + size))
        end_of_data = data_start + -(-size // _BLOCK) * _BLOCK
        self.hdus.append((header, position, data_start, end_of_data))
        return end_of_data
