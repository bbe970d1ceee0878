"""Store of a build: items of work, their results and the answers of services in one SQLite file.

Every item ends as got, absent or failed; none is forgotten. A commit is complete or absent,
whatever kills the process, and a build that is started again takes up the items that are still
wanted. The file keeps its rollback journal: the write-ahead log is unsafe on the network file
systems where home folders of clusters live.
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
# So many failures of a service one after another are taken for a service that is down.
LOST = 3
_AT_ONCE = 400  # items read together
_BUSY_SECONDS = 120.0
_SCHEMA = """CREATE TABLE items (
    stage TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, why TEXT, payload TEXT NOT NULL,
    result, PRIMARY KEY (stage, id)) WITHOUT ROWID"""
_COLUMNS = "SELECT id, state, why, payload, result FROM items WHERE stage = ? AND"
_AMONG = "IN (SELECT value FROM json_each(?))"


class StoreError(SpecCLIPError, RuntimeError):
    """A store that cannot be used; the message names the file and the way out."""


class WorkError(SpecCLIPError, RuntimeError):
    """Failure of an item of work, which is also the item's outcome."""

    blames_service = True  # False where the item itself is at fault
    stops = False  # True where the other items would fare no better


@dataclass(frozen=True)
class Absent:
    """Outcome of an item that does not exist, with the reason."""

    why: str


@dataclass(frozen=True)
class Item:
    """An item of work."""

    id: str  # unique in the stage
    state: str  # one of `STATES`
    why: str | None  # the reason, where it is absent or failed
    payload: Any  # input of the work (JSON)
    result: Any  # outcome (JSON or bytes), None until got


def outcome(make: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `make` returns, or the `WorkError` that it raises and that stops no other."""
    try:
        return make(*arguments)
    except WorkError as error:
        if error.stops:
            raise
        return error


class Store:
    """Items to fetch or make, stage by stage, and their results.

    Args:
        folder: of the build; the file is made where it is absent.
        progress: show a bar over each stage.

    Raises:
        StoreError: (also by the methods) when the file is damaged, of another version or cannot
            be written.
    """

    def __init__(self, folder: str | Path, *, progress: bool = False) -> None:
        self.path = Path(folder) / FILE
        self.progress = progress
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise self._unusable(problem) from None
        with self._writing() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.execute(_SCHEMA)
                connection.execute("CREATE INDEX items_by_state ON items (stage, state)")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            stored = connection.execute("PRAGMA user_version").fetchone()[0]
        if stored != FORMAT_VERSION:
            raise StoreError(
                f"{self.path} has format {stored}, this version writes {FORMAT_VERSION}: name "
                "another work folder"
            )

    @contextlib.contextmanager
    def alone(self, stages: Iterable[str]) -> Iterator[None]:
        """Keep other processes out of stages; the system ends the locks with the process.

        Raises:
            StoreError: when another process is at work on one of them.
        """
        with contextlib.ExitStack() as locks:
            for stage in sorted(set(stages)):
                try:
                    lock = FileLock(self.path.with_name(f"{stage}.lock"), timeout=0)
                    locks.enter_context(lock)
                except Timeout:
                    raise StoreError(
                        f"another process works on {stage} in {self.path.parent}: a service's rate "
                        "is for all of one user's processes; wait, or name other --stages"
                    ) from None
            yield

    # -- items

    def add(self, stage: str, items: Mapping[str, Any]) -> None:
        """Want items: id -> payload (JSON); those there stay, unless their payload has changed."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO items VALUES (?, ?, 'wanted', NULL, ?, NULL) ON CONFLICT DO UPDATE "
                "SET state = 'wanted', why = NULL, payload = excluded.payload, result = NULL "
                "WHERE payload != excluded.payload",
                [(stage, name, json.dumps(payload)) for name, payload in items.items()],
            )

    def put(self, stage: str, outcomes: Mapping[str, Any], *, replace: bool = True) -> None:
        """Record outcomes in one commit: id -> result (JSON or bytes), `Absent` or `WorkError`."""
        update = "UPDATE SET state = excluded.state, why = excluded.why, result = excluded.result"
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, '{}', ?) ON CONFLICT DO "
                + (update if replace else "NOTHING"),
                [(stage, name, *_row(outcome)) for name, outcome in outcomes.items()],
            )

    def want_again(self, stage: str, ids: Iterable[str] | None = None) -> None:
        """Want items again: those named, or all that failed."""
        where, value = ("state = ?", "failed") if ids is None else (f"id {_AMONG}", _json(ids))
        query = f"UPDATE items SET state = 'wanted', why = NULL WHERE stage = ? AND {where}"
        with self._writing() as connection:
            connection.execute(query, (stage, value))

    def remove(self, stage: str) -> None:
        """Delete the items of a stage."""
        with self._writing() as connection:
            connection.execute("DELETE FROM items WHERE stage = ?", (stage,))

    def counts(self, stage: str) -> dict[str, int]:
        """Count the items in each state, zeros included."""
        query = "SELECT state, count(*) FROM items WHERE stage = ? GROUP BY state"
        return {**dict.fromkeys(STATES, 0), **dict(self._rows(query, stage))}

    def sums(self, stage: str, *keys: str) -> list[float]:
        """Count the items got and sum numbers of their results: [count, sum, …]."""
        columns = ["count(*)", *(f"total(json_extract(result, '$.{key}'))" for key in keys)]
        query = f"SELECT {', '.join(columns)} FROM items WHERE stage = ? AND state = 'got'"
        return [float(value) for value in self._rows(query, stage)[0]]

    def items(self, stage: str, states: Sequence[str] = STATES) -> Iterator[Item]:
        """Yield items in the order of their ids."""
        return (item for portion in self._portions(stage, states, _AT_ONCE) for item in portion)

    def got(self, stage: str) -> Iterator[tuple[str, Any]]:
        """Yield id and result of the items got, in the order of their ids."""
        return ((item.id, item.result) for item in self.items(stage, ("got",)))

    def ids(self, stage: str, *states: str) -> set[str]:
        """Return the ids of the items in some states, by default of those got."""
        query = f"SELECT id FROM items WHERE stage = ? AND state {_AMONG}"
        return {name for (name,) in self._rows(query, stage, _json(states or ("got",)))}

    def results(self, stage: str, ids: Iterable[str]) -> dict[str, Any]:
        """Return the results of those of these items that were got."""
        rows = self._rows(f"{_COLUMNS} state = 'got' AND id {_AMONG}", stage, _json(ids))
        return {item.id: item.result for item in map(_item, rows)}

    def recall(self, whose: str, question: Any, ask: Callable[[], Any]) -> Any:
        """Return the answer to a question (JSON), asked once until `work` has finished its items.

        An item may take several questions: killed after the third, a build asks the fourth next.
        Of two processes that ask at once, both get the answer that was stored first.
        """
        text = json.dumps(question, sort_keys=True)
        stage, key = f"recalled {whose}", hashlib.sha256(text.encode()).hexdigest()
        if key not in (found := self.results(stage, [key])):
            self.put(stage, {key: ask()}, replace=False)
            found = self.results(stage, [key])
        return found[key]

    # -- work

    def each(self, stage: str, make: Callable[[Item], Any], **settings: Any) -> None:
        """Work on the wanted items of a stage one by one; settings are those of `work`.

        Args:
            make: returns the outcome of an item, or raises the `WorkError` that is its outcome.
        """
        self.work(stage, lambda items: ({i.id: outcome(make, i)} for i in items), **settings)

    def work(
        self,
        stage: str,
        do: Callable[[Sequence[Item]], Iterable[Mapping[str, Any]]],
        *,
        at_once: int = 1,
        workers: int = 1,
        most: int | None = None,
        recalls: str | None = None,
    ) -> None:
        """Work on the wanted items of a stage, in the order of their ids.

        Args:
            do: takes items and yields outcomes as `put` takes them; each yield is one commit.
                Items without an outcome stay wanted.
            at_once: items handed out together.
            most: items to take, or None for all.
            recalls: whose recalled answers are dropped when items are finished.

        Raises:
            Exception: whatever `do` raises, and the error of the service that failed `LOST` times
                in a row; those items are wanted again. Outcomes under way are put first.
        """
        states = self.counts(stage)
        total, wanted = sum(states.values()), states["wanted"]
        hidden = not (self.progress and wanted)
        portions = self._portions(stage, ("wanted",), at_once, most)
        streak: list[str] = []
        lock, stopped = threading.Lock(), threading.Event()

        def put(outcomes: Mapping[str, Any]) -> None:
            failures = {n: o for n, o in outcomes.items() if isinstance(o, WorkError)}
            troubles = [name for name, error in failures.items() if error.blames_service]
            with lock:  # what a slower thread puts must not follow the end of a streak
                streak[:] = [*streak, *troubles] if troubles else []
                if len(streak) >= LOST:
                    self.want_again(stage, streak)
                    raise failures[troubles[-1]]
                self.put(stage, outcomes)
            bar.update(len(outcomes))

        def run() -> None:
            try:
                while not stopped.is_set():
                    with lock:
                        items = next(portions, None)
                    if items is None:
                        return
                    for outcomes in do(items):
                        put(outcomes)
                        if stopped.is_set():
                            return
                    if recalls is not None:
                        self.remove(f"recalled {recalls}")
            except BaseException:
                stopped.set()  # each further question would be asked in vain
                raise

        with (
            tqdm(total=total, initial=total - wanted, desc=stage, disable=hidden) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                for done in as_completed([pool.submit(run) for _ in range(workers)]):
                    done.result()
            except KeyboardInterrupt:
                logger.warning("stopping after the requests under way")
                raise
            finally:
                stopped.set()

    # -- the file

    def _portions(
        self, stage: str, states: Sequence[str], n: int, most: int | None = None
    ) -> Iterator[list[Item]]:
        """Read items as they are needed, those that were added meanwhile, too."""
        query, last, taken = f"{_COLUMNS} state {_AMONG} AND id > ? ORDER BY id LIMIT ?", "", 0
        while most is None or taken < most:
            if not (rows := self._rows(query, stage, _json(states), last, n)):
                return
            last, taken = rows[-1][0], taken + len(rows)
            yield [*map(_item, rows)]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._open() as connection:
            return connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a moment: a connection may cross neither threads nor forks."""
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            with contextlib.closing(connection):
                yield connection
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Commit the writes of the block, or roll them back after an error."""
        with self._open() as connection:
            # IMMEDIATE takes the write lock at once: two writers cannot wait for each other.
            connection.execute("BEGIN IMMEDIATE")
            yield connection  # an error closes the connection, which rolls back
            connection.execute("COMMIT")

    def _unusable(self, error: Exception) -> StoreError:
        text = str(error)
        ways = {
            "malformed|not a database": "move it away; files that were fetched are found again",
            "full|disk I/O": "make room on the disk and run again; nothing is lost",
            "locked": "another process holds it: wait for that one, then run again",
            "": "name a work folder that you may write to",
        }
        way = next(way for words, way in ways.items() if re.search(words, text))
        return StoreError(f"store {self.path}: {text}; {way}")


def _json(values: Iterable[str]) -> str:
    return json.dumps([*values])


def _row(outcome: Any) -> tuple[str, str | None, Any]:
    if isinstance(outcome, Absent):
        return "absent", outcome.why, None
    if isinstance(outcome, WorkError):
        return "failed", str(outcome), None
    return "got", None, outcome if isinstance(outcome, bytes) else json.dumps(outcome)


def _item(row: Sequence[Any]) -> Item:
    name, state, why, payload, result = row
    result = json.loads(result) if isinstance(result, str) else result
    return Item(name, state, why, json.loads(payload), result)
