"""`python -m benchmarks [NAME …] [--json FILE]`: every benchmark, or those named."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

from .rebinning import rebinning
from .retrieval import retrieval
from .side_by_side import Comparison
from .training import contrastive_loss, encoder

BENCHMARKS: dict[str, Callable[[], Iterable[Comparison]]] = {
    "rebinning": rebinning,
    "retrieval": retrieval,
    "loss": contrastive_loss,
    "encoder": encoder,
}


def main() -> None:
    """Print one table and, where asked, write it as JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    rows = []
    print(f"{'task':<54}{'way':<42}{'median':>10}{'±':>9}{'per s':>12}{'× ours':>8}")
    for name in arguments.names or BENCHMARKS:
        for comparison in BENCHMARKS[name]():
            for row in comparison.rows():
                rows.append(row)
                print(
                    f"{row['task']:<54}{row['rival']:<42}{1e3 * row['median_s']:>8.1f}ms"
                    f"{1e3 * row['spread_s']:>7.1f}ms{row['per_second']:>12,.0f}"
                    f"{row['times_ours']:>8.2f}"
                )
            for rival in comparison.absent:
                print(f"{comparison.task:<54}{rival:<42}not installed, skipped")
    if arguments.json:
        record = {"machine": platform.machine(), "python": platform.python_version(), "rows": rows}
        Path(arguments.json).write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
