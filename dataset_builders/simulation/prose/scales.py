"""Verbal scales, and names of spectral models."""

from __future__ import annotations

from math import inf

from ..source_classes import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW
from .reporter import WordScale

MODEL_NAMES = {
    POWER_LAW: ("a power law", "an absorbed power law"),
    BLACK_BODY: ("a black body", "black-body emission"),
    BREMSSTRAHLUNG: ("thermal bremsstrahlung", "bremsstrahlung of a thin gas"),
    PLASMA: ("a thermal plasma", "a collisionally ionised plasma"),
    DISK: ("an accretion disc", "a multicolour accretion disc"),
}
# Hard against soft photon flux, as `Facts.hardness`.
HARDNESS = WordScale(
    (
        (-0.85, "supersoft"),
        (-0.65, "extremely soft"),
        (-0.45, "very soft"),
        (-0.25, "moderately soft"),
        (-0.08, "slightly soft"),
        (0.1, "neither soft nor hard"),
        (0.28, "slightly hard"),
        (0.45, "moderately hard"),
        (0.63, "clearly hard"),
        (0.82, "very hard"),
        (inf, "extremely hard"),
    )
)
# Medium against soft photon flux, as `Facts.medium_soft`: the low-energy end of a spectrum.
LOW_ENERGIES = WordScale(
    (
        (-0.8, "is all below 1 keV"),
        (-0.6, "rises steeply"),
        (-0.42, "has a strong soft excess"),
        (-0.25, "rises gently"),
        (-0.08, "is level"),
        (0.12, "rolls over near 1 keV"),
        (0.35, "is weak below 1.2 keV"),
        (0.6, "is mostly gone below 1.5 keV"),
        (inf, "is cut off below 2 keV"),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (0.02, "no absorption beyond a trace"),
        (0.05, "very little absorption"),
        (0.12, "little absorption"),
        (0.3, "mild absorption"),
        (0.7, "moderate absorption"),
        (1.6, "strong absorption"),
        (4.0, "heavy obscuration"),
        (12.0, "very heavy obscuration"),
        (inf, "nearly Compton-thick obscuration"),
    )
)
# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (10.0**-14.3, "extremely faint"),
        (10.0**-13.9, "very faint"),
        (10.0**-13.5, "faint"),
        (10.0**-13.1, "of modest brightness"),
        (10.0**-12.7, "moderately bright"),
        (10.0**-12.3, "bright"),
        (inf, "extremely bright"),
    )
)
# Counts in an exposure as is usual for the field.
PHOTONS = WordScale(
    (
        (60.0, "a mere handful of photons"),
        (120.0, "fewer than a hundred photons"),
        (240.0, "one or two hundred photons"),
        (480.0, "a few hundred photons"),
        (900.0, "several hundred photons"),
        (1700.0, "about a thousand photons"),
        (3200.0, "a couple of thousand photons"),
        (7000.0, "many thousands of photons"),
        (inf, "tens of thousands of photons"),
    )
)
# Photon indices.
SLOPES = WordScale(
    (
        (1.1, "very flat"),
        (1.45, "flat"),
        (1.75, "of canonical slope"),
        (2.05, "of slope near two"),
        (2.5, "steep"),
        (inf, "very steep"),
    )
)
# Temperatures, keV.
TEMPERATURES = WordScale(
    (
        (0.12, "extremely cool"),
        (0.25, "very cool"),
        (0.45, "lukewarm"),
        (0.75, "warm"),
        (1.3, "fairly hot"),
        (3.0, "hot"),
        (8.0, "very hot"),
        (inf, "extremely hot"),
    )
)

__all__ = [
    "ABSORPTION",
    "BRIGHTNESS",
    "HARDNESS",
    "LOW_ENERGIES",
    "MODEL_NAMES",
    "PHOTONS",
    "SLOPES",
    "TEMPERATURES",
]
