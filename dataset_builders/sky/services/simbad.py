"""Client of SIMBAD: identifiers, type, host and references (Wenger et al. 2000).

Sources go up as tables, some hundred at a time: SIMBAD asks for that, and bans users that send more
than five to ten queries a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..work.store import Absent, Item, Store
from .sources import ARCSEC, Ellipse, Position, deepest
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
COLUMNS = ("ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
_OBJECT = (
    "SELECT u.num AS num, b.oid AS oid, b.main_id AS main_id, b.otype AS otype, b.ra AS ra, "
    "b.dec AS dec FROM TAP_UPLOAD.t AS u JOIN"
)
# Not `oid`: PostgreSQL, behind many services, has columns of that name of its own. `year` is a word
# of ADQL's own.
_NAMES = (
    "SELECT u.object AS oid, i.id AS id FROM TAP_UPLOAD.t AS u JOIN ident AS i "
    "ON i.oidref = u.object"
)
_HOSTS = (
    "SELECT u.object AS oid, p.main_id AS name, p.otype AS otype, h.membership AS membership "
    "FROM TAP_UPLOAD.t AS u JOIN h_link AS h ON h.child = u.object JOIN basic AS p "
    "ON p.oid = h.parent"
)
_PAPERS = (
    'SELECT u.object AS oid, r.bibcode AS bibcode, r."year" AS published, r.title AS title, '
    "h.obj_freq AS frequency, r.nbobject AS objects FROM TAP_UPLOAD.t AS u "
    "JOIN has_ref AS h ON h.oidref = u.object JOIN ref AS r ON r.oidbib = h.oidbibref"
)


def fetch_objects(client: TapClient, store: Store, sources: Iterable[Mapping[str, Any]]) -> None:
    """Find the object behind every source, by its name, else by its position.

    The result of a source holds `oid`, `main_id`, `otype`, `how` it was found, `aliases`, `host`
    (or None) and `references`: `bibcode`, `year`, `title`, `frequency` (how often the paper
    mentions the object) and `objects` (how many it mentions), None where SIMBAD does not say.

    Args:
        sources: rows with `name` and the catalogue's position and error ellipse (`COLUMNS`).
    """

    def fetch(items: Sequence[Item]) -> list[dict[str, Any]]:
        found = _identify(client, items)
        details = _details(client, sorted({row["oid"] for row in found.values()}))
        nobody = Absent("SIMBAD has no object of that name or inside the error ellipse")
        known = {name: {**row, **details[row["oid"]]} for name, row in found.items()}
        return [{item.id: known.get(item.id, nobody) for item in items}]

    store.add(STAGE, {row["name"]: {key: row.get(key) for key in COLUMNS} for row in sources})
    store.work(STAGE, fetch, at_once=AT_ONCE, recalls=client.url)


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
    # An extended source's name ends in X, which SIMBAD may leave out.
    spelled = [(n, item.id) for n, item in enumerate(items)]
    spelled += [(n, name[:-1]) for n, name in spelled if name.endswith("X")]
    table: dict[str, Any] = {"num": [n for n, _ in spelled], "name": [name for _, name in spelled]}
    adql = f"{_OBJECT} ident AS i ON i.id = u.name JOIN basic AS b ON b.oid = i.oidref"
    found: dict[int, Row] = {}
    for row in sorted(_all_rows(client, adql, table, about), key=lambda r: (r["num"], r["oid"])):
        found.setdefault(row["num"], {**row, "how": "name", "arcsec": None})
    if ellipses := {n: _ellipse(i.payload) for n, i in enumerate(items) if n not in found}:
        # Half as far again: a position of SIMBAD has an error, too; the ellipse decides.
        table = {"num": [*ellipses], "radius": [1.5 * e.major * ARCSEC for e in ellipses.values()]}
        table |= {name: [getattr(e, name) for e in ellipses.values()] for name in ("ra", "dec")}
        adql = (
            f"{_OBJECT} basic AS b ON "
            "CONTAINS(POINT('ICRS', b.ra, b.dec), CIRCLE('ICRS', u.ra, u.dec, u.radius)) = 1"
        )
        rows = {
            (row["num"], row["oid"]): row
            for row in _all_rows(client, adql, table, f"positions of {about}")
        }
        for n, ellipse in ellipses.items():
            near = [
                (ellipse, Position(r["ra"], r["dec"]), key)
                for key, r in rows.items()
                if key[0] == n
            ]
            if (best := deepest(near)) is not None:
                found[n] = {**rows[best[0]], "how": "position", "arcsec": best[1]}
    kept = ("oid", "otype", "how", "arcsec")
    return {
        items[n].id: {"main_id": _folded(row["main_id"]), **{name: row[name] for name in kept}}
        for n, row in found.items()
    }


def _ellipse(payload: Mapping[str, Any]) -> Ellipse:
    ra, dec, major, minor, angle = (payload[name] for name in COLUMNS)
    axes = (min((r or 1.0) + SYSTEMATIC_ARCSEC, FARTHEST_ARCSEC) for r in (major, minor or major))
    return Ellipse(ra, dec, *axes, angle or 0.0)


def _folded(text: str) -> str:
    return " ".join(text.split())


def _details(client: TapClient, oids: Sequence[int]) -> dict[int, Row]:
    """Query aliases, host and references of objects."""
    details: dict[int, Row] = {oid: {"aliases": [], "host": None, "references": []} for oid in oids}
    if not oids:
        return details

    def query(adql: str, what: str, key: str | None = None) -> list[Row]:
        about = f"{what} of {len(oids)} objects from {oids[0]}"
        return _all_rows(client, adql, {"object": list(oids)}, about, key)

    names = {(row["oid"], _folded(row["id"])) for row in query(_NAMES, "identifiers")}
    for oid, name in sorted(names):
        details[oid]["aliases"].append(name)
    # The surest membership; by name where two are alike, so that it is always the same.
    hosts = [row for row in query(_HOSTS, "hosts") if row["otype"] in HOST_TYPES]
    for row in sorted(hosts, key=lambda r: (-(r["membership"] or 0), _folded(r["name"]))):
        details[row["oid"]]["host"] = details[row["oid"]]["host"] or _folded(row["name"])
    papers = {(r["oid"], r["bibcode"]): r for r in query(_PAPERS, "references", "bibcode")}
    for (oid, _), row in sorted(papers.items(), key=lambda pair: pair[0]):
        kept = {name: row[name] for name in ("bibcode", "title", "frequency", "objects")}
        details[oid]["references"].append({**kept, "year": row["published"]})
    return details


def _all_rows(
    client: TapClient,
    adql: str,
    table: Mapping[str, Sequence[Any]],
    about: str,
    key: str | None = None,
) -> list[Row]:
    """Query every row for an uploaded table `t`, in halves where the service sends no more.

    Args:
        key: output column of `r` that rows of a single uploaded row are paged by.
    """
    answer = client.query(adql, about, uploads={"t": table})
    n = len(next(iter(table.values())))
    if answer.overflow and n > 1:
        parts = (slice(n // 2), slice(n // 2, n))
        halves = ({name: column[part] for name, column in table.items()} for part in parts)
        return [row for half in halves for row in _all_rows(client, adql, half, about, key)]
    if not answer.overflow or key is None:
        return answer.rows  # one object with more names than a service sends: enough of them
    rows: list[Row] = []
    while answer.overflow and answer.rows:
        where = f" WHERE r.{key} > {quoted(rows[-1][key])}" if rows else ""
        answer = client.query(f"{adql}{where} ORDER BY {key}", about, uploads={"t": table})
        rows += answer.rows
    return rows
