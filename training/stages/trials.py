"""Trials: alignments of one search, each trained and measured on a single process."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel, SpecCLIPProcessor
from hf_specclip.evaluation import GroupBootstrap, evaluate_ranks
from hf_specclip.storage import atomic_folder, remove_partial, write_json
from specclip_training.data.pairs import PairData
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    CheckpointFolder,
    check_identity,
)
from specclip_training.engine.commands import CHECKPOINTS, Run, finish
from specclip_training.engine.grid import Trial
from specclip_training.engine.loop import TrainingError, fit
from specclip_training.engine.presets import Preset
from specclip_training.stages.alignment import MODEL, STAGE, AlignTask, build
from specclip_training.stages.pretraining import stage_settings

TRIALS = "trials"
METRICS = "metrics.json"
# Environment variables from which a process learns of others launched with it.
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MPI = ("PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_", "MPI_LOCAL")


def single_process_run(run: Run) -> Run:
    """Leave the process group and return the same run on this process alone.

    In a process group, the loss of a trial would draw negatives from the trials of the other
    processes, and everyone would wait for the slowest.
    """
    device, precision = run.accelerator.device, run.accelerator.mixed_precision
    finish(run)
    for name in list(os.environ):
        if name in _LAUNCHED or name.startswith(_MPI):
            del os.environ[name]
    os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    AcceleratorState._reset_state(reset_partial_state=True)
    return dataclasses.replace(run, accelerator=Accelerator(mixed_precision=precision))


def train_trial(
    run: Run,
    pairs: PairData,
    trial: Trial,
    spectrum: Path,
    latents: dict[str, torch.Tensor] | None,
    process: int = 0,
) -> None:
    """Train one trial on a pretrained encoder; see `fit_trial`.

    Args:
        run: of this process alone (see `single_process_run`).
        pairs: with embedded texts.
        trial: settings and seed.
        spectrum: folder of the pretrained autoencoder.
        latents: see `AlignTask`.
        process: number of this process, for the record.
    """
    trial_run = dataclasses.replace(run, preset=trial.preset, seed=trial.seed)
    built = build(trial_run, pairs, spectrum)
    fit_trial(run, pairs, trial, *built, latents=latents, process=process)


def fit_trial(
    run: Run,
    pairs: PairData,
    trial: Trial,
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    identity: dict[str, Any],
    *,
    latents: dict[str, torch.Tensor] | None = None,
    process: int = 0,
    trained: bool = False,
) -> None:
    """Train a model as one trial, and save it and its figures on `validation`.

    A trial that diverges is a result of the search, too: it is recorded and the search goes on.

    Args:
        run, pairs, trial, latents, process: see `train_trial`.
        model, extractor, identity: of `build`.
        trained: see `fit`.
    """
    folder = run.output / TRIALS / trial.name
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    trial_run = dataclasses.replace(run, preset=trial.preset, seed=trial.seed, output=folder)
    settings, accelerator = trial.preset.align, run.accelerator
    task = AlignTask(model, extractor, pairs, settings, accelerator, latents)
    record = {
        "settings": dict(trial.settings),
        "seed": trial.seed,
        "identity": trial_identity(identity, trial),
    }
    try:
        result = fit(
            accelerator,
            task,
            settings,
            seed=trial.seed,
            checkpoints=CheckpointFolder(trial_run.checkpoints(STAGE), identity),
            max_steps=run.max_steps,
            progress=False,
            trained=trained,
        )
    except TrainingError as error:
        write_json(folder / METRICS, {**record, "failed": str(error)})
        return
    model.to(accelerator.device).eval()
    figures = measure_trial(task, trial.preset, accelerator)
    with atomic_folder(folder / MODEL) as partial:
        model.save_pretrained(partial)
        texts = model.config.text_config
        SpecCLIPProcessor(extractor, None, texts.sections, texts.reads).save_pretrained(partial)
        write_json(partial / TRAINING_FILE, {"identity": identity, "result": result.to_dict()})
    training = {name: getattr(result, name) for name in ("steps", "best_step", "seconds")}
    training["process"] = process
    write_json(folder / METRICS, {**record, **training, "validation": figures})
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


@torch.no_grad()
def measure_trial(task: AlignTask, preset: Preset, accelerator: Accelerator) -> dict[str, Any]:
    """Measure every criterion on `validation`, and retrieval of seen writers with its intervals."""
    embedded = task.embedded(accelerator)
    seen, settings = embedded.subset(task.seen), preset.evaluation
    groups, ranks = task.pairs.splits["validation"].groups[task.seen], seen.ranks()
    retrieval = evaluate_ranks(ranks, seen.owner, groups, settings.ks, settings.n_bootstrap)
    log_ranks = np.log(ranks["spectrum_to_text"].expected)
    bootstrap = GroupBootstrap(groups, settings.n_bootstrap, seed=0)
    low, high = bootstrap.interval(bootstrap.means(log_ranks))
    return {
        **task.figures(embedded),
        "mean_log_rank_interval": [float(low), float(high)],
        "retrieval": retrieval,
    }


def trial_identity(identity: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """Return all that decides a trial's weights, given that of another trial on the encoder."""
    return {
        **identity,
        "seed": trial.seed,
        "model": dataclasses.asdict(trial.preset.model),
        "align": stage_settings(trial.preset.align),
    }


def load_trial(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return `metrics.json` of a finished trial, None where it is not finished.

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
