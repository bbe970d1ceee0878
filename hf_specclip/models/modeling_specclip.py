"""Text encoder, and dual encoder of spectra and texts."""

# Optional fields of configurations and the types of submodules are unknown to a type checker.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_specclip import SpecCLIPConfig, SpecCLIPTextConfig
from .layers_specclip import (
    SpecCLIPProjection,
    SpecCLIPSentencePooling,
    SpecCLIPStatistics,
)
from .loss_specclip import at_least_float32, info_nce_loss
from .modeling_specclip_spectrum import SpecCLIPPreTrainedModel, SpecCLIPSpectrumModel

# Upper limit as in CLIP: beyond it the softmax saturates and gradients vanish.
MAX_LOGIT_SCALE = 100.0


@dataclass
class SpecCLIPOutput(ModelOutput):
    r"""
    Output of [`SpecCLIPModel`].

    loss (`torch.FloatTensor` of shape `()`, *optional*, returned when `return_loss=True`):
        Contrastive loss.
    logits_per_spectrum (`torch.FloatTensor` of shape `(spectra, texts)`):
        Scaled cosine similarities, float32.
    logits_per_text (`torch.FloatTensor` of shape `(texts, spectra)`):
        Transpose of `logits_per_spectrum`.
    spectrum_embeds (`torch.FloatTensor` of shape `(spectra, shared_dim)`):
        L2-normalised embeddings of the spectra in the shared space, float32.
    text_embeds (`torch.FloatTensor` of shape `(texts, shared_dim)`):
        L2-normalised embeddings of the texts, float32.
    spectrum_latent (`torch.FloatTensor` of shape `(spectra, latent_dim)`):
        Latents of the spectrum encoder, before the projection.
    """

    loss: torch.FloatTensor | None = None
    logits_per_spectrum: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    spectrum_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    spectrum_latent: torch.FloatTensor | None = None


class SpecCLIPTextModel(SpecCLIPPreTrainedModel):
    """
    Text encoder. With `reads="sentences"`, a text is a set of sentences, each given by its
    embedding, encoded quantities and section, and pooled by attention. With `reads="sections"` (the
    paper), the embeddings of the sections of a summary are normalised and concatenated, with a
    learned vector for an absent section.

    The input is embeddings, or tokens where a transformers encoder is configured; tokens are
    averaged over each sentence or section and L2-normalised.
    """

    config: SpecCLIPTextConfig
    base_model_prefix = "text_model"
    main_input_name = "text_embeds"

    def __init__(self, config: SpecCLIPTextConfig):
        super().__init__(config)
        self.sentence_pooling: Any = None
        self.absent_sections = self.text_encoder = None
        if config.reads == "sentences":
            self.text_statistics = SpecCLIPStatistics((config.embedding_dim,))
            self.sentence_pooling = SpecCLIPSentencePooling(config)
        else:
            shape = (config.n_sections, config.embedding_dim)
            self.text_statistics = SpecCLIPStatistics(shape)
            self.absent_sections = nn.Parameter(torch.empty(shape))
        if config.text_encoder_config is not None:
            encoder = AutoModel.from_config(config.text_encoder_config)
            self.text_encoder = _without_pooler(encoder)
        self._set_trainable()
        self.post_init()

    def load_text_encoder(self, name: str | None = None) -> None:
        """Load pretrained weights of the text encoder, which is randomly initialised otherwise.

        Args:
            name: Hub id or path; `text_encoder` of the configuration by default.

        Raises:
            ValueError: no text encoder is configured, or the architecture differs.
        """
        name = name or self.config.text_encoder
        if self.text_encoder is None or name is None:
            raise ValueError("no text encoder: set text_encoder in SpecCLIPTextConfig")
        loaded = _without_pooler(AutoModel.from_pretrained(name, use_safetensors=True))
        try:
            self.text_encoder.load_state_dict(loaded.state_dict())
        except RuntimeError as error:
            raise ValueError(f"{name} has another architecture than configured: {error}") from None

    @property
    def statistics_fitted(self) -> bool:
        """True once the normalisation has been fitted to training data."""
        return bool(self.text_statistics.fitted)

    @torch.no_grad()
    def fit_statistics(
        self, text_embeds: torch.Tensor, section_mask: torch.Tensor | None = None
    ) -> None:
        """Fit the normalisation of each embedding dimension to training texts.

        Args:
            text_embeds: sections (n, n_sections × d), or distinct sentences (n, d) for a model that
                reads sentences.
            section_mask: bool (n, n_sections), False for absent sections; by default, sections of
                zeros are absent.

        Raises:
            ValueError: wrong shape, NaN or infinity.
        """
        if not torch.isfinite(text_embeds).all():
            raise ValueError("text_embeds hold NaN or infinity")
        if self.sentence_pooling is not None:
            sentences = self._check_sentences(text_embeds[None])[0].double()
            self.text_statistics.set(sentences.mean(dim=0), sentences.std(dim=0, unbiased=False))
            return
        sections = self._sections(text_embeds).double()
        weights = self._mask(text_embeds, section_mask).double()[:, :, None]
        present = weights.sum(dim=0).clamp(min=1)
        mean = (sections * weights).sum(dim=0) / present
        variance = ((sections - mean).square() * weights).sum(dim=0) / present
        self.text_statistics.set(mean, variance.sqrt())

    @can_return_tuple
    def forward(
        self,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        sentence_embeds: torch.Tensor | None = None,
        sentence_numbers: torch.Tensor | None = None,
        sentence_sections: torch.Tensor | None = None,
        sentence_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        r"""
        text_embeds (`torch.FloatTensor` of shape `(batch, n_sections * d)`, *optional*):
            Concatenated embeddings of the sections, with `reads="sections"`.
        section_mask (`torch.BoolTensor` of shape `(batch, n_sections)`, *optional*):
            False for absent sections. By default, sections of zeros (or without tokens) are absent.
        input_ids, attention_mask (`torch.LongTensor` of shape `(batch, sequences, length)`):
            Tokens of the sections or sentences, where a text encoder is configured.
        sentence_embeds (`torch.FloatTensor` of shape `(batch, sentences, d)`, *optional*):
            Embeddings of the sentences, with `reads="sentences"`.
        sentence_numbers (`torch.FloatTensor` of shape `(batch, sentences, numbers_dim)`):
            Encoded quantities of the sentences (`hf_specclip.literature.quantity_numbers`).
        sentence_sections (`torch.LongTensor` of shape `(batch, sentences)`, *optional*):
            Section of each sentence; `n_sections` (the default) for none.
        sentence_mask (`torch.BoolTensor` of shape `(batch, sentences)`, *optional*):
            False for padding. By default, sentences of zeros (or without tokens) are padding.

        Returns `pooler_output` `(batch, config.output_size)`.
        """
        reads_sentences = self.sentence_pooling is not None
        embeds = sentence_embeds if reads_sentences else text_embeds
        if (embeds is None) == (input_ids is None):
            name = "sentence_embeds" if reads_sentences else "text_embeds"
            raise ValueError(f"this model reads {self.config.reads}: give {name} or input_ids")
        mask = sentence_mask if reads_sentences else section_mask
        if input_ids is not None:
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            mask = attention_mask.any(dim=-1) if mask is None else mask.bool()
            embeds = self._encode(input_ids, attention_mask, mask)
            embeds = embeds if reads_sentences else embeds.flatten(1)
        if reads_sentences:
            pooled = self._pool(embeds, sentence_numbers, sentence_sections, mask)
            return BaseModelOutputWithPooling(pooler_output=pooled)
        mask = self._mask(embeds, mask)
        sections = self.text_statistics.normalise(self._sections(embeds))
        dtype = self.absent_sections.dtype
        joined = torch.where(mask[:, :, None], sections.to(dtype), self.absent_sections)
        return BaseModelOutputWithPooling(pooler_output=joined.flatten(1))

    def train(self, mode: bool = True):
        """Set the mode; a frozen text encoder stays in evaluation mode."""
        super().train(mode)
        if self.text_encoder is not None and self.config.freeze_text_encoder:
            self.text_encoder.eval()
        return self

    def _set_trainable(self) -> None:
        if self.text_encoder is not None:
            self.text_encoder.requires_grad_(not self.config.freeze_text_encoder)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is not self:
            super()._init_weights(module)
        elif self.absent_sections is not None:
            init.normal_(self.absent_sections, std=0.02)

    def _encode(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, present: torch.Tensor
    ) -> torch.Tensor:
        """Embed token sequences to (batch, sequences, d); zeros for absent ones."""
        if self.text_encoder is None:
            raise ValueError(
                "this model has no text encoder and takes embeddings: embed the texts with "
                f"{self.config.embedder_name or 'the embedder it was trained with'}"
            )
        rows = present & attention_mask.any(dim=-1)
        result = attention_mask.new_zeros((*rows.shape, self.config.embedding_dim)).float()
        if rows.any():
            mask = attention_mask[rows]
            hidden = self.text_encoder(
                input_ids=input_ids[rows], attention_mask=mask
            ).last_hidden_state.float()
            weights = mask[:, :, None].float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            result[rows] = F.normalize(pooled, dim=-1)
        return result

    def _pool(
        self,
        embeds: torch.Tensor,
        numbers: torch.Tensor | None,
        sections: torch.Tensor | None,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Pool the sentences of texts to (batch, hidden_size)."""
        embeds, shape = self._check_sentences(embeds), embeds.shape[:2]
        mask = (embeds != 0).any(dim=-1) if mask is None else mask.bool()
        if sections is None:
            sections = torch.full(shape, self.config.n_sections, device=embeds.device)
        if numbers is None:
            numbers = embeds.new_zeros((*shape, self.config.numbers_dim))
        expected = (*shape, self.config.numbers_dim)
        if tuple(numbers.shape) != expected or sections.shape != shape or mask.shape != shape:
            raise ValueError(
                f"sentence_numbers {tuple(numbers.shape)}, sentence_sections "
                f"{tuple(sections.shape)} and sentence_mask {tuple(mask.shape)} must be "
                f"{expected}, {tuple(shape)} and {tuple(shape)}"
            )
        return self.sentence_pooling(embeds, numbers, sections, mask, self.text_statistics)

    def _check_sentences(self, embeds: torch.Tensor) -> torch.Tensor:
        size = self.config.embedding_dim
        if embeds.ndim != 3 or embeds.shape[-1] != size:
            raise ValueError(
                f"sentence_embeds are {tuple(embeds.shape)}, this model needs (batch, sentences, "
                f"{size}): use the embedder it was trained with "
                f"({self.config.embedder_name or 'its name was not recorded'})"
            )
        return embeds

    def _sections(self, text_embeds: torch.Tensor) -> torch.Tensor:
        sections, size = self.config.n_sections, self.config.embedding_dim
        if text_embeds.ndim != 2 or text_embeds.shape[1] != sections * size:
            raise ValueError(
                f"text_embeds are {tuple(text_embeds.shape)}, this model needs (batch, "
                f"{sections * size}), {sections} sections of {size}: use the embedder it was "
                f"trained with ({self.config.embedder_name or 'its name was not recorded'})"
            )
        return text_embeds.unflatten(1, (sections, size))

    def _mask(self, text_embeds: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is None:
            return (self._sections(text_embeds) != 0).any(dim=-1)
        expected = (text_embeds.shape[0], self.config.n_sections)
        if tuple(mask.shape) != expected:
            raise ValueError(f"section_mask is {tuple(mask.shape)}, it must be {expected}")
        return mask.bool()


class SpecCLIPModel(SpecCLIPPreTrainedModel):
    """
    Dual encoder of X-ray spectra and the literature about their sources.

    Examples:

    ```python
    >>> import numpy as np
    >>> import torch
    >>> from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel

    >>> model = SpecCLIPModel(SpecCLIPConfig(text_config={"embedding_dim": 384})).eval()
    >>> inputs = SpecCLIPFeatureExtractor()(np.ones((2, 400), int), return_tensors="pt")
    >>> outputs = model(**inputs, text_embeds=torch.randn(5, 3 * 384))
    >>> tuple(outputs.logits_per_spectrum.shape)
    (2, 5)
    ```"""

    def __init__(self, config: SpecCLIPConfig):
        super().__init__(config)
        self.spectrum_model = SpecCLIPSpectrumModel._from_config(config.spectrum_config)
        self.text_model = SpecCLIPTextModel._from_config(config.text_config)
        self.spectrum_projection = SpecCLIPProjection(config, config.spectrum_config.latent_dim)
        text_size = config.text_config.output_size
        self.text_projection = SpecCLIPProjection(config, text_size, config.text_dropout)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self._set_trainable()
        self.post_init()
        self.train()

    def freeze_spectrum_encoder(self, freeze: bool = True) -> None:
        """Freeze or unfreeze the spectrum encoder, also in the configuration.

        A frozen encoder has no gradients and no dropout.
        """
        self.config.freeze_spectrum_encoder = freeze
        self._set_trainable()
        self.train(self.training)

    def train(self, mode: bool = True):
        """Set the mode; a frozen spectrum encoder stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_spectrum_encoder:
            self.spectrum_model.eval()
        return self

    def _set_trainable(self) -> None:
        self.spectrum_model.requires_grad_(not self.config.freeze_spectrum_encoder)
        self.logit_scale.requires_grad_(self.config.learn_logit_scale)

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
        encoded = self._encode_spectra(spectrum_values, spectrum_globals, input_signature)
        return BaseModelOutputWithPooling(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=_unit(self.spectrum_projection(encoded.pooler_output)),
        )

    @can_return_tuple
    def get_text_features(
        self, text_embeds: torch.Tensor | None = None, **texts: Any
    ) -> BaseModelOutputWithPooling:
        """Embed texts: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            text_embeds, texts: see [`SpecCLIPTextModel`].
        """
        encoded = self.text_model(text_embeds, **texts)
        return BaseModelOutputWithPooling(
            pooler_output=_unit(self.text_projection(encoded.pooler_output))
        )

    @can_return_tuple
    def forward(
        self,
        spectrum_values: torch.Tensor | None = None,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        sentence_embeds: torch.Tensor | None = None,
        text_ids: torch.Tensor | None = None,
        return_loss: bool | None = None,
        **texts: Any,
    ) -> SpecCLIPOutput:
        r"""
        spectrum_values, spectrum_globals, input_signature:
            See [`SpecCLIPSpectrumModel`]; without them, only texts are embedded.
        text_embeds, input_ids, sentence_embeds, texts:
            See [`SpecCLIPTextModel`]; without them, only spectra are embedded.
        text_ids (`torch.LongTensor` of shape `(batch,)`, *optional*):
            Equal for rows with equal texts, which are positives of each other (`multi_positive`).
        return_loss (`bool`, *optional*):
            Compute the contrastive loss, where text i belongs to spectrum i. While gradients are
            enabled, it covers the batches of all processes (see `info_nce_loss`,
            `across_processes`).
        """
        has_spectra = spectrum_values is not None
        inputs = (text_embeds, input_ids, sentence_embeds)
        has_texts = any(values is not None for values in inputs)
        if not has_spectra and not has_texts:
            raise ValueError("give spectrum_values, text_embeds, sentence_embeds or input_ids")
        latent = spectra = embedded_texts = logits = loss = None
        if has_spectra:
            encoded = self._encode_spectra(spectrum_values, spectrum_globals, input_signature)
            latent = encoded.pooler_output
            spectra = _unit(self.spectrum_projection(latent))
        if has_texts:
            encoded = self.text_model(
                text_embeds, input_ids=input_ids, sentence_embeds=sentence_embeds, **texts
            )
            embedded_texts = _unit(self.text_projection(encoded.pooler_output))
        if has_spectra and has_texts:
            logits = spectra @ embedded_texts.t() * self.inverse_temperature()
        if return_loss:
            if logits is None:
                raise ValueError("return_loss needs spectra and texts")
            loss = self.contrastive_loss(spectra, embedded_texts, text_ids)
        return SpecCLIPOutput(
            loss=loss,
            logits_per_spectrum=logits,
            logits_per_text=None if logits is None else logits.t(),
            spectrum_embeds=spectra,
            text_embeds=embedded_texts,
            spectrum_latent=latent,
        )

    def contrastive_loss(
        self,
        spectrum_embeds: torch.Tensor,
        text_embeds: torch.Tensor,
        text_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the configured contrastive loss of embeddings in the shared space.

        Args:
            spectrum_embeds: (batch, shared_dim).
            text_embeds: (batch, shared_dim), row i belonging to spectrum i.
            text_ids: see `forward`.

        Returns:
            A scalar in float32 or better; see `forward` for several processes.
        """
        if not self.config.multi_positive:
            text_ids = None
        across_processes = torch.is_grad_enabled()
        pairs = (spectrum_embeds, text_embeds, self.inverse_temperature())
        both = self.config.contrastive_loss == "infonce"
        direction = "both" if both else "text_to_spectrum"
        return info_nce_loss(*pairs, text_ids, direction, across_processes)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.constant_(self.logit_scale, self.config.logit_scale_init_value)
        else:
            super()._init_weights(module)

    def _encode_spectra(self, *inputs: torch.Tensor | None) -> BaseModelOutputWithPooling:
        # Without this, autograd would store the graph of a frozen encoder.
        frozen = self.config.freeze_spectrum_encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            return self.spectrum_model(*inputs)

    def inverse_temperature(self) -> torch.Tensor:
        """Return the scale of the cosines in the logits, at most `MAX_LOGIT_SCALE`."""
        scale = at_least_float32(self.logit_scale).exp()
        # Straight-through gradient: a clamp has no gradient beyond the limit, so that the
        # temperature would stay there.
        return scale + (scale.clamp(max=MAX_LOGIT_SCALE) - scale).detach()


def _unit(embeds: torch.Tensor) -> torch.Tensor:
    """L2-normalise in float32, since bfloat16 does not resolve the cosines of near neighbours."""
    return F.normalize(at_least_float32(embeds), dim=-1)


def _without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Remove the unused pooler, whose parameters would hang a distributed run."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


SpecCLIPTextModel.register_for_auto_class("AutoModel")
SpecCLIPModel.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPModel", "SpecCLIPTextModel"]
