"""Conversion of the rows of a user's table to rows of the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..contract import N_BINS
from ..tables.plan import paper_row
from .cells import as_counts, as_degrees, as_integer, as_number, as_text
from .roles import OPTIONAL_NUMBERS, Roles, summary_of
from .spectra import SpectrumFiles, bin_row, read_row, stem

_OBSERVATION = ("obsid", "obi", "region_id")
_SEPARATORS = re.compile(r"[\s,;]+")


class LeftOut(NamedTuple):
    """Row of a table that is not in the dataset: its number from 1, and the reason."""

    row: int
    file: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}{f', {self.file}' if self.file else ''}: {self.reason}"


@dataclass
class RowReader:
    """Reader of a table's rows."""

    roles: Roles  # columns of the table by role
    files: SpectrumFiles  # that cells name
    # Spectrum files by source, for a table that neither names files nor has counts.
    of_source: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    # `arf` and `rmf` of all rows, in place of those that files lead to.
    sides: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._no_numbers: dict[str, list[str]] = {}
        self._unknown_observations = 0

    def rows_of(self, number: int) -> list[dict[str, Any]]:
        """Return the rows of the contract for a row of the table, by its number from 0.

        Keys that begin with `_` are not columns: `_row` (number), `_file`, `_energies`, `_field`
        (identifier of the observation), `_host` and `_group` (of the table, or None).

        Raises:
            ValueError: invalid row.
            OSError: a file cannot be read.
        """
        roles = self.roles
        if number in roles.table.broken:
            raise ValueError(roles.table.broken[number])
        summary = summary_of(roles, number)
        if not any(summary.values()):
            raise ValueError(f"has no text in {', '.join(roles.sections.values())}")
        stated: dict[str, Any] = {
            **{name: self._text(name, number) for name in ("source_class", "writer", "detector")},
            **{name: self._number(name, number) for name in OPTIONAL_NUMBERS},
            **{name: self._number(name, number, as_integer) for name in _OBSERVATION},
            **{name: self._angle(name, number) for name in ("ra", "dec")},
        }
        identity = {name: stated[name] for name in _OBSERVATION}
        # Not the name in the header, which is often that of the target.
        identity["source_name"] = self._name(number)
        about = {
            "source_name": identity["source_name"],
            "summary": summary,
            "aliases": _names(roles.cell("aliases", number)),
            "papers": _papers(roles.cell("papers", number)),
            "group": "-",  # found when all rows are known
            "_row": number,
            "_host": self._text("host", number),
            "_group": self._text("group", number),
        }
        stated = {name: value for name, value in stated.items() if value is not None}
        rows = []
        for file, spectrum in self._spectra(number, identity):
            row = spectrum | stated | about | {"_file": file}
            if row["ra"] is None or row["dec"] is None:
                row |= {"ra": None, "dec": None}
            if row["obsid"] is None:
                self._unknown_observations += 1
                row["obsid"] = -self._unknown_observations
            row["obi"], row["region_id"] = row["obi"] or 0, row["region_id"] or 1
            row["_field"] = self._text("obsid", number) or str(row["obsid"])
            rows.append(row)
        return rows

    def left_out(self, number: int, reason: str, file: str | None = None) -> LeftOut:
        """Describe a row of the table that is not in the dataset."""
        file = self._text("file", number) if file is None else file
        return LeftOut(number + 1, file or "", self._text("source_name", number) or "", reason)

    def notes(self) -> list[str]:
        """Return sentences on cells that were ignored."""
        return [
            f"{len(cells):,} cells of {name} are not numbers ({cells[0]}): left empty"
            for name, cells in self._no_numbers.items()
        ]

    def _spectra(
        self, number: int, identity: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the file, if any, and the columns of the spectrum of each detection."""
        sides = dict(self.sides)
        for kind in ("arf", "rmf", "background"):
            if cell := self._text(kind, number):
                sides[kind] = self.files.find(cell)
        if cell := self._text("file", number):
            yield cell, read_row(self.files.find(cell), identity, sides)
        elif (counts := as_counts(self.roles.cell("counts", number))) is not None:
            exposure = self._number("exposure", number)
            if exposure is None:
                raise ValueError("has counts and no exposure (live time in seconds)")
            background = as_counts(self.roles.cell("background_counts", number))
            scale = self._number("background_scale", number)
            row = bin_row(counts, background, scale, exposure, identity, sides)
            if (area := self.roles.cell("effective_area", number)) is not None:
                if np.shape(area) != (N_BINS,):
                    raise ValueError(f"effective_area is not a list of {N_BINS} numbers")
                row["effective_area"] = area
            yield "", row
        elif files := self.of_source.get(identity["source_name"] or ""):
            for path in files:
                yield path.name, read_row(path, identity, sides)
        else:
            raise ValueError(
                "has no spectrum"
                if "file" in self.roles or "counts" in self.roles
                else f"no spectrum below {self.files.folder} has a name that begins as the source's"
            )

    def _name(self, number: int) -> str | None:
        """Return the name of the source; without a column of names, of the file or row."""
        if "source_name" in self.roles:
            return self._text("source_name", number)
        file = self._text("file", number)
        return stem(Path(file)) if file else f"row {number + 1}"

    def _text(self, role: str, number: int) -> str | None:
        return as_text(self.roles.cell(role, number))

    def _number(self, role: str, number: int, read: Any = as_number) -> Any:
        """Return a number in the contract's unit; None, with a note, for an invalid cell."""
        try:
            value = read(self.roles.cell(role, number))
        except ValueError as error:
            self._no_numbers.setdefault(role, []).append(str(error))
            return None
        return None if value is None else value * self.roles.factors.get(role, 1)

    def _angle(self, role: str, number: int) -> float | None:
        factor, cell = self.roles.factors.get(role, 1.0), self.roles.cell(role, number)
        try:
            return as_degrees(cell, factor, is_ra=role == "ra")
        except ValueError as error:
            raise ValueError(f"column {self.roles.column_of[role]!r}: {error}") from None


def _names(cell: Any) -> list[str]:
    """Return names of a list, or of a text with `;` or `|` between them."""
    if isinstance(cell, str | bytes):
        cell = re.split(r"[;|]", as_text(cell) or "")
    return [name for each in (() if cell is None else cell) if (name := as_text(each))]


def _papers(cell: Any) -> list[dict[str, Any]]:
    """Return papers of structs with `id`, a list of identifiers, or a text that holds some."""
    if isinstance(cell, str | bytes):
        cell = _SEPARATORS.split(as_text(cell) or "")
    papers = [each if isinstance(each, dict) else {"id": as_text(each)} for each in cell or ()]
    return [paper_row(paper) for paper in papers if paper.get("id")]
