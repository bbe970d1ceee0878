"""Loading a dual encoder, whichever kind it is."""

from __future__ import annotations

import os
from typing import Any

from ..models.trained_run import MODEL_TYPES, TrainedRun, find_run, model_type


def load_dual_encoder(name_or_path: str | os.PathLike[str], **hub: Any) -> tuple[Any, Any]:
    """The model, ready to answer, and its feature extractor.

    Args:
        name_or_path, hub: see `find_run`.
    """
    return load_from(find_run(name_or_path, **hub))


def load_from(run: TrainedRun) -> tuple[Any, Any]:
    """The same of a run that was found."""
    from transformers.utils import logging

    from ..models.feature_extraction_specclip import SpecCLIPFeatureExtractor
    from ..models.modeling_specclip import SpecCLIPModel
    from ..models.modeling_specclip_ensemble import SpecCLIPEnsembleModel

    logging.disable_progress_bar()
    classes: Any = (SpecCLIPModel, SpecCLIPEnsembleModel)
    models = dict(zip(MODEL_TYPES, classes, strict=True))
    model = models[model_type(run.model)].from_pretrained(run.model)
    return model.eval(), SpecCLIPFeatureExtractor.from_pretrained(run.model)


__all__ = ["load_dual_encoder", "load_from"]
