"""Client of TAP services through pyvo, with answers as plain rows.

pyvo speaks the protocol; pacing, waiting and trying again are `Service`'s.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..work.response_cache import ResponseCache
from .polite_session import RefusedError, Service, ServiceError

Row = dict[str, Any]

_KINDS = ("application/x-votable+xml", "application/xml", "text/xml")
_OPENED = re.compile(rb"<(?:\w+:)?VOTABLE[\s>]")
_CLOSED = re.compile(rb"</(?:\w+:)?VOTABLE>\s*$")


@dataclass(frozen=True)
class TapAnswer:
    """Rows of an answer, with units and a flag of overflow.

    Attributes:
        rows: column -> value; texts stripped, None where nothing was measured (null or nan).
        overflow: whether the service left rows out because there were too many.
        units: column -> unit, as the service states it.
    """

    rows: list[Row]
    overflow: bool
    units: dict[str, str]


class TapClient:
    """Client of a TAP service.

    Args:
        url: its base.
        service: how to ask it.
        asynchronous: send questions as jobs, for services that cut long ones off.
        cache: of the answers, until `forget`; or None.
    """

    def __init__(
        self,
        url: str,
        service: Service,
        *,
        asynchronous: bool = False,
        cache: ResponseCache | None = None,
    ) -> None:
        try:
            import pyvo
        except ImportError as error:
            raise ImportError('TAP needs pyvo: pip install "hf-specclip[build]"') from error
        self.url = url
        self.service = service
        self.asynchronous = asynchronous
        self.cache = cache
        self._tap = pyvo.dal.TAPService(url, session=service.session)
        self._columns: dict[str, set[str]] = {}

    def query(
        self,
        adql: str,
        item: str,
        *,
        uploads: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        max_rows: int | None = None,
        remember: bool = True,
    ) -> TapAnswer:
        """Query, unless the answer is cached.

        Args:
            adql: the question.
            item: what it is about, for messages.
            uploads: tables sent along: name -> column -> values; `TAP_UPLOAD.name` in the ADQL.
            max_rows: the most rows to send.
            remember: keep the answer until `forget`; not for one that is stored at once.

        Raises:
            RefusedError: the service does not understand the question.
            ServiceError: it failed again and again.
        """
        if self.cache is None or not remember:
            return self._ask(adql, item, uploads, max_rows)
        question = [self.url, adql, uploads, max_rows]
        found = self.cache.get(question)
        if found is not None:
            return TapAnswer(**found)
        answer = self._ask(adql, item, uploads, max_rows)
        self.cache.put(question, vars(answer))
        return answer

    def forget(self) -> None:
        """Drop the cached answers: the items they were for are finished."""
        if self.cache is not None:
            self.cache.forget()

    def _ask(
        self,
        adql: str,
        item: str,
        uploads: Mapping[str, Mapping[str, Sequence[Any]]] | None,
        max_rows: int | None,
    ) -> TapAnswer:
        import pyvo
        from astropy.table import Table

        tables = {name: Table(dict(columns)) for name, columns in (uploads or {}).items()}
        ask = self._tap.run_async if self.asynchronous else self._tap.run_sync
        failure: ServiceError | None = None
        with self.service.about(item, kinds=_KINDS, check=_whole), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units and dates that VOTable does not know
            try:
                found = ask(adql, maxrec=max_rows, uploads=tables or None)
                units = {field.name: str(field.unit) for field in found.fielddescs if field.unit}
                overflow = found.query_status == "OVERFLOW"
                return TapAnswer(_rows(found.to_table()), overflow, units)
            except pyvo.dal.DALAccessError as error:
                # pyvo wraps what the session raises while it reads an answer.
                inner = error.__context__
                failure = inner if isinstance(inner, ServiceError) else None
                said = " ".join(str(error).split())[:400]
        if failure is None:
            failure = self.service.error(
                f"does not answer the question: {said}",
                item,
                f"The question was: {' '.join(adql.split())[:600]}",
                RefusedError,
            )
        raise failure

    def columns(self, table: str) -> set[str]:
        """List the lower-case names of a table's columns (asked once)."""
        if table not in self._columns:
            question = [self.url, "columns", table]
            names = self.cache.get(question, permanent=True) if self.cache else None
            if names is None:
                answer = self._ask(
                    "SELECT column_name FROM TAP_SCHEMA.columns "
                    f"WHERE table_name = {quoted(table)}",
                    f"columns of {table}",
                    None,
                    5000,
                )
                names = sorted({row["column_name"].lower() for row in answer.rows})
                if self.cache:
                    self.cache.put(question, names)
            self._columns[table] = set(names)
        return self._columns[table]


def quoted(text: str) -> str:
    """Quote a text as an ADQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(texts: Iterable[str]) -> str:
    """Quote texts as an ADQL list, for IN."""
    return "(" + ", ".join(map(quoted, texts)) + ")"


def _whole(content: bytes) -> str | None:
    """Name the fault of an answer's XML: a proxy may cut it and still give the right length."""
    if _OPENED.search(content[:4000]) and not _CLOSED.search(content[-400:]):
        return "sent a table that breaks off"
    return None


def _rows(table: Any) -> list[Row]:
    columns = {name: _values(table[name]) for name in table.colnames}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _values(column: Any) -> list[Any]:
    mask = np.broadcast_to(np.ma.getmaskarray(np.ma.asarray(column)), (len(column),))
    return [
        None if missing else _value(value)
        for value, missing in zip(np.ma.getdata(column).tolist(), mask, strict=True)
    ]


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


__all__ = ["Row", "TapAnswer", "TapClient", "quoted", "quoted_list"]
