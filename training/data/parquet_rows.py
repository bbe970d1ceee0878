"""Random access to the rows of Parquet files, and an order of rows that suits it.

A file is read one row group at a time (about a thousand rows), from this machine or from the Hub,
and a few row groups are kept. So a process that needs a part of the rows reads that part alone, and
memory does not grow with the dataset.

`datasets` streaming does not replace this: the state of its shuffle buffer leaves out the rows in
the buffer, so that a resumed run would miss them, and its batches depend on the number of
processes.
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

from hf_specclip.errors import FileFormatError
from specclip_training.engine.draws import Draws

# Bytes fetched beyond those asked for, from remote files.
READ_AHEAD = 1 << 16


class ParquetRows:
    """Rows of some Parquet files, numbered consecutively.

    Args:
        files: paths or URLs (`hf://…`), in order.
        columns: columns to read.
        keep: row groups held in memory.
        optional: columns to read where all files have them.

    Attributes:
        columns: those that are read.
        sizes: (groups,) int64, rows of each row group.
        groups_read: number of row groups read so far.

    Raises:
        FileFormatError: a file that is not Parquet, or lacks a column.
    """

    def __init__(
        self,
        files: Sequence[str],
        columns: Sequence[str],
        keep: int = 8,
        optional: Sequence[str] = (),
    ):
        self.files, self.keep, self.groups_read = list(files), keep, 0
        self._footers = [_read_footer(file) for file in self.files]
        names = [set(footer.schema.to_arrow_schema().names) for footer in self._footers]
        for file, present in zip(self.files, names, strict=True):
            if missing := sorted(set(columns) - present):
                raise FileFormatError(f"{file} lacks the columns {', '.join(missing)}")
        self.columns = [*columns, *(c for c in optional if all(c in present for present in names))]
        self._groups = [
            (file, group)
            for file, footer in enumerate(self._footers)
            for group in range(footer.num_row_groups)
        ]
        self.sizes = np.array(
            [self._footers[file].row_group(group).num_rows for file, group in self._groups],
            dtype=np.int64,
        )
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self._cache: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def fingerprint(self) -> str:
        """Hash of the files' names and footers; their rows are not read for it."""
        digest = hashlib.sha256()
        for file, footer in zip(self.files, self._footers, strict=True):
            sizes = [footer.row_group(g).total_byte_size for g in range(footer.num_row_groups)]
            facts = [Path(file).name, footer.num_rows, footer.serialized_size, *sizes]
            digest.update(repr(facts).encode())
        return digest.hexdigest()[:16]

    def table(self, group: int) -> pa.Table:
        """Read the columns of one row group, which is not kept."""
        file, group_in_file = self._groups[group]
        self.groups_read += 1
        with _open(self.files[file]) as stream:
            parquet = pq.ParquetFile(stream, metadata=self._footers[file])
            return parquet.read_row_group(group_in_file, columns=self.columns)

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Read some rows, in the order given: arrays (rows,) or, for lists, (rows, length)."""
        rows = np.asarray(rows, dtype=np.int64)
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        result: dict[str, np.ndarray] = {}
        for group in np.unique(groups).tolist():
            selected = groups == group
            for name, values in self._group(group).items():
                if name not in result:
                    result[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
                result[name][selected] = values[rows[selected] - self._starts[group]]
        return result

    def _group(self, group: int) -> dict[str, np.ndarray]:
        if group not in self._cache:
            while len(self._cache) >= self.keep:
                self._cache.popitem(last=False)
            self._cache[group] = to_arrays(self.table(group))
        self._cache.move_to_end(group)
        return self._cache[group]


class Lanes:
    """Order of rows in which each process reads its part of the files (`engine.draws.Order`).

    In every epoch the row groups are shuffled, and the rows within each. The sequence is cut into
    lanes, each of which gives its next rows to every batch: a batch mixes rows from all over the
    dataset, and a process, which takes neighbouring lanes, reads only the row groups that these go
    through. The order does not depend on the number of processes.

    Args:
        seed: of the run.
        stage: name of the stage.
        sizes: rows of each row group.
        lanes: their number; as many row groups are in use at a time, over all processes.
    """

    def __init__(self, seed: int, stage: str, sizes: np.ndarray, lanes: int = 64):
        self._seed, self._stage, self._sizes, self._lanes = seed, stage, sizes, lanes
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._epoch = -1
        self._permutations: dict[int, np.ndarray] = {}

    def rows(self, step: int, size: int) -> np.ndarray:
        """See `specclip_training.engine.draws.Order.rows`."""
        steps = int(self._starts[-1]) // size
        epoch, batch = divmod(step, steps)
        draws = Draws(self._seed, self._stage, epoch)
        if epoch != self._epoch:
            self._epoch, self._permutations = epoch, {}
            self._order = draws.permutation(len(self._sizes))
            self._ends = np.cumsum(self._sizes[self._order])
        lanes = min(self._lanes, size)
        edges = np.arange(lanes + 1) * size // lanes
        widths = np.diff(edges)
        # A lane holds steps × (its rows of a batch) rows, side by side in the shuffled sequence.
        offsets = (steps - 1) * edges[:-1] + batch * widths
        positions = np.arange(size) + np.repeat(offsets, widths)
        turns = np.searchsorted(self._ends, positions, side="right")
        groups = self._order[turns]
        within = positions - (self._ends[turns] - self._sizes[groups])
        kept, self._permutations = self._permutations, {}
        for group in np.unique(groups).tolist():
            if group not in kept:
                kept[group] = draws.permutation(int(self._sizes[group]), part=1 + group)
            self._permutations[group] = kept[group]
        rows = np.empty(size, dtype=np.int64)
        for group, permutation in self._permutations.items():
            selected = groups == group
            rows[selected] = self._starts[group] + permutation[within[selected]]
        return rows


def to_arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Convert columns of numbers, and of lists of one length, to arrays.

    A null list of floats becomes nan.

    Raises:
        FileFormatError: for any other null.
    """
    return {name: _to_array(table[name], name) for name in table.column_names}


def _to_array(column: pa.ChunkedArray, name: str) -> np.ndarray:
    values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    lists = pa.types.is_fixed_size_list(values.type)
    fillable = lists and pa.types.is_floating(values.type.value_type)
    if values.null_count and not fillable:
        raise FileFormatError(f"column {name!r} is null in {values.null_count} rows: fill them")
    if not lists:
        return values.to_numpy(zero_copy_only=False)
    # `flatten` leaves nulls out.
    flat = values.flatten().to_numpy(zero_copy_only=False)
    array = flat.reshape(len(values) - values.null_count, values.type.list_size)
    if not values.null_count:
        return array
    filled = np.full((len(values), array.shape[1]), np.nan, array.dtype)
    filled[values.is_valid().to_numpy(zero_copy_only=False)] = array
    return filled


def _read_footer(file: str) -> pq.FileMetaData:
    try:
        with _open(file) as stream:
            return pq.read_metadata(stream)
    except (OSError, pa.ArrowException) as error:
        raise FileFormatError(
            f"{file} cannot be read as Parquet ({error}): download or build the dataset again"
        ) from error


def _open(file: str) -> Any:
    return fsspec.open(file, "rb", block_size=READ_AHEAD).open()
