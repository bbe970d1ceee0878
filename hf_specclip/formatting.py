"""Numbers as text: digits, thousands and missing values, decided in one place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MISSING = "–"
# Control characters (a terminal obeys them) but tab and line feed, marks that turn the direction of
# writing, and bytes of file names that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Shares are written as percentages; these figures are not shares.
_METRIC_FORMATS = {"median_rank": ".1f", "mean_log_rank": ".3f", "loss": ".3f"}


def format_number(value: float | None, digits: int = 3) -> str:
    """Write a number: `1.67`, `12,345`, `2.13e-5`, `3.85e31`; `–` for none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not 1e-3 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+", "e").replace("e0", "e")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def format_range(low: float | None, high: float | None, digits: int = 3) -> str:
    """Write an interval: `1.56 – 1.8`, or `from 1.56`, `up to 1.8` where one end is unbounded."""
    if low is None or high is None:
        if low is not None:
            return f"from {format_number(low, digits)}"
        return MISSING if high is None else f"up to {format_number(high, digits)}"
    return f"{format_number(low, digits)} – {format_number(high, digits)}"


def format_metric(
    value: float | None, name: str = "", sign: str = "", spec: str | None = None
) -> str:
    """Write a figure of a report: a percentage (`47.5%`), or a rank or loss by its name.

    Args:
        value: the figure; a share where `name` says nothing else.
        name: of the metric, such as `"recall_at_1%"` or `"median_rank"`.
        sign: `"+"` writes the sign of positive figures too.
        spec: format specification, such as `".2f"`, in place of the metric's own.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return format(value, sign + (spec or _METRIC_FORMATS.get(name, ".1%")))


def format_with_interval(
    figure: Mapping[str, Any], name: str = "", sign: str = "", spec: str | None = None
) -> str:
    """Write a figure with `value`, `low` and `high`: `47.5% (45.0% to 49.9%)`.

    Args:
        figure: the figure; the interval is left out where `low` or `high` is None or absent.
        name, sign, spec: as for `format_metric`.
    """
    value, low, high = (
        format_metric(figure.get(key), name, sign, spec) for key in ("value", "low", "high")
    )
    return value if MISSING in (value, low, high) else f"{value} ({low} to {high})"


def plain(text: str) -> str:
    r"""Return a text as any terminal shows it: what is no character is written `\u009b`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def format_cell(text: str) -> str:
    """Return a text as a table holds it: no spreadsheet takes it for a formula."""
    text = plain(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


__all__ = [
    "MISSING",
    "format_cell",
    "format_metric",
    "format_number",
    "format_range",
    "format_with_interval",
    "plain",
]
