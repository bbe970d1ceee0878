"""The cards of what a run made, filled from what was measured and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_specclip.hub.cards import MEASURED, write_card


def write_cards(output: Path, metrics: Mapping[str, Any]) -> list[Path]:
    """Write `README.md` beside all that a run made and measured.

    Args:
        output: folder of the run.
        metrics: what `reproduce.py` writes to `metrics.json`; every number on the cards is there,
            or is read from the things themselves.

    Returns:
        The cards' paths.
    """
    return [
        write_card(kind, output / kind, metrics)
        for kind in MEASURED
        if (output / kind).is_dir() and _measured(kind, metrics)
    ]


def _measured(kind: str, metrics: Mapping[str, Any]) -> bool:
    # A study that was left out, or had too little to go by, leaves no figures.
    study = {"moe": "experts", "outliers": "outliers"}.get(kind)
    return study is None or "skipped" not in metrics.get(study, {"skipped": "left out"})


__all__ = ["write_cards"]
