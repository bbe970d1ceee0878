"""Verbal scales, and names of spectral models."""

from __future__ import annotations

from math import inf

from ....source_classes import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW
from ...reporter import WordScale

MODEL_NAMES = {
    POWER_LAW: (
        "<a|an absorbed|a simple> power law",
        "a <simple |featureless |>power-law continuum",
        "<non-thermal|power-law> emission",
    ),
    BLACK_BODY: (
        "a <single |>black body",
        "<thermal|black-body> emission from a hot surface",
        "a <soft|Planckian> black-body component",
    ),
    BREMSSTRAHLUNG: (
        "<thermal|hot> bremsstrahlung",
        "an optically thin bremsstrahlung continuum",
        "<free-free|bremsstrahlung> emission of a thin gas",
    ),
    PLASMA: (
        "<an optically thin|a collisionally ionised> thermal plasma",
        "<line-rich emission|emission lines> of a collisionally ionised plasma",
        "a thermal plasma <model|code such as APEC>",
    ),
    DISK: (
        "a multicolour <accretion |>disc",
        "thermal emission from an accretion disc",
        "a disc black body",
    ),
}
# Hard against soft photon flux, as `Facts.hardness`.
HARDNESS = WordScale(
    (
        (-0.85, "<supersoft<, glowing below 1 keV only|>|<a|a true> supersoft emitter>"),
        (-0.65, "<extremely soft<, with no photons above 2 keV|>|ultrasoft<, and red in X-rays|>>"),
        (
            -0.45,
            "<very soft<, dominated by photons below 1.2 keV|>|clearly soft and thermal-looking>",
        ),
        (-0.25, "<soft<, as unabsorbed sources are|>|moderately soft>"),
        (-0.08, "<slightly soft|somewhat on the soft side>"),
        (0.1, "<neither soft nor hard|of intermediate <hardness|X-ray colour>|balanced in colour>"),
        (0.28, "<slightly hard|a little harder than most>"),
        (0.45, "<moderately hard|rather hard<, with a flat continuum|>>"),
        (0.63, "<hard<, dominated by photons above 2 keV|>|clearly hard and blue in X-rays>"),
        (0.82, "<very hard<, and flat|>|very hard<, with few soft photons|>>"),
        (
            inf,
            "<extremely hard<, seen above 2 keV only|>|among the hardest<, with no soft photons|>>",
        ),
    )
)
# Medium against soft photon flux, as `Facts.medium_soft`: the low-energy end of a spectrum.
LOW_ENERGIES = WordScale(
    (
        (-0.8, "<is all below 1 keV|comes out below 1 keV alone>"),
        (-0.6, "<rises steeply to the lowest energies|climbs steeply below 1 keV>"),
        (-0.42, "<has a strong soft excess|is enhanced below 1 keV>"),
        (-0.25, "<rises gently to low energies|still grows towards 0.5 keV>"),
        (-0.08, "<is level down to the lowest energies|keeps level below 1.5 keV>"),
        (0.12, "<rolls over near 1 keV|bends down around 1 keV>"),
        (0.35, "<is weak below 1.2 keV|fades below 1.2 keV>"),
        (0.6, "<is mostly gone below 1.5 keV|is suppressed below 1.5 keV>"),
        (inf, "<is cut off below 2 keV|vanishes altogether below 2 keV>"),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (0.02, "<no absorption beyond a trace|an unobscured, transparent line of sight>"),
        (0.05, "<very little absorption|hardly any gas in the way>"),
        (0.12, "<little absorption|a thin foreground with weak absorption>"),
        (0.3, "<mild absorption|a mild column of gas>"),
        (0.7, "<moderate absorption|a moderate column of gas and dust>"),
        (1.6, "<strong absorption|a dusty sightline whose gas removes the soft photons>"),
        (4.0, "<heavy obscuration|a thick, heavily obscuring screen>"),
        (12.0, "<very heavy obscuration|a buried emitter behind a very thick torus of gas>"),
        (inf, "<nearly Compton-thick obscuration|a Compton-thick shroud around the source>"),
    )
)
# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (10.0**-14.3, "<extremely faint|one of the faintest known>"),
        (10.0**-13.9, "<very faint|very dim>"),
        (10.0**-13.5, "<faint|rather dim>"),
        (10.0**-13.1, "<of modest brightness|moderately faint>"),
        (10.0**-12.7, "<moderately bright|fairly bright>"),
        (10.0**-12.3, "<bright|clearly bright>"),
        (inf, "<extremely bright|among the brightest X-ray sources known>"),
    )
)
# Counts in an exposure as is usual for the field.
PHOTONS = WordScale(
    (
        (60.0, "<a mere handful of photons|hopelessly few photons>"),
        (120.0, "<fewer than a hundred photons<, which is poor statistics|>|scarce photons>"),
        (240.0, "<<one or two|not quite two> hundred photons|meagre statistics>"),
        (480.0, "<a few hundred photons|acceptable statistics<, of a few hundred photons|>>"),
        (900.0, "<several hundred photons|decent statistics<, with several hundred photons|>>"),
        (1700.0, "<about a thousand photons|good statistics<, with about a thousand photons|>>"),
        (3200.0, "<a couple of thousand photons|rich statistics<, of two thousand photons|>>"),
        (7000.0, "<many thousands of photons|excellent statistics<, with thousands of photons|>>"),
        (inf, "<tens of thousands of photons|superb statistics<, with photons in plenty|>>"),
    )
)
# Photon indices.
SLOPES = WordScale(
    (
        (1.1, "<very flat|inverted and flat>"),
        (1.45, "<flat|rather flat>"),
        (1.75, "<of canonical slope|of ordinary slope>"),
        (2.05, "<of slope near two|of the slope that most have>"),
        (2.5, "<steep|rather steep>"),
        (inf, "<very steep|exceptionally steep>"),
    )
)
# Temperatures, keV.
TEMPERATURES = WordScale(
    (
        (0.12, "<extremely cool|barely warm enough for X-rays>"),
        (0.25, "<very cool|cool>"),
        (0.45, "<lukewarm|rather cool>"),
        (0.75, "<warm|of several million kelvin>"),
        (1.3, "<fairly hot|of ten million kelvin or so>"),
        (3.0, "<hot|of tens of millions of kelvin>"),
        (8.0, "<very hot|hot as in clusters of galaxies>"),
        (inf, "<extremely hot|too hot for Chandra to measure well>"),
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
