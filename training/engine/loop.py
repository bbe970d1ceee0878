"""Training loop of both stages, on any number of processes and resumable to the bit.

Random numbers follow from the seed and the step alone (`specclip_training.engine.draws`). The
schedule and the mean of the weights are functions of the step, too, and need no state of their own.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import remove_partial
from specclip_training.engine.checkpoint import CheckpointFolder, TrainingState
from specclip_training.engine.draws import Draws, Order, process_slice
from specclip_training.engine.presets import StageSettings
from specclip_training.engine.sharding import (
    gather_optimizer,
    gather_tensors,
    is_sharded,
    load_full,
    load_full_optimizer,
    sharded_copy,
)
from specclip_training.engine.weight_average import WeightAverage

# The cosine ends here, as a share of the highest rate.
FINAL_RATE = 0.01


class TrainingError(SpecCLIPError, RuntimeError):
    """Training that cannot go on; the message says why and what to change."""


class Task(Protocol):
    """Model, batches and validation of one stage.

    Attributes:
        stage: its name, part of every seed.
        pairs: the dataset; a task without one gives its own `order`.
        model: trained and checkpointed.
        n_rows: rows to train on.
        global_loss: the loss of `module` is over the batch of all processes together (a
            contrastive loss); else it is the mean over this process' rows.
        criterion: figure of `validate` that picks the best weights; recall is better when larger,
            everything else when smaller.
    """

    stage: str
    pairs: Any
    model: torch.nn.Module
    n_rows: int
    global_loss: bool
    criterion: str

    def order(self, seed: int) -> Order:
        """Return the order of the rows."""
        return self.pairs.splits["train"].order(seed, self.stage)

    def module(self) -> torch.nn.Module:
        """Return a module over the model's parameters that maps a batch to its loss."""

    def lr_scale(self, name: str) -> float:
        """Return the learning rate of a parameter of `model`, as a share of the preset's."""
        return 1.0

    def batch(self, rows: np.ndarray, draws: Draws) -> dict[str, torch.Tensor]:
        """Return the inputs of these rows, augmented by `draws`; called from another thread."""

    def validate(self, accelerator: Accelerator) -> dict[str, float]:
        """Return figures over `validation`, the same on every process."""


@dataclass
class FitResult:
    """Result of a stage.

    Attributes:
        steps: steps taken.
        best_step: the step whose weights the model now has.
        best: the criterion there; None when no step was taken.
        seconds: time spent, over all resumed runs.
        history: one entry for each validation: `step`, `epoch`, `train_loss`, and the figures of
            `Task.validate`.
    """

    steps: int = 0
    best_step: int = 0
    best: float | None = None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def record(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of finished work, which `read_record` reads."""
        return {"identity": identity, "result": asdict(self)}


def fit(
    accelerator: Accelerator,
    task: Task,
    settings: StageSettings,
    *,
    seed: int,
    checkpoints: CheckpointFolder,
    max_steps: int | None = None,
    progress: bool = True,
    trained: bool = False,
) -> FitResult:
    """Train a stage, from its newest checkpoint if there is one, and load its best weights.

    Args:
        accelerator: decides devices, processes and precision.
        task: model, batches and validation.
        settings: of the stage.
        seed: of the run.
        checkpoints: folder they are kept in.
        max_steps: stop after so many, for a smoke test.
        progress: show a bar on the main process.
        trained: the model is one already: it is validated before the first step, and its weights
            are kept where no step makes them better.

    Raises:
        CheckpointError: for a checkpoint of another run.
        TrainingError: for too few rows, or a loss that is not finite.
    """
    training = _Training(accelerator, task, settings, seed, checkpoints, max_steps)
    if training.total == 0:
        return FitResult()
    training.prepare()
    training.resume()
    if trained and not training.result.history:
        training.validate()
    with _explain_lost_process(accelerator, task.stage):
        training.run(progress)
    load_full(task.model, training.best_weights)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return training.result


@dataclass
class _Training:
    """Training of one stage in progress; for the arguments see `fit`."""

    accelerator: Accelerator
    task: Task
    settings: StageSettings
    seed: int
    checkpoints: CheckpointFolder
    max_steps: int | None

    def __post_init__(self) -> None:
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        plan = batch_plan(self.task.n_rows, self.settings.batch_size, processes)
        self.batch_size, self.steps_per_epoch = plan
        limit = self.settings.steps if self.max_steps is None else self.max_steps
        self.total = min(self.settings.steps, limit)
        self.own_rows = process_slice(self.batch_size, process, processes)
        self.order = self.task.order(self.seed)
        self.result, self.finished = FitResult(), False
        self.best_weights: dict[str, torch.Tensor] = {}
        self.train_loss = _RunningLoss(self.accelerator)
        self.rate = 0.0

    def prepare(self) -> None:
        """Make the optimizer, and place the model on its device."""
        # A sharded model can be neither validated nor saved, so a copy is sharded.
        self.sharded = is_sharded(self.accelerator)
        trained = sharded_copy(self.task) if self.sharded else self.task
        optimizer = _optimizer(trained, self.settings)
        self.module, self.optimizer = self.accelerator.prepare(trained.module(), optimizer)
        if self.sharded:
            self.task.model.to(self.accelerator.device)
        self.model = trained.model
        self.average = WeightAverage(self.model, self.settings.ema)

    def resume(self) -> None:
        """Continue from the newest checkpoint, if there is one."""
        if self.accelerator.is_main_process:
            remove_partial(self.checkpoints.folder)
        self.accelerator.wait_for_everyone()
        state = self.checkpoints.latest()
        if state is None:
            return
        load_full(self.model, state.tensors["model"])
        load_full_optimizer(self.optimizer, state.tensors["optimizer"])
        self.best_weights = state.tensors.get("best", {})
        self.average.restore(state.tensors.get("average", {}))
        self.result = FitResult(**state.values["result"])
        self.finished = state.values["finished"]
        self.train_loss.total, self.train_loss.count = state.values["running"]
        before, now = state.values["processes"], self.accelerator.num_processes
        if before != now and self.accelerator.is_main_process:
            warnings.warn(
                f"{self.task.stage} goes on with {now} process(es) after {before}: as good, but "
                "not equal to the last bit to a run that was never stopped",
                RuntimeWarning,
                stacklevel=3,
            )

    def run(self, progress: bool) -> None:
        """Take the steps that are left."""
        result, settings = self.result, self.settings
        bar = tqdm(
            total=self.total, initial=result.steps, desc=self.task.stage, unit="step",
            disable=not (progress and self.accelerator.is_main_process),
        )  # fmt: skip
        started, seconds_before = time.monotonic(), result.seconds
        self.module.train()
        # The next batch is made while the model works on this one.
        with bar, ThreadPoolExecutor(max_workers=1) as thread:
            batch = None if self.finished else thread.submit(self.batch, result.steps)
            while not self.finished:
                inputs = batch.result()
                if result.steps + 1 < self.total:
                    batch = thread.submit(self.batch, result.steps + 1)
                self.step(inputs)
                bar.update()
                last = result.steps == self.total
                if last or result.steps % settings.validate_every == 0:
                    self.validate()
                    shown = [("loss", "train_loss"), (self.task.criterion, self.task.criterion)]
                    bar.set_postfix({n: f"{result.history[-1][key]:.4g}" for n, key in shown})
                    worse = sum(entry["step"] > result.best_step for entry in result.history)
                    last = last or worse >= (settings.patience or math.inf)
                if last or result.steps % settings.checkpoint_every == 0:
                    self.train_loss.collect(result.steps)
                    result.seconds = seconds_before + time.monotonic() - started
                    self.save(finished=last)
                self.finished = last

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """Return this process' part of the batch of a step."""
        rows = self.order.rows(step, self.batch_size)[self.own_rows]
        draws = Draws(self.seed, self.task.stage, step, self.own_rows.start)
        return self.task.batch(rows, draws)

    def step(self, inputs: dict[str, torch.Tensor]) -> None:
        """Take one step of the optimizer."""
        accelerator, settings, step = self.accelerator, self.settings, self.result.steps
        self.rate = settings.lr * learning_rate_at(step, self.total, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * group["rate"]
        draws = Draws(self.seed, self.task.stage, step)
        torch.manual_seed(draws.torch_seed(accelerator.process_index))
        loss = self.module(**{k: v.to(accelerator.device) for k, v in inputs.items()})
        if not self.task.global_loss:
            # Gradients are averaged over processes: a mean over more rows has to count for more.
            n_rows = self.own_rows.stop - self.own_rows.start
            loss = loss * (n_rows * accelerator.num_processes / self.batch_size)
        accelerator.backward(loss)
        if settings.clip_norm is not None:
            accelerator.clip_grad_norm_(self.module.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.train_loss.add(loss)
        self.average.update(step)
        self.result.steps += 1

    def validate(self) -> None:
        """Measure the model on `validation`, and keep its weights where they are the best."""
        task, result, step = self.task, self.result, self.result.steps
        entry = {"step": step, "epoch": step / self.steps_per_epoch}
        if step:
            entry["train_loss"] = self.train_loss.mean(step)
        self.average.swap()
        weights = gather_tensors(self.model.state_dict())
        if self.sharded:
            load_full(task.model, weights)
        task.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            entry |= task.validate(self.accelerator)
        task.model.train()
        result.history.append(entry)
        value = entry[task.criterion]
        if not math.isfinite(value):
            raise TrainingError(
                f"{task.criterion} on validation is not finite at step {step}: lower the learning "
                f"rate (now {self.settings.lr:g}) or clip the gradient (clip_norm)"
            )
        if result.best is None or is_better(value, result.best, task.criterion):
            result.best, result.best_step = value, step
            self.best_weights = {
                name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()
            }
        self.average.swap()
        figures = {f"{task.stage}/{name}": entry[name] for name in entry if name != "step"}
        self.accelerator.log({**figures, f"{task.stage}/lr": self.rate}, step=step)

    def save(self, finished: bool) -> None:
        """Write a checkpoint; all processes must call."""
        groups = {
            "model": gather_tensors(self.model.state_dict()),
            "optimizer": gather_optimizer(self.optimizer),
            "best": self.best_weights,
            "average": gather_tensors(self.average.weights),
        }
        values = {
            "result": asdict(self.result),
            "running": [self.train_loss.total, self.train_loss.count],
            "finished": finished,
            "processes": self.accelerator.num_processes,
        }
        if self.accelerator.is_main_process:
            tensors = {name: group for name, group in groups.items() if group}
            self.checkpoints.save(TrainingState(self.result.steps, tensors, values))


def batch_plan(n_rows: int, batch_size: int, processes: int) -> tuple[int, int]:
    """Return the rows of a step over all processes together, and the steps of an epoch.

    Both are the same on any number of processes: where it does not divide a batch, the parts of
    the processes differ by a row (`process_slice`).

    Raises:
        TrainingError: when there are too few rows for the processes.
    """
    size = min(batch_size, n_rows)
    if size // processes < 2:
        raise TrainingError(
            f"{n_rows} rows in batches of {batch_size} are too few for {processes} processes: a "
            "process needs two rows or more. Use fewer processes, larger batches or more rows"
        )
    return size, n_rows // size


def learning_rate_at(step: int, total: int, settings: StageSettings) -> float:
    """Return the learning rate of a step (from 0) as a share of the highest."""
    warmup = round(settings.warmup_fraction * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def is_better(value: float, best: float, criterion: str) -> bool:
    """Return True if a value of a criterion beats the best one; a tie does not."""
    return value > best if "recall" in criterion else value < best


def map_rows(
    accelerator: Accelerator,
    function: Callable[[np.ndarray], torch.Tensor],
    n_rows: int,
    batch_size: int = 512,
) -> torch.Tensor:
    """Apply a function to batches of row numbers, shared over the processes.

    Args:
        function: row numbers (b,) -> tensor (b, …).
        n_rows: rows 0 to n_rows − 1, at least one.
        batch_size: rows at once.

    Returns:
        Tensor (n_rows, …) in float32 (or the integer type given) on the CPU, on every process.
    """
    processes = accelerator.num_processes
    share = -(-n_rows // processes)
    # All processes hold equally many rows, so the last one repeats row 0 where it has too few.
    rows = np.arange(accelerator.process_index * share, (accelerator.process_index + 1) * share)
    rows[rows >= n_rows] = 0
    values = torch.cat([function(rows[i : i + batch_size]) for i in range(0, share, batch_size)])
    if values.dtype.is_floating_point:
        values = values.float()
    return accelerator.gather(values)[:n_rows].cpu()


class _RunningLoss:
    """Mean training loss since the last validation, over all processes."""

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._pending: list[torch.Tensor] = []
        self.total, self.count = 0.0, 0

    def add(self, loss: torch.Tensor) -> None:
        # Kept on the device: reading it at every step would make the CPU wait for it.
        self._pending.append(loss.detach().float())

    def collect(self, step: int) -> None:
        """Add the pending losses to the mean; all processes together."""
        if not self._pending:
            return
        mean = self._accelerator.reduce(torch.stack(self._pending).mean(), reduction="mean").item()
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is no longer finite by step {step}: lower the learning rate, clip the "
                "gradient (clip_norm) or look for a row that is not finite"
            )
        self.total += mean * len(self._pending)
        self.count += len(self._pending)
        self._pending.clear()

    def mean(self, step: int) -> float:
        """Return the mean and reset it."""
        self.collect(step)
        mean = self.total / max(1, self.count)
        self.total, self.count = 0.0, 0
        return mean


def _optimizer(task: Task, settings: StageSettings) -> torch.optim.Optimizer:
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        if parameter.requires_grad:
            # Decay is for matrices; it would pull norms and the logit scale off.
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((task.lr_scale(name), decay), []).append(parameter)
    if not groups:
        raise TrainingError(f"{task.stage}: the model has nothing left to train")
    optimizer = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    named = [{"params": parameters, "rate": rate, "weight_decay": decay}
             for (rate, decay), parameters in groups.items()]  # fmt: skip
    return optimizer(named, lr=settings.lr)


@contextlib.contextmanager
def _explain_lost_process(accelerator: Accelerator, stage: str) -> Iterator[None]:
    """Turn the failure of a collective into the news that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
        if accelerator.num_processes < 2 or not lost:
            raise
        raise TrainingError(
            f"{stage}: another of the {accelerator.num_processes} processes has ended (killed, out "
            "of memory, or an error of its own above). Give the same command again: it goes on "
            "from the last checkpoint"
        ) from error
