"""Reader and writer of a finished work folder, from which the dataset is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.literature import CachedEmbedder
from hf_specclip.storage import write_json

from ..info import SpecCLIPDatasetInfo
from . import counts
from .assemble import AssembleError, Assembly
from .literature import texts
from .literature.bibliography import Literature
from .services.archive import spectrum_paths
from .services.catalogue import read_catalogue
from .services.products import detection_id
from .services.simbad import STAGE as SIMBAD_STAGE
from .work.store import Store

FINISHED_FILE = "finished.json"
EMBEDDINGS_FOLDER = "embeddings"


def usable_detections(work: str | Path) -> pa.Table:
    """Read the catalogue's detections that are not masked."""
    table = read_catalogue(work)
    return table.filter(table["masked"].is_null())


def spectrum_files(store: Store, work: str | Path) -> dict[str, tuple[str, str]]:
    """Map each detection to its source and its spectrum's file below the work folder."""
    work = Path(work)
    paths = spectrum_paths(store, work)
    found = {}
    for row in usable_detections(work).select(["name", "obsid", "obi", "region_id"]).to_pylist():
        detection = detection_id(row["obsid"], row["obi"], row["region_id"])
        if detection in paths:
            found[detection] = (row["name"], paths[detection].relative_to(work).as_posix())
    return found


def write_finished(
    work: str | Path, info: SpecCLIPDatasetInfo, survey_limit: int, embedder: str | None
) -> None:
    """Write the settings with which the work becomes a dataset."""
    record = asdict(info)
    del record["domain"]  # always that of an X-ray spectrum
    content = {"info": record, "survey_limit": survey_limit, "embedder": embedder}
    write_json(Path(work) / FINISHED_FILE, content)


def read_finished(work: str | Path) -> tuple[Assembly, SpecCLIPDatasetInfo]:
    """Open the content of the dataset, and its description.

    Raises:
        AssembleError: when the build has not come that far.
    """
    work = Path(work)
    try:
        content = json.loads((work / FINISHED_FILE).read_text(encoding="utf-8"))
        known = {item.name for item in fields(SpecCLIPDatasetInfo)}
        info = SpecCLIPDatasetInfo(**{k: v for k, v in content["info"].items() if k in known})
        survey_limit, embedder = int(content["survey_limit"]), content["embedder"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssembleError(
            f"{work} is no finished work folder ({FINISHED_FILE}: {type(error).__name__}): run "
            "`specclip dataset build` to its end first"
        ) from None
    store = Store(work)
    stored = None
    if embedder is not None:
        stored = CachedEmbedder(_Stored(embedder), work / EMBEDDINGS_FOLDER)
    assembly = Assembly(
        store=store,
        catalogue=usable_detections(work),
        spectra=store.ids(counts.STAGE) & spectrum_files(store, work).keys(),
        sources={
            name: (result["otype"] or None, result["host"])
            for name, result in store.got(SIMBAD_STAGE)
        },
        papers=_papers(store, survey_limit),
        summaries=texts.read_summaries(store),
        embedder=stored,
        survey_limit=survey_limit,
        seed=info.seed or 0,
    )
    return assembly, info


class _Stored:
    """Embedder of a name that computes nothing: its vectors are in the cache or nowhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def dimension(self) -> int:
        return self.embed(()).shape[1]

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        raise AssembleError(
            "some summaries are not embedded: run the stage `embeddings` first (specclip dataset "
            "build --stages embeddings)"
        )


def _papers(store: Store, survey_limit: int) -> dict[str, list[dict[str, Any]]]:
    """Look up the papers behind each summary, in the order in which it was made of them."""
    known = Literature(store, survey_limit=survey_limit)
    found = {}
    for name, result in store.got(texts.STAGE):
        source = known.of(name)
        by_id = {paper.id: paper for paper in source.papers} if source else {}
        kept = [by_id[code] for code in result["papers"] if code in by_id]
        found[name] = [
            {"id": p.id, "id_type": p.id_type, "title": p.title, "year": p.year} for p in kept
        ]
    return found
