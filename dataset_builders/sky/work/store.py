"""SQLite store of a build: work queue, results and cached responses.

The state of an item is `wanted` (queued), `got` (done), `absent` (does not exist) or `failed`.
Writes are transactions, so a build that was killed resumes with the queued items. The file uses
SQLite's rollback journal, because write-ahead logging is unsafe on network file systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from hf_specclip.errors import SpecCLIPError

logger = logging.getLogger(__name__)

FILE = "build.sqlite"
FORMAT_VERSION = 2
STATES = ("wanted", "got", "absent", "failed")
# After these, the service is considered down and the stage stops.
MAX_CONSECUTIVE_FAILURES = 3
_READ_BATCH = 400
_BUSY_TIMEOUT = 120.0  # s
_SCHEMA = """CREATE TABLE items (
    stage TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, why TEXT, payload TEXT NOT NULL,
    result, PRIMARY KEY (stage, id)) WITHOUT ROWID"""
_COLUMNS = "SELECT id, state, why, payload, result FROM items WHERE stage = ? AND"
_IN_LIST = "IN (SELECT value FROM json_each(?))"


class StoreError(SpecCLIPError, RuntimeError):
    """Unusable store; the message names the file and what to do."""


class ItemError(SpecCLIPError, RuntimeError):
    """Failure of an item, recorded as its outcome."""

    is_service_failure = True  # False if the item itself is at fault
    is_fatal = False  # True if the remaining items would fail as well


@dataclass(frozen=True)
class Absent:
    """Outcome of an item that does not exist."""

    reason: str


@dataclass(frozen=True)
class Item:
    """Item of the work queue."""

    id: str  # unique in the stage
    state: str  # one of `STATES`
    reason: str | None  # of absent and failed items
    payload: Any  # input (JSON)
    result: Any  # output (JSON or bytes) of finished items


def item_outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; return its result, or the `ItemError` it raises unless that is fatal."""
    try:
        return function(*arguments)
    except ItemError as error:
        if error.is_fatal:
            raise
        return error


class Store:
    """Work queue and results, by stage.

    Args:
        folder: work folder of the build; the file is created if missing.
        progress: show a progress bar for each stage.

    Raises:
        StoreError: also from the methods; the file is damaged, not writable or of another version.
    """

    def __init__(self, folder: str | Path, *, progress: bool = False) -> None:
        self.path = Path(folder) / FILE
        self.progress = progress
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise self._unusable(problem) from None
        with self._transaction() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.execute(_SCHEMA)
                connection.execute("CREATE INDEX items_by_state ON items (stage, state)")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            stored = connection.execute("PRAGMA user_version").fetchone()[0]
        if stored != FORMAT_VERSION:
            raise StoreError(
                f"{self.path} has format {stored}, this version needs {FORMAT_VERSION}: use "
                "another work folder"
            )

    @contextlib.contextmanager
    def lock_stages(self, stages: Iterable[str]) -> Iterator[None]:
        """Lock stages against other processes; locks are released when the process ends.

        Raises:
            StoreError: another process holds a lock.
        """
        with contextlib.ExitStack() as locks:
            for stage in sorted(set(stages)):
                try:
                    lock = FileLock(self.path.with_name(f"{stage}.lock"), timeout=0)
                    locks.enter_context(lock)
                except Timeout:
                    raise StoreError(
                        f"another process is running stage {stage} in {self.path.parent}; rate "
                        "limits apply to all processes of a user: wait, or choose other --stages"
                    ) from None
            yield

    def add(self, stage: str, items: Mapping[str, Any]) -> None:
        """Queue items (id -> JSON payload); existing ones only if their payload has changed."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO items VALUES (?, ?, 'wanted', NULL, ?, NULL) ON CONFLICT DO UPDATE "
                "SET state = 'wanted', why = NULL, payload = excluded.payload, result = NULL "
                "WHERE payload != excluded.payload",
                [(stage, name, json.dumps(payload)) for name, payload in items.items()],
            )

    def put(self, stage: str, outcomes: Mapping[str, Any], *, replace: bool = True) -> None:
        """Save outcomes in one transaction: id -> result (JSON or bytes), `Absent`, `ItemError`."""
        update = "UPDATE SET state = excluded.state, why = excluded.why, result = excluded.result"
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, '{}', ?) ON CONFLICT DO "
                + (update if replace else "NOTHING"),
                [(stage, name, *_row(outcome)) for name, outcome in outcomes.items()],
            )

    def requeue(self, stage: str, ids: Iterable[str] | None = None) -> None:
        """Queue items again: the given ones, or all that failed."""
        where, value = ("state = ?", "failed") if ids is None else (f"id {_IN_LIST}", _json(ids))
        query = f"UPDATE items SET state = 'wanted', why = NULL WHERE stage = ? AND {where}"
        with self._transaction() as connection:
            connection.execute(query, (stage, value))

    def remove(self, stage: str) -> None:
        """Delete the items of a stage."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM items WHERE stage = ?", (stage,))

    def counts(self, stage: str) -> dict[str, int]:
        """Count the items in each state, zeros included."""
        query = "SELECT state, count(*) FROM items WHERE stage = ? GROUP BY state"
        return {**dict.fromkeys(STATES, 0), **dict(self._rows(query, stage))}

    def sums(self, stage: str, *keys: str) -> list[float]:
        """Count finished items and sum numeric fields of their results: [count, sum, …]."""
        columns = ["count(*)", *(f"total(json_extract(result, '$.{key}'))" for key in keys)]
        query = f"SELECT {', '.join(columns)} FROM items WHERE stage = ? AND state = 'got'"
        return [float(value) for value in self._rows(query, stage)[0]]

    def items(self, stage: str, states: Sequence[str] = STATES) -> Iterator[Item]:
        """Yield items, sorted by id."""
        return (item for batch in self._batches(stage, states, _READ_BATCH) for item in batch)

    def iter_results(self, stage: str) -> Iterator[tuple[str, Any]]:
        """Yield (id, result) of finished items, sorted by id."""
        return ((item.id, item.result) for item in self.items(stage, ("got",)))

    def ids(self, stage: str, *states: str) -> set[str]:
        """Return the ids of items in the given states, by default `got`."""
        query = f"SELECT id FROM items WHERE stage = ? AND state {_IN_LIST}"
        return {name for (name,) in self._rows(query, stage, _json(states or ("got",)))}

    def results(self, stage: str, ids: Iterable[str]) -> dict[str, Any]:
        """Return id -> result for the given items that are finished."""
        rows = self._rows(f"{_COLUMNS} state = 'got' AND id {_IN_LIST}", stage, _json(ids))
        return {item.id: item.result for item in map(_item, rows)}

    def cached(self, service: str, request: Any, send: Callable[[], Any]) -> Any:
        """Return the cached response to a request (JSON), or send it and cache the response.

        Lets an item of several requests resume after a kill. `process` clears the cache
        (`clear_cache`). If two processes send the same request, both use the first response.
        """
        text = json.dumps(request, sort_keys=True)
        stage, key = f"recalled {service}", hashlib.sha256(text.encode()).hexdigest()
        if key not in (responses := self.results(stage, [key])):
            self.put(stage, {key: send()}, replace=False)
            responses = self.results(stage, [key])
        return responses[key]

    def process_each(self, stage: str, function: Callable[[Item], Any], **settings: Any) -> None:
        """Process queued items one by one.

        Args:
            function: returns the outcome of an item, or raises an `ItemError`.
            settings: see `process`.
        """
        self.process(
            stage, lambda items: ({i.id: item_outcome(function, i)} for i in items), **settings
        )

    def process(
        self,
        stage: str,
        function: Callable[[Sequence[Item]], Iterable[Mapping[str, Any]]],
        *,
        batch_size: int = 1,
        workers: int = 1,
        limit: int | None = None,
        clear_cache: str | None = None,
    ) -> None:
        """Process the queued items of a stage, sorted by id.

        Args:
            function: takes a batch of items and yields outcomes (see `put`), each saved in a
                transaction of its own. Items without an outcome stay queued.
            workers: threads.
            limit: maximum number of items.
            clear_cache: service whose cached responses are deleted after each batch.

        Raises:
            ItemError: the last of `MAX_CONSECUTIVE_FAILURES` failures of a service in a row; these
                items are queued again.
            Exception: raised by `function`.
        """
        states = self.counts(stage)
        total, queued = sum(states.values()), states["wanted"]
        hidden = not (self.progress and queued)
        batches = self._batches(stage, ("wanted",), batch_size, limit)
        failed_in_a_row: list[str] = []
        lock, stopped = threading.Lock(), threading.Event()

        def save(outcomes: Mapping[str, Any]) -> None:
            errors = {n: o for n, o in outcomes.items() if isinstance(o, ItemError)}
            failed = [name for name, error in errors.items() if error.is_service_failure]
            with lock:  # a slower thread must not save failures after the items are requeued
                failed_in_a_row[:] = [*failed_in_a_row, *failed] if failed else []
                if len(failed_in_a_row) >= MAX_CONSECUTIVE_FAILURES:
                    self.requeue(stage, failed_in_a_row)
                    raise errors[failed[-1]]
                self.put(stage, outcomes)
            bar.update(len(outcomes))

        def run() -> None:
            try:
                while not stopped.is_set():
                    with lock:
                        items = next(batches, None)
                    if items is None:
                        return
                    for outcomes in function(items):
                        save(outcomes)
                        if stopped.is_set():
                            return
                    if clear_cache is not None:
                        self.remove(f"recalled {clear_cache}")
            except BaseException:
                stopped.set()
                raise

        with (
            tqdm(total=total, initial=total - queued, desc=stage, disable=hidden) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                for done in as_completed([pool.submit(run) for _ in range(workers)]):
                    done.result()
            except KeyboardInterrupt:
                logger.warning("stopping after the requests in flight")
                raise
            finally:
                stopped.set()

    def _batches(
        self, stage: str, states: Sequence[str], size: int, limit: int | None = None
    ) -> Iterator[list[Item]]:
        """Read items lazily, including those added in the meantime."""
        query, last, n_read = f"{_COLUMNS} state {_IN_LIST} AND id > ? ORDER BY id LIMIT ?", "", 0
        while limit is None or n_read < limit:
            if not (rows := self._rows(query, stage, _json(states), last, size)):
                return
            last, n_read = rows[-1][0], n_read + len(rows)
            yield [*map(_item, rows)]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._open() as connection:
            return connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open a short-lived connection, as connections survive neither threads nor forks."""
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT, isolation_level=None)
            with contextlib.closing(connection):
                yield connection
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit on success, roll back on error."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")  # avoids deadlocks between writers
            yield connection  # closing without COMMIT rolls back
            connection.execute("COMMIT")

    def _unusable(self, error: Exception) -> StoreError:
        text = str(error)
        advice = {
            "malformed|not a database": "move it away; downloaded files are reused",
            "full|disk I/O": "free disk space and run again; nothing is lost",
            "locked": "another process holds it: wait for it to finish, then run again",
            "": "use a writable work folder",
        }
        way_out = next(words for pattern, words in advice.items() if re.search(pattern, text))
        return StoreError(f"store {self.path}: {text}; {way_out}")


def _json(values: Iterable[str]) -> str:
    return json.dumps([*values])


def _row(outcome: Any) -> tuple[str, str | None, Any]:
    if isinstance(outcome, Absent):
        return "absent", outcome.reason, None
    if isinstance(outcome, ItemError):
        return "failed", str(outcome), None
    return "got", None, outcome if isinstance(outcome, bytes) else json.dumps(outcome)


def _item(row: Sequence[Any]) -> Item:
    name, state, reason, payload, result = row
    result = json.loads(result) if isinstance(result, str) else result
    return Item(name, state, reason, json.loads(payload), result)
