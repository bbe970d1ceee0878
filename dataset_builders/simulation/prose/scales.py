"""Scales in words, and how models of spectra are called."""

from __future__ import annotations

from math import inf

from ..populations import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW
from .reporter import WordScale

MODEL_NAMES = {
    POWER_LAW: ("a power law", "an absorbed power law", "a simple power-law continuum"),
    BLACK_BODY: ("a black body", "thermal emission from a hot surface", "a soft thermal component"),
    BREMSSTRAHLUNG: ("thermal bremsstrahlung", "an optically thin bremsstrahlung continuum"),
    PLASMA: (
        "optically thin thermal plasma",
        "emission lines of a collisionally ionised plasma",
        "a thermal plasma model",
    ),
    DISK: (
        "a multicolour disc",
        "thermal emission from an accretion disc",
        "a disc black body",
    ),
}
# Hard against soft photon flux, as `Facts.hardness`.
HARDNESS = WordScale(
    (
        (
            -0.8,
            ("supersoft, glowing below 1 keV only", "extremely soft, with no photons above 2 keV"),
        ),
        (-0.5, ("very soft and thermal-looking", "soft, dominated by photons below 1.2 keV")),
        (-0.2, ("moderately soft", "somewhat soft, as unabsorbed sources are")),
        (0.1, ("neither soft nor hard", "of intermediate hardness", "of average X-ray colours")),
        (0.45, ("moderately hard", "somewhat hard", "harder than most")),
        (0.8, ("very hard and flat", "hard, dominated by photons above 2 keV")),
        (inf, ("extremely hard, seen above 2 keV only", "among the hardest, with no soft photons")),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (
            0.03,
            ("no absorption beyond a trace", "an unobscured, transparent line of sight"),
        ),
        (0.12, ("little absorption", "a thin foreground with weak absorption")),
        (0.5, ("moderate absorption", "a moderate column of gas and dust")),
        (2.0, ("strong absorption", "a dusty sightline whose gas removes the soft photons")),
        (10.0, ("heavy obscuration", "a buried emitter behind very heavy absorption")),
        (
            inf,
            (
                "extreme, nearly Compton-thick obscuration",
                "a Compton-thick shroud around the source",
            ),
        ),
    )
)
# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (
            10.0**-14.3,
            ("extremely faint, at the detection limit", "barely detected, one of the faintest"),
        ),
        (10.0**-13.8, ("very faint, with few photons", "a dim source that needs deep exposures")),
        (10.0**-13.4, ("faint", "rather dim")),
        (10.0**-13.0, ("of modest brightness", "moderately faint")),
        (10.0**-12.6, ("moderately bright", "fairly bright")),
        (10.0**-12.1, ("bright, with good photon statistics", "bright and easily detected")),
        (
            inf,
            ("extremely bright, with superb statistics", "among the brightest X-ray sources known"),
        ),
    )
)

__all__ = ["ABSORPTION", "BRIGHTNESS", "HARDNESS", "MODEL_NAMES"]
