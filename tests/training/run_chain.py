"""Runs of the training commands, each in a process of its own; some are killed on the way.

A run has a `command` and its `arguments`. `kill` names a stage and the step whose batch is never
finished. `processes` starts several, as accelerate does.
"""

import importlib
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import torch
from forks import run_apart, run_forked

from hf_specclip import SpecCLIPIndex, SpecCLIPProcessor
from hf_specclip.evaluation import evaluate_retrieval
from specclip_training.engine import commands
from specclip_training.stages import alignment, pretraining

ENVIRONMENT = {
    **os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
}  # fmt: skip
TASKS = {"align": alignment.AlignTask, "spectrum": pretraining.SpectrumTask}


def arguments(preset, dataset, output, *sets: str, extra: tuple = ()) -> list[str]:
    """Return the command-line arguments of a run; `sets` are settings of its preset."""
    settings = [word for change in sets for word in ("--set", change)]
    paths = ["--config", preset, "--dataset", dataset, "--output", output]
    return [str(word) for word in (*paths, *settings, *extra)]


def retrieval_of(model, folder: Path, pairs, split: str) -> dict:
    """Measure retrieval by a saved model with the gallery and the processor beside it."""
    gallery = SpecCLIPIndex.load(folder / "gallery")
    extractor = SpecCLIPProcessor.from_pretrained(folder).feature_extractor
    rows = pairs.splits[split]
    with torch.no_grad():
        inputs = extractor(rows.spectra(slice(None)), return_tensors="pt")
        spectra = model.get_spectrum_features(**inputs).pooler_output
    known, owner = pairs.texts_of(split)
    texts = gallery.embeddings[known]
    return evaluate_retrieval(spectra, texts, owner, rows.groups, n_bootstrap=50)


def run_plan(plan: dict[str, dict], root: Path) -> None:
    """Run commands one after the other; leave `record.json` in `root`."""
    for run in plan.values():
        importlib.import_module(f"specclip_training.{run['command']}")

    def work() -> None:
        codes = {name: _run(run) for name, run in plan.items()}
        (root / "codes.json").write_text(json.dumps(codes))

    code, output, errors = run_apart(work, root)
    assert code == 0, errors[-4000:]
    codes = json.loads((root / "codes.json").read_text())
    record = {"codes": codes, "output": output, "errors": errors}
    (root / "record.json").write_text(json.dumps(record))


def read_record(root: Path) -> tuple[dict[str, int], str, str]:
    """Return exit codes by name, output and errors."""
    return tuple(json.loads((root / "record.json").read_text()).values())


def _run(run: dict) -> int:
    """Return the exit code of the last process to fail, else 0."""
    codes = run_forked(partial(_command, run), run.get("processes", 1))
    return next((code for code in codes if code), 0)


def _command(run: dict) -> int:
    if "kill" in run:
        _kill_at(*run["kill"])
    module = importlib.import_module(f"specclip_training.{run['command']}")
    sys.argv = [f"training/{run['command']}.py", *run["arguments"]]
    return commands.call(module.main, module.options().parse_args(run["arguments"]))


def _kill_at(stage: str, step: int) -> None:
    task = TASKS[stage]
    real = task.batch

    def batch(self, rows, draws):
        if draws.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, rows, draws)

    task.batch = batch
