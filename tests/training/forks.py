"""Runs in forked processes, which share the seconds that the imports take."""

import gc
import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable

# Imported by the libraries at their first use, which takes longer than a whole test run.
LATE_IMPORTS = (
    "torch._dynamo", "tensorboard", "matplotlib.figure", "datasets", "sentence_transformers"
)  # fmt: skip


def import_everything() -> None:
    """Import before forking, and take all that is there out of garbage collection."""
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run_forked(function: Callable[[], int | None], processes: int = 1) -> list[int]:
    """Run a function in forked processes, as a group of torch where there are several.

    Args:
        function: gives the exit code; None for 0. 1 where it raises.
        processes: their number.

    Returns:
        Exit code of each; below 0 for the signal that ended it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                os.environ |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                    "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                }  # fmt: skip
            code: int | None = 1
            try:
                code = function()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
