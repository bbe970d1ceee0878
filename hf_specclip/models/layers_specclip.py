"""Layers of the SpecCLIP models: normalisation, transformer, decoder, pooling, projection."""

# Optional fields of configurations and the types of submodules are unknown to a type checker.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_specclip import SpecCLIPConfig, SpecCLIPSpectrumConfig, SpecCLIPTextConfig
from .loss_specclip import at_least_float32

# Encoded quantities have so many numbers per value: whether it is there, the value, and more.
NUMBERS_PER_VALUE = 5
_WAVES = (torch.sin, torch.cos)


class SpecCLIPStatistics(nn.Module):
    """Normalisation of an input by its mean and standard deviation over the training data.

    The statistics are saved with the weights; until they are fitted they are 0 and 1.
    """

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("fitted", torch.tensor(False))

    def reset(self) -> None:
        """Reset to mean 0 and standard deviation 1."""
        init.zeros_(self.mean)
        init.ones_(self.std)
        init.copy_(self.fitted, torch.tensor(False))

    @torch.no_grad()
    def set(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store fitted statistics.

        Raises:
            ValueError: they are not finite.
        """
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise ValueError("the statistics are not finite: the data hold NaN or infinity")
        self.mean.copy_(mean)
        # A constant input, such as an energy band without counts, keeps its scale.
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.fitted.fill_(True)

    def normalise(self, values: torch.Tensor) -> torch.Tensor:
        """Subtract the mean and divide by the standard deviation, at least in float32."""
        wide = at_least_float32
        return (wide(values) - wide(self.mean)) / wide(self.std)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Undo `normalise`."""
        wide = at_least_float32
        return wide(values) * wide(self.std) + wide(self.mean)


class SpecCLIPSpectrumEmbeddings(nn.Module):
    """Tokens of a spectrum: class token, token of the global features (if any), patch tokens."""

    def __init__(self, config: SpecCLIPSpectrumConfig):
        super().__init__()
        self.config = config
        self.class_token = nn.Parameter(torch.empty(config.hidden_size))
        self.position_embedding = nn.Parameter(
            torch.empty(1, config.num_patches, config.hidden_size)
        )
        self.patch_embedding = nn.Linear(
            config.num_channels * config.patch_size, config.hidden_size
        )
        if config.num_globals:
            self.global_embedding = nn.Linear(config.num_globals, config.hidden_size)
        if config.mask_ratio:
            self.mask_token = nn.Parameter(torch.empty(config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        values: torch.Tensor,
        global_values: torch.Tensor | None,
        masked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed `(batch, channels, n_bins)` to `(batch, tokens, hidden_size)`."""
        batch, channels, _ = values.shape
        patches = values.view(batch, channels, self.config.num_patches, self.config.patch_size)
        tokens = self.patch_embedding(patches.transpose(1, 2).flatten(2))
        if masked is not None:
            tokens = torch.where(masked[:, :, None], self.mask_token.to(tokens.dtype), tokens)
        sequence = [self.class_token.expand(batch, 1, -1), tokens + self.position_embedding]
        if global_values is not None:
            sequence.insert(1, self.global_embedding(global_values)[:, None])
        return self.dropout(torch.cat(sequence, dim=1))


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute attention in plain operations; return the output and the weights."""
    weights = torch.matmul(query, key.transpose(-1, -2)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = F.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SpecCLIPAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: SpecCLIPSpectrumConfig, hidden_size: int):
        super().__init__()
        self.config = config
        self.head_dim = hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Attend over tokens `(batch, tokens, width)`."""
        batch, tokens, width = hidden_states.shape
        shape = (batch, tokens, 3, -1, self.head_dim)
        query, key, value = self.qkv(hidden_states).view(shape).permute(2, 0, 3, 1, 4)
        attention: Callable = eager_attention_forward
        if self.config._attn_implementation != "eager":
            attention = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        attended, _ = attention(
            self,
            query,
            key,
            value,
            None,
            scaling=self.scaling,
            dropout=self.config.dropout if self.training else 0.0,
            is_causal=False,
        )
        return self.out(attended.reshape(batch, tokens, width))


class SpecCLIPLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer."""

    def __init__(self, config: SpecCLIPSpectrumConfig, hidden_size: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.attention = SpecCLIPAttention(config, hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.fc1 = nn.Linear(hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Transform tokens `(batch, tokens, width)`."""
        attended = self.attention(self.attention_norm(hidden_states))
        hidden_states = hidden_states + self.dropout(attended)
        inner = self.activation(self.fc1(self.mlp_norm(hidden_states)))
        return hidden_states + self.dropout(self.fc2(inner))


class SpecCLIPNumbersEncoder(nn.Module):
    """Fully connected network on the global features of a spectrum."""

    def __init__(self, config: SpecCLIPSpectrumConfig):
        super().__init__()
        widths = [config.num_globals] + [config.hidden_size] * config.num_hidden_layers
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.norms = nn.ModuleList(
            [nn.LayerNorm(width, eps=config.layer_norm_eps) for width in widths[1:]]
        )
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.dropout)
        self.out_features = widths[-1]

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Encode global features `(batch, globals)` to `(batch, hidden_size)`."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            numbers = self.dropout(norm(self.activation(layer(numbers))))
        return numbers


class SpecCLIPSpectrumDecoder(nn.Module):
    """Decoder from the latent to the bins; it has no other input than the latent."""

    def __init__(self, config: SpecCLIPSpectrumConfig):
        super().__init__()
        width = config.decoder_hidden_size
        self.poisson = config.reconstruction_loss == "poisson"
        channels = 1 if self.poisson else config.num_channels
        self.channels = channels
        self.latent_embedding = nn.Linear(config.latent_dim, width)
        self.position_embedding = nn.Parameter(torch.empty(1, config.num_patches, width))
        self.layers = nn.ModuleList(
            [SpecCLIPLayer(config, width) for _ in range(config.decoder_layers)]
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.head = nn.Linear(width, channels * config.patch_size)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Decode `(batch, latent_dim)` to `(batch, channels, n_bins)`."""
        hidden_states = self.latent_embedding(latent)[:, None] + self.position_embedding
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        patches = self.head(self.norm(hidden_states)).unflatten(-1, (self.channels, -1))
        return patches.transpose(1, 2).flatten(2)


class SpecCLIPSentencePooling(nn.Module):
    """Attention pooling of a set of sentences, with one learned query per head.

    The quantities of a sentence have separate layers, because a few numbers concatenated to
    hundreds of embedding dimensions would have little weight.
    """

    def __init__(self, config: SpecCLIPTextConfig):
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.embedding = nn.Linear(config.embedding_dim, width)
        # Of octaves from half a radian per unit on (Gorishniy et al. 2022): small differences of a
        # value are then large differences of some input.
        self.frequencies = [2.0 ** (k - 1) for k in range(config.num_frequencies)]
        n_waves = config.numbers_dim // NUMBERS_PER_VALUE * len(_WAVES) * config.num_frequencies
        numbers_in = config.numbers_dim + n_waves
        self.numbers_in = nn.Linear(numbers_in, width) if config.numbers_dim else None
        self.numbers_out = nn.Linear(width, width) if config.numbers_dim else None
        # The last embedding is for sentences without a section.
        self.section_embedding = nn.Embedding(config.n_sections + 1, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        # A bias would cancel in the softmax over the sentences.
        self.scores = nn.Linear(width, self.heads, bias=False)
        self.values = nn.Linear(width, width)

    def forward(
        self,
        sentences: torch.Tensor,
        numbers: torch.Tensor,
        sections: torch.Tensor,
        mask: torch.Tensor,
        statistics: SpecCLIPStatistics,
    ) -> torch.Tensor:
        """Pool the sentences of texts to `(batch, hidden_size)`.

        Args:
            sentences: embeddings (batch, sentences, embedding_dim).
            numbers: encoded quantities (batch, sentences, numbers_dim).
            sections: index of the section (batch, sentences).
            mask: bool (batch, sentences), False for padding; a text without sentences gives zeros.
            statistics: normalisation of the embeddings.
        """
        # Texts differ much in length: padding is dropped first.
        sentences, numbers = self.scale(sentences[mask], numbers[mask], statistics)
        hidden = self.embedding(self.embedding_dropout(sentences))
        hidden = hidden + self.section_embedding(sections[mask])
        if self.numbers_in is not None and self.numbers_out is not None:
            hidden = hidden + self.numbers_out(F.gelu(self.numbers_in(numbers)))
        hidden = self.dropout(self.norm(F.gelu(hidden)))
        scores = at_least_float32(self.scores(hidden))
        padded = scores.new_full((*mask.shape, self.heads), torch.finfo(scores.dtype).min)
        padded = padded.masked_scatter(mask[:, :, None], scores)
        weights = padded.softmax(dim=1)[mask].to(hidden.dtype)
        values = self.values(hidden).unflatten(-1, (self.heads, -1)) * weights[:, :, None]
        pooled = values.new_zeros(len(mask), *values.shape[1:])
        return pooled.index_add(0, mask.nonzero()[:, 0], values).flatten(1)

    def scale(
        self, sentences: torch.Tensor, numbers: torch.Tensor, statistics: SpecCLIPStatistics
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalise embeddings to a norm of about 1, as the encoded quantities are of order 1, and
        append the sines and cosines of the values to the quantities."""
        sentences = statistics.normalise(sentences) / sentences.shape[-1] ** 0.5
        dtype = self.embedding.weight.dtype
        if self.frequencies:
            n_values = numbers.shape[-1] // NUMBERS_PER_VALUE * NUMBERS_PER_VALUE
            present = numbers[..., 0:n_values:NUMBERS_PER_VALUE]
            values = numbers[..., 1:n_values:NUMBERS_PER_VALUE]
            waves = [wave(f * values) * present for f in self.frequencies for wave in _WAVES]
            numbers = torch.cat([numbers, *waves], dim=-1)
        return sentences.to(dtype), numbers.to(dtype)


class SpecCLIPProjection(nn.Module):
    """Projection to the shared space by a fully connected network."""

    def __init__(self, config: SpecCLIPConfig, in_features: int, dropout: float | None = None):
        super().__init__()
        widths = [in_features]
        widths += [config.projection_hidden_size] * (config.projection_layers - 1)
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.norms = nn.ModuleList(
            [nn.LayerNorm(b) if config.projection_norm else nn.Identity() for b in widths[1:]]
        )
        self.out = nn.Linear(widths[-1], config.shared_dim)
        self.dropout = nn.Dropout(config.dropout if dropout is None else dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project features `(batch, in_features)` to `(batch, shared_dim)`."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            features = self.dropout(norm(F.relu(layer(features))))
        return self.out(features)


__all__ = [
    "SpecCLIPAttention",
    "SpecCLIPLayer",
    "SpecCLIPNumbersEncoder",
    "SpecCLIPProjection",
    "SpecCLIPSentencePooling",
    "SpecCLIPSpectrumDecoder",
    "SpecCLIPSpectrumEmbeddings",
    "SpecCLIPStatistics",
]
