"""The finished work of a build as the contract's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..contract import (
    LIMITED_VARIABLES,
    N_BINS,
    SPLITS,
    contract_features,
    list_array,
    variable_units,
)
from ..folder import SpecCLIPDatasetInfo, TableStream, write_dataset
from ..splits import assign_groups, split_groups
from .bibliography import SourceLiterature
from .products import detection_id

_AT_ONCE = 500
_DAYS_A_YEAR, _MJD_2000 = 365.25, 51544.5


class AssembleError(RuntimeError):
    """There is nothing to make a dataset of; the message says where it was lost."""


@dataclass(frozen=True)
class Assembly:
    """What goes into a dataset.

    Attributes:
        catalogue: rows of `catalogue.SCHEMA`.
        spectra: rows of `counts.SCHEMA`.
        literature: source -> what is known of it.
        papers: source -> the papers behind its summary, as `RankedPaper.as_dict` gives them.
        summaries: source -> the three sections.
        embeddings: source -> (3·d,) float32, or None for a dataset without.
    """

    catalogue: pa.Table
    spectra: pa.Table
    literature: Mapping[str, SourceLiterature]
    papers: Mapping[str, Sequence[Mapping[str, Any]]]
    summaries: Mapping[str, Mapping[str, str | None]]
    embeddings: Mapping[str, np.ndarray] | None = None


def write_assembly(
    folder: str | Path,
    assembly: Assembly,
    info: SpecCLIPDatasetInfo,
    *,
    survey_limit: int,
    seed: int,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the rows of every detection that has a spectrum and a summary.

    Args:
        folder: where to.
        assembly: what there is.
        info: what made it.
        survey_limit: papers behind more sources link none.
        seed: of the splits.
        overwrite: replace a dataset that is already there.
        progress: show a bar.

    Returns:
        Group and split of each row, for `describe_splits`.

    Raises:
        AssembleError: when there is no such detection.
    """
    spectrum_of = {name: row for row, name in enumerate(assembly.spectra["detection"].to_pylist())}
    keys = list(zip(*(assembly.catalogue[c].to_pylist() for c in _KEY), strict=True))
    names = [key[0] for key in keys]
    ids = [detection_id(*key[1:]) for key in keys]
    rows = np.array(
        [
            row
            for row, (name, detection) in enumerate(zip(names, ids, strict=True))
            if detection in spectrum_of and name in assembly.summaries
        ],
        dtype=np.int64,
    )
    if not rows.size:
        raise AssembleError(
            f"of {len(names):,} detections none has both a spectrum ({len(spectrum_of):,} do) and "
            f"a summary ({len(assembly.summaries):,} sources have one): nothing can be written"
        )
    sources = [names[row] for row in rows]
    groups = assign_groups(
        sources,
        [keys[row][1] for row in rows],
        [assembly.literature[name].host for name in sources],
        [[str(paper["id"]) for paper in assembly.papers[name]] for name in sources],
        survey_limit=survey_limit,
    )
    splits = split_groups(list(groups), seed=seed)
    width = None
    if assembly.embeddings is not None:
        width = len(next(iter(assembly.embeddings.values()))) // 3
    schema = contract_features(N_BINS, width).arrow_schema

    def tables(split: str) -> Iterator[pa.Table]:
        chosen = np.flatnonzero(splits == split)
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            at = [spectrum_of[ids[rows[place]]] for place in part]
            yield _table(
                assembly,
                assembly.catalogue.take(pa.array(rows[part])),
                assembly.spectra.take(pa.array(at, pa.int64())),
                groups[part],
                schema,
            )

    streams = {
        split: TableStream(int((splits == split).sum()), schema, tables(split)) for split in SPLITS
    }
    write_dataset(folder, streams, info, overwrite=overwrite, progress=progress)
    return groups, splits


_KEY = ("name", "obsid", "obi", "region_id")


def _table(
    assembly: Assembly,
    catalogue: pa.Table,
    spectra: pa.Table,
    groups: np.ndarray,
    schema: pa.Schema,
) -> pa.Table:
    names = catalogue["name"].to_pylist()
    mjd = catalogue["gti_mjd_obs"].to_numpy()
    year = 2000.0 + (mjd.astype(float) - _MJD_2000) / _DAYS_A_YEAR
    columns: dict[str, Any] = {
        "source_name": names,
        "source_class": [assembly.literature[name].source_class for name in names],
        "group": list(groups),
        "year": pa.array(year, from_pandas=True),
        "papers": [
            [{key: paper[key] for key in ("id", "id_type", "title", "year")} for paper in of]
            for of in (assembly.papers[name] for name in names)
        ],
        "summary": [dict(assembly.summaries[name]) for name in names],
    }
    if assembly.embeddings is not None:
        stacked = np.stack([assembly.embeddings[name] for name in names])
        columns["text_embedding"] = list_array(stacked.astype(np.float32))
    plain = ["obsid", "obi", "region_id", "ra", "dec", "detector", "theta", *variable_units()]
    plain += [f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")]
    columns |= {name: catalogue[name].combine_chunks() for name in plain}
    columns |= {
        name: spectra[name].combine_chunks() for name in spectra.column_names if name != "detection"
    }
    arrays = []
    for field in schema:
        values = columns[field.name]
        if isinstance(values, pa.Array):
            arrays.append(values.cast(field.type, safe=False))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


__all__ = ["AssembleError", "Assembly", "write_assembly"]
