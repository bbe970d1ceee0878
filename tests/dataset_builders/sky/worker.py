"""Processes that run a piece of the builders, to be killed."""

import multiprocessing
import os
import sys
from collections.abc import Callable


def fork_worker(work: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    """A forked process that calls `work`; what it prints can be read from its `stdout`.

    Not for a database that is open here: SQLite connections do not survive a fork.
    """
    reader, writer = os.pipe()

    def run() -> None:
        sys.stdout = os.fdopen(writer, "w", buffering=1)
        work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    os.close(writer)
    process.stdout = os.fdopen(reader)
    return process
