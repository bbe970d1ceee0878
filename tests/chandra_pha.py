"""Writer of a small Chandra ACIS spectrum file, shared by the tests of several folders."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

CHANNELS = 1024


def write_arf(path: Path, area: float = 400.0) -> Path:
    """Write a flat effective area (cm²); beside a spectrum of the same stem it goes with it."""
    edges = np.linspace(0.2, 10.0, 99)
    columns = {"ENERG_LO": edges[:-1], "ENERG_HI": edges[1:], "SPECRESP": np.full(98, area)}
    fits.BinTableHDU(Table(columns, dtype=["f4"] * 3), name="SPECRESP").writeto(path)
    return path


def write_pha(path: Path, counts: np.ndarray, exposure: float = 20_000.0, **header: object) -> Path:
    """Write a PHA file with its background in the same file, as the catalogue has it."""
    hdus = [fits.PrimaryHDU()]
    for name, values, hduclas2, backscal in (
        ("SPECTRUM1", counts, "TOTAL", 1e-6),
        ("SPECTRUM2", np.full(CHANNELS, 2), "BKG", 2e-5),
    ):
        columns = {"CHANNEL": np.arange(1, CHANNELS + 1), "COUNTS": values}
        hdu = fits.BinTableHDU(Table(columns, dtype=["i4", "i4"]), name="SPECTRUM")
        hdu.header.update(
            HDUNAME=name, HDUCLASS="OGIP", HDUCLAS1="SPECTRUM", HDUCLAS2=hduclas2, CHANTYPE="PI",
            TELESCOP="CHANDRA", INSTRUME="ACIS", DETNAM="ACIS-7", OBJECT="Test source",
            OBS_ID="1234", EXPOSURE=exposure, BACKSCAL=backscal, AREASCAL=1.0, DETCHANS=CHANNELS,
            TLMIN1=1, TLMAX1=CHANNELS, POISSERR=True, BACKFILE=path.name,
            RESPFILE="none", ANCRFILE="none",
        )  # fmt: skip
        hdu.header.update(header)
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


def write_spectra(folder: Path) -> list[Path]:
    """Write three spectra, from soft to hard."""
    draw, channels = np.random.default_rng(0).poisson, np.arange(CHANNELS)
    return [
        write_pha(folder / f"{i}.pha", draw(4 * np.exp(-channels / (100 * (i + 1)))))
        for i in range(3)
    ]
