"""Reconstruction of the universe behind a simulated dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from ...contract import N_BINS, list_matrix
from ...info import DatasetFolderError, SpecCLIPDatasetInfo
from ..catalogue import Universe
from ..knobs import Knobs
from ..prose import Summary
from .spectra import Spectra, observed_spectra

# Rows whose counts are made again to see that they are the same.
_CHECKED = 12


@dataclass(frozen=True)
class KnownRows:
    """Rows of a simulated dataset whose truth is known."""

    universe: Universe  # that they came from
    detections: np.ndarray  # of each row, index into `universe.detections`, (n)
    summaries: Sequence[Summary]  # of the distinct sources among them, (t)
    text_of_spectrum: np.ndarray  # index into `summaries`, (n)
    table: pa.Table  # the rows

    def spectra(self) -> Spectra:
        """Return the observed spectra as the observer takes them."""
        seen = self.universe.detections.take(self.detections)
        return observed_spectra(
            list_matrix(self.table["counts"], N_BINS),
            list_matrix(self.table["background_counts"], N_BINS),
            seen.background_scale,
            seen.exposure,
            seen.response,
            seen.theta,
        )


def reopen(info: SpecCLIPDatasetInfo) -> Universe:
    """Rebuild the universe of a simulated dataset from its recorded knobs.

    Raises:
        DatasetFolderError: when the dataset is not simulated, or its knobs are not known here.
    """
    if not info.simulated or info.builder != "simulated":
        raise DatasetFolderError(
            f"{info.name} was made by {info.builder!r}: only of rows that "
            "`specclip dataset simulate` made is the truth known"
        )
    unknown = sorted(set(info.knobs) - {item.name for item in fields(Knobs)})
    if unknown:
        raise DatasetFolderError(
            f"{info.name} has settings that this code does not know ({', '.join(unknown)}): "
            "simulate it anew with this version, or use the version that made it "
            f"({info.builder_version})"
        )
    return Universe(Knobs(**info.knobs))


def recognise(info: SpecCLIPDatasetInfo, table: pa.Table) -> KnownRows:
    """Find the rows of a dataset in the universe that they came from.

    Args:
        info: description of the dataset.
        table: rows in the contract's columns; any part of a split, in any order.

    Raises:
        DatasetFolderError: the recorded knobs do not give the same rows.
    """
    universe = reopen(info)
    seen = universe.detections
    names = universe.sources.names[seen.source]
    known = zip(names, seen.obsid, seen.obi, seen.region_id, strict=True)
    number = {key: row for row, key in enumerate(known)}
    columns = (table[name].to_pylist() for name in ("source_name", "obsid", "obi", "region_id"))
    keys = list(zip(*columns, strict=True))
    lost = [key for key in keys if key not in number]
    if lost:
        raise _differs(info, f"{lost[0][0]}, observation {lost[0][1]}, is not in it")
    detections = np.array([number[key] for key in keys], dtype=int)
    some = np.unique(
        np.linspace(0, len(detections) - 1, min(_CHECKED, len(detections))).astype(int)
    )
    recorded = list_matrix(table["counts"].take(some), N_BINS)
    if (universe.observe(detections[some]).counts != recorded).any():
        raise _differs(info, "the counts differ")
    sources, text_of_spectrum = np.unique(seen.source[detections], return_inverse=True)
    written = universe.write_summaries(sources)
    summaries = table["summary"].to_pylist()
    for row, text in enumerate(text_of_spectrum):
        sections = {name: said for name, said in summaries[row].items() if said}
        if written[text].sections != sections:
            raise _differs(info, f"the text of {keys[row][0]} differs")
    return KnownRows(universe, detections, written, text_of_spectrum, table)


def _differs(info: SpecCLIPDatasetInfo, difference: str) -> DatasetFolderError:
    return DatasetFolderError(
        f"{info.name} (version {info.builder_version} of the builder) does not come out of its "
        f"recorded settings with this code: {difference}. Simulate it anew with this version, or "
        "use the version that made it"
    )
