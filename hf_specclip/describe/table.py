"""Descriptions as an astropy table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..formatting import format_cell
from .description import Description

if TYPE_CHECKING:
    from astropy.table import Table

# Units as astropy and the Virtual Observatory write them.
_VOUNIT = {"1e20 cm-2": "1e20 cm**-2"}


def descriptions_table(descriptions: Iterable[Description]) -> Table:
    """Make an astropy table of descriptions, one row each.

    Its columns are properties of the spectrum, the most probable family and class, the nearest
    text and source, the outlier percentile, limitations, the energies that the inferred variables
    do not explain, and each variable with its intervals and unit. Write it by
    `.write(…, format="ascii.ecsv")` or `"votable"`.

    Raises:
        ValueError: without descriptions.
    """
    from astropy.table import Table

    rows = [_row(description) for description in descriptions]
    if not rows:
        raise ValueError("no descriptions for a table")
    table = Table()
    for name in dict.fromkeys(name for row in rows for name in row):
        table[name] = _column([row.get(name, (None, ""))[0] for row in rows])
        unit = next(row[name][1] for row in rows if name in row)
        if unit:
            table[name].unit = unit
    return table


def _row(description: Description) -> dict[str, tuple[Any, str]]:
    """Return value and unit of each column."""
    source, outlier = description.source, description.outlier
    best_class, probability = next(iter(description.classes.items()), (None, None))
    family = next(iter(description.families), None)
    paper = next((paper for hit in description.literature for paper in hit.papers), None)
    text = description.literature[0] if description.literature else None
    nearest = description.similar[0] if description.similar else None
    departures = () if description.check is None else description.check.unexplained
    unexplained = ", ".join(f"{each.low:.2g}-{each.high:.2g} keV" for each in departures)
    row: dict[str, tuple[Any, str]] = {
        "file": (description.file or "", ""),
        "source_name": (source.get("source_name") or "", ""),
        "obsid": (source.get("obsid"), ""),
        "ra": (source.get("ra"), "deg"),
        "dec": (source.get("dec"), "deg"),
        "exposure": (source.get("exposure_s"), "s"),
        "counts": (source.get("counts_0.5_8kev"), "ct"),
        "net_counts": (source.get("net_counts_0.5_8kev"), "ct"),
        "net_counts_error": (source.get("net_counts_error_0.5_8kev"), "ct"),
        "family": (family.name if family else "", ""),
        "family_probability": (family.probability if family else None, ""),
        "class": (best_class or "", ""),
        "class_probability": (probability, ""),
        "closest_paper": (paper.id if paper else "", ""),
        "closest_text_score": (text.score if text else None, ""),
        "closest_source": (nearest.name if nearest else "", ""),
        "closest_source_score": (nearest.score if nearest else None, ""),
        "outlier_score": (outlier.score if outlier else None, ""),
        "outlier_percentile": (outlier.percentile if outlier else None, ""),
        "limitations": ("; ".join(each.text for each in description.limitations), ""),
        "unexplained": (unexplained, ""),
    }
    for answer in description.probes:
        name = next(iter(answer.probabilities), None) or answer.value
        row[answer.probe] = (name, "")
        row[f"{answer.probe}_none_of_these"] = (int(answer.none_of_these), "")
        row[f"{answer.probe}_probability"] = (answer.probabilities.get(str(name)), "")
    for variable in description.variables:
        unit = _VOUNIT.get(variable.unit, variable.unit)
        row[variable.name] = (variable.value, unit)
        for end in ("lower_68", "upper_68", "lower_90", "upper_90"):
            row[f"{variable.name}_{end}"] = (getattr(variable, end), unit)
    return row


def _column(values: list[Any]) -> Any:
    """Create a column of strings, integers or floats; None becomes "" or is masked."""
    from astropy.table import MaskedColumn

    present = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in present):
        return np.array(["" if value is None else format_cell(value) for value in values])
    integers = present and all(isinstance(value, int) for value in present)
    filled = np.array(
        [0 if value is None else value for value in values], np.int64 if integers else np.float64
    )
    if len(present) == len(values):
        return filled
    return MaskedColumn(filled, mask=[value is None for value in values])
