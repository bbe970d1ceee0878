"""Embeddings of the spectra and texts of a dataset by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip import SpecCLIPFeatureExtractor
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


def embed_pairs(
    model: Any,
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
) -> EmbeddedPairs:
    """Embed the spectra and distinct texts of a split."""
    rows, owner = pairs.texts_of(split)
    return EmbeddedPairs(
        embed_spectra(model, extractor, pairs, split, accelerator),
        embed_text_rows(model, pairs, rows, accelerator),
        owner,
    )


def embed_spectra(
    model: Any,
    extractor: SpecCLIPFeatureExtractor,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
    *,
    latents: bool = False,
) -> torch.Tensor:
    """Embed the spectra of a split, on the CPU of every process.

    Returns:
        (n, D) float32; with `latents` the encoder's (n, latent_dim) before the projection.
    """
    encode = model.spectrum_model if latents else model.get_spectrum_features
    arrays = pairs.splits[split]

    def embed(rows: np.ndarray) -> torch.Tensor:
        inputs = extractor(arrays.spectra(rows), return_tensors="pt")
        inputs = {name: values.to(accelerator.device) for name, values in inputs.items()}
        return encode(**inputs).pooler_output

    return map_rows(accelerator, embed, len(arrays))


def embed_text_rows(
    model: Any, pairs: PairData, rows: np.ndarray, accelerator: Accelerator
) -> torch.Tensor:
    """Embed some rows of `pairs.texts`: (k, D) float32, on the CPU of every process."""
    sentences = pairs.texts.sentences
    # Texts of about the same length go together, as a batch is as wide as its longest.
    order = np.arange(len(rows)) if sentences is None else np.argsort(sentences.lengths[rows])

    def embed(batch: np.ndarray) -> torch.Tensor:
        inputs = text_inputs(pairs.texts, rows[order[batch]])
        inputs = {name: values.to(accelerator.device) for name, values in inputs.items()}
        return model.get_text_features(**inputs).pooler_output

    return map_rows(accelerator, embed, len(rows))[np.argsort(order)]


def extract_numbers(
    extractor: SpecCLIPFeatureExtractor, arrays: SplitArrays
) -> dict[str, torch.Tensor]:
    """Extract the inputs of all spectra of a split, for an encoder that reads only their numbers.

    Returns:
        `spectrum_globals` (n, G) and `input_signature` (n,), and zeros for `spectrum_values`,
        (n, C, n_bins), that take no memory.
    """
    parts: dict[str, list[torch.Tensor]] = {"spectrum_globals": [], "input_signature": []}
    shape: tuple[int, ...] = ()
    for start in range(0, len(arrays), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        extracted = extractor(arrays.spectra(rows), return_tensors="pt")
        shape = (len(arrays), *extracted["spectrum_values"].shape[1:])
        for name, values in parts.items():
            values.append(extracted[name])
    joined = {name: torch.cat(values) for name, values in parts.items()}
    return {"spectrum_values": torch.zeros(()).expand(shape), **joined}
