"""Loading of a trained model with the parts that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..classify.zero_shot import CONFIG_FILE as CLASSES_FILE
from ..classify.zero_shot import ZERO_SHOT_FOLDER, ZeroShotClasses
from ..models.trained_run import MODEL_TYPES, TrainedRun, model_type
from ..search.files import ENTRIES_FILE
from ..search.index import GALLERY_FOLDER, SpecCLIPIndex

if TYPE_CHECKING:
    from ..outliers.detector import SpecCLIPOutlierDetector


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


def load_index(run: TrainedRun, path: Any, hub: Mapping[str, Any]) -> SpecCLIPIndex | None:
    """Load the index of a run, or the one at `path`; None where the run has none."""
    if path is not None:
        if (Path(path) / ENTRIES_FILE).is_file():
            return SpecCLIPIndex.load(path)
        return SpecCLIPIndex.from_pretrained(path, **hub)
    folder = run.folder(GALLERY_FOLDER, ENTRIES_FILE)
    return None if folder is None else SpecCLIPIndex.load(folder)


def load_experts(run: TrainedRun, path: Any, device: Any, hub: Mapping[str, Any]) -> Any:
    """Load the mixture of experts of a run, or the one at `path`; None where the run has none."""
    folder = run.folder("moe") if path is None else path
    if folder is None:
        return None
    if (Path(folder) / "moe" / "config.json").is_file():
        folder = Path(folder) / "moe"
    from ..models.modeling_specclip_moe import SpecCLIPMoEForRegression

    return SpecCLIPMoEForRegression.from_pretrained(folder, **hub).eval().to(device)


def load_detector(
    run: TrainedRun, path: Any, hub: Mapping[str, Any]
) -> SpecCLIPOutlierDetector | None:
    """Load the outlier detector of a run, or the one at `path`; None where the run has none."""
    folder = run.folder("outliers", "detector.json") if path is None else path
    if folder is None:
        return None
    from ..outliers.detector import SpecCLIPOutlierDetector

    return SpecCLIPOutlierDetector.from_pretrained(folder, **hub)


def load_classes(run: TrainedRun) -> ZeroShotClasses | None:
    """Load the zero-shot classes of a run; None where it has none."""
    folder = run.folder(ZERO_SHOT_FOLDER, CLASSES_FILE)
    return None if folder is None else ZeroShotClasses.from_pretrained(folder)


def load_autoencoder(run: TrainedRun, model: Any, experts: Any) -> Any:
    """Load the autoencoder of a run, where experts use a latent that the model does not have.

    Raises:
        ValueError: where it is needed and absent.
    """
    frozen = getattr(model.config, "freeze_spectrum_encoder", False)
    if experts is None or experts.config.spectrum_input != "spectrum" or frozen:
        return None
    folder = run.folder("spectrum")
    if folder is None:
        raise ValueError(
            f"the experts of {run.name} use the latent of the autoencoder, and there is no "
            "spectrum/ beside the model: copy it there from the run"
        )
    from ..models.modeling_specclip_spectrum import SpecCLIPForSpectrumPreTraining

    return SpecCLIPForSpectrumPreTraining.from_pretrained(folder).eval().to(model.device)


__all__ = [
    "load_autoencoder",
    "load_classes",
    "load_detector",
    "load_dual_encoder",
    "load_experts",
    "load_index",
]
