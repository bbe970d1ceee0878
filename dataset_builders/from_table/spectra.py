"""Spectra of a table's rows: PHA files named in a cell or after the source, or lists of counts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.cli.file_list import spectra_below
from hf_specclip.spectra import XRaySpectrum, read_arf, read_rmf, read_spectrum

from ..contract import BIN_EDGES, ENERGY_RANGE, N_BINS
from ..tables.columns import CHANNEL_EDGES, N_CHANNELS

_SUFFIXES = (".pha", ".pha2", ".pi", ".fits", ".fit", ".fts")


class SpectrumFiles:
    """Spectrum files below a folder, found by path, name or source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        by_name: dict[str, list[Path]] = {}
        for path in sorted(self.folder.rglob("*")):
            by_name.setdefault(path.name, []).append(path)
        return by_name

    def find(self, cell: str) -> Path:
        """Return the file of a cell, by path relative to the folder or by name.

        Raises:
            ValueError: the file is missing, ambiguous, or outside the folder.
        """
        path = Path(os.path.normpath(self.folder / cell))
        if not path.is_relative_to(self.folder):
            raise ValueError(f"lies outside {self.folder}: give a folder above it as --spectra")
        if path.is_file():
            return path
        same = self._by_name.get(cell, [])
        if len(same) > 1:
            raise ValueError(f"is there {len(same)} times below {self.folder}: give its path")
        if not same:
            raise ValueError(f"is not in {self.folder}: is --spectra the right folder?")
        return same[0]

    def match(self, names: Sequence[str | None]) -> tuple[dict[str, list[Path]], int]:
        """Match each file to the source with the longest name that the file name begins with.

        Returns:
            Files by source, and the number of spectra without a source.
        """
        of_key = {_compact(name): name for name in names if name}
        of_source: dict[str, list[Path]] = {}
        spectra = [Path(path) for path in spectra_below(self.folder)[0]]
        for path in spectra:
            parts = re.split(r"([-._\s]+)", stem(path))
            beginnings = (_compact("".join(parts[:n])) for n in range(len(parts), 0, -1))
            source = next((of_key[key] for key in beginnings if key in of_key), None)
            if source is not None:
                of_source.setdefault(source, []).append(path)
        return of_source, len(spectra) - sum(map(len, of_source.values()))


def stem(path: Path) -> str:
    """Return a file's name without `.gz` and the suffix of its format."""
    name = Path(path.name.removesuffix(".gz"))
    return name.stem if name.suffix.lower() in _SUFFIXES else name.name


def _compact(name: str) -> str:
    return re.sub(r"[\s_]+", "", name).casefold()


def read_row(path: Path, identity: dict[str, Any], sides: dict[str, Path]) -> dict[str, Any]:
    """Read a spectrum file, rebinned to the contract's bins.

    Args:
        path: PHA file.
        identity: `source_name`, `obsid`, `obi`, `region_id`; None if the table has none.
        sides: `arf`, `rmf`, `background` that replace those named in the file.

    Returns:
        Columns of a spectrum, see `XRaySpectrum.rebinned`, with `year`; and `_energies`, the origin
        of the channel energies, None with an RMF.

    Raises:
        SpectrumFileError: invalid file; the message names HDU, column or keyword.
        ValueError: background spectrum.
    """
    spectrum = read_spectrum(path, **sides)
    if spectrum.hduclas2 == "BKG":
        raise ValueError("is a background spectrum (HDUCLAS2 = BKG)")
    stated = {name: value for name, value in identity.items() if value is not None}
    row = _rebinned(spectrum.replace(**stated))
    try:
        day = date.fromisoformat((spectrum.date or "")[:10])
        row["year"] = day.year + day.timetuple().tm_yday / 365.25
    except ValueError:  # none, or one of another form
        row["year"] = None
    return row


def bin_row(
    counts: np.ndarray,
    background: np.ndarray | None,
    scale: float | None,
    exposure: float,
    identity: dict[str, Any],
    sides: dict[str, Path],
) -> dict[str, Any]:
    """Rebin lists of counts to the contract's bins; returns as `read_row`.

    Args:
        counts: (m,) the contract's 400 bins, channels of an RMF, or 1,024 PI channels of ACIS.
        background: (m,) counts of the background region, or None.
        scale: factor from background region to aperture.
        exposure: s.
        identity, sides: see `read_row`.

    Raises:
        ValueError: another number of channels, or a background without its scale.
    """
    if background is not None and background.any() and not scale:
        raise ValueError("background counts need a background_scale (factor to aperture counts)")
    rmf = _read_side(read_rmf, sides["rmf"]) if "rmf" in sides else None
    if rmf is not None:
        edges, energies = rmf.channel_edges, None
    elif counts.size == N_BINS:  # each count stays in its bin
        edges, energies = BIN_EDGES, "0.5 to 8 keV in 400 bins"
    elif counts.size == N_CHANNELS:
        edges, energies = CHANNEL_EDGES, "1,024 PI channels of ACIS, 14.6 eV each"
    else:
        raise ValueError(f"{counts.size} counts are neither {N_BINS} bins of 0.5 to 8 keV nor "
                         f"{N_CHANNELS} PI channels of ACIS: give --rmf")  # fmt: skip
    spectrum = XRaySpectrum(
        counts=counts,
        energy_edges=edges,
        energy_from=energies,
        exposure=exposure,
        background_counts=background if scale else None,
        backscal=scale or 1.0,
        arf=_read_side(read_arf, sides["arf"]) if "arf" in sides else None,
        rmf=rmf,
        **identity,
    )
    return _rebinned(spectrum)


def _rebinned(spectrum: XRaySpectrum) -> dict[str, Any]:
    if spectrum.obsid is None:  # detections of one source would share their draws
        spectrum = spectrum.replace(source_name=None, region_id=None)
    row = spectrum.rebinned(N_BINS, ENERGY_RANGE)
    return row | {"_energies": None if spectrum.rmf is not None else spectrum.energy_from}


@cache
def _read_side(read: Any, path: Path) -> Any:
    return read(path)
