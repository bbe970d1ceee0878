"""Fine-tuning stage: an aligned model trained further on the pairs of another dataset."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.literature import SENTENCE_NUMBERS
from hf_specclip.literature.embedders.get_embedder import check_embedder
from hf_specclip.models.trained_run import MODEL_TYPES, find_run, model_type
from hf_specclip.storage import to_json
from specclip_training.data.pairs import PairData, TrainingDataError
from specclip_training.engine.checkpoint import CheckpointError, fingerprint
from specclip_training.engine.commands import Run
from specclip_training.engine.loop import FitResult
from specclip_training.engine.presets import Preset, PresetError, SpectrumSettings, TextSettings
from specclip_training.stages.alignment import SHARED_SETTINGS, identity_of, train_model

# Sections of a preset that the model decides, and one that is not used.
_OF_THE_MODEL = ("text", "spectrum", "model", "pretrain")


def find_start(name: str) -> Path:
    """Find the model folder of a run, a Hub id or `default`, the bundled model.

    Raises:
        CheckpointError: when it holds no single dual encoder that reads embedded texts.
    """
    try:
        folder = find_run(name).model
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--from {name}: {error}") from error
    if model_type(folder) != MODEL_TYPES[0]:
        raise CheckpointError(f"{name} holds an ensemble: start from one of its members")
    if SpecCLIPConfig.from_pretrained(folder).text_config.text_encoder_config is not None:
        raise CheckpointError(
            f"{name} has a text encoder inside, which training does not train: start from a model "
            "that reads embedded texts"
        )
    return folder


def preset_like(
    start: Path, preset: Preset, overrides: Sequence[str] = (), embedder: str | None = None
) -> Preset:
    """Return a preset whose texts, spectra and model are those of a trained model.

    Args:
        start: folder of the model.
        preset: gives everything else.
        overrides: of the command line.
        embedder: where the one that the model records is not found by its name.

    Raises:
        PresetError: for a setting of the model among `overrides`.
    """
    for override in overrides:
        if override.partition(".")[0].strip() in _OF_THE_MODEL:
            raise PresetError(
                f"--set {override}: fine-tuning keeps the model as it is, set align, moe or "
                "evaluation, or train from scratch (without --from)"
            )
    config = SpecCLIPConfig.from_pretrained(start)
    spectrum, texts = config.spectrum_config, config.text_config
    content = preset.to_dict() | {
        "text": dataclasses.asdict(text_settings(config, embedder)),
        "spectrum": {
            each.name: getattr(spectrum, each.name) for each in dataclasses.fields(SpectrumSettings)
        },
        "model": {name: getattr(config, name) for name in SHARED_SETTINGS}
        | {
            "embedding_dropout": texts.embedding_dropout,
            "text_hidden_size": texts.hidden_size,
            "text_heads": texts.num_attention_heads,
            "text_frequencies": texts.num_frequencies,
            "temperature": math.exp(-config.logit_scale_init_value),
            "learn_temperature": config.learn_logit_scale,
        },
    }  # fmt: skip
    return TypeAdapter(Preset).validate_json(json.dumps(to_json(content)))


def text_settings(config: SpecCLIPConfig, embedder: str | None = None) -> TextSettings:
    """Return the settings of the texts that a model reads; `embedder` replaces its own."""
    texts = config.text_config
    quantities = texts.numbers_dim >= SENTENCE_NUMBERS
    recorded = f"recorded:{texts.embedder_name}" if texts.embedder_name else "offline"
    return TextSettings(embedder or recorded, texts.reads, quantities)


def fine_tune(run: Run, pairs: PairData, start: Path) -> FitResult:
    """Train the model of a folder further, unless the run has done so, and save it in `model/`.

    The preset of the run is one of `preset_like`; `pairs` have embedded texts.

    Raises:
        CheckpointError: when the output holds another run's.
        TrainingDataError: for spectra or texts that the model does not take.
        TrainingError: when training cannot go on.
    """
    return train_model(run, pairs, *load_start(run, pairs, start), trained=True)


def load_start(
    run: Run, pairs: PairData, start: Path
) -> tuple[SpecCLIPModel, SpecCLIPFeatureExtractor, dict[str, Any]]:
    """Load a model to train further; see `specclip_training.stages.alignment.build`."""
    model = SpecCLIPModel.from_pretrained(start)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(start)
    _check_rows(model.config, pairs)
    model.freeze_spectrum_encoder(run.preset.align.freeze_spectrum)
    weights = {"start_weights": fingerprint(model.state_dict())}
    return model, extractor, identity_of(run, pairs) | weights


def _check_rows(config: SpecCLIPConfig, pairs: PairData) -> None:
    """Refuse spectra and texts of another form than the model's."""
    spectrum, texts, info = config.spectrum_config, config.text_config, pairs.info
    try:
        probes = (pairs.texts.probe, texts.embedder_probe)
        check_embedder(pairs.texts.model, texts.embedder_name, *probes)
    except ValueError as error:
        raise TrainingDataError(f"{pairs.name} does not fit the model: {error}") from error
    forms = {
        "bins": (spectrum.n_bins, info.n_bins),
        "axis": (tuple(spectrum.axis), (info.domain.axis, info.domain.axis_unit)),
        "range of the axis": (tuple(spectrum.energy_range), tuple(info.energy_range)),
        "sections of the texts": (tuple(texts.sections), tuple(info.domain.sections)),
    }
    differ = [
        f"{what} {theirs}, not {own}" for what, (own, theirs) in forms.items() if own != theirs
    ]
    if differ:
        raise TrainingDataError(
            f"{pairs.name} does not fit the model: {'; '.join(differ)}. Build the dataset in the "
            "model's form, or train from scratch (without --from)"
        )
