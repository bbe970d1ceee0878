"""Writer of simulated literature: one manner of prose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .reporter import Reporter


@dataclass(frozen=True)
class Writer:
    """Manner of prose, with its own vocabulary, word scales, units, rounding and structure."""

    name: str  # of the writer, the contract's `writer`
    # Writes about a source. Returns section -> text for any of `identity`, `spectrum` and
    # `context`, not all of them empty; prose without sections has each sentence under the section
    # that it belongs to.
    write: Callable[[Reporter], dict[str, str]]
    unseen: bool = False  # True when its texts never get to `train` and `calibration`
    wrong: float = 0.02  # chance that a text took something else for the source
    errors: float = 1.0  # factor on the errors of its measurements
    weight: float = 1.0  # share of the texts, over the sum of all weights
