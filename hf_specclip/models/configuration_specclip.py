"""Configurations of the spectrum encoder, the text side and the dual encoder.

The model files are one flat folder that imports nothing of the package around it: they are saved
beside the weights and load with `trust_remote_code=True` where the package is not installed.
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

# Layers are made one by one: a damaged number would keep a process busy for hours.
MAX_LAYERS, MAX_SECTIONS = 1000, 100


class SpecCLIPPreTrainedConfig(PreTrainedConfig):
    """Base of the configurations; a saved one that leads to other code or files is refused."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """See `PreTrainedConfig.from_dict`.

        Raises:
            ValueError: it names code or files that did not come with it.
        """
        refuse_foreign_settings(config_dict)
        return super().from_dict(config_dict, **kwargs)


@strict
class SpecCLIPSpectrumConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the spectrum encoder ([`SpecCLIPSpectrumModel`]) and of the autoencoder around
    it ([`SpecCLIPForSpectrumPreTraining`]).

    Args:
        n_bins (`int`, defaults to 400):
            Number of equal energy bins; a multiple of `patch_size`.
        energy_range (`tuple[float, float]`, defaults to `(0.5, 8.0)`):
            Lower and upper edge of the bins, in the unit of the axis (keV).
        axis (`tuple[str, str]`, defaults to `("energy", "keV")`):
            Name and unit of the axis of the counts; a wavelength or a time will do, too.
        bands (three pairs of floats, defaults to 0.5–1.2, 1.2–2 and 2–7):
            Bands that `"physics"` and `"flux"` compare in three ratios, in the unit of the axis.
        windows (`tuple[float, float]`, defaults to `(0.3, 0.4)`):
            Widths over which they average the shape and the background, in the same unit.
        input_kind (`str`, defaults to `"minmax"`):
            `"minmax"`: the paper's input, count rates per bin, min-max normalised for each spectrum
            by itself. `"physics"`: counts, background and shape along the bins, and numbers with
            their uncertainties for the whole spectrum. `"flux"`: the same with the numbers made of
            fluxes, for which the effective area is needed (see [`SpecCLIPFeatureExtractor`]).
        num_channels (`int`, *optional*):
            Channels along the bins; follows from `input_kind`.
        num_globals (`int`, *optional*):
            Numbers for the whole spectrum; follows from `input_kind`.
        encoder (`str`, defaults to `"transformer"`):
            `"transformer"`: over patches of the bins (the paper). `"mlp"`: fully connected, on the
            numbers for the whole spectrum alone; needs an `input_kind` that has them. Some tens of
            counts say little more than their sums over bands, and it is some hundred times faster.
        patch_size (`int`, defaults to 20):
            Bins in one token.
        hidden_size (`int`, defaults to 128):
            Width of the tokens.
        num_hidden_layers (`int`, defaults to 4):
            Layers of the encoder.
        num_attention_heads (`int`, defaults to 4):
            Attention heads in every layer.
        intermediate_size (`int`, defaults to 256):
            Width inside the feed-forward blocks.
        hidden_act (`str`, defaults to `"gelu"`):
            Their activation.
        dropout (`float`, defaults to 0.1):
            Dropout on tokens and attention weights.
        layer_norm_eps (`float`, defaults to 1e-5):
            Added to the variance in layer norms.
        latent_dim (`int`, defaults to 64):
            Size of the latent, 64 in the paper.
        decoder_hidden_size (`int`, defaults to 128):
            Width of the decoder's tokens; a multiple of `num_attention_heads`.
        decoder_layers (`int`, defaults to 2):
            Layers of the decoder.
        reconstruction_loss (`str`, defaults to `"mae"`):
            `"mae"`: mean absolute error of the input (the paper). `"poisson"`: the decoder gives
            the logarithm of the source's count rate in each bin and the loss is the Poisson
            likelihood of the counts.
        mask_ratio (`float`, defaults to 0.0):
            Share of the patches hidden from the encoder in training; all bins are reconstructed.

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
        _refuse_typing_errors(self, kwargs)
        if len(self.energy_range) == 2:  # else the validation says so
            low, high = self.energy_range
            self.energy_range = (float(low), float(high))  # JSON has lists only
        self.axis = tuple(self.axis)  # type: ignore[assignment]
        self.bands = tuple(tuple(map(float, band)) for band in self.bands)
        self.windows = tuple(map(float, self.windows))  # type: ignore[assignment]
        if self.input_kind in CHANNELS:
            given = {"num_channels": self.num_channels, "num_globals": self.num_globals}
            right = {
                "num_channels": len(CHANNELS[self.input_kind]),
                "num_globals": len(GLOBALS[self.input_kind]),
            }
            for name, value in right.items():
                if given[name] not in (None, value):
                    raise ValueError(
                        f"{name} is {given[name]}, but input_kind {self.input_kind!r} has {value}: "
                        "leave it out"
                    )
                setattr(self, name, value)
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
        _check_share(self, "dropout", "mask_ratio")
        if self.encoder == "mlp" and not self.num_globals:
            raise ValueError(
                f'encoder "mlp" reads numbers for the whole spectrum, and input_kind '
                f'{self.input_kind!r} has none: choose "flux" or "physics", or another encoder'
            )
        if self.encoder == "mlp" and self.mask_ratio:
            raise ValueError('mask_ratio hides patches, and encoder "mlp" has none: set it to 0')
        for name in ("num_hidden_layers", "decoder_layers"):
            if not 0 <= getattr(self, name) <= MAX_LAYERS:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be 0 to {MAX_LAYERS}")
        if self.n_bins % self.patch_size:
            divisors = (n for n in range(1, self.n_bins + 1) if self.n_bins % n == 0)
            closest = sorted(divisors, key=lambda n: abs(math.log(n / self.patch_size)))[:3]
            raise ValueError(
                f"n_bins ({self.n_bins}) is no multiple of patch_size ({self.patch_size}): choose "
                f"a patch_size that divides it, such as {', '.join(map(str, sorted(closest)))}"
            )
        for name in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, name) % self.num_attention_heads:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) is no multiple of num_attention_heads "
                    f"({self.num_attention_heads})"
                )

    @property
    def grid(self) -> dict[str, Any]:
        """Settings that a `SpecCLIPFeatureExtractor` takes beside the input kind."""
        names = ("n_bins", "energy_range", "axis", "bands", "windows")
        return {name: getattr(self, name) for name in names}

    @property
    def num_patches(self) -> int:
        """Number of tokens along the bins."""
        return self.n_bins // self.patch_size

    @property
    def input_signature(self) -> int:
        """Signature in the tensors of a feature extractor with these settings."""
        return input_signature(
            self.input_kind,
            self.n_bins,
            self.energy_range,
            axis=self.axis,
            bands=self.bands,
            windows=self.windows,
        )


@strict
class SpecCLIPTextConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the text side ([`SpecCLIPTextModel`]). Embeddings are given, or made by a text
    encoder inside the model.

    Args:
        reads (`str`, defaults to `"sections"`):
            `"sections"`: the sections of a summary, embedded apart and joined (the paper).
            `"sentences"`: a text as a set of sentences, pooled by attention: a question, an
            abstract and a summary are inputs of one kind.
        embedding_dim (`int`, *optional*, defaults to 1536):
            Size of the embedding of one section or sentence: 1,536 for OpenAI's Ada-002 (the
            paper), 384 for all-MiniLM-L6-v2. With a text encoder it follows from that.
        numbers_dim (`int`, defaults to 0):
            Numbers of the quantities that a sentence states, beside its embedding.
        hidden_size (`int`, defaults to 256):
            Width of a sentence, and of a text pooled from sentences.
        num_attention_heads (`int`, defaults to 4):
            Heads that pool the sentences.
        dropout (`float`, defaults to 0.1):
            Dropout on the sentences before they are pooled.
        embedding_dropout (`float`, defaults to 0.0):
            Dropout on their embeddings, which stated quantities do not have: how something is said
            differs between authors, what is measured does not.
        n_sections (`int`, defaults to 3):
            Number of sections; follows from `sections` where those are named.
        sections (`list[str]`, *optional*):
            Their names, in the order of the embeddings; `identity`, `spectrum` and `context` where
            there are three and nothing is said.
        embedder_name (`str`, *optional*):
            Embedder of the texts the model was trained on. Others must come from the same.
        embedder_probe (`list[float]`, *optional*):
            First numbers of its unit vector for a fixed sentence, where it is a server.
        text_encoder (`str`, *optional*):
            Hub id or path of a transformers encoder that reads tokens. Its configuration is copied
            into this one and its weights are saved with the model, so that both load without it.
        text_encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            That configuration; read from `text_encoder` where it is left out.
        max_length (`int`, defaults to 256):
            Tokens of one section or sentence, the rest is cut off.
        freeze_text_encoder (`bool`, defaults to `False`):
            Keep the text encoder fixed in training.

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
        _refuse_typing_errors(self, kwargs)
        if max(self.n_sections, len(self.sections or ())) > MAX_SECTIONS:
            raise ValueError(f"there can be at most {MAX_SECTIONS} sections, not {self.n_sections}")
        if self.sections is None:
            plain = self.n_sections == len(SECTIONS)
            names = SECTIONS if plain else [f"section_{i + 1}" for i in range(self.n_sections)]
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
                    "not know: choose a text encoder that transformers has code for"
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
        _check_share(self, "dropout", "embedding_dropout")
        names = self.sections or ()
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"sections are {list(names)}, they must be different names")
        if self.numbers_dim < 0:
            raise ValueError(f"numbers_dim is {self.numbers_dim}, it must be at least 0")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) is no multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )

    @property
    def output_size(self) -> int:
        """Width of the numbers that stand for a text, before the projection."""
        if self.reads == "sentences":
            return self.hidden_size
        return self.n_sections * int(self.embedding_dim or 0)


@strict
class SpecCLIPConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of the dual encoder ([`SpecCLIPModel`]).

    Args:
        spectrum_config (`dict` or `SpecCLIPSpectrumConfig`, *optional*):
            The spectrum side.
        text_config (`dict` or `SpecCLIPTextConfig`, *optional*):
            The text side.
        shared_dim (`int`, defaults to 64):
            Size of the shared space.
        projection_hidden_size (`int`, defaults to 512):
            Width inside the two fully connected networks that lead into it.
        projection_layers (`int`, defaults to 2):
            Linear layers in each of them.
        dropout (`float`, defaults to 0.2):
            Dropout between them.
        text_dropout (`float`, *optional*):
            The same in the network of the texts, where it differs: a text is thousands of numbers
            and is overlearned long before the spectra are learned.
        projection_norm (`bool`, defaults to `False`):
            End each hidden layer of the two networks in a layer norm.
        contrastive_loss (`str`, defaults to `"infonce_text_to_spectrum"`):
            `"infonce_text_to_spectrum"`: the paper's, each text chooses among the spectra.
            `"infonce"`: the mean of both directions.
        multi_positive (`bool`, defaults to `True`):
            Treat detections that share a text as positives of each other. `False`: only a
            spectrum and its own text are, and equal texts count as negatives.
        logit_scale_init_value (`float`, defaults to 2.6593):
            Logarithm of the inverse temperature at the start; the default is a temperature of 0.07.
        learn_logit_scale (`bool`, defaults to `True`):
            Learn the temperature.
        freeze_spectrum_encoder (`bool`, defaults to `False`):
            Keep the spectrum encoder fixed (and in evaluation mode) in training: the paper aligns
            the latents of a pretrained encoder.

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
        kwargs.pop("logit_bias_init_value", None)  # of a loss that earlier versions had
        _refuse_typing_errors(self, kwargs)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict`-powered validation."""
        _check_positive(self, "shared_dim", "projection_hidden_size", "projection_layers")
        if self.projection_layers > MAX_LAYERS:
            raise ValueError(f"projection_layers is {self.projection_layers}, above {MAX_LAYERS}")
        _check_share(self, "dropout")
        if self.text_dropout is not None:
            _check_share(self, "text_dropout")


def _check_positive(config: PreTrainedConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, it must be at least 1")


def _check_share(config: PreTrainedConfig, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, it must be from 0 up to below 1")


def _refuse_typing_errors(config: PreTrainedConfig, unknown: dict[str, Any]) -> None:
    """Refuse keys that resemble a setting; `PreTrainedConfig` would keep them silently."""
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
