"""A small regression task for the loop, and a training of it that may kill its own process."""

import dataclasses
import itertools
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from specclip_training.engine.checkpoint import CheckpointFolder
from specclip_training.engine.draws import Shuffled
from specclip_training.engine.loop import TrainingError, fit, map_rows
from specclip_training.engine.presets import StageSettings

SETTINGS = StageSettings(
    steps=20, validate_every=5, batch_size=8, lr=0.05, optimizer="adamw", weight_decay=0.01,
    schedule="cosine", warmup_fraction=0.2, clip_norm=0.5, checkpoint_every=3, ema=0.7,
)  # fmt: skip


class Toy:
    """Least squares through a small network; `dropout` makes the model itself draw numbers."""

    stage, criterion, n_rows, global_loss = "toy", "loss", 43, False

    def __init__(self, dropout: float = 0.0):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(5, 16),
            torch.nn.Tanh(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(16, 1),
        )
        random = np.random.default_rng(0)
        self.x = random.normal(size=(self.n_rows, 5)).astype(np.float32)
        self.y = self.x.sum(axis=1, keepdims=True) ** 2 / 5
        self.seen = []

    def module(self):
        toy = self

        class Loss(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = toy.model

            def forward(self, x, y):
                return (self.inner(x) - y).square().mean()

        return Loss()

    def order(self, seed):
        return Shuffled(seed, self.stage, self.n_rows)

    def lr_scale(self, name):
        return 0.5 if name.startswith("0.") else 1.0

    def batch(self, rows, draws):
        self.seen.append(rows.tolist())
        noise = np.stack([draws.row(i).normal(size=5) for i in range(len(rows))])
        x = self.x[rows] + 0.01 * noise.astype(np.float32)
        return {"x": torch.from_numpy(x), "y": torch.from_numpy(self.y[rows])}

    def validate(self, accelerator):
        def loss(rows):
            x = torch.from_numpy(self.x[rows])
            return (self.model(x) - torch.from_numpy(self.y[rows])).square()[:, 0]

        return {"loss": map_rows(accelerator, loss, self.n_rows, batch_size=7).mean().item()}


def train(
    folder: Path, kill_at_step=None, kill_process=0, kill_in_write=None, batch_size=8, dropout=0.0
) -> None:
    """Train; leave `weights.safetensors` and `summary.json` in the folder.

    Args:
        kill_at_step: step in which the process of the number `kill_process` ends.
        kill_in_write: number of calls that force a file to disk before the process ends.
    """
    folder.mkdir(exist_ok=True)
    accelerator, task = Accelerator(cpu=True), Toy(dropout)
    real_batch, real_fsync, written = task.batch, os.fsync, itertools.count()

    def batch(rows, draws):
        if draws.step == kill_at_step and accelerator.process_index == kill_process:
            os.kill(os.getpid(), signal.SIGKILL)
        return real_batch(rows, draws)

    def fsync(descriptor):
        if next(written) == kill_in_write:
            os.kill(os.getpid(), signal.SIGKILL)
        real_fsync(descriptor)

    task.batch, os.fsync = batch, fsync
    checkpoints = CheckpointFolder(folder / "ckpt", {"seed": 0})
    settings = dataclasses.replace(SETTINGS, batch_size=batch_size)
    try:
        result = fit(accelerator, task, settings, seed=0, checkpoints=checkpoints, progress=False)
    except TrainingError as error:  # as specclip_training.engine.commands.call shows it
        print(f"[process {accelerator.process_index}] error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    if accelerator.is_main_process:
        save_file(task.model.state_dict(), folder / "weights.safetensors")
        summary = {"steps": result.steps, "history": result.history, "taken_here": len(task.seen)}
        summary["processes"] = accelerator.num_processes
        (folder / "summary.json").write_text(json.dumps(summary))
    accelerator.wait_for_everyone()
    accelerator.end_training()
