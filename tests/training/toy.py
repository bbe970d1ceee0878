"""A small regression task for the loop, and a program that trains it and may kill itself.

It leaves `weights.safetensors` and `summary.json` in its folder.
"""

import argparse
import dataclasses
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


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill-at-step", type=int)
    parser.add_argument("--kill-process", type=int, default=0)
    parser.add_argument("--kill-in-write", type=int)
    parser.add_argument("--batch-size", type=int, default=SETTINGS.batch_size)
    parser.add_argument("--dropout", type=float, default=0.0)
    options = parser.parse_args(arguments)
    options.folder.mkdir(exist_ok=True)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    accelerator, killed = Accelerator(cpu=True), options.kill_process
    task = Toy(options.dropout)
    if options.kill_at_step is not None:
        real_batch = task.batch

        def batch(rows, draws):
            if draws.step == options.kill_at_step and accelerator.process_index == killed:
                die()
            return real_batch(rows, draws)

        task.batch = batch
    if options.kill_in_write is not None:
        left, real_fsync = options.kill_in_write, os.fsync

        def fsync(descriptor):
            nonlocal left
            left -= 1
            if left < 0:
                die()
            real_fsync(descriptor)

        os.fsync = fsync
    folder = CheckpointFolder(options.folder / "ckpt", {"seed": 0})
    settings = dataclasses.replace(SETTINGS, batch_size=options.batch_size)
    try:
        result = fit(accelerator, task, settings, seed=0, checkpoints=folder, progress=False)
    except TrainingError as error:  # as specclip_training.engine.commands.call shows it
        print(f"[process {accelerator.process_index}] error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    if accelerator.is_main_process:
        save_file(task.model.state_dict(), options.folder / "weights.safetensors")
        summary = {
            "processes": accelerator.num_processes,
            "steps": result.steps,
            "history": result.history,
            "taken_here": len(task.seen),
        }
        (options.folder / "summary.json").write_text(json.dumps(summary))
    accelerator.wait_for_everyone()
    accelerator.end_training()
