"""Hardness ratios of the simulated classes beside those of real sources of the same types.

A real table has one detection a row. Names whose sha256 ends in an even hexadecimal digit may guide
the populations, the others judge them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from .columns import read_table

RATIOS = ("hard_hm", "hard_hs", "hard_ms")
# Real types, and the simulated classes that they are compared with.
TYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quasar": (("QSO",), ("QSO",)),
    "AGN": (("AGN",), ("QSO", "Seyfert_1")),
    "Seyfert 1": (("Seyfert_1",), ("Seyfert_1",)),
    "Seyfert 2": (("Seyfert_2",), ("Seyfert_2",)),
    "young star": (("YSO", "TTau*", "Orion_V*"), ("YSO",)),
    "HMXB": (("HMXB",), ("HMXB",)),
    "LMXB": (("LMXB",), ("LMXB",)),
    "binary": (("Candidate_XB*", "XB"), ("LMXB",)),
}
HALVES = {"guide": 0, "judge": 1}
# The table's detections are those that the catalogue fits.
LEAST_NET_COUNTS = 150.0
LEAST_SOURCES = 50
_PERCENTILES = (16.0, 50.0, 84.0)
_MEDIAN, _WIDTH = 0.1, 1.3


def read_types(path: Path) -> dict[str, np.ndarray]:
    """Read a table of real detections: `name`, `main_type` and `RATIOS` (Parquet or CSV).

    Returns:
        `RATIOS`, `type`, and `half` (0 or 1, see `HALVES`), (n) each.

    Raises:
        ValueError: for a table without these columns.
    """
    table = read_table(path)
    missing = sorted({"name", "main_type", *RATIOS} - set(table.column_names))
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}")
    digits = [
        int(hashlib.sha256(name.encode()).hexdigest()[-1], 16) % 2
        for name in table["name"].to_pylist()
    ]
    kinds = np.array(table["main_type"].to_pylist(), object)
    ratios = {name: table[name].cast(pa.float64()).to_numpy() for name in RATIOS}
    return ratios | {"type": kinds, "half": np.array(digits)}


def class_table(here: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray]) -> str:
    """Format 16, 50 and 84 % of the ratios by class as Markdown, with a verdict.

    A ratio passes if the medians differ by at most 0.1 and the ranges by at most a factor of 1.3.

    Args:
        here: `Marginals.columns` of a dataset; faint rows are skipped.
        real: result of `read_types`.
    """
    bright = here["counts"] - here["background"] > LEAST_NET_COUNTS
    lines = ["| class | real, here |" + "".join(f" `{name}` real | here |" for name in RATIOS)]
    lines[0] += " verdict |"
    lines.append("|---|---|" + "---|" * (2 * len(RATIOS) + 1))
    for title, (types, classes) in TYPES.items():
        theirs, ours = np.isin(real["type"], types), bright & np.isin(here["source_class"], classes)
        if theirs.sum() < LEAST_SOURCES or not ours.any():
            continue
        cells, failures = [], []
        for name in RATIOS:
            expected, found = (
                np.nanpercentile(side[name][rows], _PERCENTILES)
                for side, rows in ((real, theirs), (here, ours))
            )
            cells += [" ".join(f"{value:+.2f}" for value in three) for three in (expected, found)]
            failures += _failures(name, expected, found)
        verdict = "passes" if not failures else "; ".join(failures)
        cells = [title, f"{theirs.sum():,}, {ours.sum():,}", *cells, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def both_halves(here: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray]) -> Iterable[str]:
    """Yield a titled `class_table` for each of `HALVES`."""
    for half, digit in HALVES.items():
        rows = real["half"] == digit
        some = {name: values[rows] for name, values in real.items()}
        title = f"Hardness by class (16 50 84 %), real sources that {half}:"
        yield f"{title}\n\n{class_table(here, some)}"


def _failures(name: str, expected: np.ndarray, found: np.ndarray) -> list[str]:
    shift = found[1] - expected[1]
    ratio = (found[2] - found[0]) / (expected[2] - expected[0])
    failures = [f"{name} median {shift:+.2f}"] if abs(shift) > _MEDIAN else []
    if not 1.0 / _WIDTH <= ratio <= _WIDTH:
        failures.append(f"{name} range × {ratio:.2f}")
    return failures
