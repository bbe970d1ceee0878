"""Probe: classifier or regressor trained on user labels, on the representations of a frozen model.

Classification is linear discriminant analysis with equal priors; regression is ridge regression.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError, SpecCLIPError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, map_tensors, read_versioned, refuse_damage, write_json
from .families import MAX_NAME, check_class_names, rank_classes, softmax

CONFIG_FILE, TENSORS_FILE = "probe.json", "probe.safetensors"
FORMAT, VERSION = "specclip-probe", 1
MAX_CONFIG_BYTES, MAX_WIDTH = 1 << 22, 65_536
# Representations of a spectrum that a probe may read, in the order of its columns.
INPUTS = ("embedding", "latent", "features")
# Share of held-out labelled spectra beyond which a spectrum is none of the classes.
FAR_PERCENTILE = 95.0
_TENSORS = ("mean", "scale", "centres", "precision", "distances", "weight")


class SpecCLIPProbeError(SpecCLIPError, ValueError):
    """Error for a probe that does not match a model, or labels that cannot be fitted."""


@dataclass(frozen=True)
class ProbeAnswer:
    """Prediction of a probe for one spectrum.

    Attributes:
        probe: name of the probe.
        probabilities: class -> probability, largest first, with equal priors; empty for regression.
        value: predicted value; None for classification.
        lower_68, upper_68, lower_90, upper_90: intervals with this coverage on held-out groups.
        distance_percentile: percentage of held-out labelled spectra with a smaller distance to
            the others.
        none_of_these: True if this percentage is above 95.
    """

    probe: str
    probabilities: Mapping[str, float]
    value: float | None
    lower_68: float | None
    upper_68: float | None
    lower_90: float | None
    upper_90: float | None
    distance_percentile: float
    none_of_these: bool


_Interval = tuple[float | None, float | None, float | None, float | None, float | None]


@dataclass
class SpecCLIPProbe:
    """Classifier or regressor on the representations of a frozen model; made by `fit_probe`.

    Attributes:
        name: name of the probe; that of its folder when loaded.
        classes: labels; empty for regression.
        inputs: representation -> its width, in the order of `INPUTS`.
        fingerprint: see `model_fingerprint`.
        mean, scale: (d,) mean and standard deviation of the inputs.
        centres, precision: (C, d) means of the classes and (d, d) inverse covariance, standardised.
        distances: quantiles of the squared distance of held-out labelled spectra, ascending.
        temperature: divisor of the log densities.
        weight: (d + 1,) regression coefficients and intercept; (0,) for classification.
        log10: True if the logarithm of the target is fitted.
        half_68, half_90: half widths of the regression intervals.
        report: cross-validation results, see `fit_probe`.

    Examples:
        >>> probe = SpecCLIPProbe.from_pretrained("my_classes")
        >>> probe.answers(describer.probe_inputs(["source.pi"]))
    """

    name: str
    classes: tuple[str, ...]
    inputs: dict[str, int]
    fingerprint: str
    mean: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    precision: np.ndarray
    distances: np.ndarray
    temperature: float = 1.0
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    log10: bool = False
    half_68: float = 0.0
    half_90: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)

    def answers(self, inputs: Mapping[str, np.ndarray]) -> list[ProbeAnswer]:
        """Predict for each row of the inputs, representation -> (n, width).

        Raises:
            SpecCLIPProbeError: for inputs that the probe was not fitted on.
        """
        x = stack_inputs(inputs, self.inputs)
        squares = self.squares(x)
        shares = class_probabilities(squares, self.temperature)
        values = self.numbers(x) if len(self.weight) else None
        # A regression has one centre and no classes.
        ranked = rank_classes(self.classes, shares) if self.classes else [{}] * len(x)
        answers = []
        for row, percentile in enumerate(self.percentiles(squares).tolist()):
            numbers = self._with_interval(None if values is None else float(values[row]))
            far = percentile >= FAR_PERCENTILE
            answers.append(ProbeAnswer(self.name, ranked[row], *numbers, percentile, far))
        return answers

    def squares(self, x: np.ndarray) -> np.ndarray:
        """Compute the squared distances (n, C) of stacked inputs from the means of the classes."""
        return squared_distances(self._standardise(x), self.centres, self.precision)

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Estimate the number, or its logarithm, of each row of stacked inputs, (n,)."""
        return self._standardise(x) @ self.weight[:-1] + self.weight[-1]

    def percentiles(self, squares: np.ndarray) -> np.ndarray:
        """Return the percentage (n,) of held-out labelled spectra that are nearer to the others."""
        return 100.0 * np.searchsorted(self.distances, squares.min(axis=1)) / len(self.distances)

    def _standardise(self, x: np.ndarray) -> np.ndarray:
        return (x[:, : len(self.mean)] - self.mean) / self.scale

    def _with_interval(self, value: float | None) -> _Interval:
        """Return a number and the ends of its intervals in the unit of the column."""
        if value is None:
            return None, None, None, None, None
        ends = value + np.array([0.0, -1.0, 1.0, 0.0, 0.0]) * self.half_68
        ends += np.array([0.0, 0.0, 0.0, -1.0, 1.0]) * self.half_90
        middle, *others = (10.0**ends if self.log10 else ends).tolist()
        return middle, others[0], others[1], others[2], others[3]

    def check_model(self, fingerprint: str, name: str = "this model") -> None:
        """Raise SpecCLIPProbeError if the probe was fitted with another model."""
        if fingerprint != self.fingerprint:
            made = self.report.get("model") or "another model"
            raise SpecCLIPProbeError(
                f"the probe {self.name} reads the embeddings of {made}, whose weights are not "
                f"those of {name}: give that --model, or fit the labels again"
            )

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write `probe.json` and `probe.safetensors` in a folder, atomically."""
        from safetensors.numpy import save_file

        target = Path(folder)
        if target.exists() and not (target / CONFIG_FILE).is_file() and any(target.iterdir()):
            raise SpecCLIPProbeError(
                f"{target} contains files that are not a probe: choose another folder"
            )
        config = {
            "format": FORMAT,
            "version": VERSION,
            **{name: getattr(self, name) for name in (*_CONFIG, "report")},
        }
        tensors = {name: np.ascontiguousarray(getattr(self, name), "<f8") for name in _TENSORS}
        with atomic_folder(target) as partial:
            write_json(partial / CONFIG_FILE, config)
            save_file(tensors, str(partial / TENSORS_FILE))
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> SpecCLIPProbe:
        """Read a probe.

        Raises:
            FileNotFoundError: for a folder without one.
            FileFormatError: for damaged files.
        """
        path = Path(folder)
        for name in (CONFIG_FILE, TENSORS_FILE):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"{path} has no {name}: give a folder that specclip classify --fit has written"
                )
        with refuse_damage(path / CONFIG_FILE, "fit the labels again"):
            refuse_links_out(path, FileFormatError)
            config = read_versioned(
                path / CONFIG_FILE, FORMAT, VERSION, MAX_CONFIG_BYTES, "fit the labels again"
            )
            read: dict[str, Any] = map_tensors(path / TENSORS_FILE, *_TENSORS)
            values = {name: config[name] for name in _CONFIG}
            values |= {name: read[name] for name in _TENSORS}
            values["name"] = path.resolve().name[:MAX_NAME]
            values["classes"] = tuple(values["classes"])
            probe = cls(**values, report=dict(config["report"]))
            probe._check()
            return probe

    def _check(self) -> None:
        """Raise ValueError for contents that do not fit each other."""
        names, classes = tuple(self.inputs), self.classes
        if not names or names != tuple(n for n in INPUTS if n in names):
            raise ValueError(f"`inputs` must be some of {', '.join(INPUTS)}")
        width = sum(self.inputs.values())
        if not all(isinstance(w, int) and w > 0 for w in self.inputs.values()) or width > MAX_WIDTH:
            raise ValueError("`inputs` must have widths of a few thousand")
        if classes:
            check_class_names(classes)
        rows = len(classes) or 1
        shapes = [(width,), (width,), (rows, width), (width, width), (len(self.distances),)]
        shapes.append((0,) if classes else (width + 1,))
        for name, shape in zip(_TENSORS, shapes, strict=True):
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"`{name}` must be {shape} finite numbers")
        numbers = (self.temperature, self.half_68, self.half_90)
        if len(classes) == 1:
            raise ValueError("`classes` must be two or more names")
        if not len(self.distances) or not (self.scale > 0).all():
            raise ValueError("no distances, or a scale that is not above 0")
        if not all(isinstance(n, int | float) and np.isfinite(n) and n >= 0 for n in numbers):
            raise ValueError("temperature and half widths must be numbers from 0")
        if not self.temperature > 0 or not isinstance(self.fingerprint, str):
            raise ValueError("temperature must be above 0, and fingerprint a text")


_CONFIG = ("classes", "inputs", "fingerprint", "temperature", "log10", "half_68", "half_90")


def stack_inputs(inputs: Mapping[str, np.ndarray], widths: Mapping[str, int]) -> np.ndarray:
    """Join representations to one matrix (n, d), in float64.

    Raises:
        SpecCLIPProbeError: for one that is absent, or of another width.
    """
    for name, width in widths.items():
        if name not in inputs or np.shape(inputs[name])[1:] != (width,):
            there = {n: np.shape(values)[1] for n, values in inputs.items()}
            raise SpecCLIPProbeError(f"the probe reads {dict(widths)}, and here there is {there}")
    return np.concatenate([np.asarray(inputs[name], np.float64) for name in widths], axis=1)


def squared_distances(x: np.ndarray, centres: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Compute the squared Mahalanobis distances (n, C) of rows (n, d) from centres (C, d).

    Those from a centre of nan are infinite.
    """
    squares = np.einsum("nd,nd->n", x @ precision, x)[:, None]
    own = np.einsum("cd,cd->c", centres @ precision, centres)
    squares = squares - 2.0 * x @ precision @ centres.T + own
    return np.where(np.isnan(squares), np.inf, np.maximum(squares, 0.0))


def class_probabilities(squares: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (n, C) of classes of equal number from squared distances (n, C)."""
    return softmax(-0.5 * squares / temperature)


def model_fingerprint(model: Any) -> str:
    """Return a digest of the weights of a model, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_probes(
    folders: Sequence[str | os.PathLike[str]], model: Any, name: str
) -> tuple[SpecCLIPProbe, ...]:
    """Read probes, and check that they are of a model; `name` is the model's, for messages."""
    probes = tuple(SpecCLIPProbe.from_pretrained(folder) for folder in folders)
    fingerprint = model_fingerprint(model) if probes else ""
    for probe in probes:
        probe.check_model(fingerprint, name)
    return probes


__all__ = [
    "FAR_PERCENTILE",
    "INPUTS",
    "ProbeAnswer",
    "SpecCLIPProbe",
    "SpecCLIPProbeError",
    "class_probabilities",
    "load_probes",
    "model_fingerprint",
    "squared_distances",
    "stack_inputs",
]
