"""Client of SIMBAD: identifiers, type, host and references (Wenger et al. 2000).

Sources go up as tables, some hundred at a time: SIMBAD asks for that, and bans users that send more
than five to ten queries a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..work.store import Absent, Item, Store
from .positions import ARCSEC, Ellipse, Position, deepest
from .tap import Row, TapClient, quoted

SIMBAD_TAP = "https://simbad.cds.unistra.fr/simbad/sim-tap"
PER_SECOND = 5.0
STAGE = "simbad"
AT_ONCE = 200
# The catalogue's absolute astrometry adds to an error ellipse; no object is looked for beyond.
SYSTEMATIC_ARCSEC = 0.7
FARTHEST_ARCSEC = 10.0
# Types of SIMBAD that others lie in: galaxies and their clusters, clusters of stars, remnants.
HOST_TYPES = {
    "G", "GiG", "GiC", "GiP", "BiC", "IG", "PaG", "LSB", "bCG", "SBG", "H2G", "EmG",
    "AGN", "SyG", "Sy1", "Sy2", "LIN", "rG", "QSO", "Bla", "BLL",
    "ClG", "GrG", "CGG", "PCG", "SCG", "Cl*", "GlC", "OpC", "As*", "SFR", "HII", "SNR", "MoC",
}  # fmt: skip
COLUMNS = {
    "ra": "ra", "dec": "dec", "r0": "err_ellipse_r0", "r1": "err_ellipse_r1",
    "angle": "err_ellipse_ang",
}  # fmt: skip
_OBJECT = "b.oid AS oid, b.main_id AS main_id, b.otype AS otype, b.ra AS ra, b.dec AS dec"
_NOBODY = "SIMBAD has no object of that name or inside the error ellipse"


def fetch_objects(client: TapClient, store: Store, sources: Iterable[Mapping[str, Any]]) -> None:
    """Find the object behind every source, by its name, else by its position.

    The result of a source holds `oid`, `main_id`, `otype`, `how` it was found, `aliases`, `host`
    (or None) and `references`: `bibcode`, `year`, `title`, `frequency` (how often the paper
    mentions the object) and `objects` (how many it mentions), None where SIMBAD does not say.

    Args:
        sources: rows with `name` and the catalogue's position and error ellipse (`COLUMNS`).

    Raises:
        ServiceError: when the service fails for good; the sources at hand stay wanted.
    """

    def fetch(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        found = _identify(client, items)
        details = _details(client, sorted({row["oid"] for row in found.values()}))
        outcomes: dict[str, Any] = {item.id: Absent(_NOBODY) for item in items}
        outcomes |= {name: {**row, **details[row["oid"]]} for name, row in found.items()}
        yield outcomes
        store.forget(client.url)

    wanted = {row["name"]: {key: row.get(of) for key, of in COLUMNS.items()} for row in sources}
    store.add(STAGE, wanted)
    store.work(STAGE, fetch, at_once=AT_ONCE)


def names_of_type(client: TapClient, otype: str, page: int = 5000) -> list[str]:
    """Query the catalogue's names of all objects of a type such as `LXB`, in pages."""
    names: list[str] = []
    while True:
        after = quoted(names[-1] if names else "2CXO J")
        # SIMBAD's ADQL sorts by the name or number of an output column only.
        answer = client.query(
            f"SELECT TOP {page} i.id AS id FROM basic AS b JOIN ident AS i ON i.oidref = b.oid "
            f"WHERE b.otype = {quoted(otype)} AND i.id > {after} AND i.id < '2CXO K' ORDER BY id",
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
    # An extended source's name ends in X, which SIMBAD may leave out.
    spelled = [(n, name) for n, name in enumerate(names)]
    spelled += [(n, name[:-1]) for n, name in enumerate(names) if name.endswith("X")]
    answer = _all_rows(
        client,
        f"SELECT u.num AS num, {_OBJECT} FROM TAP_UPLOAD.sources AS u "
        "JOIN ident AS i ON i.id = u.name JOIN basic AS b ON b.oid = i.oidref",
        "sources",
        {"num": [n for n, _ in spelled], "name": [name for _, name in spelled]},
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
    rows = {(row["num"], row["oid"]): row for row in answer}
    for n in left:
        near = (
            (ellipses[n], Position(row["ra"], row["dec"]), oid)
            for (number, oid), row in rows.items()
            if number == n
        )
        if (best := deepest(near)) is not None:
            found[names[n]] = _object(rows[n, best[0]], "position", best[1])
    return found


def _ellipse(payload: Mapping[str, Any]) -> Ellipse:
    major, minor = payload["r0"] or 1.0, payload["r1"] or payload["r0"] or 1.0
    major, minor = (min(r + SYSTEMATIC_ARCSEC, FARTHEST_ARCSEC) for r in (major, minor))
    return Ellipse(payload["ra"], payload["dec"], major, minor, payload["angle"] or 0.0)


def _object(row: Row, how: str, arcsec: float | None) -> Row:
    return {
        "oid": row["oid"],
        "main_id": _name(row["main_id"]),
        "otype": row["otype"],
        "how": how,
        "arcsec": arcsec,
    }


def _name(text: str) -> str:
    return " ".join(text.split())


def _details(client: TapClient, oids: Sequence[int]) -> dict[int, Row]:
    """Query aliases, host and references of objects."""
    details: dict[int, Row] = {oid: {"aliases": [], "host": None, "references": []} for oid in oids}
    if not oids:
        return details

    def query(adql: str, what: str, key: str | None = None) -> list[Row]:
        # Not `oid`: PostgreSQL, behind many services, has columns of that name of its own.
        about = f"{what} of {len(oids)} objects from {oids[0]}"
        return _all_rows(client, adql, "objects", {"object": list(oids)}, about, key)

    names = query(
        "SELECT u.object AS oid, i.id AS id FROM TAP_UPLOAD.objects AS u "
        "JOIN ident AS i ON i.oidref = u.object",
        "identifiers",
    )
    parents = query(
        "SELECT u.object AS oid, p.main_id AS name, p.otype AS otype, h.membership AS membership "
        "FROM TAP_UPLOAD.objects AS u JOIN h_link AS h ON h.child = u.object "
        "JOIN basic AS p ON p.oid = h.parent",
        "hosts",
    )
    # The surest membership; by name where two are alike, so that it is always the same.
    hosts = sorted(
        (-(row["membership"] or 0), _name(row["name"]), row["oid"], row["otype"]) for row in parents
    )
    papers = query(
        # `year` is a word of ADQL's own.
        'SELECT u.object AS oid, r.bibcode AS bibcode, r."year" AS published, r.title AS title, '
        "h.obj_freq AS frequency, r.nbobject AS objects FROM TAP_UPLOAD.objects AS u "
        "JOIN has_ref AS h ON h.oidref = u.object JOIN ref AS r ON r.oidbib = h.oidbibref",
        "references",
        key="bibcode",
    )
    for _, name, oid, otype in hosts:
        if otype in HOST_TYPES and details[oid]["host"] is None:
            details[oid]["host"] = name
    references: dict[int, dict[str, Row]] = {oid: {} for oid in oids}
    for row in papers:
        oid, year = row.pop("oid"), row.pop("published")
        references[oid][row["bibcode"]] = {**row, "year": year}
    for oid, detail in details.items():
        detail["aliases"] = sorted({_name(row["id"]) for row in names if row["oid"] == oid})
        detail["references"] = [references[oid][code] for code in sorted(references[oid])]
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
        key: output column of `r` that rows of a single uploaded row are paged by.
    """
    answer = client.query(adql, about, uploads={name: table})
    if not answer.overflow:
        return answer.rows
    n = len(next(iter(table.values())))
    if n > 1:
        halves = (
            {c: v[half] for c, v in table.items()} for half in (slice(n // 2), slice(n // 2, n))
        )
        return [row for half in halves for row in _all_rows(client, adql, name, half, about, key)]
    if key is None:
        return answer.rows  # one object with more names than a service sends: enough of them
    rows: list[Row] = []
    while True:
        where = f" WHERE r.{key} > {quoted(rows[-1][key])}" if rows else ""
        answer = client.query(f"{adql}{where} ORDER BY {key}", about, uploads={name: table})
        rows += answer.rows
        if not answer.overflow or not answer.rows:
            return rows
