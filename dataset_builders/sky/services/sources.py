"""Name resolution: catalogue name, else position within the error ellipse of a source.

A name `2CXO JHHMMSS.s±DDMMSS[X]` contains the position, truncated (not rounded) to 0.1 s and 1″.
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
NAMES_PER_QUERY = 100
BOXES_PER_QUERY = 25
# Search radius; the largest error ellipses, far off axis, reach about 15″.
SEARCH_ARCSEC = 30.0
_SELECT = (
    "SELECT m.name AS name, m.ra AS ra, m.dec AS dec, m.err_ellipse_r0 AS r0, "
    "m.err_ellipse_r1 AS r1, m.err_ellipse_ang AS angle FROM csc21.master_source m WHERE "
)
_NO_NAME = (
    "neither a catalogue name (2CXO J004243.9+411610) nor a position in degrees (10.68 +41.27)"
)
_NO_SOURCE = "no source of this name, and its position is outside all error ellipses"
_NAME = re.compile(
    r"(?:2?CXO\s*)?J?\s*(\d{2})(\d{2})(\d{2}\.\d)\s*([+\-−–])(\d{2})(\d{2})(\d{2})\s*([Xx]?)"
)
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d+)?)[\s,]+([+\-−–]?\d{1,2}(?:\.\d+)?)")
ARCSEC = 1.0 / 3600.0


@dataclass(frozen=True)
class Position:
    """Position on the sky."""

    ra: float  # degrees, ICRS
    dec: float
    uncertainty: float = 0.0  # arcsec, from the truncation of a name


@dataclass(frozen=True)
class Ellipse:
    """95 % error ellipse of a catalogue position."""

    ra: float  # degrees, ICRS
    dec: float
    major: float  # semi-axes, arcsec (`err_ellipse_r0`, `err_ellipse_r1`)
    minor: float
    angle: float  # position angle of the major axis, degrees east of north (`err_ellipse_ang`)

    def distance(self, position: Position) -> float:
        """Return the normalised distance of a position: 1 on the ellipse plus uncertainty."""
        ra, dec, dec0 = radians(position.ra - self.ra), radians(position.dec), radians(self.dec)
        north = cos(dec0) * sin(dec) - sin(dec0) * cos(dec) * cos(ra)
        angle = atan2(cos(dec) * sin(ra), north) - radians(self.angle)
        arcsec = separation(self, position) / ARCSEC
        major, minor = self.major + position.uncertainty, self.minor + position.uncertainty
        return arcsec * hypot(cos(angle) / max(major, 1e-6), sin(angle) / max(minor, 1e-6))


def normalise_name(text: str) -> str | None:
    """Return a source name in the catalogue's spelling; None for other strings.

    Space and prefix are optional, and a minus may be any dash.

    Examples:
        >>> normalise_name("J004243.9+411610")
        '2CXO J004243.9+411610'
    """
    match = _NAME.fullmatch(text.strip())
    return match and f"2CXO J{''.join(match.groups())}".translate(_DASHES).upper()


_DASHES = str.maketrans("−–", "--")


def parse_position(text: str) -> Position | None:
    """Parse a position from a source name or from two numbers in degrees; None without one.

    For a name, this is the centre of the truncation box, and half its diagonal as uncertainty.
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


def separation(a: Position | Ellipse, b: Position | Ellipse) -> float:
    """Return the angular separation of two positions, degrees."""
    return sky_separation(a.ra, a.dec, b.ra, b.dec)


def best_match(candidates: Iterable[tuple[Ellipse, Position, Any]]) -> tuple[Any, float] | None:
    """Return the candidate with the smallest normalised distance, if that is at most 1.

    Args:
        candidates: (ellipse, position, key); ties are resolved by key.

    Returns:
        (key, separation in arcsec), or None.
    """
    inside = [
        (distance, key, round(separation(ellipse, position) / ARCSEC, 3))
        for ellipse, position, key in candidates
        if (distance := ellipse.distance(position)) <= 1.0
    ]
    return min(inside)[1:] if inside else None


def box_condition(position: Position, radius: float) -> str:
    """Return ADQL for a box in `m.ra`, `m.dec` around a cone of `radius` degrees.

    Comparisons use the indices of any service, unlike ADQL geometry. The caller must then select
    the rows within the cone.
    """
    low, high = position.dec - radius, position.dec + radius
    condition = f"m.dec BETWEEN {max(low, -90.0):.8f} AND {min(high, 90.0):.8f}"
    if low > -90 and high < 90:  # otherwise it contains a pole, and with it all right ascensions
        half = degrees(asin(sin(radians(radius)) / cos(radians(position.dec))))
        west, east = (position.ra - half) % 360, (position.ra + half) % 360
        operator = "AND" if west <= east else "OR"
        condition += f" AND (m.ra >= {west:.8f} {operator} m.ra <= {east:.8f})"
    return f"({condition})"


def read_names(text: str) -> list[str]:
    """Parse a list of names, one per line, with `#` comments."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def resolve_names(client: TapClient, store: Store, names: Iterable[str]) -> None:
    """Resolve names to catalogue sources.

    Names in any spelling are looked up. Positions in degrees, and names that the catalogue does
    not have (such as those of older releases), are matched to the source whose error ellipse
    contains the position. The result of a name holds `name`, `how` and, for a position, `arcsec`.
    """
    store.add(STAGE, {name.strip(): {} for name in names if name.strip()})
    store.process(
        STAGE,
        lambda items: [_resolve(client, [item.id for item in items])],
        batch_size=NAMES_PER_QUERY,
        clear_cache=client.url,
    )


def _resolve(client: TapClient, texts: Sequence[str]) -> dict[str, Any]:
    normalised = {text: normalise_name(text) for text in texts}
    names = sorted({name for name in normalised.values() if name})
    catalogue_names: set[str] = set()
    if names:
        adql = f"{_SELECT}m.name IN {quoted_list(names)}"
        about = f"{len(names)} names from {names[0]}"
        rows = client.query(adql, about, max_rows=len(names)).rows
        catalogue_names = {row["name"] for row in rows}
    results: dict[str, Any] = {}
    positions: dict[str, Position] = {}
    for text, name in normalised.items():
        if name in catalogue_names:
            results[text] = {"name": name, "how": "name"}
        elif (position := parse_position(text)) is not None:
            positions[text] = position
        else:
            results[text] = Absent(_NO_NAME)
    pending = sorted(positions)
    for start in range(0, len(pending), BOXES_PER_QUERY):
        batch = pending[start : start + BOXES_PER_QUERY]
        boxes = " OR ".join(box_condition(positions[t], SEARCH_ARCSEC * ARCSEC) for t in batch)
        rows = client.query(f"{_SELECT}({boxes})", f"{len(batch)} positions from {batch[0]}").rows
        ellipses = {
            row["name"]: Ellipse(
                *(row[name] for name in ("ra", "dec", "r0", "r1")), row["angle"] or 0
            )
            for row in rows
            if None not in (row["ra"], row["dec"], row["r0"], row["r1"])
        }
        for text in batch:
            best = best_match((e, positions[text], name) for name, e in ellipses.items())
            results[text] = Absent(_NO_SOURCE)
            if best is not None:
                results[text] = {"name": best[0], "how": "position", "arcsec": best[1]}
    return results


def matched_names(store: Store) -> list[str]:
    """Return the catalogue names of all resolved sources, sorted."""
    return sorted({result["name"] for _, result in store.iter_results(STAGE)})
