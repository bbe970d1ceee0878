"""Sources of an index: arrays of their classes and texts, and search by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..literature.source_classes import find_class
from .filter import positions_of, separation


@dataclass(frozen=True)
class SourceTable:
    """Source, text and class of each spectrum of an index.

    Attributes:
        source: (m,) int64, number of the source.
        text: (m,) int64, row of the text about the source; −1 without a text.
        label: (m,) str, canonical label of the class; empty if unknown.
    """

    source: np.ndarray
    text: np.ndarray
    label: np.ndarray

    @classmethod
    def from_entries(
        cls, spectra: Sequence[Mapping[str, Any]], texts: Sequence[Mapping[str, Any]]
    ) -> SourceTable:
        """Create the table from the entries of an index."""
        row_of = {entry["id"]: row for row, entry in enumerate(texts)}
        numbers: dict[str, int] = {}
        names = (str(entry.get("source_name") or entry["id"]) for entry in spectra)
        classes = {name for entry in spectra if isinstance(name := entry.get("class"), str)}
        label_of: dict[Any, str] = {name: canonical_label(name) for name in classes}
        return cls(
            np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64),
            np.array([row_of.get(entry.get("text"), -1) for entry in spectra], np.int64),
            np.array([label_of.get(entry.get("class"), "") for entry in spectra], np.str_),
        )


@dataclass(frozen=True)
class SourcePosition:
    """Source near a position.

    Attributes:
        separation: degrees.
        entry: entry of the index.
        row: row of the entry.
    """

    separation: float
    entry: Mapping[str, Any]
    row: int


def declinations(entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the declination of each entry, degrees (n,); nan where unknown."""
    positions = [positions_of(entry) for entry in entries]
    return np.array([position[0][1] if position else np.nan for position in positions])


def sources_within(
    entries: Sequence[Mapping[str, Any]], rows: Sequence[int], ra: float, dec: float, radius: float
) -> list[SourcePosition]:
    """Find the sources near a position, nearest first, each by its brightest spectrum."""
    nearest: dict[str, SourcePosition] = {}
    for row in rows:
        gap = separation(*positions_of(entries[row])[0], ra, dec)
        if gap > radius:
            continue
        name = str(entries[row].get("source_name") or entries[row].get("id"))
        other = nearest.get(name)
        if other is None or counts_of(entries[row]) > counts_of(other.entry):
            nearest[name] = SourcePosition(gap, entries[row], row)
    return sorted(nearest.values(), key=lambda match: match.separation)


def counts_of(entry: Mapping[str, Any]) -> float:
    """Return the counts of a spectrum, 0 where unknown."""
    counts = entry.get("counts")
    return float(counts) if isinstance(counts, int | float) else 0.0


def canonical_label(name: str) -> str:
    """Return the canonical label of a class; candidates keep their mark (`AGN?`), and unknown names
    are kept."""
    if name.endswith("?"):
        return canonical_label(name.removesuffix("?")) + "?"
    source_class = find_class(name)
    return source_class.label if source_class else name
