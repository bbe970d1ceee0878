"""Base class of the models, spectrum encoder, and autoencoder for pretraining."""

# Optional fields of configurations and the types of submodules are unknown to a type checker.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr"

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, can_return_tuple, logging

from .checkpoint_specclip import CheckedLoading, refuse_damaged_tensors
from .configuration_specclip import SpecCLIPConfig, SpecCLIPSpectrumConfig
from .layers_specclip import (
    SpecCLIPLayer,
    SpecCLIPNumbersEncoder,
    SpecCLIPSpectrumDecoder,
    SpecCLIPSpectrumEmbeddings,
    SpecCLIPStatistics,
)
from .loss_specclip import at_least_float32, poisson_nll

logger = logging.get_logger(__name__)

# Ten times a text encoder of 200 million parameters.
MAX_PARAMETERS = 2**31


class SpecCLIPPreTrainedModel(CheckedLoading, PreTrainedModel):
    """Base class of the models: weight initialisation, and loading from safetensors only."""

    config: SpecCLIPConfig
    base_model_prefix = "specclip"
    main_input_name = "spectrum_values"
    supports_gradient_checkpointing = True
    _no_split_modules = ["SpecCLIPLayer"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True
    # bfloat16 would change these scalars and statistics noticeably.
    _keep_in_fp32_modules_strict = [  # noqa: RUF012
        "logit_scale",
        "value_statistics",
        "global_statistics",
        "text_statistics",
        "log_rate_offset",
    ]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """Load a model; see `PreTrainedModel.from_pretrained`.

        Raises:
            ValueError: pickled weights are requested, the folder or its configuration is unsafe or
                damaged, or a tensor is missing, of the wrong shape or not finite.
            OSError: there are no safetensors weights. A `pytorch_model.bin` is not read, because a
                pickle can run any code.
        """
        if kwargs.get("use_safetensors") is False:
            raise ValueError(
                "SpecCLIP models load safetensors weights only (a pickle can run any code): leave "
                "use_safetensors out, and convert the weights with safetensors.torch.save_file"
            )
        kwargs["use_safetensors"] = True
        with_info = kwargs.pop("output_loading_info", False)
        # `refuse_damaged_tensors` names the tensors with other shapes.
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        refuse_damaged_tensors(model, info, pretrained_model_name_or_path)
        # Loading creates new parameters, all of them trainable.
        for module in model.modules():
            if isinstance(module, SpecCLIPPreTrainedModel):
                module._set_trainable()
        return (model, info) if with_info else model

    def post_init(self) -> None:
        """Initialise the weights; see `PreTrainedModel.post_init`.

        Raises:
            ValueError: the model is too large. `from_pretrained` calls this before it reads
                weights.
        """
        size = sum(value.numel() for value in (*self.parameters(), *self.buffers()))
        if size > MAX_PARAMETERS:
            raise ValueError(
                f"this configuration asks for {size:,} numbers, more than {MAX_PARAMETERS:,}: it "
                "is damaged, or not of a SpecCLIP model"
            )
        super().post_init()

    def _set_trainable(self) -> None:
        """Freeze the modules that the configuration freezes."""

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SpecCLIPStatistics):
            module.reset()
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, SpecCLIPSpectrumEmbeddings):
            # With the norm of the other tokens: a short token would have large gradients at the
            # first layer norm.
            init.normal_(module.class_token, std=1.0)
            init.normal_(module.position_embedding, std=0.02)
            if module.config.mask_ratio:
                init.normal_(module.mask_token, std=1.0)
        elif isinstance(module, SpecCLIPSpectrumDecoder):
            # The position embeddings are the decoder's only information on the bins.
            init.normal_(module.position_embedding, std=1.0)


@dataclass
class SpecCLIPPreTrainingOutput(ModelOutput):
    r"""
    Output of [`SpecCLIPForSpectrumPreTraining`].

    loss (`torch.FloatTensor` of shape `()`, *optional*):
        Reconstruction loss; `None` for `"poisson"` without `target_counts`.
    reconstruction (`torch.FloatTensor`):
        For `"mae"`, the reconstructed input `(batch, channels, n_bins)`. For `"poisson"`, the
        natural logarithm of the source rate `(batch, n_bins)`, in counts per second and bin if
        trained with `target_exposure`, else in counts per observation and bin.
    latent (`torch.FloatTensor` of shape `(batch, latent_dim)`):
        Input of the decoder.
    """

    loss: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    latent: torch.FloatTensor | None = None


class SpecCLIPSpectrumModel(SpecCLIPPreTrainedModel):
    """
    Spectrum encoder: a pre-norm transformer over patches of energy bins and a token of global
    features, with the latent at the class token; or, with `encoder="mlp"`, a fully connected
    network on the global features only.

    Examples:

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
        self._checked_fit = False
        self.post_init()

    @property
    def statistics_fitted(self) -> bool:
        """True once the normalisation has been fitted to training data."""
        return bool(self.value_statistics.fitted)

    @torch.no_grad()
    def fit_statistics(
        self, values: torch.Tensor, global_values: torch.Tensor | None = None
    ) -> None:
        """Fit the normalisation of the channels and global features to training spectra.

        Args:
            values: `spectrum_values` (n, channels, n_bins) of the feature extractor.
            global_values: `spectrum_globals` (n, globals), if the input kind has global features.

        Raises:
            ValueError: no rows, wrong shape, NaN or infinity.
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
            From [`SpecCLIPFeatureExtractor`], if the input kind has global features.
        input_signature (`torch.LongTensor` of shape `(batch,)`, *optional*):
            From [`SpecCLIPFeatureExtractor`]; inputs with other settings are refused.
        masked_patches (`torch.BoolTensor` of shape `(batch, patches)`, *optional*):
            Patches to mask; needs a positive `mask_ratio` in the configuration.

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
        """Refuse input for another model; warn if the normalisation is not fitted."""
        if signature is None:
            logger.warning_once(
                "input_signature is missing, so the preparation of these spectra cannot be "
                "checked: pass everything that the SpecCLIPFeatureExtractor returns."
            )
        else:
            config = self.config
            if (signature != config.input_signature).any():
                settings = {"input_kind": config.input_kind, **config.grid}
                raise ValueError(
                    "these spectra were prepared for another model, this one needs "
                    f"{', '.join(f'{name}={value!r}' for name, value in settings.items())}. Use "
                    "the SpecCLIPFeatureExtractor saved with the model"
                )
        if not self._checked_fit and self.config.input_kind != "minmax" and not self.training:
            self._checked_fit = True  # once, since reading a buffer synchronises the accelerator
            if not self.statistics_fitted:
                logger.warning_once(
                    "the normalisation of this model was never fitted: call fit_statistics before "
                    "training."
                )


class SpecCLIPForSpectrumPreTraining(SpecCLIPPreTrainedModel):
    """
    Autoencoder of spectra for pretraining.

    With `reconstruction_loss="mae"` (the paper) it reconstructs its input. With `"poisson"` it
    predicts the source rate per bin, and the loss is the likelihood of `target_counts`; the
    encoder may then see a thinned or masked spectrum.

    Examples:

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
        # Mean rates of the training data, from which the decoder starts; see `fit_statistics`.
        self.register_buffer("log_rate_offset", torch.zeros(config.n_bins))
        self.post_init()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Save the model so that `AutoModel` can load the encoder; see `PreTrainedModel`."""
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
        """Fit the encoder's normalisation and, for `"poisson"`, the initial rates of the decoder.

        Args:
            values: `spectrum_values` (n, channels, n_bins).
            global_values: `spectrum_globals` (n, globals).
            target_counts: (n, n_bins); see `forward`.
            target_exposure: (n,), s; see `forward`.

        Raises:
            ValueError: see `SpecCLIPSpectrumModel.fit_statistics`.
        """
        self.spectrum_model.fit_statistics(values, global_values)
        if target_counts is None:
            return
        counts = target_counts.double()
        time = len(counts) if target_exposure is None else target_exposure.double().sum()
        # One extra count, distributed over all bins, keeps the logarithm of empty bins finite.
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
            Their exposure, s. By default, the decoder predicts counts per observation.
        target_background (`torch.Tensor` of shape `(batch, n_bins)`, *optional*):
            Expected background counts, which the decoder then does not predict.
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
            # Avoids overflow; no detector has such a rate.
            reconstruction = reconstruction.clamp(max=20.0)
            if target_counts is not None:
                loss = poisson_nll(
                    reconstruction, target_counts, target_exposure, target_background
                )
        else:
            reconstruction = self.spectrum_model.value_statistics.restore(decoded)
            loss = (reconstruction - at_least_float32(spectrum_values)).abs().mean()
        return SpecCLIPPreTrainingOutput(loss=loss, reconstruction=reconstruction, latent=latent)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.zeros_(self.log_rate_offset)
        else:
            super()._init_weights(module)

    def _draw_mask(self, values: torch.Tensor) -> torch.Tensor:
        """Draw the masked patches, the same number in every spectrum."""
        patches = self.config.num_patches
        n_masked = round(self.config.mask_ratio * patches)
        order = torch.rand(values.shape[0], patches, device=values.device).argsort(dim=1)
        return order < n_masked


SpecCLIPSpectrumModel.register_for_auto_class("AutoModel")
SpecCLIPForSpectrumPreTraining.register_for_auto_class("AutoModelForPreTraining")

__all__ = [
    "SpecCLIPForSpectrumPreTraining",
    "SpecCLIPPreTrainedModel",
    "SpecCLIPSpectrumModel",
]
