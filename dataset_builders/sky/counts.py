"""Counts of spectra in the contract's bins, kept in parts so that a kill loses little."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.spectra import SpectrumFileError, read_spectrum
from hf_specclip.storage import write_bytes

from ..contract import ENERGY_RANGE, N_BINS, list_array
from .work.parts import Parts
from .work.queue import WorkQueue

STAGE = "counts"
FOLDER = "counts"
AT_ONCE = 250
SCHEMA = pa.schema(
    [
        ("detection", pa.string()),
        ("exposure", pa.float32()),
        ("counts", pa.list_(pa.int32(), N_BINS)),
        ("background_counts", pa.list_(pa.int32(), N_BINS)),
        ("background_scale", pa.float32()),
        ("effective_area", pa.list_(pa.float32(), N_BINS)),
    ]
)


def want_counts(queue: WorkQueue, detections: Mapping[str, tuple[str, str]]) -> int:
    """Queue the binning of spectra.

    Args:
        queue: of the build.
        detections: `obsid.obi.region_id` -> name of the source, and the spectrum's file below the
            folder of the build.

    Returns:
        How many spectra are new: those that no part holds yet.
        Parts follow the names of sources, as the rows of a dataset do.
    """
    known = {tuple(entry[:2]) for item in queue.items(STAGE) for entry in item.payload["spectra"]}
    fresh = sorted(
        (name, detection, path)
        for detection, (name, path) in detections.items()
        if (detection, name) not in known
    )
    parts: dict[str, Any] = {}
    for start in range(0, len(fresh), AT_ONCE):
        some = [[detection, name, path] for name, detection, path in fresh[start : start + AT_ONCE]]
        said = "\n".join("\t".join(entry[:2]) for entry in some)
        parts[f"part-{hashlib.sha256(said.encode()).hexdigest()[:16]}"] = {"spectra": some}
    queue.add(STAGE, parts)
    return len(fresh)


def make_counts(
    queue: WorkQueue, folder: str | Path, progress: Callable[[int], None] = lambda n: None
) -> None:
    """Read every wanted spectrum and deal its counts over the bins.

    A part's result says which of its spectra could not be read, and why.

    Args:
        queue: of the build.
        folder: of the build; parts go to its `counts`.
        progress: called with the number of spectra done.
    """
    while items := queue.claim(STAGE, 1):
        [part] = items
        with queue.held(items):
            rows, unreadable = _read(part.payload["spectra"], Path(folder), lambda: progress(1))
            write_bytes(Path(folder) / FOLDER / f"{part.id}.parquet", _parquet(rows))
            found = [row["detection"] for row in rows]
            queue.finish(STAGE, {part.id: {"unreadable": unreadable, "detections": found}})


def read_counts(
    queue: WorkQueue, folder: str | Path, detections: Mapping[str, tuple[str, str]]
) -> tuple[Parts, dict[str, str]]:
    """Read the parts that `make_counts` wrote.

    Args:
        queue: of the build.
        folder: of the build.
        detections: those wanted, as for `want_counts`.

    Returns:
        Rows of `SCHEMA` by detection, and the spectra that could not be read with the reasons.
    """
    place_of: dict[str, tuple[Path, int]] = {}
    unreadable: dict[str, str] = {}
    for item in queue.items(STAGE, ["got"]):
        names = {detection: name for detection, name, _ in item.payload["spectra"]}
        path = Path(folder) / FOLDER / f"{item.id}.parquet"
        wanted = {d for d, name in names.items() if d in detections and detections[d][0] == name}
        for row, detection in enumerate(item.result["detections"]):
            if detection in wanted:
                place_of.setdefault(detection, (path, row))
        unreadable.update({d: why for d, why in item.result["unreadable"].items() if d in wanted})
    return Parts(SCHEMA, place_of), unreadable


def _read(
    spectra: Sequence[Sequence[str]], folder: Path, progress: Callable[[], None]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows, unreadable = [], {}
    for detection, name, path in spectra:
        obsid, obi, region = map(int, detection.split("."))
        try:
            spectrum = read_spectrum(folder / path)
            # The draws are seeded by the catalogue's identifiers, as for every other source of
            # data, whatever a file's header calls itself.
            spectrum = spectrum.replace(source_name=name, obsid=obsid, obi=obi, region_id=region)
            rows.append({"detection": detection, **spectrum.rebinned(N_BINS, ENERGY_RANGE)})
        except SpectrumFileError as error:
            unreadable[detection] = error.problem
        progress()
    return rows, unreadable


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    columns: list[pa.Array] = []
    for field in SCHEMA:
        values = [row[field.name] for row in rows]
        if not pa.types.is_fixed_size_list(field.type):
            columns.append(pa.array(values, field.type))
            continue
        known = [value is not None for value in values]
        full = np.stack([value for value in values if value is not None] or [np.zeros(N_BINS)])
        place = np.cumsum(known) - 1
        index = pa.array(np.maximum(place, 0), mask=~np.array(known, dtype=bool))
        kind = field.type.value_type.to_pandas_dtype()
        columns.append(list_array(full.astype(kind)).take(index).cast(field.type))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), sink, compression="zstd")
    return sink.getvalue()


__all__ = ["make_counts", "read_counts", "want_counts"]
