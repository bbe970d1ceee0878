"""Several dual encoders that answer as one, in one space."""

# As in modeling_specclip.py: modules hide their types behind `__getattr__`.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .configuration_specclip import SpecCLIPConfig
from .configuration_specclip_ensemble import SpecCLIPEnsembleConfig
from .loss_specclip import at_least_float32
from .modeling_specclip import SpecCLIPModel, SpecCLIPOutput
from .modeling_specclip_spectrum import SpecCLIPPreTrainedModel, SpecCLIPSpectrumModel


class SpecCLIPEnsembleEncoder(nn.Module):
    """The members' spectrum encoders, each once however many members share it."""

    def __init__(self, configs: Sequence[SpecCLIPConfig]):
        super().__init__()
        self.encoders = nn.ModuleList(
            [SpecCLIPSpectrumModel._from_config(config.spectrum_config) for config in configs]
        )

    def forward(
        self,
        spectrum_values: torch.Tensor,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
    ) -> BaseModelOutputWithPooling:
        """`pooler_output`: the latents of all encoders side by side."""
        latents = [
            encoder(spectrum_values, spectrum_globals, input_signature).pooler_output
            for encoder in self.encoders
        ]
        return BaseModelOutputWithPooling(pooler_output=torch.cat(latents, dim=-1))


class SpecCLIPEnsembleMember(nn.Module):
    """What a dual encoder has beside its spectrum encoder."""

    def __init__(self, config: SpecCLIPConfig):
        super().__init__()
        # Built where it is trained, so that it cannot come to differ.
        whole = SpecCLIPModel._from_config(config)
        self.text_model = whole.text_model
        self.spectrum_projection = whole.spectrum_projection
        self.text_projection = whole.text_projection


class SpecCLIPEnsembleModel(SpecCLIPPreTrainedModel):
    """
    Dual encoders that answer together. Their unit vectors, each times the root of its weight, are
    joined: the cosine of two joined vectors is the weighted mean of the members' cosines. So an
    ensemble is one point for each spectrum and text, and goes wherever a single model's does: into
    an index, a gallery, an evaluation.

    It is put together from trained models by [`SpecCLIPEnsembleModel.from_members`] and is not
    trained as a whole.

    Example:

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
        configs = config.member_configs
        owners = [config.encoder_of.index(i) for i in range(max(config.encoder_of) + 1)]
        self.spectrum_model = SpecCLIPEnsembleEncoder([configs[i] for i in owners])
        self.members = nn.ModuleList([SpecCLIPEnsembleMember(member) for member in configs])
        # One inverse temperature of each member, as its logarithm.
        self.logit_scales = nn.Parameter(torch.empty(len(configs)), requires_grad=False)
        # Where a latent of the joined ones begins.
        sizes = [configs[i].spectrum_config.latent_dim for i in owners]
        self._latents = [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]
        self.post_init()
        self.eval()

    @classmethod
    @torch.no_grad()
    def from_members(
        cls, members: Sequence[SpecCLIPModel], weights: Sequence[float] | None = None
    ) -> "SpecCLIPEnsembleModel":
        """Puts trained models together; their weights are copied.

        Args:
            members: at least one. Encoders that are equal in settings and weights are kept once.
            weights: of each member's similarity, above 0; equal where left out.

        Raises:
            ValueError: no members, weights that do not fit, or members that take other spectra or
                other text embeddings than the first.
        """
        if not members:
            raise ValueError("an ensemble needs at least one member")
        encoders: list[SpecCLIPSpectrumModel] = []
        encoder_of = []
        for member in members:
            own = member.spectrum_model
            known = [place for place, encoder in enumerate(encoders) if _equal(encoder, own)]
            encoder_of.append(known[0] if known else len(encoders))
            if not known:
                encoders.append(own)
        ensemble = cls(
            SpecCLIPEnsembleConfig(
                members=[member.config.to_dict() for member in members],
                weights=None if weights is None else [float(weight) for weight in weights],
                encoder_of=encoder_of,
            )
        )
        for mine, encoder in zip(ensemble.spectrum_model.encoders, encoders, strict=True):
            mine.load_state_dict(encoder.state_dict())
        for place, (mine, member) in enumerate(zip(ensemble.members, members, strict=True)):
            for part in ("text_model", "spectrum_projection", "text_projection"):
                getattr(mine, part).load_state_dict(getattr(member, part).state_dict())
            ensemble.logit_scales[place] = member.inverse_temperature().log()
        return ensemble.to(members[0].device)

    @can_return_tuple
    def get_spectrum_features(
        self,
        spectrum_values: torch.Tensor,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Spectra in the joined space: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            spectrum_values, spectrum_globals, input_signature: see [`SpecCLIPSpectrumModel`].
        """
        latents = self.spectrum_model(
            spectrum_values, spectrum_globals, input_signature
        ).pooler_output
        return BaseModelOutputWithPooling(pooler_output=self._spectra(latents))

    @can_return_tuple
    def get_text_features(
        self,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Texts in the joined space: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            text_embeds, section_mask, input_ids, attention_mask: see [`SpecCLIPTextModel`].
        """
        given = (text_embeds, section_mask, input_ids, attention_mask)
        parts = [
            member.text_projection(member.text_model(*given).pooler_output)
            for member in self.members
        ]
        return BaseModelOutputWithPooling(pooler_output=self._joined(parts))

    @can_return_tuple
    def forward(
        self,
        spectrum_values: torch.Tensor | None = None,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        return_loss: bool | None = None,
        **kwargs: Any,
    ) -> SpecCLIPOutput:
        r"""
        spectrum_values, spectrum_globals, input_signature:
            See [`SpecCLIPSpectrumModel`]. Left out, only texts are embedded.
        text_embeds, section_mask, input_ids, attention_mask:
            See [`SpecCLIPTextModel`]. Left out, only spectra are embedded.
        return_loss (`bool`, *optional*):
            Refused: the members are trained, each by itself.

        The logits are the cosines times the weighted mean of the members' inverse temperatures.
        """
        if return_loss:
            raise ValueError("an ensemble has no loss: train its members, each by itself")
        has_texts = text_embeds is not None or input_ids is not None
        if spectrum_values is None and not has_texts:
            raise ValueError("give spectrum_values, text_embeds or input_ids")
        latents = spectra = texts = logits = None
        if spectrum_values is not None:
            latents = self.spectrum_model(
                spectrum_values, spectrum_globals, input_signature
            ).pooler_output
            spectra = self._spectra(latents)
        if has_texts:
            texts = self.get_text_features(
                text_embeds, section_mask, input_ids, attention_mask
            ).pooler_output
        if spectra is not None and texts is not None:
            scales = at_least_float32(self.logit_scales).exp()
            logits = spectra @ texts.t() * (scales * scales.new_tensor(self.config.weights)).sum()
        return SpecCLIPOutput(
            logits_per_spectrum=logits,
            logits_per_text=None if logits is None else logits.t(),
            spectrum_embeds=spectra,
            text_embeds=texts,
            spectrum_latent=latents,
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SpecCLIPEnsembleModel):
            for place, config in enumerate(self.config.member_configs):
                init.constant_(module.logit_scales[place], config.logit_scale_init_value)
        else:
            super()._init_weights(module)

    def _spectra(self, latents: torch.Tensor) -> torch.Tensor:
        return self._joined(
            [
                member.spectrum_projection(latents[:, self._latents[encoder]])
                for member, encoder in zip(self.members, self.config.encoder_of, strict=True)
            ]
        )

    def _joined(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Members' points (batch, D_i) as one unit vector (batch, ΣD_i)."""
        weighted = [
            nn.functional.normalize(at_least_float32(part), dim=-1) * weight**0.5
            for part, weight in zip(parts, self.config.weights, strict=True)
        ]
        return torch.cat(weighted, dim=-1)


def _equal(one: SpecCLIPSpectrumModel, other: SpecCLIPSpectrumModel) -> bool:
    # The settings alone: what a configuration was loaded from is not the model.
    names = type(one.config).__annotations__
    if any(getattr(one.config, name) != getattr(other.config, name) for name in names):
        return False
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


SpecCLIPEnsembleModel.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPEnsembleModel"]
