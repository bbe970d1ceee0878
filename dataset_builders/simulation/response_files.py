"""Real ARF and RMF files as the simulation's instrument.

Photons of the simulation's bins are shared out over a file's energies by overlap, so that none is
lost or made; area and redistribution of the file then act on them, in one dense float32 matrix
straight from the simulation's bins to the channels.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hf_specclip.spectra import EffectiveArea, RedistributionMatrix, read_arf, read_rmf
from hf_specclip.spectra.ogip.fits_table import FitsFile
from hf_specclip.spectra.rebin import energy_grid, overlap_fractions

from ..contract import ENERGY_RANGE, N_BINS
from . import instrument

# Names of response files: `x.arf`, `x.rmf`, `x.rsp`, `acisf…_arf3.fits`, gzipped or not.
_NAME = re.compile(r"(?P<stem>.*?)[._-]?(?P<kind>arf|rmf|rsp)\d?(\.fits|\.fit)?(\.gz)?", re.I)
_CHANNEL_DECIMALS = 6


@dataclass(frozen=True)
class ResponseFile:
    """Response read from files.

    Attributes:
        name: names of its files, for people.
        digest: of its content (energies, area, channels, matrix), whatever the files are called.
        response: what the simulation folds through.
    """

    name: str
    digest: str
    response: instrument.Response


def find_responses(path: str | os.PathLike[str]) -> tuple[tuple[str, str], ...]:
    """Find the pairs of response files under a path.

    Args:
        path: a folder, searched with its subfolders (an ARF belongs to the RMF of the same name, or
            to the only RMF of its folder; an RSP, or an RMF with the area folded in, may stand
            alone); or a text file with `ARF RMF`, or one RSP, on each line, relative to its folder.

    Returns:
        Pairs of an ARF's path, or "", and an RMF's, in the order of their names.

    Raises:
        ValueError: nothing there, or an ARF without RMF (it is named).
    """
    path = Path(path)
    if path.is_dir():
        return _pairs_in(path)
    if not path.is_file():
        raise ValueError(f"responses: {path} is neither a folder nor a list of ARF and RMF files")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(
            f"responses: {path} is no text: give a folder, or a list with `ARF RMF` on each line"
        ) from None
    pairs = []
    for number, line in enumerate(lines, 1):
        files = [path.parent / name for name in line.split("#")[0].split()]
        if len(files) > 2:
            raise ValueError(f"responses: {path}, line {number}: write `ARF RMF`, or one RSP")
        for file in files:
            if not file.is_file():
                raise ValueError(f"responses: {path}, line {number}: there is no {file}")
        if files:
            pairs.append(("" if len(files) == 1 else str(files[0]), str(files[-1])))
    if not pairs:
        raise ValueError(f"responses: {path} names no files: write `ARF RMF` on each line")
    return tuple(pairs)


def load_responses(
    pairs: Sequence[tuple[str, str]], *, vignetted: bool = True
) -> tuple[ResponseFile, ...]:
    """Read responses; each content comes once, in an order that depends on contents alone.

    Args:
        pairs: paths of an ARF, or "", and of an RMF each, as `find_responses` gives them.
        vignetted: whether the areas are those at the sources' places, used as they are; otherwise
            they count as on axis, and the simulation's vignetting is put upon them.

    Raises:
        ValueError: a file that cannot be read, lacks its partner, or does not cover 0.5–8 keV.
    """
    by_digest = {}
    for arf, rmf in pairs:
        times = tuple(Path(name).stat().st_mtime_ns for name in (arf, rmf) if Path(name).is_file())
        item = _load(arf, rmf, times, vignetted)
        by_digest.setdefault(item.digest, item)
    return tuple(by_digest[digest] for digest in sorted(by_digest))


def _pairs_in(folder: Path) -> tuple[tuple[str, str], ...]:
    files: dict[str, dict[tuple[Path, str], Path]] = {"arf": {}, "rmf": {}, "rsp": {}}
    for file in sorted(folder.rglob("*")):
        match = _NAME.fullmatch(file.name)
        if match and file.is_file():
            files[match["kind"].lower()][file.parent, match["stem"].lower()] = file
    matrices, pairs, used = files["rmf"], [], set()
    for key, arf in files["arf"].items():
        if key not in matrices:
            in_folder = [other for other in matrices if other[0] == key[0]]
            if len(in_folder) != 1:
                raise ValueError(
                    f"responses: no RMF belongs to {arf}: name both alike, or give a list with "
                    "`ARF RMF` on each line"
                )
            [key] = in_folder
        used.add(key)
        pairs.append((str(arf), str(matrices[key])))
    alone = [file for key, file in matrices.items() if key not in used]
    pairs += [("", str(file)) for file in (*files["rsp"].values(), *alone)]
    if not pairs:
        raise ValueError(f"responses: {folder} holds no .arf, .rmf or .rsp files")
    return tuple(pairs)


@lru_cache(maxsize=64)
def _load(arf: str, rmf: str, times: tuple[int, ...], vignetted: bool) -> ResponseFile:
    """Read responses; `times` is when the files were last changed: others are read anew."""
    matrix = read_rmf(rmf)
    if arf:
        area = read_arf(arf)
    elif matrix.includes_area:
        area = matrix.effective_area
    else:
        raise ValueError(f"responses: {rmf} has no area folded in and no ARF beside it")
    label = " + ".join(Path(name).name for name in (arf, rmf) if name)
    channels = _channels(matrix, label)
    bins = energy_grid(N_BINS, ENERGY_RANGE)
    curve = (area.energy_edges[1:] + area.energy_edges[:-1]) / 2, area.area
    if not np.all(np.interp((bins[1:] + bins[:-1]) / 2, *curve, left=0.0, right=0.0) > 0.0):
        raise ValueError(
            f"responses: {label} has no effective area in a part of {ENERGY_RANGE[0]:g}–"
            f"{ENERGY_RANGE[1]:g} keV, where rows have their bins"
        )
    family = _family(arf or rmf)
    edges = np.round(matrix.channel_edges[channels.start : channels.stop + 1], _CHANNEL_DECIMALS)
    mean_area, redistribution = _on_photon_bins(matrix, area, channels)
    response = instrument.Response(
        family=family,
        year=float("nan"),
        area=mean_area,
        redistribution=redistribution,
        background=instrument.background_shape(family, edges),
        channel_edges=edges,
        curve=curve,
        vignetted=vignetted,
    )
    return ResponseFile(label, _digest(matrix, area), response)


def _on_photon_bins(
    matrix: RedistributionMatrix, area: EffectiveArea, channels: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean area (870,) and redistribution (870, C) for photons that are even inside a
    bin.
    """
    share = overlap_fractions(instrument.PHOTON_EDGES, matrix.energy_edges)
    # Where the area is folded into the matrix, its rows bring it.
    row_area = matrix.row_sums if matrix.includes_area else area.on(matrix.energy_edges)
    dense = matrix.dense()
    if matrix.includes_area:
        per_row = row_area[:, None]
        dense = np.divide(dense, per_row, out=np.zeros_like(dense), where=per_row > 0.0)
    weighted = share * row_area
    mean_area = weighted.sum(axis=1)
    folded = weighted @ dense[:, channels].astype(np.float64)
    redistribution = np.divide(
        folded, mean_area[:, None], out=np.zeros_like(folded), where=mean_area[:, None] > 0.0
    )
    return mean_area, redistribution.astype(np.float32)


def _channels(matrix: RedistributionMatrix, label: str) -> slice:
    """Select the channels any part of which lies within the rows' bins."""
    edges = np.round(matrix.channel_edges, _CHANNEL_DECIMALS)
    low, high = ENERGY_RANGE
    if edges[0] > low or edges[-1] < high:
        raise ValueError(
            f"responses: the channels of {label} cover {edges[0]:.4g}–{edges[-1]:.4g} keV, "
            f"and rows have their bins in {low:g}–{high:g} keV"
        )
    inside = np.flatnonzero((edges[1:] > low) & (edges[:-1] < high))
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _family(path: str) -> str:
    """Return `ACIS-S` or `ACIS-I` by the chips in DETNAM; empty for another detector."""
    for table in FitsFile(path).tables:
        name = table.header.text("DETNAM") or ""
        chips = re.fullmatch(r"ACIS-(\d+)", name.strip())
        if chips:
            return "ACIS-I" if int(chips[1][0]) < 4 else "ACIS-S"
    return ""


def _digest(matrix: RedistributionMatrix, area: EffectiveArea) -> str:
    digest = hashlib.blake2b(digest_size=16)
    elements = matrix.elements
    for values, dtype in (
        (matrix.energy_edges, "<f8"),
        (matrix.channel_edges, "<f8"),
        (area.energy_edges, "<f8"),
        (area.area, "<f8"),
        (elements.row, "<i4"),
        (elements.column, "<i4"),
        (elements.value, "<f4"),
    ):
        digest.update(np.ascontiguousarray(values, dtype=dtype).tobytes())
    return digest.hexdigest()
