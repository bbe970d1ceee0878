"""Files of the bundled model, and its figures on simulated rows for the card and its test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hf_specclip import VARIABLES, Describer, SpecCLIPMoEForRegression
from hf_specclip.classify.families import family_matrix, family_name
from hf_specclip.outliers.rows import OutlierRows
from hf_specclip.storage import write_json
from specclip_training.data.pairs import SPECTRUM
from specclip_training.studies.experts.study import MOE
from specclip_training.studies.transfer import estimates_of

# Rows that the test of the package measures again.
CHECK = Path(__file__).resolve().parents[2] / "tests" / "describe" / "bundled_check.parquet"
# Settings of the folder's own code, which the package brings.
_CODE = ("auto_map", "custom_pipelines")
# Smaller tensors (statistics, scales) stay as they are.
_LEAST_HALVED = 1024
# Variability between times cannot be told from a spectrum, and is not measured.
MEASURED = tuple(name for name in VARIABLES if not name.startswith("var_"))


def measured_columns(table: pa.Table) -> pa.Table:
    """Select the columns that `measure` needs, with effective areas to three digits."""
    names = [name for name in (*SPECTRUM, *MEASURED, "source_class") if name in table.column_names]
    table = table.select(names).replace_schema_metadata(None)
    if "effective_area" not in names:
        return table
    column = table["effective_area"].combine_chunks()
    areas = pa.array(column.flatten().to_numpy().astype(np.float16))
    areas = pa.FixedSizeListArray.from_arrays(areas, column.type.list_size)
    return table.set_column(names.index("effective_area"), "effective_area", areas)


def measure(describer: Describer, rows: pa.Table, guess: Mapping[str, float]) -> dict[str, Any]:
    """Measure a model on rows with known variables and classes, by their spectra alone.

    Args:
        describer: model with `moe`, `classes` and, optionally, `outliers`.
        rows: of `measured_columns`.
        guess: median of each variable over the rows that the model was trained on.

    Returns:
        `rows`; by variable the mean absolute `error`, that of the `guess`, and the shares of true
        values in the 68 % and 90 % intervals; their mean `relative_error`; figures of the families
        of classes; the median outlier percentile.
    """
    spectra = _spectra(rows)
    estimates = estimates_of(describer, spectra)
    variables = {}
    for name, usual in guess.items():
        if name not in MEASURED:
            continue
        truth = np.asarray(rows[name].to_pylist(), np.float64)
        known = np.isfinite(truth)
        if not known.any():
            continue
        truth = truth[known]
        variables[name] = {
            "n": len(truth),
            "error": float(np.abs(estimates.value[name][known] - truth).mean()),
            "guess": float(np.abs(usual - truth).mean()),
        }
        for level in estimates.ends:
            low, high = (ends[known, 0] for ends in estimates.interval(level, [name]))
            inside = (low <= truth) & (truth <= high)
            variables[name][f"coverage_{level}"] = float(inside.mean())
    points = describer.embed(spectra)
    relative = [row["error"] / row["guess"] for row in variables.values()]
    result = {
        "rows": len(rows),
        "variables": variables,
        "relative_error": float(np.mean(relative)),
        "families": _families(describer, spectra, rows["source_class"].to_pylist()),
    }
    if describer.outliers is not None:
        percentile = describer.outliers.score(OutlierRows(spectrum=points)).percentile(
            "spectrum_neighbours"
        )
        result["median_outlier_percentile"] = float(np.median(percentile))
    return result


def save_experts(moe: SpecCLIPMoEForRegression, bundle: Path) -> None:
    """Write a mixture of experts into the folder of a bundled model."""
    moe.save_pretrained(bundle / MOE)
    drop_code(bundle / MOE)
    halve(bundle / MOE / "model.safetensors")


def halve(path: Path) -> None:
    """Store the large float32 tensors of a safetensors file as float16, in place.

    Loading turns them back into float32. A tensor that float16 cannot hold stays as it is.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for name, values in tensors.items():
        if values.dtype == torch.float32 and values.numel() >= _LEAST_HALVED:
            half = values.half()
            if (half.isinf() == values.isinf()).all():
                tensors[name] = half
    save_file(tensors, path, metadata)


def drop_code(folder: Path) -> None:
    """Remove the copies of the package's code beside weights, and the settings that name them."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(inner) for key, inner in value.items() if key not in _CODE}
        return value

    for path in folder.glob("*.py"):
        path.unlink()
    for path in folder.glob("*config.json"):
        write_json(path, without(json.loads(path.read_text(encoding="utf-8"))))


def least_cosine(one: Describer, other: Describer, rows: pa.Table) -> float:
    """Return the smallest cosine between the points of the same spectra by two models."""
    spectra = _spectra(rows)
    return float((one.embed(spectra) * other.embed(spectra)).sum(axis=1).min())


def _families(
    describer: Describer, spectra: list[dict[str, Any]], labels: list[str]
) -> dict[str, float]:
    """Measure the largest family of each row, also where it does not stand out."""
    names, matrix = family_matrix(describer.classes.classes)
    shares = describer.classes.predict(describer.probe_inputs(spectra)) @ matrix
    truth = np.array([family_name(label) for label in labels])
    right = np.array(names)[shares.argmax(axis=1)] == truth
    by_family = [right[truth == name].mean() for name in sorted(set(truth))]
    standing = shares.max(axis=1) >= describer.classes.least_probability
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(by_family)),
        "stands_out": float(standing.mean()),
        "accuracy_where_it_stands_out": float(right[standing].mean()) if standing.any() else 0.0,
    }


def _spectra(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.select([name for name in SPECTRUM if name in rows.column_names]).to_pylist()
