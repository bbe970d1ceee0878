"""Names of the Chandra Source Catalog, their stated positions, and error ellipses.

A name `2CXO JHHMMSS.s±DDMMSS[X]` holds the position cut off (not rounded) at 0.1 s of time and 1″.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hf_specclip.search.filter import separation as sky_separation

_NAME = re.compile(
    r"(?:(?P<catalogue>2?CXO)\s*)?J?\s*"
    r"(?P<hours>\d{2})(?P<minutes>\d{2})(?P<seconds>\d{2}\.\d)\s*"
    r"(?P<sign>[+\-−–])(?P<degrees>\d{2})(?P<arcmin>\d{2})(?P<arcsec>\d{2})\s*(?P<extended>[Xx]?)"
)
_DEGREES = re.compile(r"(?P<ra>\d{1,3}(?:\.\d+)?)[\s,]+(?P<dec>[+\-−–]?\d{1,2}(?:\.\d+)?)")
ARCSEC = 1.0 / 3600.0


@dataclass(frozen=True)
class Position:
    """A position on the sky.

    Attributes:
        ra, dec: degrees, ICRS.
        uncertainty: arcsec, how far off what stated it may be.
    """

    ra: float
    dec: float
    uncertainty: float = 0.0


@dataclass(frozen=True)
class Ellipse:
    """95 % error ellipse of a catalogue position.

    Attributes:
        ra, dec: degrees, ICRS.
        major, minor: semi-axes, arcsec (`err_ellipse_r0`, `err_ellipse_r1`).
        angle: of the major axis, degrees from north through east (`err_ellipse_ang`).
    """

    ra: float
    dec: float
    major: float
    minor: float
    angle: float

    def distance(self, position: Position) -> float:
        """Measure the distance of a position, 1 on the ellipse widened by its uncertainty."""
        east, north = offsets(self, position)
        angle = math.radians(self.angle)
        along = east * math.sin(angle) + north * math.cos(angle)
        across = east * math.cos(angle) - north * math.sin(angle)
        major, minor = self.major + position.uncertainty, self.minor + position.uncertainty
        return math.hypot(along / max(major, 1e-6), across / max(minor, 1e-6))


def normalise_name(text: str) -> str | None:
    """Spell a source's name as the catalogue does; None for other texts.

    Space and prefix may be missing, a minus may be any dash.

    Examples:
        >>> normalise_name("J004243.9+411610")
        '2CXO J004243.9+411610'
    """
    match = _NAME.fullmatch(text.strip())
    if match is None:
        return None
    sign = "+" if match["sign"] == "+" else "-"
    return (
        f"2CXO J{match['hours']}{match['minutes']}{match['seconds']}{sign}"
        f"{match['degrees']}{match['arcmin']}{match['arcsec']}{match['extended'].upper()}"
    )


def stated_position(text: str) -> Position | None:
    """Parse the position that a name states, or two numbers in degrees; None without one.

    The middle of what the name leaves open, and half its diagonal as the uncertainty.
    """
    degrees = _DEGREES.fullmatch(text.strip())
    if degrees is not None:
        ra, dec = float(degrees["ra"]), _signed(degrees["dec"])
        return Position(ra, dec) if ra < 360 and abs(dec) <= 90 else None
    match = _NAME.fullmatch(text.strip())
    if match is None:
        return None
    hours = (
        int(match["hours"]) + (int(match["minutes"]) + (float(match["seconds"]) + 0.05) / 60) / 60
    )
    dec = int(match["degrees"]) + (int(match["arcmin"]) + (int(match["arcsec"]) + 0.5) / 60) / 60
    if hours >= 24 or dec > 90:
        return None
    dec = dec if match["sign"] == "+" else -dec
    width = 0.1 * 15 * math.cos(math.radians(dec))
    return Position(15 * hours, dec, math.hypot(width, 1.0) / 2)


def offsets(origin: Position | Ellipse, position: Position) -> tuple[float, float]:
    """Compute the offsets east and north of `origin`, arcsec (tangent plane)."""
    ra, dec = math.radians(position.ra - origin.ra), math.radians(position.dec)
    dec0 = math.radians(origin.dec)
    depth = math.sin(dec0) * math.sin(dec) + math.cos(dec0) * math.cos(dec) * math.cos(ra)
    if depth <= 0:
        return math.inf, math.inf
    east = math.cos(dec) * math.sin(ra) / depth
    north = (math.cos(dec0) * math.sin(dec) - math.sin(dec0) * math.cos(dec) * math.cos(ra)) / depth
    return math.degrees(east) / ARCSEC, math.degrees(north) / ARCSEC


def separation(one: Position | Ellipse, other: Position | Ellipse) -> float:
    """Compute the angle between two positions, degrees."""
    return sky_separation(one.ra, one.dec, other.ra, other.dec)


def deepest(candidates: Iterable[tuple[Ellipse, Position, Any]]) -> tuple[Any, float] | None:
    """Choose the candidate whose ellipse holds its position most deeply; None where none does.

    Args:
        candidates: ellipse, position and a key, which decides between equals.

    Returns:
        The key, and the distance of position and ellipse, arcsec.
    """
    inside = [
        (depth, key, round(separation(ellipse, place) / ARCSEC, 3))
        for ellipse, place, key in candidates
        if (depth := ellipse.distance(place)) <= 1.0
    ]
    return min(inside)[1:] if inside else None


def box_condition(ra: float, dec: float, radius: float, ra_name: str, dec_name: str) -> str:
    """Write ADQL that holds for every position within `radius`, and a few more.

    Plain comparisons run on any service, with its indices; which rows are inside is then for the
    caller to compute.

    Args:
        ra, dec: degrees.
        radius: degrees.
        ra_name, dec_name: the columns.
    """
    low, high = dec - radius, dec + radius
    condition = f"{dec_name} BETWEEN {max(low, -90.0):.8f} AND {min(high, 90.0):.8f}"
    if low <= -90 or high >= 90:
        return f"({condition})"  # a pole is inside: every right ascension is near
    half = math.degrees(
        math.asin(min(1.0, math.sin(math.radians(radius)) / math.cos(math.radians(dec))))
    )
    if half >= 180:
        return f"({condition})"
    west, east = (ra - half) % 360, (ra + half) % 360
    if west <= east:
        return f"({condition} AND {ra_name} BETWEEN {west:.8f} AND {east:.8f})"
    return f"({condition} AND ({ra_name} >= {west:.8f} OR {ra_name} <= {east:.8f}))"


def _signed(text: str) -> float:
    return float(re.sub("[−–]", "-", text))
