"""Presets: the YAML files that define how a model is built and trained.

Presets are validated: an unknown key, a value of the wrong type or an impossible value stops the
run before anything is loaded, and the message names the file and the key, because a typing error
must not become a result.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from hf_specclip.errors import SpecCLIPError
from hf_specclip.models.variables_specclip import HARDNESS_BANDS, WINDOWS
from hf_specclip.storage import to_json

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Dropout = Annotated[float, Field(ge=0, le=0.95)]
Chance = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]

settings: Callable = dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))


class PresetError(SpecCLIPError, ValueError):
    """A preset that cannot be used; the message names the file, the key and what is allowed."""


@settings
class TextSettings:
    """Text side.

    Attributes:
        embedder: `offline`, `openai[:MODEL[@URL]]`, `local:PATH_OR_HUB_ID`, or `recorded:NAME` of
            a model that is trained further (see `hf_specclip.literature.get_embedder`).
        reads: `sections`: the sections of a summary, embedded apart and joined (the paper), or the
            dataset's own `text_embedding`; `sentences`: a text as a set of its sentences, with the
            quantities that each states.
        quantities: give a sentence the numbers that it states, beside its embedding; the marks of
            sentences that name the source are there without them, too.
    """

    embedder: Text = "offline"
    reads: Literal["sections", "sentences"] = "sections"
    quantities: bool = True


@settings
class SpectrumSettings:
    """Input and encoder of the spectra; see `SpecCLIPSpectrumConfig` for each setting.

    `energy_range`, `bands` and `windows` are along the axis of the dataset, in its unit.
    """

    input_kind: Literal["minmax", "physics", "flux"] = "minmax"
    encoder: Literal["transformer", "mlp"] = "transformer"
    n_bins: Count = 400
    energy_range: tuple[float, float] = (0.5, 8.0)
    bands: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] = HARDNESS_BANDS
    windows: tuple[Positive, Positive] = WINDOWS
    patch_size: Count = 20
    hidden_size: Count = 128
    num_hidden_layers: Count = 4
    num_attention_heads: Count = 4
    intermediate_size: Count = 256
    dropout: Dropout = 0.1
    latent_dim: Count = 64
    decoder_hidden_size: Count = 128
    decoder_layers: Annotated[int, Field(ge=0)] = 2
    reconstruction_loss: Literal["mae", "poisson"] = "mae"
    mask_ratio: Dropout = 0.0

    @model_validator(mode="after")
    def _check(self) -> SpectrumSettings:
        low, high = self.energy_range
        if not 0 <= low < high:
            raise ValueError(f"energy_range is {[low, high]}, it must rise from at least 0")
        if any(not 0 <= low < high for low, high in self.bands):
            raise ValueError(f"bands are {to_json(self.bands)}, each must rise from at least 0")
        if self.n_bins % self.patch_size:
            divisors = [n for n in range(1, self.n_bins + 1) if self.n_bins % n == 0]
            close = sorted(sorted(divisors, key=lambda n: abs(n - self.patch_size))[:4])
            raise ValueError(
                f"patch_size is {self.patch_size}, it must divide n_bins ({self.n_bins}): "
                f"{', '.join(map(str, close))} would do"
            )
        for key in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, key) % self.num_attention_heads:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, it must be a multiple of "
                    f"num_attention_heads ({self.num_attention_heads})"
                )
        if self.encoder == "mlp" and self.input_kind == "minmax":
            raise ValueError('encoder is "mlp", which needs input_kind "physics" or "flux"')
        if self.encoder == "mlp" and self.mask_ratio:
            raise ValueError(
                'mask_ratio hides patches, which encoder "mlp" has none of: set it to 0'
            )
        return self


@settings
class ModelSettings:
    """Dual encoder; see `SpecCLIPConfig` for each setting.

    `text_hidden_size`, `text_heads` and `text_frequencies` are `hidden_size`,
    `num_attention_heads` and `num_frequencies` of `SpecCLIPTextConfig`, for a model that reads
    sentences.
    """

    shared_dim: Count = 64
    projection_hidden_size: Count = 512
    projection_layers: Count = 2
    dropout: Dropout = 0.2
    text_dropout: Dropout | None = None
    embedding_dropout: Dropout = 0.0
    text_hidden_size: Count = 256
    text_heads: Count = 4
    text_frequencies: Annotated[int, Field(ge=0, le=16)] = 0
    projection_norm: bool = False
    contrastive_loss: Literal["infonce_text_to_spectrum", "infonce"] = "infonce_text_to_spectrum"
    multi_positive: bool = True
    temperature: Positive = 0.07
    learn_temperature: bool = True


@settings
class StageSettings:
    """Training of one stage.

    Attributes:
        steps: batches to learn from, over as many passes through `train` as that takes.
        batch_size: rows of one step, over all processes together; shrinks to the size of `train`.
        mini_batch: rows that go through the encoders at once on each process, null for all. The
            loss stays that of the whole batch; memory falls, and time rises by a forward pass.
        optimizer: `adam` (decay is part of the gradient) or `adamw` (decay stands beside it).
        lr: highest learning rate.
        weight_decay: decay of the weights (biases, norms and scalars are spared).
        schedule: `constant`, or `cosine` down to a hundredth of `lr`.
        warmup_fraction: share of the steps over which the rate rises linearly from zero.
        clip_norm: largest norm of the gradient, null for no clipping.
        validate_every: steps between two evaluations of `validation`.
        patience: stop after so many evaluations without a better one; null for never.
        checkpoint_every: steps between two checkpoints.
        ema: decay of the running mean of the weights that is validated and kept (smaller in the
            first steps); 0 for the weights of the step itself.
        thinning: smallest share of the counts that Poisson thinning keeps, drawn evenly in the
            logarithm up to 1; 1 for none. Counts, background and exposure shrink together, as if
            the observation had been shorter.
    """

    steps: Annotated[int, Field(ge=0)] = 2000
    batch_size: Annotated[int, Field(ge=2)] = 256
    mini_batch: Count | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Positive = 5e-4
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip_norm: Positive | None = None
    validate_every: Count = 50
    patience: Count | None = None
    checkpoint_every: Count = 500
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    thinning: Annotated[float, Field(ge=0.001, le=1)] = 1.0


@settings
class PretrainSettings(StageSettings):
    """First stage, the autoencoder of spectra; `steps: 0` leaves the encoder as initialised."""


@settings
class AlignSettings(StageSettings):
    """Second stage, spectra and texts into one space.

    Attributes:
        freeze_spectrum: keep the pretrained encoder as it is (the paper) or train it along.
        encoder_lr_scale: learning rate of the spectrum encoder as a share of `lr`, where trained.
        section_dropout: chance that a section of a text is hidden from a step; at least one stays.
        sentence_dropout: chance that a text of n sentences is shown as 1 to n − 1 of them.
        unlabelled: chance that the sections of a text's sentences are not told.
        other_sentences: chance that sentences of another text are added, and a text's own marked
            as naming the source.
        second_text: show two texts of a source in each step, both aligned with the spectrum: two
            different ones where `train` has them, else two subsets of one.
        text_loss: weight of the contrastive loss between these two.
        criterion: figure of `validation` that picks the best weights: the contrastive `loss`, or
            one of spectrum-to-text retrieval.
    """

    freeze_spectrum: bool = True
    encoder_lr_scale: Positive = 1.0
    section_dropout: Dropout = 0.0
    sentence_dropout: Chance = 0.0
    unlabelled: Chance = 0.0
    other_sentences: Chance = 0.0
    second_text: bool = False
    text_loss: NotNegative = 0.0
    criterion: Literal[
        "loss", "mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%"
    ] = "loss"

    @model_validator(mode="after")
    def _check(self) -> AlignSettings:
        if self.freeze_spectrum and self.thinning < 1:
            raise ValueError(
                f"thinning is {self.thinning:g}, but freeze_spectrum is true and a frozen encoder "
                "is evaluated once: set thinning to 1 or freeze_spectrum to false"
            )
        return self


@settings
class MoESettings:
    """Mixture of experts that estimates physical variables.

    Attributes:
        mode: the mixture that is reported first and saved in `moe/`. `select` picks one
            representation for each variable on `validation` (the paper); `gate` weighs all of
            them.
    """

    mode: Literal["select", "gate"] = "gate"


@settings
class EvaluationSettings:
    """Measurements at the end.

    Attributes:
        ks: percentages of the gallery for Recall@k%.
        n_bootstrap: draws of the bootstrap over groups behind each interval.
    """

    ks: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1)
    ] = (1.0, 5.0, 10.0, 25.0)  # fmt: skip
    n_bootstrap: Count = 1000


@settings
class Preset:
    """Everything that decides a result beside the dataset and the seed.

    Attributes:
        name: short name, for reports.
        precision: `float32`, or `bfloat16` for the forward and backward passes.
    """

    name: Text = "unnamed"
    precision: Literal["float32", "bfloat16"] = "float32"
    text: TextSettings = TextSettings()
    spectrum: SpectrumSettings = SpectrumSettings()
    model: ModelSettings = ModelSettings()
    pretrain: PretrainSettings = PretrainSettings()
    align: AlignSettings = AlignSettings()
    moe: MoESettings = MoESettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON writes and reads them."""
        return to_json(dataclasses.asdict(self))


def load_preset(path: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """Read a preset.

    Args:
        path: a YAML file, or the name of one in `training/configs` (`paper`, `best`, `demo`).
        overrides: `key.path=value` settings, as given with `--set`; the last one wins.

    Raises:
        PresetError: for a file that is absent or no YAML, an unknown key, a wrong type or an
            impossible value.
    """
    file, content = read_yaml(path)
    for override in overrides:
        _apply_override(content, override)
    try:
        # In its strict mode, pydantic takes lists for tuples from JSON alone.
        return TypeAdapter(Preset).validate_json(json.dumps(content))
    except (ValidationError, TypeError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        raise PresetError(
            "; ".join(_explain(problem, str(file), overrides) for problem in problems)
            or f"{file} cannot be used ({error})"
        ) from None


def read_yaml(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read a YAML file of keys, or the one of that name in `training/configs`.

    Returns:
        The path of the file and its content; empty for an empty file.

    Raises:
        PresetError: when it cannot be read, is no YAML, or holds anything but keys.
    """
    file = Path(path)
    if not file.is_file() and (CONFIGS / f"{path}.yaml").is_file():
        file = CONFIGS / f"{path}.yaml"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise PresetError(
            f"{path} cannot be read ({error}): name a YAML file, or one of {names}"
        ) from None
    except yaml.YAMLError as error:
        raise PresetError(f"{file} is not valid YAML: {error}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise PresetError(f"{file} must hold keys, not {content!r}")
    return file, content


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-3 as a number and refuses a key written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise PresetError(f"--set {override}: write it as key.path=value, e.g. align.lr=3e-4")
    *parents, name = [part.strip() for part in key.split(".")]
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise PresetError(f"--set {override}: {parent} holds a value, no keys")
    try:
        content[name] = yaml.load(value, Loader=_Loader)
    except yaml.YAMLError as error:
        raise PresetError(f"--set {override}: the value is not valid YAML: {error}") from None


def _explain(problem: Any, file: str, overrides: Sequence[str]) -> str:
    """Describe a validation error, with the override or file that it comes from."""
    key = ".".join(map(str, problem["loc"]))
    matches = (
        o for o in reversed(overrides) if o.startswith(key) or key.startswith(o.partition("=")[0])
    )
    source = next((f"--set {override}" for override in matches), file)
    if problem["type"] == "unexpected_keyword_argument":
        *parents, name = problem["loc"]
        section: Any = Preset()
        for parent in parents:
            section = getattr(section, parent)
        allowed = [item.name for item in dataclasses.fields(section)]
        close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{source}: unknown key {key}: {hint}allowed here: {', '.join(sorted(allowed))}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{source}: {key}.{message}"
    return f"{source}: {key} is {problem['input']!r}: {message[0].lower()}{message[1:]}"
