"""Outlier detectors on disk: data without code, validated when read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..models.variables_specclip import HARDNESS_BANDS
from ..storage import atomic_folder, map_tensors, read_json, refuse_damage, write_json
from ..version import __version__
from .isolation_forest import ARRAYS, IsolationForestArrays
from .rows import DETECTORS, Reference

CONFIG_FILE = "detector.json"
ROWS_FILE = "reference.jsonl"
TENSORS_FILE = "detector.safetensors"
FILES = (CONFIG_FILE, ROWS_FILE, TENSORS_FILE)
FOLDER = "outliers"
FORMAT, VERSION = "specclip-outliers", 3
# Far above the sizes that `fit` makes; a larger file is damaged or hostile.
MAX_ROWS, MAX_WIDTH = 200_000, 16_384
_MAX_BYTES = {CONFIG_FILE: 1 << 20, ROWS_FILE: 1 << 28, TENSORS_FILE: 1 << 32}
_BANK = ("spectrum", "text", "variables", "band_fluxes")
_NEEDED = (
    *(f"reference.{name}" for name in _BANK),
    *(f"levels.{name}" for name in DETECTORS),
    *(f"forest.{name}" for name in ARRAYS),
    "variable_spread",
)


def write_detector(target: Path, detector: Any) -> Path:
    """Write the files of a `SpecCLIPOutlierDetector` atomically; return `target`."""
    from safetensors.numpy import save_file

    reference, forest = detector.reference, detector.forest
    tensors = {f"reference.{name}": getattr(reference, name) for name in _BANK}
    tensors["variable_spread"] = detector.variable_spread
    tensors |= {f"forest.{name}": getattr(forest, name) for name in ARRAYS}
    tensors |= {f"levels.{name}": array for name, array in detector.levels.items()}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    config = {
        "format": FORMAT,
        "version": VERSION,
        "hf_specclip": __version__,
        "k": detector.k,
        "variables": list(detector.variables),
        "rows": len(reference.groups),
        "forest_width": forest.n_features,
        "forest_expected": forest.expected,
        "levels": {name: len(array) for name, array in detector.levels.items()},
    }
    with atomic_folder(target) as partial:
        write_json(partial / CONFIG_FILE, config)
        with (partial / ROWS_FILE).open("w", encoding="utf-8") as lines:
            rows = zip(reference.names, reference.classes, reference.groups, strict=True)
            for name, label, group in rows:
                row = {"name": name, "class": label, "group": group}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        save_file(tensors, str(partial / TENSORS_FILE))
    return target


def read_detector(name_or_path: str | os.PathLike[str], **hub: Any) -> dict[str, Any]:
    """Read a detector; see `SpecCLIPOutlierDetector.from_pretrained`.

    Returns:
        The arguments of `SpecCLIPOutlierDetector`.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        patterns = [*FILES, *(f"{FOLDER}/{name}" for name in FILES)]
        folder = Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub))
    if not (folder / CONFIG_FILE).is_file() and (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    for name in FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}: training/study.py makes an outlier "
                "detector, and so does SpecCLIPOutlierDetector.fit(rows).save_pretrained(folder)"
            )
        if (folder / name).stat().st_size > _MAX_BYTES[name]:
            raise FileFormatError(f"{folder / name} is larger than {_MAX_BYTES[name]} bytes")
    refuse_links_out(folder, FileFormatError)
    with refuse_damage(folder, "fetch or fit the detector again"):
        return _assemble(folder)


def _assemble(folder: Path) -> dict[str, Any]:
    config = _read_config(folder / CONFIG_FILE)
    n = _integer(config, "rows", MAX_ROWS)
    k = _integer(config, "k", n)
    variables = config.get("variables")
    if not isinstance(variables, list) or not all(isinstance(name, str) for name in variables):
        raise FileFormatError(f"{folder / CONFIG_FILE}: `variables` must be a list of names")
    names, classes, groups = _read_rows(folder / ROWS_FILE, n)
    tensors = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in map_tensors(folder / TENSORS_FILE, *_NEEDED).items()
    }
    width = tensors["reference.spectrum"].shape[-1]
    expected = {
        "reference.spectrum": (np.float32, (n, width)),
        "reference.text": (np.float32, (n, width)),
        "reference.variables": (np.float64, (n, len(variables))),
        "reference.band_fluxes": (np.float32, (n, len(HARDNESS_BANDS))),
        "variable_spread": (np.float64, (len(variables),)),
    }
    for name, (dtype, shape) in expected.items():
        array = tensors[name]
        if np.isinf(array).any():  # NaN is an unknown value
            raise ValueError(f"{name} holds infinity")
        if name == "reference.text" and (np.isnan(array).any(1) != np.isnan(array).all(1)).any():
            raise ValueError(f"{name} holds NaN in a part of a row")
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{name} is {array.dtype} {array.shape}, it must be {np.dtype(dtype)} {shape}"
            )
    unit = np.abs(np.linalg.norm(tensors["reference.spectrum"], axis=1) - 1.0) < 1e-2
    if not unit.all():
        raise ValueError("reference.spectrum holds rows that are not of unit length")
    spread = tensors["variable_spread"]
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError("variable_spread must be finite and above 0")
    levels = {name: tensors[f"levels.{name}"] for name in DETECTORS}
    numbers = dict(config.get("levels", {}))
    for name, level in levels.items():
        if level.shape != (number := numbers.get(name, level.size),):
            raise ValueError(f"levels.{name} is {level.shape}, it must be ({number},)")
        if not np.isfinite(level).all() or (np.diff(level) < 0).any():
            raise ValueError(f"levels.{name} must be finite and rise")
    forest = IsolationForestArrays.from_tensors(
        {name: tensors[f"forest.{name}"] for name in ARRAYS},
        _integer(config, "forest_width", MAX_WIDTH),
        float(config.get("forest_expected", np.nan)),
    )
    if forest.n_features != 2 * width:
        raise ValueError(f"the forest is {forest.n_features} wide, the shared space twice {width}")
    bank = {name: tensors[f"reference.{name}"] for name in _BANK}
    reference = Reference(**bank, names=names, classes=classes, groups=groups)
    return {"reference": reference, "forest": forest, "variables": variables, "k": k,
            "variable_spread": spread, "levels": levels}  # fmt: skip


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if config.get("format") != FORMAT:
        raise FileFormatError(f"{path} does not say that it is a {FORMAT}")
    version = config.get("version")
    if version != VERSION:
        raise FileFormatError(
            f"{path} is of version {version!r}, this package reads {VERSION}: update hf_specclip, "
            "or fit the detector again"
        )
    return config


def _read_rows(
    path: Path, n: int
) -> tuple[tuple[str, ...], tuple[str | None, ...], tuple[str, ...]]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        with refuse_damage(f"{path} line {number}", "fetch or fit the detector again"):
            row = json.loads(line)
            name, group, label = (row.get(key) for key in ("name", "group", "class"))
        if not (isinstance(name, str) and isinstance(group, str) and isinstance(label, str | None)):
            raise FileFormatError(f"{path} line {number} lacks `name`, `class` or `group`")
        rows.append((name, group, label))
    if len(rows) != n:
        raise FileFormatError(f"{path} has {len(rows)} rows, {CONFIG_FILE} says {n}")
    names, groups, classes = zip(*rows, strict=True)
    return names, classes, groups


def _integer(config: Mapping[str, Any], name: str, high: int) -> int:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise FileFormatError(
            f"{CONFIG_FILE}: `{name}` is {value!r}, it must be a whole number from 1 to {high}"
        )
    return value


__all__ = ["FILES", "read_detector", "write_detector"]
