"""Sizes of a build's rows in Parquet: measured on fetched ones, or usual values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ...folder import ROWS_PER_GROUP, compact_storage
from ...splits import FRACTIONS
from ..counts import STAGE as COUNTS_STAGE
from ..counts import spectra_columns
from ..work.store import Store

# A row group's footer and dictionaries, with texts and without; the columns of the catalogue in a
# row. Measured on builds of 60 and 220 detections from local services.
GROUP_BYTES, GROUP_BYTES_WITHOUT_TEXT, COLUMN_BYTES = 33_600.0, 25_500.0, 200.0
# A number of a vector: float32 laid out by significance, of which the cache keeps float16.
NUMBER_BYTES = 2.2
_SPECTRUM_COLUMNS = ("counts", "background_counts", "effective_area")
# Rows that are measured: more would take longer than it teaches.
SAMPLE = 200
_FEWEST = 4


@dataclass(frozen=True)
class RowSizes:
    """Bytes of a row in Parquet, by part.

    Attributes:
        spectrum: counts, background and effective area of a detection. As usual: as in the
            simulated catalogue, whose detections are as bright as those with fits.
        text: the summary of a source and the papers behind it. As usual: a compressed summary of
            150 words and five titles.
    """

    spectrum: float = 1_280.0
    text: float = 800.0

    def dataset(self, rows: int, alone: int, sources: int, text_dim: int) -> float:
        """Compute the bytes of all configurations of a dataset.

        Args:
            rows: pairs.
            alone: spectra, with or without a pair.
            sources: that have a summary.
            text_dim: numbers of one section's embedding; 0 for none.
        """
        row = COLUMN_BYTES + self.spectrum
        pairs = _groups(rows) * GROUP_BYTES + rows * row + sources * self.text
        spectra = _groups(alone) * GROUP_BYTES_WITHOUT_TEXT + alone * row
        if not text_dim:
            return pairs + spectra
        return 2 * pairs + spectra + 3 * text_dim * sources * NUMBER_BYTES


def measure_sizes(store: Store, texts: Sequence[str], papers: Sequence[str]) -> RowSizes:
    """Measure the rows that a build has so far; parts without any get usual values.

    Args:
        texts: summaries that are there.
        papers: for some sources, identifiers and titles of the papers behind the summary.
    """
    usual = RowSizes()
    some = sorted(store.ids(COUNTS_STAGE))[:SAMPLE]
    spectrum = usual.spectrum
    if len(some) >= _FEWEST:
        columns = spectra_columns(store, some)
        spectrum = _each(pa.table({name: columns[name] for name in _SPECTRUM_COLUMNS}))
    if min(len(texts), len(papers)) < 2:
        return RowSizes(spectrum, usual.text)
    return RowSizes(spectrum, _each(_column(texts)) + _each(_column(papers)))


def _column(texts: Sequence[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts[:SAMPLE], pa.string())})


def _each(table: pa.Table) -> float:
    """Measure the bytes of one more row: of the second half of a table, beside the first."""
    half = len(table) // 2
    return max(0.0, (_size(table) - _size(table.slice(0, half))) / (len(table) - half))


def _size(table: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **compact_storage(table.schema))
    group = pq.ParquetFile(pa.BufferReader(sink.getvalue())).metadata.row_group(0)
    return sum(group.column(number).total_compressed_size for number in range(group.num_columns))


def _groups(rows: int) -> int:
    return sum(math.ceil(share * rows / ROWS_PER_GROUP) for share in FRACTIONS.values())
