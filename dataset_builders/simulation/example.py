"""One simulated detection as OGIP files: a spectrum with its background, and an ARF."""

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


def write_example(path: Path, seed: int = 0, net_counts: float = 1000.0) -> str:
    """Write a simulated detection as a PHA file, and an ARF beside it.

    Args:
        path: the PHA file; the ARF has the suffix `.arf`.
        seed: seed of the simulation.
        net_counts: the detection whose counts are nearest to this is taken.

    Returns:
        A sentence on the source, with its true class and spectrum.
    """
    universe = Universe(Knobs(pairs=_PAIRS, seed=seed, fits=0.0))
    expected, _ = universe.expected(np.arange(_PAIRS))
    row = int(np.abs(np.log(expected.sum(axis=1) / net_counts)).argmin())
    rows = np.array([row])
    seen, observed = universe.detections.take(rows), universe.observe(rows)
    area = instrument.effective_area(seen.response, seen.theta, instrument.PHOTON_CENTRES)[0]
    source = int(seen.source[0])
    arf = path.with_suffix(".arf")
    shared: dict[str, Any] = {
        "TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "FILTER": "none", "CHANTYPE": "PI",
        "OBJECT": f"Simulated {universe.sources.names[source]}",
        "EXPOSURE": float(seen.exposure[0]),
    }  # fmt: skip
    scale = float(seen.background_scale[0])
    spectra = [
        _spectrum(observed.channels[0], "TOTAL", 1.0, shared, path.name, arf.name),
        _spectrum(observed.background_channels[0], "BKG", 1.0 / scale, shared, "none", "none"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *spectra]).writeto(path, overwrite=True)
    fits.HDUList([fits.PrimaryHDU(), _area(area, shared)]).writeto(arf, overwrite=True)
    return _truth(universe, source)


def _spectrum(
    channels: np.ndarray,
    kind: str,
    backscal: float,
    header: dict[str, Any],
    background: str,
    arf: str,
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
        BACKFILE=background, RESPFILE="none", ANCRFILE=arf, **header,
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


def _truth(universe: Universe, source: int) -> str:
    spectrum = universe.sources.spectra.take(np.array([source]))
    label = class_values("label")[universe.sources.class_index[source]]
    first, shape = int(spectrum.first[0]), float(spectrum.shape[0])
    shape_words = f"photon index {shape:.2f}" if first == POWER_LAW else f"kT {shape:.2f} keV"
    return (
        f"a simulated source of class {label}: {COMPONENTS[first].replace('_', ' ')}, "
        f"{shape_words}, column density {100 * spectrum.nh[0]:.3g}e20 cm⁻²"
    )


__all__ = ["write_example"]
