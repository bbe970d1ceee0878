"""SQLite file that several processes of one machine read and write.

It keeps its rollback journal: the write-ahead log is unsafe on the network file systems where home
folders of clusters live. A commit is complete or absent, whatever kills the process.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

# Longest wait for another process's commit, which takes milliseconds.
_BUSY_SECONDS = 120.0


class Database:
    """An SQLite file with a version.

    Args:
        path: the file; made where it is absent.
        schema: SQL of an empty file.
        version: of the schema.
        error: raised by all methods where the file cannot be used.
        name: of the file, for messages.
        damaged: advice for a damaged file.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        *,
        error: type[Exception],
        name: str,
        damaged: str,
    ) -> None:
        self.path = path
        self._error = error
        self._name = name
        self._damaged = damaged
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise self._unusable(problem) from None
        with self.writing() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in schema.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version}")
            stored = connection.execute("PRAGMA user_version").fetchone()[0]
        if stored != version:
            raise error(
                f"{path} has format {stored}, this version writes {version}: name another work "
                "folder"
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a moment: a connection may cross neither threads nor forks."""
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from None
        finally:
            connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Commit the writes of the block, or roll them back after an error."""
        with self.reading() as connection:
            # IMMEDIATE takes the write lock at once: two writers cannot wait for each other.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back itself
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _unusable(self, error: Exception) -> Exception:
        text = str(error)
        if "malformed" in text or "not a database" in text:
            way = self._damaged
        elif "full" in text or "disk I/O" in text:
            way = "make room on the disk and run again; nothing is lost"
        elif "locked" in text:
            way = "another process holds it: wait for that one, then run again"
        else:
            way = "name a work folder that you may write to"
        return self._error(f"{self._name} {self.path}: {text}; {way}")


__all__ = ["Database"]
