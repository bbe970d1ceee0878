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

# Settings in which the members agree, since they take the same inputs.
_SAME_SPECTRUM = ("input_kind", "n_bins", "energy_range")
_SAME_TEXT = (
    "reads",
    "embedding_dim",
    "numbers_dim",
    "n_sections",
    "embedder_name",
    "text_encoder",
)
# Keys that describe a saved file, not a model.
_FILE_METADATA = ("transformers_version", "architectures", "auto_map", "_name_or_path")


@strict
class SpecCLIPEnsembleConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of an ensemble of dual encoders ([`SpecCLIPEnsembleModel`]).

    Args:
        members (`list[dict]`):
            Configurations of the members ([`SpecCLIPConfig`]) as dictionaries. All members take the
            same spectra and text embeddings.
        weights (`list[float]`, *optional*):
            Positive weights of the members' similarities, normalised to a sum of 1; equal by
            default.

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
        self.members = [_full_config(member) for member in self.members or [{}]]
        count = len(self.members)
        weights = [1.0] * count if self.weights is None else self.weights
        if len(weights) != count or not all(math.isfinite(w) and w > 0 for w in weights):
            raise ValueError(
                f"weights are {weights}, they must be {count} positive numbers, one per member"
            )
        total = math.fsum(weights)
        # Normalised weights are kept bit for bit when a configuration is saved and loaded again.
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
                        f"members differ in {side}.{name} ({values}): the members of an ensemble "
                        "must take the same spectra and text embeddings"
                    )

    @property
    def member_configs(self) -> list[SpecCLIPConfig]:
        """Configurations of the members."""
        return [SpecCLIPConfig(**member) for member in self.members or []]

    @property
    def spectrum_config(self) -> SpecCLIPSpectrumConfig:
        """Configuration of the first member's spectrum encoder."""
        return self.member_configs[0].spectrum_config  # type: ignore[return-value]

    @property
    def text_config(self) -> SpecCLIPTextConfig:
        """Configuration of the first member's text encoder."""
        return self.member_configs[0].text_config  # type: ignore[return-value]

    @property
    def shared_dim(self) -> int:
        """Size of the shared space: the sum over the members."""
        return sum(config.shared_dim for config in self.member_configs)


def _full_config(member: dict) -> dict:
    """Return the configuration of a member with all defaults, without metadata of its file."""
    config = SpecCLIPConfig(**member).to_dict()
    return {key: value for key, value in config.items() if key not in _FILE_METADATA}


SpecCLIPEnsembleConfig.register_for_auto_class()

__all__ = ["SpecCLIPEnsembleConfig"]
