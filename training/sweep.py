"""Command `sweep`: search the settings of the alignment on one encoder, as the paper does.

accelerate launch training/sweep.py --config paper --dataset DIR --output runs/search \\
    --grid training/configs/sweep.yaml --trials 24
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from hf_specclip.cli.arguments import positive_int
from hf_specclip.storage import atomic_file, write_json, write_text
from specclip_training.data.pairs import PairData, load_embedded_pairs
from specclip_training.engine.commands import LOGS, Run, call, parser, start
from specclip_training.engine.grid import Trial, plan_trials, read_grid
from specclip_training.engine.loop import TrainingError, is_better
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Code, Paragraph, Section, to_markdown
from specclip_training.reports.run import run_facts
from specclip_training.reports.sweep import effects_table, trials_table
from specclip_training.stages.alignment import build
from specclip_training.stages.embedding import embed_spectra
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import describe, pretrain
from specclip_training.stages.trials import (
    METRICS,
    TRIALS,
    load_trial,
    single_process_run,
    train_trial,
    trial_identity,
)

RESULTS, REPORT, BEST = "sweep.json", "sweep.md", "best.yaml"
LATENTS = "latents.safetensors"
CRITERIA = ("mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%", "loss")


def search(
    run: Run, pairs: PairData, trials: Sequence[Trial], spectrum: Path, *, process: int
) -> None:
    """Train the trials that are not finished; several processes share them.

    The process that holds a trial's lock trains it. A lock ends with its process, so a trial that
    was killed is trained again.

    Args:
        run: of this process alone (see `single_process_run`).
        pairs: with embedded texts.
        trials: all of the search.
        spectrum: folder of the pretrained autoencoder.
        process: number of this process. The first shows a bar and waits until every trial is
            finished; the others return when none is free.

    Raises:
        CheckpointError: when the folder holds another search's trials.
    """
    folder = run.output / TRIALS
    folder.mkdir(parents=True, exist_ok=True)
    first = dataclasses.replace(run, preset=trials[0].preset)
    model, extractor, identity = build(first, pairs, spectrum)
    identities = {trial.name: trial_identity(identity, trial) for trial in trials}
    for trial in trials:
        load_trial(folder / trial.name, identities[trial.name])
    latents = None
    if any(trial.preset.align.freeze_spectrum for trial in trials):
        with FileLock(folder / f"{LATENTS}.lock"):
            latents = shared_latents(run, model, extractor, pairs, identity)
    del model
    bar = tqdm(total=len(trials), desc="trials", unit="trial", disable=process != 0)
    with bar:
        while True:
            left = [t for t in trials if not load_trial(folder / t.name, identities[t.name])]
            bar.update(len(trials) - len(left) - bar.n)
            if not left:
                return
            for trial in left:
                with contextlib.suppress(Timeout), FileLock(folder / f"{trial.name}.lock", 0):
                    if not load_trial(folder / trial.name, identities[trial.name]):
                        train_trial(run, pairs, trial, spectrum, latents, process)
                        break
            else:  # other processes train all that is left
                if process != 0:
                    return
                time.sleep(0.5)


def shared_latents(
    run: Run, model: Any, extractor: Any, pairs: PairData, identity: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the latents of `train` and `validation`, from disk if there; call under a lock."""
    path = run.output / LATENTS
    source = {key: identity[key] for key in ("dataset", "spectrum_weights")}
    try:
        with safe_open(path, "pt") as file:
            if file.metadata() == source:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        pass  # absent or damaged: computed below
    model.to(run.accelerator.device).eval()
    with torch.no_grad():
        latents = {
            split: embed_spectra(model, extractor, pairs, split, run.accelerator, latents=True)
            for split in ("train", "validation")
        }
    with atomic_file(path) as partial:
        save_file(latents, partial, metadata=source)
    return latents


def collect_results(output: Path, trials: Sequence[Trial], criterion: str) -> dict[str, Any]:
    """Group the finished trials by point of the grid, best first.

    Returns:
        `points`: `settings` of each, the median of every figure over its seeds, and `trials`, one
        entry a seed; `failed`: points of which a seed diverged.
    """
    points: dict[str, dict[str, Any]] = {}
    for trial in trials:
        content = json.loads((output / TRIALS / trial.name / METRICS).read_text(encoding="utf-8"))
        entry = {k: v for k, v in content.items() if k not in ("identity", "settings")}
        key = json.dumps(sorted(trial.settings.items()))
        point = points.setdefault(key, {"settings": dict(trial.settings), "trials": []})
        point["trials"].append({"name": trial.name, **entry})
    failed = [p for p in points.values() if any("failed" in t for t in p["trials"])]
    complete = [point for point in points.values() if point not in failed]
    for point in complete:
        point["median"] = {
            name: float(np.median([t["validation"][name] for t in point["trials"]]))
            for name in CRITERIA
        }
        point["median"]["seconds"] = float(np.median([t["seconds"] for t in point["trials"]]))
    sign = -1 if is_better(1, 0, criterion) else 1
    complete.sort(key=lambda point: (sign * point["median"][criterion], point["trials"][0]["name"]))
    return {"points": complete, "failed": failed}


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
    results = collect_results(run.output, trials, arguments.criterion)
    if not results["points"]:
        raise TrainingError(
            f"all {len(trials)} trials diverged, the first with: "
            f"{results['failed'][0]['trials'][0].get('failed')}"
        )
    metrics = {
        **run_facts(run, pairs),
        "criterion": arguments.criterion,
        "grid": grid,
        "seeds": arguments.seeds,
        "processes": processes,
        **results,
    }
    write_json(run.output / RESULTS, metrics)
    best = results["points"][0]
    chosen = next(t.preset for t in trials if t.name == best["trials"][0]["name"])
    named = dataclasses.replace(chosen, name=f"{run.preset.name}-searched")
    head = (
        f"# Best of {len(results['points'])} by {arguments.criterion} on validation: {RESULTS}.\n"
    )
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
        f"are of spectrum to text, {spread}. The best of many trials is biased by its selection: "
        "only its measurement on `test` is a result."
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
        with run.stage("pretraining") as summary:
            summary.append(f"{spectrum}: {describe(pretrain(run, pairs))}")
    alone = single_process_run(run)
    if process != 0:
        search(alone, pairs, trials, spectrum, process=process)
        return
    with alone.stage("search") as summary:
        search(alone, pairs, trials, spectrum, process=process)
        metrics = write_results(alone, pairs, arguments, trials, grid, processes)
        for lock in (run.output / TRIALS).glob("*.lock"):
            lock.unlink(missing_ok=True)
        best = metrics["points"][0]
        summary.append(f"{run.output / REPORT}, {run.output / RESULTS}")
        summary.append(
            f"best {arguments.criterion} on validation {best['median'][arguments.criterion]:.4g} "
            f"with {json.dumps(best['settings'])}: {run.output / BEST}"
        )


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Search the settings of the alignment on one frozen, pretrained encoder.",
        """\
Trains one model for each point of the grid (or of a random part of it) and seed, and chooses by
`validation` alone. Writes to DIR:
  sweep.md, sweep.json   all trials, best first
  best.yaml              the preset with the best settings, for --config
  trials/                each trial's metrics.json and model/; training/ensemble.py combines them
A rerun of the same command skips finished trials; with a larger --trials or --seeds it adds more.
Processes share the trials, and each trial runs on one of them: results are those of a single
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
        help="seeds of each point, from --seed on (default: %(default)s)",
    )
    command.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=CRITERIA[0],
        help="figure of validation to choose by (default: %(default)s)",
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
