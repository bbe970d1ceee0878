"""Construction of an index from the rows of a dataset and their embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..models.variables_specclip import VARIABLES
from .index import SpecCLIPIndex
from .map import compute_map

# Dataset column -> key of an index entry.
_KEYS = {
    "source_name": "source_name", "obsid": "obsid", "obi": "obi", "region_id": "region_id",
    "ra": "ra", "dec": "dec", "source_class": "class", "group": "group", "aliases": "aliases",
}  # fmt: skip
IDENTITY_COLUMNS = tuple(_KEYS)
# Maximum number of sources per text for filters: enough for a field, not for a survey.
_MAX_SOURCES = 500
# Above this number of spectra, counts (a kilobyte each) are not stored, so that spectra can be
# searched but not described.
MAX_COUNTS = 200_000
AREA = "effective_area"
_COLUMNS = ("counts", "background_counts", "background_scale", "exposure", AREA)


def build_index(
    texts: Sequence[Mapping[str, Any]],
    text_vectors: np.ndarray,
    splits: Mapping[str, Mapping[str, Any]],
    spectrum_vectors: Mapping[str, np.ndarray],
    text_of: Mapping[str, np.ndarray],
    *,
    energy_range: Sequence[float],
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    with_map: bool = True,
) -> SpecCLIPIndex:
    """Build an index of all texts and spectra of a dataset.

    Entries of all splits are included, with their `split` and `group`. An evaluation must restrict
    its gallery, for instance by `IndexFilter(splits=("train",))`.

    Args:
        texts: entries of the texts; see `SpecCLIPIndex`.
        text_vectors: (n, D).
        splits: columns of the data contract, by split: `counts` and `background_counts` (m, bins),
            `background_scale` and `exposure` (m,), optionally `effective_area` (m, bins), lists of
            `source_name`, `obsid`, `obi`, `region_id`, `ra`, `dec`, `source_class`, `group` and
            `aliases`, and catalogue variables (m,).
        spectrum_vectors: (m, D) by split.
        text_of: row of the text of each spectrum, (m,) by split.
        energy_range: outer edges of the bins, keV.
        about: metadata of the index, as JSON values.
        seed: seed of the map.
        with_map: compute a map of the spectra.
    """
    names = [name for name in splits if len(splits[name]["exposure"])]
    text_entries = [dict(entry) for entry in texts]
    entries: list[dict[str, Any]] = []
    for name in names:
        for row, detection in enumerate(detection_entries(splits[name])):
            text = text_entries[int(text_of[name][row])]
            entries.append({"id": "", **detection, "split": name, "text": text["id"]})
            _add_detection(text, detection)
    seen: Counter[str] = Counter()
    for entry in entries:
        name = detection_id(entry)
        seen[name] += 1
        entry["id"] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    for entry in text_entries:
        entry.pop("place", None)
        entry["classes"] = sorted(entry.get("classes", ()))
        entry["groups"] = sorted(entry.get("groups", ()))
    vectors = [np.asarray(spectrum_vectors[name], np.float32) for name in names]
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, text_vectors.shape[1]))
    stored = [*VARIABLES, *(_COLUMNS if len(entries) <= MAX_COUNTS else ())]
    columns = _stored_columns(splits, names, stored) if names else {}
    if with_map and names:
        columns["map"] = compute_map(stacked, seed)
    return SpecCLIPIndex(
        text_entries,
        text_vectors,
        spectra=entries,
        spectrum_embeddings=stacked,
        spectrum_columns=columns,
        about={"energy_range": [float(edge) for edge in energy_range], **(about or {})},
    )


def stored_area(area: np.ndarray) -> np.ndarray:
    """Convert effective areas (m, bins), cm², to float16; unknown ones (nan) become 0."""
    return np.clip(np.nan_to_num(np.asarray(area), nan=0.0), 0.0, 6e4).astype(np.float16)


def detection_entries(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Create index entries of detections, without missing values."""
    totals = np.asarray(columns["counts"]).sum(axis=1)
    exposure = np.asarray(columns["exposure"], np.float64)
    rows: list[dict[str, Any]] = [
        {"counts": int(total), "exposure": float(seconds)}
        for total, seconds in zip(totals, exposure, strict=True)
    ]
    for column, key in _KEYS.items():
        for row, value in zip(rows, columns.get(column) or (), strict=False):
            if value is not None and value == value and value != []:
                row[key] = value.item() if hasattr(value, "item") else value
    for row in rows:
        if row.get("obsid", 0) < 0:  # unknown
            row |= dict.fromkeys(("obsid", "obi", "region_id"))
    return rows


def _stored_columns(
    splits: Mapping[str, Mapping[str, Any]], names: Sequence[str], stored: Sequence[str]
) -> dict[str, np.ndarray]:
    columns = {
        column: np.concatenate([np.asarray(splits[name][column]) for name in names])
        for column in stored
        if all(column in splits[name] for name in names)
    }
    for column, values in columns.items():
        if column == AREA:
            columns[column] = stored_area(values)
        elif values.ndim == 2:  # counts, in the narrowest type that holds them
            largest = int(values.max(initial=0))
            dtypes = (np.uint8, np.uint16, np.int32)
            columns[column] = values.astype(next(t for t in dtypes if largest <= np.iinfo(t).max))
        else:
            columns[column] = values.astype(np.float32)
    return columns


def _add_detection(text: dict[str, Any], detection: Mapping[str, Any]) -> None:
    """Add the metadata of a detection to its text, for filters."""
    text["counts"] = max(int(text.get("counts", 0)), detection["counts"])
    position = [detection.get("ra"), detection.get("dec")]
    values = {
        "classes": detection.get("class"),
        "groups": detection.get("group"),
        "positions": None if None in position else position,
    }
    for key, value in values.items():
        stored = text.setdefault(key, [])
        if value is not None and value not in stored and len(stored) < _MAX_SOURCES:
            stored.append(value)


def detection_id(detection: Mapping[str, Any]) -> str:
    """Return the id of a detection, `source/obsid/obi/region`, without unknown parts."""
    parts = [detection.get(name) for name in ("source_name", "obsid", "obi", "region_id")]
    return "/".join(str(part) for part in parts if part is not None) or "spectrum"
