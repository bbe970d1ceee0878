"""Writer of extracted spectra as OGIP PHA files (type I, counts in PI channels)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import SpecCLIPError
from ...storage import atomic_file
from ...version import __version__
from ..ogip.pha_table import VARIABILITY_KEYWORDS
from .extract import Extraction, RegionSpectrum

# Keywords of the event file that a spectrum keeps.
_COPIED = (
    *("TELESCOP", "INSTRUME", "DETNAM", "FILTER", "GRATING", "DATAMODE", "OBJECT", "OBS_ID"),
    *("OBI_NUM", "DATE-OBS", "DATE-END", "MJDREF", "MJDREFI", "MJDREFF", "TIMEZERO", "TIMESYS"),
    *("TIMEUNIT", "TIMEDEL", "RA_TARG", "DEC_TARG", "RA_OBJ", "DEC_OBJ", "RA_NOM", "DEC_NOM"),
)


def write_extraction(extraction: Extraction, path: Path) -> list[Path]:
    """Write the spectrum, and `…_bkg` beside it where there is a background; return the paths.

    Raises SpecCLIPError for the path of the event file itself.
    """
    paths = [path]
    if extraction.background is not None:
        paths.append(path.with_name(f"{path.stem}_bkg{path.suffix}"))
    source = Path(extraction.events.file.path).resolve()
    if any(each.resolve() == source for each in paths):
        raise SpecCLIPError(f"{source} is the event file: choose another output")
    spectra = [each for each in (extraction.source, extraction.background) if each is not None]
    for target, spectrum in reversed(list(zip(paths, spectra, strict=True))):
        _write(extraction, spectrum, target, paths)
    return paths


def _write(extraction: Extraction, spectrum: RegionSpectrum, path: Path, paths: list[Path]) -> None:
    from astropy.io import fits

    channels = extraction.first_channel + np.arange(len(spectrum.counts))
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "J", array=channels),
            fits.Column("COUNTS", "J", unit="count", array=spectrum.counts),
        ],
        name="SPECTRUM",
    )
    header, events = table.header, extraction.events
    is_source = spectrum is extraction.source
    # As CIAO has it, in shares of the sky image; its reference pixel is the middle.
    side = 2.0 * abs(events.sky.wcs.wcs.crpix[0]) - 1.0
    sky_area = side**2 if side > 100.0 else 8192.0**2
    header.update(
        HDUCLASS="OGIP", HDUCLAS1="SPECTRUM", HDUCLAS2="TOTAL" if is_source else "BKG",
        HDUCLAS3="COUNT", HDUVERS="1.2.1", CHANTYPE="PI", DETCHANS=len(channels),
        TLMIN1=int(channels[0]), TLMAX1=int(channels[-1]), EXPOSURE=spectrum.exposure,
        BACKSCAL=spectrum.region.area / sky_area, AREASCAL=1.0, CORRSCAL=0.0,
        BACKFILE=paths[1].name if is_source and len(paths) > 1 else "none",
        CORRFILE="none", RESPFILE="none", ANCRFILE="none", POISSERR=True, QUALITY=0, GROUPING=0,
        SYS_ERR=0, TOTCTS=int(spectrum.counts.sum()), CREATOR=f"specclip {__version__}",
    )  # fmt: skip
    if events.camera.group > 1:
        header["SPECDELT"] = (events.camera.group, "PI channels in a channel")
    for key in _COPIED:
        if (value := events.header.get(key)) is not None:
            header[key] = _ascii(value) if isinstance(value, str) else value
    header["RA"] = (extraction.position.ra.deg, "source region, ICRS, deg")
    header["DEC"] = (extraction.position.dec.deg, "source region, ICRS, deg")
    if is_source:
        measured = extraction.variability
        header["TSTART"] = (measured.start, "first good time, s")
        header["TSTOP"] = (measured.start + measured.length, "last good time, s")
        about = {"counts": measured.counts, "length_s": measured.length, **measured.columns}
        for name, value in about.items():
            header[VARIABILITY_KEYWORDS[name]] = (value, f"{name} of events at 0.5-7 keV")
    header["HISTORY"] = _ascii(f"region: {spectrum.region.text}")
    header["HISTORY"] = _ascii(f"events: {Path(events.file.path).name}")
    with atomic_file(path) as partial:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(partial, checksum=True, overwrite=True)


def _ascii(text: str) -> str:
    """Return a text as a FITS header holds it."""
    return text.replace("″", " arcsec").replace("–", "-").encode("ascii", "replace").decode()
