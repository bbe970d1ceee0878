"""Instrument identity: telescope, camera, grating, and what its channels can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ACIS_CHANNELS", "ACIS_PI_CHANNEL_KEV", "DISPERSED", "Instrument", "identify"]

ACIS_PI_CHANNEL_KEV = 0.0146
"""Width of a Chandra ACIS PI channel of an imaging spectrum; channel 1 begins at 0 keV (CIAO)."""
ACIS_CHANNELS = 1024
"""Number of PI channels of such a spectrum; dispersed spectra of ACIS have 8,192."""
DISPERSED = "dispersed"
"""Order of a dispersed spectrum whose arm and order are not stated."""


class _Camera(NamedTuple):
    """Camera in the table: how its names begin, and keV in which it is usually fitted.

    Attributes:
        names: beginnings of INSTRUME or DETNAM, in upper case; "" for any.
        band: keV; None for a detector without energy resolution of its own.
        dispersive: a grating stands before it always.
    """

    names: tuple[str, ...]
    band: tuple[float, float] | None
    dispersive: bool = False


# Telescopes by the beginning of TELESCOP, in upper case. Bands are those of the instruments' own
# analysis guides.
_TELESCOPES: Mapping[tuple[str, ...], tuple[_Camera, ...]] = {
    ("CHANDRA", "AXAF"): (_Camera(("HRC",), None), _Camera(("",), (0.5, 7.0))),
    ("XMM",): (
        _Camera(("RGS",), (0.35, 2.5), dispersive=True),
        _Camera(("OM",), None),
        _Camera(("",), (0.3, 10.0)),
    ),
    ("ROSAT",): (_Camera(("HRI", "WFC"), None), _Camera(("",), (0.1, 2.4))),
    ("EP", "EINSTEIN PROBE", "LEIA"): (_Camera(("WXT",), (0.5, 4.0)), _Camera(("",), (0.3, 10.0))),
    ("EINSTEIN", "HEAO-2", "HEAO2"): (_Camera(("HRI",), None), _Camera(("",), (0.2, 3.5))),
    ("EXOSAT",): (_Camera(("LE", "CMA"), None), _Camera(("",), (1.5, 15.0))),
    ("SWIFT",): (
        _Camera(("UVOT",), None),
        _Camera(("BAT",), (14.0, 195.0)),
        _Camera(("",), (0.3, 10.0)),
    ),
    ("NUSTAR",): (_Camera(("",), (3.0, 79.0)),),
    ("SUZAKU", "ASTRO-E2"): (_Camera(("HXD",), (12.0, 70.0)), _Camera(("",), (0.5, 10.0))),
    ("ASCA", "ASTRO-D"): (_Camera(("",), (0.6, 10.0)),),
    ("BEPPOSAX", "SAX"): (_Camera(("PDS",), (15.0, 200.0)), _Camera(("",), (0.6, 10.0))),
    ("XTE", "RXTE"): (_Camera(("HEXTE",), (20.0, 200.0)), _Camera(("",), (3.0, 25.0))),
    ("XRISM", "HITOMI", "ASTRO-H"): (_Camera(("",), (0.4, 12.0)),),
    ("NICER",): (_Camera(("",), (0.3, 10.0)),),
    ("SRG", "EROSITA"): (_Camera(("",), (0.2, 8.0)),),
    ("IXPE",): (_Camera(("",), (2.0, 8.0)),),
    ("INTEGRAL",): (
        _Camera(("OMC",), None),
        _Camera(("JMX", "JEM"), (3.0, 35.0)),
        _Camera(("",), (20.0, 200.0)),
    ),
    ("FERMI", "GLAST"): (_Camera(("",), (8.0, 40_000.0)),),
}
_USUAL_BAND = (0.5, 7.0)
_UNKNOWN = _Camera(("",), _USUAL_BAND)
_NO_GRATING = ("", "NONE", "UNKNOWN", "N/A")


@dataclass(frozen=True)
class Instrument:
    """Instrument of a spectrum.

    Attributes:
        name: for messages, such as ``CHANDRA ACIS HETG``; empty where the file names none.
        chandra: of the Chandra X-ray Observatory.
        imaging_ccd: an ACIS spectrum taken without dispersion, which models are trained on; also
            where nothing is stated.
        stated: telescope or camera is named.
        stated_camera: the camera is named.
        resolves_energies: channels tell energies; False for a microchannel plate such as HRC
            without a grating.
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
    # Without a telescope the camera is looked for among Chandra's, the first of the table.
    known = next(
        (
            table
            for names, table in _TELESCOPES.items()
            if telescope_word.startswith(names) or not telescope_word
        ),
        (_UNKNOWN,),
    )
    # A detector may be named by either keyword; the one that resolves least decides.
    named = [(_camera_of(known, word), word) for word in (camera_word, detector_word) if word]
    named = named or [(_camera_of(known, ""), "")]
    entry, camera = next((each for each in named if each[0].band is None), named[0])
    in_beam = None if grating_word in _NO_GRATING else grating_word
    wide = chandra and in_beam is not None and (channels or 0) > ACIS_CHANNELS
    dispersed = order is not None or entry.dispersive or wide
    acis = (chandra or not telescope_word) and entry.band is not None
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
        resolves_energies=entry.band is not None or dispersed,
        dispersed=dispersed,
        grating=in_beam,
        band=entry.band or _USUAL_BAND,
    )


def _camera_of(table: tuple[_Camera, ...], word: str) -> _Camera:
    return next((each for each in table if word.startswith(each.names)), _UNKNOWN)
