"""Configurations of the spectrum encoder, the text encoder and the dual encoder.

The files of this folder import only each other: they are saved with the weights and load with
`trust_remote_code=True` where the package is not installed.
"""

import difflib
import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from .checkpoint_specclip import refuse_foreign_settings
from .spectrum_input_specclip import (
    CHANNELS,
    GLOBALS,
    InputKind,
    check_input_settings,
    input_signature,
)
from .variables_specclip import AXIS, HARDNESS_BANDS, SECTIONS, WINDOWS

# Layers are created one by one: a damaged number would keep a process busy for hours.
MAX_LAYERS, MAX_SECTIONS = 1000, 100


class SpecCLIPPreTrainedConfig(PreTrainedConfig):
    """Base class of the configurations; refuses saved settings that name other code or files."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """See `PreTrainedConfig.from_dict`.

        Raises:
            ValueError: it names external code or files; see `refuse_foreign_settings`.
        """
        refuse_foreign_settings(config_dict)
        return super().from_dict(config_dict, **kwargs)


@strict
class SpecCLIPSpectrumConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the spectrum encoder ([`SpecCLIPSpectrumModel`]) and of the autoencoder that
    contains it ([`SpecCLIPForSpectrumPreTraining`]).

    Args:
        n_bins (`int`, defaults to 400):
            Number of energy bins of equal width; a multiple of `patch_size`.
        energy_range (`tuple[float, float]`, defaults to `(0.5, 8.0)`):
            Lower and upper edge of the bins, in the unit of the axis (keV).
        axis (`tuple[str, str]`, defaults to `("energy", "keV")`):
            Name and unit of the axis of the counts; may also be a wavelength or a time.
        bands (three pairs of floats, defaults to 0.5–1.2, 1.2–2 and 2–7):
            Bands of the hardness ratios of `"physics"` and `"flux"`, in the unit of the axis.
        windows (`tuple[float, float]`, defaults to `(0.3, 0.4)`):
            Widths of the running means of the shape and the background channel, in the same unit.
        input_kind (`str`, defaults to `"minmax"`):
            `"minmax"`: count rate per bin, min-max normalised per spectrum (the paper).
            `"physics"`: channels of counts, background and shape, and global features with their
            uncertainties. `"flux"`: the same with global features of fluxes, which need the
            effective area (see [`SpecCLIPFeatureExtractor`]).
        num_channels (`int`, *optional*):
            Number of channels per bin; follows from `input_kind`.
        num_globals (`int`, *optional*):
            Number of global features per spectrum; follows from `input_kind`.
        encoder (`str`, defaults to `"transformer"`):
            `"transformer"`: over patches of bins (the paper). `"mlp"`: fully connected, on the
            global features only; about a hundred times faster, and sufficient for faint spectra,
            which contain little more than their counts per band.
        patch_size (`int`, defaults to 20):
            Number of bins per token.
        hidden_size (`int`, defaults to 128):
            Width of the tokens.
        num_hidden_layers (`int`, defaults to 4):
            Number of encoder layers.
        num_attention_heads (`int`, defaults to 4):
            Number of attention heads per layer.
        intermediate_size (`int`, defaults to 256):
            Width of the feed-forward blocks.
        hidden_act (`str`, defaults to `"gelu"`):
            Activation of the feed-forward blocks.
        dropout (`float`, defaults to 0.1):
            Dropout on tokens and attention weights.
        layer_norm_eps (`float`, defaults to 1e-5):
            Added to the variance in layer norms.
        latent_dim (`int`, defaults to 64):
            Size of the latent, 64 in the paper.
        decoder_hidden_size (`int`, defaults to 128):
            Width of the decoder's tokens; a multiple of `num_attention_heads`.
        decoder_layers (`int`, defaults to 2):
            Number of decoder layers.
        reconstruction_loss (`str`, defaults to `"mae"`):
            `"mae"`: mean absolute error of the input (the paper). `"poisson"`: Poisson likelihood
            of the counts, where the decoder predicts the logarithm of the source count rate.
        mask_ratio (`float`, defaults to 0.0):
            Fraction of the patches masked in training; all bins are reconstructed.

    Examples:

    ```python
    >>> from hf_specclip import SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel

    >>> config = SpecCLIPSpectrumConfig(input_kind="physics")
    >>> model = SpecCLIPSpectrumModel(config)
    ```"""

    model_type = "specclip_spectrum"
    base_config_key = "spectrum_config"

    n_bins: int = 400
    energy_range: tuple[float | int, float | int] | list[float | int] = (0.5, 8.0)
    axis: tuple[str, str] | list[str] = AXIS
    bands: tuple | list = HARDNESS_BANDS
    windows: tuple[float | int, float | int] | list[float | int] = WINDOWS
    input_kind: InputKind = "minmax"
    num_channels: int | None = None
    num_globals: int | None = None
    encoder: Literal["transformer", "mlp"] = "transformer"
    patch_size: int = 20
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 256
    hidden_act: str = "gelu"
    dropout: float | int = 0.1
    layer_norm_eps: float = 1e-5
    latent_dim: int = 64
    decoder_hidden_size: int = 128
    decoder_layers: int = 2
    reconstruction_loss: Literal["mae", "poisson"] = "mae"
    mask_ratio: float | int = 0.0

    def __post_init__(self, **kwargs: Any):
        _refuse_typos(self, kwargs)
        # A saved configuration is JSON, where tuples have become lists.
        if len(self.energy_range) == 2:  # other lengths are refused by the validation
            low, high = self.energy_range
            self.energy_range = (float(low), float(high))
        self.axis = tuple(self.axis)  # type: ignore[assignment]
        self.bands = tuple(tuple(map(float, band)) for band in self.bands)
        self.windows = tuple(map(float, self.windows))  # type: ignore[assignment]
        if self.input_kind in CHANNELS:
            for name, names in (("num_channels", CHANNELS), ("num_globals", GLOBALS)):
                given, expected = getattr(self, name), len(names[self.input_kind])
                if given not in (None, expected):
                    raise ValueError(
                        f"{name} is {given}, but input_kind {self.input_kind!r} has {expected}: "
                        "leave it out"
                    )
                setattr(self, name, expected)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict`-powered validation."""
        check_input_settings(
            self.input_kind, self.n_bins, self.energy_range, self.axis, self.bands, self.windows
        )
        _check_positive(
            self,
            "patch_size",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
            "latent_dim",
            "decoder_hidden_size",
        )
        _check_fraction(self, "dropout", "mask_ratio")
        if self.encoder == "mlp" and not self.num_globals:
            raise ValueError(
                f'encoder "mlp" reads global features, and input_kind {self.input_kind!r} has '
                'none: choose "flux" or "physics", or another encoder'
            )
        if self.encoder == "mlp" and self.mask_ratio:
            raise ValueError('mask_ratio masks patches, and encoder "mlp" has none: set it to 0')
        for name in ("num_hidden_layers", "decoder_layers"):
            if not 0 <= getattr(self, name) <= MAX_LAYERS:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be 0 to {MAX_LAYERS}")
        if self.n_bins % self.patch_size:
            divisors = (n for n in range(1, self.n_bins + 1) if self.n_bins % n == 0)
            closest = sorted(divisors, key=lambda n: abs(math.log(n / self.patch_size)))[:3]
            raise ValueError(
                f"n_bins ({self.n_bins}) is not a multiple of patch_size ({self.patch_size}): "
                f"choose a divisor, such as {', '.join(map(str, sorted(closest)))}"
            )
        for name in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, name) % self.num_attention_heads:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) is not a multiple of num_attention_heads "
                    f"({self.num_attention_heads})"
                )

    @property
    def grid(self) -> dict[str, Any]:
        """Arguments of the matching `SpecCLIPFeatureExtractor`, except `input_kind`."""
        names = ("n_bins", "energy_range", "axis", "bands", "windows")
        return {name: getattr(self, name) for name in names}

    @property
    def num_patches(self) -> int:
        """Number of patch tokens."""
        return self.n_bins // self.patch_size

    @property
    def input_signature(self) -> int:
        """Signature of the inputs of a feature extractor with these settings."""
        return input_signature(self)


@strict
class SpecCLIPTextConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the text encoder ([`SpecCLIPTextModel`]). It takes embeddings, or tokens where
    a transformers encoder is configured.

    Args:
        reads (`str`, defaults to `"sections"`):
            `"sections"`: the sections of a summary, embedded separately and concatenated (the
            paper). `"sentences"`: a set of sentences, pooled by attention, so that a query, an
            abstract and a summary are the same type of input.
        embedding_dim (`int`, *optional*, defaults to 1536):
            Size of the embedding of one section or sentence: 1,536 for OpenAI's Ada-002 (the
            paper), 384 for all-MiniLM-L6-v2. Follows from the text encoder where there is one.
        numbers_dim (`int`, defaults to 0):
            Width of the encoded quantities (photon index, column density, …) of a sentence.
        num_frequencies (`int`, defaults to 0):
            Number of frequencies at which sines and cosines of the quantities' values are appended
            to the encoded quantities.
        hidden_size (`int`, defaults to 256):
            Width of a sentence, and of the pooled text.
        num_attention_heads (`int`, defaults to 4):
            Number of heads of the attention pooling.
        dropout (`float`, defaults to 0.1):
            Dropout on the sentences before pooling.
        embedding_dropout (`float`, defaults to 0.0):
            Dropout on the sentence embeddings. It is not applied to the encoded quantities, since
            authors differ in their wording but not in what they measure.
        n_sections (`int`, defaults to 3):
            Number of sections; follows from `sections` where given.
        sections (`list[str]`, *optional*):
            Names of the sections, in the order of the embeddings; `identity`, `spectrum` and
            `context` by default if `n_sections` is 3.
        embedder_name (`str`, *optional*):
            Embedder of the training texts; queries must be embedded by the same one.
        embedder_probe (`list[float]`, *optional*):
            First components of its unit vector for a fixed sentence, to recognise the model behind
            a server.
        text_encoder (`str`, *optional*):
            Hub id or path of a transformers encoder that reads tokens. Its configuration and
            weights are saved with the model.
        text_encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the text encoder; read from `text_encoder` by default.
        max_length (`int`, defaults to 256):
            Maximum number of tokens per section or sentence; longer ones are truncated.
        freeze_text_encoder (`bool`, defaults to `False`):
            Freeze the text encoder in training.

    Examples:

    ```python
    >>> from hf_specclip import SpecCLIPTextConfig, SpecCLIPTextModel

    >>> model = SpecCLIPTextModel(SpecCLIPTextConfig(embedding_dim=384, reads="sentences"))
    ```"""

    model_type = "specclip_text"
    base_config_key = "text_config"

    reads: Literal["sections", "sentences"] = "sections"
    embedding_dim: int | None = None
    numbers_dim: int = 0
    num_frequencies: int = 0
    hidden_size: int = 256
    num_attention_heads: int = 4
    dropout: float | int = 0.1
    embedding_dropout: float | int = 0.0
    n_sections: int = len(SECTIONS)
    sections: list[str] | tuple[str, ...] | None = None
    embedder_name: str | None = None
    embedder_probe: list[float] | None = None
    text_encoder: str | None = None
    text_encoder_config: dict | PreTrainedConfig | None = None
    max_length: int = 256
    freeze_text_encoder: bool = False

    def __post_init__(self, **kwargs: Any):
        _refuse_typos(self, kwargs)
        if max(self.n_sections, len(self.sections or ())) > MAX_SECTIONS:
            raise ValueError(f"there can be at most {MAX_SECTIONS} sections, not {self.n_sections}")
        if self.sections is None:
            default = self.n_sections == len(SECTIONS)
            names = SECTIONS if default else [f"section_{i + 1}" for i in range(self.n_sections)]
            self.sections = list(names)
        elif self.n_sections not in (len(SECTIONS), len(self.sections)):
            raise ValueError(
                f"n_sections is {self.n_sections}, but {len(self.sections)} sections are named: "
                "leave it out"
            )
        self.sections, self.n_sections = list(self.sections), len(self.sections)
        encoder = self.text_encoder_config
        if encoder is None and self.text_encoder is not None:
            encoder = AutoConfig.from_pretrained(self.text_encoder)
        elif isinstance(encoder, dict):
            model_type = str(encoder.get("model_type"))
            if model_type not in CONFIG_MAPPING:
                raise ValueError(
                    f"text_encoder_config has model_type {model_type!r}, which transformers does "
                    "not support: choose another text encoder"
                )
            encoder = CONFIG_MAPPING[model_type](**encoder)
        self.text_encoder_config = encoder
        if encoder is not None:
            size = encoder.get_text_config().hidden_size
            if self.embedding_dim not in (None, size):
                raise ValueError(
                    f"embedding_dim is {self.embedding_dim}, but the text encoder gives {size}: "
                    "leave it out"
                )
            self.embedding_dim = size
        elif self.embedding_dim is None:
            self.embedding_dim = 1536
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict`-powered validation."""
        _check_positive(
            self, "embedding_dim", "n_sections", "max_length", "hidden_size", "num_attention_heads"
        )
        _check_fraction(self, "dropout", "embedding_dropout")
        names = self.sections or ()
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"sections are {list(names)}, they must be unique, non-empty names")
        for name in ("numbers_dim", "num_frequencies"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 0")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) is not a multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )

    @property
    def output_size(self) -> int:
        """Width of an encoded text, before the projection."""
        if self.reads == "sentences":
            return self.hidden_size
        return self.n_sections * int(self.embedding_dim or 0)


@strict
class SpecCLIPConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the dual encoder ([`SpecCLIPModel`]).

    Args:
        spectrum_config (`dict` or `SpecCLIPSpectrumConfig`, *optional*):
            Configuration of the spectrum encoder.
        text_config (`dict` or `SpecCLIPTextConfig`, *optional*):
            Configuration of the text encoder.
        shared_dim (`int`, defaults to 64):
            Size of the shared space.
        projection_hidden_size (`int`, defaults to 512):
            Width of the hidden layers of the two projections.
        projection_layers (`int`, defaults to 2):
            Number of linear layers of each projection.
        dropout (`float`, defaults to 0.2):
            Dropout between the layers of a projection.
        text_dropout (`float`, *optional*):
            Dropout of the text projection, if it differs: text embeddings are wide, and overfit
            long before the spectra are learned.
        projection_norm (`bool`, defaults to `False`):
            Add a layer norm to each hidden layer of the projections.
        contrastive_loss (`str`, defaults to `"infonce_text_to_spectrum"`):
            `"infonce_text_to_spectrum"`: InfoNCE from texts to spectra (the paper). `"infonce"`:
            the mean of both directions (CLIP).
        multi_positive (`bool`, defaults to `True`):
            Treat detections that share a text as positives of each other. If `False`, equal texts
            of different rows count as negatives.
        logit_scale_init_value (`float`, defaults to 2.6593):
            Initial logarithm of the inverse temperature; the default is a temperature of 0.07.
        learn_logit_scale (`bool`, defaults to `True`):
            Train the temperature.
        freeze_spectrum_encoder (`bool`, defaults to `False`):
            Freeze the spectrum encoder, in evaluation mode, as in the paper, which aligns the
            latents of a pretrained encoder.

    Examples:

    ```python
    >>> from hf_specclip import SpecCLIPConfig, SpecCLIPModel

    >>> config = SpecCLIPConfig(
    ...     spectrum_config={"input_kind": "physics"}, text_config={"embedding_dim": 384}
    ... )
    >>> model = SpecCLIPModel(config)
    ```"""

    model_type = "specclip"
    sub_configs_defaults = {  # noqa: RUF012
        "spectrum_config": SpecCLIPSpectrumConfig,  # type: ignore[dict-item]
        "text_config": SpecCLIPTextConfig,  # type: ignore[dict-item]
    }

    spectrum_config: dict | SpecCLIPSpectrumConfig | None = None
    text_config: dict | SpecCLIPTextConfig | None = None
    shared_dim: int = 64
    projection_hidden_size: int = 512
    projection_layers: int = 2
    dropout: float | int = 0.2
    text_dropout: float | int | None = None
    projection_norm: bool = False
    contrastive_loss: Literal["infonce_text_to_spectrum", "infonce"] = "infonce_text_to_spectrum"
    multi_positive: bool = True
    logit_scale_init_value: float | int = math.log(1 / 0.07)
    learn_logit_scale: bool = True
    freeze_spectrum_encoder: bool = False

    def __post_init__(self, **kwargs: Any):
        kwargs.pop("logit_bias_init_value", None)  # setting of a loss of earlier versions
        _refuse_typos(self, kwargs)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict`-powered validation."""
        _check_positive(self, "shared_dim", "projection_hidden_size", "projection_layers")
        if self.projection_layers > MAX_LAYERS:
            raise ValueError(f"projection_layers is {self.projection_layers}, above {MAX_LAYERS}")
        _check_fraction(self, "dropout")
        if self.text_dropout is not None:
            _check_fraction(self, "text_dropout")


def _check_positive(config: PreTrainedConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, it must be at least 1")


def _check_fraction(config: PreTrainedConfig, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, it must be in [0, 1)")


def _refuse_typos(config: PreTrainedConfig, unknown: dict[str, Any]) -> None:
    """Refuse misspelt settings, which `PreTrainedConfig` would keep silently."""
    names = list(type(config).__annotations__)
    for name in unknown:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
        if close:
            raise ValueError(
                f"{type(config).__name__} has no setting {name!r}: did you mean {close[0]!r}?"
            )


SpecCLIPSpectrumConfig.register_for_auto_class()
SpecCLIPTextConfig.register_for_auto_class()
SpecCLIPConfig.register_for_auto_class()

__all__ = [
    "SpecCLIPConfig",
    "SpecCLIPPreTrainedConfig",
    "SpecCLIPSpectrumConfig",
    "SpecCLIPTextConfig",
]
