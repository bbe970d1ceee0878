"""Construction of indexes from datasets and spectrum files, with a trained model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.variables_specclip import VARIABLES
from ..search.build import (
    AREA,
    IDENTITY_COLUMNS,
    build_index,
    detection_entries,
    stored_area,
)
from ..search.index import SpecCLIPIndex
from ..search.map import interpolate_map
from ..storage import read_json
from .read_dataset import read_splits

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from .describer import Describer

BATCH_ROWS = 256
_REQUIRED_COLUMNS = ("counts", "exposure", "summary", "source_name")
TEXT_COLUMNS = ("summary", "source_name", "aliases", "papers", "writer")
_INFO_FILE = "specclip_dataset.json"


class DistinctTexts:
    """Distinct texts of a dataset, in order of first occurrence."""

    def __init__(self, sections: Sequence[str]):
        self.sections = sections
        self.entries: list[dict[str, Any]] = []
        self._number_of: dict[tuple[str | None, ...], int] = {}

    def add(self, row: Mapping[str, Any], split: str) -> int:
        """Add the text, source and papers of a row; return the number of the text."""
        summary = {
            section: (row["summary"].get(section) or "").strip() or None
            for section in self.sections
        }
        number = self._number_of.setdefault(tuple(summary.values()), len(self.entries))
        if number == len(self.entries):
            content = json.dumps(summary, sort_keys=True, ensure_ascii=False)
            self.entries.append(
                {
                    "id": hashlib.sha256(content.encode()).hexdigest()[:16],
                    "source_names": [],
                    "aliases": [],
                    "papers": [],
                    "summary": summary,
                    "split": split,
                    "writer": row.get("writer"),
                }
            )
        entry = self.entries[number]
        if row["source_name"] not in entry["source_names"]:
            entry["source_names"].append(row["source_name"])
            entry["aliases"] += row.get("aliases") or []
        ids = {paper["id"] for paper in entry["papers"]}
        entry["papers"] += [paper for paper in row.get("papers") or [] if paper["id"] not in ids]
        return number


def index_dataset(
    describer: Describer,
    dataset: str | os.PathLike[str] | Mapping[str, Any],
    *,
    revision: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SpecCLIPIndex:
    """Build the index of a dataset: embed its texts and spectra.

    Args:
        describer: the model.
        dataset: a folder or `user/name` in the form of the data contract, or its splits, each a
            `datasets.Dataset`.
        revision: of a dataset on the Hub.
        seed: of the map.
        progress: show a progress bar.

    Raises:
        ImportError: where `datasets` is not installed.
        ValueError: for a dataset that lacks a column, or has no rows.
    """
    splits, about = open_splits(dataset, revision)
    settings = describer.model.config.spectrum_config
    texts = DistinctTexts(describer.queries.sections)
    columns: dict[str, dict[str, Any]] = {}
    points: dict[str, np.ndarray] = {}
    text_of: dict[str, np.ndarray] = {}
    for name, rows in splits.items():
        if missing := [column for column in _REQUIRED_COLUMNS if column not in rows.column_names]:
            raise ValueError(f"{name} of the dataset lacks {', '.join(missing)}")
        if not len(rows):
            continue
        others = [column for column in rows.column_names if column not in TEXT_COLUMNS]
        numbers = [texts.add(row, name) for row in rows.remove_columns(others)]
        text_of[name] = np.array(numbers, np.int64)
        columns[name], points[name] = _embed_rows(describer, rows, settings.n_bins, progress)
    if not texts.entries:
        raise ValueError("the dataset has no rows to index")
    return build_index(
        texts.entries,
        _embed_texts(describer, texts.entries),
        columns,
        points,
        text_of,
        energy_range=settings.energy_range,
        about=about,
        seed=seed,
    )


def add_spectra(
    index: SpecCLIPIndex, describer: Describer, spectra: Sequence[tuple[str, XRaySpectrum]]
) -> tuple[int, list[str]]:
    """Append spectra to an index.

    Args:
        index: to extend; `save` writes it.
        describer: the model the index belongs to.
        spectra: each with its name, which becomes its id; a name of the index is skipped.

    Returns:
        The number of spectra added, and the names skipped.
    """
    ids = {entry["id"] for entry in index.spectra.entries}
    new: dict[str, XRaySpectrum] = {}
    skipped: list[str] = []
    for name, spectrum in spectra:
        if name in ids or name in new:
            skipped.append(name)
        else:
            new[name] = spectrum
    if not new:
        return 0, skipped
    settings = describer.model.config.spectrum_config
    grid = {"n_bins": settings.n_bins, "energy_range": tuple(settings.energy_range)}
    rows = [spectrum.rebinned(**grid) for spectrum in new.values()]
    columns: dict[str, Any] = {
        name: np.stack([row[name] for row in rows]) for name in ("counts", "background_counts")
    }
    for name in ("background_scale", "exposure"):
        columns[name] = np.array([row[name] for row in rows], np.float32)
    unknown_area = np.zeros(settings.n_bins, np.float32)
    areas = [unknown_area if row[AREA] is None else row[AREA] for row in rows]
    columns[AREA] = stored_area(np.stack(areas))
    identity = {name: [row.get(name) for row in rows] for name in IDENTITY_COLUMNS}
    entries = [
        {"id": name, **detection, "split": None}
        for name, detection in zip(new, detection_entries({**columns, **identity}), strict=True)
    ]
    points, predicted = describer.embed_with_variables(new.values())
    columns |= _variables({}, predicted, len(new))
    if len(index.spectra):
        stored = index.spectra.columns
        if "map" in stored:
            columns["map"] = interpolate_map(points, index.spectra.embeddings, stored["map"])
        columns = {name: columns[name] for name in stored if name in columns}
        for name in ("counts", "background_counts"):
            if name in columns:  # a brighter spectrum may need a wider type
                columns[name] = columns[name].astype(np.promote_types(stored[name].dtype, np.int32))
    index.add("spectra", entries, points, columns)
    return len(new), skipped


def open_splits(
    dataset: str | os.PathLike[str] | Mapping[str, Any], revision: str | None
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the splits of a dataset, and metadata for the index."""
    if not isinstance(dataset, str | os.PathLike):
        return dataset, {}
    folder = Path(dataset)
    if folder.is_dir():
        return read_splits(folder), {"dataset": folder.name, **_dataset_info(folder)}
    if os.fspath(dataset).count("/") != 1:  # not an id on the Hub; avoids slow retries
        raise FileNotFoundError(f"{dataset} is neither a folder nor a dataset user/name on the Hub")
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            'reading a dataset needs datasets: pip install "hf-specclip[data]"'
        ) from error
    return load_dataset(os.fspath(dataset), revision=revision), {"dataset": folder.name}


def _dataset_info(folder: Path) -> dict[str, Any]:
    if not (folder / _INFO_FILE).is_file():
        return {}
    info = read_json(folder / _INFO_FILE)
    return {"simulated": bool(info.get("simulated")), "text_model": info.get("text_model")}


def _embed_texts(describer: Describer, entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Embed texts to (n, D); empty texts get the mean embedding."""
    written = [i for i, entry in enumerate(entries) if any(entry["summary"].values())]
    if not written:
        raise ValueError("no row of the dataset has a text")
    batches = [written[i : i + BATCH_ROWS] for i in range(0, len(written), BATCH_ROWS)]
    embedded = np.concatenate(
        [
            describer.queries.embed(
                [entries[i]["summary"] for i in batch],
                names=[entries[i]["source_names"] + entries[i]["aliases"] for i in batch],
            )
            for batch in batches
        ]
    )
    points = np.tile(embedded.mean(axis=0), (len(entries), 1))
    points[written] = embedded
    return points


def _embed_rows(
    describer: Describer, rows: Any, n_bins: int, progress: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the stored columns of rows, and their embeddings (n, D)."""
    from tqdm import tqdm

    arrays = rows.with_format("numpy")
    with_area = describer.extractor.input_kind == "flux"
    batches, points, predicted = [], [], []
    steps = range(0, len(rows), BATCH_ROWS)
    for start in tqdm(steps, "embedding", leave=False, disable=None if progress else True):
        batch = spectrum_columns(arrays[start : start + BATCH_ROWS], n_bins, with_area)
        batches.append(batch)
        n_rows = len(batch["counts"])
        spectra = [{name: values[i] for name, values in batch.items()} for i in range(n_rows)]
        embedded, variables = describer.embed_with_variables(spectra)
        points.append(embedded)
        predicted.append(variables)
    columns: dict[str, Any] = {
        name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]
    }
    plain = rows.with_format(None)
    columns |= {name: plain[name][:] for name in IDENTITY_COLUMNS if name in rows.column_names}
    catalogue = {name: plain[name][:] for name in VARIABLES if name in rows.column_names}
    joined = {name: np.concatenate([b[name] for b in predicted]) for name in predicted[0]}
    columns |= _variables(catalogue, joined, len(rows))
    return columns, np.concatenate(points)


def _variables(
    catalogue: Mapping[str, Any], predicted: Mapping[str, np.ndarray], n_rows: int
) -> dict[str, np.ndarray]:
    """Return the variables (n,): catalogue values, else predictions, else nan."""
    unknown = np.full(n_rows, np.nan)
    columns = {}
    for name in VARIABLES:
        values = np.array(catalogue.get(name, unknown), np.float64)
        columns[name] = np.where(np.isfinite(values), values, predicted.get(name, unknown))
    return {name: values.astype(np.float32) for name, values in columns.items()}


def spectrum_columns(
    rows: Mapping[str, Any], n_bins: int, with_area: bool
) -> dict[str, np.ndarray]:
    """Return counts, background, exposure and optionally effective area of rows, as arrays.

    Raises:
        ValueError: wrong number of bins.
    """
    counts = np.stack(list(rows["counts"])).astype(np.int32)
    if counts.shape[1] != n_bins:
        raise ValueError(
            f"the dataset has {counts.shape[1]} bins, the model needs {n_bins}: choose a model "
            "of this dataset's layout"
        )
    background = np.zeros_like(counts)
    if "background_counts" in rows:
        background = np.stack(list(rows["background_counts"])).astype(np.int32)
    scale = rows.get("background_scale", np.zeros(len(counts)))
    columns = {
        "counts": counts,
        "background_counts": background,
        "background_scale": np.asarray(scale, np.float32),
        "exposure": np.asarray(rows["exposure"], np.float32),
    }
    if with_area and AREA in rows:
        unknown = np.full(n_bins, np.nan, np.float32)
        areas = [unknown if area is None else area for area in rows[AREA]]
        columns[AREA] = np.stack(areas).astype(np.float32)
    return columns
