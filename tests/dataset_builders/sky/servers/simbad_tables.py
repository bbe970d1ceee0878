"""Simulated tables of SIMBAD."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tap_server import TapServer

TYPES = {
    "basic": {"oid": "BIGINT", "main_id": "TEXT", "otype": "TEXT", "ra": "REAL", "dec": "REAL"},
    "ident": {"id": "TEXT", "oidref": "BIGINT"},
    "has_ref": {"oidref": "BIGINT", "oidbibref": "BIGINT", "obj_freq": "INTEGER"},
    "ref": {"oidbib": "BIGINT", "bibcode": "TEXT", "year": "INTEGER", "title": "TEXT",
            "nbobject": "INTEGER"},
    "h_link": {"parent": "BIGINT", "child": "BIGINT", "membership": "INTEGER"},
}  # fmt: skip


def load_simbad(
    server: TapServer,
    objects: Iterable[Mapping[str, Any]],
    papers: Iterable[Mapping[str, Any]],
    references: Iterable[tuple[int, str, int]],
    links: Iterable[tuple[int, int, int]] = (),
) -> TapServer:
    """Load a SIMBAD into a TAP server.

    Args:
        objects: `oid`, `main_id`, `otype`, `ra`, `dec`, `names`.
        papers: `bibcode`, `year`, `title`, `nbobject`.
        references: oid, bibcode, number of mentions in the paper.
        links: oid of parent and child, membership probability (per cent).
    """
    objects = list(objects)
    numbered = [{**paper, "oidbib": 900 + n} for n, paper in enumerate(papers)]
    number = {paper["bibcode"]: paper["oidbib"] for paper in numbered}
    names = [{"id": name, "oidref": row["oid"]} for row in objects for name in row["names"]]
    has_ref = [
        {"oidref": oid, "oidbibref": number[code], "obj_freq": n} for oid, code, n in references
    ]
    h_link = [{"parent": p, "child": c, "membership": share} for p, c, share in links]
    tables = {"basic": objects, "ident": names, "ref": numbered, "has_ref": has_ref}
    for name, rows in {**tables, "h_link": h_link}.items():
        server.add_table(name, rows, TYPES[name])
    return server
