"""Roles of a table's columns, found by name or given by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..contract import LIMITED_VARIABLES, variable_units
from ..domain import XRAY
from .cells import as_text, is_number, unit_factor
from .read_table import OwnTable, OwnTableError, split_unit

SECTIONS = XRAY.sections
# Names of columns by role, in order of preference; case and punctuation are ignored.
NAMES: Mapping[str, tuple[str, ...]] = {
    "source_name": ("source_name", "name", "source", "source_id", "object", "main_id", "target"),
    "file": (
        "file", "pha", "pha_file", "phafile", "pi_file", "spectrum", "spectra", "spectrum_file",
        "filename", "file_name", "path",
    ),
    "background": ("background_file", "bkg_file", "backfile"),
    "arf": ("arf", "arf_file", "ancrfile"),
    "rmf": ("rmf", "rmf_file", "respfile"),
    "counts": ("counts", "pi_counts", "channels"),
    "background_counts": ("background_counts", "pi_background", "bkg_counts"),
    "background_scale": ("background_scale",),
    "effective_area": ("effective_area",),
    "exposure": ("exposure", "livetime", "exposure_time", "exptime", "ontime"),
    "ra": ("ra", "raj2000", "ra_icrs", "ra_j2000", "ra_deg", "right_ascension"),
    "dec": ("dec", "dej2000", "decj2000", "de_icrs", "dec_icrs", "dec_j2000", "dec_deg", "de_deg",
            "declination"),
    "source_class": ("source_class", "class", "label", "main_type", "otype"),
    "aliases": ("aliases", "alias", "other_names", "ids"),
    "host": ("host", "host_galaxy"),
    "group": ("group",),
    "papers": ("papers", "bibcode", "bibcodes", "arxiv", "doi"),
    "obsid": ("obsid", "obs_id"),
    "obi": ("obi",),
    "region_id": ("region_id",),
    "detector": ("detector",),
    "theta": ("theta",),
    "year": ("year",),
    "writer": ("writer",),
}  # fmt: skip
_TEXTS = ("text", "abstract", "summary", "description")
_LIMITS = {
    f"{name}_{end}": unit
    for name, unit in variable_units().items()
    if name in LIMITED_VARIABLES
    for end in ("lolim", "hilim")
}
# Columns of numbers and their units.
UNITS: Mapping[str, str] = {
    "exposure": "s", "background_scale": "", "theta": "arcmin", "year": "yr", **variable_units(),
    **_LIMITS,
}  # fmt: skip
OPTIONAL_NUMBERS = tuple(name for name in UNITS if name not in ("exposure", "background_scale"))


@dataclass
class Roles:
    """Columns of a table by role."""

    table: OwnTable  # the table
    column_of: dict[str, str]  # role → column
    sections: dict[str, str]  # section of the summary → column
    factors: dict[str, float]  # role → factor from the column's unit to the contract's
    notes: list[str]  # sentences on what was assumed or ignored

    def cell(self, role: str, row: int) -> Any:
        """Return a cell; None where the table has no such column."""
        column = self.column_of.get(role)
        return None if column is None else self.table.columns[column][row]

    def __contains__(self, role: str) -> bool:
        return role in self.column_of


def assign_roles(table: OwnTable, given: Mapping[str, str], text: Sequence[str] = ()) -> Roles:
    """Assign a role to each column of a table.

    Args:
        table: table of the user.
        given: role or column of the contract → column, from the user.
        text: column of the text, or of the three sections; by default found by name.

    Raises:
        OwnTableError: unknown column or role, unit of another quantity, or no text.
    """
    roles = {**NAMES, **{name: (name,) for name in UNITS if name not in NAMES}}
    usual = {name: role for role, names in roles.items() for name in names}
    if unknown := sorted(set(given) - set(usual)):
        raise OwnTableError(f"{unknown[0]!r} is not a column role: use {', '.join(roles)}")
    chosen = {usual[role]: _column(table, name) for role, name in given.items()}
    sections = _choose_texts(table, text)
    taken = {*chosen.values(), *sections.values()}
    by_key = {_key(name): name for name in reversed(table.columns) if name not in taken}
    for role, names in roles.items():
        for name in names:
            if role not in chosen and _key(name) in by_key:
                chosen[role] = by_key.pop(_key(name))
    found = Roles(table, chosen, sections, {}, list(table.notes))
    _drop_totals(found)
    _choose_factors(found)
    used = {*found.column_of.values(), *found.sections.values()}
    # pandas writes its row numbers as a column without a name.
    if ignored := [name for name in table.columns if name and name not in used]:
        found.notes.append(f"columns not used: {', '.join(ignored)}")
    return found


def _choose_texts(table: OwnTable, text: Sequence[str]) -> dict[str, str]:
    """Return the column of each section of the summary."""
    if len(text) not in (0, 1, len(SECTIONS)):
        raise OwnTableError(
            f"--text takes one column, or three with commas between: {','.join(SECTIONS)}"
        )
    if text:
        return {s: _column(table, name) for s, name in zip(SECTIONS, text, strict=False)}
    by_key = {_key(name): name for name in reversed(table.columns)}
    if SECTIONS[0] in by_key:
        return {section: by_key[section] for section in SECTIONS if section in by_key}
    for name in _TEXTS:
        if name in by_key:
            return {SECTIONS[0]: by_key[name]}
    raise OwnTableError(f"{table.name}: which column is the text? --text {'|'.join(table.columns)}")


def _drop_totals(roles: Roles) -> None:
    """Drop columns of counts with one number per row, as in catalogues."""
    for role in ("counts", "background_counts", "effective_area"):
        cells = roles.table.columns[roles.column_of[role]] if role in roles else []
        if cells and not any(_is_list(cell) for cell in cells):
            roles.notes.append(f"{roles.column_of.pop(role)} holds no lists: no spectra")


def _is_list(cell: Any) -> bool:
    if isinstance(cell, str):
        return len(cell.split()) > 1 or "," in cell
    return isinstance(cell, np.ndarray | list | tuple) and len(cell) > 1


def _choose_factors(roles: Roles) -> None:
    """Find the factors to the contract's units, and note columns without a unit."""
    assumed = []
    for role in ("ra", "dec", *UNITS):
        if role not in roles:
            continue
        column, wanted = roles.column_of[role], UNITS.get(role, "deg")
        unit = roles.table.units.get(column)
        try:
            roles.factors[role], note = unit_factor(unit, wanted)
        except ValueError as error:
            raise OwnTableError(f"{roles.table.name}: column {column!r} {error}") from None
        # Sexagesimal positions name their units, whatever the column says.
        if any(is_number(cell) for cell in roles.table.columns[column]):
            roles.notes += [f"{column}: {note}"] if note else []
            assumed += [f"{column} in {wanted}"] if unit is None and wanted else []
    if assumed:
        roles.notes.append(f"no unit is stated, taken: {', '.join(assumed)}")


def _column(table: OwnTable, name: str) -> str:
    """Return the column that a user named; unit and case are optional."""
    if name in table.columns:
        return name
    keys = {_key(name), _key(split_unit(name)[0])}
    same = [column for column in table.columns if _key(column) in keys]
    if len(same) != 1:
        raise OwnTableError(
            f"{table.name} has no column {name!r}: it has {', '.join(table.columns)}"
        )
    return same[0]


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def summary_of(roles: Roles, row: int) -> dict[str, str | None]:
    """Return the summary of a row: its sections, or a struct of them."""
    cells = {s: roles.table.columns[column][row] for s, column in roles.sections.items()}
    whole = cells.get(SECTIONS[0])
    if isinstance(whole, Mapping):
        cells = dict(whole)
    return {section: as_text(cells.get(section)) for section in SECTIONS}
