"""Training loop: the same weights after any kill and on any number of processes."""

import dataclasses
import json
import shutil
import signal
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from accelerate import Accelerator
from build_once import build_once
from forks import run_apart, run_forked
from safetensors.torch import load_file
from toy import SETTINGS, Toy

from specclip_training.engine.checkpoint import CheckpointFolder
from specclip_training.engine.draws import Draws, process_slice
from specclip_training.engine.loop import (
    TrainingError,
    batch_plan,
    fit,
    is_better,
    learning_rate_at,
    map_rows,
)
from specclip_training.engine.presets import StageSettings
from specclip_training.engine.weight_average import WeightAverage

KILLED = -signal.SIGKILL
# Checkpoints come after steps 3, 6, …; looks at validation, and new epochs, after 5, 10, …
KILL_STEPS = (7, 19)
# Counted in calls that force a file or folder to disk: inside the first checkpoint, between its
# files and its rename, and inside later ones.
KILL_WRITES = (0, 5, 14)


def result_of(folder: Path):
    summary = json.loads((folder / "summary.json").read_text())
    return summary, load_file(folder / "weights.safetensors")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder of uninterrupted runs, and of runs that were killed and started again, by name."""
    return build_once(tmp_path_factory, "toy", make_runs)


def make_runs(root: Path) -> None:
    plan, expected = [], []

    def run(name, processes=1, code=0, **options):
        # Nine rows in a batch of two processes: four for one, five for the other.
        options |= {"dropout": 0.3} if processes == 1 else {"batch_size": 9}
        plan.append((partial(toy.train, root / name, **options), processes))
        expected.append(code)

    run("whole")
    kills = {f"step-{n}": {"kill_at_step": n} for n in KILL_STEPS}
    kills |= {f"write-{n}": {"kill_in_write": n} for n in KILL_WRITES}
    for name, kill in kills.items():
        run(name, code=KILLED, **kill)
        run(name)
    run("two", processes=2)
    # The first process reports that the second one was killed.
    for name in ("two-killed", "two-resumed"):
        run(name, processes=2, code=2, kill_at_step=7, kill_process=1)
    run("two-resumed", processes=2)

    def work() -> None:
        codes = [run_forked(program, processes) for program, processes in plan]
        found = [next((code for code in each if code), 0) for each in codes]
        assert found == expected, found

    code, _, errors = run_apart(work, root)
    assert code == 0, errors


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    "name", [*(f"step-{n}" for n in KILL_STEPS), *(f"write-{n}" for n in KILL_WRITES)]
)
def test_killed_anywhere_a_rerun_ends_with_the_same_weights(runs, name):
    summary, weights = result_of(runs / name)
    whole, same = result_of(runs / "whole")
    assert_same(weights, same)
    assert summary["history"] == whole["history"]
    assert not list((runs / name / "ckpt").glob(".partial-*"))


def test_a_rerun_goes_on_from_the_checkpoint(runs):
    # Killed before step 19 was taken, with a checkpoint after 18: two of 20 are left.
    assert result_of(runs / "step-19")[0]["taken_here"] == 2


def test_a_finished_run_takes_no_step_again(tmp_path):
    train(tmp_path)
    task, result = train(tmp_path)
    assert task.seen == []
    assert result.steps == 20


def test_two_processes_train_as_one_does(runs, tmp_path):
    shared, weights = result_of(runs / "two")
    assert shared["processes"] == 2
    settings = dataclasses.replace(SETTINGS, batch_size=9)
    task, alone = train(tmp_path, settings=settings)
    assert shared["steps"] == alone.steps == 20
    for name, value in task.model.state_dict().items():
        assert torch.allclose(value, weights[name], atol=1e-5), name
    for one, two in zip(alone.history, shared["history"], strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-5)
        assert one["train_loss"] == pytest.approx(two["train_loss"], abs=1e-5)


def test_a_killed_process_ends_the_run_with_an_explanation(runs):
    errors = (runs / "stderr.txt").read_text()
    assert "[process 0] error: toy: another of the 2 processes has ended" in errors
    assert "Give the same command again" in errors


def test_after_a_killed_process_a_rerun_ends_with_the_same_weights(runs):
    summary, weights = result_of(runs / "two-resumed")
    whole, same = result_of(runs / "two")
    assert_same(weights, same)
    assert summary["history"] == whole["history"]
    assert summary["taken_here"] == 20 - 6  # the checkpoint before the kill was after step 6


def test_a_run_goes_on_with_other_processes(runs, tmp_path):
    shutil.copytree(runs / "two-killed", tmp_path / "killed")
    settings = dataclasses.replace(SETTINGS, batch_size=9)
    with pytest.warns(RuntimeWarning, match=r"toy goes on with 1 process\(es\) after 2"):
        task, result = train(tmp_path / "killed" / "ckpt", settings=settings)
    assert len(task.seen) == 20 - 6
    _, weights = result_of(runs / "two")
    for name, value in task.model.state_dict().items():
        assert torch.allclose(value, weights[name], atol=1e-5), name
    assert result.steps == 20


def test_parts_of_a_batch_are_whole_and_even():
    for size, processes in ((8, 2), (9, 2), (7, 3), (64, 5)):
        parts = [process_slice(size, process, processes) for process in range(processes)]
        rows = [row for part in parts for row in range(size)[part]]
        assert rows == list(range(size))
        lengths = [part.stop - part.start for part in parts]
        assert max(lengths) - min(lengths) <= 1


def train(folder, task=None, settings=SETTINGS, **arguments):
    accelerator = Accelerator(cpu=True)
    task = task or Toy()
    checkpoints = CheckpointFolder(folder, {"seed": 0})
    result = fit(
        accelerator, task, settings, seed=0, checkpoints=checkpoints, progress=False, **arguments
    )
    return task, result


def test_the_best_weights_are_the_ones_that_stay(tmp_path):
    task = Toy()
    real, looks = task.validate, []

    def validate(accelerator):
        weights = {k: v.clone() for k, v in task.model.state_dict().items()}
        looks.append(weights)
        # The second look is the best, whatever the training does.
        return {"loss": real(accelerator)["loss"] + (0 if len(looks) == 2 else 100)}

    task.validate = validate
    _, result = train(tmp_path, task)
    assert len(looks) == 4
    assert result.best_step == 10
    assert_same(task.model.state_dict(), looks[1])


def test_patience_ends_a_stage_early(tmp_path):
    task = Toy()
    task.validate = lambda accelerator: {"loss": 1.0}
    settings = StageSettings(steps=250, validate_every=5, batch_size=8, patience=3)
    _, result = train(tmp_path, task, settings)
    assert result.steps == 4 * 5  # the first look is the best; three more see nothing better
    assert result.best_step == 5


def test_each_epoch_shows_each_row_at_most_once_and_orders_differ(tmp_path):
    task, _ = train(tmp_path)
    epochs = [[row for rows in task.seen[i : i + 5] for row in rows] for i in range(0, 20, 5)]
    assert all(len(set(rows)) == 40 for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 4


def test_a_loss_that_is_not_finite_stops_with_the_mend(tmp_path):
    task = Toy()
    task.x[3] = np.nan
    with pytest.raises(TrainingError, match=r"no longer finite.*lower the learning rate"):
        train(tmp_path, task)


def test_max_steps_cuts_a_run_short(tmp_path):
    _, result = train(tmp_path, max_steps=3)
    assert result.steps == 3
    assert len(result.history) == 1


def test_draws_depend_on_the_place_in_the_whole_batch_alone():
    whole = [Draws(1, "align", 5).row(i).random(4) for i in range(8)]
    second_half = [Draws(1, "align", 5, first=4).row(i).random(4) for i in range(4)]
    assert np.array_equal(whole[4:], second_half)
    others = [Draws(2, "align", 5), Draws(1, "spectrum", 5), Draws(1, "align", 6)]
    values = {tuple(d.row(0).random(4)) for d in [Draws(1, "align", 5), *others]}
    values |= {tuple(Draws(1, "align", 5).row(0, use=1).random(4))}
    assert len(values) == 5
    assert Draws(1, "a", 5).torch_seed(0) != Draws(1, "a", 5).torch_seed(1)


def test_batches_shrink_to_what_there_is():
    assert batch_plan(1000, 256, 1) == (256, 3)
    assert batch_plan(100, 256, 1) == (100, 1)
    assert batch_plan(101, 256, 2) == (101, 1)
    with pytest.raises(TrainingError, match="too few for 4 processes"):
        batch_plan(7, 256, 4)


def test_the_rate_rises_then_falls():
    settings = StageSettings(schedule="cosine", warmup_fraction=0.1)
    rates = [learning_rate_at(step, 100, settings) for step in range(100)]
    assert 0 < rates[0] < rates[5] < rates[10] == 1.0
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert {learning_rate_at(s, 9, StageSettings()) for s in range(9)} == {1.0}


def test_recall_is_better_when_larger_and_a_tie_is_not_better():
    assert is_better(0.5, 0.4, "recall@5%")
    assert not is_better(0.5, 0.4, "loss")
    assert is_better(0.3, 0.4, "mean_log_rank")
    assert not is_better(0.4, 0.4, "loss")
    assert not is_better(0.4, 0.4, "recall@1%")


def test_every_row_comes_back_in_order():
    accelerator = Accelerator(cpu=True)
    rows = map_rows(accelerator, lambda r: torch.from_numpy(r)[:, None] * 2, 11, batch_size=4)
    assert rows[:, 0].tolist() == [2 * i for i in range(11)]


def test_averaged_weights_change_places_with_the_live_ones():
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, 0.75)
    means, mean = [], 0.0
    for step in range(40):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(step)
        decay = min(0.75, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * step
        means.append(mean)
    assert means[0] == 0.0
    assert average.weights["weight"].numpy() == pytest.approx(means[-1], rel=1e-5)
    average.swap()
    assert model.weight.detach().numpy() == pytest.approx(means[-1], rel=1e-5)
    average.swap()
    assert model.weight.detach().numpy() == pytest.approx(39.0)
    assert not WeightAverage(model, 0.0).weights
