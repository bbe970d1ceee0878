"""The SpecCLIP models: a spectrum encoder, the autoencoder around it, and the dual encoder."""

# Configurations fill in their optional fields, modules hide their types behind `__getattr__`, and
# what a forward pass is given depends on the configuration; a type checker knows none of it.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import ModelOutput, can_return_tuple, logging

from .checkpoint_specclip import refuse_unsafe_folder
from .configuration_specclip import (
    SpecCLIPConfig,
    SpecCLIPSpectrumConfig,
    SpecCLIPTextConfig,
    describe_input_signature,
)
from .loss_specclip import (
    at_least_float32,
    info_nce_loss,
    poisson_nll,
    sigmoid_loss,
)

logger = logging.get_logger(__name__)

# CLIP's bound: beyond it the softmax over a batch is as good as a maximum and gradients vanish.
MAX_LOGIT_SCALE = 100.0


@dataclass
class SpecCLIPPreTrainingOutput(ModelOutput):
    r"""
    loss (`torch.FloatTensor` of shape `()`, *optional*):
        Reconstruction loss; `None` for `"poisson"` without `target_counts`.
    reconstruction (`torch.FloatTensor`):
        For `"mae"` the input `(batch, channels, n_bins)`; for `"poisson"` the natural logarithm of
        the source's rate `(batch, n_bins)`, counts per second and bin where `target_exposure` was
        given in training, else counts per observation and bin.
    latent (`torch.FloatTensor` of shape `(batch, latent_dim)`):
        All the decoder was given.
    """

    loss: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    latent: torch.FloatTensor | None = None


@dataclass
class SpecCLIPOutput(ModelOutput):
    r"""
    loss (`torch.FloatTensor` of shape `()`, *optional*, returned when `return_loss=True`):
        Contrastive loss.
    logits_per_spectrum (`torch.FloatTensor` of shape `(spectra, texts)`):
        Scaled cosine similarities, float32.
    logits_per_text (`torch.FloatTensor` of shape `(texts, spectra)`):
        Its transpose.
    spectrum_embeds (`torch.FloatTensor` of shape `(spectra, shared_dim)`):
        L2-normalised points of the spectra in the shared space, float32.
    text_embeds (`torch.FloatTensor` of shape `(texts, shared_dim)`):
        L2-normalised points of the texts.
    spectrum_latent (`torch.FloatTensor` of shape `(spectra, latent_dim)`):
        Latents of the spectrum encoder, before the projection.
    """

    loss: torch.FloatTensor | None = None
    logits_per_spectrum: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    spectrum_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    spectrum_latent: torch.FloatTensor | None = None


class SpecCLIPStatistics(nn.Module):
    """Mean and standard deviation of an input over the training data, saved with the weights.

    Until they are fitted they change nothing (mean 0, standard deviation 1).
    """

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("fitted", torch.tensor(False))

    def reset(self) -> None:
        init.zeros_(self.mean)
        init.ones_(self.std)
        init.copy_(self.fitted, torch.tensor(False))

    @torch.no_grad()
    def set(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise ValueError("the statistics are not finite: the data hold NaN or infinity")
        self.mean.copy_(mean)
        # What never varies (a band no spectrum reaches) must not be blown up.
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.fitted.fill_(True)

    def normalise(self, values: torch.Tensor) -> torch.Tensor:
        """In float32 at least: large inputs with small differences need it."""
        wide = at_least_float32
        return (wide(values) - wide(self.mean)) / wide(self.std)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        wide = at_least_float32
        return wide(values) * wide(self.std) + wide(self.mean)


class SpecCLIPSpectrumEmbeddings(nn.Module):
    """One token to summarise, one for the global numbers where there are any, one per patch."""

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
        batch, channels, _ = values.shape
        patches = values.view(batch, channels, self.config.num_patches, self.config.patch_size)
        tokens = self.patch_embedding(patches.transpose(1, 2).flatten(2))
        if masked is not None:
            tokens = torch.where(masked[:, :, None], self.mask_token.to(tokens.dtype), tokens)
        parts = [self.class_token.expand(batch, 1, -1), tokens + self.position_embedding]
        if global_values is not None:
            parts.insert(1, self.global_embedding(global_values)[:, None])
        return self.dropout(torch.cat(parts, dim=1))


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
    weights = torch.matmul(query, key.transpose(-1, -2)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = F.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SpecCLIPAttention(nn.Module):
    """Multi-headed attention of all tokens with all."""

    def __init__(self, config: SpecCLIPSpectrumConfig, hidden_size: int):
        super().__init__()
        self.config = config
        self.head_dim = hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
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
        attended = self.attention(self.attention_norm(hidden_states))
        hidden_states = hidden_states + self.dropout(attended)
        inner = self.activation(self.fc1(self.mlp_norm(hidden_states)))
        return hidden_states + self.dropout(self.fc2(inner))


class SpecCLIPNumbersEncoder(nn.Module):
    """Fully connected network on the numbers for the whole spectrum."""

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
        for layer, norm in zip(self.layers, self.norms, strict=True):
            numbers = self.dropout(norm(self.activation(layer(numbers))))
        return numbers


class SpecCLIPSpectrumDecoder(nn.Module):
    """From the latent alone back to the bins: the latent has to carry everything."""

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
        """`(batch, latent_dim)` to `(batch, channels, n_bins)`."""
        hidden_states = self.latent_embedding(latent)[:, None] + self.position_embedding
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        patches = self.head(self.norm(hidden_states)).unflatten(-1, (self.channels, -1))
        return patches.transpose(1, 2).flatten(2)


# Ten times a text encoder of 200 million; what asks for more would fill the memory first.
MAX_NUMBERS = 2**31


class SpecCLIPPreTrainedModel(PreTrainedModel):
    """Weights, their drawing and their loading; safetensors only, never a pickle."""

    config: SpecCLIPConfig
    base_model_prefix = "specclip"
    main_input_name = "spectrum_values"
    supports_gradient_checkpointing = True
    _no_split_modules = ["SpecCLIPLayer"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True
    # A temperature or a mean in bfloat16 would be another one.
    _keep_in_fp32_modules_strict = [  # noqa: RUF012
        "logit_scale",
        "logit_bias",
        "value_statistics",
        "global_statistics",
        "text_statistics",
        "log_rate_offset",
    ]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """See `PreTrainedModel.from_pretrained`.

        Raises:
            ValueError: pickled weights were asked for, or the folder or its configuration leads
                elsewhere.
            OSError: there are no safetensors weights; a `pytorch_model.bin` is not read, because
                unpickling a file runs what is written in it.
        """
        if kwargs.get("use_safetensors") is False:
            raise ValueError(
                "SpecCLIP models load safetensors weights only (a pickle can run any code): leave "
                "use_safetensors out, and convert the weights with safetensors.torch.save_file"
            )
        kwargs["use_safetensors"] = True
        if pretrained_model_name_or_path is not None:
            refuse_unsafe_folder(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        # Loading replaces parameters by new ones, which all learn.
        for module in (loaded[0] if isinstance(loaded, tuple) else loaded).modules():
            if isinstance(module, SpecCLIPPreTrainedModel):
                module._set_trainable()
        return loaded

    def post_init(self) -> None:
        """See `PreTrainedModel.post_init`.

        Raises:
            ValueError: the model would be absurdly large. Nothing of a checkpoint is in memory
                yet when `from_pretrained` comes here.
        """
        size = sum(value.numel() for value in (*self.parameters(), *self.buffers()))
        if size > MAX_NUMBERS:
            raise ValueError(
                f"this configuration asks for {size:,} numbers, more than {MAX_NUMBERS:,}: it is "
                "damaged, or not of a SpecCLIP model"
            )
        super().post_init()

    def _set_trainable(self) -> None:
        """Freezes what the configuration says is frozen."""

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SpecCLIPStatistics):
            module.reset()
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, SpecCLIPSpectrumEmbeddings):
            # As long as other tokens: the first norm would blow up the gradients of a short one.
            init.normal_(module.class_token, std=1.0)
            init.normal_(module.position_embedding, std=0.02)
            if module.config.mask_ratio:
                init.normal_(module.mask_token, std=1.0)
        elif isinstance(module, SpecCLIPSpectrumDecoder):
            # Each bin is told from the others by these alone.
            init.normal_(module.position_embedding, std=1.0)
        elif isinstance(module, SpecCLIPForSpectrumPreTraining):
            init.zeros_(module.log_rate_offset)
        elif isinstance(module, SpecCLIPTextModel):
            init.normal_(module.absent_sections, std=0.02)
        elif isinstance(module, SpecCLIPModel):
            init.constant_(module.logit_scale, self.config.logit_scale_init_value)
            if module.logit_bias is not None:
                init.constant_(module.logit_bias, self.config.logit_bias_init_value)


class SpecCLIPSpectrumModel(SpecCLIPPreTrainedModel):
    """
    Spectrum encoder: patches of energy bins, and a token of global numbers, through a pre-norm
    transformer into one latent; or, with `encoder="mlp"`, the global numbers alone through a fully
    connected network.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPSpectrumConfig
    >>> from hf_specclip import SpecCLIPSpectrumModel

    >>> model = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig()).eval()
    >>> inputs = SpecCLIPFeatureExtractor()(np.ones((2, 400), int), return_tensors="pt")
    >>> tuple(model(**inputs).pooler_output.shape)
    (2, 64)
    ```"""

    config: SpecCLIPSpectrumConfig
    base_model_prefix = "spectrum_model"

    def __init__(self, config: SpecCLIPSpectrumConfig):
        super().__init__(config)
        self.value_statistics = SpecCLIPStatistics((config.num_channels, 1))
        if config.num_globals:
            self.global_statistics = SpecCLIPStatistics((config.num_globals,))
        if config.encoder == "mlp":
            self.numbers_encoder = SpecCLIPNumbersEncoder(config)
            self.latent_head = nn.Linear(self.numbers_encoder.out_features, config.latent_dim)
        else:
            self.embeddings = SpecCLIPSpectrumEmbeddings(config)
            self.layers = nn.ModuleList(
                [SpecCLIPLayer(config, config.hidden_size) for _ in range(config.num_hidden_layers)]
            )
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            self.latent_head = nn.Linear(config.hidden_size, config.latent_dim)
        self.gradient_checkpointing = False
        self._fit_is_known = False
        self.post_init()

    @property
    def statistics_fitted(self) -> bool:
        """Whether the normalisation has been fitted to training data."""
        return bool(self.value_statistics.fitted)

    @torch.no_grad()
    def fit_statistics(
        self, values: torch.Tensor, global_values: torch.Tensor | None = None
    ) -> None:
        """Fits the normalisation to training spectra: each channel and each global number is
        brought to mean 0 and standard deviation 1. Saved with the weights.

        Args:
            values: `spectrum_values` (n, channels, n_bins) of the feature extractor.
            global_values: `spectrum_globals` (n, globals), where the input kind has them.

        Raises:
            ValueError: no rows, other shapes, or values that are not finite.
        """
        self._check_shapes(values, global_values)
        if not len(values):
            raise ValueError("no spectra to fit the statistics to")
        wide = values.double()
        mean = wide.mean(dim=(0, 2))
        std = (wide - mean[:, None]).square().mean(dim=(0, 2)).sqrt()
        self.value_statistics.set(mean[:, None], std[:, None])
        if global_values is not None:
            numbers = global_values.double()
            self.global_statistics.set(numbers.mean(dim=0), numbers.std(dim=0, correction=0))

    @can_return_tuple
    def forward(
        self,
        spectrum_values: torch.Tensor,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        masked_patches: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        r"""
        spectrum_values (`torch.FloatTensor` of shape `(batch, channels, n_bins)`):
            From [`SpecCLIPFeatureExtractor`].
        spectrum_globals (`torch.FloatTensor` of shape `(batch, globals)`, *optional*):
            From the same, where the input kind has global numbers.
        input_signature (`torch.LongTensor` of shape `(batch,)`, *optional*):
            From the same: refuses what was made with other settings than the model's.
        masked_patches (`torch.BoolTensor` of shape `(batch, patches)`, *optional*):
            Patches hidden from the encoder; needs `mask_ratio` above 0 in the configuration.

        Returns `pooler_output`, the latents `(batch, latent_dim)`, and `last_hidden_state`.
        """
        self._check_shapes(spectrum_values, spectrum_globals)
        if not torch.compiler.is_compiling():
            self._check_settings(input_signature)
        dtype = self.latent_head.weight.dtype
        if self.config.encoder == "mlp":
            numbers = self.global_statistics.normalise(spectrum_globals).to(dtype)
            hidden_states = self.numbers_encoder(numbers)
            return BaseModelOutputWithPooling(
                last_hidden_state=hidden_states[:, None],
                pooler_output=self.latent_head(hidden_states),
            )
        values = self.value_statistics.normalise(spectrum_values).to(dtype)
        numbers = None
        if self.config.num_globals:
            numbers = self.global_statistics.normalise(spectrum_globals).to(dtype)
        hidden_states = self.embeddings(values, numbers, masked_patches)
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states, pooler_output=self.latent_head(hidden_states[:, 0])
        )

    def _check_shapes(self, values: torch.Tensor, global_values: torch.Tensor | None) -> None:
        config = self.config
        expected = (config.num_channels, config.n_bins)
        if values.ndim != 3 or tuple(values.shape[1:]) != expected:
            raise ValueError(
                f"spectrum_values are {tuple(values.shape)}, this model needs (batch, "
                f"{expected[0]}, {expected[1]}): use the SpecCLIPFeatureExtractor saved with it"
            )
        given = 0 if global_values is None else global_values.shape[-1]
        if given != config.num_globals:
            raise ValueError(
                f"{given or 'no'} spectrum_globals given, this model (input_kind "
                f"{config.input_kind!r}) needs {config.num_globals or 'none'}: use the "
                "SpecCLIPFeatureExtractor saved with it"
            )

    def _check_settings(self, signature: torch.Tensor | None) -> None:
        """That the input was made for this model, and that the model knows its scale."""
        if signature is None:
            logger.warning_once(
                "input_signature is missing: the model cannot tell whether these spectra were "
                "prepared as it needs. Pass everything the SpecCLIPFeatureExtractor returns."
            )
        else:
            expected = self.config.input_signature
            others = signature[signature != expected]
            if len(others):
                raise ValueError(
                    "these spectra were prepared for another model: they come with "
                    f"{describe_input_signature(int(others[0]))}, the model needs "
                    f"{describe_input_signature(expected)}. Use the SpecCLIPFeatureExtractor "
                    "saved with the model"
                )
        if not self._fit_is_known and self.config.input_kind != "minmax" and not self.training:
            self._fit_is_known = True  # once: a look at the buffer makes an accelerator wait
            if not self.statistics_fitted:
                logger.warning_once(
                    "the normalisation of this model was never fitted (fit_statistics): spectra "
                    "enter it on another scale than it can use."
                )


class SpecCLIPForSpectrumPreTraining(SpecCLIPPreTrainedModel):
    """
    Autoencoder: the spectrum encoder and a decoder that sees the latent alone.

    With `reconstruction_loss="mae"` (the paper) it reconstructs its input. With `"poisson"` it
    gives the rate of the source in every bin, and the loss is the likelihood of `target_counts`;
    what the encoder saw may then be thinned or masked and the target whole.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPForSpectrumPreTraining
    >>> from hf_specclip import SpecCLIPSpectrumConfig

    >>> model = SpecCLIPForSpectrumPreTraining(SpecCLIPSpectrumConfig())
    >>> counts = np.random.default_rng(0).poisson(1, (2, 400))
    >>> model(**SpecCLIPFeatureExtractor()(counts, return_tensors="pt")).loss.backward()
    ```"""

    config: SpecCLIPSpectrumConfig
    base_model_prefix = "spectrum_model"

    def __init__(self, config: SpecCLIPSpectrumConfig):
        super().__init__(config)
        self.spectrum_model = SpecCLIPSpectrumModel._from_config(config)
        self.decoder = SpecCLIPSpectrumDecoder(config)
        # Where the decoder starts from, so that training need not climb to it: see fit_statistics.
        self.register_buffer("log_rate_offset", torch.zeros(config.n_bins))
        self.post_init()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """See `PreTrainedModel.save_pretrained`. `AutoModel` finds the encoder in the folder."""
        module = type(self).__module__.rsplit(".", 1)[-1]
        encoder = {"AutoModel": f"{module}.{SpecCLIPSpectrumModel.__name__}"}
        self.config.auto_map = {**(getattr(self.config, "auto_map", None) or {}), **encoder}
        super().save_pretrained(*args, **kwargs)

    @torch.no_grad()
    def fit_statistics(
        self,
        values: torch.Tensor,
        global_values: torch.Tensor | None = None,
        target_counts: torch.Tensor | None = None,
        target_exposure: torch.Tensor | None = None,
    ) -> None:
        """Fits the encoder's normalisation and, for `"poisson"`, the rate the decoder starts from.

        Args:
            values: `spectrum_values` (n, channels, n_bins).
            global_values: `spectrum_globals` (n, globals).
            target_counts: counts (n, n_bins), as the loss will be given them.
            target_exposure: seconds (n,), where the loss will be given them.

        Raises:
            ValueError: see `SpecCLIPSpectrumModel.fit_statistics`.
        """
        self.spectrum_model.fit_statistics(values, global_values)
        if target_counts is None:
            return
        counts = target_counts.double()
        time = len(counts) if target_exposure is None else target_exposure.double().sum()
        # One count more, shared by all bins, keeps an empty bin's logarithm finite.
        self.log_rate_offset.copy_(((counts.sum(dim=0) + 1 / counts.shape[1]) / time).log())

    @can_return_tuple
    def forward(
        self,
        spectrum_values: torch.Tensor,
        spectrum_globals: torch.Tensor | None = None,
        input_signature: torch.Tensor | None = None,
        target_counts: torch.Tensor | None = None,
        target_exposure: torch.Tensor | None = None,
        target_background: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SpecCLIPPreTrainingOutput:
        r"""
        spectrum_values, spectrum_globals, input_signature:
            See [`SpecCLIPSpectrumModel`].
        target_counts (`torch.Tensor` of shape `(batch, n_bins)`, *optional*):
            Counts whose likelihood is the loss; `"poisson"` only.
        target_exposure (`torch.Tensor` of shape `(batch,)`, *optional*):
            Their exposure, s. Left out, the decoder gives counts per observation in place of a
            rate.
        target_background (`torch.Tensor` of shape `(batch, n_bins)`, *optional*):
            Background counts expected among them; the decoder then gives the source alone.
        """
        masked = None
        if self.config.mask_ratio and self.training:
            masked = self._draw_mask(spectrum_values)
        latent = self.spectrum_model(
            spectrum_values, spectrum_globals, input_signature, masked_patches=masked
        ).pooler_output
        decoded = self.decoder(latent)
        loss = None
        if self.config.reconstruction_loss == "poisson":
            reconstruction = at_least_float32(decoded[:, 0]) + at_least_float32(
                self.log_rate_offset
            )
            # Beyond this rate a step would overflow; no detector counts so fast.
            reconstruction = reconstruction.clamp(max=20.0)
            if target_counts is not None:
                loss = poisson_nll(
                    reconstruction, target_counts, target_exposure, target_background
                )
        else:
            reconstruction = self.spectrum_model.value_statistics.restore(decoded)
            loss = (reconstruction - at_least_float32(spectrum_values)).abs().mean()
        return SpecCLIPPreTrainingOutput(loss=loss, reconstruction=reconstruction, latent=latent)

    def _draw_mask(self, values: torch.Tensor) -> torch.Tensor:
        """Hides the same number of patches, `mask_ratio` of them, in every spectrum."""
        patches = self.config.num_patches
        hidden = round(self.config.mask_ratio * patches)
        order = torch.rand(values.shape[0], patches, device=values.device).argsort(dim=1)
        return order < hidden


class SpecCLIPTextModel(SpecCLIPPreTrainedModel):
    """
    Text side: three sections of a summary, embedded apart, brought to a common scale and joined.
    For a section that is absent a learned vector stands in.

    The embeddings are given (`text_embeds`), or made from tokens where the configuration names a
    text encoder: tokens are averaged over each section and the result L2-normalised.
    """

    config: SpecCLIPTextConfig
    base_model_prefix = "text_model"
    main_input_name = "text_embeds"

    def __init__(self, config: SpecCLIPTextConfig):
        super().__init__(config)
        self.text_statistics = SpecCLIPStatistics((config.n_sections, config.embedding_dim))
        self.absent_sections = nn.Parameter(torch.empty(config.n_sections, config.embedding_dim))
        self.text_encoder = None
        if config.text_encoder_config is not None:
            encoder = AutoModel.from_config(config.text_encoder_config)
            self.text_encoder = _without_pooler(encoder)
        self._set_trainable()
        self.post_init()

    def load_text_encoder(self, name: str | None = None) -> None:
        """Loads the pretrained weights of the text encoder (a new model starts from random ones).

        Args:
            name: Hub id or path; the configuration's `text_encoder` where left out.

        Raises:
            ValueError: no text encoder is configured, or another architecture is loaded.
        """
        name = name or self.config.text_encoder
        if self.text_encoder is None or name is None:
            raise ValueError("no text encoder: set text_encoder in SpecCLIPTextConfig")
        loaded = _without_pooler(AutoModel.from_pretrained(name, use_safetensors=True))
        try:
            self.text_encoder.load_state_dict(loaded.state_dict())
        except RuntimeError as error:
            raise ValueError(f"{name} is another architecture than configured: {error}") from None

    @property
    def statistics_fitted(self) -> bool:
        """Whether the normalisation has been fitted to training data."""
        return bool(self.text_statistics.fitted)

    @torch.no_grad()
    def fit_statistics(
        self, text_embeds: torch.Tensor, section_mask: torch.Tensor | None = None
    ) -> None:
        """Fits the normalisation of the embeddings to training texts, dimension by dimension,
        absent sections left out. Saved with the weights.

        Args:
            text_embeds: (n, n_sections × d).
            section_mask: bool (n, n_sections), true where a section is present; taken from the
                zeros in `text_embeds` where left out.

        Raises:
            ValueError: other shapes, or embeddings that are not finite.
        """
        sections = self._sections(text_embeds).double()
        mask = self._mask(text_embeds, section_mask)
        weights = mask.double()[:, :, None]
        present = weights.sum(dim=0).clamp(min=1)
        if not torch.isfinite(sections).all():
            raise ValueError("text_embeds hold NaN or infinity")
        mean = (sections * weights).sum(dim=0) / present
        variance = ((sections - mean).square() * weights).sum(dim=0) / present
        std = variance.sqrt()
        if self.config.min_deviation is not None:
            # On a scale this wide they vanish, in texts of any kind.
            std = torch.where(std < self.config.min_deviation, torch.full_like(std, 1e6), std)
        self.text_statistics.set(mean, std)

    @can_return_tuple
    def forward(
        self,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        r"""
        text_embeds (`torch.FloatTensor` of shape `(batch, n_sections * d)`, *optional*):
            Joined embeddings of the sections.
        section_mask (`torch.BoolTensor` of shape `(batch, n_sections)`, *optional*):
            True where a section is present. Left out, a section of zeros (or without tokens) is
            absent.
        input_ids, attention_mask (`torch.LongTensor` of shape `(batch, n_sections, length)`):
            Tokens of the sections, where a text encoder is configured.

        Returns `pooler_output`, the joined sections `(batch, n_sections * d)` on a common scale.
        """
        if (text_embeds is None) == (input_ids is None):
            raise ValueError("give either text_embeds or input_ids")
        if input_ids is not None:
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            if section_mask is None:
                section_mask = attention_mask.any(dim=-1)
            text_embeds = self._encode(input_ids, attention_mask)
        mask = self._mask(text_embeds, section_mask)
        sections = self.text_statistics.normalise(self._sections(text_embeds))
        if self.config.max_deviation is not None:
            most = self.config.max_deviation
            sections = sections.clamp(-most, most)
        dtype = self.absent_sections.dtype
        joined = torch.where(mask[:, :, None], sections.to(dtype), self.absent_sections)
        return BaseModelOutputWithPooling(pooler_output=joined.flatten(1))

    def train(self, mode: bool = True):
        super().train(mode)
        if self.text_encoder is not None and self.config.freeze_text_encoder:
            self.text_encoder.eval()
        return self

    def _set_trainable(self) -> None:
        if self.text_encoder is not None:
            self.text_encoder.requires_grad_(not self.config.freeze_text_encoder)

    def _encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        if self.text_encoder is None:
            raise ValueError(
                "this model takes text_embeds: it was built without a text encoder. Embed the "
                f"sections with {self.config.embedder_name or 'the embedder it was trained on'}"
            )
        batch, sections, length = input_ids.shape
        mask = attention_mask.reshape(-1, length)
        # A section without tokens would attend to nothing and yield NaN.
        seen = mask.clone()
        seen[:, 0] = torch.where(mask.any(dim=1), mask[:, 0], torch.ones_like(mask[:, 0]))
        hidden = self.text_encoder(
            input_ids=input_ids.reshape(-1, length), attention_mask=seen
        ).last_hidden_state.float()
        weights = seen[:, :, None].float()
        pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return F.normalize(pooled, dim=-1).view(batch, sections * hidden.shape[-1])

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


class SpecCLIPProjection(nn.Module):
    """Fully connected network into the shared space."""

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
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            features = self.dropout(norm(F.relu(layer(features))))
        return self.out(features)


class SpecCLIPModel(SpecCLIPPreTrainedModel):
    """
    Dual encoder: spectra and the literature about their sources in one space.

    Example:

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
        joined = config.text_config.n_sections * config.text_config.embedding_dim
        self.text_projection = SpecCLIPProjection(config, joined, config.text_dropout)
        self.logit_scale = nn.Parameter(torch.empty(()))
        # A parameter that no loss uses would hang a distributed run.
        sigmoid = config.contrastive_loss == "sigmoid"
        self.logit_bias = nn.Parameter(torch.empty(())) if sigmoid else None
        self._set_trainable()
        self.post_init()
        self.train()

    def freeze_spectrum_encoder(self, freeze: bool = True) -> None:
        """Keeps the spectrum encoder as it is, or lets it learn again; recorded in the config.

        A frozen encoder gets no gradients and runs without dropout in training, too.
        """
        self.config.freeze_spectrum_encoder = freeze
        self._set_trainable()
        self.train(self.training)

    def train(self, mode: bool = True):
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
        """Spectra in the shared space: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            spectrum_values, spectrum_globals, input_signature: see [`SpecCLIPSpectrumModel`].
        """
        # Decided here and not by requires_grad alone, so that no graph is kept for nothing.
        frozen = self.config.freeze_spectrum_encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            encoded = self.spectrum_model(spectrum_values, spectrum_globals, input_signature)
        return BaseModelOutputWithPooling(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=_unit(self.spectrum_projection(encoded.pooler_output)),
        )

    @can_return_tuple
    def get_text_features(
        self,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Texts in the shared space: `pooler_output` (batch, shared_dim), L2-normalised float32.

        Args:
            text_embeds, section_mask, input_ids, attention_mask: see [`SpecCLIPTextModel`].
        """
        joined = self.text_model(text_embeds, section_mask, input_ids, attention_mask)
        return BaseModelOutputWithPooling(
            pooler_output=_unit(self.text_projection(joined.pooler_output))
        )

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
        text_ids: torch.Tensor | None = None,
        return_loss: bool | None = None,
        **kwargs: Any,
    ) -> SpecCLIPOutput:
        r"""
        spectrum_values, spectrum_globals, input_signature:
            See [`SpecCLIPSpectrumModel`]. Left out, only texts are embedded.
        text_embeds, section_mask, input_ids, attention_mask:
            See [`SpecCLIPTextModel`]. Left out, only spectra are embedded.
        text_ids (`torch.LongTensor` of shape `(batch,)`, *optional*):
            Equal where texts are equal: these are positives of each other (`multi_positive`).
        return_loss (`bool`, *optional*):
            Whether to compute the contrastive loss. Spectrum i then belongs to text i. In
            `torch.distributed`, and while gradients are enabled, the loss is that of the batches of
            all processes together (see `info_nce_loss`, `across_processes`).
        """
        has_spectra = spectrum_values is not None
        has_texts = text_embeds is not None or input_ids is not None
        if not has_spectra and not has_texts:
            raise ValueError("give spectrum_values, text_embeds or input_ids")
        latent = spectra = texts = logits = loss = None
        if has_spectra:
            frozen = self.config.freeze_spectrum_encoder
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                encoded = self.spectrum_model(spectrum_values, spectrum_globals, input_signature)
            latent = encoded.pooler_output
            spectra = _unit(self.spectrum_projection(latent))
        if has_texts:
            joined = self.text_model(text_embeds, section_mask, input_ids, attention_mask)
            texts = _unit(self.text_projection(joined.pooler_output))
        if has_spectra and has_texts:
            logits = spectra @ texts.t() * self._scale()
            if self.logit_bias is not None:
                logits = logits + at_least_float32(self.logit_bias)
        if return_loss:
            if logits is None:
                raise ValueError("return_loss needs spectra and texts")
            loss = self.contrastive_loss(spectra, texts, text_ids)
        return SpecCLIPOutput(
            loss=loss,
            logits_per_spectrum=logits,
            logits_per_text=None if logits is None else logits.t(),
            spectrum_embeds=spectra,
            text_embeds=texts,
            spectrum_latent=latent,
        )

    def contrastive_loss(
        self,
        spectrum_embeds: torch.Tensor,
        text_embeds: torch.Tensor,
        text_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The configured loss between points of the shared space, as `forward` computes it.

        Args:
            spectrum_embeds: (batch, shared_dim).
            text_embeds: (batch, shared_dim), row i belonging to spectrum i.
            text_ids: (batch,) integers, equal where texts are equal; used with `multi_positive`.

        Returns:
            A scalar in float32 or better, over the batches of all processes while gradients are
            enabled (see `info_nce_loss`, `across_processes`), else over this process's.
        """
        if not self.config.multi_positive:
            text_ids = None
        together = torch.is_grad_enabled()
        pairs = (spectrum_embeds, text_embeds, self._scale())
        if self.config.contrastive_loss == "sigmoid":
            return sigmoid_loss(*pairs, self.logit_bias, text_ids, together)
        both = self.config.contrastive_loss == "infonce"
        return info_nce_loss(*pairs, text_ids, "both" if both else "text_to_spectrum", together)

    def _scale(self) -> torch.Tensor:
        scale = at_least_float32(self.logit_scale).exp()
        # The value is bounded, the gradient is not: beyond the bound a clamp's would be zero, and
        # the temperature could never come back.
        return scale + (scale.clamp(max=MAX_LOGIT_SCALE) - scale).detach()


def _unit(embeds: torch.Tensor) -> torch.Tensor:
    """L2-normalised in float32: cosines of close neighbours differ by less than bfloat16 tells."""
    return F.normalize(at_least_float32(embeds), dim=-1)


def _without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Tokens are averaged here, and a parameter that no loss uses would hang a distributed run."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


SpecCLIPSpectrumModel.register_for_auto_class("AutoModel")
SpecCLIPForSpectrumPreTraining.register_for_auto_class("AutoModelForPreTraining")
SpecCLIPTextModel.register_for_auto_class("AutoModel")
SpecCLIPModel.register_for_auto_class("AutoModel")

__all__ = [
    "SpecCLIPForSpectrumPreTraining",
    "SpecCLIPModel",
    "SpecCLIPPreTrainedModel",
    "SpecCLIPSpectrumModel",
    "SpecCLIPTextModel",
]
