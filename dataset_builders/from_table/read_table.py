"""Reader of a user's table: CSV, Parquet, FITS, VOTable or ECSV, by the suffix of the file."""

from __future__ import annotations

import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.errors import SpecCLIPError

_ASTROPY = {
    ".fits": "fits", ".fit": "fits", ".fts": "fits", ".vot": "votable", ".votable": "votable",
    ".xml": "votable", ".ecsv": "ascii.ecsv",
}  # fmt: skip
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")
_FORMATS = "CSV, TSV, Parquet, FITS, VOTable (.vot, .xml) or ECSV"
_DECIMAL_COMMA = re.compile(r"^\s*([+-]?\d+),(\d+)\s*$")
# Units in column names: `exposure [ks]`, `nh (1e22 cm-2)`.
_UNIT_IN_NAME = re.compile(r"(.+?)\s*[\[(]([^\])]+)[\])]\s*")


class OwnTableError(SpecCLIPError, ValueError):
    """Table that cannot be used; the message says what to do."""


@dataclass
class OwnTable:
    """Columns of a table as lists of cells."""

    name: str  # of the file
    n_rows: int  # number of rows
    # Cells of each column; None where masked, an array (m,) for a list
    columns: dict[str, list[Any]]
    units: dict[str, str] = field(default_factory=dict)  # of the columns that state one
    notes: list[str] = field(default_factory=list)  # sentences on what was assumed
    # Problems of rows that cannot be read, by index
    broken: dict[int, str] = field(default_factory=dict)


def read_table(path: Path) -> OwnTable:
    """Read a table.

    Raises:
        OwnTableError: for a file of another format, a damaged or an empty one.
    """
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    try:
        if suffix in _DELIMITERS and not name.endswith(".gz"):
            table = _read_csv(path, _DELIMITERS[suffix])
        elif suffix in _PARQUET:
            table = _read_parquet(path)
        elif suffix in _ASTROPY:
            table = _read_astropy(path, _ASTROPY[suffix])
        else:
            raise OwnTableError(f"{path}: {suffix or 'a name without suffix'} is not {_FORMATS}")
    except (OwnTableError, FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # the readers of these formats raise any exception
        raise OwnTableError(f"{path} cannot be read as a table: {error}") from error
    if not table.n_rows or not table.columns:
        raise OwnTableError(f"{path} holds no rows")
    return table


def _read_csv(path: Path, delimiters: str) -> OwnTable:
    content, notes = path.read_bytes(), []
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        notes.append("the file is not UTF-8: its letters were read as Latin-1")
    lines = text.splitlines(keepends=True)
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    delimiter = max(delimiters, key="".join(lines[first : first + 1]).count)
    # `# name,ra` above the first row is a header; comments hold no delimiters.
    if first and lines[first - 1].count(delimiter) > 0:
        first -= 1
    csv.field_size_limit(sys.maxsize)
    header, *rows = [
        row
        for row in csv.reader(lines[first:], delimiter=delimiter)
        if any(cell.strip() for cell in row)
    ] or [[]]
    broken = {
        number: f"has {len(row)} cells where the header has {len(header)} (a text with "
        f"{delimiter!r} in it goes in quotes)"
        for number, row in enumerate(rows)
        if len(row) != len(header)
    }
    columns = [
        [None if number in broken else row[place] for number, row in enumerate(rows)]
        for place in range(len(header))
    ]
    if delimiter == ";":
        columns = [[_DECIMAL_COMMA.sub(r"\1.\2", cell or "") for cell in c] for c in columns]
    names = [name.strip(" \t\r\n#") for name in header]
    table = _table(path, names, columns, [None] * len(names))
    table.notes, table.broken = notes, broken
    return table


def _read_parquet(path: Path) -> OwnTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pq.read_table(path)
    cells = []
    for column in content.columns:
        inner = getattr(column.type, "value_type", None)
        values = column.to_pylist()
        if inner is not None and (pa.types.is_integer(inner) or pa.types.is_floating(inner)):
            values = [None if cell is None else np.array(cell) for cell in values]
        cells.append(values)
    return _table(path, content.column_names, cells, [None] * len(cells))


def _read_astropy(path: Path, fmt: str) -> OwnTable:
    from astropy.table import Table

    more: dict[str, Any] = {"table_id": 0, "use_names_over_ids": True} if fmt == "votable" else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        content = Table.read(path, format=fmt, **more)
    columns = [content[name] for name in content.colnames]
    units = [None if c.info.unit is None else str(c.info.unit) for c in columns]
    names, cells = list(content.colnames), [list(_cells(column)) for column in columns]
    for column in columns:
        if hasattr(column, "icrs") and not {"ra", "dec"} & set(names):
            names += ["ra", "dec"]
            cells += [column.icrs.ra.deg.tolist(), column.icrs.dec.deg.tolist()]
            units += ["deg", "deg"]
    table = _table(path, names, cells, units)
    table.notes = [str(w.message) for w in caught if "multiple tables" in str(w.message)]
    return table


def _cells(column: Any) -> Iterator[Any]:
    """Yield the cells of a column of astropy: None where masked, arrays of floats with nan."""
    values = getattr(column, "value", column)
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ndarray) else None
    for row, cell in enumerate(values):
        if isinstance(cell, np.ndarray) and cell.ndim:
            if np.ma.is_masked(cell):
                cell = cell.astype(float).filled(np.nan)
            yield np.asarray(cell)
        elif (mask is not None and np.all(mask[row])) or cell is np.ma.masked:
            yield None
        else:
            yield cell.item() if isinstance(cell, np.generic) else cell


def _table(path: Path, names: list[str], cells: list[Any], units: list[str | None]) -> OwnTable:
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise OwnTableError(f"{path}: column {repeated[0]!r} is there twice: rename one of them")
    table = OwnTable(path.name, len(cells[0]) if cells else 0, {})
    for name, values, unit in zip(names, cells, units, strict=True):
        if unit is None:
            name, unit = split_unit(name)
        table.columns[name] = list(values)
        if unit:
            table.units[name] = unit
    return table


def split_unit(name: str) -> tuple[str, str | None]:
    """Return a column's name and the unit in brackets after it, or None."""
    match = _UNIT_IN_NAME.fullmatch(name)
    return (match[1], match[2]) if match else (name, None)
