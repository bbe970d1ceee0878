"""TAP service on SQLite, synchronous and asynchronous.

TOP, schema names and geometry are converted for SQLite. Restrictions of the services are kept:
SIMBAD (gmantele/vollt, adqlGrammar.jj) sorts by output names only; CSC has neither geometry nor
JOIN with several conditions, and redirects `/sync`. Tables follow overflowstatus.xml and
errorstatus.xml of astropy/pyvo, and tap_results_and_error of VOTables.jl.
"""

from __future__ import annotations

import io
import math
import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from astropy.io.votable import parse_single_table
from faulty import FaultyServer, Request, Response

TYPES = {
    "TEXT": 'datatype="char" arraysize="*"',
    "INTEGER": 'datatype="int"',
    "BIGINT": 'datatype="long"',
    "REAL": 'datatype="double"',
    "BOOLEAN": 'datatype="boolean"',
}
KINDS = {str: "TEXT", bool: "BOOLEAN", int: "BIGINT", float: "REAL"}
XML = "application/x-votable+xml"


class TapServer(FaultyServer):
    """TAP service.

    Attributes:
        kind: service to reproduce, "simbad" or "csc".
        queries: all ADQL queries received, including failed ones.
        max_rows: row limit of the service.
        uploads: number of rows of each upload.
    """

    def __init__(self, max_rows: int = 100_000, kind: str = "simbad") -> None:
        self.kind = kind
        self.queries: list[str] = []
        self.uploads: list[int] = []
        self.max_rows = max_rows
        self.jobs: dict[str, dict[str, Any]] = {}
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.create_function("POINT", 3, lambda frame, ra, dec: f"{ra} {dec}")
        self.database.create_function("CIRCLE", 4, lambda frame, ra, dec, r: f"{ra} {dec} {r}")
        self.database.create_function("CONTAINS", 2, _contains)
        self.busy = threading.Lock()
        super().__init__()

    def add_table(
        self, name: str, rows: Iterable[Mapping[str, Any]], types: Mapping[str, str]
    ) -> None:
        """Create a table."""
        columns = ", ".join(f'"{column}" {kind}' for column, kind in types.items())
        self.database.execute(f"CREATE TABLE {_plain(name)} ({columns})")
        self.insert(name, rows, types)

    def insert(
        self, name: str, rows: Iterable[Mapping[str, Any]], types: Mapping[str, str]
    ) -> None:
        marks = ",".join("?" * len(types))
        self.database.executemany(
            f"INSERT INTO {_plain(name)} VALUES ({marks})",
            [tuple(row.get(column) for column in types) for row in rows],
        )

    def respond(self, request: Request) -> Response:
        fields, files = request.form()
        fields = {key.upper(): value for key, value in {**request.query, **fields}.items()}
        if request.path.endswith("/sync") and self.kind == "csc":
            name = f"r{len(self.jobs)}"
            self.jobs[name] = {"phase": "EXECUTING", "fields": fields, "files": files}
            return _see(f"/tap/run/{name}")
        if "/tap/run/" in request.path:
            job = self.jobs.pop(request.path.rsplit("/", 1)[1])
            return self.run(job["fields"], job["files"])
        if request.path.endswith("/sync"):
            return self.run(fields, files)
        if "/async" not in request.path:
            return Response(b"no such path", "text/plain", 404)
        return self.job(request, fields, files)

    def job(self, request: Request, fields: dict[str, str], files: dict[str, bytes]) -> Response:
        """Respond as a Universal Worker Service."""
        parts = request.path.split("/async", 1)[1].strip("/").split("/")
        if parts == [""]:
            name = f"job{len(self.jobs)}"
            self.jobs[name] = {"phase": "PENDING", "fields": fields, "files": files}
            return _see(f"{self.url}/tap/async/{name}")
        if parts[0] not in self.jobs:
            return Response(b"no such job", "text/plain", 404)
        job = self.jobs[parts[0]]
        if request.method == "DELETE":
            del self.jobs[parts[0]]
            return _see(f"{self.url}/tap/async")
        if parts[1:] == ["phase"]:
            job["phase"] = "EXECUTING"
            job["started"] = time.monotonic()
            return _see(f"{self.url}/tap/async/{parts[0]}")
        if parts[1:] == ["results", "result"]:
            return self.run(job["fields"], job["files"])
        if job["phase"] == "EXECUTING":  # for the first two looks
            job["looks"] = job.get("looks", 0) + 1
            job["phase"] = "COMPLETED" if job["looks"] > 2 else "EXECUTING"
        href = f"{self.url}/tap/async/{parts[0]}/results/result"
        results = (
            f'<uws:results><uws:result id="result" xlink:href="{href}"/></uws:results>'
            if job["phase"] == "COMPLETED"
            else "<uws:results/>"
        )
        text = (
            '<?xml version="1.0"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1">'
            f"<uws:jobId>{parts[0]}</uws:jobId><uws:phase>{job['phase']}</uws:phase>{results}"
            "</uws:job>"
        )
        return Response(text.encode(), "text/xml")

    def run(self, fields: dict[str, str], files: dict[str, bytes]) -> Response:
        query = fields["QUERY"]
        with self.busy:
            self.queries.append(query)
            if refusal := self.refusal(query):
                return Response(_error(refusal), XML, 400)
            try:
                for part in filter(None, fields.get("UPLOAD", "").split(";")):
                    name, source = part.split(",", 1)
                    self.upload(name, files[source.removeprefix("param:")])
                limit = min(self.max_rows, int(fields.get("MAXREC", self.max_rows)))
                cursor = self.database.execute(_sql(query))
                names = [column[0] for column in cursor.description]
                rows = cursor.fetchmany(limit + 1)
                cursor.close()  # an open one keeps uploads from being dropped
            except sqlite3.Error as error:
                return Response(_error(str(error)), XML, 400)
            finally:
                tables = self.database.execute(
                    "SELECT name FROM sqlite_master WHERE name LIKE 'TAP_UPLOAD%'"
                ).fetchall()
                for (table,) in tables:
                    self.database.execute(f"DROP TABLE {table}")
        version = "1.2" if self.kind == "csc" else "1.4"
        return Response(_votable(names, rows[:limit], len(rows) > limit, version), XML)

    def refusal(self, query: str) -> str | None:
        """Return the error of a query that the real service rejects, or None."""
        if self.kind == "csc":
            several = re.search(r"\bON\b[^()]*\bAND\b", query)
            geometry = re.search(r"\b(CIRCLE|CONTAINS|POINT)\s*\(", query)
            return "not found" if several or geometry else None
        key = re.search(r"ORDER BY\s+(\w+\.\w+|\w+\()", query)
        return f'Incorrect ADQL query: Encountered "." in {key[1]}' if key else None

    def upload(self, name: str, content: bytes) -> None:
        table = parse_single_table(io.BytesIO(content)).to_table()
        columns = ", ".join(f'"{column}"' for column in table.colnames)
        self.database.execute(f"CREATE TABLE TAP_UPLOAD_{name} ({columns})")
        marks = ",".join("?" * len(table.colnames))
        rows = [tuple(_python(row[c]) for c in table.colnames) for row in table]
        self.database.executemany(f"INSERT INTO TAP_UPLOAD_{name} VALUES ({marks})", rows)
        self.uploads.append(len(rows))


def _see(address: str) -> Response:
    return Response(b"see there", status=303, headers={"Location": address})


def _python(value: Any) -> Any:
    if value is np.ma.masked:
        return None
    value = value.item() if hasattr(value, "item") else value
    return value.decode() if isinstance(value, bytes) else value


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _sql(adql: str) -> str:
    pieces = adql.split("'")  # every other one is a text, which stays as it is
    pieces[::2] = [
        re.sub(r"\b(csc21|TAP_UPLOAD)\.", r"\1_", piece, flags=re.IGNORECASE)
        for piece in pieces[::2]
    ]
    sql = "'".join(pieces)
    top = re.match(r"\s*SELECT\s+(DISTINCT\s+)?TOP\s+(\d+)\s", sql, flags=re.IGNORECASE)
    if top:
        sql = f"SELECT {top[1] or ''}{sql[top.end() :]} LIMIT {top[2]}"
    return sql


def _contains(point: str, circle: str) -> int:
    ra1, dec1 = (math.radians(float(x)) for x in point.split())
    ra2, dec2, radius = (math.radians(float(x)) for x in circle.split())
    cosine = math.sin(dec1) * math.sin(dec2) + math.cos(dec1) * math.cos(dec2) * math.cos(ra1 - ra2)
    return int(math.acos(max(-1.0, min(1.0, cosine))) <= radius)


def _votable(names: list[str], rows: list[tuple], overflow: bool, version: str) -> bytes:
    fields = []
    for place, name in enumerate(names):
        kinds = {type(row[place]) for row in rows} - {type(None)}
        kind = (
            KINDS[kinds.pop()] if len(kinds) == 1 else "REAL" if kinds <= {int, float} else "TEXT"
        )
        fields.append(f'<FIELD name="{name}" {TYPES[kind]}/>')
    body = "".join(
        "<TR>"
        + "".join("<TD/>" if cell is None else f"<TD>{escape(str(cell))}</TD>" for cell in row)
        + "</TR>"
        for row in rows
    )
    last = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if overflow else ""
    return (
        f'<?xml version="1.0"?><VOTABLE version="{version}" '
        f'xmlns="http://www.ivoa.net/xml/VOTable/v{version.replace("1.4", "1.3")}">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/><TABLE name="results">'
        f"{''.join(fields)}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE>{last}</RESOURCE>"
        "</VOTABLE>"
    ).encode()


def _error(message: str) -> bytes:
    """An error as `errorstatus.xml` of pyvo has it."""
    return (
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">'
        f"{escape(message)}</INFO></RESOURCE></VOTABLE>"
    ).encode()
