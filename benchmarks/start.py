"""How long a command takes to say anything, and training throughput by processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .side_by_side import Comparison, compare

ROOT = Path(__file__).resolve().parents[1]


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
    found: dict[str, dict[str, float]] = {}
    for count in (1, 2):
        command = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--num_processes",
            str(count),
        ]
        command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        command += ["--main_process_port", "0", "--num_cpu_threads_per_process", "1"]
        command += ["--multi_gpu"] if count > 1 else []
        command += [str(ROOT / "benchmarks" / "step.py"), str(steps), str(batch)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        found[f"{count} process{'es' if count > 1 else ''}"] = json.loads(
            done.stdout.splitlines()[-1]
        )
    yield Comparison(
        f"training steps, batch of {batch}, default encoder",
        (dict.fromkeys(found, batch), "pairs"),
        {name: facts["seconds"] for name, facts in found.items()},
        {name: facts["cpu_seconds"] for name, facts in found.items()},
        {name: facts["peak_mib"] for name, facts in found.items()},
    )
