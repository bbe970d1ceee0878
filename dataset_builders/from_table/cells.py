"""Values of cells: texts, numbers in the contract's units, positions and lists of counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import Angle

from ..contract import SENTINELS

_MISSING = frozenset({"", "-", "--", "nan", "null", "none", "n/a", "na"})
_HOURS = ("h", "hr", "hour", "hours", "hourangle")
_SEPARATORS = re.compile(r"[\s,;]+")


def as_text(cell: Any) -> str | None:
    """Return a cell as stripped text; None if it is empty or a missing value."""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    text = str(cell).strip()
    return None if text.casefold() in _MISSING else text


def as_number(cell: Any) -> float | None:
    """Return a cell as a number; None for nan and missing values.

    Raises:
        ValueError: text that is not a number.
    """
    text = as_text(cell)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a number") from None
    return value if np.isfinite(value) and value not in SENTINELS else None


def is_number(cell: Any) -> bool:
    """Return True for a cell with a number."""
    try:
        return as_number(cell) is not None
    except ValueError:
        return False


def as_integer(cell: Any) -> int | None:
    """Return a cell as a non-negative integer of 32 bits; None for missing values.

    Raises:
        ValueError: any other value.
    """
    value = as_number(cell)
    if value is not None and (value != int(value) or not 0 <= value < 2**31):
        raise ValueError(f"{value:g} is not a non-negative integer")
    return None if value is None else int(value)


def unit_factor(unit: str | None, wanted: str) -> tuple[float, str | None]:
    """Return the factor from a column's unit to the contract's, and a note if the unit is assumed.

    Raises:
        ValueError: unit of another quantity.
    """
    if unit is None or not wanted:
        return 1.0, None
    if wanted == "deg" and unit.lower() in _HOURS:
        return 15.0, None
    try:
        stated = units.Unit(unit)
    except ValueError:
        return 1.0, f"its unit {unit!r} is not understood: taken as {wanted}"
    try:
        return float(stated.to(units.Unit(wanted))), None
    except units.UnitConversionError:
        raise ValueError(f"has the unit {unit}, which is no {wanted}") from None


def as_degrees(cell: Any, factor: float, *, is_ra: bool) -> float | None:
    """Return a right ascension or declination in degrees.

    Args:
        cell: number, or sexagesimal text: hours of right ascension, degrees of declination, or
            with units (`10h20m`, `155d`).
        factor: factor from the unit of numbers to degrees.
        is_ra: True for a right ascension; negative ones are west of 0.

    Raises:
        ValueError: not an angle.
    """
    text = as_text(cell)
    if text is None:
        return None
    # Minus signs of word processors.
    text = text.replace("\u2212", "-").replace("\u2013", "-")
    try:
        number = as_number(text)
        degrees = None if number is None else number * factor
    except ValueError:
        try:
            degrees = float(Angle(text, "hourangle" if is_ra else "deg").deg)
        except (ValueError, units.UnitsError) as error:
            raise ValueError(f"{text[:40]!r} is not an angle ({error})") from None
    if is_ra and degrees is not None and -180.0 <= degrees < 0.0:
        degrees += 360.0
    return degrees


def as_counts(cell: Any) -> np.ndarray | None:
    """Return a list of counts (m,) as integers, or None; text such as `[0, 1, 2]` is parsed.

    Raises:
        ValueError: not counts.
    """
    if not isinstance(cell, np.ndarray | Sequence) or isinstance(cell, str | bytes):
        text = as_text(cell)
        if text is None:
            return None
        cell = [word for word in _SEPARATORS.split(text.strip("[](){} \n")) if word]
    try:
        values = np.asarray(cell, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("holds a list of something else than numbers") from None
    if values.ndim != 1:
        raise ValueError(f"holds counts of shape {values.shape}, not one list")
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or (values < 0).any():
        raise ValueError(
            "contains counts that are not non-negative integers: do not subtract the background"
        )
    return values.astype(np.int64)
