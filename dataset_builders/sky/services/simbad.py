"""Client of SIMBAD: identifiers, object type, host and references (Wenger et al. 2000).

Sources are uploaded as tables, as SIMBAD recommends; it blocks clients that send more than five to
ten queries per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..work.store import Absent, Item, Store
from .sources import ARCSEC, Ellipse, Position, best_match
from .tap import Row, TapClient, quoted

SIMBAD_TAP = "https://simbad.cds.unistra.fr/simbad/sim-tap"
PER_SECOND = 5.0
STAGE = "simbad"
SOURCES_PER_QUERY = 200
# Error of the absolute astrometry, added to error ellipses; and the largest search radius.
SYSTEMATIC_ARCSEC = 0.7
MAX_ARCSEC = 10.0
# Object types that can host other sources: galaxies, galaxy and star clusters, remnants.
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
# The uploaded column is not called `oid`, a system column of PostgreSQL; `year` is an ADQL keyword.
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
    """Cross-match sources with SIMBAD, by name or else by position.

    The result of a source holds `oid`, `main_id`, `otype`, `how` (name or position), `arcsec`,
    `aliases`, `host` (or None) and `references`: `bibcode`, `year`, `title`, `frequency` (mentions
    of the object in the paper) and `objects` (number of objects in the paper).

    Args:
        sources: rows with `name`, and position and error ellipse of the catalogue (`COLUMNS`).
    """

    def fetch(items: Sequence[Item]) -> list[dict[str, Any]]:
        objects = _cross_match(client, items)
        details = _details(client, sorted({row["oid"] for row in objects.values()}))
        no_match = Absent("no SIMBAD object of this name or within the error ellipse")
        results = {name: {**row, **details[row["oid"]]} for name, row in objects.items()}
        return [{item.id: results.get(item.id, no_match) for item in items}]

    store.add(STAGE, {row["name"]: {key: row.get(key) for key in COLUMNS} for row in sources})
    store.process(STAGE, fetch, batch_size=SOURCES_PER_QUERY, clear_cache=client.url)


def names_of_type(client: TapClient, otype: str, page: int = 5000) -> list[str]:
    """Return the CSC names of all objects of a SIMBAD type such as `LXB`."""
    names: list[str] = []
    while True:
        after = quoted(names[-1] if names else "2CXO J")
        # SIMBAD can only sort by an output column.
        result = client.query(
            f"SELECT TOP {page} i.id AS id FROM basic AS b JOIN ident AS i ON i.oidref = b.oid "
            f"WHERE b.otype = {quoted(otype)} AND i.id > {after} AND i.id < '2CXO K' ORDER BY id",
            f"names of type {otype}",
            max_rows=page,
        )
        names += [row["id"] for row in result.rows]
        if not result.rows or (len(result.rows) < page and not result.overflow):
            return names


def _cross_match(client: TapClient, items: Sequence[Item]) -> dict[str, Row]:
    """Match sources to objects by name, else by the smallest distance within the ellipse."""
    about = f"{len(items)} sources from {items[0].id}"
    # Names of extended sources end in X, which SIMBAD may omit.
    names = [(n, item.id) for n, item in enumerate(items)]
    names += [(n, name[:-1]) for n, name in names if name.endswith("X")]
    table: dict[str, Any] = {"num": [n for n, _ in names], "name": [name for _, name in names]}
    adql = f"{_OBJECT} ident AS i ON i.id = u.name JOIN basic AS b ON b.oid = i.oidref"
    matches: dict[int, Row] = {}
    for row in sorted(_query_all(client, adql, table, about), key=lambda r: (r["num"], r["oid"])):
        matches.setdefault(row["num"], {**row, "how": "name", "arcsec": None})
    if ellipses := {n: _ellipse(i.payload) for n, i in enumerate(items) if n not in matches}:
        # 1.5 times the major axis, as SIMBAD positions have errors, too; the ellipse decides below.
        table = {"num": [*ellipses], "radius": [1.5 * e.major * ARCSEC for e in ellipses.values()]}
        table |= {name: [getattr(e, name) for e in ellipses.values()] for name in ("ra", "dec")}
        adql = (
            f"{_OBJECT} basic AS b ON "
            "CONTAINS(POINT('ICRS', b.ra, b.dec), CIRCLE('ICRS', u.ra, u.dec, u.radius)) = 1"
        )
        rows = {
            (row["num"], row["oid"]): row
            for row in _query_all(client, adql, table, f"positions of {about}")
        }
        for n, ellipse in ellipses.items():
            candidates = [
                (ellipse, Position(r["ra"], r["dec"]), key)
                for key, r in rows.items()
                if key[0] == n
            ]
            if (best := best_match(candidates)) is not None:
                matches[n] = {**rows[best[0]], "how": "position", "arcsec": best[1]}
    columns = ("oid", "otype", "how", "arcsec")
    return {
        items[n].id: {
            "main_id": _collapse_spaces(row["main_id"]),
            **{name: row[name] for name in columns},
        }
        for n, row in matches.items()
    }


def _ellipse(payload: Mapping[str, Any]) -> Ellipse:
    ra, dec, major, minor, angle = (payload[name] for name in COLUMNS)
    axes = (min((r or 1.0) + SYSTEMATIC_ARCSEC, MAX_ARCSEC) for r in (major, minor or major))
    return Ellipse(ra, dec, *axes, angle or 0.0)


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split())


def _details(client: TapClient, oids: Sequence[int]) -> dict[int, Row]:
    """Query aliases, host and references of objects."""
    details: dict[int, Row] = {oid: {"aliases": [], "host": None, "references": []} for oid in oids}
    if not oids:
        return details

    def query(adql: str, subject: str, key: str | None = None) -> list[Row]:
        about = f"{subject} of {len(oids)} objects from {oids[0]}"
        return _query_all(client, adql, {"object": list(oids)}, about, key)

    names = {(row["oid"], _collapse_spaces(row["id"])) for row in query(_NAMES, "identifiers")}
    for oid, name in sorted(names):
        details[oid]["aliases"].append(name)
    # The host of the highest membership probability; ties by name.
    hosts = [row for row in query(_HOSTS, "hosts") if row["otype"] in HOST_TYPES]
    for row in sorted(hosts, key=lambda r: (-(r["membership"] or 0), _collapse_spaces(r["name"]))):
        details[row["oid"]]["host"] = details[row["oid"]]["host"] or _collapse_spaces(row["name"])
    papers = {(r["oid"], r["bibcode"]): r for r in query(_PAPERS, "references", "bibcode")}
    for (oid, _), row in sorted(papers.items(), key=lambda pair: pair[0]):
        reference = {name: row[name] for name in ("bibcode", "title", "frequency", "objects")}
        details[oid]["references"].append({**reference, "year": row["published"]})
    return details


def _query_all(
    client: TapClient,
    adql: str,
    table: Mapping[str, Sequence[Any]],
    about: str,
    key: str | None = None,
) -> list[Row]:
    """Query with an uploaded table `t`, halved on overflow until all rows are returned.

    Args:
        key: column of `r` for paging if a single uploaded row overflows; None to truncate.
    """
    result = client.query(adql, about, uploads={"t": table})
    n = len(next(iter(table.values())))
    if result.overflow and n > 1:
        slices = (slice(n // 2), slice(n // 2, n))
        halves = ({name: column[rows] for name, column in table.items()} for rows in slices)
        return [row for half in halves for row in _query_all(client, adql, half, about, key)]
    if not result.overflow or key is None:
        return result.rows
    rows: list[Row] = []
    while result.overflow and result.rows:
        where = f" WHERE r.{key} > {quoted(rows[-1][key])}" if rows else ""
        result = client.query(f"{adql}{where} ORDER BY {key}", about, uploads={"t": table})
        rows += result.rows
    return rows
