"""Outlier detectors on disk: data, never code, and looked at before it is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, write_json
from ..version import __version__
from .isolation_forest import IsolationForestArrays

if TYPE_CHECKING:
    from .detector import SpecCLIPOutlierDetector

CONFIG_FILE = "detector.json"
ROWS_FILE = "reference.jsonl"
TENSORS_FILE = "detector.safetensors"
FOLDER = "outliers"
FORMAT, VERSION = "specclip-outliers", 1
# Far above what `fit` makes; a file that asks for more is damaged or hostile.
MAX_ROWS, MAX_WIDTH, MAX_JSON_BYTES, MAX_LINE_BYTES = 200_000, 16_384, 1 << 20, 1 << 14
MAX_TENSOR_BYTES = 1 << 32
_BANK = (
    "spectrum", "text", "identity", "text_reach", "identity_reach", "features", "variables",
    "band_counts", "band_errors",
)  # fmt: skip
_ARRAYS = (
    "centre", "precision", "feature_quantiles", "variable_quantiles", "residual_scale",
    "identity_mean", "identity_axes",
)  # fmt: skip
_FOREST = ("left", "right", "feature", "threshold", "length")


def write_detector(detector: SpecCLIPOutlierDetector, target: Path) -> Path:
    """See `SpecCLIPOutlierDetector.save_pretrained`."""
    from safetensors.numpy import save_file

    reference = detector.reference
    tensors = {f"reference.{name}": getattr(reference, name) for name in _BANK}
    tensors |= {f"learned.{name}": detector._arrays[name] for name in _ARRAYS}
    tensors |= {f"forest.{name}": array for name, array in detector.forest.tensors().items()}
    tensors |= {f"levels.{name}": array for name, array in detector._levels.items()}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    config = {
        "format": FORMAT,
        "version": VERSION,
        "hf_specclip": __version__,
        "k": detector.k,
        "variables": list(detector.variables),
        "rows": len(reference.groups),
        "forest_width": detector.forest.n_features,
        "forest_expected": detector.forest.expected,
        "shapes": {name: list(array.shape) for name, array in tensors.items()},
    }
    with atomic_folder(target) as partial:
        write_json(partial / CONFIG_FILE, config)
        with (partial / ROWS_FILE).open("w", encoding="utf-8") as lines:
            rows = zip(reference.names, reference.classes, reference.groups, strict=True)
            for name, kind, group in rows:
                row = {"name": name, "class": kind, "group": group}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        save_file(tensors, str(partial / TENSORS_FILE))
    return target


def read_detector(name_or_path: str | os.PathLike[str], **hub: Any) -> SpecCLIPOutlierDetector:
    """See `SpecCLIPOutlierDetector.from_pretrained`."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        names = (CONFIG_FILE, ROWS_FILE, TENSORS_FILE)
        patterns = [*names, *(f"{FOLDER}/{name}" for name in names)]
        folder = Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub))
    if not (folder / CONFIG_FILE).is_file() and (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    for name in (CONFIG_FILE, ROWS_FILE, TENSORS_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}: an outlier detector is made by training/outliers.py, or "
                "by SpecCLIPOutlierDetector.fit(rows).save_pretrained(folder)"
            )
    refuse_links_out(folder, FileFormatError)
    try:
        return _assemble(folder)
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{folder}: {error}: fetch or fit the detector again") from error


def _assemble(folder: Path) -> SpecCLIPOutlierDetector:
    from .detector import COMPONENTS, DETECTORS, Reference, SpecCLIPOutlierDetector

    config = _config(folder / CONFIG_FILE)
    n = _whole(config, "rows", 1, MAX_ROWS)
    k = _whole(config, "k", 1, n)
    variables = config.get("variables")
    if not isinstance(variables, list) or not all(isinstance(name, str) for name in variables):
        raise FileFormatError(f"{folder / CONFIG_FILE}: `variables` must be a list of names")
    wanted = {f"reference.{name}" for name in _BANK} | {f"learned.{name}" for name in _ARRAYS}
    wanted |= {f"forest.{name}" for name in _FOREST} | {f"levels.{name}" for name in DETECTORS}
    tensors = _tensors(folder / TENSORS_FILE, config.get("shapes"), wanted)
    names, classes, groups = _rows(folder / ROWS_FILE, n)

    bank = {name: tensors[f"reference.{name}"] for name in _BANK}
    learned = {name: tensors[f"learned.{name}"] for name in _ARRAYS}
    width, features = bank["spectrum"].shape[-1], bank["features"].shape[-1]
    axes, section = bank["identity"].shape[-1], learned["identity_mean"].shape[-1]
    quantiles = learned["feature_quantiles"].shape[-1]
    shapes = {
        "spectrum": (n, width),
        "text": (n, width),
        "identity": (n, axes),
        "text_reach": (n,),
        "identity_reach": (n,),
        "identity_mean": (section,),
        "identity_axes": (axes, section),
        "features": (n, features),
        "variables": (n, len(variables)),
        "band_counts": (n, 3),
        "band_errors": (n, 3),
        "centre": (2 * width,),
        "precision": (2 * width, 2 * width),
        "feature_quantiles": (features, quantiles),
        "variable_quantiles": (len(variables), quantiles),
        "residual_scale": (len(variables),),
    }
    for name, shape in shapes.items():
        array = bank.get(name, learned.get(name))
        kind = np.float32 if name in bank else np.float64
        if array is None or array.shape != shape or array.dtype != kind:
            found = None if array is None else f"{array.dtype} {array.shape}"
            raise ValueError(f"{name} is {found}, it must be {np.dtype(kind)} {shape}")
    unit = np.abs(np.linalg.norm(bank["spectrum"], axis=1) - 1.0) < 1e-2
    if not unit.all():
        raise ValueError("reference.spectrum holds rows that are not of unit length")
    for name in ("centre", "precision", "residual_scale", "identity_mean", "identity_axes"):
        if not np.isfinite(learned[name]).all():
            raise ValueError(f"learned.{name} holds NaN or infinity")
    if not (learned["residual_scale"] > 0).all():
        raise ValueError("learned.residual_scale must be above 0")
    levels = {name: tensors[f"levels.{name}"] for name in DETECTORS}
    for name, level in levels.items():
        if level.ndim != 1 or not np.isfinite(level).all() or (np.diff(level) < 0).any():
            raise ValueError(f"levels.{name} must be finite and rise")
    if set(levels) != {*COMPONENTS, "combined"}:
        raise ValueError("levels of other detectors than this version knows")
    forest = IsolationForestArrays.from_tensors(
        {name: tensors[f"forest.{name}"] for name in _FOREST},
        _whole(config, "forest_width", 1, MAX_WIDTH),
        float(config.get("forest_expected", np.nan)),
    )
    if forest.n_features != 2 * width:
        raise ValueError(f"the forest is {forest.n_features} wide, the shared space twice {width}")
    reference = Reference(**bank, names=names, classes=classes, groups=groups)
    return SpecCLIPOutlierDetector(
        reference, forest, variables=variables, k=k, arrays=learned, levels=levels
    )


def _config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise FileFormatError(f"{path} is larger than {MAX_JSON_BYTES} bytes")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise FileFormatError(f"{path} does not say that it is a {FORMAT}")
    version = config.get("version")
    if version != VERSION:
        raise FileFormatError(
            f"{path} is of version {version!r}, this package reads {VERSION}: update hf_specclip, "
            "or fit the detector again"
        )
    return config


def _tensors(path: Path, shapes: Any, wanted: set[str]) -> dict[str, np.ndarray]:
    """The tensors of a file, after a look at its header: nothing large is read unasked."""
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > MAX_TENSOR_BYTES:
        raise FileFormatError(f"{path} is larger than {MAX_TENSOR_BYTES} bytes")
    if not isinstance(shapes, Mapping):
        raise FileFormatError(f"{path.with_name(CONFIG_FILE)}: `shapes` is missing")
    try:
        with safe_open(str(path), framework="numpy") as file:
            names = set(file.keys())
            if names != wanted:
                odd = ", ".join(sorted(names ^ wanted)[:5])
                raise FileFormatError(f"{path} lacks or has too many tensors: {odd}")
            for name in sorted(names):
                shape = list(file.get_slice(name).get_shape())
                if shape != shapes.get(name):
                    raise FileFormatError(
                        f"{path}: {name} is {shape}, {CONFIG_FILE} says {shapes.get(name)}: the "
                        "two files do not belong together"
                    )
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error


def _rows(path: Path, n: int) -> tuple[tuple[str, ...], tuple[str | None, ...], tuple[str, ...]]:
    names: list[str] = []
    classes: list[str | None] = []
    groups: list[str] = []
    with path.open("rb") as lines:
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number = len(names) + 1
            if len(line) > MAX_LINE_BYTES or number > n:
                raise FileFormatError(f"{path} line {number}: too long, or more than {n} rows")
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise FileFormatError(f"{path} line {number} is not JSON: {error}") from error
            name, kind, group = (
                (row.get(key) for key in ("name", "class", "group"))
                if isinstance(row, dict)
                else (None, None, None)
            )
            if not (
                isinstance(name, str)
                and isinstance(group, str)
                and (kind is None or isinstance(kind, str))
            ):
                raise FileFormatError(f"{path} line {number} lacks `name`, `class` or `group`")
            names.append(name)
            classes.append(kind)
            groups.append(group)
    if len(names) != n:
        raise FileFormatError(f"{path} has {len(names)} rows, {CONFIG_FILE} says {n}")
    return tuple(names), tuple(classes), tuple(groups)


def _whole(config: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FileFormatError(
            f"{CONFIG_FILE}: `{name}` is {value!r}, it must be a whole number from {low} to {high}"
        )
    return value


__all__ = ["FileFormatError", "read_detector", "write_detector"]
