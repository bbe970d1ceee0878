"""Runs of the training commands, each in a process of its own; some are killed on the way.

    python chain.py '[{"command": "reproduce", "arguments": [...], "kill": ["align", 5]}, …]'

prints the exit codes as JSON (below 0 for a signal). The runs share the seconds of the imports.
`kill` names a stage and the step whose batch is never finished; where the command trains a stage
several times, a third entry says in which of them.
"""

import importlib
import json
import os
import signal
import sys
import traceback

from specclip_training.engine import commands
from specclip_training.stages import alignment, pretraining

TASKS = {"align": alignment.AlignTask, "spectrum": pretraining.SpectrumTask}


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


def each(runs: list[dict]) -> list[int]:
    # Imported at the first use, by whoever comes first: once here saves it in every run.
    for name in ("torch._dynamo", "tensorboard", "matplotlib.figure", "datasets"):
        importlib.import_module(name)
    codes = []
    for run in runs:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if "kill" in run:
                    kill_at(*run["kill"])
                module = importlib.import_module(f"specclip_training.{run['command']}")
                sys.argv = [f"training/{run['command']}.py", *run["arguments"]]
                code = commands.call(module.main, module.options().parse_args(run["arguments"]))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return codes


if __name__ == "__main__":
    print(json.dumps(each(json.loads(sys.argv[1]))))
