"""Sources, classes and texts of the spectra of an index, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..literature.source_classes import find_class


@dataclass(frozen=True)
class SourceTable:
    """Arrays along the spectra of an index.

    Attributes:
        source: (m,) int64, number of the source; equal for its observations.
        text: (m,) int64, row of the text about it; −1 without one.
        label: (m,) str, usual label of its class; empty where unknown.
    """

    source: np.ndarray
    text: np.ndarray
    label: np.ndarray

    @classmethod
    def from_entries(
        cls, spectra: Sequence[Mapping[str, Any]], texts: Sequence[Mapping[str, Any]]
    ) -> SourceTable:
        """Collect them from the entries of an index."""
        row_of = {entry["id"]: row for row, entry in enumerate(texts)}
        numbers: dict[str, int] = {}
        names = (str(entry.get("source_name") or entry["id"]) for entry in spectra)
        classes = {name for entry in spectra if isinstance(name := entry.get("class"), str)}
        label_of: dict[Any, str] = {name: usual_label(name) for name in classes}
        return cls(
            np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64),
            np.array([row_of.get(entry.get("text"), -1) for entry in spectra], np.int64),
            np.array([label_of.get(entry.get("class"), "") for entry in spectra], np.str_),
        )


def usual_label(name: str) -> str:
    """Return the usual label of a class; its name where it is unknown."""
    source_class = find_class(name)
    return source_class.label if source_class else name


__all__ = ["SourceTable", "usual_label"]
