"""Forked processes that tests can kill."""

import multiprocessing
import os
import sys
from collections.abc import Callable


def fork_worker(work: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    """Return a forked process that calls `work`, with its output as `stdout`.

    SQLite connections must not be open: they do not survive a fork.
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
