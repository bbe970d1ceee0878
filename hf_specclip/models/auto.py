"""Registration of the models with transformers' `Auto` classes."""

from __future__ import annotations

from typing import Any


def register_models() -> None:
    """Register the SpecCLIP classes, so that `AutoModel.from_pretrained` needs no remote code."""
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModel,
        AutoModelForPreTraining,
        AutoProcessor,
    )

    from . import configuration_specclip as configuration
    from .configuration_specclip_ensemble import SpecCLIPEnsembleConfig
    from .configuration_specclip_moe import SpecCLIPMoEConfig
    from .feature_extraction_specclip import SpecCLIPFeatureExtractor
    from .modeling_specclip import SpecCLIPModel, SpecCLIPTextModel
    from .modeling_specclip_ensemble import SpecCLIPEnsembleModel
    from .modeling_specclip_moe import SpecCLIPMoEForRegression
    from .modeling_specclip_spectrum import SpecCLIPForSpectrumPreTraining, SpecCLIPSpectrumModel
    from .processing_specclip import SpecCLIPProcessor

    models: dict[Any, Any] = {
        configuration.SpecCLIPSpectrumConfig: SpecCLIPSpectrumModel,
        configuration.SpecCLIPTextConfig: SpecCLIPTextModel,
        configuration.SpecCLIPConfig: SpecCLIPModel,
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
        SpecCLIPForSpectrumPreTraining,
        exist_ok=True,
    )


__all__ = ["register_models"]
