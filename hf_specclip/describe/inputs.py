"""Inputs of a description: files, spectra in memory, dataset rows and sources of the index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .hits import as_float, as_int, as_text

if TYPE_CHECKING:
    from ..search.index import SpecCLIPIndex
    from ..spectra import XRaySpectrum

_ROW_IDENTITY = ("source_name", "obsid", "obi", "region_id", "ra", "dec", "detector")


class SpectrumInput(NamedTuple):
    """A spectrum to describe.

    Attributes:
        label: path or source name it was asked by, None for a spectrum in memory.
        spectrum: the spectrum itself.
        columns: its columns on the grid of the model, as the feature extractor takes them.
    """

    label: str | None
    spectrum: XRaySpectrum
    columns: dict[str, Any]


def read_input(
    item: Any, n_bins: int, energy_range: tuple[float, float], index: SpecCLIPIndex | None
) -> SpectrumInput:
    """Read whatever `Describer.describe` takes.

    Args:
        item: path, source name, mapping of columns, or `XRaySpectrum`.
        n_bins, energy_range: grid of the model.
        index: resolves names of sources.

    Raises:
        ValueError: for a file that is no spectrum, or an input of another type.
        OSError: for a file that cannot be read; FileNotFoundError for an unknown name.
    """
    grid: dict[str, Any] = {"n_bins": n_bins, "energy_range": energy_range}
    if isinstance(item, Mapping):
        return SpectrumInput(None, spectrum_from_columns(item, energy_range), dict(item))
    if isinstance(item, str | os.PathLike):
        label = os.fspath(item)
        if not Path(label).exists():
            row = find_source(index, label)
            if index is None or row is None:
                raise FileNotFoundError(
                    f"{label}: there is no such file, and no source of that name in the index"
                )
            return SpectrumInput(label, *stored_spectrum(index, row))
        from ..spectra import read_spectrum

        spectrum = read_spectrum(label)
        return SpectrumInput(label, spectrum, _columns_of(spectrum, grid))
    if not hasattr(item, "rebinned"):
        raise ValueError(
            f"cannot describe a {type(item).__name__}: give the path of a PHA file, an "
            "XRaySpectrum, a mapping with counts and exposure, or the name of a source of the index"
        )
    return SpectrumInput(item.path, item, _columns_of(item, grid))


def _columns_of(spectrum: XRaySpectrum, grid: Mapping[str, Any]) -> dict[str, Any]:
    """Rebin a spectrum; one without integer counts is replaced by zeros, as models need counts."""
    if not spectrum.counted:
        spectrum = spectrum.replace(counts=np.zeros(spectrum.counts.size, np.int64))
    return spectrum.rebinned(**grid)


def find_source(index: SpecCLIPIndex | None, name: str) -> int | None:
    """Return the row of the brightest spectrum of a source in an index, or None."""
    try:
        return None if index is None else index.find(name)[0]
    except KeyError:
        return None


def keeps_counts(index: SpecCLIPIndex) -> bool:
    """Return True if the index stores the counts of its spectra."""
    return "counts" in index.spectra.columns and "energy_range" in index.about


def stored_spectrum(index: SpecCLIPIndex, row: int) -> tuple[XRaySpectrum, dict[str, Any]]:
    """Return the spectrum in a row of an index, and its columns.

    Raises:
        ValueError: the index stores no counts, like that of the bundled model.
    """
    entry, stored = index.spectra.entries[row], index.spectra.columns
    if not keeps_counts(index):
        raise ValueError(
            f"the index does not store the counts of {entry.get('source_name')}: it can be "
            "searched for, not described"
        )
    columns: dict[str, Any] = {
        "counts": np.array(stored["counts"][row], np.int32),
        "exposure": float(stored["exposure"][row]),
    }
    if "background_counts" in stored:
        columns["background_counts"] = np.array(stored["background_counts"][row], np.int32)
        columns["background_scale"] = float(stored["background_scale"][row])
    if "effective_area" in stored:
        area = np.array(stored["effective_area"][row], np.float32)
        columns["effective_area"] = area if area.any() else None
    columns["source_name"] = as_text(entry.get("source_name"))
    columns |= {name: as_int(entry.get(name)) for name in ("obsid", "obi", "region_id")}
    columns |= {name: as_float(entry.get(name)) for name in ("ra", "dec")}
    low, high = index.about["energy_range"]
    return spectrum_from_columns(columns, (float(low), float(high))), columns


def spectrum_from_columns(
    columns: Mapping[str, Any], energy_range: tuple[float, float]
) -> XRaySpectrum:
    """Create a spectrum from a row of a dataset.

    Args:
        columns: `counts` (n_bins,), `exposure` (s) and, where known, `background_counts`,
            `background_scale`, `effective_area` (cm²) and the identity of the source.
        energy_range: of the bins, keV.

    Raises:
        ValueError: without counts or exposure.
    """
    from ..spectra import XRaySpectrum
    from ..spectra.response import EffectiveArea

    for name in ("counts", "exposure"):
        if columns.get(name) is None:
            raise ValueError(f"a spectrum as a mapping needs {name!r}: it has {sorted(columns)}")
    counts = np.asarray(columns["counts"])
    background, scale = columns.get("background_counts"), columns.get("background_scale")
    background_columns: dict[str, Any] = {}
    if background is not None and scale:
        background_columns = {
            "background_counts": background,
            "background_backscal": 1.0 / float(scale),
        }
    edges = np.linspace(*energy_range, len(counts) + 1)
    area = columns.get("effective_area")
    return XRaySpectrum(
        counts=counts,
        energy_edges=edges,
        arf=None if area is None else EffectiveArea(energy_edges=edges, area=np.asarray(area)),
        exposure=float(columns["exposure"]),
        **background_columns,
        **{name: columns[name] for name in _ROW_IDENTITY if columns.get(name) is not None},
    )
