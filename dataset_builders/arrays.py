"""Writer of a dataset from NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .contract import SPLITS, ContractError, list_array
from .folder import write_dataset
from .info import SpecCLIPDatasetInfo
from .splits import split_groups


def write_arrays(
    folder: str | Path,
    info: SpecCLIPDatasetInfo,
    *,
    source_name: Sequence[str],
    counts: np.ndarray,
    exposure: np.ndarray | float,
    summary: Sequence[str | Mapping[str, str | None]],
    group: Sequence[str] | None = None,
    background_counts: np.ndarray | None = None,
    background_scale: np.ndarray | float = 0.0,
    papers: Sequence[Sequence[Mapping[str, Any]]] | None = None,
    overwrite: bool = False,
    **columns: Any,
) -> Path:
    """Write a dataset of n rows, split over its groups (69, 1, 15 and 15 %).

    Args:
        folder: target.
        info: name, bins, range and domain; its seed draws the splits.
        source_name: (n,) name of the source of each row.
        counts: (n, n_bins) whole numbers.
        exposure: (n,) or one number, exposure time, s.
        summary: (n,) texts, or texts by section of the domain.
        group: (n,) groups that no split may cut (see `specclip_datasets.assign_groups`). Default:
            one group per source, which is valid only if sources share no field, host or paper.
        background_counts: (n, n_bins) whole numbers; default zeros.
        background_scale: (n,) or one number, from background region to aperture.
        papers: (n,) lists of `{id, id_type, title, year}`; default empty.
        overwrite: replace an existing dataset.
        **columns: (n,) optional columns of the contract: variables of the domain (nan if missing),
            their `_lolim` and `_hilim`, `ra` and `dec` (without them, the domain is written as not
            on the sky), `obsid`, `source_class`, …; (n, m) `effective_area` and `text_embedding`
            (a row of nan if missing).

    Returns:
        The folder.

    Raises:
        ContractError: invalid rows, or columns of different lengths.
        DatasetFolderError: the folder cannot be written.
    """
    n = len(source_name)
    counts = np.asarray(counts)
    background = np.zeros_like(counts) if background_counts is None else background_counts
    groups = list(source_name if group is None else group)
    sections = info.domain.sections
    texts = [{sections[0]: each} if isinstance(each, str) else each for each in summary]
    content: dict[str, Any] = {
        "source_name": list(source_name),
        # Every row is a separate observation; negative numbers are in no archive.
        "obsid": -1 - np.arange(n, dtype=np.int32),
        "obi": np.zeros(n, dtype=np.int32),
        "region_id": np.ones(n, dtype=np.int32),
        "group": groups,
        "exposure": _for_rows(exposure, n),
        "background_scale": _for_rows(background_scale, n),
        "papers": [[]] * n if papers is None else [list(some) for some in papers],
        "summary": [{name: each.get(name) for name in sections} for each in texts],
    }
    for name, matrix in (("counts", counts), ("background_counts", np.asarray(background))):
        if matrix.ndim != 2 or matrix.dtype.kind not in "iu":
            raise ContractError(
                f"{name} are {matrix.dtype} {matrix.shape}: give whole numbers (rows, bins)"
            )
        content[name] = list_array(matrix.astype(np.int32))
    content |= {name: _column(values) for name, values in columns.items()}
    for name, values in content.items():
        if len(values) != n:
            raise ContractError(f"{len(values)} values of {name} beside {n} of source_name")
    table = pa.table(content)
    if "ra" not in table.column_names or table["ra"].null_count:
        info = replace(info, domain=replace(info.domain, on_sky=False))
    splits = split_groups(groups, seed=info.seed or 0)
    parts = {split: table.filter(pa.array(splits == split)) for split in SPLITS}
    return write_dataset(folder, parts, info, overwrite=overwrite)


def _for_rows(values: np.ndarray | float, n: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    return values if values.ndim else np.full(n, values)


def _column(values: Any) -> pa.Array:
    """Return values (n,) or (n, m) as a column; nan, or a row of nan, becomes null."""
    array = np.asarray(values)
    missing = ~np.isfinite(array) if array.dtype.kind == "f" else None
    if array.ndim == 2:
        return list_array(array, None if missing is None else np.isnan(array).all(axis=1))
    return pa.array(array, mask=missing)
