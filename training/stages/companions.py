"""Saved model with its companions: gallery and zero-shot classes of its dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_specclip import SpecCLIPProcessor
from hf_specclip.models.pipeline_specclip import custom_pipelines, save_code
from hf_specclip.search.index import GALLERY_FOLDER
from hf_specclip.storage import atomic_folder, write_json
from specclip_training.engine.checkpoint import TRAINING_FILE
from specclip_training.engine.commands import Run
from specclip_training.stages.embedding import DatasetEmbedder
from specclip_training.stages.gallery import build_gallery, fit_classes, train_vocabulary


@torch.no_grad()
def save_model(
    run: Run, target: Path, embedder: DatasetEmbedder, record: Mapping[str, Any] | None = None
) -> None:
    """Save a model with its code and processor, and the gallery, zero-shot classes and vocabulary
    of its dataset; all processes must call.

    Args:
        run: the run.
        target: folder of the model.
        embedder: the model, with its dataset.
        record: identity and result of the training, None to keep none.
    """
    model, extractor, pairs = embedder.model, embedder.extractor, embedder.pairs
    texts = embedder.texts(np.arange(len(pairs.texts))).numpy()
    none = np.zeros((0, texts.shape[1]), np.float32)
    spectra = {split: embedder.spectra(split).numpy() if len(arrays) else none
               for split, arrays in pairs.splits.items()}  # fmt: skip
    if run.is_main:
        gallery = build_gallery(
            pairs, texts, spectra, energy_range=extractor.energy_range, seed=run.seed,
            with_map=True, with_area=extractor.input_kind == "flux",
        )  # fmt: skip
        text = run.preset.text.embedder
        classes, summary = fit_classes(model, pairs, spectra, text, run.cache_dir)
        run.say(f"   zero-shot classes: {summary}")
        model.config.custom_pipelines = custom_pipelines()
        with atomic_folder(target) as folder:
            model.save_pretrained(folder)
            save_code(folder)
            settings = model.config.text_config
            processor = SpecCLIPProcessor(extractor, None, settings.sections, settings.reads)
            processor.save_pretrained(folder)
            gallery.save(folder / GALLERY_FOLDER)
            for part in (classes, train_vocabulary(pairs)):
                if part is not None:
                    part.save_pretrained(folder)
            if record is not None:
                write_json(folder / TRAINING_FILE, record)
    run.accelerator.wait_for_everyone()
