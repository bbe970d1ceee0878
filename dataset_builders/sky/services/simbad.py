"""Client of SIMBAD: identifiers, type, host and references (Wenger et al. 2000).

Sources go up as tables, some hundred at a time: SIMBAD asks for that, and for at most eight
queries a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..work.queue import Item, WorkQueue
from .positions import ARCSEC, Ellipse, Position, separation
from .tap import Row, TapClient, quoted

SIMBAD_TAP = "https://simbad.cds.unistra.fr/simbad/sim-tap"
PER_SECOND = 6.0
STAGE = "simbad"
AT_ONCE = 200
# The catalogue's absolute astrometry adds to an error ellipse; no object is looked for beyond.
SYSTEMATIC_ARCSEC = 0.7
FARTHEST_ARCSEC = 10.0
# Types of SIMBAD that others lie in: galaxies and their clusters, clusters of stars, remnants.
HOST_TYPES = frozenset(
    (
        *("G", "GiG", "GiC", "GiP", "BiC", "IG", "PaG", "LSB", "bCG", "SBG", "H2G", "EmG"),
        *("AGN", "SyG", "Sy1", "Sy2", "LIN", "rG", "QSO", "Bla", "BLL"),
        *("ClG", "GrG", "CGG", "PCG", "SCG", "Cl*", "GlC", "OpC", "As*"),
        *("SFR", "HII", "SNR", "MoC"),
    )
)
_OBJECT = "b.oid AS oid, b.main_id AS main_id, b.otype AS otype, b.ra AS ra, b.dec AS dec"


def want_sources(queue: WorkQueue, sources: Iterable[Mapping[str, Any]]) -> int:
    """Queue sources to look up.

    Args:
        queue: of the build.
        sources: rows with `name`, `ra`, `dec` and the error ellipse as the catalogue has it.

    Returns:
        How many are new.
    """
    wanted = {}
    for row in sources:
        wanted[row["name"]] = {
            "ra": row["ra"],
            "dec": row["dec"],
            "r0": row.get("err_ellipse_r0"),
            "r1": row.get("err_ellipse_r1"),
            "angle": row.get("err_ellipse_ang"),
        }
    return queue.add(STAGE, wanted)


def fetch_objects(
    client: TapClient, queue: WorkQueue, progress: Callable[[int], None] = lambda n: None
) -> None:
    """Find the object behind every wanted source, by its name, else by its position.

    The result of a source holds `main_id`, `otype`, `how` it was found, `aliases`, `host` (or
    None) and `references`: `bibcode`, `year`, `title`, `frequency` (how often the paper mentions
    the object) and `objects` (how many it mentions), None where SIMBAD does not say.

    Args:
        client: SIMBAD's TAP service.
        queue: of the build.
        progress: called with the number of sources finished.

    Raises:
        ServiceError: when the service fails for good; the sources at hand are then wanted again.
    """
    while items := queue.claim(STAGE, AT_ONCE):
        with queue.held(items):
            found = _identify(client, items)
            details = _details(client, sorted({row["oid"] for row in found.values()}))
            why = "SIMBAD has no object of that name or inside the error ellipse"
            queue.finish(
                STAGE,
                {name: {**row, **details[row["oid"]]} for name, row in found.items()},
                absent={item.id: why for item in items if item.id not in found},
            )
        client.forget()
        progress(len(items))


def names_of_type(client: TapClient, otype: str, page: int = 5000) -> list[str]:
    """Query the catalogue's names of all objects of a type, as far as SIMBAD has them.

    Args:
        client: SIMBAD's TAP service.
        otype: such as `LXB` or `QSO`.
        page: names in an answer.
    """
    names: list[str] = []
    while True:
        after = quoted(names[-1] if names else "2CXO J")
        answer = client.query(
            f"SELECT TOP {page} i.id AS id FROM basic AS b JOIN ident AS i ON i.oidref = b.oid "
            f"WHERE b.otype = {quoted(otype)} AND i.id > {after} AND i.id < '2CXO K' ORDER BY i.id",
            f"names of type {otype}",
            max_rows=page,
        )
        names += [row["id"] for row in answer.rows]
        if not answer.rows or (len(answer.rows) < page and not answer.overflow):
            return names


def _identify(client: TapClient, items: Sequence[Item]) -> dict[str, Row]:
    """Find the object of each source: by name, else the one deepest in its ellipse."""
    about = f"{len(items)} sources from {items[0].id}"
    names = [item.id for item in items]
    table: dict[str, Sequence[Any]] = {"num": list(range(len(names))), "name": names}
    answer = _all_rows(
        client,
        f"SELECT u.num AS num, {_OBJECT} FROM TAP_UPLOAD.sources AS u "
        "JOIN ident AS i ON i.id = u.name JOIN basic AS b ON b.oid = i.oidref",
        "sources",
        table,
        about,
    )
    found: dict[str, Row] = {}
    for row in sorted(answer, key=lambda row: (row["num"], row["oid"])):
        found.setdefault(names[row["num"]], _object(row, "name", None))
    left = [n for n, name in enumerate(names) if name not in found]
    if not left:
        return found
    ellipses = {n: _ellipse(items[n].payload) for n in left}
    # Half as far again: a position of SIMBAD has an error, too; the ellipse decides.
    table = {
        "num": left,
        "ra": [ellipses[n].ra for n in left],
        "dec": [ellipses[n].dec for n in left],
        "radius": [1.5 * ellipses[n].major * ARCSEC for n in left],
    }
    answer = _all_rows(
        client,
        f"SELECT u.num AS num, {_OBJECT} FROM TAP_UPLOAD.sources AS u JOIN basic AS b ON "
        "CONTAINS(POINT('ICRS', b.ra, b.dec), CIRCLE('ICRS', u.ra, u.dec, u.radius)) = 1",
        "sources",
        table,
        f"positions of {about}",
    )
    deepest: dict[int, tuple[float, int, Row]] = {}
    for row in answer:
        ellipse = ellipses[row["num"]]
        place = Position(row["ra"], row["dec"])
        depth = ellipse.distance(place)
        if depth <= 1.0:
            fresh = (depth, row["oid"], _object(row, "position", separation(ellipse, place)))
            deepest[row["num"]] = min(deepest.get(row["num"], fresh), fresh, key=lambda t: t[:2])
    for number, (_, _, found_row) in deepest.items():
        found[names[number]] = found_row
    return found


def _ellipse(payload: Mapping[str, Any]) -> Ellipse:
    major, minor = payload["r0"] or 1.0, payload["r1"] or payload["r0"] or 1.0
    return Ellipse(
        payload["ra"],
        payload["dec"],
        min(major + SYSTEMATIC_ARCSEC, FARTHEST_ARCSEC),
        min(minor + SYSTEMATIC_ARCSEC, FARTHEST_ARCSEC),
        payload["angle"] or 0.0,
    )


def _object(row: Row, how: str, degrees: float | None) -> Row:
    return {
        "oid": row["oid"],
        "main_id": " ".join(row["main_id"].split()),
        "otype": row["otype"],
        "how": how,
        "arcsec": None if degrees is None else round(degrees / ARCSEC, 3),
    }


def _details(client: TapClient, oids: Sequence[int]) -> dict[int, Row]:
    """Query aliases, host and references of objects."""
    details: dict[int, Row] = {oid: {"aliases": [], "host": None, "references": []} for oid in oids}
    if not oids:
        return details
    about = f"{len(oids)} objects from {oids[0]}"
    # Not `oid`: PostgreSQL, behind many services, has columns of that name in tables of its own.
    table = {"object": list(oids)}
    names = _all_rows(
        client,
        "SELECT u.object AS oid, i.id AS id FROM TAP_UPLOAD.objects AS u "
        "JOIN ident AS i ON i.oidref = u.object",
        "objects",
        table,
        f"identifiers of {about}",
    )
    for row in names:
        details[row["oid"]]["aliases"].append(" ".join(row["id"].split()))
    parents = _all_rows(
        client,
        "SELECT u.object AS oid, p.main_id AS name, p.otype AS otype, h.membership AS membership "
        "FROM TAP_UPLOAD.objects AS u JOIN h_link AS h ON h.child = u.object "
        "JOIN basic AS p ON p.oid = h.parent",
        "objects",
        table,
        f"hosts of {about}",
    )
    hosts: dict[int, tuple[float, str]] = {}
    for row in parents:
        if row["otype"] in HOST_TYPES:
            # The surest membership; by name where two are alike, so that it is always the same.
            rank = (-(row["membership"] or 0), " ".join(row["name"].split()))
            hosts[row["oid"]] = min(hosts.get(row["oid"], rank), rank)
    for oid, (_, name) in hosts.items():
        details[oid]["host"] = name
    there = client.columns("ref")
    objects = "r.nbobject" if not there or "nbobject" in there else "NULL"
    papers = _all_rows(
        client,
        # `year` is a word of ADQL's own.
        'SELECT u.object AS oid, r.bibcode AS bibcode, r."year" AS published, r.title AS title, '
        f"h.obj_freq AS frequency, {objects} AS objects FROM TAP_UPLOAD.objects AS u "
        "JOIN has_ref AS h ON h.oidref = u.object JOIN ref AS r ON r.oidbib = h.oidbibref",
        "objects",
        table,
        f"references of {about}",
        key="r.bibcode",
    )
    for row in papers:
        oid = row.pop("oid")
        row["year"] = row.pop("published")
        details[oid]["references"].append(row)
    for detail in details.values():
        detail["aliases"] = sorted(set(detail["aliases"]))
        by_code = {row["bibcode"]: row for row in detail["references"]}
        detail["references"] = [by_code[code] for code in sorted(by_code)]
    return details


def _all_rows(
    client: TapClient,
    adql: str,
    name: str,
    table: Mapping[str, Sequence[Any]],
    about: str,
    key: str | None = None,
) -> list[Row]:
    """Query every row for an uploaded table, in halves where the service sends no more.

    Args:
        client: of the service.
        adql: question without WHERE.
        name: of the uploaded table.
        table: its columns.
        about: for messages.
        key: column that rows of a single uploaded row are paged by.
    """
    answer = client.query(adql, about, uploads={name: table})
    if not answer.overflow:
        return answer.rows
    n = len(next(iter(table.values())))
    if n > 1:
        halves = [
            {c: v[: n // 2] for c, v in table.items()},
            {c: v[n // 2 :] for c, v in table.items()},
        ]
        return [row for half in halves for row in _all_rows(client, adql, name, half, about, key)]
    if key is None:
        return answer.rows  # one object with more names than a service sends: enough of them
    rows: list[Row] = []
    column = key.split(".")[1]
    while True:
        where = f" WHERE {key} > {quoted(rows[-1][column])}" if rows else ""
        answer = client.query(f"{adql}{where} ORDER BY {key}", about, uploads={name: table})
        rows += answer.rows
        if not answer.overflow or not answer.rows:
            return rows


__all__ = ["HOST_TYPES", "SIMBAD_TAP", "fetch_objects", "names_of_type", "want_sources"]
