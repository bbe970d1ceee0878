"""Index of ten million vectors on one machine: time, memory and recall by size."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .peers import installed
from .side_by_side import run_python

WIDTH, QUERIES, TOP, ROWS_A_FILE = 64, 200, 10, 500_000


def large_index(small: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a row for one million and for ten, each from a new process."""
    for n in (2_000,) if small else (1_000_000, 10_000_000):
        task = "index of vectors in clusters of some 50"
        if installed("faiss") is None:
            yield {"task": task, "vectors": n, "skipped": "FAISS is not installed"}
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_vectors(Path(folder), n)
            facts = run_python("-m", "benchmarks.large_index", folder)
        yield {"task": task, "vectors": n} | facts


def write_vectors(folder: Path, n: int) -> None:
    """Write unit vectors around random centres, in files as `embed_catalogue` writes them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(10, n // 50), WIDTH)).astype(np.float32)
    for number, start in enumerate(range(0, n, ROWS_A_FILE)):
        rows = min(ROWS_A_FILE, n - start)
        part = centres[rng.integers(len(centres), size=rows)]
        part += rng.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), WIDTH)
        pq.write_table(pa.table({"embedding": column}), folder / f"part-{number:05}.parquet")


def main(folder: str) -> None:
    """Build and search the index of a folder, exactly and approximately; print time and memory."""
    import resource

    from hf_specclip.search.catalogue import CatalogueIndex

    marks = [time.perf_counter()]
    index = CatalogueIndex.build(folder)
    marks.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Queries near vectors of the index, but equal to none.
    queries = index.vectors[:QUERIES].astype(np.float32)
    queries = queries + 0.04 * np.random.default_rng(1).standard_normal(queries.shape, np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index.search(queries[:1], TOP, exact=False)  # starts the threads
    marks.append(time.perf_counter())
    _, approximate_rows = index.search(queries, TOP, exact=False)
    marks.append(time.perf_counter())
    _, exact_rows = index.search(queries, TOP)
    marks.append(time.perf_counter())
    building, _, approximate, exact = np.diff(marks)
    pairs = zip(approximate_rows.tolist(), exact_rows.tolist(), strict=True)
    shared = [len(set(a) & set(b)) for a, b in pairs]
    facts = {
        "building_s": building,
        "index_mb": sum(path.stat().st_size for path in Path(folder, "_index").iterdir()) / 1e6,
        "peak_mib": peak / 1024,
        "approximate_ms_a_query": 1e3 * approximate / QUERIES,
        "exact_ms_a_query": 1e3 * exact / QUERIES,
        "cells_looked_into": index.probes,
        "found_of_the_closest_ten": float(np.mean(shared)),
    }
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
