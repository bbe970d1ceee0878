"""Loading of a trained model with its index, experts, outlier detector and classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..classify.classifier import CLASSIFIER_FOLDER, SourceClassifier
from ..classify.classifier import CONFIG_FILE as CLASSIFIER_FILE
from ..classify.zero_shot import CONFIG_FILE as CLASSES_FILE
from ..classify.zero_shot import ZERO_SHOT_FOLDER, ZeroShotClasses
from ..models.trained_run import MODEL_TYPES, TrainedRun, model_type
from ..search.files import ENTRIES_FILE
from ..search.index import GALLERY_FOLDER, SpecCLIPIndex

# Optional parts of a model, and a note for a model without them.
PARTS = {
    "index": "index: no similar sources or papers are listed",
    "moe": "mixture of experts: no variables are inferred",
    "outliers": "outlier detector: no score is computed",
    "classes": "classes: no classification",
}


def load_dual_encoder(run: TrainedRun) -> tuple[Any, Any]:
    """Load the dual encoder of a run, in evaluation mode, and its feature extractor."""
    from transformers.utils import logging

    from ..models.feature_extraction_specclip import SpecCLIPFeatureExtractor
    from ..models.modeling_specclip import SpecCLIPModel
    from ..models.modeling_specclip_ensemble import SpecCLIPEnsembleModel

    logging.disable_progress_bar()
    classes: Any = (SpecCLIPModel, SpecCLIPEnsembleModel)
    models = dict(zip(MODEL_TYPES, classes, strict=True))
    model = models[model_type(run.model)].from_pretrained(run.model)
    return model.eval(), SpecCLIPFeatureExtractor.from_pretrained(run.model)


def load_parts(
    run: TrainedRun,
    model: Any,
    parts: Collection[str],
    paths: Mapping[str, Any],
    hub: Mapping[str, Any],
) -> dict[str, Any]:
    """Load the optional parts of a run, as arguments of `Describer`.

    Args:
        run: the run.
        model: dual encoder of the run.
        parts: names of the parts to load; missing ones are skipped.
        paths: folder or `user/name` of parts that are not in the run, by name.
        hub: arguments of `from_pretrained` for parts on the Hub.
    """
    folders = {
        "index": run.folder(GALLERY_FOLDER, ENTRIES_FILE),
        "moe": run.folder("moe"),
        "outliers": run.folder("outliers", "detector.json"),
        "classes": run.folder(ZERO_SHOT_FOLDER, CLASSES_FILE),
    }
    folders |= {name: path for name, path in paths.items() if path is not None}
    loaded: dict[str, Any] = {}
    if "index" in parts and folders["index"] is not None:
        index = folders["index"]
        is_index = (Path(index) / ENTRIES_FILE).is_file()
        loaded["index"] = (
            SpecCLIPIndex.load(index) if is_index else SpecCLIPIndex.from_pretrained(index, **hub)
        )
    if "moe" in parts and folders["moe"] is not None:
        from ..models.modeling_specclip_moe import SpecCLIPMoEForRegression

        inner = Path(folders["moe"]) / "moe"
        moe = inner if (inner / "config.json").is_file() else folders["moe"]
        experts = SpecCLIPMoEForRegression.from_pretrained(moe, **hub).eval().to(model.device)
        loaded["moe"] = experts
    if "outliers" in parts and folders["outliers"] is not None:
        from ..outliers.detector import SpecCLIPOutlierDetector

        loaded["outliers"] = SpecCLIPOutlierDetector.from_pretrained(folders["outliers"], **hub)
    if "classes" in parts and folders["classes"] is not None:
        loaded["classes"] = loaded["zero_shot"] = ZeroShotClasses.from_pretrained(
            folders["classes"]
        )
    trained = run.folder(CLASSIFIER_FOLDER, CLASSIFIER_FILE)
    if "classes" in parts and trained is not None:
        loaded["classes"] = SourceClassifier.from_pretrained(trained)
    return loaded
