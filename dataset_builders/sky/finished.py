"""Reader and writer of a finished work folder, from which the dataset is made."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_specclip.storage import write_bytes

from ..info import SpecCLIPDatasetInfo
from . import counts
from .assemble import AssembleError, Assembly, SourceFacts
from .literature.bibliography import Literature
from .literature.embeddings import read_embeddings
from .literature.texts import read_summaries, read_summary_papers
from .services.archive import read_spectra_index
from .services.catalogue import read_catalogue
from .services.products import detection_id
from .services.simbad import STAGE as SIMBAD_STAGE
from .work.queue import WorkQueue

QUEUE_FILE = "queue.sqlite"
FINISHED_FILE = "finished.json"


def usable_detections(work: str | Path) -> pa.Table:
    """Read the catalogue's detections that are not masked."""
    table = read_catalogue(work)
    return table.filter(table["masked"].is_null())


def spectrum_files(queue: WorkQueue, work: str | Path) -> dict[str, tuple[str, str]]:
    """Map each detection to its source and its spectrum's file below the work folder."""
    work = Path(work)
    index = read_spectra_index(queue, work)
    found = {}
    for row in usable_detections(work).select(["name", *_DETECTION]).to_pylist():
        detection = detection_id(row["obsid"], row["obi"], row["region_id"])
        if detection in index:
            found[detection] = (row["name"], index[detection].relative_to(work).as_posix())
    return found


def write_finished(
    work: str | Path, info: SpecCLIPDatasetInfo, survey_limit: int, embedder: str | None
) -> None:
    """Write the settings with which the work becomes a dataset."""
    record = asdict(info)
    del record["domain"]  # always that of an X-ray spectrum
    content = {"info": record, "survey_limit": survey_limit, "embedder": embedder}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_bytes(Path(work) / FINISHED_FILE, text.encode())


def read_finished(work: str | Path) -> tuple[Assembly, SpecCLIPDatasetInfo]:
    """Open a finished work folder.

    Args:
        work: the folder.

    Returns:
        What goes into the dataset, and what made it.

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
    queue = WorkQueue(work / QUEUE_FILE)
    spectra, _ = counts.read_counts(queue, work, spectrum_files(queue, work))
    summaries = read_summaries(queue)
    embeddings = None
    if embedder is not None:
        embeddings = read_embeddings(queue, work, summaries, embedder)
        lacking = sum(name not in embeddings for name in summaries)
        if lacking:
            raise AssembleError(
                f"{lacking:,} of {len(summaries):,} summaries in {work} are not embedded: run the "
                "stage `embeddings` first"
            )
    assembly = Assembly(
        catalogue=usable_detections(work),
        spectra=spectra,
        sources={
            item.id: SourceFacts(item.result["otype"] or None, item.result["host"])
            for item in queue.items(SIMBAD_STAGE, ["got"])
        },
        papers=_papers(queue, survey_limit),
        summaries=summaries,
        embeddings=embeddings,
        survey_limit=survey_limit,
        seed=info.seed or 0,
    )
    return assembly, info


def _papers(queue: WorkQueue, survey_limit: int) -> dict[str, list[dict[str, Any]]]:
    """Look up the papers behind each summary, in the order in which it was made of them."""
    known = Literature(queue, survey_limit=survey_limit)
    found = {}
    for name, codes in read_summary_papers(queue).items():
        source = known.of(name)
        by_id = {paper.id: paper for paper in source.papers} if source else {}
        kept = [by_id[code] for code in codes if code in by_id]
        found[name] = [
            {"id": p.id, "id_type": p.id_type, "title": p.title, "year": p.year} for p in kept
        ]
    return found


_DETECTION = ("obsid", "obi", "region_id")

__all__ = [
    "FINISHED_FILE",
    "QUEUE_FILE",
    "read_finished",
    "spectrum_files",
    "usable_detections",
    "write_finished",
]
