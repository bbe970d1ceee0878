"""Seconds per item of each stage, as a build measures them on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hf_specclip.storage import write_bytes

RATES_FILE = "rates.json"
# Fewer say more about starting than about working.
_ENOUGH = 100

# Seconds of one core for an item of each stage: detections, sources, papers, or rows of the
# dataset. Measured on a build of 330 detections from local services (two cores of a shared x86
# machine); `pytest -m slow -s tests/dataset_builders/sky/test_to_training.py` measures them anew.
CORE_SECONDS: Mapping[str, float] = {
    "catalogue": 1.2e-3,
    "objects": 1.0e-3,
    "papers": 5.8e-3,
    "spectra": 2.8e-3,
    "counts": 4.5e-3,
    "summaries": 7.3e-3,
    "dataset": 4.2e-4,
}


def note_rate(work: str | Path, stage: str, items: int, seconds: float) -> None:
    """Add the processor seconds of a stage to the rates of a work folder."""
    if items <= 0:
        return
    known = _read(work)
    n, total = known.get(stage, (0, 0.0))
    known[stage] = (n + items, total + seconds)
    content = {name: list(values) for name, values in known.items()}
    write_bytes(Path(work) / RATES_FILE, json.dumps(content).encode())


def core_seconds(work: str | Path) -> dict[str, float]:
    """Return seconds of one core for an item of each stage: measured here, else usual ones."""
    measured = {name: s / n for name, (n, s) in _read(work).items() if n >= _ENOUGH}
    return {**CORE_SECONDS, **measured}


def seconds_each(work: str | Path, name: str, usual: float) -> float:
    """Return the mean noted under a name, however few there were; else the usual value."""
    n, total = _read(work).get(name, (0, 0.0))
    return total / n if n else usual


def _read(work: str | Path) -> dict[str, tuple[int, float]]:
    try:
        found = json.loads((Path(work) / RATES_FILE).read_text(encoding="utf-8"))
        return {str(name): (int(n), float(s)) for name, (n, s) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


__all__ = ["CORE_SECONDS", "core_seconds", "note_rate", "seconds_each"]
