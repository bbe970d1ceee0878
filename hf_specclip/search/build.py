"""From the rows of a dataset and their vectors to an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .index import SpecCLIPIndex
from .map import lay_out

# What an entry says of a detection, by the name of the dataset's column.
_FACTS = {
    "source_name": "source_name", "obsid": "obsid", "obi": "obi", "region_id": "region_id",
    "ra": "ra", "dec": "dec", "source_class": "class", "group": "group",
}  # fmt: skip
# Sources that a text tells filters about; a survey has more than anyone looks for.
_MOST_SOURCES = 500
# Spectra that an index keeps the counts of, some kilobyte each; more can be searched among, but not
# described by their names.
MOST_COUNTS = 200_000
AREA = "effective_area"


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
    """An index of all texts and all spectra of a dataset.

    Rows of every split go in, each with its `split` and `group`: what measures an index must ask
    for those whose answers it may know (`IndexFilter(splits=("train",))`).

    Args:
        texts: entries, see `SpecCLIPIndex`.
        text_vectors: (n, D).
        splits: columns of the data contract by split: `counts` and `background_counts` (m, bins),
            `background_scale` and `exposure` (m,), for models that look at it `effective_area`
            (m, bins), and where there are `source_name`, `obsid`, `obi`, `region_id`, `ra`, `dec`,
            `source_class`, `group` as lists.
        spectrum_vectors: (m, D) by split.
        text_of: (m,) place of each row's text, by split.
        energy_range: of the bins, keV.
        about: plain values to keep.
        seed: of the map.
        with_map: lay the spectra out on a map.
    """
    names = [name for name in splits if len(splits[name]["exposure"])]
    vectors = [np.asarray(spectrum_vectors[name], np.float32) for name in names]
    told = [dict(entry) for entry in texts]
    entries: list[dict[str, Any]] = []
    for name in names:
        for row, fact in enumerate(facts_of(splits[name])):
            text = int(text_of[name][row])
            entries.append({"id": "", **fact, "split": name, "text": told[text]["id"]})
            _tell(told[text], fact)
    _number(entries)
    for entry in told:
        entry.pop("place", None)
        entry["classes"] = sorted(entry.get("classes", ()))
        entry["groups"] = sorted(entry.get("groups", ()))
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, text_vectors.shape[1]))
    columns = {
        name: np.concatenate([np.asarray(splits[split][name]) for split in names])
        for name in ("counts", "background_counts", "background_scale", "exposure", AREA)
        if names and len(entries) <= MOST_COUNTS and all(name in splits[split] for split in names)
    }
    if AREA in columns:
        columns[AREA] = stored_area(columns[AREA])
    for name in ("counts", "background_counts"):
        if name in columns:
            columns[name] = _smallest(columns[name])
    for name in ("background_scale", "exposure"):
        if name in columns:
            columns[name] = columns[name].astype(np.float32)
    if with_map and names:
        columns["map"] = lay_out(stacked, seed)
    return SpecCLIPIndex(
        told,
        text_vectors,
        spectra=entries,
        spectrum_embeddings=stacked,
        spectrum_columns=columns,
        about={"energy_range": [float(edge) for edge in energy_range], **(about or {})},
    )


def stored_area(area: np.ndarray) -> np.ndarray:
    """Effective areas (m, bins), cm², as an index keeps them: to a part in 2,000, and 0 throughout
    where a row's is not known (nan)."""
    return np.clip(np.nan_to_num(np.asarray(area), nan=0.0), 0.0, 6e4).astype(np.float16)


def facts_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is told of each row, without what is not known."""
    totals = np.asarray(columns["counts"]).sum(axis=1)
    exposure = np.asarray(columns["exposure"], np.float64)
    rows: list[dict[str, Any]] = [
        {"counts": int(total), "exposure": float(seconds)}
        for total, seconds in zip(totals, exposure, strict=True)
    ]
    for column, name in _FACTS.items():
        for row, value in zip(rows, columns.get(column) or (), strict=False):
            if value is not None and value == value:
                row[name] = value.item() if hasattr(value, "item") else value
    return rows


def _tell(text: dict[str, Any], fact: Mapping[str, Any]) -> None:
    """Give a text what filters ask of the sources it is about."""
    text["counts"] = max(int(text.get("counts", 0)), fact["counts"])
    for key, name in (("classes", "class"), ("groups", "group")):
        found = text.setdefault(key, [])
        if name in fact and fact[name] not in found and len(found) < _MOST_SOURCES:
            found.append(fact[name])
    places = text.setdefault("positions", [])
    place = [fact.get("ra"), fact.get("dec")]
    if None not in place and place not in places and len(places) < _MOST_SOURCES:
        places.append(place)


def _number(entries: list[dict[str, Any]]) -> None:
    """Ids from what names a detection; a number behind those that are not told apart by it."""
    seen: dict[str, int] = {}
    for entry in entries:
        parts = [entry.get(name) for name in ("source_name", "obsid", "obi", "region_id")]
        base = "/".join(str(part) for part in parts if part is not None) or "spectrum"
        seen[base] = seen.get(base, 0) + 1
        entry["id"] = base if seen[base] == 1 else f"{base}#{seen[base]}"


def _smallest(counts: np.ndarray) -> np.ndarray:
    """Whole numbers in the narrowest type that holds them."""
    top = int(counts.max(initial=0))
    kind = next(t for t in (np.uint8, np.uint16, np.int32) if top <= np.iinfo(t).max)
    return counts.astype(kind)


__all__ = ["build_index", "facts_of"]
