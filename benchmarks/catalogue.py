"""Embedding and indexing of a catalogue: time and memory by its size."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .side_by_side import run_python

# The default encoder, a transformer, and the one of the preset `best`.
ENCODERS: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {"encoder": "mlp", "hidden_size": 256, "num_hidden_layers": 2},
}
SIZES = {"default": (4_000, 16_000), "best": (10_000, 100_000, 1_000_000)}


def catalogue(small: bool = False) -> Iterator[dict[str, Any]]:
    """Yield seconds and peak memory for each encoder and size, each from a new process."""
    from .data import write_counts

    for name, spectra in ({"best": (200, 400)} if small else SIZES).items():
        for n in spectra:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "catalogue.parquet"
                write_counts(path, n, group=100 if small else 1000)
                arguments = ("-m", "benchmarks.catalogue", name, str(path))
                facts = run_python(*arguments, ACCELERATE_USE_CPU="1")
            yield {"task": f"embedding and indexing, {name} encoder", "spectra": n} | facts


def main(name: str, path: Path) -> None:
    """Embed and index the spectra of a file; print time and memory."""
    import resource

    import torch
    from accelerate import Accelerator

    from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel
    from hf_specclip.search.catalogue import CatalogueIndex
    from specclip_training.embed_catalogue import embed_catalogue

    torch.manual_seed(0)
    config = SpecCLIPConfig(
        spectrum_config={"input_kind": "physics", **ENCODERS[name]},
        text_config={"embedding_dim": 64},
    )
    model = SpecCLIPModel(config)
    extractor = SpecCLIPFeatureExtractor(input_kind="physics")
    output = path.with_name("vectors")
    marks = [(time.perf_counter(), time.process_time())]
    embed_catalogue(Accelerator(cpu=True), model, extractor, [str(path)], output, progress=False)
    marks.append((time.perf_counter(), time.process_time()))
    index = CatalogueIndex.build(output)
    marks.append((time.perf_counter(), time.process_time()))
    queries = index.vectors[np.linspace(0, len(index) - 1, 100).astype(int)]
    index.search(queries, 10, exact=index.recall is None)
    facts = {
        "embedding_s": marks[1][0] - marks[0][0],
        "embedding_cpu_s": marks[1][1] - marks[0][1],
        "indexing_s": marks[2][0] - marks[1][0],
        "indexing_cpu_s": marks[2][1] - marks[1][1],
        "indexed_by": "not installed, exact search only" if index.recall is None else "FAISS",
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bytes_a_spectrum": path.stat().st_size / len(index),
    }
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
