"""Saved model with its companions: gallery and zero-shot classes of its dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPProcessor
from hf_specclip.classify.zero_shot import ZeroShotClasses
from hf_specclip.models.pipeline_specclip import custom_pipelines, save_code
from hf_specclip.search.index import GALLERY_FOLDER, SpecCLIPIndex
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.stages.embedding import embed_spectra, embed_text_rows
from specclip_training.stages.gallery import build_gallery, fit_classes, train_vocabulary


@dataclass(frozen=True)
class Companions:
    """Data saved inside a model's folder.

    Attributes:
        gallery: embeddings of all texts and spectra of its dataset.
        classes: zero-shot classes; None where the dataset has none.
    """

    gallery: SpecCLIPIndex
    classes: ZeroShotClasses | None


@torch.no_grad()
def build_companions(
    model: Any, extractor: SpecCLIPFeatureExtractor, pairs: PairData, run: Run
) -> Companions:
    """Embed a whole dataset and derive the gallery and classes from it."""
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
    classes = None
    if run.is_main:
        embedder = run.preset.text.embedder
        classes, summary = fit_classes(model, pairs, spectra, embedder, run.cache_dir)
        run.say(f"   zero-shot classes: {summary}")
    return Companions(gallery, classes)


def save_model(
    folder: Path,
    model: Any,
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    companions: Companions,
) -> None:
    """Save a model with its code, processor and companions in an empty folder."""
    model.config.custom_pipelines = custom_pipelines()
    model.save_pretrained(folder)
    save_code(folder)
    texts = model.config.text_config
    SpecCLIPProcessor(extractor, None, texts.sections, texts.reads).save_pretrained(folder)
    companions.gallery.save(folder / GALLERY_FOLDER)
    if companions.classes is not None:
        companions.classes.save_pretrained(folder)
    if (vocabulary := train_vocabulary(pairs)) is not None:
        vocabulary.save_pretrained(folder)
