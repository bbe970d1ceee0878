"""Processes that run a piece of the builders, to be killed."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# `specclip_datasets` imports `datasets`, seconds that each of these processes need not wait for: a
# bare package of the same name lets its modules be imported alone.
HEAD = f"""
import sys
import types
package = types.ModuleType("specclip_datasets")
package.__path__ = [{str(ROOT / "dataset_builders")!r}]
sys.modules["specclip_datasets"] = package
"""


def start_worker(code: str) -> subprocess.Popen:
    """A process that runs `code`; what it prints can be read from `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


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
