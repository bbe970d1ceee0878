"""Alignment stage: spectra and texts in one shared space, from a pretrained encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
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
    SpecCLIPProcessor,
)
from hf_specclip.classify.zero_shot import ZeroShotClasses
from hf_specclip.evaluation import match_ranks
from hf_specclip.models.pipeline_specclip import custom_pipelines, save_code
from hf_specclip.search.index import GALLERY_FOLDER, SpecCLIPIndex
from hf_specclip.search.known_texts import KnownTexts
from hf_specclip.storage import atomic_folder, to_json, write_json
from specclip_training.data.pairs import PairData, hide_sections, thin
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    CheckpointFolder,
    fingerprint,
)
from specclip_training.engine.commands import Run
from specclip_training.engine.draws import Draws, Order
from specclip_training.engine.loop import FitResult, TrainingError, fit, map_rows
from specclip_training.engine.presets import AlignSettings, Preset
from specclip_training.stages.gallery import build_gallery, fit_classes, known_texts_from
from specclip_training.stages.mini_batches import in_mini_batches
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import load_result, stage_settings

STAGE = "align"
MODEL = "model"


class AlignTask:
    """Alignment as a task of the loop (`specclip_training.engine.loop.Task`).

    Args:
        model, extractor: the model to train and the feature extractor of its spectra.
        pairs: with embedded texts.
        settings: of the stage.
        accelerator: of the run.
        latents: `train` and `validation`, each (n, latent_dim), for a frozen encoder, which gives
            the same at every step; computed here where None.
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
        latents: Mapping[str, torch.Tensor] | None = None,
    ):
        self.model, self.extractor, self.pairs, self.settings = model, extractor, pairs, settings
        self.criterion = settings.criterion
        self.n_rows = len(pairs.splits["train"])
        self.texts = torch.from_numpy(pairs.texts.embeddings)
        self.latents = dict(latents or {}) if settings.freeze_spectrum else {}
        if settings.freeze_spectrum and not self.latents:
            model.to(accelerator.device).eval()
            with torch.no_grad():
                self.latents = {
                    split: embed_latents(model, extractor, pairs, split, accelerator)
                    for split in ("train", "validation")
                }

    def order(self, seed: int) -> Order:
        """See `Task.order`."""
        return self.pairs.splits["train"].order(seed, self.stage)

    def module(self) -> torch.nn.Module:
        """See `Task.module`."""
        return _AlignmentLoss(self.model, self.settings.mini_batch)

    def lr_scale(self, name: str) -> float:
        """See `Task.lr_scale`."""
        return self.settings.encoder_lr_scale if name.startswith("spectrum_model.") else 1.0

    def batch(self, rows: np.ndarray, draws: Draws) -> dict[str, torch.Tensor]:
        """See `Task.batch`."""
        split = self.pairs.splits["train"]
        if self.latents:
            inputs = {"latents": self.latents["train"][rows]}
        else:
            spectra = thin(split.spectra(rows), self.settings.thinning, draws)
            inputs = dict(self.extractor(spectra, return_tensors="pt"))
        ids = split.text_ids[rows]
        mask = hide_sections(
            self.pairs.texts.section_mask[ids], self.settings.section_dropout, draws
        )
        return {
            **inputs,
            "text_embeds": self.texts[ids],
            "section_mask": torch.from_numpy(mask),
            "text_ids": torch.from_numpy(ids),
        }

    def validate(self, accelerator: Accelerator) -> dict[str, float]:
        """See `Task.validate`."""
        spectra, texts, owner = self.embedded(accelerator)
        ranks = match_ranks(spectra, texts, owner)["spectrum_to_text"]
        expected = ranks.expected
        return {
            "loss": self._loss(spectra, texts[owner], torch.from_numpy(owner)),
            "mean_log_rank": float(np.log(expected).mean()),
            "median_rank_fraction": float(np.median(expected)) / ranks.n_gallery,
            **{
                f"recall@{k}%": float(ranks.hits(math.ceil(k * ranks.n_gallery / 100)).mean())
                for k in (1, 5)
            },
        }

    def embedded(self, accelerator: Accelerator) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Embed `validation` in the shared space.

        Returns:
            Spectra (n, D), distinct texts (k, D), and the text of each row (n,).
        """
        if self.latents:
            latents = self.latents["validation"]

            def project(rows: np.ndarray) -> torch.Tensor:
                return _project(self.model, latents[rows].to(accelerator.device))

            spectra = map_rows(accelerator, project, len(latents))
        else:
            spectra = embed_spectra(
                self.model, self.extractor, self.pairs, "validation", accelerator
            )
        texts, owner = embed_split_texts(self.model, self.pairs, "validation", accelerator)
        if not (spectra.isfinite().all() and texts.isfinite().all()):
            raise TrainingError(
                "the embeddings of validation are no longer finite: lower the learning rate (now "
                f"{self.settings.lr:g}) or clip the gradient (clip_norm)"
            )
        return spectra, texts, owner

    def _loss(self, spectra: torch.Tensor, texts: torch.Tensor, ids: torch.Tensor) -> float:
        """Return the contrastive loss over batches of the training size, comparable with training.

        Rows of one field lie side by side in a dataset; a fixed shuffle separates them.
        """
        order = Draws(0, "validation", 0).permutation(len(spectra))
        batches = np.array_split(order, -(-len(order) // self.settings.batch_size))
        device = self.model.device
        losses = [
            self.model.contrastive_loss(*(t[rows].to(device) for t in (spectra, texts, ids)))
            for rows in batches
        ]
        weights = np.array([len(rows) for rows in batches]) / len(order)
        return float(np.dot(weights, [loss.item() for loss in losses]))


class _AlignmentLoss(torch.nn.Module):
    """Dual encoder with its loss as the only output, from spectra or from their latents."""

    def __init__(self, model: SpecCLIPModel, mini_batch: int | None):
        super().__init__()
        self.model, self.mini_batch = model, mini_batch

    def forward(self, text_ids: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        texts = {name: inputs.pop(name) for name in ("text_embeds", "section_mask")}
        return self.model.contrastive_loss(
            in_mini_batches(self._spectra, inputs, self.mini_batch),
            in_mini_batches(self._texts, texts, self.mini_batch),
            text_ids,
        )

    def _spectra(self, latents: torch.Tensor | None = None, **inputs: torch.Tensor) -> torch.Tensor:
        if latents is not None:
            return _project(self.model, latents)
        return self.model.get_spectrum_features(**inputs).pooler_output

    def _texts(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.model.get_text_features(**inputs).pooler_output


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
    target = run.output / MODEL
    model, extractor, identity = build(run, pairs, spectrum or run.output / SPECTRUM)
    if result := load_result(target, identity):
        return result
    task = AlignTask(model, extractor, pairs, run.preset.align, run.accelerator)
    result = fit(
        run.accelerator,
        task,
        run.preset.align,
        seed=run.seed,
        checkpoints=CheckpointFolder(run.checkpoints(STAGE), identity),
        max_steps=run.max_steps,
    )
    model.to(run.accelerator.device).eval()
    companions = build_companions(model, extractor, pairs, run)
    if run.is_main:
        with atomic_folder(target) as partial:
            model.config.custom_pipelines = custom_pipelines()
            model.save_pretrained(partial)
            save_code(partial)
            processor = SpecCLIPProcessor(extractor, sections=pairs.info.domain.sections)
            processor.save_pretrained(partial)
            companions.save(partial)
            write_json(partial / TRAINING_FILE, {"identity": identity, "result": result.to_dict()})
    run.accelerator.wait_for_everyone()
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
        text_config={
            "embedding_dim": texts.embeddings.shape[1] // texts.section_mask.shape[1],
            "sections": list(pairs.info.domain.sections),
            "embedder_name": texts.model,
        },
        shared_dim=settings.shared_dim,
        projection_hidden_size=settings.projection_hidden_size,
        projection_layers=settings.projection_layers,
        dropout=settings.dropout,
        text_dropout=settings.text_dropout,
        projection_norm=settings.projection_norm,
        contrastive_loss=settings.contrastive_loss,
        multi_positive=settings.multi_positive,
        logit_scale_init_value=-math.log(settings.temperature),
        learn_logit_scale=settings.learn_temperature,
        freeze_spectrum_encoder=run.preset.align.freeze_spectrum,
    )
    torch.manual_seed(Draws(run.seed, f"{STAGE} weights", 0).torch_seed(0))
    model = SpecCLIPModel(config)
    model.spectrum_model.load_state_dict(pretrained.spectrum_model.state_dict())
    known, _ = pairs.texts_of("train")
    model.text_model.fit_statistics(
        torch.from_numpy(texts.embeddings[known]), torch.from_numpy(texts.section_mask[known])
    )
    identity = {
        "stage": STAGE,
        "seed": run.seed,
        "max_steps": run.max_steps,
        "precision": run.preset.precision,
        "dataset": pairs.fingerprint,
        "text_model": texts.model,
        "text_embeddings": fingerprint({"texts": torch.from_numpy(texts.embeddings)}),
        "spectrum_weights": fingerprint(pretrained.state_dict()),
        "model": asdict(settings),
        "align": stage_settings(run.preset.align),
    }
    return model, extractor, identity


def embed_spectra(
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
) -> torch.Tensor:
    """Embed the spectra of a split: (n, D) float32, on the CPU of every process."""
    return _map_spectra(
        lambda **inputs: model.get_spectrum_features(**inputs).pooler_output,
        extractor,
        pairs,
        split,
        accelerator,
    )


def embed_latents(
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
) -> torch.Tensor:
    """Encode the spectra of a split: latents (n, latent_dim) float32, on the CPU."""
    return _map_spectra(
        lambda **inputs: model.spectrum_model(**inputs).pooler_output,
        extractor,
        pairs,
        split,
        accelerator,
    )


def embed_text_rows(
    model: SpecCLIPModel, pairs: PairData, rows: np.ndarray, accelerator: Accelerator
) -> torch.Tensor:
    """Embed some rows of `pairs.texts`: (k, D) float32, on the CPU of every process."""
    texts = pairs.texts

    def embed(batch: np.ndarray) -> torch.Tensor:
        vectors = torch.from_numpy(texts.embeddings[rows[batch]])
        mask = torch.from_numpy(texts.section_mask[rows[batch]])
        return model.get_text_features(
            vectors.to(accelerator.device), section_mask=mask.to(accelerator.device)
        ).pooler_output

    return map_rows(accelerator, embed, len(rows))


def embed_split_texts(
    model: SpecCLIPModel, pairs: PairData, split: str, accelerator: Accelerator
) -> tuple[torch.Tensor, np.ndarray]:
    """Embed the distinct texts of a split: (k, D), and the index of each row's text (n,)."""
    rows, owner = pairs.texts_of(split)
    return embed_text_rows(model, pairs, rows, accelerator), owner


@dataclass(frozen=True)
class Companions:
    """Data saved inside a model's folder.

    Attributes:
        gallery: embeddings of all texts and spectra of its dataset.
        classes: zero-shot classes; None where the dataset has none.
        known: texts of `train`, which stand in for questions; None where it has none.
    """

    gallery: SpecCLIPIndex
    classes: ZeroShotClasses | None
    known: KnownTexts | None

    def save(self, folder: Path) -> None:
        """Write each into a folder inside the model's."""
        self.gallery.save(folder / GALLERY_FOLDER)
        for companion in (self.classes, self.known):
            if companion is not None:
                companion.save_pretrained(folder)


@torch.no_grad()
def build_companions(
    model: SpecCLIPModel, extractor: SpecCLIPFeatureExtractor, pairs: PairData, run: Run
) -> Companions:
    """Embed a whole dataset and derive the gallery, classes and known texts from it."""
    accelerator = run.accelerator
    texts = embed_text_rows(model, pairs, np.arange(len(pairs.texts)), accelerator)
    spectra = {
        split: (
            embed_spectra(model, extractor, pairs, split, accelerator).numpy()
            if len(arrays)
            else np.zeros((0, texts.shape[1]), np.float32)
        )
        for split, arrays in pairs.splits.items()
    }
    gallery = build_gallery(
        pairs,
        texts.numpy(),
        spectra,
        energy_range=extractor.energy_range,
        seed=run.seed,
        # The map takes time, and only the main process saves it.
        with_map=run.is_main,
        with_area=extractor.input_kind == "flux",
    )
    known, classes = known_texts_from(pairs, texts.numpy()), None
    if run.is_main:
        embedder = run.preset.text.embedder
        classes, summary = fit_classes(model, pairs, spectra, embedder, run.cache_dir, known)
        run.say(f"   zero-shot classes: {summary}")
    return Companions(gallery, classes, known)


def _map_spectra(
    function: Callable[..., torch.Tensor],
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
) -> torch.Tensor:
    arrays = pairs.splits[split]

    def embed(rows: np.ndarray) -> torch.Tensor:
        inputs = extractor(arrays.spectra(rows), return_tensors="pt")
        return function(**{k: v.to(accelerator.device) for k, v in inputs.items()})

    return map_rows(accelerator, embed, len(arrays))


def _project(model: SpecCLIPModel, latents: torch.Tensor) -> torch.Tensor:
    projected = model.spectrum_projection(latents)
    return torch.nn.functional.normalize(projected.float(), dim=-1)


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


__all__ = [
    "MODEL",
    "STAGE",
    "AlignTask",
    "Companions",
    "align",
    "build",
    "build_companions",
    "embed_latents",
    "embed_spectra",
    "embed_split_texts",
    "embed_text_rows",
]
