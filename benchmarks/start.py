"""Start-up time of the command line, and training throughput by processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from .side_by_side import ROOT, Comparison, compare, run_python


def cold_start(small: bool = False) -> Iterator[Comparison]:
    """`specclip --help` from nothing, beside what Python and numpy take themselves."""

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True
        )

    yield compare(
        "cold start",
        (1, "starts"),
        {
            "specclip --help": run("-m", "hf_specclip.cli.main", "--help"),
            "python alone": run("-c", "pass"),
            "import numpy": run("-c", "import numpy"),
        },
        1 if small else 7,
    )


def processes(small: bool = False) -> Iterator[Comparison]:
    """Training steps of the default encoder on one process and two, one thread each."""
    steps, batch = (2, 8) if small else (8, 256)
    measured: dict[str, dict[str, float]] = {}
    for count in (1, 2):
        options = f"--num_processes {count} --num_machines 1 --mixed_precision no"
        options += " --dynamo_backend no --main_process_port 0 --num_cpu_threads_per_process 1"
        options += " --multi_gpu" if count > 1 else ""
        program = [str(ROOT / "benchmarks" / "step.py"), str(steps), str(batch)]
        measured[f"{count} process{'es' if count > 1 else ''}"] = run_python(
            *("-m", "accelerate.commands.launch", *options.split(), *program),
            ACCELERATE_USE_CPU="1",
            OMP_NUM_THREADS="1",
        )
    yield Comparison(
        f"training steps, batch of {batch}, default encoder",
        (dict.fromkeys(measured, batch), "pairs"),
        {name: facts["seconds"] for name, facts in measured.items()},
        {name: facts["cpu_seconds"] for name, facts in measured.items()},
        {name: facts["peak_mib"] for name, facts in measured.items()},
    )
