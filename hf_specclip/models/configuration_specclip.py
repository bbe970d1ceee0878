"""Configuration of the SpecCLIP models, and the names the model files share.

The model files are one flat folder that imports nothing of the package around it: they are saved
beside the weights and load with `trust_remote_code=True` where the package is not installed.
"""

import difflib
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from .checkpoint_specclip import refuse_foreign_settings
from .variables_specclip import AXIS, HARDNESS_BANDS, SECTIONS, VARIABLES, WINDOWS

N_BANDS = 13
# What the encoder is given, by kind of input: channels along the energy bins, and numbers that
# describe the whole spectrum. The order is that of the tensors; each is explained where it is
# computed, in `SpecCLIPFeatureExtractor`.
CHANNELS = {
    "minmax": ("rate",),
    "physics": ("counts", "background", "shape"),
    "flux": ("counts", "background", "shape"),
}
GLOBALS = {
    "minmax": (),
    "physics": (
        "log_net_rate",
        "log_counts",
        "log_net_counts",
        "log_background",
        "significance",
        *(f"band_fraction_{band}" for band in range(1, N_BANDS + 1)),
        *(f"band_fraction_error_{band}" for band in range(1, N_BANDS + 1)),
        "hard_hm",
        "hard_hs",
        "hard_ms",
        "hard_hm_error",
        "hard_hs_error",
        "hard_ms_error",
    ),
}
# The same numbers with fluxes in place of rates.
GLOBALS["flux"] = (
    "log_flux",
    "log_energy_flux",
    *(name for name in GLOBALS["physics"] if name != "log_net_rate"),
)

InputKind = Literal["minmax", "physics", "flux"]
_KINDS = tuple(CHANNELS)
# Raised whenever the meaning of a channel or a global number changes (at most 6).
INPUT_FORMAT = 1
_MAX_BINS = 2**16 - 1
# Layers are made one by one: a damaged number would keep a process busy for hours.
MAX_LAYERS = 1000
_MAX_EV = 2**20 - 1
# Stands in the place of the format for settings that are no spectrum of the default axis and bands.
_HASHED = 7


def describing_kind(input_kind: str) -> str:
    """The kind of input whose numbers describe the spectra of a model: its own, if it has any."""
    return input_kind if GLOBALS[input_kind] else "physics"


def input_signature(
    input_kind: str,
    n_bins: int,
    energy_range: Sequence[float],
    *,
    axis: Sequence[str] = AXIS,
    bands: Sequence[Sequence[float]] = HARDNESS_BANDS,
    windows: Sequence[float] = WINDOWS,
) -> int:
    """One integer that stands for how a spectrum was turned into tensors.

    The feature extractor writes it beside its tensors and the model compares it with its own, so
    that tensors made for another model are refused. It can be read back with
    `describe_input_signature`. Energies count to 1 eV. Another axis, other bands or other windows
    than the default make it a hash, which can be compared only.

    Args:
        input_kind: `"minmax"`, `"physics"` or `"flux"`.
        n_bins: number of bins.
        energy_range: ends of the axis, in its unit.
        axis: name and unit of the axis.
        bands: the three bands that are compared, in its unit.
        windows: what shape and background are averaged over, in its unit.

    Returns:
        A positive integer below 2**63.
    """
    bands, windows = [list(map(float, band)) for band in bands], list(map(float, windows))
    if (tuple(axis), bands, windows) != (
        AXIS,
        [list(band) for band in HARDNESS_BANDS],
        list(WINDOWS),
    ):
        settings = [INPUT_FORMAT, input_kind, n_bins, list(map(float, energy_range))]
        content = json.dumps([*settings, list(axis), bands, windows])
        digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
        return (_HASHED << 60) | (int.from_bytes(digest, "big") >> 4)
    low, high = (round(1000 * energy) for energy in energy_range)
    code = INPUT_FORMAT
    for value, bits in ((_KINDS.index(input_kind), 4), (n_bins, 16), (low, 20), (high, 20)):
        code = (code << bits) | value
    return code


def describe_input_signature(signature: int) -> str:
    """Says in words what an `input_signature` stands for."""
    if signature >> 60 == _HASHED:
        return f"settings of another axis, bands or windows (signature {signature})"
    low_high, rest = signature & (2**40 - 1), signature >> 40
    n_bins, kind, version = rest & (2**16 - 1), (rest >> 16) & 15, rest >> 20
    if not 0 < version < 8 or kind >= len(_KINDS) or not n_bins:
        return f"an unknown input (signature {signature})"
    low, high = (low_high >> 20) / 1000, (low_high & (2**20 - 1)) / 1000
    words = f"input_kind={_KINDS[kind]!r}, n_bins={n_bins}, energy_range=({low:g}, {high:g}) keV"
    return words if version == INPUT_FORMAT else f"{words}, format {version} (not {INPUT_FORMAT})"


def check_input_settings(
    input_kind: str,
    n_bins: int,
    energy_range: Sequence[float],
    axis: Sequence[str] = AXIS,
    bands: Sequence[Sequence[float]] = HARDNESS_BANDS,
    windows: Sequence[float] = WINDOWS,
) -> None:
    """Refuses settings no spectrum can be given in; the arguments are those of `input_signature`.

    Raises:
        ValueError: says which setting, what it is and what it may be.
    """
    if input_kind not in _KINDS:
        raise ValueError(f"input_kind is {input_kind!r}, it must be one of {', '.join(_KINDS)}")
    if isinstance(n_bins, bool) or not isinstance(n_bins, int) or not 1 <= n_bins <= _MAX_BINS:
        raise ValueError(f"n_bins is {n_bins!r}, it must be a whole number from 1 to {_MAX_BINS}")
    if len(energy_range) != 2:
        raise ValueError(f"energy_range is {energy_range}, it must be (low, high) in {axis[-1]}")
    low, high = energy_range
    if not 0 <= low < high <= _MAX_EV / 1000:
        raise ValueError(
            f"energy_range is {(low, high)}, it must rise from at least 0 to at most "
            f"{_MAX_EV / 1000:g} {axis[-1]}: choose a larger unit"
        )
    if len(axis) != 2 or not all(isinstance(word, str) and word for word in axis):
        raise ValueError(f"axis is {axis}, it must be a name and a unit, such as {AXIS}")
    if len(bands) != 3 or any(len(band) != 2 or not band[0] < band[1] for band in bands):
        raise ValueError(f"bands are {bands}, they must be three pairs (low, high)")
    if len(windows) != 2 or not all(width > 0 for width in windows):
        raise ValueError(f"windows are {windows}, they must be two widths above 0")


class SpecCLIPPreTrainedConfig(PreTrainedConfig):
    """What the configurations share: a saved one may not lead elsewhere."""

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
            Name and unit of what the counts lie along: a wavelength or a time are as good.
        bands (three pairs of floats, defaults to 0.5–1.2, 1.2–2 and 2–7):
            What `"physics"` and `"flux"` compare in three ratios, in the unit of the axis.
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

    Example:

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
        """What a `SpecCLIPFeatureExtractor` takes beside the kind of input."""
        names = ("n_bins", "energy_range", "axis", "bands", "windows")
        return {name: getattr(self, name) for name in names}

    @property
    def num_patches(self) -> int:
        return self.n_bins // self.patch_size

    @property
    def input_signature(self) -> int:
        """What the tensors of a fitting feature extractor are marked with."""
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
    Configuration of the text side ([`SpecCLIPTextModel`]): the sections of a summary, embedded
    apart and joined. The embeddings are given (the paper's way), or made by a text encoder inside
    the model.

    Args:
        embedding_dim (`int`, *optional*, defaults to 1536):
            Size of the embedding of one section: 1,536 for OpenAI's Ada-002 (the paper), 384 for
            all-MiniLM-L6-v2. With a text encoder it follows from that.
        n_sections (`int`, defaults to 3):
            Number of sections; follows from `sections` where those are named.
        sections (`list[str]`, *optional*):
            Their names, in the order of the embeddings; `identity`, `spectrum` and `context` where
            there are three and nothing is said.
        max_deviation (`float`, *optional*):
            Normalised embeddings are cut off this many standard deviations from the mean: a word
            that hardly any text has would stand out a hundredfold in one that does. Left out,
            nothing is cut.
        min_deviation (`float`, *optional*):
            Dimensions that vary less than this over the training texts, in the embedder's own unit,
            are not looked at: of words that few texts have, nothing can be learned but the texts
            themselves. Left out, all are.
        embedder_name (`str`, *optional*):
            What made the embeddings the model was trained on. Others must come from the same.
        text_encoder (`str`, *optional*):
            Hub id or path of a transformers encoder that reads tokens. Its configuration is copied
            into this one and its weights are saved with the model, so that both load without it.
        text_encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            That configuration; read from `text_encoder` where it is left out.
        max_length (`int`, defaults to 256):
            Tokens of one section, the rest is cut off.
        freeze_text_encoder (`bool`, defaults to `False`):
            Whether the text encoder stays as it is in training.

    Example:

    ```python
    >>> from hf_specclip import SpecCLIPTextConfig, SpecCLIPTextModel

    >>> model = SpecCLIPTextModel(SpecCLIPTextConfig(embedding_dim=384))
    ```"""

    model_type = "specclip_text"
    base_config_key = "text_config"

    embedding_dim: int | None = None
    n_sections: int = len(SECTIONS)
    sections: list[str] | tuple[str, ...] | None = None
    max_deviation: float | int | None = None
    min_deviation: float | int | None = None
    embedder_name: str | None = None
    text_encoder: str | None = None
    text_encoder_config: dict | PreTrainedConfig | None = None
    max_length: int = 256
    freeze_text_encoder: bool = False

    def __post_init__(self, **kwargs: Any):
        _refuse_typing_errors(self, kwargs)
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
            kind = str(encoder.get("model_type"))
            if kind not in CONFIG_MAPPING:
                raise ValueError(
                    f"text_encoder_config has model_type {kind!r}, which transformers does not "
                    "know: choose a text encoder that transformers has code for"
                )
            encoder = CONFIG_MAPPING[kind](**encoder)
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
        _check_positive(self, "embedding_dim", "n_sections", "max_length")
        names = self.sections or ()
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"sections are {list(names)}, they must be different names")
        if self.max_deviation is not None and not self.max_deviation > 0:
            raise ValueError(f"max_deviation is {self.max_deviation}, it must be above 0")
        if self.min_deviation is not None and not self.min_deviation >= 0:
            raise ValueError(f"min_deviation is {self.min_deviation}, it must be at least 0")


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
            Whether each hidden layer of the two networks ends in a layer norm.
        contrastive_loss (`str`, defaults to `"infonce_text_to_spectrum"`):
            `"infonce_text_to_spectrum"`: the paper's, each text chooses among the spectra.
            `"infonce"`: the mean of both directions. `"sigmoid"`: every pair by itself.
        multi_positive (`bool`, defaults to `True`):
            Whether detections that share a text are positives of each other. `False`: only the
            own pair is, and equal texts count as negatives.
        logit_scale_init_value (`float`, defaults to 2.6593):
            Logarithm of the inverse temperature at the start; the default is a temperature of 0.07.
        logit_bias_init_value (`float`, defaults to -10.0):
            Bias of the sigmoid loss at the start.
        learn_logit_scale (`bool`, defaults to `True`):
            Whether the temperature is learned.
        freeze_spectrum_encoder (`bool`, defaults to `False`):
            Whether the spectrum encoder stays as it is (also in evaluation mode) in training: the
            paper aligns the latents of a pretrained encoder.

    Example:

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
    contrastive_loss: Literal["infonce_text_to_spectrum", "infonce", "sigmoid"] = (
        "infonce_text_to_spectrum"
    )
    multi_positive: bool = True
    logit_scale_init_value: float | int = math.log(1 / 0.07)
    logit_bias_init_value: float | int = -10.0
    learn_logit_scale: bool = True
    freeze_spectrum_encoder: bool = False

    def __post_init__(self, **kwargs: Any):
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
    """`PreTrainedConfig` keeps any key it is given; one that looks like ours is a typing error."""
    known = list(type(config).__annotations__)
    for name in unknown:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if close:
            raise ValueError(
                f"{type(config).__name__} has no setting {name!r}: did you mean {close[0]!r}?"
            )


SpecCLIPSpectrumConfig.register_for_auto_class()
SpecCLIPTextConfig.register_for_auto_class()
SpecCLIPConfig.register_for_auto_class()

__all__ = [
    "SECTIONS",
    "VARIABLES",
    "SpecCLIPConfig",
    "SpecCLIPPreTrainedConfig",
    "SpecCLIPSpectrumConfig",
    "SpecCLIPTextConfig",
]
