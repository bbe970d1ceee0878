"""Representations of a batch of spectra by a dual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..models.spectrum_input_specclip import global_features_kind
from .inputs import SpectrumInput


class Representations(NamedTuple):
    """Representations of a batch: embeddings (B, D), output of the model, and global features
    (B, F) or None."""

    points: np.ndarray
    output: Any
    features: Any

    def probe_inputs(self) -> dict[str, np.ndarray]:
        """Return the inputs of a probe by name."""
        tensors = {"latent": self.output.spectrum_latent, "features": self.features}
        arrays = {n: t.float().cpu().numpy() for n, t in tensors.items() if t is not None}
        return {"embedding": self.points, **arrays}


def represent(model: Any, extractor: Any, batch: Sequence[SpectrumInput]) -> Representations:
    """Run a dual encoder on spectra."""
    import torch

    tensors = extractor([each.columns for each in batch], return_tensors="pt")
    inputs = {name: values.to(model.device) for name, values in tensors.items()}
    with torch.inference_mode():
        output = model(**inputs)
    points = output.spectrum_embeds.float().cpu().numpy()
    kind = extractor.input_kind
    features = inputs["spectrum_globals"] if kind == global_features_kind(kind) else None
    return Representations(points, output, features)
