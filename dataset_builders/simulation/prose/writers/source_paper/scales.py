"""Word scales of the abstract."""

from __future__ import annotations

from math import inf

from ...reporter import WordScale

# Fluxes, 0.5–7 keV, erg/cm²/s.
BRIGHTNESS = WordScale(
    (
        (4e-15, "<barely detected|close to the detection limit>"),
        (2.5e-14, "<faint|of low flux>"),
        (1.2e-13, "<of intermediate flux|moderately faint>"),
        (7e-13, "<relatively bright|among the brighter sources of its kind>"),
        (inf, "<very bright|remarkably bright>"),
    )
)
HARDNESS = WordScale(
    (
        (-0.8, "<extremely soft|confined to energies below about 1 keV>"),
        (-0.4, "<soft|dominated by soft photons>"),
        (0.05, "<neither particularly soft nor hard|of intermediate hardness>"),
        (0.4, "<hard|rather hard>"),
        (inf, "<very hard|dominated by photons above 2 keV>"),
    )
)
SOFT_END = WordScale(
    (
        (-0.6, "<a strong excess below 1 keV|a steep upturn towards the lowest energies>"),
        (-0.2, "<some excess emission below 1 keV|a mild upturn at low energies>"),
        (0.2, "<no marked feature at low energies|a featureless low-energy continuum>"),
        (0.55, "<a deficit of soft photons|a low-energy turnover>"),
        (inf, "<a sharp low-energy cutoff|practically no photons below 1 keV>"),
    )
)
# Columns, 1e22 cm⁻².
ABSORPTION = WordScale(
    (
        (0.04, "<essentially unabsorbed|free of significant absorption>"),
        (0.25, "<mildly absorbed|seen through a modest column>"),
        (1.0, "<moderately absorbed|seen through a considerable column>"),
        (8.0, "<strongly absorbed|obscured by cold gas>"),
        (50.0, "<heavily obscured|deeply buried behind cold gas>"),
        (inf, "<nearly Compton thick|close to the Compton-thick regime>"),
    )
)
SLOPE = WordScale(
    (
        (1.2, "<very hard|unusually flat>"),
        (1.6, "<hard|flat>"),
        (2.0, "<typical|of canonical index>"),
        (2.7, "<soft|steep>"),
        (inf, "<very soft|unusually steep>"),
    )
)
HEAT = WordScale(
    (
        (0.15, "<very cool|very low-temperature>"),
        (0.5, "<cool|low-temperature>"),
        (1.5, "<moderately warm|intermediate-temperature>"),
        (5.0, "<hot|high-temperature>"),
        (inf, "<very hot|very high-temperature>"),
    )
)
COUNTS = WordScale(
    (
        (80.0, "<a few tens of|only some tens of> counts"),
        (250.0, "<of order a hundred|one to two hundred> counts"),
        (1000.0, "several hundred counts"),
        (5000.0, "<a few thousand|thousands of> counts"),
        (inf, "<more than five thousand|many thousands of> counts"),
    )
)
# Columns in the names of active nuclei, and hardness in those of sources without a class.
NUCLEUS = WordScale(
    (
        (0.4, "<unobscured|X-ray unobscured> AGN"),
        (1.2, "<mildly absorbed AGN|AGN with little obscuration>"),
        (60.0, "<obscured AGN|X-ray obscured AGN|absorbed active nucleus>"),
        (inf, "<Compton-thick AGN|heavily buried AGN>"),
    )
)
NAMELESS = WordScale(
    (
        (-0.75, "<supersoft source|ultrasoft X-ray source>"),
        (-0.25, "<soft X-ray source of unknown nature|unidentified soft source>"),
        (0.45, "<unclassified X-ray source|X-ray source of unknown nature>"),
        (inf, "<hard X-ray source without identification|unidentified hard source>"),
    )
)

__all__ = [
    "ABSORPTION",
    "BRIGHTNESS",
    "COUNTS",
    "HARDNESS",
    "HEAT",
    "NAMELESS",
    "NUCLEUS",
    "SLOPE",
    "SOFT_END",
]
