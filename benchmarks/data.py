"""Benchmarks of datasets: simulation, loading and streaming."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import disable_progress_bars

from specclip_datasets.__main__ import main as dataset_builders
from specclip_datasets.contract import list_array
from specclip_training.data.pairs import load_pairs
from specclip_training.data.parquet_rows import Lanes
from specclip_training.data.streamed import SPECTRUM_COLUMNS, StreamedSpectra

from .side_by_side import Comparison, compare


def datasets(small: bool = False) -> Iterator[Comparison]:
    """Compare simulation on one and two processes, and loading with reading the Parquet files."""
    n = 60 if small else 400
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as name:
        folder, made = Path(name), iter(range(1000))

        def simulate(processes: int) -> Callable[[], object]:
            def run() -> None:
                output = folder / f"sky-{next(made)}"
                arguments = ["simulate", "--config", "large", "--set", "fits=false"]
                arguments += ["--pairs", str(n), "--processes", str(processes)]
                arguments += ["--output", str(output)]
                quiet = io.StringIO()
                with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                    dataset_builders(arguments)

            return run

        rivals = {"two processes": simulate(2), "one process": simulate(1)}
        if not small:
            yield compare("simulating pairs, `large`", (n, "pairs"), rivals, 1)
        else:
            simulate(1)()
        sky = folder / "sky-0"
        files = sorted((sky / "data").glob("*.parquet"))
        yield compare(
            "loading a dataset",
            (n, "pairs"),
            {
                "load_pairs (checked, in memory)": lambda: load_pairs(sky, folder / "cache"),
                "pyarrow, tables alone": lambda: [pq.read_table(file) for file in files],
            },
            3,
        )


def streaming(small: bool = False) -> Iterator[Comparison]:
    """Compare shuffled batches from Parquet files with reading them in order."""
    n, batch = (400, 16) if small else (40_000, 256)
    with tempfile.TemporaryDirectory() as folder:
        path = write_counts(Path(folder) / "train.parquet", n)

        def shuffled() -> None:
            spectra = StreamedSpectra([str(path)])
            order = Lanes(0, "benchmark", spectra.source.sizes)
            for step in range(n // batch):
                spectra.spectra(order.rows(step, batch))

        def in_order() -> None:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=list(SPECTRUM_COLUMNS))

        yield compare(
            "an epoch of batches from disk",
            (n, "spectra"),
            {"StreamedSpectra, shuffled": shuffled, "pyarrow, in order": in_order},
            3,
        )


def write_counts(path: Path, n: int, group: int = 1000) -> Path:
    """Write random spectra of some hundred counts, with names, as Parquet."""
    rng = np.random.default_rng(0)
    shape = np.exp(-np.linspace(0, 3, 400))
    writer = None
    for start in range(0, n, group):
        rows = min(group, n - start)
        rate = rng.lognormal(4.8, 0.6, (rows, 1)) * shape / shape.sum()
        table = pa.table(
            {
                "source_name": [f"2CXO J{start + i:09d}" for i in range(rows)],
                "obsid": np.arange(start, start + rows, dtype=np.int32),
                "obi": np.zeros(rows, np.int32),
                "region_id": np.ones(rows, np.int32),
                "counts": list_array(rng.poisson(rate).astype(np.int32)),
                "background_counts": list_array(rng.poisson(0.2, (rows, 400)).astype(np.int32)),
                "background_scale": np.full(rows, 0.05, np.float32),
                "exposure": np.full(rows, 3e4, np.float32),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path
