"""Trials: alignments of one study, each trained and measured on `validation`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from typing import Any

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel, SpecCLIPProcessor
from hf_specclip.storage import atomic_folder, write_json
from specclip_training.data.pairs import PairData
from specclip_training.engine.checkpoint import TRAINING_FILE, CheckpointFolder, read_record
from specclip_training.engine.commands import CHECKPOINTS, Run
from specclip_training.engine.loop import TrainingError, fit
from specclip_training.engine.presets import Preset
from specclip_training.stages.alignment import MODEL, STAGE, AlignTask
from specclip_training.stages.pretraining import stage_settings

TRIALS = "trials"
METRICS = "metrics.json"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        name: name of its folder.
        settings: what distinguishes it, for the record.
        seed: random seed.
        preset: of the training.
    """

    name: str
    settings: Mapping[str, Any]
    seed: int
    preset: Preset


def run_trial(
    run: Run,
    pairs: PairData,
    trial: Trial,
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    identity: dict[str, Any],
    *,
    trained: bool = False,
    keep_model: bool = False,
) -> None:
    """Train a model as one trial, unless it is finished, and save its figures on `validation`.

    A trial that diverges is a result of the study, too: it is recorded and the study goes on.

    Args:
        run: output folder and processes.
        pairs: with embedded texts.
        trial: settings and seed.
        model, extractor, identity: of `stages.alignment.build`.
        trained: see `fit`.
        keep_model: save the model, too.

    Raises:
        CheckpointError: when the folder holds a trial of other settings, or cannot be read.
    """
    folder, settings = run.output / TRIALS / trial.name, trial.preset.align
    record = {
        "settings": dict(trial.settings),
        "seed": trial.seed,
        "identity": {
            **identity,
            "seed": trial.seed,
            "model": dataclasses.asdict(trial.preset.model),
            "align": stage_settings(settings),
        },
    }
    if read_record(folder / METRICS, record["identity"]):
        return
    task = AlignTask(model, extractor, pairs, settings, run.accelerator)
    checkpoints = CheckpointFolder(folder / CHECKPOINTS / STAGE, identity)
    try:
        result = fit(
            run.accelerator, task, settings, seed=trial.seed, checkpoints=checkpoints,
            max_steps=run.max_steps, progress=False, trained=trained,
        )  # fmt: skip
    except TrainingError as error:
        record["failed"] = str(error)
    else:
        record |= {name: getattr(result, name) for name in ("steps", "best_step", "seconds")}
        best = next(entry for entry in result.history if entry["step"] == result.best_step)
        record["validation"] = {k: v for k, v in best.items() if k not in ("step", "epoch")}
    if run.is_main:
        if keep_model and "failed" not in record:
            with atomic_folder(folder / MODEL) as partial:
                model.save_pretrained(partial)
                texts = model.config.text_config
                processor = SpecCLIPProcessor(extractor, None, texts.sections, texts.reads)
                processor.save_pretrained(partial)
                write_json(partial / TRAINING_FILE, result.record(identity))
        write_json(folder / METRICS, record)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    run.accelerator.wait_for_everyone()
