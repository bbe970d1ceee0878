"""Client of TAP services through pyvo, with answers as plain rows.

pyvo speaks the protocol; pacing, waiting and trying again are `Service`'s.
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
from .polite_session import STATE_WORDS, AbsentError, RefusedError, Service, ServiceError, SlowError

Row = dict[str, Any]

# Seconds between two looks at a job, and the longest that one may take.
JOB_POLL, LONGEST_JOB = 10.0, 7200.0
_ENDED = frozenset(("COMPLETED", "ERROR", "ABORTED", "ARCHIVED"))
_OPENED = re.compile(rb"<(?:\w+:)?VOTABLE[\s>]")
_CLOSED = re.compile(rb"</(?:\w+:)?VOTABLE>\s*$")
_ERROR = re.compile(
    rb"""<(?:\w+:)?INFO\b(?=[^>]*["']QUERY_STATUS["'])(?=[^>]*["']ERROR["'])[^>]*>(.*?)</""",
    re.DOTALL | re.IGNORECASE,
)
# Before VOTable 1.3 astropy reads an empty cell of whole numbers as 0.
_OLD = re.compile(rb"""(<(?:\w+:)?VOTABLE\b[^>]*?\bversion=)["']1\.[0-2]["']""")
_ROWS = re.compile(rb"<(?:\w+:)?(?:TABLEDATA|BINARY2?|FITS)\b")


class TapAnswer(NamedTuple):
    """Rows of an answer: column -> value; None where nothing was measured (null or nan)."""

    rows: list[Row]
    overflow: bool  # the service left rows out because there were too many


class TapClient:
    """Client of a TAP service."""

    def __init__(self, url: str, service: Service, store: Store | None = None) -> None:
        import pyvo

        self.url = url
        self.service = service
        self.store = store
        self._tap = pyvo.dal.TAPService(url, session=service)
        service.check = _table_fault
        service.gives_up_slow = True

    def query(
        self,
        adql: str,
        item: str,
        *,
        uploads: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        max_rows: int | None = None,
        remember: bool = True,
    ) -> TapAnswer:
        """Query, unless the store recalls the answer.

        A question that is not answered in time is sent again as a job, and so are those after it.

        Args:
            uploads: tables sent along: name -> column -> values; `TAP_UPLOAD.name` in the ADQL.
            max_rows: the most rows to send.
            remember: recall the answer; not for one that is stored at once.
        """
        question = {"query": adql, "maxrec": max_rows, "uploads": uploads}
        if self.store is None or not remember:
            return self._ask(question, item)
        return TapAnswer(*self.store.recall(self.url, question, lambda: self._ask(question, item)))

    def _ask(self, question: Mapping[str, Any], item: str) -> TapAnswer:
        import pyvo
        from astropy.io.votable import parse
        from astropy.table import Table

        uploads = {name: Table(dict(of)) for name, of in (question["uploads"] or {}).items()}
        self.service.item = item
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units and dates that VOTable does not know
            try:
                content = self._send({**question, "uploads": uploads or None})
                content = _OLD.sub(rb'\1"1.3"', content, count=1)
                found = pyvo.dal.TAPResults(parse(io.BytesIO(content)), url=self.url)
                return TapAnswer(_rows(found.to_table()), found.query_status == "OVERFLOW")
            except RefusedError as error:
                said = str(error)
            except (pyvo.dal.DALAccessError, ValueError) as error:
                words = " ".join(str(error).split())
                said = f"{self.service.name}, {item}: does not answer the question: {words}"
        asked = " ".join(question["query"].split())[:600]
        raise RefusedError(f"{self.service.scrub(said)[:700]} The question was: {asked}")

    def _send(self, question: Mapping[str, Any]) -> bytes:
        """Send a question; as a job where one was not answered in time and the service has jobs."""
        import pyvo

        job = None
        if self.service.gives_up_slow:
            try:
                return self._tap.create_query(**question).submit().content
            except SlowError:
                self.service.gives_up_slow = False
        with contextlib.suppress(AbsentError):
            job = self._tap.submit_job(**question)
        if job is None:
            return self._tap.create_query(**question).submit().content
        end = time.monotonic() + LONGEST_JOB
        try:
            job.run()
            # pyvo's `wait` asks for answers that come when the job ends, later than we read.
            while job.phase not in _ENDED:
                if time.monotonic() > end:
                    problem = f"a job did not end within {LONGEST_JOB / 3600:g} h"
                    raise self.service.error(problem, self.service.item, "Run again later.")
                time.sleep(JOB_POLL)
            job.raise_if_error()
            return self.service.get(job.result_uri).content
        finally:
            # UWS answers with a redirect, which is no answer here; an old job ends by itself.
            with contextlib.suppress(ServiceError, pyvo.dal.DALAccessError):
                job.delete()


def quoted(text: str) -> str:
    """Quote a text as an ADQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(texts: Iterable[str]) -> str:
    """Quote texts as an ADQL list, for IN."""
    return "(" + ", ".join(map(quoted, texts)) + ")"


def _table_fault(answer: Response) -> str | None:
    """Name the fault of an answer that passes; its bytes count, not its content type.

    A proxy may cut a table and still give the right length; a service that runs out of time closes
    the rows so far with an error.
    """
    content = answer.content
    if not _OPENED.search(content[:4000]):
        is_job = "/async" in urlsplit(answer.url).path and (not content or b"job" in content[:4000])
        return None if is_job else "sent no VOTable"
    if not _CLOSED.search(content[-400:]):
        return "sent a table that breaks off"
    said = _ERROR.search(content)
    words = " ".join(said[1].decode("utf-8", "replace").split()) if said else ""
    if said and (_ROWS.search(content) or STATE_WORDS.search(words)):
        return f"broke the answer off: {words}"
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
