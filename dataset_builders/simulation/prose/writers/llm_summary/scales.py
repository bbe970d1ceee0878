"""Verbal scales of the writer."""

from math import inf

from ...reporter import WordScale

# Hard against soft photon flux.
COLOUR = WordScale(
    (
        (-0.8, "<supersoft|ultrasoft>"),
        (-0.5, "very soft"),
        (-0.15, "<relatively |>soft"),
        (0.2, "<of intermediate hardness|neither particularly soft nor hard>"),
        (0.5, "<relatively |fairly >hard"),
        (inf, "<very|notably|exceptionally> hard"),
    )
)
# Medium against soft photon flux.
SOFT_END = WordScale(
    (
        (-0.7, "dominated by photons below <about |>1 keV"),
        (-0.35, "<enhanced|strong> at low energies"),
        (0.0, "<smooth|largely unabsorbed> down to low energies"),
        (0.4, "<suppressed|attenuated> at low energies"),
        (inf, "<strongly suppressed|almost absent> below <about |>1.5 keV"),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (0.04, "<negligible|little or no> absorption"),
        (0.15, "<low|weak> absorption<, comparable to the Galactic value|>"),
        (0.6, "<moderate|modest> absorption"),
        (2.5, "significant <absorption|obscuration>"),
        (15.0, "heavy <absorption|obscuration>"),
        (80.0, "<extremely |very >heavy obscuration"),
        (inf, "<near Compton-thick|Compton-thick or nearly so> obscuration"),
    )
)
# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (1.5e-14, "<faint|relatively faint>"),
        (8e-14, "of <moderate|intermediate> <flux|brightness>"),
        (5e-13, "<relatively|fairly|moderately> bright"),
        (inf, "<bright|exceptionally bright>"),
    )
)
# Photon indices.
SLOPE = WordScale(
    (
        (1.3, "<a hard|a flat, hard> power-law <slope|continuum>"),
        (1.65, "a <relatively hard|somewhat flat> power-law <slope|continuum>"),
        (2.1, "a <typical|canonical|standard> power-law <slope|continuum>"),
        (2.7, "a <steep|soft> power-law <slope|continuum>"),
        (inf, "a very <steep|soft> power-law <slope|continuum>"),
    )
)
# Temperatures, keV.
HEAT = WordScale(
    (
        (0.15, "an <extremely|exceptionally> low temperature"),
        (0.4, "a <low|relatively cool> temperature"),
        (1.0, "a sub-keV temperature"),
        (3.0, "a <temperature of a few keV|moderately high temperature>"),
        (9.0, "a high temperature"),
        (inf, "a very high temperature<, above 10 keV or so|>"),
    )
)
# Counts in an exposure as is usual for the field.
DEPTH = WordScale(
    (
        (100.0, "limited to <fewer than|under> 100 counts"),
        (400.0, "based on a few hundred counts"),
        (1500.0, "<based on|drawn from> <several hundred|about a thousand> counts"),
        (6000.0, "of good <statistical |>quality, with thousands of counts"),
        (inf, "of excellent quality, with a very large number of counts"),
    )
)

__all__ = ["ABSORPTION", "BRIGHTNESS", "COLOUR", "DEPTH", "HEAT", "SLOPE", "SOFT_END"]
