"""Stage that rebins the counts of each spectrum to the bins of the dataset."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load, save

from hf_specclip.spectra import SpectrumFileError, read_spectrum

from ..contract import ENERGY_RANGE, N_BINS, list_array
from .services.archive import FOLDER
from .services.archive import STAGE as SPECTRA_STAGE
from .work.store import Absent, Item, Store

STAGE = "counts"
BATCH_SIZE = 50
_SCALARS = ("exposure", "background_scale")
_ARRAYS = {"counts": np.int32, "background_counts": np.int32, "effective_area": np.float32}


def make_counts(store: Store, folder: Path, names: Mapping[str, str]) -> None:
    """Rebin all downloaded spectra.

    Args:
        names: `obsid.obi.region_id` -> source name.
    """
    downloaded = ((d, result) for d, result in store.iter_results(SPECTRA_STAGE) if d in names)
    payloads = {d: {"name": names[d], "path": result["spectrum"]} for d, result in downloaded}
    store.add(STAGE, payloads)
    spectra = folder / FOLDER
    store.process(
        STAGE, lambda items: [{i.id: _bin(i, spectra) for i in items}], batch_size=BATCH_SIZE
    )


def _bin(item: Item, folder: Path) -> bytes | Absent:
    obsid, obi, region = map(int, item.id.split("."))
    try:
        spectrum = read_spectrum(folder / item.payload["path"])
        # Catalogue identifiers, not those of the header, as they seed the random rebinning.
        spectrum = spectrum.replace(
            source_name=item.payload["name"], obsid=obsid, obi=obi, region_id=region
        )
        row = spectrum.rebinned(N_BINS, ENERGY_RANGE)
    except SpectrumFileError as error:
        return Absent(error.problem)
    row = {name: row[name] for name in (*_SCALARS, *_ARRAYS) if row[name] is not None}
    arrays = {name: np.asarray(value, _ARRAYS.get(name, np.float32)) for name, value in row.items()}
    return zlib.compress(save(arrays))


def spectra_columns(store: Store, detections: Sequence[str]) -> dict[str, pa.Array]:
    """Return the spectral columns of detections, in order; missing values are null.

    Returns:
        `exposure` (s), `background_scale`, and lists of 400: `counts`, `background_counts`,
        `effective_area` (cm²).
    """
    results = store.results(STAGE, detections)
    rows = [load(zlib.decompress(results[name])) for name in detections]
    columns: dict[str, pa.Array] = {}
    for name in _SCALARS:
        values = [float(row[name]) if name in row else None for row in rows]
        columns[name] = pa.array(values, pa.float32())
    for name, dtype in _ARRAYS.items():
        values = np.stack([row.get(name, np.zeros(N_BINS, dtype)) for row in rows])
        columns[name] = list_array(values, np.array([name not in row for row in rows]))
    return columns
