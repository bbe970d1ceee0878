"""Search the settings of the alignment, as the paper does, on one frozen encoder.

accelerate launch training/sweep.py --config paper --dataset DIR --output runs/search \\
    --grid training/configs/sweep.yaml --trials 24
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from specclip_training.data.pairs import PairData, load_embedded_pairs
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    CheckpointFolder,
    check_identity,
)
from specclip_training.engine.commands import (
    CHECKPOINTS,
    LOGS,
    Run,
    call,
    finish,
    parser,
    positive_int,
    start,
)
from specclip_training.engine.grid import Trial, plan_trials, read_grid
from specclip_training.engine.loop import TrainingError, fit, is_better
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Code, Paragraph, Section, to_markdown
from specclip_training.reports.sweep import effects_table, trials_table
from specclip_training.stages.alignment import MODEL, AlignTask, build, embed_latents
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import describe, pretrain, stage_settings
from tqdm.auto import tqdm

from hf_specclip import SpecCLIPProcessor
from hf_specclip.evaluation import GroupBootstrap, evaluate_retrieval, match_ranks
from hf_specclip.storage import atomic_folder, remove_partial, write_json, write_text

TRIALS = "trials"
METRICS = "metrics.json"
RESULTS, REPORT, BEST = "sweep.json", "sweep.md", "best.yaml"
LATENTS = "latents.safetensors"
CRITERIA = ("mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%", "loss")
# What tells a process that others were launched beside it.
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MPI = ("PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_", "MPI_LOCAL")


def single_process_run(run: Run) -> Run:
    """The same run on this process alone, whatever was launched beside it.

    A trial belongs to one process. In a process group its loss would draw negatives from the
    trials of the others, and everyone would wait for the slowest.
    """
    device, precision = run.accelerator.device, run.accelerator.mixed_precision
    finish(run)
    for name in list(os.environ):
        if name in _LAUNCHED or name.startswith(_MPI):
            del os.environ[name]
    os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    AcceleratorState._reset_state(reset_partial_state=True)
    return dataclasses.replace(run, accelerator=Accelerator(mixed_precision=precision))


def search(
    run: Run, pairs: PairData, trials: Sequence[Trial], spectrum: Path, *, process: int
) -> None:
    """Train the trials that no process has trained yet; several processes share them.

    Whoever holds a trial's lock trains it; a lock ends with its process, so what a kill left
    undone is taken up again.

    Args:
        run: of this process alone (see `single_process_run`).
        pairs: with embedded texts.
        trials: all of the search.
        spectrum: folder of the pretrained autoencoder.
        process: which of those launched this is, for the record. The first shows a bar and stays
            until every trial is finished; the others leave when none is free.

    Raises:
        CheckpointError: when the folder holds another search's trials.
    """
    folder = run.output / TRIALS
    folder.mkdir(parents=True, exist_ok=True)
    first = dataclasses.replace(run, preset=trials[0].preset)
    model, extractor, identity = build(first, pairs, spectrum)
    identities = {trial.name: identity_of(identity, trial) for trial in trials}
    for trial in trials:
        finished(folder / trial.name, identities[trial.name])
    latents = None
    if any(trial.preset.align.freeze_spectrum for trial in trials):
        with FileLock(folder / f"{LATENTS}.lock"):
            latents = shared_latents(run, model, extractor, pairs, identity)
    del model
    bar = tqdm(total=len(trials), desc="trials", unit="trial", disable=process != 0)
    with bar:
        while True:
            left = [t for t in trials if not finished(folder / t.name, identities[t.name])]
            bar.update(len(trials) - len(left) - bar.n)
            if not left:
                return
            for trial in left:
                with contextlib.suppress(Timeout), FileLock(folder / f"{trial.name}.lock", 0):
                    if not finished(folder / trial.name, identities[trial.name]):
                        train(run, pairs, trial, spectrum, latents, process)
                        break
            else:  # the others are at work on all that is left
                if process != 0:
                    return
                time.sleep(0.5)


def train(
    run: Run,
    pairs: PairData,
    trial: Trial,
    spectrum: Path,
    latents: dict[str, torch.Tensor] | None,
    process: int = 0,
) -> None:
    """Train one trial and leave its model and what `validation` says of it.

    A trial that diverges is a result of the search, too: it is noted and the search goes on.
    """
    folder = run.output / TRIALS / trial.name
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    own = dataclasses.replace(run, preset=trial.preset, seed=trial.seed, output=folder)
    model, extractor, identity = build(own, pairs, spectrum)
    settings, accelerator = trial.preset.align, run.accelerator
    task = AlignTask(model, extractor, pairs, settings, accelerator, latents)
    record = {
        "settings": dict(trial.settings), "seed": trial.seed,
        "identity": identity_of(identity, trial),
    }  # fmt: skip
    try:
        result = fit(
            accelerator,
            task,
            settings,
            seed=trial.seed,
            checkpoints=CheckpointFolder(own.checkpoints("align"), identity),
            max_steps=run.max_steps,
            progress=False,
        )
    except TrainingError as error:
        write_json(folder / METRICS, {**record, "failed": str(error)})
        return
    model.to(accelerator.device).eval()
    figures = measured(task, trial.preset, accelerator)
    with atomic_folder(folder / MODEL) as partial:
        model.save_pretrained(partial)
        SpecCLIPProcessor(extractor).save_pretrained(partial)
        write_json(partial / TRAINING_FILE, {"identity": identity, "result": result.to_dict()})
    training = {name: getattr(result, name) for name in ("steps", "best_step", "seconds")}
    training["process"] = process
    write_json(folder / METRICS, {**record, **training, "validation": figures})
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


@torch.no_grad()
def measured(task: AlignTask, preset: Preset, accelerator: Accelerator) -> dict[str, Any]:
    """Every criterion on `validation`, and retrieval with its intervals."""
    spectra, texts, owner = task.embedded(accelerator)
    groups, settings = task.pairs.splits["validation"].groups, preset.evaluation
    found = evaluate_retrieval(
        spectra, texts, owner, groups, ks=settings.ks, n_bootstrap=settings.n_bootstrap, seed=0
    )
    log_ranks = np.log(match_ranks(spectra, texts, owner)["spectrum_to_text"].expected)
    bootstrap = GroupBootstrap(groups, settings.n_bootstrap, seed=0)
    low, high = bootstrap.interval(bootstrap.means(log_ranks))
    return {
        **task.validate(accelerator),
        "mean_log_rank_interval": [float(low), float(high)],
        "retrieval": found,
    }


def identity_of(identity: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """What decides a trial's weights, from the same of another trial on the encoder."""
    return {
        **identity,
        "seed": trial.seed,
        "model": dataclasses.asdict(trial.preset.model),
        "align": stage_settings(trial.preset.align),
    }


def finished(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What a finished trial left in `metrics.json`, None where it is not finished.

    Raises:
        CheckpointError: when it was made with other settings, or cannot be read.
    """
    path = folder / METRICS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): remove {folder}") from None
    check_identity(content.get("identity"), identity, folder)
    return content


def shared_latents(
    run: Run, model: Any, extractor: Any, pairs: PairData, identity: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """The latents of `train` and `validation`, from disk where they are; under a lock."""
    path = run.output / LATENTS
    made_from = {key: identity[key] for key in ("dataset", "spectrum_weights")}
    try:
        with safe_open(path, "pt") as file:
            if file.metadata() == made_from:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        pass  # absent, or damaged: made below
    model.to(run.accelerator.device).eval()
    with torch.no_grad():
        latents = {
            split: embed_latents(model, extractor, pairs, split, run.accelerator)
            for split in ("train", "validation")
        }
    partial = path.with_name(f".partial-{LATENTS}")
    save_file(latents, partial, metadata=made_from)
    partial.replace(path)
    return latents


def results_of(output: Path, trials: Sequence[Trial], criterion: str) -> dict[str, Any]:
    """The finished trials by point of the grid, best first.

    Returns:
        `points`: for each its `settings`, the median of every figure over its seeds, and `trials`,
        one entry a seed; `failed`: what diverged. A point of which a seed diverged has failed.
    """
    points: dict[str, dict[str, Any]] = {}
    for trial in trials:
        content = json.loads((output / TRIALS / trial.name / METRICS).read_text(encoding="utf-8"))
        entry = {k: v for k, v in content.items() if k not in ("identity", "settings")}
        key = json.dumps(sorted(trial.settings.items()))
        point = points.setdefault(key, {"settings": dict(trial.settings), "trials": []})
        point["trials"].append({"name": trial.name, **entry})
    whole: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for point in points.values():
        (failed if any("failed" in t for t in point["trials"]) else whole).append(point)
    for point in whole:
        point["median"] = {
            name: float(np.median([t["validation"][name] for t in point["trials"]]))
            for name in CRITERIA
        }
        point["median"]["seconds"] = float(np.median([t["seconds"] for t in point["trials"]]))
    sign = -1 if is_better(1, 0, criterion) else 1
    whole.sort(key=lambda point: (sign * point["median"][criterion], point["trials"][0]["name"]))
    return {"points": whole, "failed": failed}


def write_results(
    run: Run,
    pairs: PairData,
    arguments: argparse.Namespace,
    trials: Sequence[Trial],
    grid: dict[str, list[Any]],
    processes: int,
) -> dict[str, Any]:
    """Write `sweep.json`, `sweep.md` and the preset of the best point.

    Raises:
        TrainingError: when every trial diverged.
    """
    found = results_of(run.output, trials, arguments.criterion)
    if not found["points"]:
        raise TrainingError(
            f"all {len(trials)} trials diverged, the first with: "
            f"{found['failed'][0]['trials'][0].get('failed')}"
        )
    metrics = {
        "dataset": pairs.info.name if pairs.info.simulated else pairs.name,
        "dataset_fingerprint": pairs.fingerprint,
        "simulated": pairs.info.simulated,
        "text_model": pairs.texts.model,
        "preset": run.preset.name,
        "settings": run.preset.to_dict(),
        "criterion": arguments.criterion,
        "grid": grid,
        "seed": arguments.seed,
        "seeds": arguments.seeds,
        "max_steps": run.max_steps,
        "processes": processes,
        "command": run.command,
        **found,
    }
    write_json(run.output / RESULTS, metrics)
    best = found["points"][0]
    chosen = next(t.preset for t in trials if t.name == best["trials"][0]["name"])
    named = dataclasses.replace(chosen, name=f"{run.preset.name}-searched")
    head = f"# Best of {len(found['points'])} by {arguments.criterion} on validation: {RESULTS}.\n"
    write_text(run.output / BEST, head + yaml.safe_dump(named.to_dict(), sort_keys=False))
    write_text(
        run.output / REPORT, to_markdown("Search of settings", _sections(metrics), run.output)
    )
    return metrics


def _sections(metrics: dict[str, Any]) -> list[Section]:
    size = int(np.prod([len(values) for values in metrics["grid"].values()]))
    tried = len(metrics["points"]) + len(metrics["failed"])
    word = "simulated " if metrics["simulated"] else ""
    spread = (
        "medians over the seeds with their range"
        if metrics["seeds"] > 1
        else "with 95 % intervals (bootstrap over groups)"
    )
    about = Paragraph(
        f"{tried} of the {size} points of the grid around preset `{metrics['preset']}`, "
        f"{metrics['seeds']} seed(s) each, on one pretrained encoder. Chosen by "
        f"**{metrics['criterion']}** on the {word}`validation` split; `test` was not read. Figures "
        f"are of spectrum to text, {spread}. The best of many is flattered by having been chosen: "
        "it is no result until it is measured on `test`."
    )
    sections = [
        Section("Trials", [about, trials_table(metrics)]),
        Section(
            "By setting",
            [
                Paragraph("The best and the median point of those with one value of a setting."),
                effects_table(metrics),
            ],
        ),
        Section("How it was made", [Code(metrics["command"])]),
    ]
    if metrics["failed"]:
        lines = [f"{p['settings']}: {t.get('failed')}" for p in metrics["failed"]
                 for t in p["trials"] if "failed" in t]  # fmt: skip
        sections.insert(1, Section("Diverged", [Paragraph(line) for line in lines]))
    return sections


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    grid = read_grid(arguments.grid)
    trials = plan_trials(
        arguments.config, arguments.overrides, grid,
        trials=arguments.trials, seed=arguments.seed, seeds=arguments.seeds,
    )  # fmt: skip
    run = start(arguments, preset, [TRIALS, RESULTS, REPORT, BEST, LATENTS, LOGS])
    process, processes = run.accelerator.process_index, run.accelerator.num_processes
    pairs = load_embedded_pairs(run)
    spectrum = run.output / SPECTRUM if arguments.spectrum is None else Path(arguments.spectrum)
    if arguments.spectrum is None:
        with run.stage("pretraining") as made:
            made.append(f"{spectrum}: {describe(pretrain(run, pairs))}")
    alone = single_process_run(run)
    if process != 0:
        search(alone, pairs, trials, spectrum, process=process)
        return
    with alone.stage("search") as made:
        search(alone, pairs, trials, spectrum, process=process)
        metrics = write_results(alone, pairs, arguments, trials, grid, processes)
        for lock in (run.output / TRIALS).glob("*.lock"):
            lock.unlink(missing_ok=True)
        best = metrics["points"][0]
        made.append(f"{run.output / REPORT}, {run.output / RESULTS}")
        made.append(
            f"best {arguments.criterion} on validation {best['median'][arguments.criterion]:.4g} "
            f"with {json.dumps(best['settings'])}: {run.output / BEST}"
        )


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Search the settings of the alignment on one frozen, pretrained encoder.",
        """\
Trains one model for each point of the grid (or of a random part of it) and seed, and chooses by
`validation` alone. Leaves in DIR:
  sweep.md, sweep.json   all trials, best first
  best.yaml              the preset with the best settings, for --config
  trials/                each trial's metrics.json and model/; training/ensemble.py combines them
A rerun of the same command skips what is finished; with a larger --trials or --seeds it adds to
it. Processes share the trials, and each trial runs on one of them: results are those of a single
process (to the bit, where OMP_NUM_THREADS is the same).

  accelerate launch training/sweep.py --config paper --dataset DATASET --output runs/search \\
      --grid training/configs/sweep.yaml --trials 24 --spectrum runs/paper/spectrum""",
    )
    command.add_argument(
        "--grid",
        default="sweep",
        metavar="YAML",
        help="keys of the preset with the values to try (default: training/configs/sweep.yaml)",
    )
    command.add_argument(
        "--trials",
        type=positive_int,
        metavar="N",
        help="a random N points of the grid (default: all)",
    )
    command.add_argument(
        "--seeds",
        type=positive_int,
        default=1,
        metavar="N",
        help="trainings of each point, with seeds from --seed on (default: %(default)s)",
    )
    command.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=CRITERIA[0],
        help="what is best on validation (default: %(default)s)",
    )
    command.add_argument(
        "--spectrum",
        metavar="DIR",
        help="the pretrained autoencoder (default: spectrum in the output folder, trained there "
        "first where it is absent)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
