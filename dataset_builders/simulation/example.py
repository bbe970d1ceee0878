"""One simulated detection as OGIP files: a spectrum with its background, an ARF and an RMF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from . import instrument
from .catalogue import Universe
from .knobs import Knobs
from .source_classes import COMPONENTS, POWER_LAW, class_values

# Channels of an ACIS spectrum; the simulation makes those below 8.2 keV.
ACIS_CHANNELS = 1024
_PAIRS = 60
# The detection nearest to so many counts is taken.
_NET_COUNTS = 1000.0
# Smaller elements of the redistribution are left out of the RMF.
_LEAST_REDISTRIBUTED = 1e-6


def write_example(path: Path, seed: int = 0) -> str:
    """Write a simulated detection as a PHA file, with its ARF and RMF beside it.

    Args:
        path: the PHA file; the others have the suffixes `.arf` and `.rmf`.
        seed: seed of the simulation.

    Returns:
        A sentence on the source, with its true class and spectrum.
    """
    universe = Universe(Knobs(pairs=_PAIRS, seed=seed, fits=0.0))
    expected, _ = universe.expected(np.arange(_PAIRS))
    row = int(np.abs(np.log(expected.sum(axis=1) / _NET_COUNTS)).argmin())
    rows = np.array([row])
    seen, observed = universe.detections.take(rows), universe.observe(rows)
    area = instrument.effective_area(seen.response, seen.theta, instrument.PHOTON_CENTRES)[0]
    source = int(seen.source[0])
    arf, rmf = path.with_suffix(".arf"), path.with_suffix(".rmf")
    shared: dict[str, Any] = {
        "TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "FILTER": "none", "CHANTYPE": "PI",
        "OBJECT": f"Simulated {universe.sources.names[source]}",
        "EXPOSURE": float(seen.exposure[0]),
    }  # fmt: skip
    scale = float(seen.background_scale[0])
    spectra = [
        _spectrum(observed.channels[0], "TOTAL", 1.0, shared,
                  BACKFILE=path.name, ANCRFILE=arf.name, RESPFILE=rmf.name),
        _spectrum(observed.background_channels[0], "BKG", 1.0 / scale, shared,
                  BACKFILE="none", ANCRFILE="none", RESPFILE="none"),
    ]  # fmt: skip
    redistribution = instrument.load_epochs()[int(seen.response[0])].redistribution
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *spectra]).writeto(path, overwrite=True)
    fits.HDUList([fits.PrimaryHDU(), _area(area, shared)]).writeto(arf, overwrite=True)
    fits.HDUList([fits.PrimaryHDU(), *_matrix(redistribution, shared)]).writeto(rmf, overwrite=True)
    return _truth(universe, source)


def _spectrum(
    channels: np.ndarray,
    kind: str,
    backscal: float,
    header: dict[str, Any],
    **files: str,
) -> fits.BinTableHDU:
    counts = np.zeros(ACIS_CHANNELS, np.int32)
    counts[: len(channels)] = channels
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "J", array=np.arange(1, ACIS_CHANNELS + 1)),
            fits.Column("COUNTS", "J", unit="count", array=counts),
        ],
        name="SPECTRUM",
    )
    hdu.header.update(
        HDUCLASS="OGIP", HDUCLAS1="SPECTRUM", HDUCLAS2=kind, HDUCLAS3="COUNT", BACKSCAL=backscal,
        AREASCAL=1.0, DETCHANS=ACIS_CHANNELS, TLMIN1=1, TLMAX1=ACIS_CHANNELS, POISSERR=True,
        **files, **header,
    )  # fmt: skip
    return hdu


def _area(area: np.ndarray, header: dict[str, Any]) -> fits.BinTableHDU:
    edges = instrument.PHOTON_EDGES
    columns = {"ENERG_LO": (edges[:-1], "keV"), "ENERG_HI": (edges[1:], "keV"),
               "SPECRESP": (area, "cm**2")}  # fmt: skip
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, "E", unit=unit, array=values)
            for name, (values, unit) in columns.items()
        ],
        name="SPECRESP",
    )
    hdu.header.update(HDUCLASS="OGIP", HDUCLAS1="RESPONSE", HDUCLAS2="SPECRESP", **header)
    return hdu


def _matrix(redistribution: np.ndarray, header: dict[str, Any]) -> list[fits.BinTableHDU]:
    """Write a redistribution (photon energies, channels below 8.2 keV), one group in a row."""
    edges = instrument.PHOTON_EDGES
    held = redistribution > _LEAST_REDISTRIBUTED
    first = held.argmax(axis=1)
    count = np.where(held.any(axis=1), held.shape[1] - held[:, ::-1].argmax(axis=1) - first, 0)
    rows = np.empty(len(first), object)
    for number, (start, width) in enumerate(zip(first, count, strict=True)):
        rows[number] = redistribution[number, start : start + width].astype(np.float32)
    matrix = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "E", unit="keV", array=edges[:-1]),
            fits.Column("ENERG_HI", "E", unit="keV", array=edges[1:]),
            fits.Column("N_GRP", "I", array=(count > 0).astype(np.int16)),
            fits.Column("F_CHAN", "I", array=first + 1),
            fits.Column("N_CHAN", "I", array=count),
            fits.Column("MATRIX", f"PE({count.max()})", array=rows),
        ],
        name="MATRIX",
    )
    width = instrument.CHANNEL_EDGES[1]
    channels = np.arange(ACIS_CHANNELS)
    bounds = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "I", array=channels + 1),
            fits.Column("E_MIN", "E", unit="keV", array=channels * width),
            fits.Column("E_MAX", "E", unit="keV", array=(channels + 1) * width),
        ],
        name="EBOUNDS",
    )
    for hdu, kind in ((matrix, "RSP_MATRIX"), (bounds, "EBOUNDS")):
        hdu.header.update(
            HDUCLASS="OGIP", HDUCLAS1="RESPONSE", HDUCLAS2=kind, DETCHANS=ACIS_CHANNELS, **header
        )
    matrix.header.update(HDUCLAS3="REDIST", TLMIN4=1)
    return [matrix, bounds]


def _truth(universe: Universe, source: int) -> str:
    spectrum = universe.sources.spectra.take(np.array([source]))
    label = class_values("label")[universe.sources.class_index[source]]
    first, shape = int(spectrum.first[0]), float(spectrum.shape[0])
    shape_words = f"photon index {shape:.2f}" if first == POWER_LAW else f"kT {shape:.2f} keV"
    return (
        f"a simulated source of class {label}: {COMPONENTS[first].replace('_', ' ')}, "
        f"{shape_words}, column density {100 * spectrum.nh[0]:.3g}e20 cm⁻²"
    )
