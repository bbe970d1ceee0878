"""Pretraining stage: the autoencoder of spectra."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPSpectrumConfig,
)
from hf_specclip.storage import atomic_folder, write_json
from specclip_training.data.pairs import PairData, TrainingDataError, thin
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    CheckpointFolder,
    read_record,
)
from specclip_training.engine.commands import CHECKPOINTS, Run
from specclip_training.engine.draws import Draws
from specclip_training.engine.loop import FitResult, Task, fit, map_rows
from specclip_training.engine.presets import SpectrumSettings, StageSettings
from specclip_training.stages.mini_batches import in_mini_batches

STAGE = "spectrum"
# Rows that the normalisation is fitted on; a mean over more is no better and takes more memory.
STATISTICS_ROWS = 20_000


class SpectrumTask(Task):
    """Pretraining as a task of the loop."""

    stage = STAGE
    global_loss = False
    criterion = "loss"

    def __init__(
        self,
        model: SpecCLIPForSpectrumPreTraining,
        extractor: SpecCLIPFeatureExtractor,
        pairs: PairData,
        settings: StageSettings,
    ):
        self.model, self.extractor, self.pairs, self.settings = model, extractor, pairs, settings
        self.n_rows = len(pairs.splits["train"])

    def module(self) -> torch.nn.Module:
        """See `Task.module`."""
        return _MeanLoss(self.model, self.settings.mini_batch)

    def batch(self, rows: np.ndarray, draws: Draws) -> dict[str, torch.Tensor]:
        """See `Task.batch`."""
        spectra = self.pairs.splits["train"].spectra(rows)
        return self._inputs(thin(spectra, self.settings.thinning, draws), spectra)

    def validate(self, accelerator: Accelerator) -> dict[str, float]:
        """See `Task.validate`."""
        split = self.pairs.splits["validation"]

        def losses(rows: np.ndarray) -> torch.Tensor:
            spectra = split.spectra(rows)
            inputs = self._inputs(spectra, spectra)
            loss = self.model(**{k: v.to(accelerator.device) for k, v in inputs.items()}).loss
            return loss.expand(len(rows))

        return {"loss": map_rows(accelerator, losses, len(split)).mean().item()}

    def _inputs(
        self, observed: dict[str, np.ndarray], original: dict[str, np.ndarray]
    ) -> dict[str, torch.Tensor]:
        inputs = dict(self.extractor(observed, return_tensors="pt"))
        return {**inputs, **_likelihood_targets(self.model, original)}


def pretrain(run: Run, pairs: PairData) -> FitResult:
    """Train the autoencoder, unless the run has it already, and save it in `spectrum/`.

    Raises:
        CheckpointError: when the output holds another run's.
        TrainingError: when training cannot go on.
    """
    target = run.output / STAGE
    identity = identity_of(run, pairs)
    if result := load_result(target, identity):
        return result
    model, extractor = build(run, pairs)
    result = fit(
        run.accelerator,
        SpectrumTask(model, extractor, pairs, run.preset.pretrain),
        run.preset.pretrain,
        seed=run.seed,
        checkpoints=CheckpointFolder(run.output / CHECKPOINTS / STAGE, identity),
        max_steps=run.max_steps,
    )
    if run.is_main:
        with atomic_folder(target) as partial:
            model.save_pretrained(partial)
            extractor.save_pretrained(partial)
            write_json(partial / TRAINING_FILE, result.record(identity))
    run.accelerator.wait_for_everyone()
    return result


def build(
    run: Run, pairs: PairData
) -> tuple[SpecCLIPForSpectrumPreTraining, SpecCLIPFeatureExtractor]:
    """Build the autoencoder, with seeded weights and the normalisation of `train`, on the CPU."""
    settings = run.preset.spectrum
    check_bins(settings, pairs)
    torch.manual_seed(Draws(run.seed, f"{STAGE} weights", 0).torch_seed(0))
    axis = (pairs.info.domain.axis, pairs.info.domain.axis_unit)
    config = SpecCLIPSpectrumConfig(**dataclasses.asdict(settings), axis=axis)
    model = SpecCLIPForSpectrumPreTraining(config)
    extractor = SpecCLIPFeatureExtractor(settings.input_kind, **config.grid)
    spectra = pairs.splits["train"].sample(STATISTICS_ROWS)
    inputs = extractor(spectra, return_tensors="pt")
    model.fit_statistics(
        inputs["spectrum_values"],
        inputs.get("spectrum_globals"),
        **_likelihood_targets(model, spectra),
    )
    return model, extractor


def check_bins(settings: SpectrumSettings, pairs: PairData) -> None:
    """Refuse a preset for other bins than the dataset's, or bands outside of them.

    Raises:
        TrainingDataError: naming the settings to give.
    """
    n_bins, (low, high), unit = (
        pairs.info.n_bins, tuple(pairs.info.energy_range), pairs.info.domain.axis_unit
    )  # fmt: skip
    if (n_bins, (low, high)) != (settings.n_bins, tuple(settings.energy_range)):
        raise TrainingDataError(
            f"{pairs.name} has {n_bins} bins from {low:g} to {high:g} {unit}, the preset asks "
            f"for {settings.n_bins} from {settings.energy_range[0]:g} to "
            f"{settings.energy_range[1]:g}: give --set spectrum.n_bins={n_bins} "
            f"--set 'spectrum.energy_range=[{low:g}, {high:g}]'"
        )
    for band in settings.bands:
        if settings.input_kind != "minmax" and not (band[0] < high and band[1] > low):
            raise TrainingDataError(
                f"spectrum.bands: {list(band)} lies outside of {low:g} to {high:g} {unit}: give "
                "--set 'spectrum.bands=[[…, …], […, …], […, …]]' with three bands on this axis"
            )


def identity_of(run: Run, pairs: PairData) -> dict[str, Any]:
    """Return all that decides the weights of this stage."""
    return {
        **run_identity(run, pairs, STAGE),
        "spectrum": dataclasses.asdict(run.preset.spectrum),
        "pretrain": stage_settings(run.preset.pretrain),
    }


def run_identity(run: Run, pairs: PairData, stage: str) -> dict[str, Any]:
    """Return the settings outside its own section that decide the result of a stage."""
    return {"stage": stage, "seed": run.seed, "max_steps": run.max_steps,
            "precision": run.preset.precision, "dataset": pairs.fingerprint}  # fmt: skip


def stage_settings(settings: StageSettings) -> dict[str, Any]:
    """Return the settings of a stage that decide its result."""
    values = dataclasses.asdict(settings)
    del values["checkpoint_every"]
    return values


def load_result(folder: Path, identity: dict[str, Any]) -> FitResult | None:
    """Return the result of a finished stage, None where there is none.

    Raises:
        CheckpointError: when it was made with other settings, or its record cannot be read.
    """
    record = read_record(folder / TRAINING_FILE, identity)
    if record is None and folder.is_dir() and any(folder.iterdir()):
        raise CheckpointError(
            f"{folder} contains files that were not written by training: move it, or choose "
            "another --output"
        )
    return record and FitResult(**record["result"])


def describe(result: FitResult) -> str:
    """Describe the result of a stage in a few words."""
    if result.best is None:
        return "initial weights, no step taken"
    return f"{result.steps:,} steps, best on validation {result.best:.4g} at {result.best_step:,}"


def _likelihood_targets(
    model: SpecCLIPForSpectrumPreTraining, spectra: dict[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Return the counts and exposure of a Poisson likelihood; empty for the paper's loss."""
    if model.config.reconstruction_loss != "poisson":
        return {}
    return {
        "target_counts": torch.from_numpy(spectra["counts"]).float(),
        "target_exposure": torch.from_numpy(spectra["exposure"]),
    }


class _MeanLoss(torch.nn.Module):
    """Model with its loss, the mean over the rows, as the only output."""

    def __init__(self, model: SpecCLIPForSpectrumPreTraining, mini_batch: int | None):
        super().__init__()
        self.model, self.mini_batch = model, mini_batch

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        if self.mini_batch is None:
            return self.model(**inputs).loss

        def row_losses(**rows: torch.Tensor) -> torch.Tensor:
            return self.model(**rows).loss.expand(len(rows["spectrum_values"]))

        return in_mini_batches(row_losses, inputs, self.mini_batch).mean()
