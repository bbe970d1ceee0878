"""The one training loop: both stages, any number of processes, resumable to the bit.

All randomness is stateless: it is drawn anew at each step from (seed, stage, step) and, for a row's
own draws, the row's place in the step's batch. So nothing random has to be kept in a checkpoint,
the batch of a step is the same on one process as on eight, and a run that was killed goes on as if
it had not been.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from specclip_training.engine.checkpoint import CheckpointFolder, TrainingState
from specclip_training.engine.presets import StageSettings
from specclip_training.engine.sharding import (
    gather_optimizer,
    is_sharded,
    like,
    load_full,
    load_full_optimizer,
    sharded_copy,
    whole,
)
from tqdm.auto import tqdm

from hf_specclip.errors import SpecCLIPError

# What the draws are for: streams of one (seed, stage, step) that never meet.
_EPOCH, _PROCESS, _ROW = range(3)
# The cosine ends here, as a share of the highest rate.
FINAL_RATE = 0.01


class TrainingError(SpecCLIPError, RuntimeError):
    """Training cannot go on; the message says why and what to change."""


class Draws:
    """The random numbers of one step: a generator for each row of its batch.

    Args:
        seed: of the run, at least 0.
        stage: name of the stage.
        step: counted from 0.
        first: place, in the step's whole batch, of the first row of this process.
    """

    def __init__(self, seed: int, stage: str, step: int, first: int = 0):
        self._key = [seed, zlib.crc32(stage.encode())]
        self.step = step
        self._first = first

    def row(self, place: int, use: int = 0) -> np.random.Generator:
        """The generator of this process' row `place`; the same on any number of processes.

        Each `use` has numbers of its own, so that one augmentation never shifts another's.
        """
        return self._generator(self._first + place, _ROW + use)

    def permutation(self, n: int, part: int = 0) -> np.ndarray:
        """A permutation of n rows; give the epoch as `step`. Each `part` has one of its own."""
        return self._generator(part, _EPOCH).permutation(n)

    def torch_seed(self, process: int) -> int:
        """A seed for dropout inside the model: its own for each process."""
        return int(self._generator(process, _PROCESS).integers(2**62))

    def _generator(self, place: int, purpose: int) -> np.random.Generator:
        # Philox counts upwards from the lowest word, so other words name streams of their own.
        return np.random.Generator(
            np.random.Philox(key=self._key, counter=[0, place, self.step, purpose])
        )


class Order(Protocol):
    """Which rows make up the batch of a step; the same on any number of processes."""

    def rows(self, step: int, size: int) -> np.ndarray:
        """Row numbers (size,) of the batch of a step (from 0), of which each process takes a part
        side by side."""


class Shuffled:
    """Every epoch is a permutation of all rows.

    The rows left over at its end wait for another: a contrastive loss over a smaller batch is
    another loss.

    Args:
        seed: of the run.
        stage: name of the stage.
        n_rows: rows in all.
    """

    def __init__(self, seed: int, stage: str, n_rows: int):
        self._seed, self._stage, self._n = seed, stage, n_rows
        self._epoch, self._rows = -1, np.empty(0, dtype=np.int64)

    def rows(self, step: int, size: int) -> np.ndarray:
        """See `Order.rows`."""
        epoch, place = divmod(step, self._n // size)
        if epoch != self._epoch:
            draws = Draws(self._seed, self._stage, epoch)
            self._epoch, self._rows = epoch, draws.permutation(self._n)
        return self._rows[place * size : (place + 1) * size]


class Task(Protocol):
    """What one stage brings to the loop.

    Attributes:
        stage: its name, part of every seed.
        model: what is trained and checkpointed.
        n_rows: rows to train on.
        global_loss: whether the loss of `module` is over the batch of all processes together (a
            contrastive loss); else it is the mean over this process' rows.
        criterion: the key of `validate`'s answer that picks the best weights; recall is better
            when larger, everything else when smaller.
    """

    stage: str
    model: torch.nn.Module
    n_rows: int
    global_loss: bool
    criterion: str

    def order(self, seed: int) -> Order:
        """Which rows make up each batch: `Shuffled`, or one that suits where the rows lie."""

    def module(self) -> torch.nn.Module:
        """A module over the model's parameters whose forward takes a batch and gives the loss."""

    def lr_scale(self, name: str) -> float:
        """Learning rate of a parameter of `model`, as a share of the preset's."""

    def batch(self, rows: np.ndarray, draws: Draws) -> dict[str, torch.Tensor]:
        """The inputs of these rows, augmented by `draws`; called from another thread."""

    def validate(self, accelerator: Accelerator) -> dict[str, float]:
        """Figures over `validation`; every process gives the same."""


@dataclass
class FitResult:
    """What a stage came to.

    Attributes:
        steps: steps taken.
        best_step: the step whose weights the model now has.
        best: the criterion there; None when no step was taken.
        seconds: time spent, over all resumed runs.
        history: one entry for each look at `validation`: `step`, `epoch`, `train_loss`, and the
            figures of `Task.validate`.
    """

    steps: int = 0
    best_step: int = 0
    best: float | None = None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def fit(
    accelerator: Accelerator,
    task: Task,
    settings: StageSettings,
    *,
    seed: int,
    checkpoints: CheckpointFolder,
    max_steps: int | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a stage, from its newest checkpoint where there is one, and leave its best weights.

    Args:
        accelerator: decides devices, processes and precision.
        task: model, batches and validation.
        settings: of the stage.
        seed: of the run.
        checkpoints: where they are kept.
        max_steps: stop after so many, for a smoke test.
        progress: show a bar on the main process.

    Raises:
        CheckpointError: for a checkpoint of another run.
        TrainingError: for too few rows, or a loss that is not finite.
    """
    batch_size, per_epoch = batch_plan(task.n_rows, settings.batch_size, accelerator.num_processes)
    total = settings.steps if max_steps is None else min(settings.steps, max_steps)
    if total == 0:
        return FitResult()

    # What is cut into parts can no longer be validated or saved: a copy is.
    sharded = is_sharded(accelerator)
    trained = sharded_copy(task) if sharded else task
    optimizer = _optimizer(trained, settings)
    module, optimizer = accelerator.prepare(trained.module(), optimizer)
    if sharded:
        task.model.to(accelerator.device)
    result, best_weights = FitResult(), {}
    average = WeightAverage(trained.model, settings.ema)
    finished, running = False, _RunningLoss(accelerator)
    if accelerator.is_main_process:
        checkpoints.clear_partial()
    accelerator.wait_for_everyone()
    if state := checkpoints.latest():
        load_full(trained.model, state.tensors["model"])
        load_full_optimizer(optimizer, state.tensors["optimizer"])
        best_weights = state.tensors.get("best", {})
        average.restore(state.tensors.get("average", {}))
        result = FitResult(**state.values["result"])
        finished = state.values["finished"]
        running.total, running.count = state.values["running"]
        before = state.values["processes"]
        if before != accelerator.num_processes and accelerator.is_main_process:
            warnings.warn(
                f"{task.stage} goes on with {accelerator.num_processes} process(es) after "
                f"{before}: as good, but not equal to the last bit to a run that was never stopped",
                RuntimeWarning,
                stacklevel=2,
            )

    part = process_slice(batch_size, accelerator.process_index, accelerator.num_processes)
    # Gradients are averaged over processes: a mean over more rows has to count for more.
    weight = (part.stop - part.start) * accelerator.num_processes / batch_size
    order = task.order(seed)

    def prepare(step: int) -> dict[str, torch.Tensor]:
        rows = order.rows(step, batch_size)[part]
        return task.batch(rows, Draws(seed, task.stage, step, part.start))

    bar = tqdm(
        total=total,
        initial=result.steps,
        desc=task.stage,
        unit="step",
        disable=not (progress and accelerator.is_main_process),
    )
    started, spent = time.monotonic(), result.seconds
    module.train()
    # The next batch is made while the model works on this one.
    with bar, _other_processes(accelerator, task.stage), ThreadPoolExecutor(max_workers=1) as ahead:
        waiting = None if finished else ahead.submit(prepare, result.steps)
        while not finished:
            step = result.steps
            inputs = waiting.result()
            if step + 1 < total:
                waiting = ahead.submit(prepare, step + 1)
            rate = settings.lr * learning_rate_at(step, total, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate"]
            torch.manual_seed(Draws(seed, task.stage, step).torch_seed(accelerator.process_index))
            loss = module(**{k: v.to(accelerator.device) for k, v in inputs.items()})
            if not task.global_loss:
                loss = loss * weight
            accelerator.backward(loss)
            if settings.clip_norm is not None:
                accelerator.clip_grad_norm_(module.parameters(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            running.add(loss)
            average.update(step)
            result.steps = step = step + 1
            bar.update()

            last = step == total
            if last or step % settings.validate_every == 0:
                entry = {"step": step, "epoch": step / per_epoch, "train_loss": running.mean(step)}
                average.swap()
                looked_at = whole(trained.model.state_dict())
                if sharded:
                    load_full(task.model, looked_at)
                task.model.eval()
                with torch.no_grad(), accelerator.autocast():
                    entry |= task.validate(accelerator)
                task.model.train()
                result.history.append(entry)
                value = entry[task.criterion]
                if not math.isfinite(value):
                    raise _diverged(f"{task.criterion} on validation", step, settings)
                if result.best is None or better(value, result.best, task.criterion):
                    result.best, result.best_step = value, step
                    best_weights = {
                        name: tensor.detach().to("cpu", copy=True)
                        for name, tensor in looked_at.items()
                    }
                average.swap()
                _log(accelerator, task.stage, entry, rate)
                bar.set_postfix(
                    {"loss": f"{entry['train_loss']:.4g}", task.criterion: f"{value:.4g}"}
                )
                last = last or _patience_is_over(result, settings)
            if last or step % settings.checkpoint_every == 0:
                running.collect(step)
                result.seconds = spent + time.monotonic() - started
                groups = {
                    "model": whole(trained.model.state_dict()),
                    "optimizer": gather_optimizer(optimizer),
                    "best": best_weights,
                    "average": whole(average.weights),
                }
                if accelerator.is_main_process:
                    groups = {name: tensors for name, tensors in groups.items() if tensors}
                    checkpoints.save(
                        TrainingState(
                            step,
                            groups,
                            {
                                "result": result.to_dict(),
                                "running": [running.total, running.count],
                                "finished": last,
                                "processes": accelerator.num_processes,
                            },
                        )
                    )
            finished = last
    load_full(task.model, best_weights)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return result


def batch_plan(n_rows: int, batch_size: int, processes: int) -> tuple[int, int]:
    """Rows of a step over all processes together, and steps of an epoch.

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


def process_slice(size: int, process: int, processes: int) -> slice:
    """The rows of a batch that fall to a process."""
    return slice(process * size // processes, (process + 1) * size // processes)


def learning_rate_at(step: int, total: int, settings: StageSettings) -> float:
    """Learning rate of a step (from 0) as a share of the highest."""
    warmup = round(settings.warmup_fraction * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def better(value: float, best: float, criterion: str) -> bool:
    """Whether a value of a criterion beats the best one; a tie does not."""
    return value > best if criterion.startswith("recall") else value < best


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
    parts = [function(rows[at : at + batch_size]) for at in range(0, share, batch_size)]
    values = torch.cat(parts)
    if values.dtype.is_floating_point:
        values = values.float()
    return accelerator.gather(values)[:n_rows].cpu()


class WeightAverage:
    """A running mean of a model's weights over the steps, which measures better than the last step.

    Args:
        model: whose trained parameters are averaged.
        decay: share of the old mean that a step leaves, 0 for no averaging. The first steps leave
            less, so that where the weights came from is soon forgotten.
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self._decay = decay
        self._live = {
            name: parameter
            for name, parameter in model.named_parameters()
            if decay > 0.0 and parameter.requires_grad
        }
        self.weights = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after a step (counted from 0) into the mean."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._live.items():
            # A model may have gone to its device since.
            self.weights[name] = self.weights[name].to(parameter.device).lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Change places: the mean becomes the model's weights, and back."""
        for name, parameter in self._live.items():
            kept = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name] = kept

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        """Go on from a checkpoint."""
        if self._live:
            self.weights = {
                name: like(weights[name], live).clone() for name, live in self._live.items()
            }


class _RunningLoss:
    """Mean loss since the last look at validation, over all processes."""

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._waiting: list[torch.Tensor] = []
        self.total, self.count = 0.0, 0

    def add(self, loss: torch.Tensor) -> None:
        # Kept on the device: reading it at every step would make the CPU wait for it.
        self._waiting.append(loss.detach().float())

    def collect(self, step: int) -> None:
        """Take what waits into the mean; all processes together."""
        if not self._waiting:
            return
        mean = self._accelerator.reduce(torch.stack(self._waiting).mean(), reduction="mean").item()
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is no longer finite by step {step}: lower the learning rate, clip the "
                "gradient (clip_norm) or look for a row that is not finite"
            )
        self.total += mean * len(self._waiting)
        self.count += len(self._waiting)
        self._waiting.clear()

    def mean(self, step: int) -> float:
        """The mean, and start again."""
        self.collect(step)
        mean = self.total / max(1, self.count)
        self.total, self.count = 0.0, 0
        return mean


def _optimizer(task: Task, settings: StageSettings) -> torch.optim.Optimizer:
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        if parameter.requires_grad:
            # Decay is for weights that multiply; it would pull norms and the logit scale off.
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((task.lr_scale(name), decay), []).append(parameter)
    if not groups:
        raise TrainingError(f"{task.stage}: the model has nothing left to train")
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [
            {"params": parameters, "rate": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        lr=settings.lr,
    )


@contextlib.contextmanager
def _other_processes(accelerator: Accelerator, stage: str) -> Iterator[None]:
    """Says what it means when a collective fails: another process is gone."""
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


def _patience_is_over(result: FitResult, settings: StageSettings) -> bool:
    if settings.patience is None:
        return False
    since = sum(1 for entry in result.history if entry["step"] > result.best_step)
    return since >= settings.patience


def _diverged(what: str, step: int, settings: StageSettings) -> TrainingError:
    return TrainingError(
        f"{what} is not finite at step {step}: lower the learning rate (now {settings.lr:g}) or "
        "clip the gradient (clip_norm)"
    )


def _log(accelerator: Accelerator, stage: str, entry: dict[str, float], rate: float) -> None:
    values = {f"{stage}/{name}": value for name, value in entry.items() if name != "step"}
    accelerator.log({**values, f"{stage}/lr": rate}, step=int(entry["step"]))


def metric_history(
    history: Iterable[dict[str, float]], name: str
) -> tuple[list[float], list[float]]:
    """Steps and values of one figure of a history, for a curve."""
    pairs = [(entry["step"], entry[name]) for entry in history if name in entry]
    return [step for step, _ in pairs], [value for _, value in pairs]


__all__ = [
    "Draws",
    "FitResult",
    "Order",
    "Shuffled",
    "Task",
    "TrainingError",
    "WeightAverage",
    "batch_plan",
    "better",
    "fit",
    "learning_rate_at",
    "map_rows",
    "metric_history",
    "process_slice",
]
