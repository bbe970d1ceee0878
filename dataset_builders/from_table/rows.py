"""Rows of the contract, one or more of each row of a user's table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tables.plan import paper_row
from .cells import as_counts, as_degrees, as_integer, as_number, as_text
from .roles import OPTIONAL_NUMBERS, Roles, summary_of
from .spectra import SpectrumFiles, bin_row, read_row, read_side, stem

_NUMBERS_OF_OBSERVATION = ("obsid", "obi", "region_id")
_SEPARATORS = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class LeftOut:
    """A row that became no pair.

    Attributes:
        row: number of the row, from 1; of the file among those given, for `from_files`.
        file: spectrum file, empty where there is none.
        source: name of the source, empty where it has none.
        reason: one sentence.
    """

    row: int
    file: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}{f', {self.file}' if self.file else ''}: {self.reason}"


class RowReader:
    """Reader of a table's rows.

    Args:
        roles: columns of the table by role.
        files: spectrum files that cells name, or that `match_sources` has matched.
        sides: `arf` and `rmf` of all rows, in place of those that files lead to.
    """

    def __init__(self, roles: Roles, files: SpectrumFiles, sides: dict[str, Path]) -> None:
        self.roles, self.files, self.sides = roles, files, sides
        self._no_numbers: dict[str, list[str]] = {}
        self._unknown_observations = 0

    def rows_of(self, number: int) -> list[dict[str, Any]]:
        """Return the rows of the contract that a row of the table gives.

        Names that begin with `_` are no columns: `_row` (number), `_file`, `_field` (whatever names
        the observation), `_host` and `_group` (the table's own, or None).

        Args:
            number: of the row, from 0.

        Raises:
            ValueError: naming what is wrong.
            OSError: for a file that cannot be read.
        """
        if number in self.roles.table.broken:
            raise ValueError(self.roles.table.broken[number])
        known = self._known(number)
        return [
            self._joined(number, file, row, known) for file, row in self._spectra(number, known)
        ]

    def left_out(self, number: int, reason: str, file: str | None = None) -> LeftOut:
        """Describe a row of the table that becomes none of the dataset."""
        file = self._text("file", number) if file is None else file
        return LeftOut(number + 1, file or "", self._text("source_name", number) or "", reason)

    def notes(self) -> list[str]:
        """Return sentences on cells that were taken for nothing."""
        return [
            f"{len(cells):,} cells of {name} are no numbers ({cells[0]}): left empty"
            for name, cells in self._no_numbers.items()
        ]

    def _known(self, number: int) -> dict[str, Any]:
        """Return what the table itself says of a row."""
        roles = self.roles
        row: dict[str, Any] = {
            "source_name": self._name(number),
            "summary": summary_of(roles, number),
            "papers": _papers(roles.cell("papers", number)),
            **{name: self._text(name, number) for name in ("source_class", "writer", "detector")},
            **{name: self._number(name, number) for name in OPTIONAL_NUMBERS},
            **{name: self._whole(name, number) for name in _NUMBERS_OF_OBSERVATION},
        }
        for name in ("ra", "dec"):
            try:
                factor = roles.factors.get(name, 1.0)
                row[name] = as_degrees(roles.cell(name, number), factor, is_ra=name == "ra")
            except ValueError as error:
                raise ValueError(f"column {roles.column_of[name]!r}: {error}") from None
        return row

    def _joined(
        self, number: int, file: str, spectrum: dict[str, Any], known: dict[str, Any]
    ) -> dict[str, Any]:
        """Return a row of the contract: what the table says, and what only the file says."""
        row = spectrum | {name: value for name, value in known.items() if value is not None}
        row["source_name"] = known["source_name"]  # not the header's, which is often the target's
        if row["ra"] is None or row["dec"] is None:
            row["ra"] = row["dec"] = None
        if row["obsid"] is None:
            self._unknown_observations += 1
            row["obsid"] = -self._unknown_observations
        row |= {name: row[name] or default for name, default in (("obi", 0), ("region_id", 1))}
        field = self._text("obsid", number) or row["obsid"]
        return row | {
            "group": "-",
            "_row": number,
            "_file": file,
            "_field": str(field),
            "_host": self._text("host", number),
            "_group": self._text("group", number),
        }

    def _spectra(self, number: int, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the file, if any, and the columns of the spectrum of each detection."""
        roles = self.roles
        identity = {name: known[name] for name in ("source_name", *_NUMBERS_OF_OBSERVATION)}
        sides: dict[str, Any] = dict(self.sides)
        for kind in ("arf", "rmf", "background"):
            if cell := self._text(kind, number):
                sides[kind] = self.files.find(cell)
        cell = self._text("file", number)
        counts = as_counts(roles.cell("counts", number)) if cell is None else None
        if counts is not None:
            exposure = self._exposure(number)
            background = as_counts(roles.cell("background_counts", number))
            scale = self._number("background_scale", number)
            sides = {kind: read_side(kind, path) for kind, path in sides.items()}
            row = bin_row(counts, background, scale, exposure, identity, sides)
            if (area := roles.cell("effective_area", number)) is not None:
                row["effective_area"] = area
            yield "", row
        elif cell is not None:
            yield cell, read_row(self.files.find(cell), identity, sides)
        elif "file" in roles or "counts" in roles:
            raise ValueError("has no spectrum")
        else:
            for path in self.files.of_source(known["source_name"]):
                yield path.name, read_row(path, identity, sides)

    def _name(self, number: int) -> str | None:
        """Return the source's name; without a column of names, that of the file or the row."""
        if "source_name" in self.roles:
            return self._text("source_name", number)
        file = self._text("file", number)
        return stem(Path(file)) if file else f"row {number + 1}"

    def _text(self, role: str, number: int) -> str | None:
        return as_text(self.roles.cell(role, number))

    def _number(self, role: str, number: int) -> float | None:
        """Return a number in the contract's unit; None, with a note, where a cell holds none."""
        try:
            value = as_number(self.roles.cell(role, number))
        except ValueError as error:
            self._no_numbers.setdefault(role, []).append(str(error))
            return None
        return None if value is None else value * self.roles.factors.get(role, 1.0)

    def _whole(self, role: str, number: int) -> int | None:
        try:
            return as_integer(self.roles.cell(role, number))
        except ValueError as error:
            self._no_numbers.setdefault(role, []).append(str(error))
            return None

    def _exposure(self, number: int) -> float:
        exposure = self._number("exposure", number)
        if exposure is None:
            raise ValueError("has counts and no exposure (live time in seconds)")
        return exposure


def _papers(cell: Any) -> list[dict[str, Any]]:
    """Return papers of structs with `id`, a list of identifiers, or a text that holds some."""
    if isinstance(cell, str | bytes):
        cell = _SEPARATORS.split(as_text(cell) or "")
    papers = [each if isinstance(each, dict) else {"id": as_text(each)} for each in cell or ()]
    return [paper_row(paper) for paper in papers if paper.get("id")]


__all__ = ["LeftOut", "RowReader"]
