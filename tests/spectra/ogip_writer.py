"""Writes small OGIP files for tests, well-formed or with one thing wrong."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from hf_specclip.spectra import RedistributionMatrix, XRaySpectrum, read_rmf, read_spectrum

N_CHANNELS = 8
N_ENERGIES = 6
CHANNEL_EDGES = np.linspace(0.4, 8.4, N_CHANNELS + 1)
ENERGY_EDGES = np.linspace(0.3, 9.3, N_ENERGIES + 1)
AREA = np.array([10.0, 200.0, 400.0, 300.0, 100.0, 20.0])
COUNTS = np.array([0, 3, 10, 7, 2, 1, 0, 5])
# Two groups in some rows, none in the last but one, a row that fills all channels.
GROUPS: list[list[tuple[int, list[float]]]] = [
    [(1, [0.7, 0.3])],
    [(1, [0.1, 0.5, 0.2]), (6, [0.2])],
    [(2, [0.25, 0.5, 0.25])],
    [(1, [0.125] * 8)],
    [],
    [(3, [0.05]), (7, [0.35, 0.6])],
]


def matrix(groups=GROUPS, n_channels: int = N_CHANNELS) -> np.ndarray:
    """The matrix the groups stand for, (energies, channels); channels count from 1 here."""
    dense = np.zeros((len(groups), n_channels))
    for row, parts in enumerate(groups):
        for first, values in parts:
            for offset, value in enumerate(values):
                if first - 1 + offset < n_channels:
                    dense[row, first - 1 + offset] += value
    return dense


def spectrum_hdu(
    counts: Any = COUNTS,
    *,
    columns: dict[str, Any] | None = None,
    drop: Sequence[str] = (),
    first: int = 1,
    name: str = "SPECTRUM",
    background: bool = False,
    header: dict[str, Any] | None = None,
) -> fits.BinTableHDU:
    """A SPECTRUM extension; `columns` adds or replaces, `drop` leaves out, `header` overrides."""
    counts = np.asarray(counts)
    channel = np.arange(first, first + counts.shape[-1], dtype=np.int32)
    table = Table({
        "CHANNEL": np.broadcast_to(channel, counts.shape),
        "COUNTS": counts.astype(np.int32) if counts.dtype.kind in "iu" else counts,
        **(columns or {}),
    })  # fmt: skip
    table.remove_columns(list(drop))
    hdu = fits.BinTableHDU(table, name=name)
    cards = {
        "HDUCLASS": "OGIP",
        "HDUCLAS1": "SPECTRUM",
        "HDUCLAS2": "BKG" if background else "TOTAL",
        "HDUCLAS3": "COUNT",
        "TELESCOP": "TESTSAT",
        "INSTRUME": "EYE",
        "CHANTYPE": "PI",
        "DETCHANS": counts.shape[-1],
        "EXPOSURE": 1000.0,
        "BACKSCAL": 2.0,
        "AREASCAL": 1.0,
        "BACKFILE": "none",
        "RESPFILE": "none",
        "ANCRFILE": "none",
        "POISSERR": True,
        **(header or {}),
    }
    for key, value in cards.items():
        if value is not None:
            hdu.header[key] = value
    return hdu


def arf_hdu(area: Any = AREA, edges: Any = ENERGY_EDGES, **header: Any) -> fits.BinTableHDU:
    """A SPECRESP extension."""
    columns = {"ENERG_LO": edges[:-1], "ENERG_HI": edges[1:], "SPECRESP": area}
    table = Table(columns, dtype=["f4"] * 3, units=["keV", "keV", "cm2"])
    hdu = fits.BinTableHDU(table, name="SPECRESP")
    hdu.header["HDUCLAS1"], hdu.header["HDUCLAS2"] = "RESPONSE", "SPECRESP"
    hdu.header.update(header)
    return hdu


def ebounds_hdu(
    edges: Any = CHANNEL_EDGES, *, channel: Any = None, first: int = 1, tlmin: int | None = None
) -> fits.BinTableHDU:
    """An EBOUNDS extension; `edges` (n + 1,), or (n, 2) for lower and upper edges apart."""
    edges = np.asarray(edges, dtype=np.float32)
    low, high = (edges[:-1], edges[1:]) if edges.ndim == 1 else edges.T
    if channel is None:
        channel = np.arange(first, first + low.size, dtype=np.int16)
    table = Table({"CHANNEL": channel, "E_MIN": low, "E_MAX": high})
    hdu = fits.BinTableHDU(table, name="EBOUNDS")
    hdu.header["HDUCLAS1"], hdu.header["HDUCLAS2"] = "RESPONSE", "EBOUNDS"
    hdu.header["TUNIT2"] = hdu.header["TUNIT3"] = "keV"
    if tlmin is not None:
        hdu.header["TLMIN1"] = tlmin
    return hdu


def matrix_hdu(
    groups=GROUPS,
    *,
    name: str = "MATRIX",
    kind: str = "variable",
    first: int = 1,
    tlmin: int | None = 1,
    edges: Any = ENERGY_EDGES,
    scale: Any = None,
    hduclas3: str = "REDIST",
) -> fits.BinTableHDU:
    """A MATRIX extension.

    Args:
        groups: per energy, (first channel counted from 1, elements) of each group.
        kind: ``variable`` arrays, ``fixed`` arrays padded with zeros, or ``scalar`` F_CHAN/N_CHAN
            (one group in each row at most).
        first: what F_CHAN counts from.
        tlmin: TLMIN of F_CHAN, None for none.
        scale: (energies,) factor on the rows, such as an area.
    """
    factors = np.ones(len(groups)) if scale is None else np.asarray(scale)
    f_chan = [[start - 1 + first for start, _ in row] for row in groups]
    n_chan = [[len(values) for _, values in row] for row in groups]
    values = [
        [value * factor for _, part in row for value in part]
        for row, factor in zip(groups, factors, strict=True)
    ]
    most = max(map(len, f_chan)) if kind != "scalar" else 1
    columns = []
    for key, code, width, rows in (
        ("F_CHAN", "I", most, f_chan),
        ("N_CHAN", "I", most, n_chan),
        ("MATRIX", "E", max(map(len, values)), values),
    ):
        if kind == "variable":
            columns.append(fits.Column(key, f"P{code}({width})", array=_objects(rows, code)))
        else:
            padded = np.array([row + [0] * (width - len(row)) for row in rows])
            columns.append(fits.Column(key, f"{width}{code}", array=padded.squeeze()))
    edges = np.asarray(edges, dtype=np.float32)
    columns = [
        fits.Column("ENERG_LO", "E", array=edges[:-1], unit="keV"),
        fits.Column("ENERG_HI", "E", array=edges[1:], unit="keV"),
        fits.Column("N_GRP", "I", array=np.array([len(row) for row in groups], dtype=np.int16)),
        *columns,
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header["HDUCLAS1"], hdu.header["HDUCLAS2"] = "RESPONSE", "RSP_MATRIX"
    hdu.header["HDUCLAS3"] = hduclas3
    if tlmin is not None:
        hdu.header["TLMIN4"] = tlmin
    return hdu


def write(path: Path, *hdus: fits.BinTableHDU) -> Path:
    """Write the extensions behind an empty primary HDU; gzipped where the name ends in .gz."""
    hdu_list = fits.HDUList([fits.PrimaryHDU(), *hdus])
    hdu_list.writeto(path, overwrite=True, output_verify="silentfix")
    return path


def write_set(folder: Path, stem: str = "src", **header: Any) -> Path:
    """A spectrum with ARF, RMF and background, all named in its header."""
    write(folder / f"{stem}.arf", arf_hdu())
    write(folder / f"{stem}.rmf", matrix_hdu(), ebounds_hdu())
    write(folder / f"{stem}_bg.pha", spectrum_hdu(COUNTS * 4, header={"BACKSCAL": 8.0}))
    names = {
        "BACKFILE": f"{stem}_bg.pha",
        "RESPFILE": f"{stem}.rmf",
        "ANCRFILE": f"{stem}.arf",
    }
    return write(folder / f"{stem}.pha", spectrum_hdu(header={**names, **header}))


def read_source(folder: Path, counts: Any = COUNTS, **options: Any) -> XRaySpectrum:
    """Read a source spectrum (arguments of `spectrum_hdu`) from beside the set's other files."""
    if not (folder / "src.pha").exists():
        write_set(folder)
    return read_spectrum(write(folder / "src.pha", spectrum_hdu(counts, **options)))


def read_alone(folder: Path, counts: Any = COUNTS, **header: Any) -> XRaySpectrum:
    """Read a spectrum of Chandra with no other file beside it; `header` adds or replaces cards."""
    cards = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "CHANTYPE": "PI", "DETCHANS": 1024}
    return read_spectrum(write(folder / "a.pha", spectrum_hdu(counts, header=cards | header)))


def rmf_of(folder: Path, groups: Any = GROUPS, **options: Any) -> RedistributionMatrix:
    """Read a matrix (arguments of `matrix_hdu`) with the channels' energies."""
    return read_rmf(write(folder / "a.rmf", matrix_hdu(groups, **options), ebounds_hdu()))


def assert_is_the_set(spectrum: XRaySpectrum) -> None:
    """Assert that a spectrum is that of `write_set`, read without a note."""
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert np.allclose(spectrum.energy_edges, CHANNEL_EDGES)
    assert spectrum.background_counts.tolist() == (COUNTS * 4).tolist()
    assert np.isclose(spectrum.background_scale, 0.25)
    assert np.allclose(spectrum.arf.area, AREA)
    assert np.allclose(spectrum.rmf.dense(), matrix())
    assert spectrum.notes == ()


def compress(path: Path) -> Path:
    """Replace a file by its gzipped form."""
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return target


def _objects(rows: list[list[Any]], code: str) -> np.ndarray:
    cells = np.empty(len(rows), dtype=object)
    for number, row in enumerate(rows):
        cells[number] = np.array(row, {"I": np.int16, "E": np.float32}[code])
    return cells
