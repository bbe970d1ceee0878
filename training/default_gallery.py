"""Gallery of real sources: a table of facts, embedded by a model.

Sources come from `specclip_datasets.tables.real_sources`; their spectra are reconstructed from
counts in bands and fits of the catalogue, or from fluxes in bands. The gallery has names,
positions, classes, values and identifiers of papers, and no texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hf_specclip.classify.classifier import SourceClassifier
from hf_specclip.classify.families import family_matrix, family_name
from hf_specclip.describe.class_check import RECOVERED
from hf_specclip.describe.describer import Describer
from hf_specclip.literature.source_classes import find_class
from hf_specclip.search.index import SpecCLIPIndex
from hf_specclip.search.map import compute_map
from specclip_datasets.simulation.instrument import nearest_epochs
from specclip_datasets.tables.plan import identify
from specclip_datasets.tables.real_sources import CITATION, VALUES, read_real_sources
from specclip_datasets.tables.reconstruct import reconstruct_fluxes, reconstruct_rows

BATCH = 256
# Response of sources of which only fluxes are at hand.
FLUX_EPOCH = ("ACIS-I", 2005.3)
CAVEAT = (
    "gallery sources are real, with spectra reconstructed from the catalogue's band counts or "
    "fluxes and fits; a question mark denotes a class inferred from X-ray properties alone"
)
_NAME_KEYS = ("aliases", "host", "class", "class_from", "obsid", "exposure")
# Columns of the catalogue that give the shape of each fitted model.
_SHAPES = {"powlaw": "powlaw_gamma", "bb": "bb_kt", "brems": "brems_kt"}


def build_real_gallery(
    model: str | os.PathLike[str] | Describer,
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
) -> SpecCLIPIndex:
    """Embed the real sources by a model, and write them as its gallery.

    Args:
        model: a run, a model folder, or a describer. Its experts, where it has any, give the values
            that the catalogue has not.
        output: folder of the index; replaced.
        seed: of the reconstructed spectra and the map.

    Returns:
        The index.
    """
    if not isinstance(model, Describer):
        model = Describer.from_pretrained(model, parts=("moe",))
    table = read_real_sources()
    facts = table.to_pylist()
    rows = [row for row, entry in enumerate(facts) if entry["model"] is not None]
    columns = {name: table[name].take(rows).to_numpy().astype(np.float32) for name in VALUES}
    points = np.zeros((len(rows), model.model.config.shared_dim), np.float32)
    recovered: dict[int, bool] = {}
    place = {row: number for number, row in enumerate(rows)}
    for batch, spectra in reconstruct(facts, rows, np.random.default_rng(seed)):
        numbers = [place[row] for row in batch]
        points[numbers], predicted = model.embed_with_variables(spectra)
        for name, values in columns.items():
            unknown = np.isnan(values[numbers])
            guessed = predicted.get(name, values[numbers])
            values[numbers] = np.where(unknown, guessed, values[numbers])
        recovered |= recovered_classes(model, batch, spectra, facts)
    # Positions on the map and neighbours are those of the points as they are stored.
    points = points.astype(np.float16).astype(np.float32)
    index = SpecCLIPIndex(
        [],
        np.zeros((0, points.shape[1]), np.float32),
        spectra=[
            source_entry(facts[row]) | ({RECOVERED: recovered[row]} if row in recovered else {})
            for row in rows
        ],
        spectrum_embeddings=points,
        spectrum_columns={**columns, "map": compute_map(points, seed)},
        other_sources=[source_entry(entry) for row, entry in enumerate(facts) if row not in place],
        about={
            "dataset": "real sources",
            "simulated": False,
            "citation": CITATION,
            "caveat": CAVEAT,
            "energy_range": list(model.model.config.spectrum_config.energy_range),
        },
    )
    index.save(output, compact=True)
    return index


def recovered_classes(
    model: Describer,
    batch: list[int],
    spectra: list[dict[str, Any]],
    facts: list[dict[str, Any]],
) -> dict[int, bool]:
    """Return, for the rows of known class, whether a classifier trained on labels finds its family;
    nothing for a model without one."""
    if not isinstance(model.classes, SourceClassifier):
        return {}
    names, matrix = family_matrix(model.classes.classes)
    shares = model.classes.predict(model.probe_inputs(spectra)) @ matrix
    found = [names[best] for best in shares.argmax(axis=1)]
    # A question mark denotes a class that was inferred from X-ray properties.
    known = {row: facts[row]["class"] for row in batch if find_class(facts[row]["class"] or "?")}
    return {
        row: family_name(known[row]) == family
        for row, family in zip(batch, found, strict=True)
        if row in known and not known[row].endswith("?")
    }


def reconstruct(
    facts: list[dict[str, Any]], rows: list[int], random: np.random.Generator
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Yield batches of rows of the table with their reconstructed spectra."""
    epochs = epochs_of(facts, rows)
    groups: dict[tuple[int, bool], list[int]] = {}
    for row in rows:
        groups.setdefault((epochs[row], facts[row]["model"] == "fluxes"), []).append(row)
    for (epoch, by_flux), members in sorted(groups.items()):
        for start in range(0, len(members), BATCH):
            batch = members[start : start + BATCH]
            chosen = [facts[row] for row in batch]
            if by_flux:
                fluxes = np.array([entry["fluxes"] for entry in chosen])
                columns = reconstruct_fluxes(fluxes, random, epoch=epoch)
            else:
                columns = _from_bands(chosen, epoch, random)
            spectra = [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            yield batch, spectra


def epochs_of(facts: list[dict[str, Any]], rows: list[int]) -> dict[int, int]:
    """Return the calibration epoch of the response of each row, named such as `s2007`."""
    names = {"s": "ACIS-S", "i": "ACIS-I"}
    responses = [facts[row]["response"] for row in rows]
    places = [(names[text[0]], float(text[1:])) if text else FLUX_EPOCH for text in responses]
    families, years = (np.array(column) for column in zip(*places, strict=True))
    return dict(zip(rows, nearest_epochs(families, years).tolist(), strict=True))


def source_entry(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a source in the index: what is known of it, and no nulls."""
    entry = {
        "source_name": facts["name"],
        "ra": facts["ra"],
        "dec": facts["dec"],
        **{key: facts[key] for key in _NAME_KEYS if facts[key]},
    }
    if facts["papers"]:
        entry["papers"] = [
            {"id": paper["id"], "id_type": identify(paper["id"])[0], "about": paper["about"]}
            for paper in facts["papers"]
        ]
    if facts["model"] is not None:
        entry["id"] = facts["name"]
        entry["spectrum_from"] = "band fluxes" if facts["model"] == "fluxes" else "band counts"
    if facts["counts"]:
        entry["counts"] = sum(facts["counts"])
    return entry


def _from_bands(
    facts: list[dict[str, Any]], epoch: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    def column(name: str, dtype: Any = None) -> np.ndarray:
        return np.array([entry[name] for entry in facts], dtype)

    shapes = [
        (entry[_SHAPES[m]], entry[f"{m}_nh"]) if (m := entry["model"]) in _SHAPES else (None, None)
        for entry in facts
    ]
    shape, nh = np.array(shapes, np.float64).T
    rows = {
        "epoch": epoch,
        "counts": column("counts"),
        "background": column("background"),
        "scale": column("scale", np.float64),
        "model": column("model", object),
        "shape": shape,
        "nh": nh,
    }
    return {
        **reconstruct_rows(rows, random),
        "background_scale": column("scale", np.float32),
        "exposure": column("exposure", np.float32),
    }
