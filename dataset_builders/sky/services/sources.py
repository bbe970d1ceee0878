"""Sources behind a user's names: by the catalogue's name, else by position and error ellipse.

A name `2CXO JHHMMSS.s±DDMMSS[X]` holds the position cut off (not rounded) at 0.1 s of time and 1″.
Each name ends as a source, with the way in which it was found, or as absent, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import asin, atan2, cos, degrees, hypot, radians, sin
from typing import Any

from hf_specclip.search.filter import separation as sky_separation

from ..work.store import Absent, Store
from .tap import TapClient, quoted_list

STAGE = "names"
AT_ONCE = 100
BOXES_AT_ONCE = 25
# Around a stated position; the largest error ellipses, far off axis, reach about 15″.
SEARCH_ARCSEC = 30.0
_SELECT = (
    "SELECT m.name AS name, m.ra AS ra, m.dec AS dec, m.err_ellipse_r0 AS r0, "
    "m.err_ellipse_r1 AS r1, m.err_ellipse_ang AS angle FROM csc21.master_source m WHERE "
)
_NO_NAME = (
    "is neither a name of the catalogue (2CXO J004243.9+411610) nor a position in degrees "
    "(10.68 +41.27)"
)
_NO_SOURCE = "no source of that name, and no source's error ellipse holds its position"
_NAME = re.compile(
    r"(?:2?CXO\s*)?J?\s*(\d{2})(\d{2})(\d{2}\.\d)\s*([+\-−–])(\d{2})(\d{2})(\d{2})\s*([Xx]?)"
)
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d+)?)[\s,]+([+\-−–]?\d{1,2}(?:\.\d+)?)")
ARCSEC = 1.0 / 3600.0


@dataclass(frozen=True)
class Position:
    """A position on the sky."""

    ra: float  # degrees, ICRS
    dec: float
    uncertainty: float = 0.0  # arcsec, how far off what stated it may be


@dataclass(frozen=True)
class Ellipse:
    """95 % error ellipse of a catalogue position."""

    ra: float  # degrees, ICRS
    dec: float
    major: float  # semi-axes, arcsec (`err_ellipse_r0`, `err_ellipse_r1`)
    minor: float
    angle: float  # of the major axis, degrees from north through east (`err_ellipse_ang`)

    def distance(self, position: Position) -> float:
        """Measure the distance of a position, 1 on the ellipse widened by its uncertainty."""
        ra, dec, dec0 = radians(position.ra - self.ra), radians(position.dec), radians(self.dec)
        north = cos(dec0) * sin(dec) - sin(dec0) * cos(dec) * cos(ra)
        angle = atan2(cos(dec) * sin(ra), north) - radians(self.angle)
        far = separation(self, position) / ARCSEC
        major, minor = self.major + position.uncertainty, self.minor + position.uncertainty
        return far * hypot(cos(angle) / max(major, 1e-6), sin(angle) / max(minor, 1e-6))


def normalise_name(text: str) -> str | None:
    """Spell a source's name as the catalogue does; None for other texts.

    Space and prefix may be missing, a minus may be any dash.

    Examples:
        >>> normalise_name("J004243.9+411610")
        '2CXO J004243.9+411610'
    """
    match = _NAME.fullmatch(text.strip())
    return match and f"2CXO J{''.join(match.groups())}".translate(_DASHES).upper()


_DASHES = str.maketrans("−–", "--")


def stated_position(text: str) -> Position | None:
    """Parse the position that a name states, or two numbers in degrees; None without one.

    The middle of what the name leaves open, and half its diagonal as the uncertainty.
    """
    uncertainty = 0.0
    if match := _DEGREES.fullmatch(text.strip().translate(_DASHES)):
        ra, dec = map(float, match.groups())
    elif match := _NAME.fullmatch(text.strip()):
        hours, minutes, seconds, sign, *rest = match.groups()
        ra = 15 * (int(hours) + (int(minutes) + (float(seconds) + 0.05) / 60) / 60)
        dec = int(rest[0]) + (int(rest[1]) + (int(rest[2]) + 0.5) / 60) / 60
        dec = dec if sign == "+" else -dec
        uncertainty = hypot(1.5 * cos(radians(dec)), 1.0) / 2
    else:
        return None
    return Position(ra, dec, uncertainty) if ra < 360 and abs(dec) <= 90 else None


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


def box_condition(position: Position, radius: float) -> str:
    """Write ADQL that holds for `m.ra`, `m.dec` within `radius` (degrees), and a few more.

    Plain comparisons run on any service, with its indices; which rows are inside is then for the
    caller to compute.
    """
    low, high = position.dec - radius, position.dec + radius
    condition = f"m.dec BETWEEN {max(low, -90.0):.8f} AND {min(high, 90.0):.8f}"
    if low > -90 and high < 90:  # else a pole is inside: every right ascension is near
        half = degrees(asin(sin(radians(radius)) / cos(radians(position.dec))))
        west, east = (position.ra - half) % 360, (position.ra + half) % 360
        both = "AND" if west <= east else "OR"
        condition += f" AND (m.ra >= {west:.8f} {both} m.ra <= {east:.8f})"
    return f"({condition})"


def names_of(text: str) -> list[str]:
    """Read the names of a file, one a line, without empty lines and comments after `#`."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def resolve_names(client: TapClient, store: Store, names: Iterable[str]) -> None:
    """Find the source behind every name.

    A name of the catalogue (in any spelling) is looked up. One that the catalogue does not have,
    such as an older release's, is taken for the position it states: the nearest source is meant
    whose error ellipse, widened by what the name leaves open, holds it. The same goes for
    positions in degrees.
    """
    store.add(STAGE, {name.strip(): {} for name in names if name.strip()})
    store.work(
        STAGE,
        lambda items: [_resolve(client, [item.id for item in items])],
        at_once=AT_ONCE,
        recalls=client.url,
    )


def _resolve(client: TapClient, asked: Sequence[str]) -> dict[str, Any]:
    spelling = {text: normalise_name(text) for text in asked}
    names = sorted({name for name in spelling.values() if name})
    known: set[str] = set()
    if names:
        adql = f"{_SELECT}m.name IN {quoted_list(names)}"
        what = f"{len(names)} names from {names[0]}"
        known = {row["name"] for row in client.query(adql, what, max_rows=len(names)).rows}
    found: dict[str, Any] = {}
    places: dict[str, Position] = {}
    for text, name in spelling.items():
        if name in known:
            found[text] = {"name": name, "how": "name"}
        elif (place := stated_position(text)) is not None:
            places[text] = place
        else:
            found[text] = Absent(_NO_NAME)
    order = sorted(places)
    for start in range(0, len(order), BOXES_AT_ONCE):
        some = order[start : start + BOXES_AT_ONCE]
        boxes = " OR ".join(box_condition(places[text], SEARCH_ARCSEC * ARCSEC) for text in some)
        rows = client.query(f"{_SELECT}({boxes})", f"{len(some)} positions from {some[0]}").rows
        ellipses = {
            row["name"]: Ellipse(
                *(row[name] for name in ("ra", "dec", "r0", "r1")), row["angle"] or 0
            )
            for row in rows
            # Without an ellipse there is no telling how near is near enough.
            if None not in (row["ra"], row["dec"], row["r0"], row["r1"])
        }
        for text in some:
            best = deepest((ellipse, places[text], name) for name, ellipse in ellipses.items())
            found[text] = Absent(_NO_SOURCE)
            if best is not None:
                found[text] = {"name": best[0], "how": "position", "arcsec": best[1]}
    return found


def matched_names(store: Store) -> list[str]:
    """List the catalogue's names of all sources found so far, sorted."""
    return sorted({result["name"] for _, result in store.got(STAGE)})
