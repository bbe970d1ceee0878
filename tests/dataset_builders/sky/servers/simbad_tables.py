"""A small, simulated SIMBAD: the tables that the bibliography asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tap_server import TapServer

BASIC = {"oid": "BIGINT", "main_id": "TEXT", "otype": "TEXT", "ra": "REAL", "dec": "REAL"}
IDENT = {"id": "TEXT", "oidref": "BIGINT"}
HAS_REF = {"oidref": "BIGINT", "oidbibref": "BIGINT", "obj_freq": "INTEGER"}
REF = {
    "oidbib": "BIGINT", "bibcode": "TEXT", "year": "INTEGER", "title": "TEXT",
    "nbobject": "INTEGER",
}  # fmt: skip
H_LINK = {"parent": "BIGINT", "child": "BIGINT", "membership": "INTEGER"}


def load_simbad(
    server: TapServer,
    objects: Iterable[Mapping[str, Any]],
    papers: Iterable[Mapping[str, Any]],
    references: Iterable[tuple[int, str, int]],
    links: Iterable[tuple[int, int, int]] = (),
) -> TapServer:
    """Put a SIMBAD into a TAP service.

    Args:
        server: the service.
        objects: `oid`, `main_id`, `otype`, `ra`, `dec`, `names`.
        papers: `bibcode`, `year`, `title`, `nbobject`.
        references: oid, bibcode, how often the paper mentions the object.
        links: oid of the parent, of the child, membership in per cent.
    """
    objects, papers = list(objects), list(papers)
    server.add_table("basic", objects, BASIC)
    server.add_table(
        "ident",
        [{"id": name, "oidref": row["oid"]} for row in objects for name in row["names"]],
        IDENT,
    )
    numbered = [{**paper, "oidbib": 900 + n} for n, paper in enumerate(papers)]
    server.add_table("ref", numbered, REF)
    number = {paper["bibcode"]: paper["oidbib"] for paper in numbered}
    server.add_table(
        "has_ref",
        [
            {"oidref": oid, "oidbibref": number[code], "obj_freq": times}
            for oid, code, times in references
        ],
        HAS_REF,
    )
    server.add_table(
        "h_link", [{"parent": p, "child": c, "membership": share} for p, c, share in links], H_LINK
    )
    return server
