"""An index from a dataset, or from files, by a trained model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..search.build import AREA, build_index, detections_of, stored_area
from ..search.index import SpecCLIPIndex
from ..search.map import place_among
from .read_dataset import read_splits

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from .describer import Describer

_ROWS_AT_ONCE = 256
_NEEDED = ("counts", "exposure", "summary", "source_name")
_TOLD = ("source_name", "obsid", "obi", "region_id", "ra", "dec", "source_class", "group")


def index_dataset(
    describer: Describer,
    dataset: str | os.PathLike[str] | Mapping[str, Any],
    *,
    revision: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SpecCLIPIndex:
    """The texts and spectra of a dataset where a model puts them.

    Args:
        describer: the model.
        dataset: a folder or `user/name` in the form of the data contract, or its splits, each a
            `datasets.Dataset`.
        revision: of a dataset on the Hub.
        seed: of the map.
        progress: show a bar.

    Raises:
        ImportError: where `datasets` is not installed.
        ValueError: for a dataset without a column that is needed.
    """
    splits = _splits(dataset, revision) if isinstance(dataset, str | os.PathLike) else dataset
    settings = describer.model.config.spectrum_config
    texts: dict[str, dict[str, Any]] = {}
    columns: dict[str, dict[str, Any]] = {}
    vectors: dict[str, np.ndarray] = {}
    text_of: dict[str, np.ndarray] = {}
    for name, rows in splits.items():
        if missing := [column for column in _NEEDED if column not in rows.column_names]:
            raise ValueError(f"{name} of the dataset lacks {', '.join(missing)}")
        if not len(rows):
            continue
        text_of[name] = np.array(
            [
                _text(texts, row, name, describer.queries.sections)
                for row in rows.remove_columns(_heavy(rows))
            ],
            np.int64,
        )
        columns[name], vectors[name] = _embedded(describer, rows, settings.n_bins, progress)
    if not texts:
        raise ValueError("the dataset has no rows to make an index of")
    entries = list(texts.values())
    # A row without any text still has its spectrum; its text can stand nowhere.
    said = [i for i, entry in enumerate(entries) if any(entry["summary"].values())]
    points = np.zeros((len(entries), vectors[next(iter(vectors))].shape[1]), np.float32)
    for start in range(0, len(said), _ROWS_AT_ONCE):
        some = said[start : start + _ROWS_AT_ONCE]
        points[some] = describer.queries.embed([entries[i]["summary"] for i in some])
    if len(said) < len(entries):
        points[np.setdiff1d(np.arange(len(entries)), said)] = points[said].mean(axis=0)
    return build_index(
        entries,
        points,
        columns,
        vectors,
        text_of,
        energy_range=settings.energy_range,
        about={"dataset": Path(os.fspath(dataset)).name, **_said_of(dataset)}
        if isinstance(dataset, str | os.PathLike)
        else {},
        seed=seed,
    )


def add_spectra(
    index: SpecCLIPIndex, describer: Describer, spectra: Sequence[tuple[str, XRaySpectrum]]
) -> tuple[int, list[str]]:
    """Put spectra into an index, behind those there are.

    Args:
        index: takes them; `save` writes it.
        describer: the model the index came with.
        spectra: with the name of each, an id in the index; one that is there already is left out.

    Returns:
        How many were put in, and the names left out.
    """
    known = {entry["id"] for entry in index.spectra.entries}
    new: dict[str, XRaySpectrum] = {}
    left: list[str] = []
    for name, spectrum in spectra:
        if name in known or name in new:
            left.append(name)
        else:
            new[name] = spectrum
    if not new:
        return 0, left
    settings = describer.model.config.spectrum_config
    grid = {"n_bins": settings.n_bins, "energy_range": tuple(settings.energy_range)}
    rows = [spectrum.rebinned(**grid) for spectrum in new.values()]
    columns: dict[str, Any] = {
        name: np.stack([row[name] for row in rows]) for name in ("counts", "background_counts")
    }
    for name in ("background_scale", "exposure"):
        columns[name] = np.array([row[name] for row in rows], np.float32)
    none = np.zeros(settings.n_bins, np.float32)
    areas = [row[AREA] for row in rows]
    columns[AREA] = stored_area(np.stack([none if area is None else area for area in areas]))
    told = {name: [row.get(name) for row in rows] for name in _TOLD}
    entries = [
        {"id": name, **fact, "split": None}
        for name, fact in zip(new, detections_of({**columns, **told}), strict=True)
    ]
    vectors = describer.embed(new.values())
    if len(index.spectra):
        if "map" in index.spectra.columns:
            bank, places = index.spectra.embeddings, index.spectra.columns["map"]
            columns["map"] = place_among(vectors, bank, places)
        columns = {name: columns[name] for name in index.spectra.columns if name in columns}
        for name in ("counts", "background_counts"):
            if name in columns:  # a brighter one may need a wider type
                kind = np.promote_types(index.spectra.columns[name].dtype, np.int32)
                columns[name] = columns[name].astype(kind)
    index.add("spectra", entries, vectors, columns)
    return len(new), left


def _embedded(
    describer: Describer, rows: Any, n_bins: int, progress: bool
) -> tuple[dict[str, Any], np.ndarray]:
    from tqdm import tqdm

    parts: list[dict[str, Any]] = []
    vectors = []
    steps = range(0, len(rows), _ROWS_AT_ONCE)
    for start in tqdm(steps, "embedding", leave=False, disable=None if progress else True):
        some = rows.with_format("numpy")[start : start + _ROWS_AT_ONCE]
        counts = np.stack(list(some["counts"])).astype(np.int32)
        if counts.shape[1] != n_bins:
            raise ValueError(
                f"the dataset has {counts.shape[1]} bins, the model needs {n_bins}: choose a model "
                "of this dataset's layout"
            )
        part = {
            "counts": counts,
            "background_counts": (
                np.stack(list(some["background_counts"])).astype(np.int32)
                if "background_counts" in some
                else np.zeros_like(counts)
            ),
            "background_scale": np.asarray(
                some.get("background_scale", np.zeros(len(counts))), np.float32
            ),
            "exposure": np.asarray(some["exposure"], np.float32),
        }
        if describer.extractor.input_kind == "flux" and AREA in some:
            unknown = np.full(n_bins, np.nan, np.float32)
            areas = [unknown if area is None else area for area in some[AREA]]
            part[AREA] = np.stack(areas).astype(np.float32)
        parts.append(part)
        vectors.append(
            describer.embed(
                [{name: values[i] for name, values in part.items()} for i in range(len(counts))]
            )
        )
    joined: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    plain = rows.with_format(None)
    told = {name: plain[name][:] for name in _TOLD if name in rows.column_names}
    return {**joined, **told}, np.concatenate(vectors)


def _text(
    texts: dict[str, dict[str, Any]], row: Mapping[str, Any], split: str, sections: Sequence[str]
) -> int:
    """The place of a row's text among those seen, where it is put if it is new."""
    summary = {s: (row["summary"].get(s) or "").strip() or None for s in sections}
    content = json.dumps(summary, sort_keys=True, ensure_ascii=False)
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    if key not in texts:
        texts[key] = {
            "id": key, "source_names": [], "papers": [], "summary": summary, "split": split,
            "place": len(texts),
        }  # fmt: skip
    entry = texts[key]
    if row["source_name"] not in entry["source_names"]:
        entry["source_names"].append(row["source_name"])
    known = {paper["id"] for paper in entry["papers"]}
    entry["papers"] += [p for p in row.get("papers") or [] if p["id"] not in known]
    return entry["place"]


def _heavy(rows: Any) -> list[str]:
    return [n for n in rows.column_names if n not in ("summary", "source_name", "papers")]


def _splits(dataset: str | os.PathLike[str], revision: str | None) -> Mapping[str, Any]:
    if Path(dataset).is_dir():
        return read_splits(dataset)
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            'reading a dataset needs datasets: pip install "hf-specclip[data]"'
        ) from error
    return load_dataset(os.fspath(dataset), revision=revision)


def _said_of(dataset: Any) -> dict[str, Any]:
    """Whether a folder says that it is simulated."""
    path = Path(os.fspath(dataset)) / "specclip_dataset.json"
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {"simulated": bool(found.get("simulated")), "text_model": found.get("text_model")}


__all__ = ["add_spectra", "index_dataset"]
