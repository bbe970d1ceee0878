"""Text formatting of numbers, intervals, metrics and untrusted strings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MISSING = "–"
# Control characters except tab and line feed, since a terminal would interpret them; marks that
# change the writing direction; and undecodable bytes of file names.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Metrics that are not fractions; fractions are written as percentages.
_METRIC_FORMATS = {"median_rank": ".1f", "mean_log_rank": ".3f", "loss": ".3f"}


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a number: `1.67`, `12,345`, `2.13e-5`, `3.85e31`; `–` if not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not 1e-3 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+", "e").replace("e0", "e")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def format_range(low: float | None, high: float | None, digits: int = 3) -> str:
    """Format an interval: `1.56 – 1.8`, or `from 1.56`, `up to 1.8` if one end is unbounded."""
    if low is None or high is None:
        if low is not None:
            return f"from {format_number(low, digits)}"
        return MISSING if high is None else f"up to {format_number(high, digits)}"
    return f"{format_number(low, digits)} – {format_number(high, digits)}"


def format_metric(
    value: float | None, name: str = "", sign: str = "", spec: str | None = None
) -> str:
    """Format a metric: a percentage (`47.5%`) unless `name` is a rank or a loss.

    Args:
        value: the metric.
        name: its name, such as `"recall_at_1%"` or `"median_rank"`.
        sign: `"+"` to write the sign of positive values, too.
        spec: format specification, such as `".2f"`, that replaces the default of the metric.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return format(value, sign + (spec or _METRIC_FORMATS.get(name, ".1%")))


def format_with_interval(
    figure: Mapping[str, Any], name: str = "", sign: str = "", spec: str | None = None
) -> str:
    """Format a metric with its interval: `47.5% (45.0% to 49.9%)`.

    Args:
        figure: mapping with `value`, `low` and `high`; the interval is left out if an end is
            missing.
        name, sign, spec: see `format_metric`.
    """
    value, low, high = (
        format_metric(figure.get(key), name, sign, spec) for key in ("value", "low", "high")
    )
    return value if MISSING in (value, low, high) else f"{value} ({low} to {high})"


def plain(text: str) -> str:
    r"""Escape unprintable characters for the terminal, such as `\u009b`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def format_cell(text: str) -> str:
    """Escape a text for a table, so that no spreadsheet takes it for a formula."""
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
