"""X-ray spectra and the literature about their sources in one embedding space.

Everything is loaded when it is first used: importing the package costs nothing and imports neither
torch nor transformers. The first model name registers the models with transformers' `Auto` classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .configuration_specclip import SpecCLIPConfig as SpecCLIPConfig
    from .configuration_specclip import SpecCLIPSpectrumConfig as SpecCLIPSpectrumConfig
    from .configuration_specclip import SpecCLIPTextConfig as SpecCLIPTextConfig
    from .configuration_specclip_ensemble import SpecCLIPEnsembleConfig as SpecCLIPEnsembleConfig
    from .configuration_specclip_moe import SpecCLIPMoEConfig as SpecCLIPMoEConfig
    from .describe import Describer as Describer
    from .description import Description as Description
    from .evaluation import evaluate_regression as evaluate_regression
    from .evaluation import evaluate_retrieval as evaluate_retrieval
    from .feature_extraction_specclip import SpecCLIPFeatureExtractor as SpecCLIPFeatureExtractor
    from .index import IndexFilter as IndexFilter
    from .index import SpecCLIPIndex as SpecCLIPIndex
    from .literature import get_embedder as get_embedder
    from .modeling_specclip import (
        SpecCLIPForSpectrumPreTraining as SpecCLIPForSpectrumPreTraining,
    )
    from .modeling_specclip import SpecCLIPModel as SpecCLIPModel
    from .modeling_specclip import SpecCLIPSpectrumModel as SpecCLIPSpectrumModel
    from .modeling_specclip import SpecCLIPTextModel as SpecCLIPTextModel
    from .modeling_specclip_ensemble import SpecCLIPEnsembleModel as SpecCLIPEnsembleModel
    from .modeling_specclip_moe import SpecCLIPMoEForRegression as SpecCLIPMoEForRegression
    from .outliers import OutlierRows as OutlierRows
    from .outliers import SpecCLIPOutlierDetector as SpecCLIPOutlierDetector
    from .pipelines import pipeline as pipeline
    from .processing_specclip import SpecCLIPProcessor as SpecCLIPProcessor
    from .spectra import XRaySpectrum as XRaySpectrum
    from .spectra import read_spectrum as read_spectrum
    from .variables_specclip import SECTIONS as SECTIONS
    from .variables_specclip import VARIABLES as VARIABLES
    from .zero_shot import ZeroShotClasses as ZeroShotClasses

_CONSTANTS = {"SECTIONS": "variables_specclip", "VARIABLES": "variables_specclip"}
_MODEL_NAMES = {
    "SpecCLIPConfig": "configuration_specclip",
    "SpecCLIPSpectrumConfig": "configuration_specclip",
    "SpecCLIPTextConfig": "configuration_specclip",
    "SpecCLIPMoEConfig": "configuration_specclip_moe",
    "SpecCLIPEnsembleConfig": "configuration_specclip_ensemble",
    "SpecCLIPEnsembleModel": "modeling_specclip_ensemble",
    "SpecCLIPFeatureExtractor": "feature_extraction_specclip",
    "SpecCLIPForSpectrumPreTraining": "modeling_specclip",
    "SpecCLIPModel": "modeling_specclip",
    "SpecCLIPSpectrumModel": "modeling_specclip",
    "SpecCLIPTextModel": "modeling_specclip",
    "SpecCLIPMoEForRegression": "modeling_specclip_moe",
    "SpecCLIPProcessor": "processing_specclip",
}
_HOMES = {
    **_CONSTANTS,
    **_MODEL_NAMES,
    "Describer": "describe",
    "Description": "description",
    "IndexFilter": "index",
    "OutlierRows": "outliers",
    "SpecCLIPIndex": "index",
    "SpecCLIPOutlierDetector": "outliers",
    "XRaySpectrum": "spectra",
    "ZeroShotClasses": "zero_shot",
    "evaluate_regression": "evaluation",
    "evaluate_retrieval": "evaluation",
    "get_embedder": "literature",
    "pipeline": "pipelines",
    "read_spectrum": "spectra",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODEL_NAMES:
        _register()
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _register() -> None:
    """Makes `AutoModel.from_pretrained` and its siblings know the models without remote code."""
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModel,
        AutoModelForPreTraining,
        AutoProcessor,
    )

    from . import configuration_specclip as configuration
    from . import modeling_specclip as modeling
    from .configuration_specclip_ensemble import SpecCLIPEnsembleConfig
    from .configuration_specclip_moe import SpecCLIPMoEConfig
    from .feature_extraction_specclip import SpecCLIPFeatureExtractor
    from .modeling_specclip_ensemble import SpecCLIPEnsembleModel
    from .modeling_specclip_moe import SpecCLIPMoEForRegression
    from .processing_specclip import SpecCLIPProcessor

    models: dict[Any, Any] = {
        configuration.SpecCLIPSpectrumConfig: modeling.SpecCLIPSpectrumModel,
        configuration.SpecCLIPTextConfig: modeling.SpecCLIPTextModel,
        configuration.SpecCLIPConfig: modeling.SpecCLIPModel,
        SpecCLIPEnsembleConfig: SpecCLIPEnsembleModel,
        SpecCLIPMoEConfig: SpecCLIPMoEForRegression,
    }
    for config, model in models.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
    for config in (
        configuration.SpecCLIPSpectrumConfig,
        configuration.SpecCLIPConfig,
        SpecCLIPEnsembleConfig,
    ):
        AutoFeatureExtractor.register(config, SpecCLIPFeatureExtractor, exist_ok=True)
        AutoProcessor.register(config, SpecCLIPProcessor, exist_ok=True)
    AutoModelForPreTraining.register(
        configuration.SpecCLIPSpectrumConfig,
        modeling.SpecCLIPForSpectrumPreTraining,
        exist_ok=True,
    )


__all__ = sorted([*_HOMES, "__version__"])
