"""Sky positions in prose."""

from __future__ import annotations

import re

_MINUS = "−–-"
_SEXAGESIMAL = re.compile(
    r"(?<![\d.])\d{1,2}(?:\s*h\s*|:|\s)\d{1,2}(?:\s*m\s*|:|\s)\d{1,2}(?:\.\d+)?\s*s?[\s,]*"
    rf"[+{_MINUS}]\s?\d{{1,2}}(?:\s*(?:d|°)\s*|:|\s)\d{{1,2}}(?:\s*[m'′]\s*|:|\s)"
    r"\d{1,2}(?:\.\d+)?\s*[s\"″]?(?![\d.])",
    re.IGNORECASE,
)
_DEGREES = re.compile(
    rf"(?<![\d.{_MINUS}])(\d{{1,3}}\.\d+)\s*(?:deg\.?|°)?[\s,]+([+{_MINUS}]\s?\d{{1,2}}\.\d+)(?![\d.])"
    rf"|\bRA\b[^\d{_MINUS}]*(\d{{1,3}}(?:\.\d+)?)\s*(?:deg\.?|°)?[\s,;]*"
    rf"\bDec\b[^\d+{_MINUS}]*([+{_MINUS}]?\s?\d{{1,2}}(?:\.\d+)?)\s*(?:deg\.?|°)?",
    re.IGNORECASE,
)
_RADIUS = re.compile(
    r"\b(?:within|radius(?:\s+of)?|r\s*[=<])\s*(\d+(?:\.\d+)?)\s*"
    r"(deg(?:rees?)?\b|°|arcmin(?:utes?)?\b|['′]|arcsec(?:onds?)?\b|[\"″])",
    re.IGNORECASE,
)
DEFAULT_RADIUS = 5 / 60


def find_cone(
    text: str,
) -> tuple[tuple[float, float, float] | None, list[tuple[int, int]]]:
    """Find a position and its radius (5′ by default) in a text.

    Args:
        text: prose; positions are written like `12:30:49.4 +12:23:28`, `00h42m44s +41d16m09s`,
            `187.706 +12.391` or `RA 150.1 Dec 2.2`.

    Returns:
        Right ascension, declination and radius in degrees (ICRS), or None; and the spans in the
        text.
    """
    match = _SEXAGESIMAL.search(text)
    if match:
        negative = re.search(rf"[{_MINUS}]\s?\d", match[0]) is not None
        h, m, s, degrees, minutes, seconds = map(float, re.findall(r"\d+(?:\.\d+)?", match[0]))
        ra, dec = 15 * (h + m / 60 + s / 3600), degrees + minutes / 60 + seconds / 3600
        dec = -dec if negative else dec
    else:
        match = _DEGREES.search(text)
        if match is None:
            return None, []
        numbers = [re.sub(rf"[{_MINUS}]", "-", n).replace(" ", "") for n in match.groups() if n]
        ra, dec = map(float, numbers)
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        return None, []
    spans, radius = [match.span()], DEFAULT_RADIUS
    if (stated := _RADIUS.search(text)) and float(stated[1]) > 0:
        unit = stated[2].lower()
        scale = 60 if unit.startswith(("arcmin", "'", "′")) else 1 if unit[0] in "d°" else 3600
        radius = min(180.0, float(stated[1]) / scale)
        spans.append(stated.span())
    return (ra, dec, radius), spans
