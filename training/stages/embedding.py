"""Embeddings of the spectra and texts of a dataset by a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.evaluation import MatchRanks, match_ranks
from specclip_training.data.pairs import PairData, SplitArrays
from specclip_training.engine.loop import map_rows
from specclip_training.stages.text_inputs import text_inputs

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class EmbeddedPairs:
    """Pairs in the shared space.

    Attributes:
        spectra: (n, D) unit vectors.
        texts: (k, D) unit vectors of the distinct texts.
        owner: (n,) text of each spectrum.
    """

    spectra: torch.Tensor
    texts: torch.Tensor
    owner: np.ndarray

    def ranks(self) -> dict[str, MatchRanks]:
        """Rank the matches in both directions."""
        return match_ranks(self.spectra, self.texts, self.owner)

    def subset(self, rows: np.ndarray) -> EmbeddedPairs:
        """Return some rows, with a gallery of their own texts only."""
        texts, owner = np.unique(self.owner[rows], return_inverse=True)
        return EmbeddedPairs(self.spectra[rows], self.texts[texts], owner)


@dataclass(frozen=True)
class DatasetEmbedder:
    """A model, applied to the spectra and texts of a dataset.

    Results are float32 tensors on the CPU of every process.

    Attributes:
        model: a dual encoder, or for `spectra(…, latents=True)` an autoencoder.
        extractor: its feature extractor.
        pairs: the dataset, with embedded texts.
        accelerator: device and processes.
    """

    model: Any
    extractor: SpecCLIPFeatureExtractor
    pairs: PairData
    accelerator: Accelerator

    @classmethod
    def from_pretrained(
        cls, folder: Path, pairs: PairData, accelerator: Accelerator
    ) -> DatasetEmbedder:
        """Load the dual encoder of a folder for a dataset."""
        model = SpecCLIPModel.from_pretrained(folder).to(accelerator.device).eval()
        return cls(model, SpecCLIPFeatureExtractor.from_pretrained(folder), pairs, accelerator)

    @torch.no_grad()
    def split(self, split: str) -> EmbeddedPairs:
        """Embed the spectra and distinct texts of a split."""
        rows, owner = self.pairs.texts_of(split)
        return EmbeddedPairs(self.spectra(split), self.texts(rows), owner)

    def spectra(self, split: str, *, latents: bool = False) -> torch.Tensor:
        """Embed the spectra of a split.

        Returns:
            (n, D); with `latents` the encoder's (n, latent_dim) before the projection.
        """
        encode = self.model.spectrum_model if latents else self.model.get_spectrum_features
        arrays = self.pairs.splits[split]

        def inputs(rows: np.ndarray) -> Mapping[str, torch.Tensor]:
            return self.extractor(arrays.spectra(rows), return_tensors="pt")

        return self.apply(lambda **batch: encode(**batch).pooler_output, inputs, len(arrays))

    def texts(self, rows: np.ndarray) -> torch.Tensor:
        """Embed some rows of `pairs.texts`, (k, D)."""
        texts, encode = self.pairs.texts, self.model.get_text_features
        # Texts of about the same length go together, as a batch is as wide as its longest.
        order = np.arange(len(rows))
        if texts.sentences is not None:
            order = np.argsort(texts.sentences.lengths[rows])
        vectors = self.apply(
            lambda **batch: encode(**batch).pooler_output,
            lambda batch: text_inputs(texts, rows[order[batch]]),
            len(rows),
        )
        return vectors[np.argsort(order)]

    def apply(
        self,
        function: Callable[..., torch.Tensor],
        inputs: Callable[[np.ndarray], Mapping[str, torch.Tensor]],
        n_rows: int,
    ) -> torch.Tensor:
        """Apply a function to the inputs of batches of rows; see `map_rows`."""
        device = self.accelerator.device

        def batch(rows: np.ndarray) -> torch.Tensor:
            return function(**{name: values.to(device) for name, values in inputs(rows).items()})

        return map_rows(self.accelerator, batch, n_rows)


def extract_numbers(
    extractor: SpecCLIPFeatureExtractor, arrays: SplitArrays
) -> dict[str, torch.Tensor]:
    """Extract the inputs of all spectra of a split, for an encoder that reads only their numbers.

    Returns:
        `spectrum_globals` (n, G) and `input_signature` (n,), and zeros for `spectrum_values`,
        (n, C, n_bins), that take no memory.
    """
    numbers: dict[str, list[torch.Tensor]] = {"spectrum_globals": [], "input_signature": []}
    shape: tuple[int, ...] = ()
    for start in range(0, len(arrays), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        extracted = extractor(arrays.spectra(rows), return_tensors="pt")
        shape = (len(arrays), *extracted["spectrum_values"].shape[1:])
        for name, values in numbers.items():
            values.append(extracted[name])
    joined = {name: torch.cat(values) for name, values in numbers.items()}
    return {"spectrum_values": torch.zeros(()).expand(shape), **joined}
