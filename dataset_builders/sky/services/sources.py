"""Resolution of a user's names into sources of the catalogue: by name, else by position.

Whatever was asked for is accounted for: each name ends as a source, with how it was found, or as
absent, with why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..work.queue import Item, WorkQueue
from .positions import (
    ARCSEC,
    Ellipse,
    Position,
    box_condition,
    normalise_name,
    separation,
    stated_position,
)
from .tap import Row, TapClient, quoted_list

STAGE = "names"
AT_ONCE = 100
BOXES_AT_ONCE = 25
# Around a stated position; the largest error ellipses, far off axis, reach about 15″.
SEARCH_ARCSEC = 30.0

_SELECT = (
    "SELECT m.name AS name, m.ra AS ra, m.dec AS dec, m.err_ellipse_r0 AS r0, "
    "m.err_ellipse_r1 AS r1, m.err_ellipse_ang AS angle FROM csc21.master_source m WHERE "
)


def want_names(queue: WorkQueue, names: Iterable[str]) -> int:
    """Queue names in any spelling, or positions in degrees, to be resolved.

    Args:
        queue: of the build.
        names: one of each source; blanks around it do not matter.

    Returns:
        How many are new.
    """
    wanted: dict[str, Any] = {name.strip(): {} for name in names if name.strip()}
    return queue.add(STAGE, wanted)


def names_of(text: str) -> list[str]:
    """Read the names of a file, one a line, without empty lines and comments after `#`."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def resolve_names(
    client: TapClient, queue: WorkQueue, progress: Callable[[int], None] = lambda n: None
) -> None:
    """Find the source behind every wanted name.

    A name of the catalogue (in any spelling) is looked up. One that the catalogue does not have,
    such as an older release's, is taken for the position it states: the nearest source is meant
    whose error ellipse, widened by what the name leaves open, holds it. The same goes for
    positions in degrees.

    Args:
        client: the catalogue's TAP service.
        queue: of the build.
        progress: called with the number of names finished.

    Raises:
        ServiceError: when the service fails for good; the names at hand are then wanted again.
    """
    while items := queue.claim(STAGE, AT_ONCE):
        with queue.held(items):
            got, absent = _resolve(client, items)
            queue.finish(STAGE, got, absent=absent)
        client.forget()
        progress(len(items))


def _resolve(
    client: TapClient, items: Sequence[Item]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    spelling = {item.id: normalise_name(item.id) for item in items}
    names = sorted({name for name in spelling.values() if name})
    known: set[str] = set()
    if names:
        adql = f"{_SELECT}m.name IN {quoted_list(names)}"
        what = f"{len(names)} names from {names[0]}"
        known = {row["name"] for row in client.query(adql, what, max_rows=len(names)).rows}
    got: dict[str, Mapping[str, Any]] = {}
    absent: dict[str, str] = {}
    places: dict[str, Position] = {}
    for asked, name in spelling.items():
        place = stated_position(asked)
        if name in known:
            got[asked] = {"name": name, "how": "name"}
        elif place is not None:
            places[asked] = place
        else:
            absent[asked] = (
                "is neither a name of the catalogue (2CXO J004243.9+411610) nor a position in "
                "degrees (10.68 +41.27)"
            )
    order = sorted(places)
    for start in range(0, len(order), BOXES_AT_ONCE):
        some = order[start : start + BOXES_AT_ONCE]
        boxes = " OR ".join(
            box_condition(
                places[asked].ra, places[asked].dec, SEARCH_ARCSEC * ARCSEC, "m.ra", "m.dec"
            )
            for asked in some
        )
        what = f"{len(some)} positions from {some[0]}"
        rows = client.query(f"{_SELECT}({boxes})", what).rows
        for asked in some:
            found = _nearest(places[asked], rows)
            if found is None:
                absent[asked] = (
                    "no source of that name, and no source's error ellipse holds its position"
                )
            else:
                got[asked] = found
    return got, absent


def _nearest(place: Position, rows: Iterable[Row]) -> Mapping[str, Any] | None:
    """Find the source whose ellipse holds a position most deeply."""
    inside = []
    for row in rows:
        # Without an ellipse there is no telling how near is near enough.
        if None in (row["ra"], row["dec"], row["r0"], row["r1"]):
            continue
        ellipse = Ellipse(row["ra"], row["dec"], row["r0"], row["r1"], row["angle"] or 0.0)
        depth = ellipse.distance(place)
        if depth <= 1.0:
            inside.append((depth, row["name"], separation(ellipse, place) / ARCSEC))
    if not inside:
        return None
    depth, name, distance = min(inside)
    return {
        "name": name,
        "how": "position",
        "arcsec": round(distance, 3),
        "ellipse": round(depth, 4),
        "candidates": len(inside),
    }


def matched_names(queue: WorkQueue) -> list[str]:
    """List the catalogue's names of all sources found so far, sorted."""
    return sorted({item.result["name"] for item in queue.items(STAGE, ["got"])})


__all__ = ["matched_names", "names_of", "resolve_names", "want_names"]
