"""SQLite transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit the writes of the block, or roll them back after an error.

    Args:
        connection: one without transactions of its own (`isolation_level=None`).
    """
    # IMMEDIATE takes the write lock at once: two writers cannot wait for each other.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


__all__ = ["transaction"]
