"""Configuration of the ensemble of dual encoders."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_specclip import (
    SpecCLIPConfig,
    SpecCLIPPreTrainedConfig,
    SpecCLIPSpectrumConfig,
    SpecCLIPTextConfig,
)

# Members read the same tensors of the feature extractor and the embedder.
_SAME_SPECTRUM = ("input_kind", "n_bins", "energy_range")
_SAME_TEXT = (
    "reads",
    "embedding_dim",
    "numbers_dim",
    "n_sections",
    "embedder_name",
    "text_encoder",
)
# Keys that record how a file was written.
_RECORDS = ("transformers_version", "architectures", "auto_map", "_name_or_path")


@strict
class SpecCLIPEnsembleConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of several dual encoders that answer together ([`SpecCLIPEnsembleModel`]).

    Args:
        members (`list[dict]`):
            Configuration of each member ([`SpecCLIPConfig`]) as a dictionary. All of them take the
            same spectra and the same text embeddings.
        weights (`list[float]`, *optional*):
            Weight of each member's similarity, above 0; brought to a sum of 1. Equal where left
            out.

    Examples:

    ```python
    >>> from hf_specclip import SpecCLIPConfig, SpecCLIPEnsembleConfig

    >>> member = SpecCLIPConfig(text_config={"embedding_dim": 384}).to_dict()
    >>> config = SpecCLIPEnsembleConfig(members=[member, member], weights=[3, 1])
    >>> config.weights, config.shared_dim
    ([0.75, 0.25], 128)
    ```"""

    model_type = "specclip_ensemble"

    members: list[dict] | None = None
    weights: list[float | int] | None = None

    def __post_init__(self, **kwargs: Any):
        self.members = [_settings(member) for member in self.members or [{}]]
        count = len(self.members)
        weights = [1.0] * count if self.weights is None else self.weights
        if len(weights) != count or not all(math.isfinite(w) and w > 0 for w in weights):
            raise ValueError(
                f"weights are {weights}, they must be {count} numbers above 0, one for each member"
            )
        total = math.fsum(weights)
        # Unchanged where they add up already, so that saving and loading changes no bit.
        self.weights = [
            float(w) if math.isclose(total, 1.0, rel_tol=1e-12) else w / total for w in weights
        ]
        self._refuse_different_inputs()
        super().__post_init__(**kwargs)

    def _refuse_different_inputs(self) -> None:
        configs = self.member_configs
        for side, names in (("spectrum_config", _SAME_SPECTRUM), ("text_config", _SAME_TEXT)):
            for name in names:
                values = [getattr(getattr(config, side), name) for config in configs]
                if any(value != values[0] for value in values):
                    raise ValueError(
                        f"members differ in {side}.{name} ({values}): members of an ensemble read "
                        "the same spectra and the same text embeddings"
                    )

    @property
    def member_configs(self) -> list[SpecCLIPConfig]:
        """The members' configurations."""
        return [SpecCLIPConfig(**member) for member in self.members or []]

    @property
    def spectrum_config(self) -> SpecCLIPSpectrumConfig:
        """Settings of the spectrum input, those of the first member."""
        return self.member_configs[0].spectrum_config  # type: ignore[return-value]

    @property
    def text_config(self) -> SpecCLIPTextConfig:
        """Settings of the text input, those of the first member."""
        return self.member_configs[0].text_config  # type: ignore[return-value]

    @property
    def shared_dim(self) -> int:
        """Size of the joined space: the members' sizes added up."""
        return sum(config.shared_dim for config in self.member_configs)


def _settings(member: dict) -> dict:
    """Return the full configuration of a member, without the records of its file."""
    return {k: v for k, v in SpecCLIPConfig(**member).to_dict().items() if k not in _RECORDS}


SpecCLIPEnsembleConfig.register_for_auto_class()

__all__ = ["SpecCLIPEnsembleConfig"]
