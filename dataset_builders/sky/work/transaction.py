"""All of some writes to an SQLite file, or none of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what is written within, or take it back where an error ends it.

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
