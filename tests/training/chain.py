"""Runs of the training commands, each in a process of its own; some are killed on the way.

    python chain.py '[{"command": "reproduce", "arguments": [...], "kill": ["align", 5]}, …]'

prints the exit codes as JSON (below 0 for a signal). `kill` names a stage and the step whose batch
is never finished; where the command trains a stage several times, a third entry says in which of
them. `processes` starts several, as accelerate does.
"""

import importlib
import json
import os
import signal
import sys
from functools import partial

from forks import import_everything, run_forked

from specclip_training.engine import commands
from specclip_training.stages import alignment, pretraining

TASKS = {"align": alignment.AlignTask, "spectrum": pretraining.SpectrumTask}
COMMANDS = ("align", "pretrain_spectrum", "reproduce", "sweep")


def kill_at(stage: str, step: int, times: int = 1) -> None:
    task = TASKS[stage]
    real, seen = task.batch, []

    def batch(self, rows, draws):
        if draws.step == step:
            seen.append(step)
        if len(seen) == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, rows, draws)

    task.batch = batch


def run_command(run: dict) -> int:
    if "kill" in run:
        kill_at(*run["kill"])
    module = importlib.import_module(f"specclip_training.{run['command']}")
    sys.argv = [f"training/{run['command']}.py", *run["arguments"]]
    return commands.call(module.main, module.options().parse_args(run["arguments"]))


def run_each(runs: list[dict]) -> list[int]:
    """Run one after the other; the exit code of each is that of its last process to fail."""
    for name in COMMANDS:
        importlib.import_module(f"specclip_training.{name}")
    import_everything()
    codes = [run_forked(partial(run_command, run), run.get("processes", 1)) for run in runs]
    return [next((code for code in found if code), 0) for found in codes]


if __name__ == "__main__":
    print(json.dumps(run_each(json.loads(sys.argv[1]))))
