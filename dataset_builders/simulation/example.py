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
    """Write a simulated detection as a PHA file, with `.arf` and `.rmf` files beside it; return a
    sentence on the source, with its true class and spectrum.
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
    beside = {"BACKFILE": path.name, "ANCRFILE": arf.name, "RESPFILE": rmf.name}
    scale = float(seen.background_scale[0])
    spectra = [
        _spectrum(observed.channels[0], HDUCLAS2="TOTAL", BACKSCAL=1.0, **beside, **shared),
        _spectrum(
            observed.background_channels[0],
            HDUCLAS2="BKG",
            BACKSCAL=1.0 / scale,
            **dict.fromkeys(beside, "none"),
            **shared,
        ),
    ]
    redistribution = instrument.load_epochs()[int(seen.response[0])].redistribution
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, tables in (
        (path, spectra),
        (arf, [_area(area, shared)]),
        (rmf, _matrix(redistribution, shared)),
    ):
        fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(file, overwrite=True)
    return _truth(universe, source)


def _table(
    name: str, columns: list[tuple[str, str, str | None, np.ndarray]], **header: Any
) -> fits.BinTableHDU:
    """Return an OGIP table of columns: name, FITS format, unit and values."""
    fields = [fits.Column(label, form, unit, array=values) for label, form, unit, values in columns]
    hdu = fits.BinTableHDU.from_columns(fields, name=name)
    hdu.header.update(HDUCLASS="OGIP", **header)
    return hdu


def _spectrum(channels: np.ndarray, **header: Any) -> fits.BinTableHDU:
    counts = np.zeros(ACIS_CHANNELS, np.int32)
    counts[: len(channels)] = channels
    channel = ("CHANNEL", "J", None, np.arange(1, ACIS_CHANNELS + 1))
    return _table(
        "SPECTRUM", [channel, ("COUNTS", "J", "count", counts)],
        HDUCLAS1="SPECTRUM", HDUCLAS3="COUNT", AREASCAL=1.0, DETCHANS=ACIS_CHANNELS,
        TLMIN1=1, TLMAX1=ACIS_CHANNELS, POISSERR=True, **header,
    )  # fmt: skip


def _energies(edges: np.ndarray) -> list[tuple[str, str, str | None, np.ndarray]]:
    return [("ENERG_LO", "E", "keV", edges[:-1]), ("ENERG_HI", "E", "keV", edges[1:])]


def _area(area: np.ndarray, header: dict[str, Any]) -> fits.BinTableHDU:
    columns = [*_energies(instrument.PHOTON_EDGES), ("SPECRESP", "E", "cm**2", area)]
    return _table("SPECRESP", columns, HDUCLAS1="RESPONSE", HDUCLAS2="SPECRESP", **header)


def _matrix(redistribution: np.ndarray, header: dict[str, Any]) -> list[fits.BinTableHDU]:
    """Write a redistribution (photon energies, channels below 8.2 keV), one group in a row."""
    held = redistribution > _LEAST_REDISTRIBUTED
    first = held.argmax(axis=1)
    count = np.where(held.any(axis=1), held.shape[1] - held[:, ::-1].argmax(axis=1) - first, 0)
    rows = np.empty(len(first), object)
    for number, (start, width) in enumerate(zip(first, count, strict=True)):
        rows[number] = redistribution[number, start : start + width].astype(np.float32)
    header = {"HDUCLAS1": "RESPONSE", "DETCHANS": ACIS_CHANNELS, **header}
    matrix = _table(
        "MATRIX",
        [
            *_energies(instrument.PHOTON_EDGES),
            ("N_GRP", "I", None, (count > 0).astype(np.int16)),
            ("F_CHAN", "I", None, first + 1),
            ("N_CHAN", "I", None, count),
            ("MATRIX", f"PE({count.max()})", None, rows),
        ],
        **header, HDUCLAS2="RSP_MATRIX", HDUCLAS3="REDIST", TLMIN4=1,
    )  # fmt: skip
    bounds = instrument.CHANNEL_EDGES[1] * np.arange(ACIS_CHANNELS + 1)
    channels = [
        ("CHANNEL", "I", None, np.arange(1, ACIS_CHANNELS + 1)),
        ("E_MIN", "E", "keV", bounds[:-1]),
        ("E_MAX", "E", "keV", bounds[1:]),
    ]
    return [matrix, _table("EBOUNDS", channels, **header, HDUCLAS2="EBOUNDS")]


def _truth(universe: Universe, source: int) -> str:
    spectrum = universe.sources.spectra.take(np.array([source]))
    label = class_values("label")[universe.sources.class_index[source]]
    first, shape = int(spectrum.first[0]), float(spectrum.shape[0])
    shape_words = f"photon index {shape:.2f}" if first == POWER_LAW else f"kT {shape:.2f} keV"
    return (
        f"a simulated source of class {label}: {COMPONENTS[first].replace('_', ' ')}, "
        f"{shape_words}, column density {100 * spectrum.nh[0]:.3g}e20 cm⁻²"
    )
