"""Ensemble of dual encoders with one shared space."""

# The types of submodules are unknown to a type checker.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .configuration_specclip_ensemble import SpecCLIPEnsembleConfig
from .modeling_specclip import SpecCLIPModel, SpecCLIPOutput
from .modeling_specclip_spectrum import SpecCLIPPreTrainedModel


class SpecCLIPEnsembleModel(SpecCLIPPreTrainedModel):
    """
    Ensemble of dual encoders. Its embedding is the concatenation of the members' unit vectors, each
    multiplied by the square root of its weight, so that a cosine is the weighted mean of the
    members' cosines. An ensemble is used like a single model, but is not trained: it is built from
    trained models by [`SpecCLIPEnsembleModel.from_members`].

    Examples:

    ```python
    >>> import torch
    >>> from hf_specclip import SpecCLIPConfig, SpecCLIPEnsembleModel, SpecCLIPModel

    >>> config = SpecCLIPConfig(text_config={"embedding_dim": 8})
    >>> members = [SpecCLIPModel(config).eval() for _ in range(2)]
    >>> ensemble = SpecCLIPEnsembleModel.from_members(members)
    >>> tuple(ensemble.get_text_features(torch.randn(5, 24)).pooler_output.shape)
    (5, 128)
    ```"""

    config: SpecCLIPEnsembleConfig
    base_model_prefix = "specclip_ensemble"

    def __init__(self, config: SpecCLIPEnsembleConfig):
        super().__init__(config)
        self.members = nn.ModuleList(
            [SpecCLIPModel._from_config(member) for member in config.member_configs]
        )
        self.post_init()
        self.requires_grad_(False)
        self.eval()

    @classmethod
    @torch.no_grad()
    def from_members(
        cls, members: Sequence[SpecCLIPModel], weights: Sequence[float] | None = None
    ) -> "SpecCLIPEnsembleModel":
        """Build an ensemble from copies of trained models.

        Args:
            members: one or more models.
            weights: positive weights of the members' similarities; equal by default.

        Raises:
            ValueError: no members, invalid weights, or members with different inputs.
        """
        if not members:
            raise ValueError("an ensemble needs at least one member")
        ensemble = cls(
            SpecCLIPEnsembleConfig(
                members=[member.config.to_dict() for member in members],
                weights=None if weights is None else [float(weight) for weight in weights],
            )
        )
        for copy, member in zip(ensemble.members, members, strict=True):
            copy.load_state_dict(member.state_dict())
        return ensemble.to(members[0].device)

    @can_return_tuple
    def get_spectrum_features(
        self,
        spectrum_values: torch.Tensor,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Embed spectra: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            spectrum_values, spectrum_globals, input_signature: see [`SpecCLIPSpectrumModel`].
        """
        inputs = (spectrum_values, spectrum_globals, input_signature)
        return self._join_outputs([m.get_spectrum_features(*inputs) for m in self.members])

    @can_return_tuple
    def get_text_features(
        self, text_embeds: torch.Tensor | None = None, **texts: Any
    ) -> BaseModelOutputWithPooling:
        """Embed texts: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            text_embeds, texts: see [`SpecCLIPTextModel`].
        """
        return self._join_outputs([m.get_text_features(text_embeds, **texts) for m in self.members])

    @can_return_tuple
    def forward(self, *args: Any, return_loss: bool | None = None, **kwargs: Any) -> SpecCLIPOutput:
        r"""
        Embed spectra, texts or both; see [`SpecCLIPModel`] for the arguments.

        return_loss (`bool`, *optional*):
            Must not be `True`: the members are trained separately.

        The logits are the cosines times the weighted mean of the members' inverse temperatures;
        `spectrum_latent` is the concatenation of the members' latents.
        """
        if return_loss:
            raise ValueError("an ensemble has no loss: train its members separately")
        outputs = [member(*args, **kwargs) for member in self.members]
        spectra, texts = (
            None
            if getattr(outputs[0], side) is None
            else self._join([getattr(output, side) for output in outputs])
            for side in ("spectrum_embeds", "text_embeds")
        )
        latents = logits = None
        if spectra is not None:
            latents = torch.cat([output.spectrum_latent for output in outputs], dim=-1)
        if spectra is not None and texts is not None:
            scales = torch.stack([member.inverse_temperature() for member in self.members])
            logits = spectra @ texts.t() * (scales * scales.new_tensor(self.config.weights)).sum()
        return SpecCLIPOutput(
            logits_per_spectrum=logits,
            logits_per_text=None if logits is None else logits.t(),
            spectrum_embeds=spectra,
            text_embeds=texts,
            spectrum_latent=latents,
        )

    def _join_outputs(
        self, outputs: Sequence[BaseModelOutputWithPooling]
    ) -> BaseModelOutputWithPooling:
        vectors = self._join([output.pooler_output for output in outputs])
        return BaseModelOutputWithPooling(pooler_output=vectors)

    def _join(self, vectors: Sequence[Any]) -> torch.Tensor:
        """Concatenate the members' weighted unit vectors (batch, D_i) to (batch, ΣD_i)."""
        weights = self.config.weights
        return torch.cat([v * w**0.5 for v, w in zip(vectors, weights, strict=True)], dim=-1)


SpecCLIPEnsembleModel.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPEnsembleModel"]
