"""Runs in forked processes, which share the seconds that the imports take."""

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# Imported by the libraries at their first use, which takes longer than a whole test run.
LATE_IMPORTS = (
    "torch._dynamo", "tensorboard", "matplotlib.figure", "datasets", "sentence_transformers"
)  # fmt: skip
_LONGEST_SECONDS = 600


def run_apart(function: Callable[[], int | None], folder: Path) -> tuple[int, str, str]:
    """Run a function in a process of its own, with `folder` as its working directory.

    Args:
        function: gives the exit code; None for 0.
        folder: takes what the process prints.

    Returns:
        Exit code, output and errors.
    """
    for name in LATE_IMPORTS:
        importlib.import_module(name)

    def apart() -> int | None:
        signal.alarm(_LONGEST_SECONDS)
        os.environ["ACCELERATE_USE_CPU"] = "1"
        os.chdir(folder)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            stream = (folder / f"{name}.txt").open("w", buffering=1)
            os.dup2(stream.fileno(), descriptor)
            setattr(sys, name, stream)
        _forget_this_process()
        return function()

    [code] = run_forked(apart)
    output, errors = ((folder / f"{name}.txt").read_text() for name in ("stdout", "stderr"))
    return code, output, errors


def _forget_this_process() -> None:
    """Leave the threads and the accelerator of the process that was forked behind."""
    import torch
    from accelerate.state import AcceleratorState, GradientState

    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
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
