"""Presets: the YAML files that say how a model is built and trained.

A preset is strict. A key that nobody reads, a value of the wrong type or a value that cannot work
stops the run before anything is loaded, and the message names the file, the key and what is
allowed: a typing error must not become a result.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from hf_specclip.errors import SpecCLIPError

# As in `configuration_specclip`, which is slow to import; a test keeps them equal.
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))
WINDOWS = (0.3, 0.4)

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


class PresetError(SpecCLIPError, ValueError):
    """A preset that cannot be used; the message names file, key and what is allowed."""


def _value(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    later: bool = False,
) -> Any:
    """A field with its bounds: `low` and `high` are allowed themselves, `above` is not.

    `later` marks a setting that older runs did not have and whose default leaves all as it was:
    see `settings_record`.
    """
    bounds = {"low": low, "high": high, "above": above}
    return field(default=default, metadata={**bounds, "later": later})


@dataclass(frozen=True)
class TextSettings:
    """The text side.

    Attributes:
        embedder: what embeds the summaries of a dataset without `text_embedding`: `offline`,
            `openai[:MODEL]`, `local:PATH_OR_HUB_ID`, `words`, `terms` or `quantities`, or several
            joined by `+` (see `hf_specclip.literature.get_embedder`).
    """

    embedder: str = "offline"


@dataclass(frozen=True)
class SpectrumSettings:
    """Input and encoder of the spectra, see `SpecCLIPSpectrumConfig` for the meaning of each.

    `energy_range`, `bands` and `windows` are along the axis of the dataset, in its unit.
    """

    input_kind: Literal["minmax", "physics", "flux"] = "minmax"
    encoder: Literal["transformer", "mlp"] = _value("transformer", later=True)
    n_bins: int = _value(400, 1)
    energy_range: tuple[float, float] = (0.5, 8.0)
    bands: tuple[tuple[float, float], ...] = _value(BANDS, later=True)
    windows: tuple[float, float] = _value(WINDOWS, above=0.0, later=True)
    patch_size: int = _value(20, 1)
    hidden_size: int = _value(128, 1)
    num_hidden_layers: int = _value(4, 1)
    num_attention_heads: int = _value(4, 1)
    intermediate_size: int = _value(256, 1)
    dropout: float = _value(0.1, 0.0, 0.95)
    latent_dim: int = _value(64, 1)
    decoder_hidden_size: int = _value(128, 1)
    decoder_layers: int = _value(2, 0)
    reconstruction_loss: Literal["mae", "poisson"] = "mae"
    mask_ratio: float = _value(0.0, 0.0, 0.95)


@dataclass(frozen=True)
class ModelSettings:
    """The dual encoder, see `SpecCLIPConfig` for the meaning of each (`text_max_deviation` and
    `text_min_deviation` are `max_deviation` and `min_deviation` of `SpecCLIPTextConfig`)."""

    shared_dim: int = _value(64, 1)
    projection_hidden_size: int = _value(512, 1)
    projection_layers: int = _value(2, 1)
    dropout: float = _value(0.2, 0.0, 0.95)
    text_dropout: float | None = _value(None, 0.0, 0.95, later=True)
    text_max_deviation: float | None = _value(None, above=0.0, later=True)
    text_min_deviation: float | None = _value(None, 0.0, later=True)
    projection_norm: bool = _value(False, later=True)
    contrastive_loss: Literal["infonce_text_to_spectrum", "infonce", "sigmoid"] = (
        "infonce_text_to_spectrum"
    )
    multi_positive: bool = True
    temperature: float = _value(0.07, above=0.0)
    learn_temperature: bool = True


@dataclass(frozen=True)
class StageSettings:
    """How one stage is trained.

    Attributes:
        steps: batches to learn from, over as many passes through `train` as that takes.
        batch_size: rows of one step, over all processes together; shrinks to the size of `train`.
        mini_batch: rows that go through the encoders at once on each process, null for all. The
            loss stays that of the whole batch; memory falls, and time rises by a forward pass.
        optimizer: `adam` (decay is part of the gradient) or `adamw` (decay stands beside it).
        lr: highest learning rate.
        weight_decay: decay of the weights (biases, norms and single numbers are spared).
        schedule: `constant`, or `cosine` down to a hundredth of `lr`.
        warmup_fraction: share of the steps over which the rate rises linearly from zero.
        clip_norm: largest norm of the gradient, null for no clipping.
        validate_every: steps between two looks at `validation`.
        patience: stop after so many looks without a better one; null for never.
        checkpoint_every: steps between two checkpoints.
        ema: the weights that are validated and kept are a running mean over steps, to which each
            step adds 1 − ema of its own (more at the start, where that would be little); 0 for the
            weights of the step itself.
        thinning: smallest share of the counts that Poisson thinning keeps, drawn evenly in the
            logarithm up to 1; 1 for none. Counts, background and exposure shrink together, as if
            the observation had been shorter.
    """

    steps: int = _value(2000, 0)
    batch_size: int = _value(256, 2)
    mini_batch: int | None = _value(None, 1, later=True)
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = _value(5e-4, above=0.0)
    weight_decay: float = _value(0.0, 0.0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_fraction: float = _value(0.0, 0.0, 1.0)
    clip_norm: float | None = _value(None, above=0.0)
    validate_every: int = _value(50, 1)
    patience: int | None = _value(None, 1)
    checkpoint_every: int = _value(500, 1)
    ema: float = _value(0.0, 0.0, 0.99999, later=True)
    thinning: float = _value(1.0, 0.001, 1.0)


@dataclass(frozen=True)
class PretrainSettings(StageSettings):
    """The first stage: the autoencoder of spectra. `steps: 0` leaves the encoder as drawn."""


@dataclass(frozen=True)
class AlignSettings(StageSettings):
    """The second stage: spectra and texts into one space.

    Attributes:
        freeze_spectrum: keep the pretrained encoder as it is (the paper) or train it along.
        encoder_lr_scale: learning rate of the spectrum encoder as a share of `lr`, where trained.
        section_dropout: chance that a section of a text is hidden from a step; one always stays.
        criterion: what is best on `validation`. `loss` is the contrastive loss over all of it; the
            others are of spectrum to text retrieval.
    """

    freeze_spectrum: bool = True
    encoder_lr_scale: float = _value(1.0, above=0.0)
    section_dropout: float = _value(0.0, 0.0, 0.95)
    criterion: Literal[
        "loss", "mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%"
    ] = "loss"


@dataclass(frozen=True)
class MoESettings:
    """The mixture of experts that estimates physical variables.

    Attributes:
        mode: the mixture that is reported first and saved in `moe/`. `select` picks one
            representation for each variable on `validation` (the paper); `gate` weighs all of
            them.
    """

    mode: Literal["select", "gate"] = "gate"


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured at the end.

    Attributes:
        ks: percentages of the gallery for Recall@k%.
        n_bootstrap: draws of the bootstrap over groups behind each interval.
    """

    ks: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0)
    n_bootstrap: int = _value(1000, 1)


@dataclass(frozen=True)
class Preset:
    """Everything that decides a result beside the dataset and the seed.

    Attributes:
        name: short name, for reports.
        precision: `float32`, or `bfloat16` for the forward and backward passes.
    """

    name: str = "unnamed"
    precision: Literal["float32", "bfloat16"] = "float32"
    text: TextSettings = TextSettings()
    spectrum: SpectrumSettings = SpectrumSettings()
    model: ModelSettings = ModelSettings()
    pretrain: PretrainSettings = PretrainSettings()
    align: AlignSettings = AlignSettings()
    moe: MoESettings = MoESettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON writes and reads them."""
        return _plain(dataclasses.asdict(self))


def settings_record(settings: Any) -> dict[str, Any]:
    """Settings as a run's identity records them.

    A setting that came later is left out where it has the value that changes nothing, so that a run
    from before it goes on as what it is: the same.
    """
    return {
        item.name: getattr(settings, item.name)
        for item in fields(settings)
        if not (item.metadata.get("later") and getattr(settings, item.name) == item.default)
    }


def load_preset(path: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """Read a preset.

    Args:
        path: a YAML file, or the name of one in `training/configs` (`paper`, `best`, `demo`).
        overrides: `key.path=value` settings, as given with `--set`; the last one wins.

    Raises:
        PresetError: for a file that is absent or no YAML, an unknown key, a wrong type or an
            impossible value.
    """
    file = Path(path)
    if not file.is_file() and (CONFIGS / f"{path}.yaml").is_file():
        file = CONFIGS / f"{path}.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise PresetError(
            f"{path} cannot be read ({error}): name a YAML file or one of the presets {known}"
        ) from None
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise PresetError(f"{file} is no valid YAML: {error}") from None
    content = {} if content is None else content
    origin: dict[str, str] = {}
    for override in overrides:
        _apply(content, override, origin)
    return _build(Preset, content, (), str(file), origin)


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, typing.Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a mapping", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _apply(content: Any, override: str, origin: dict[str, str]) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise PresetError(f"--set {override}: write it as key.path=value, e.g. align.lr=3e-4")
    names = [name.strip() for name in key.split(".")]
    try:
        parsed = yaml.load(value, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise PresetError(f"--set {override}: the value is no valid YAML: {error}") from None
    place = content
    for name in names[:-1]:
        if not isinstance(place, dict):
            break
        place = place.setdefault(name, {})
    if not isinstance(place, dict):
        raise PresetError(f"--set {override}: {'.'.join(names[:-1])} holds a value, no keys")
    place[names[-1]] = parsed
    for depth in range(1, len(names) + 1):
        origin[".".join(names[:depth])] = f"--set {override}"


def _build(kind: type, content: Any, path: tuple[str, ...], file: str, origin: dict) -> Any:
    where = f"{file}: {'.'.join(path) or 'the file'}"
    if not isinstance(content, Mapping):
        raise PresetError(f"{where} must hold keys, not {content!r}")
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}
    values = {}
    for key, value in content.items():
        here = ".".join((*path, str(key)))
        source = origin.get(here, file)
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise PresetError(
                f"{source}: unknown key {here}: {hint}allowed here: {', '.join(sorted(known))}"
            )
        if is_dataclass(hints[key]):
            values[key] = _build(hints[key], value, (*path, key), file, origin)
        else:
            values[key] = _convert(value, hints[key], known[key].metadata, here, source)
    result = kind(**values)
    _check_together(result, path, file)
    return result


def _convert(value: Any, hint: Any, bounds: Mapping[str, Any], here: str, source: str) -> Any:
    def refuse(expected: str) -> typing.NoReturn:
        raise PresetError(f"{source}: {here} is {value!r}, it must be {expected}")

    if typing.get_origin(hint) is types.UnionType:  # `X | None` is the only union here
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            close = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
            refuse(
                f"one of {', '.join(allowed)}" + (f" (did you mean {close[0]!r}?)" if close else "")
            )
        return value
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        fixed = None if inner[-1] is Ellipsis else len(inner)
        if not isinstance(value, list | tuple) or (fixed and len(value) != fixed) or not value:
            refuse(f"a list of {fixed} numbers" if fixed else "a list of numbers")
        return tuple(_convert(item, inner[0], bounds, here, source) for item in value)
    if hint is bool:
        if not isinstance(value, bool):
            refuse("true or false")
        return value
    if hint is str:
        if not isinstance(value, str) or not value:
            refuse("a text")
        return value
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 3e-4 (no point) as text.
        try:
            value = float(value)
        except ValueError:
            refuse("a number")
    whole = hint is int
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        refuse("a whole number" if whole else "a number")
    number = value if whole else float(value)
    low, high, above = (bounds.get(name) for name in ("low", "high", "above"))
    if not math.isfinite(number):
        refuse("finite")
    if above is not None and not number > above:
        refuse(f"above {above:g}")
    if (low is not None and number < low) or (high is not None and number > high):
        ends = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high else ""]
        refuse(" and ".join(end for end in ends if end))
    return number


def _check_together(settings: Any, path: tuple[str, ...], file: str) -> None:
    """Values that are fine alone and cannot work together."""

    def refuse(key: str, problem: str) -> typing.NoReturn:
        raise PresetError(f"{file}: {'.'.join((*path, key))} {problem}")

    if isinstance(settings, SpectrumSettings):
        low, high = settings.energy_range
        if not 0 <= low < high:
            refuse("energy_range", f"is {[low, high]}, it must rise from at least 0")
        if len(settings.bands) != 3 or any(not 0 <= a < b for a, b in settings.bands):
            refuse("bands", f"are {_plain(settings.bands)}, they must be three pairs [low, high]")
        if settings.n_bins % settings.patch_size:
            divisors = [n for n in range(1, settings.n_bins + 1) if settings.n_bins % n == 0]
            close = sorted(sorted(divisors, key=lambda n: abs(n - settings.patch_size))[:4])
            refuse(
                "patch_size",
                f"is {settings.patch_size}, it must divide n_bins ({settings.n_bins}): "
                f"{', '.join(map(str, close))} would do",
            )
        for key in ("hidden_size", "decoder_hidden_size"):
            if getattr(settings, key) % settings.num_attention_heads:
                refuse(
                    key,
                    f"is {getattr(settings, key)}, it must be a multiple of num_attention_heads "
                    f"({settings.num_attention_heads})",
                )
        if settings.encoder == "mlp" and settings.input_kind == "minmax":
            refuse("encoder", 'is "mlp", which needs input_kind "physics" or "flux"')
        if settings.encoder == "mlp" and settings.mask_ratio:
            refuse("mask_ratio", 'hides patches, which encoder "mlp" has none of: set it to 0')
    if isinstance(settings, AlignSettings) and settings.freeze_spectrum and settings.thinning < 1:
        refuse(
            "thinning",
            f"is {settings.thinning:g}, but freeze_spectrum is true and a frozen encoder is read "
            "once: set thinning to 1 or freeze_spectrum to false",
        )
    if isinstance(settings, EvaluationSettings) and any(not 0 < k <= 100 for k in settings.ks):
        refuse("ks", f"is {list(settings.ks)}, each must be a percentage above 0, up to 100")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


__all__ = [
    "CONFIGS",
    "AlignSettings",
    "EvaluationSettings",
    "MoESettings",
    "ModelSettings",
    "Preset",
    "PresetError",
    "PretrainSettings",
    "SpectrumSettings",
    "StageSettings",
    "TextSettings",
    "load_preset",
    "settings_record",
]
