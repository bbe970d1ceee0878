"""Rows of a dataset straight out of its Parquet files: only those asked for are read.

A file is read one row group at a time (about a thousand rows), from this machine or from the Hub,
and some row groups are kept. So a process that needs a part of the rows reads that part alone, and
memory does not grow with the dataset.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset_builder
from specclip_training.engine.draws import Draws, process_slice

from hf_specclip.errors import SpecCLIPError

# Bytes that are fetched beyond those asked for, from afar.
READ_AHEAD = 1 << 16


class ParquetRowsError(SpecCLIPError, ValueError):
    """Files that cannot be read as rows of spectra; the message names the file and the mend."""


class ParquetRows:
    """The rows of some Parquet files, numbered through.

    Args:
        files: paths or URLs (`hf://…`), in order.
        columns: those that are read.
        optional: columns that are read, too, where all files have them.
        keep: row groups held in memory.

    Attributes:
        sizes: (groups,) int64, rows of each row group.

    Raises:
        ParquetRowsError: a file that is no Parquet, or lacks a column.
    """

    def __init__(
        self,
        files: Sequence[str],
        columns: Sequence[str],
        keep: int = 8,
        optional: Sequence[str] = (),
    ):
        self.files, self.columns, self.keep = list(files), list(columns), keep
        optional = list(optional)
        self._footers, self._groups = [], []
        sizes: list[int] = []
        for number, file in enumerate(self.files):
            try:
                with _open(file) as stream:
                    footer = pq.read_metadata(stream)
            except (OSError, pa.ArrowException) as error:
                raise ParquetRowsError(
                    f"{file} cannot be read as Parquet ({error}): fetch or build the dataset again"
                ) from error
            names = set(footer.schema.to_arrow_schema().names)
            optional = [name for name in optional if name in names]
            missing = sorted(set(self.columns) - names)
            if missing:
                raise ParquetRowsError(f"{file} lacks the columns {', '.join(missing)}")
            self._footers.append(footer)
            for group in range(footer.num_row_groups):
                self._groups.append((number, group))
                sizes.append(footer.row_group(group).num_rows)
        self.columns += optional
        self.sizes = np.array(sizes, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self._held: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()
        self.groups_read = 0

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def fingerprint(self) -> str:
        """A hash of names, sizes and statistics of the files, which are not read for it."""
        digest = hashlib.sha256()
        for file, footer in zip(self.files, self._footers, strict=True):
            facts: list[Any] = [Path(file).name, footer.num_rows, footer.serialized_size]
            for group in range(footer.num_row_groups):
                facts.append(footer.row_group(group).total_byte_size)
            digest.update(repr(facts).encode())
        return digest.hexdigest()[:16]

    def table(self, group: int) -> pa.Table:
        """The columns of one row group, not kept."""
        number, inside = self._groups[group]
        self.groups_read += 1
        with _open(self.files[number]) as stream:
            file = pq.ParquetFile(stream, metadata=self._footers[number])
            return file.read_row_group(inside, columns=self.columns)

    def group(self, number: int) -> dict[str, np.ndarray]:
        """The columns of one row group as arrays: (rows,) or, for lists, (rows, length)."""
        if number not in self._held:
            while len(self._held) >= self.keep:
                self._held.popitem(last=False)
            self._held[number] = to_arrays(self.table(number))
        self._held.move_to_end(number)
        return self._held[number]

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Some rows, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        where = np.searchsorted(self._starts, rows, side="right") - 1
        result: dict[str, np.ndarray] = {}
        for number in np.unique(where).tolist():
            found, at = self.group(number), where == number
            for name, values in found.items():
                if name not in result:
                    result[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
                result[name][at] = values[rows[at] - self._starts[number]]
        return result


class Lanes:
    """An order of rows that leaves each process with a part of the files (`engine.loop.Order`).

    In every epoch the row groups are shuffled, and the rows within each. What comes of it is cut
    into as many lanes as there are, each of which gives its next rows to every batch: a batch mixes
    rows from all over the dataset, and a process, which takes neighbouring lanes, reads only the
    row groups that these go through. Neither depends on the number of processes.

    Args:
        seed: of the run.
        stage: name of the stage.
        sizes: rows of each row group.
        lanes: how many; that many row groups are in use at a time, over all processes.
    """

    def __init__(self, seed: int, stage: str, sizes: np.ndarray, lanes: int = 64):
        self._seed, self._stage, self._sizes, self._lanes = seed, stage, sizes, lanes
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._epoch = -1
        self._within: dict[int, np.ndarray] = {}

    def rows(self, step: int, size: int) -> np.ndarray:
        """See `specclip_training.engine.loop.Order.rows`."""
        steps = int(self._starts[-1]) // size
        epoch, place = divmod(step, steps)
        if epoch != self._epoch:
            draws = Draws(self._seed, self._stage, epoch)
            self._epoch, self._within = epoch, {}
            self._order = draws.permutation(len(self._sizes))
            self._ends = np.cumsum(self._sizes[self._order])
        lanes = min(self._lanes, size)
        parts = [process_slice(size, lane, lanes) for lane in range(lanes)]
        # Lane l holds steps × (its rows of a batch) rows, side by side in the shuffled sequence.
        places = np.concatenate(
            [
                np.arange(part.stop - part.start)
                + steps * part.start
                + place * (part.stop - part.start)
                for part in parts
            ]
        )
        turn = np.searchsorted(self._ends, places, side="right")
        groups = self._order[turn]
        within = places - (self._ends[turn] - self._sizes[groups])
        used = set(np.unique(groups).tolist())
        self._within = {g: p for g, p in self._within.items() if g in used}
        rows = np.empty(size, dtype=np.int64)
        for group in used:
            if group not in self._within:
                draws = Draws(self._seed, self._stage, epoch)
                n = int(self._sizes[group])
                self._within[group] = draws.permutation(n, part=1 + group)
            at = groups == group
            rows[at] = self._starts[group] + self._within[group][within[at]]
        return rows


def dataset_files(dataset: str | Path) -> dict[str, list[str]]:
    """The Parquet files of each split of a dataset: a folder, or a repository on the Hub.

    Raises:
        ParquetRowsError: when there is none of that name, or its files are not Parquet.
    """
    try:
        builder = load_dataset_builder(str(dataset))
    except (OSError, ValueError) as error:
        raise ParquetRowsError(f"{dataset} is no dataset of Parquet files: {error}") from error
    files = {
        str(split): [str(file) for file in found]
        for split, found in (builder.config.data_files or {}).items()
    }
    other = [file for found in files.values() for file in found if not file.endswith(".parquet")]
    if other or not files:
        raise ParquetRowsError(
            f"{dataset} holds {other[0] if other else 'no files'}, not Parquet: write it with "
            "specclip_datasets.write_dataset"
        )
    return files


def to_arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns of numbers, and of lists of one length, as arrays; a null list of floats is nan."""
    return {name: _array(table[name].combine_chunks(), name) for name in table.column_names}


def _array(values: pa.Array | pa.ChunkedArray, name: str) -> np.ndarray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    lists = pa.types.is_fixed_size_list(values.type)
    fillable = lists and pa.types.is_floating(values.type.value_type)
    if values.null_count and not fillable:
        raise ParquetRowsError(f"column {name!r} is null in {values.null_count} rows: fill them")
    if lists:
        # Nulls are left out of what is flattened.
        flat = values.flatten().to_numpy(zero_copy_only=False)
        found = flat.reshape(len(values) - values.null_count, values.type.list_size)
        if not values.null_count:
            return found
        filled = np.full((len(values), found.shape[1]), np.nan, found.dtype)
        filled[values.is_valid().to_numpy(zero_copy_only=False)] = found
        return filled
    return values.to_numpy(zero_copy_only=False)


def _open(file: str) -> Any:
    return fsspec.open(file, "rb", block_size=READ_AHEAD).open()


__all__ = ["Lanes", "ParquetRows", "ParquetRowsError", "dataset_files", "to_arrays"]
