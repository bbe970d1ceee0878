"""Work queue of a build: one SQLite file that survives being killed.

Every item ends as got, absent or failed; none is forgotten. Several processes of one machine work
on one file.

Each process holds a lock that the system itself frees when the process dies, so that its claims
return at once and no clock is involved.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hf_specclip.errors import SpecCLIPError

from .database import Database

FORMAT_VERSION = 1
STATES = ("wanted", "claimed", "got", "absent", "failed")
# Values in one SQL statement; builds of SQLite allow 999 at the least.
_AT_ONCE = 400
_SCHEMA = """
CREATE TABLE items (
    stage TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('wanted', 'claimed', 'got', 'absent', 'failed')),
    why TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    payload TEXT NOT NULL,
    result TEXT,
    PRIMARY KEY (stage, id)
) WITHOUT ROWID;
CREATE INDEX items_by_state ON items (stage, state);
"""


class QueueError(SpecCLIPError, RuntimeError):
    """A queue file that cannot be used; the message names it and the way out."""


@dataclass(frozen=True)
class Item:
    """An item of work.

    Attributes:
        stage: which kind of work it is.
        id: its name, unique in the stage.
        state: one of `STATES`.
        why: for absent and failed ones, the reason.
        attempts: how often it was taken on.
        payload: what is needed to do it.
        result: what came of it, None until got.
    """

    stage: str
    id: str
    state: str
    why: str | None
    attempts: int
    payload: Any
    result: Any


class WorkQueue:
    """Items to fetch or make, stage by stage, and their results.

    Args:
        path: the SQLite file; made where it is absent.

    Raises:
        QueueError: when the file is damaged, from a newer version or cannot be written; so do all
            methods.

    Examples:
        >>> queue = WorkQueue(folder / "queue.sqlite")  # doctest: +SKIP
        >>> queue.add("spectra", {"1575.1.85": {"name": "2CXO J1"}})  # doctest: +SKIP
        >>> for item in queue.claim("spectra", 10):  # doctest: +SKIP
        ...     queue.finish("spectra", {item.id: fetch(item)})
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._owner: str | None = None
        self._presence: FileLock | None = None
        self._announcing = threading.Lock()
        self._database = Database(
            self.path,
            _SCHEMA,
            FORMAT_VERSION,
            error=QueueError,
            name="work queue",
            damaged="move it away; the next run finds on disk what was already fetched",
        )

    def __enter__(self) -> WorkQueue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all claimed items. Left out, the end of the process does the same."""
        if self._presence is None:
            return
        with self._database.writing() as connection:
            self._return_claims(connection, [self._owner])
        self._presence.release()
        Path(self._presence.lock_file).unlink(missing_ok=True)
        self._presence, self._owner = None, None

    def add(self, stage: str, items: Mapping[str, Any]) -> int:
        """Add items; those already there stay as they are.

        Args:
            stage: kind of work.
            items: id -> what is needed to do it (JSON).

        Returns:
            How many were new.
        """
        rows = [(stage, name, json.dumps(payload)) for name, payload in items.items()]
        with self._database.writing() as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO items (stage, id, state, payload) "
                "VALUES (?, ?, 'wanted', ?)",
                rows,
            )
            return connection.total_changes - before

    def claim(self, stage: str, n: int = 1) -> list[Item]:
        """Claim up to `n` wanted items, in the order of their ids; no other process gets them.

        What dead processes had claimed is wanted again.
        """
        owner = self._announce()
        with self._database.writing() as connection:
            self._return_claims(connection, self._dead_owners(connection))
            rows = connection.execute(
                "SELECT id FROM items WHERE stage = ? AND state = 'wanted' ORDER BY id LIMIT ?",
                (stage, n),
            ).fetchall()
            connection.executemany(
                "UPDATE items SET state = 'claimed', owner = ?, attempts = attempts + 1 "
                "WHERE stage = ? AND id = ?",
                [(owner, stage, name) for (name,) in rows],
            )
            return self._select(connection, stage, [name for (name,) in rows])

    def finish(
        self,
        stage: str,
        got: Mapping[str, Any] | None = None,
        *,
        absent: Mapping[str, str] | None = None,
        failed: Mapping[str, str] | None = None,
    ) -> None:
        """Record the outcome of claimed items, all of them in one commit.

        Args:
            stage: kind of work.
            got: id -> result (JSON).
            absent: id -> why there is no such thing.
            failed: id -> what went wrong.

        Raises:
            QueueError: for an id that this process has not claimed (nothing is written then).
        """
        rows: list[tuple[str, str | None, str | None, str]] = []
        rows += [("got", None, json.dumps(value), name) for name, value in (got or {}).items()]
        rows += [("absent", why, None, name) for name, why in (absent or {}).items()]
        rows += [("failed", why, None, name) for name, why in (failed or {}).items()]
        with self._database.writing() as connection:
            for state, why, result, name in rows:
                changed = connection.execute(
                    "UPDATE items SET state = ?, why = ?, result = ?, owner = NULL "
                    "WHERE stage = ? AND id = ? AND state = 'claimed' AND owner = ?",
                    (state, why, result, stage, name, self._owner),
                ).rowcount
                if changed != 1:
                    raise QueueError(f"{stage} {name!r} was not claimed by this process")

    def release(self, stage: str, ids: Iterable[str]) -> None:
        """Release claimed items, to be claimed again."""
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE items SET state = 'wanted', owner = NULL "
                "WHERE stage = ? AND id = ? AND owner = ?",
                [(stage, name, self._owner) for name in ids],
            )

    @contextlib.contextmanager
    def held(self, items: Sequence[Item]) -> Iterator[None]:
        """Release those of some claimed items that the block has not finished, also on errors."""
        try:
            yield
        finally:
            self.release(items[0].stage, [item.id for item in items])

    def retry(self, stage: str, states: Sequence[str] = ("failed",)) -> int:
        """Want items of these states again; return how many."""
        marks = ",".join("?" * len(states))
        with self._database.writing() as connection:
            return connection.execute(
                "UPDATE items SET state = 'wanted', why = NULL, owner = NULL "
                f"WHERE stage = ? AND state IN ({marks})",
                (stage, *states),
            ).rowcount

    def remove(self, stage: str, ids: Iterable[str]) -> None:
        """Delete items that no process has claimed."""
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM items WHERE stage = ? AND id = ? AND state != 'claimed'",
                [(stage, name) for name in ids],
            )

    def put(self, stage: str, results: Mapping[str, Any]) -> None:
        """Store results that came along with others; items already got or claimed stay."""
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO items (stage, id, state, payload, result) "
                "VALUES (?, ?, 'got', '{}', ?) ON CONFLICT (stage, id) DO UPDATE SET "
                "state = 'got', why = NULL, result = excluded.result "
                "WHERE items.state NOT IN ('got', 'claimed')",
                [(stage, name, json.dumps(value)) for name, value in results.items()],
            )

    def again(self, stage: str, ids: Iterable[str]) -> None:
        """Want ended items again."""
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE items SET state = 'wanted', why = NULL, result = NULL "
                "WHERE stage = ? AND id = ? AND state != 'claimed'",
                [(stage, name) for name in ids],
            )

    def total(self, stage: str, key: str) -> tuple[int, float]:
        """Count the items got, and sum a number in their results."""
        with self._database.reading() as connection:
            n, total = connection.execute(
                "SELECT count(*), total(json_extract(result, ?)) FROM items "
                "WHERE stage = ? AND state = 'got'",
                (f"$.{key}", stage),
            ).fetchone()
        return int(n), float(total)

    def counts(self, stage: str) -> dict[str, int]:
        """Count the items in each state, zeros included."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT state, count(*) FROM items WHERE stage = ? GROUP BY state", (stage,)
            ).fetchall()
        return {**dict.fromkeys(STATES, 0), **dict(found)}

    def items(self, stage: str, states: Sequence[str] = STATES) -> Iterator[Item]:
        """Yield items in the order of their ids."""
        marks = ",".join("?" * len(states))
        last = ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(
                    f"{_COLUMNS} WHERE stage = ? AND state IN ({marks}) AND id > ? "
                    "ORDER BY id LIMIT ?",
                    (stage, *states, last, _AT_ONCE),
                ).fetchall()
            if not rows:
                return
            yield from map(_item, rows)
            last = rows[-1][1]

    def results(self, stage: str, ids: Iterable[str]) -> dict[str, Any]:
        """Return the results of those of these items that were got."""
        with self._database.reading() as connection:
            items = self._select(connection, stage, list(dict.fromkeys(ids)))
        return {item.id: item.result for item in items if item.state == "got"}

    # -- who works

    def _announce(self) -> str:
        """Take the lock that says this process lives."""
        with self._announcing:
            if self._owner is None:
                owner = f"{os.getpid()}-{secrets.token_hex(6)}"
                # Taken by one thread and given back by another.
                lock = FileLock(self._lock_of(owner), thread_local=False)
                try:
                    lock.acquire(timeout=0)
                except (OSError, NotImplementedError) as error:
                    raise QueueError(
                        f"{self.path.parent} lies on a file system without locks ({error}): put "
                        "the work folder on another"
                    ) from None
                self._owner, self._presence = owner, lock
            return self._owner

    def _lock_of(self, owner: str) -> Path:
        folder = self.path.with_name(f"{self.path.name}.workers")
        folder.mkdir(exist_ok=True)
        return folder / f"{owner}.lock"

    def _dead_owners(self, connection: sqlite3.Connection) -> list[str]:
        dead = []
        query = "SELECT DISTINCT owner FROM items WHERE state = 'claimed'"
        for (owner,) in connection.execute(query).fetchall():
            if owner == self._owner:
                continue
            path = self._lock_of(owner)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            lock.release()
            path.unlink(missing_ok=True)
            dead.append(owner)
        return dead

    def _return_claims(self, connection: sqlite3.Connection, owners: Iterable[str | None]) -> None:
        connection.executemany(
            "UPDATE items SET state = 'wanted', owner = NULL WHERE owner = ?",
            [(owner,) for owner in owners],
        )

    # -- the file

    def _select(self, connection: sqlite3.Connection, stage: str, ids: list[str]) -> list[Item]:
        found = []
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = connection.execute(
                f"{_COLUMNS} WHERE stage = ? AND id IN ({marks}) ORDER BY id", (stage, *part)
            )
            found += [_item(row) for row in rows]
        return found


_COLUMNS = "SELECT stage, id, state, why, attempts, payload, result FROM items"


def _item(row: Sequence[Any]) -> Item:
    stage, name, state, why, attempts, payload, result = row
    return Item(
        stage,
        name,
        state,
        why,
        attempts,
        json.loads(payload),
        None if result is None else json.loads(result),
    )


__all__ = ["STATES", "Item", "QueueError", "WorkQueue"]
