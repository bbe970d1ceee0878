"""Representations of the rows of a trained run as plain arrays, the input of every study.

The paper compares six representations of a pair (its section on physical variables): the spectrum's
latent and the text before alignment, each of the two in the shared space, the shared two together,
and everything together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from hf_specclip import (
    VARIABLES,
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
)
from hf_specclip.models.spectrum_input_specclip import GLOBALS, global_features_kind
from hf_specclip.models.variables_specclip import HARDNESS_BANDS
from specclip_training.data.pairs import SPLITS, PairData, SplitArrays
from specclip_training.engine.commands import Run
from specclip_training.stages.alignment import MODEL
from specclip_training.stages.embedding import DatasetEmbedder
from specclip_training.stages.pretraining import STAGE as SPECTRUM

REPRESENTATION_VIEWS = {
    "spectrum": ("spectrum",),
    "text": ("text",),
    "shared_spectrum": ("shared_spectrum",),
    "shared_text": ("shared_text",),
    "shared_both": ("shared_spectrum", "shared_text"),
    "everything": ("spectrum", "text", "shared_spectrum", "shared_text"),
}
REPRESENTATIONS = tuple(REPRESENTATION_VIEWS)


@dataclass(frozen=True)
class SplitRepresentations:
    """The rows of one split, all arrays in their order.

    Attributes:
        spectrum: (n, latent_dim) latent of the pretrained autoencoder, before alignment; that of
            the aligned model where the run has no autoencoder of its own (fine-tuning).
        encoder: (n, latent_dim) latent of the aligned model; the same where it was frozen.
        text: (n, W) text before alignment, see `Texts.features`; zeros where there is none.
        has_text: (n,) bool, True where there is a text.
        shared_spectrum, shared_text: (n, D) points in the shared space, of unit length.
        features: (n, F) numbers of the whole spectrum (rates, bands, hardness) from the feature
            extractor; of kind `physics` where the preset's has none.
        targets: the physical variables by name, (n,) float64 in catalogue units, nan where null.
        lower, upper: their 68 % limits, nan where the catalogue has none.
        groups: (n,) str; no split cuts a group.
        text_ids: (n,) int64, equal for equal texts.
        classes: (n,) object, class of the source, None where unknown.
        table: all columns of the contract.
        units: of the variables, in the same order.
        energy_range, bands: ends of the axis, and the three bands compared along it.
        feature_names: of the columns of `features`.
    """

    spectrum: np.ndarray
    encoder: np.ndarray
    text: np.ndarray
    has_text: np.ndarray
    shared_spectrum: np.ndarray
    shared_text: np.ndarray
    features: np.ndarray
    targets: dict[str, np.ndarray]
    lower: dict[str, np.ndarray]
    upper: dict[str, np.ndarray]
    groups: np.ndarray
    text_ids: np.ndarray
    classes: np.ndarray
    table: pa.Table
    units: Mapping[str, str] = field(default_factory=lambda: dict(VARIABLES))
    energy_range: tuple[float, float] = (0.5, 8.0)
    bands: tuple[tuple[float, float], ...] = HARDNESS_BANDS
    feature_names: tuple[str, ...] = GLOBALS["physics"]

    def __len__(self) -> int:
        return len(self.groups)

    def matrix(self, name: str) -> np.ndarray:
        """Return one of `REPRESENTATIONS`, (n, width) float32; parts are joined without scaling.

        Raises:
            KeyError: for another name.
        """
        return np.concatenate([getattr(self, part) for part in REPRESENTATION_VIEWS[name]], axis=1)

    def no_rows(self) -> SplitRepresentations:
        """Return the same without rows."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        cut: dict = {n: v[:0] for n, v in values.items() if isinstance(v, np.ndarray | pa.Table)}
        for name in ("targets", "lower", "upper"):
            cut[name] = {variable: known[:0] for variable, known in values[name].items()}
        return replace(self, **cut)


class RunRepresentations(Mapping[str, SplitRepresentations]):
    """Representations by split, computed by the models of a run when they are first asked for.

    A split without rows has empty arrays.

    Args:
        run: a run with `model/`, and `spectrum/` unless it was fine-tuned.
        pairs: its dataset, with embedded texts.
    """

    def __init__(self, run: Run, pairs: PairData):
        self._run, self._pairs = run, pairs
        self._computed: dict[str, SplitRepresentations] = {}

    @cached_property
    def _models(self) -> tuple[Any, ...]:
        output, device = self._run.output, self._run.accelerator.device
        model = SpecCLIPModel.from_pretrained(output / MODEL).to(device).eval()
        extractor = SpecCLIPFeatureExtractor.from_pretrained(output / MODEL)
        pretrained = None
        if (output / SPECTRUM / "config.json").is_file():
            pretrained = SpecCLIPForSpectrumPreTraining.from_pretrained(output / SPECTRUM)
            pretrained.to(device).eval()
        return pretrained, model, extractor

    def __getitem__(self, split: str) -> SplitRepresentations:
        if not len(self._pairs.splits[split]):
            return self["train"].no_rows()
        if split not in self._computed:
            self._computed[split] = self._compute(split)
        return self._computed[split]

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)

    @torch.no_grad()
    def _compute(self, split: str) -> SplitRepresentations:
        from specclip_datasets.contract import variable_units  # here: it brings `datasets` along

        pairs, (pretrained, model, extractor) = self._pairs, self._models
        arrays, texts = pairs.splits[split], pairs.texts
        ids, owner = pairs.texts_of(split)
        aligned = DatasetEmbedder(model, extractor, pairs, self._run.accelerator)
        first = replace(aligned, model=pretrained or model)
        before = first.spectra(split, latents=True).numpy()
        same = pretrained is None or model.config.freeze_spectrum_encoder
        units = variable_units(pairs.info.domain)
        return SplitRepresentations(
            spectrum=before,
            encoder=before if same else aligned.spectra(split, latents=True).numpy(),
            text=texts.features(arrays.text_ids),
            has_text=texts.section_mask[arrays.text_ids].any(axis=1),
            shared_spectrum=aligned.spectra(split).numpy(),
            shared_text=aligned.texts(ids).numpy()[owner],
            features=_features(extractor, arrays),
            targets={name: numbers_of(arrays.table, name) for name in units},
            lower={name: numbers_of(arrays.table, f"{name}_lolim") for name in units},
            upper={name: numbers_of(arrays.table, f"{name}_hilim") for name in units},
            groups=arrays.groups,
            text_ids=arrays.text_ids,
            classes=(
                np.array(arrays.table["source_class"].to_pylist(), dtype=object)
                if "source_class" in arrays.table.column_names
                else np.full(len(arrays), None)
            ),
            table=arrays.table,
            units=units,
            energy_range=pairs.info.energy_range,
            bands=tuple((low, high) for low, high in extractor.bands),
            feature_names=GLOBALS[global_features_kind(extractor.input_kind)],
        )


def _features(extractor: SpecCLIPFeatureExtractor, arrays: SplitArrays) -> np.ndarray:
    grid = ("n_bins", "energy_range", "axis", "bands", "windows")
    describing = SpecCLIPFeatureExtractor(
        global_features_kind(extractor.input_kind),
        **{name: getattr(extractor, name) for name in grid},
    )
    tensors = describing(arrays.spectra(slice(None)), return_tensors="np")
    return np.asarray(tensors["spectrum_globals"], np.float32)


def numbers_of(table: pa.Table, column: str) -> np.ndarray:
    """Return a column as float64, nan where it is null or absent."""
    if column not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[column].cast(pa.float64()).to_numpy(), np.float64)
