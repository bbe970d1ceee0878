"""Spectra of a table's rows: PHA files named in a cell or after the source, or lists of counts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.spectra import XRaySpectrum, energy_grid, read_arf, read_rmf, read_spectrum

from ..contract import ENERGY_RANGE, N_BINS
from ..tables.columns import CHANNEL_EDGES, N_CHANNELS

_SIDE = re.compile(r"(^|[_.-])(arf|rmf|rsp|bkg|bg|back|background)\d?$", re.IGNORECASE)
_SPECTRUM = (".pha", ".pi", ".fits", ".fit", ".fts", ".pha2")


class SpectrumFiles:
    """Spectrum files below a folder, found by path, name or source.

    Args:
        folder: root of the paths; a cell may not point out of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._by_name: dict[str, list[Path]] | None = None
        self._of_source: dict[str, list[Path]] = {}

    @property
    def by_name(self) -> dict[str, list[Path]]:
        """Files by name, and by name without suffixes; read once."""
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self.folder.rglob("*")):
                if path.is_file():
                    for name in {path.name, stem(path)}:
                        self._by_name.setdefault(name, []).append(path)
        return self._by_name

    def find(self, cell: str) -> Path:
        """Return the file that a cell names, relative to the folder or by its name alone.

        Raises:
            ValueError: for a file that is not there, is there twice or lies elsewhere.
        """
        path = Path(os.path.normpath(self.folder / cell))
        if not path.is_relative_to(self.folder):
            raise ValueError(f"lies outside {self.folder}: give a folder above it as --spectra")
        if path.is_file():
            return path
        same = self.by_name.get(cell) or [
            path for path in self.by_name.get(stem(Path(cell)), []) if is_spectrum(path)
        ]
        if len(same) > 1:
            raise ValueError(f"is there {len(same)} times below {self.folder}: give its path")
        if not same or "/" in cell:
            raise ValueError(f"is not in {self.folder}: is --spectra the right folder?")
        return same[0]

    def match_sources(self, names: Sequence[str | None]) -> int:
        """Give each file to the source whose name its own begins with; the longest one wins.

        Returns:
            Number of spectrum files that match no source.
        """
        of_key = {_compact(name): name for name in names if name}
        unmatched = 0
        files = {path for paths in self.by_name.values() for path in paths if is_spectrum(path)}
        for path in sorted(files):
            parts = re.split(r"([_\s]+)", stem(path))
            beginnings = (_compact("".join(parts[:n])) for n in range(len(parts), 0, -1))
            source = next((of_key[key] for key in beginnings if key in of_key), None)
            if source is None:
                unmatched += 1
            else:
                self._of_source.setdefault(source, []).append(path)
        return unmatched

    def of_source(self, name: str) -> list[Path]:
        """Return the files of a source, after `match_sources`.

        Raises:
            ValueError: where there are none.
        """
        if name not in self._of_source:
            raise ValueError(f"no spectrum in {self.folder} has a name that begins with {name!r}")
        return self._of_source[name]


def stem(path: Path) -> str:
    """Return a file's name without `.gz` and the suffix of its format."""
    name = path.name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix.lower() in _SPECTRUM else name


def is_spectrum(path: Path) -> bool:
    """Return True for the name of a spectrum, and not of a response or background."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix in _SPECTRUM and not _SIDE.search(stem(path))


def _compact(name: str) -> str:
    return re.sub(r"[\s_]+", "", name).casefold()


def read_row(path: Path, identity: dict[str, Any], sides: dict[str, Any]) -> dict[str, Any]:
    """Read a spectrum file into the contract's bins.

    Args:
        path: PHA file.
        identity: `source_name`, and `obsid`, `obi`, `region_id` where the table has them.
        sides: `arf`, `rmf`, `background` in place of those that the file leads to.

    Returns:
        The contract's columns of a spectrum, see `XRaySpectrum.rebinned`; `year`, or None; and
        `_energies`, where those of the channels come from, None for an RMF.

    Raises:
        SpectrumFileError: naming the file, the HDU, column or keyword, and the mend.
        ValueError: for a background, or a net spectrum.
    """
    spectrum = read_spectrum(path, **sides)
    if spectrum.hduclas2 == "BKG":
        raise ValueError("is a background spectrum (HDUCLAS2 = BKG)")
    date = re.match(r"(\d{4})-(\d\d)-(\d\d)", spectrum.date or "")
    found = {name: value for name, value in identity.items() if value is not None}
    row = _rebinned(spectrum.replace(**found))
    year, month, day = map(int, date.groups()) if date else (None, 0, 0)
    row["year"] = year and year + (month - 1) / 12 + (day - 1) / 365.25
    return row


def bin_row(
    counts: np.ndarray,
    background: np.ndarray | None,
    scale: float | None,
    exposure: float,
    identity: dict[str, Any],
    sides: dict[str, Any],
) -> dict[str, Any]:
    """Put lists of counts into the contract's bins.

    Args:
        counts: (m,) the contract's 400 bins, the channels of an RMF, or 1,024 PI channels of ACIS.
        background: (m,) of the background region, or None.
        scale: from background region to aperture.
        exposure: s.
        identity, sides: as for `read_row`; `sides` holds objects.

    Raises:
        ValueError: for another number of channels, or a background without its scale.
    """
    arf, rmf = sides.get("arf"), sides.get("rmf")
    if background is not None and background.any() and not scale:
        raise ValueError("background counts need a background_scale (factor to aperture counts)")
    if background is not None and background.shape != counts.shape:
        raise ValueError(f"{counts.size} channels, and {background.size} of the background")
    if rmf is not None:
        edges, energies = rmf.channel_edges, None
    elif counts.size == N_BINS:  # each count stays in its bin
        edges, energies = energy_grid(N_BINS, ENERGY_RANGE), "0.5 to 8 keV in 400 bins"
    elif counts.size == N_CHANNELS:
        edges, energies = CHANNEL_EDGES, "1,024 PI channels of ACIS, 14.6 eV each"
    else:
        raise ValueError(f"{counts.size} counts are neither {N_BINS} bins of 0.5 to 8 keV nor "
                         f"{N_CHANNELS} PI channels of ACIS: give --rmf")  # fmt: skip
    none = background is None or not scale
    spectrum = XRaySpectrum(
        counts=counts,
        energy_edges=edges,
        energy_from=energies,
        exposure=exposure,
        background_counts=None if none else background,
        backscal=1.0 if none else scale,
        arf=arf,
        rmf=rmf,
        **identity,
    )
    return _rebinned(spectrum)


def _rebinned(spectrum: XRaySpectrum) -> dict[str, Any]:
    """Return the contract's columns; detections without an observation draw by their counts."""
    name = spectrum.source_name
    if spectrum.obsid is None:
        spectrum = spectrum.replace(source_name=None, region_id=None)
    row = spectrum.rebinned(N_BINS, ENERGY_RANGE)
    assumed = None if spectrum.rmf is not None else spectrum.energy_from
    return {**row, "source_name": name, "_energies": assumed}


@cache
def read_side(kind: str, path: Path) -> Any:
    """Read an ARF or RMF once."""
    return (read_arf if kind == "arf" else read_rmf)(path)


__all__ = ["SpectrumFiles", "bin_row", "is_spectrum", "read_row", "read_side", "stem"]
