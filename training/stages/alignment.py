"""Alignment stage: spectra and texts in one shared space, from a pretrained encoder."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip import (
    SpecCLIPConfig,
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
)
from hf_specclip.evaluation.retrieval import places
from hf_specclip.storage import to_json
from specclip_training.data.pairs import PairData, thin
from specclip_training.data.source_texts import SourceTexts
from specclip_training.data.writers import rows_by_writer, rows_of_choice, unseen_writers
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    CheckpointFolder,
    fingerprint,
)
from specclip_training.engine.commands import CHECKPOINTS, Run
from specclip_training.engine.draws import Draws
from specclip_training.engine.loop import FitResult, Task, TrainingError, fit
from specclip_training.engine.presets import AlignSettings, Preset
from specclip_training.stages.companions import save_model
from specclip_training.stages.embedding import DatasetEmbedder, EmbeddedPairs, extract_numbers
from specclip_training.stages.mini_batches import in_mini_batches
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import load_result, run_identity, stage_settings
from specclip_training.stages.text_inputs import TEXT_INPUTS, augmented_inputs, text_inputs

STAGE = "align"
MODEL = "model"
# Settings that a preset and `SpecCLIPConfig` have under one name.
SHARED_SETTINGS = (
    "shared_dim", "projection_hidden_size", "projection_layers", "dropout", "text_dropout",
    "projection_norm", "contrastive_loss", "multi_positive",
)  # fmt: skip
# Prefix of the inputs of a second text, and the use of the draws that choose it.
_SECOND, _CHOICE = "second_", 10


class AlignTask(Task):
    """Alignment as a task of the loop.

    Args:
        model, extractor: the model to train and the feature extractor of its spectra.
        pairs: with embedded texts.
        settings: of the stage.
        accelerator: of the run.
    """

    stage = STAGE
    global_loss = True

    def __init__(
        self,
        model: SpecCLIPModel,
        extractor: SpecCLIPFeatureExtractor,
        pairs: PairData,
        settings: AlignSettings,
        accelerator: Accelerator,
    ):
        self.model, self.extractor, self.pairs, self.settings = model, extractor, pairs, settings
        self.embedder = DatasetEmbedder(model, extractor, pairs, accelerator)
        self.criterion = settings.criterion
        self.n_rows = len(pairs.splits["train"])
        # Inputs by split that are the same at every step: latents of a frozen encoder, or numbers.
        self.fixed: dict[str, dict[str, torch.Tensor]] = {}
        splits = ("train", "validation")
        if settings.freeze_spectrum:
            model.to(accelerator.device).eval()
            with torch.no_grad():
                latents = {name: self.embedder.spectra(name, latents=True) for name in splits}
            self.fixed = {name: {"latents": values} for name, values in latents.items()}
        elif model.config.spectrum_config.encoder == "mlp" and settings.thinning == 1:
            self.fixed = {name: extract_numbers(extractor, pairs.splits[name]) for name in splits}
        by_writer, unseen = rows_by_writer(pairs, "validation"), unseen_writers(pairs)
        self.seen = rows_of_choice(pairs)
        further = None if pairs.texts.sentences is None else pairs.texts.further
        self.source_texts = SourceTexts(pairs.splits["train"], further)
        self.unseen = [by_writer[name] for name in unseen if name in by_writer]

    def module(self) -> torch.nn.Module:
        """See `Task.module`."""
        return _AlignmentLoss(self.model, self.settings)

    def lr_scale(self, name: str) -> float:
        """See `Task.lr_scale`."""
        return self.settings.encoder_lr_scale if name.startswith("spectrum_model.") else 1.0

    def batch(self, rows: np.ndarray, draws: Draws) -> dict[str, torch.Tensor]:
        """See `Task.batch`."""
        split = self.pairs.splits["train"]
        if self.fixed:
            inputs = {name: values[rows] for name, values in self.fixed["train"].items()}
        else:
            spectra = thin(split.spectra(rows), self.settings.thinning, draws)
            inputs = dict(self.extractor(spectra, return_tensors="pt"))
        texts, known, settings = self.pairs.texts, split.text_ids, self.settings
        shown = [known[rows]]
        if settings.second_text:
            shown = self.source_texts.draw(rows, draws.uniform(len(rows), 2, use=_CHOICE))
        for prefix, ids in zip(("", _SECOND), shown, strict=False):
            texts_in = augmented_inputs(texts, ids, settings, draws, known)
            inputs |= {prefix + name: values for name, values in texts_in.items()}
            draws = draws.apart("second text")
        return {**inputs, "text_ids": torch.from_numpy(self.source_texts.labels[rows])}

    def validate(self, accelerator: Accelerator) -> dict[str, float]:
        """See `Task.validate`.

        The figures are over the writers that `train` has; those of `unseen …` are the means over
        the other writers, each in a gallery of its own texts, and select nothing.
        """
        embedded = self.embedded()
        seen = embedded.subset(self.seen)
        figures = {"loss": self._loss(seen), **rank_figures(seen)}
        if others := [rank_figures(embedded.subset(rows)) for rows in self.unseen]:
            for name in others[0]:
                figures[f"unseen {name}"] = float(np.mean([other[name] for other in others]))
        return figures

    def embedded(self) -> EmbeddedPairs:
        """Embed `validation` in the shared space."""
        texts, owner = self.pairs.texts_of("validation")
        points = self.embedder.texts(texts)
        if inputs := self.fixed.get("validation"):
            spectra = self.embedder.apply(
                partial(_embed_spectra, self.model),
                lambda rows: {name: values[rows] for name, values in inputs.items()},
                len(owner),
            )
        else:
            spectra = self.embedder.spectra("validation")
        if not (spectra.isfinite().all() and points.isfinite().all()):
            raise TrainingError(
                "the embeddings of validation are no longer finite: lower the learning rate (now "
                f"{self.settings.lr:g}) or clip the gradient (clip_norm)"
            )
        return EmbeddedPairs(spectra, points, owner)

    def _loss(self, pairs: EmbeddedPairs) -> float:
        """Return the contrastive loss over batches of the training size, comparable with training.

        Rows of one field lie side by side in a dataset; a fixed shuffle separates them.
        """
        order = Draws(0, "validation", 0).permutation(len(pairs.owner))
        batches = np.array_split(order, -(-len(order) // self.settings.batch_size))
        owner = torch.from_numpy(pairs.owner)
        columns = [pairs.spectra, pairs.texts[owner], owner]
        losses = [
            self.model.contrastive_loss(*(values[rows].to(self.model.device) for values in columns))
            for rows in batches
        ]
        weights = np.array([len(rows) for rows in batches]) / len(order)
        return float(np.dot(weights, [loss.item() for loss in losses]))


class _AlignmentLoss(torch.nn.Module):
    """Dual encoder with its loss as the only output, from spectra or from their latents."""

    def __init__(self, model: SpecCLIPModel, settings: AlignSettings):
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, text_ids: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        texts = []
        for prefix in ("", _SECOND):
            names = [name for name in TEXT_INPUTS if prefix + name in inputs]
            if inputs_there := {name: inputs.pop(prefix + name) for name in names}:
                texts.append(in_mini_batches(self._texts, inputs_there, self.settings.mini_batch))
        encode = partial(_embed_spectra, self.model)
        spectra = in_mini_batches(encode, inputs, self.settings.mini_batch)
        losses = [self.model.contrastive_loss(spectra, points, text_ids) for points in texts]
        loss = torch.stack(losses).mean()
        if len(texts) > 1 and self.settings.text_loss:
            loss = loss + self.settings.text_loss * self.model.contrastive_loss(*texts, text_ids)
        return loss

    def _texts(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.model.get_text_features(**inputs).pooler_output


def rank_figures(pairs: EmbeddedPairs) -> dict[str, float]:
    """Compute the criteria of a choice, from spectrum to text."""
    ranks = pairs.ranks()["spectrum_to_text"]
    expected, n = ranks.expected, ranks.n_gallery
    return {
        "mean_log_rank": float(np.log(expected).mean()),
        "median_rank_fraction": float(np.median(expected)) / n,
        **{f"recall@{k}%": float(ranks.hits(places(k, n)).mean()) for k in (1, 5)},
    }


def align(run: Run, pairs: PairData, spectrum: Path | None = None) -> FitResult:
    """Train the dual encoder, unless the run has it already, and save it in `model/`.

    Args:
        run: settings and output.
        pairs: with embedded texts.
        spectrum: folder of the pretrained autoencoder; `spectrum/` of the run where None.

    Raises:
        CheckpointError: when the output holds another run's, or there is no autoencoder.
        TrainingError: when training cannot go on.
    """
    model, extractor, identity = build(run, pairs, spectrum or run.output / SPECTRUM)
    return train_model(run, pairs, model, extractor, identity)


def train_model(
    run: Run,
    pairs: PairData,
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    identity: dict[str, Any],
    *,
    trained: bool = False,
) -> FitResult:
    """Train a dual encoder of `build`, unless the run has it already, and save it in `model/`.

    For `trained` see `fit`; `pairs` have embedded texts.
    """
    target = run.output / MODEL
    if result := load_result(target, identity):
        return result
    task = AlignTask(model, extractor, pairs, run.preset.align, run.accelerator)
    result = fit(
        run.accelerator,
        task,
        run.preset.align,
        seed=run.seed,
        checkpoints=CheckpointFolder(run.output / CHECKPOINTS / STAGE, identity),
        max_steps=run.max_steps,
        trained=trained,
    )
    model.to(run.accelerator.device).eval()
    save_model(run, target, task.embedder, result.record(identity))
    return result


def build(
    run: Run, pairs: PairData, spectrum: Path
) -> tuple[SpecCLIPModel, SpecCLIPFeatureExtractor, dict[str, Any]]:
    """Build the dual encoder around a pretrained encoder.

    Returns:
        The model, its feature extractor, and all that decides its trained weights.

    Raises:
        CheckpointError: when there is no autoencoder, or it was built with other settings.
    """
    if not (spectrum / TRAINING_FILE).is_file():
        raise CheckpointError(
            f"{spectrum} holds no pretrained autoencoder: run training/pretrain_spectrum.py with "
            "the same --config, --dataset and --output first (with --set pretrain.steps=0 to "
            "start from fresh weights)"
        )
    settings, texts = run.preset.model, pairs.texts
    pretrained = SpecCLIPForSpectrumPreTraining.from_pretrained(spectrum)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(spectrum)
    encoder = pretrained.config.to_dict()
    _check_encoder(run.preset, encoder, spectrum)
    encoder.pop("_name_or_path", None)  # a path on this machine
    config = SpecCLIPConfig(
        spectrum_config=encoder,
        text_config=_text_config(run.preset, pairs),
        **{name: getattr(settings, name) for name in SHARED_SETTINGS},
        logit_scale_init_value=-math.log(settings.temperature),
        learn_logit_scale=settings.learn_temperature,
        freeze_spectrum_encoder=run.preset.align.freeze_spectrum,
    )
    torch.manual_seed(Draws(run.seed, f"{STAGE} weights", 0).torch_seed(0))
    model = SpecCLIPModel(config)
    model.spectrum_model.load_state_dict(pretrained.spectrum_model.state_dict())
    known, _ = pairs.texts_of("train")
    if texts.sentences is not None:
        vectors = texts.sentences.take(known).vectors
        model.text_model.fit_statistics(torch.from_numpy(vectors.astype(np.float32)))
    else:
        model.text_model.fit_statistics(**text_inputs(texts, known))
    weights = {"spectrum_weights": fingerprint(pretrained.state_dict()), "model": asdict(settings)}
    return model, extractor, identity_of(run, pairs) | weights


def identity_of(run: Run, pairs: PairData) -> dict[str, Any]:
    """Return what a checkpoint of the stage must agree on, but for the weights it starts from."""
    return {
        **run_identity(run, pairs, STAGE),
        "text_model": pairs.texts.model,
        "text_embeddings": pairs.texts.fingerprint(),
        "align": stage_settings(run.preset.align),
    }


def _embed_spectra(
    model: SpecCLIPModel, latents: torch.Tensor | None = None, **inputs: torch.Tensor
) -> torch.Tensor:
    """Embed spectra from their inputs or their latents."""
    if latents is None:
        return model.get_spectrum_features(**inputs).pooler_output
    return torch.nn.functional.normalize(model.spectrum_projection(latents).float(), dim=-1)


def _text_config(preset: Preset, pairs: PairData) -> dict[str, Any]:
    texts, settings = pairs.texts, preset.model
    config = {
        "sections": list(pairs.info.domain.sections),
        "embedder_name": texts.model,
        "embedder_probe": texts.probe,
        "reads": preset.text.reads,
    }
    if texts.sentences is None:
        return {**config, "embedding_dim": texts.embeddings.shape[1] // texts.section_mask.shape[1]}
    dropout = settings.dropout if settings.text_dropout is None else settings.text_dropout
    return {
        **config,
        "embedding_dim": texts.sentences.vectors.shape[1],
        "numbers_dim": texts.sentences.numbers_dim,
        "hidden_size": settings.text_hidden_size,
        "num_attention_heads": settings.text_heads,
        "num_frequencies": settings.text_frequencies,
        "dropout": dropout,
        "embedding_dropout": settings.embedding_dropout,
    }


def _check_encoder(preset: Preset, config: dict[str, Any], folder: Path) -> None:
    """Refuse a pretrained encoder that was built with other settings than the preset's."""
    differences = [
        f"{key} {config[key]!r}, not {value!r}"
        for key, value in preset.to_dict()["spectrum"].items()
        if to_json(config[key]) != value
    ]
    if differences:
        raise CheckpointError(
            f"{folder} was trained with {', '.join(differences)}: pretrain with this preset, or "
            "name the preset it was trained with"
        )
