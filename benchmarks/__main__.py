"""Command line of the benchmarks: all of them, or those named."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from .batches import batches
from .encoder import encoder
from .loss import contrastive_loss
from .retrieval import questions, search
from .sentences import sentences
from .side_by_side import Comparison
from .spectra import fitting, folding, reading
from .start import cold_start

BENCHMARKS: dict[str, Callable[[bool], Iterable[Comparison]]] = {
    "start": cold_start,
    "reading": reading,
    "folding": folding,
    "fitting": fitting,
    "batches": batches,
    "encoder": encoder,
    "loss": contrastive_loss,
    "sentences": sentences,
    "search": search,
    "questions": questions,
}


def main(arguments: list[str] | None = None) -> None:
    """Print one table and, where asked, write it as JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes: does it run, not how fast"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    record: dict[str, Any] = machine()
    rows: list[dict[str, object]] = []
    print(
        f"{'task':<48}{'way':<42}{'median':>11}{'±':>10}{'per s':>12}{'× ours':>8}{'CPU ×':>8}"
        f"{'MiB':>8}"
    )
    for name in options.names or BENCHMARKS:
        started = time.monotonic()
        for result in BENCHMARKS[name](options.small):
            for row in result.rows():
                rows.append({"benchmark": name, "load": os.getloadavg()[0], **row})
                print(line_of(row), flush=True)
            for rival in result.absent:
                print(f"{result.task:<48}{rival:<42}not here, or no room: skipped", flush=True)
        record.setdefault("seconds", {})[name] = round(time.monotonic() - started, 1)
    record["rows"] = rows
    if options.json:
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return the machine and software that the figures were measured on."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def line_of(row: dict[str, Any]) -> str:
    """Format a row of the table, of one rival at a task."""
    return (
        f"{row['task']:<48}{row['rival']:<42}{1e3 * row['median_s']:>9.1f}ms"
        f"{1e3 * row['spread_s']:>8.1f}ms{row['per_second']:>12,.0f}"
        f"{row['times_ours']:>8.2f}{row['cpu_times_ours']:>8.2f}{row['peak_mib']:>8.0f}"
    )


if __name__ == "__main__":
    main()
