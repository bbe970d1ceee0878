"""Word scales of the proposal."""

from __future__ import annotations

from math import inf

from ...reporter import WordScale

# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (2.5e-15, "<among the faintest objects of its field|out of reach of smaller telescopes>"),
        (1.2e-14, "<faint, but within reach|detectable only in long exposures>"),
        (6e-14, "<well detected in shallow exposures|not bright, but feasible>"),
        (3e-13, "<bright enough for spectroscopy|comfortably bright>"),
        (inf, "<so bright that pile-up must be watched|one of the brightest targets available>"),
    )
)
HARDNESS = WordScale(
    (
        (-0.7, "<supersoft|ultra-soft>"),
        (-0.3, "<soft|on the soft side>"),
        (0.2, "<of average colour|medium-hard>"),
        (0.6, "<hard|on the hard side>"),
        (inf, "<extremely hard|hard enough for NuSTAR>"),
    )
)
SOFT_END = WordScale(
    (
        (-0.5, "<most photons arrive below 1 keV|the soft band dominates>"),
        (0.0, "<soft photons are plentiful|the soft band is well exposed>"),
        (0.4, "<soft photons are sparse|the soft band is weak>"),
        (inf, "<hardly any soft photon is seen|the soft band is empty>"),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (0.08, "<hardly absorbed|on a clean line of sight>"),
        (0.6, "<slightly absorbed|behind a thin screen>"),
        (4.0, "<absorbed|behind a thick screen>"),
        (25.0, "<obscured|behind an opaque screen>"),
        (inf, "<heavily obscured|a Compton-thick candidate>"),
    )
)
COLUMN = WordScale(
    (
        (0.015, "about 1e20 cm^-2 or less"),
        (0.06, "a few 1e20 cm^-2"),
        (0.17, "about 1e21 cm^-2"),
        (0.7, "a few 1e21 cm^-2"),
        (1.7, "about 1e22 cm^-2"),
        (7.0, "a few 1e22 cm^-2"),
        (17.0, "about 1e23 cm^-2"),
        (70.0, "a few 1e23 cm^-2"),
        (inf, "about 1e24 cm^-2"),
    )
)
SLOPE = WordScale(
    (
        (1.0, "<extremely flat|almost inverted>"),
        (1.5, "<flat|flatter than usual>"),
        (2.2, "<ordinary|near the average>"),
        (inf, "<steep|steeper than usual>"),
    )
)
HEAT = WordScale(
    (
        (0.2, "<a supersoft emitter|gas at 100-200 eV or below>"),
        (0.7, "<a soft emitter|sub-keV temperatures>"),
        (2.0, "<temperatures near 1 keV|keV temperatures>"),
        (inf, "<a hard thermal emitter|temperatures of several keV>"),
    )
)
COUNTS = WordScale(
    (
        (50.0, "<a few dozen counts|fewer than 50 counts>"),
        (160.0, "<about 100 counts|of order 100 counts>"),
        (450.0, "<some 300 counts|a few hundred counts>"),
        (1600.0, "<about 1000 counts|of order 1000 counts>"),
        (6000.0, "<several thousand counts|thousands of counts>"),
        (inf, "<over 6000 counts|more than 6000 counts>"),
    )
)
# Columns in the names of active nuclei, and hardness in those of sources without a class.
NUCLEUS = WordScale(
    (
        (1.0, "<unabsorbed|lightly absorbed> supermassive black hole"),
        (15.0, "<absorbed AGN|AGN behind gas>"),
        (inf, "<very obscured AGN|hidden AGN|Compton-thick AGN candidate>"),
    )
)
NAMELESS = WordScale(
    (
        (-0.6, "<unidentified supersoft object|mysterious soft source>"),
        (0.5, "<puzzling|enigmatic> X-ray source"),
        (inf, "<unidentified hard object|mysterious hard source>"),
    )
)

__all__ = [
    "ABSORPTION",
    "BRIGHTNESS",
    "COLUMN",
    "COUNTS",
    "HARDNESS",
    "HEAT",
    "NAMELESS",
    "NUCLEUS",
    "SLOPE",
    "SOFT_END",
]
