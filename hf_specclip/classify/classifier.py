"""Classifier of sources trained on labels, on the representations of a frozen model.

The bundled model has one, trained on the labels of simulated sources. Classes that a user names
are classified without labels (`zero_shot`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, map_tensors, read_versioned, refuse_damage, write_json
from .families import check_class_names, softmax
from .probe import INPUTS, MAX_WIDTH, stack_inputs

CLASSIFIER_FOLDER = "classifier"
CONFIG_FILE, TENSORS_FILE = "classifier.json", "classifier.safetensors"
FORMAT, VERSION = "specclip-classifier", 1
MAX_CONFIG_BYTES = 1 << 20
_TENSORS = ("mean", "scale", "hidden_weight", "hidden_bias", "weight", "bias")


@dataclass(frozen=True)
class SourceClassifier:
    """Multilayer perceptron with one hidden layer (ReLU) on the representations of a spectrum.

    Attributes:
        classes: labels.
        inputs: representation -> its width, in the order of `probe.INPUTS`.
        mean, scale: (d,) mean and standard deviation of the inputs.
        hidden_weight, hidden_bias: (H, d) and (H,).
        weight, bias: (C, H) and (C,); calibrated, so that the softmax gives probabilities.
        least_probability: probability of the top family below which no class stands out.
        about: metadata of the training.

    Examples:
        >>> describer = Describer.from_pretrained()
        >>> describer.classes.predict(describer.probe_inputs(["source.pi"]))  # (1, C)
    """

    classes: tuple[str, ...]
    inputs: Mapping[str, int]
    mean: np.ndarray
    scale: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    least_probability: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for contents that do not fit each other."""
        check_class_names(self.classes)
        names, widths = tuple(self.inputs), list(self.inputs.values())
        if not names or names != tuple(n for n in INPUTS if n in names):
            raise ValueError(f"`inputs` must be some of {', '.join(INPUTS)}")
        if not all(type(w) is int and w > 0 for w in widths) or sum(widths) > MAX_WIDTH:
            raise ValueError("`inputs` must have widths of a few thousand")
        width, hidden, rows = sum(widths), len(self.hidden_bias), len(self.classes)
        shapes = [(width,), (width,), (hidden, width), (hidden,), (rows, hidden), (rows,)]
        for name, shape in zip(_TENSORS, shapes, strict=True):
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"`{name}` must be {shape} finite numbers")
        if not (self.scale > 0).all() or not 0 <= self.least_probability <= 1:
            raise ValueError("a scale that is not above 0, or a probability outside 0 to 1")

    def predict(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probabilities (n, C) for representations, name -> (n, width).

        Raises:
            SpecCLIPProbeError: for representations of other widths.
        """
        x = (stack_inputs(inputs, self.inputs) - self.mean) / self.scale
        hidden = np.maximum(x @ self.hidden_weight.T + self.hidden_bias, 0.0)
        return softmax(hidden @ self.weight.T + self.bias)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder `classifier/` inside `folder` atomically."""
        from safetensors.numpy import save_file

        target = Path(folder) / CLASSIFIER_FOLDER
        config = {
            "format": FORMAT,
            "version": VERSION,
            "classes": list(self.classes),
            "inputs": dict(self.inputs),
            "least_probability": self.least_probability,
            "about": dict(self.about),
        }
        tensors = {name: np.ascontiguousarray(getattr(self, name), "<f4") for name in _TENSORS}
        with atomic_folder(target) as partial:
            write_json(partial / CONFIG_FILE, config)
            save_file(tensors, str(partial / TENSORS_FILE))
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> SourceClassifier:
        """Read the classifier of a model folder (or its `classifier/`).

        Raises:
            FileNotFoundError: when a file is absent.
            FileFormatError: when one is damaged.
        """
        path = Path(folder)
        if (path / CLASSIFIER_FOLDER).is_dir():
            path = path / CLASSIFIER_FOLDER
        for name in (CONFIG_FILE, TENSORS_FILE):
            if not (path / name).is_file():
                raise FileNotFoundError(f"{path} has no {name}")
        with refuse_damage(path / CONFIG_FILE, "fetch the model again"):
            refuse_links_out(path, FileFormatError)
            config = read_versioned(
                path / CONFIG_FILE, FORMAT, VERSION, MAX_CONFIG_BYTES, "update hf_specclip"
            )
            names, inputs = config["classes"], dict(config["inputs"])
            check_class_names(names)
            tensors: dict[str, Any] = map_tensors(path / TENSORS_FILE, *_TENSORS)
            least, about = config["least_probability"], dict(config.get("about") or {})
            return cls(tuple(names), inputs, **tensors, least_probability=least, about=about)


__all__ = ["CLASSIFIER_FOLDER", "SourceClassifier"]
