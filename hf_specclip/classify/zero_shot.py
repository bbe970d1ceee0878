"""Zero-shot classification of spectra by class names, in the shared space.

A class is represented by the mean embedding of sentences that name it. Labels are only used to fit
two numbers: the temperature that calibrates the probabilities, and the probability of a family of
classes below which none stands out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, map_tensors, read_versioned, refuse_damage, write_json
from .families import (
    check_class_names,
    family_matrix,
    family_name,
    fit_least_probability,
    rank_classes,
    softmax,
)
from .prompts import TEMPLATES, class_prompts

ZERO_SHOT_FOLDER = "zero_shot"
CONFIG_FILE = "zero_shot.json"
TENSORS_FILE = "classes.safetensors"
FORMAT, VERSION = "specclip-zero-shot", 2
MAX_CONFIG_BYTES = 1 << 20
# Range of a fit; the lower end is CLIP's bound on its logit scale, 100.
TEMPERATURES = (0.01, 10.0)


class ZeroShotClasses:
    """Classes as directions in the shared space.

    Args:
        classes: labels.
        embeddings: (C, D), any positive length; normalised here.
        temperature: divisor of the similarities before the softmax.
        about: metadata: templates, and the rows the temperature was fitted to.
        least_probability: probability of the top family below which no class stands out.

    Raises:
        ValueError: for shapes that do not fit, a label that is repeated, or a temperature that is
            not above zero.

    Examples:
        >>> classes = ZeroShotClasses.from_pretrained("runs/demo/model")
        >>> classes.probabilities(spectrum_embeds)  # (B, C)
    """

    def __init__(
        self,
        classes: Sequence[str],
        embeddings: np.ndarray,
        temperature: float,
        about: Mapping[str, Any] | None = None,
        least_probability: float = 0.0,
    ):
        vectors = np.asarray(embeddings, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(classes) or not len(classes):
            raise ValueError(f"{len(classes)} classes with embeddings of shape {vectors.shape}")
        check_class_names(classes)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(length).all() and (length > 0).all()):
            raise ValueError("the embedding of a class is zero or not finite")
        if not (np.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be above 0, not {temperature}")
        if not 0 <= least_probability <= 1:
            raise ValueError(f"least_probability must lie within 0 to 1, not {least_probability}")
        self.least_probability = float(least_probability)
        self.classes = tuple(classes)
        self.embeddings = vectors / length
        self.temperature = float(temperature)
        self.about = dict(about or {})

    @classmethod
    def from_prompts(
        cls,
        classes: Sequence[str],
        embed: Callable[[list[dict[str, str]]], np.ndarray],
        temperature: float,
        *,
        templates: Sequence[Mapping[str, str]] = TEMPLATES,
    ) -> ZeroShotClasses:
        """Create classes from sentences that name them.

        Args:
            classes: labels (`"LMXB"`) or words (`"a white dwarf in outburst"`).
            embed: summaries (section -> text) to points in the shared space, (n, D).
            temperature: see the class.
            templates: see `class_prompts`.
        """
        prompts = [class_prompts(label, templates) for label in classes]
        summaries = [summary for of_class in prompts for summary in of_class]
        vectors = np.asarray(embed(summaries), np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ends = np.cumsum([len(of_class) for of_class in prompts])
        means = np.stack([block.mean(axis=0) for block in np.split(vectors, ends[:-1])])
        return cls(classes, means, temperature, {"templates": [dict(t) for t in templates]})

    def similarities(self, spectrum_embeds: Any) -> np.ndarray:
        """Return the cosines (B, C) of spectra in the shared space (B, D) with the classes."""
        if hasattr(spectrum_embeds, "detach"):
            spectrum_embeds = spectrum_embeds.detach().float().cpu().numpy()
        points = np.atleast_2d(np.asarray(spectrum_embeds, np.float32))
        if points.ndim != 2 or points.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"spectrum_embeds are {points.shape}, these classes have "
                f"{self.embeddings.shape[1]} dimensions: use the model they came with"
            )
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        return points @ self.embeddings.T

    def probabilities(self, spectrum_embeds: Any) -> np.ndarray:
        """Return the probabilities (B, C) of the classes; each row sums to 1."""
        return softmax(self.similarities(spectrum_embeds).astype(np.float64) / self.temperature)

    def predict(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probabilities (n, C) for representations, of which it reads `embedding`."""
        return self.probabilities(inputs["embedding"])

    def ranked(self, spectrum_embeds: Any) -> list[dict[str, float]]:
        """Return class -> probability for each spectrum, largest first."""
        return rank_classes(self.classes, self.probabilities(spectrum_embeds))

    def family_probabilities(self, spectrum_embeds: Any) -> tuple[list[str], np.ndarray]:
        """Return the names of the families of the classes, and their probabilities (B, F)."""
        names, matrix = family_matrix(self.classes)
        return names, self.probabilities(spectrum_embeds) @ matrix

    def fit(self, spectrum_embeds: Any, labels: Sequence[str]) -> None:
        """Fit the temperature, and the least probability at which a family stands out.

        Args:
            spectrum_embeds: (n, D) embeddings of held-out spectra.
            labels: the class of each, one of `classes`.

        Raises:
            ValueError: without rows.
        """
        truth = np.array([self.classes.index(label) for label in labels], np.int64)
        self.temperature = fit_temperature(self.similarities(spectrum_embeds), truth)
        names, shares = self.family_probabilities(spectrum_embeds)
        families = np.array([names.index(family_name(label)) for label in labels])
        right = shares.argmax(axis=1) == families
        self.least_probability = fit_least_probability(shares.max(axis=1), right)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder `zero_shot/` inside `folder` atomically."""
        from safetensors.numpy import save_file

        target = Path(folder) / ZERO_SHOT_FOLDER
        config = {
            "format": FORMAT,
            "version": VERSION,
            "classes": list(self.classes),
            "temperature": self.temperature,
            "least_probability": self.least_probability,
            "about": self.about,
        }
        with atomic_folder(target) as partial:
            write_json(partial / CONFIG_FILE, config)
            save_file({"embeddings": self.embeddings}, str(partial / TENSORS_FILE))
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> ZeroShotClasses:
        """Read the classes of a model folder (or its `zero_shot/`).

        Raises:
            FileNotFoundError: when a file is absent.
            FileFormatError: when one is damaged.
        """
        path = Path(folder)
        if (path / ZERO_SHOT_FOLDER).is_dir():
            path = path / ZERO_SHOT_FOLDER
        for name in (CONFIG_FILE, TENSORS_FILE):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"{path} has no {name}: training/align.py writes classes for a model whose "
                    "dataset has a source_class"
                )
        with refuse_damage(path / CONFIG_FILE, "fetch the model again, or train it"):
            refuse_links_out(path, FileFormatError)
            config = read_versioned(
                path / CONFIG_FILE, FORMAT, VERSION, MAX_CONFIG_BYTES, "update hf_specclip"
            )
            classes = config["classes"]
            vectors = map_tensors(path / TENSORS_FILE, "embeddings")["embeddings"]
            numbers = config["temperature"], config.get("about"), config["least_probability"]
            return cls(classes, vectors, *numbers)


def fit_temperature(
    similarities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Fit the temperature that maximises the likelihood of the true classes (Guo et al. 2017).

    Args:
        similarities: (n, C).
        truth: (n,) column of the true class.
        weights: (n,) of the rows.

    Raises:
        ValueError: without rows.
    """
    if not len(similarities):
        raise ValueError("no row has a class: the temperature cannot be fitted")
    from scipy.optimize import minimize_scalar

    # The loss has one minimum in 1/T.
    found = minimize_scalar(
        lambda log_temperature: _loss(similarities, truth, log_temperature, weights),
        bounds=np.log(TEMPERATURES),
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x))


def calibration_error(
    probabilities: np.ndarray,
    truth: np.ndarray,
    bins: int = 10,
    weights: np.ndarray | None = None,
) -> float:
    """Compute the expected calibration error (Naeini et al. 2015): the mean distance of confidence
    and accuracy, over bins of equal numbers of rows.

    Args:
        probabilities: (n, C).
        truth: (n,) column of the true class.
        bins: largest number of bins.
        weights: (n,) of the rows.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    weights = np.ones(len(order)) if weights is None else weights
    return float(sum(abs(weights[p] @ (confidence - right)[p]) for p in parts) / weights.sum())


def _loss(
    similarities: np.ndarray,
    truth: np.ndarray,
    log_temperature: float,
    weights: np.ndarray | None = None,
) -> float:
    scaled = similarities.astype(np.float64) / np.exp(log_temperature)
    top = scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
    losses = log_sum - scaled[np.arange(len(truth)), truth]
    return float(np.average(losses, weights=weights))


__all__ = [
    "ZERO_SHOT_FOLDER",
    "ZeroShotClasses",
    "calibration_error",
    "fit_temperature",
]
