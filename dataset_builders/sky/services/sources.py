"""Resolution of a user's names into sources of the catalogue: by name, else by position.

Each name ends as a source, with the way in which it was found, or as absent, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..work.store import Absent, Item, Store
from .positions import (
    ARCSEC,
    Ellipse,
    Position,
    box_condition,
    deepest,
    normalise_name,
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
_NO_NAME = (
    "is neither a name of the catalogue (2CXO J004243.9+411610) nor a position in degrees "
    "(10.68 +41.27)"
)
_NO_SOURCE = "no source of that name, and no source's error ellipse holds its position"


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

    Raises:
        ServiceError: when the service fails for good; the names at hand stay wanted.
    """

    def resolve(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        yield _resolve(client, [item.id for item in items])
        store.forget(client.url)

    store.add(STAGE, {name.strip(): {} for name in names if name.strip()})
    store.work(STAGE, resolve, at_once=AT_ONCE)


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
        place = stated_position(text)
        if name in known:
            found[text] = {"name": name, "how": "name"}
        elif place is not None:
            places[text] = place
        else:
            found[text] = Absent(_NO_NAME)
    order, radius = sorted(places), SEARCH_ARCSEC * ARCSEC
    for start in range(0, len(order), BOXES_AT_ONCE):
        some = order[start : start + BOXES_AT_ONCE]
        boxes = " OR ".join(
            box_condition(places[text].ra, places[text].dec, radius, "m.ra", "m.dec")
            for text in some
        )
        rows = client.query(f"{_SELECT}({boxes})", f"{len(some)} positions from {some[0]}").rows
        found.update({text: _nearest(places[text], rows) or Absent(_NO_SOURCE) for text in some})
    return found


def _nearest(place: Position, rows: Iterable[Row]) -> Mapping[str, Any] | None:
    """Find the source whose ellipse holds a position most deeply."""
    best = deepest(
        (
            Ellipse(row["ra"], row["dec"], row["r0"], row["r1"], row["angle"] or 0.0),
            place,
            row["name"],
        )
        for row in rows
        # Without an ellipse there is no telling how near is near enough.
        if None not in (row["ra"], row["dec"], row["r0"], row["r1"])
    )
    return best and {"name": best[0], "how": "position", "arcsec": best[1]}


def matched_names(store: Store) -> list[str]:
    """List the catalogue's names of all sources found so far, sorted."""
    return sorted({result["name"] for _, result in store.got(STAGE)})
