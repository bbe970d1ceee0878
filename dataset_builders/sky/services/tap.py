"""TAP client on pyvo that returns rows as dictionaries.

pyvo implements the protocol; `Service` adds rate limiting and retries.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from requests import Response

from ..work.store import Store
from .http_session import (
    OUTAGE_WORDS,
    NotFoundError,
    RejectedError,
    ResponseTimeoutError,
    Service,
    ServiceError,
)

Row = dict[str, Any]

# Polling interval and time limit of an asynchronous job, s.
JOB_POLL, JOB_TIMEOUT = 10.0, 7200.0
_FINAL_PHASES = frozenset(("COMPLETED", "ERROR", "ABORTED", "ARCHIVED"))
_START = re.compile(rb"<(?:\w+:)?VOTABLE[\s>]")
_END = re.compile(rb"</(?:\w+:)?VOTABLE>\s*$")
_ERROR = re.compile(
    rb"""<(?:\w+:)?INFO\b(?=[^>]*["']QUERY_STATUS["'])(?=[^>]*["']ERROR["'])[^>]*>(.*?)</""",
    re.DOTALL | re.IGNORECASE,
)
# astropy reads empty integer cells as 0 before VOTable 1.3.
_OLD_VERSION = re.compile(rb"""(<(?:\w+:)?VOTABLE\b[^>]*?\bversion=)["']1\.[0-2]["']""")
_ROWS = re.compile(rb"<(?:\w+:)?(?:TABLEDATA|BINARY2?|FITS)\b")


class TapResult(NamedTuple):
    """Result of a query; null and nan values are None."""

    rows: list[Row]  # column -> value
    overflow: bool  # truncated at the row limit of the query or the service


class TapClient:
    """Client of a TAP service."""

    def __init__(self, url: str, service: Service, store: Store | None = None) -> None:
        import pyvo

        self.url = url
        self.service = service
        self.store = store
        self._tap = pyvo.dal.TAPService(url, session=service)
        service.check = _check_votable
        service.raise_on_timeout = True

    def query(
        self,
        adql: str,
        item: str,
        *,
        uploads: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        max_rows: int | None = None,
        cache: bool = True,
    ) -> TapResult:
        """Run a query, or return its cached result.

        After the first read timeout, queries are sent as asynchronous jobs.

        Args:
            item: subject of the query, for error messages.
            uploads: uploaded tables, name -> column -> values; `TAP_UPLOAD.name` in the ADQL.
            max_rows: row limit (MAXREC).
            cache: False if the caller stores the result itself.

        Raises:
            RejectedError: the service rejects the query; the message quotes it.
            ServiceError: see `Service.request`.
        """
        query = {"query": adql, "maxrec": max_rows, "uploads": uploads}
        if self.store is None or not cache:
            return self._run(query, item)
        return TapResult(*self.store.cached(self.url, query, lambda: self._run(query, item)))

    def _run(self, query: Mapping[str, Any], item: str) -> TapResult:
        import pyvo
        from astropy.io.votable import parse
        from astropy.table import Table

        tables = {name: Table(dict(columns)) for name, columns in (query["uploads"] or {}).items()}
        self.service.item = item
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # non-standard units and dates in VOTables
            try:
                content = self._send({**query, "uploads": tables or None})
                content = _OLD_VERSION.sub(rb'\1"1.3"', content, count=1)
                results = pyvo.dal.TAPResults(parse(io.BytesIO(content)), url=self.url)
                return TapResult(_rows(results.to_table()), results.query_status == "OVERFLOW")
            except RejectedError as error:
                message = str(error)
            except (pyvo.dal.DALAccessError, ValueError) as error:
                text = " ".join(str(error).split())
                message = f"{self.service.name}, {item}: query failed: {text}"
        adql = " ".join(query["query"].split())[:600]
        raise RejectedError(f"{self.service.scrub(message)[:700]} Query: {adql}")

    def _send(self, query: Mapping[str, Any]) -> bytes:
        """Send a query, synchronously until the first timeout and as a job afterwards."""
        import pyvo

        job = None
        if self.service.raise_on_timeout:
            try:
                return self._tap.create_query(**query).submit().content
            except ResponseTimeoutError:
                self.service.raise_on_timeout = False
        with contextlib.suppress(NotFoundError):  # no asynchronous endpoint
            job = self._tap.submit_job(**query)
        if job is None:
            return self._tap.create_query(**query).submit().content
        end = time.monotonic() + JOB_TIMEOUT
        try:
            job.run()
            # Not `job.wait()`: its blocking requests would exceed our read timeout.
            while job.phase not in _FINAL_PHASES:
                if time.monotonic() > end:
                    problem = f"a job did not finish within {JOB_TIMEOUT / 3600:g} h"
                    raise self.service.error(problem, self.service.item, "Run again later.")
                time.sleep(JOB_POLL)
            job.raise_if_error()
            return self.service.get(job.result_uri).content
        finally:
            # Best effort: the service deletes old jobs anyway.
            with contextlib.suppress(ServiceError, pyvo.dal.DALAccessError):
                job.delete()


def quoted(text: str) -> str:
    """Quote a string as an ADQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(texts: Iterable[str]) -> str:
    """Quote strings as an ADQL list, for IN."""
    return "(" + ", ".join(map(quoted, texts)) + ")"


def _check_votable(response: Response) -> str | None:
    """Return the problem of an incomplete VOTable, or None.

    Checks the content: a proxy may truncate a table with a matching Content-Length, and a service
    that runs out of time appends an error to the rows sent so far.
    """
    content = response.content
    if not _START.search(content[:4000]):
        is_job = b"job" in content[:4000] or not content
        return None if is_job and "/async" in urlsplit(response.url).path else "sent no VOTable"
    if not _END.search(content[-400:]):
        return "sent a truncated VOTable"
    error = _ERROR.search(content)
    message = " ".join(error[1].decode("utf-8", "replace").split()) if error else ""
    if error and (_ROWS.search(content) or OUTAGE_WORDS.search(message)):
        return f"sent an incomplete result: {message}"
    return None


def _rows(table: Any) -> list[Row]:
    columns = [np.ma.asarray(table[name]).tolist() for name in table.colnames]
    rows = zip(*columns, strict=True)
    return [dict(zip(table.colnames, map(_value, row), strict=True)) for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip("\0 \t\r\n")
    return None if isinstance(value, float) and not math.isfinite(value) else value
