"""Instrument of a spectrum: telescope, camera, grating and energy resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ACIS_PI_CHANNEL_KEV = 0.0146
"""Width of a Chandra ACIS PI channel of an imaging spectrum; channel 1 begins at 0 keV (CIAO)."""
ACIS_CHANNELS = 1024
"""Number of PI channels of such a spectrum; dispersed spectra of ACIS have 8,192."""
DISPERSED = "dispersed"
"""Order of a dispersed spectrum whose arm and order are not stated."""


# Telescopes by the beginnings of TELESCOP, their cameras by those of INSTRUME or DETNAM ("" for
# any), in upper case. Bands (keV) are those of the instruments' own analysis guides; None for a
# detector without energy resolution of its own.
_TELESCOPES: Mapping[tuple[str, ...], Mapping[str, tuple[float, float] | None]] = {
    ("CHANDRA", "AXAF"): {"HRC": None, "": (0.5, 7.0)},
    ("XMM",): {"RGS": (0.35, 2.5), "OM": None, "": (0.3, 10.0)},
    ("ROSAT",): {"HRI": None, "WFC": None, "": (0.1, 2.4)},
    ("EP", "EINSTEIN PROBE", "LEIA"): {"WXT": (0.5, 4.0), "": (0.3, 10.0)},
    ("EINSTEIN", "HEAO-2", "HEAO2"): {"HRI": None, "": (0.2, 3.5)},
    ("EXOSAT",): {"LE": None, "CMA": None, "": (1.5, 15.0)},
    ("SWIFT",): {"UVOT": None, "BAT": (14.0, 195.0), "": (0.3, 10.0)},
    ("NUSTAR",): {"": (3.0, 79.0)},
    ("SUZAKU", "ASTRO-E2"): {"HXD": (12.0, 70.0), "": (0.5, 10.0)},
    ("ASCA", "ASTRO-D"): {"": (0.6, 10.0)},
    ("BEPPOSAX", "SAX"): {"PDS": (15.0, 200.0), "": (0.6, 10.0)},
    ("XTE", "RXTE"): {"HEXTE": (20.0, 200.0), "": (3.0, 25.0)},
    ("XRISM", "HITOMI", "ASTRO-H"): {"": (0.4, 12.0)},
    ("NICER",): {"": (0.3, 10.0)},
    ("SRG", "EROSITA"): {"": (0.2, 8.0)},
    ("IXPE",): {"": (2.0, 8.0)},
    ("INTEGRAL",): {"OMC": None, "JMX": (3.0, 35.0), "JEM": (3.0, 35.0), "": (20.0, 200.0)},
    ("FERMI", "GLAST"): {"": (8.0, 40_000.0)},
}
_USUAL_BAND = (0.5, 7.0)
_NO_GRATING = ("", "NONE", "UNKNOWN", "N/A")


@dataclass(frozen=True)
class Instrument:
    """Instrument of a spectrum.

    Attributes:
        name: for messages, such as ``CHANDRA ACIS HETG``; empty where the file names none.
        chandra: of the Chandra X-ray Observatory.
        imaging_ccd: undispersed ACIS spectrum, as the models are trained on; also assumed if the
            file names no instrument.
        stated: telescope or camera is named.
        stated_camera: the camera is named.
        resolves_energies: False for a detector without energy resolution, such as HRC, unless
            behind a grating.
        dispersed: spectrum behind a grating, its energies from wavelengths.
        grating: in the beam, dispersed or not; None without one.
        band: keV in which its spectra are usually fitted.
    """

    name: str
    chandra: bool
    imaging_ccd: bool
    stated: bool
    stated_camera: bool
    resolves_energies: bool
    dispersed: bool
    grating: str | None
    band: tuple[float, float]


def identify(
    telescope: str | None = None,
    instrument: str | None = None,
    detector: str | None = None,
    grating: str | None = None,
    order: str | None = None,
    channels: int | None = None,
) -> Instrument:
    """Return the instrument that the keywords of a file name.

    Args:
        telescope: TELESCOP.
        instrument: INSTRUME.
        detector: DETNAM.
        grating: GRATING.
        order: arm and order of a dispersed spectrum, None for an undispersed one.
        channels: number of channels; Chandra's dispersed spectra have more than imaging ones.
    """
    words = [(text or "").strip().upper() for text in (telescope, instrument, detector, grating)]
    telescope_word, camera_word, detector_word, grating_word = words
    chandra = telescope_word.startswith(("CHANDRA", "AXAF"))
    # Without a telescope the camera is looked for among Chandra's.
    telescope_named = telescope_word or "CHANDRA"
    tables = (bands for names, bands in _TELESCOPES.items() if telescope_named.startswith(names))
    bands = next(tables, {"": _USUAL_BAND})
    # A detector may be named by either keyword; the one that resolves least decides.
    named = [
        (word, next(band for name, band in bands.items() if word.startswith(name)))
        for word in ([each for each in (camera_word, detector_word) if each] or [""])
    ]
    camera, band = next((each for each in named if each[1] is None), named[0])
    in_beam = None if grating_word in _NO_GRATING else grating_word
    rgs = telescope_word.startswith("XMM") and camera.startswith("RGS")  # always behind its grating
    wide = chandra and in_beam is not None and (channels or 0) > ACIS_CHANNELS
    dispersed = order is not None or rgs or wide
    acis = (chandra or not telescope_word) and band is not None
    # A detector alone is a column of a dataset: a chip in the words of whoever made it.
    if camera_word or (telescope_word and detector_word):
        acis = acis and any(word.startswith("ACIS") for word in (camera_word, detector_word))
    name = [telescope, camera, in_beam, order if order != DISPERSED else None]
    return Instrument(
        name=" ".join(str(part).strip() for part in name if part),
        chandra=chandra,
        imaging_ccd=acis and not dispersed,
        stated=bool(telescope_word or camera_word or detector_word),
        stated_camera=bool(camera_word or detector_word),
        resolves_energies=band is not None or dispersed,
        dispersed=dispersed,
        grating=in_beam,
        band=band or _USUAL_BAND,
    )
