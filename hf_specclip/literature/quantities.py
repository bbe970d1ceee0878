"""Physical quantities read from scientific prose, as numbers.

A sentence embedding hardly encodes a stated value, because its tokens split the digits. Here the
value, its unit and its kind are read by regular expressions.
"""

from __future__ import annotations

import math
import re

# A number, with a power of ten as papers or plain text write it.
_MINUS = "−–-"
_NUMBER = (
    r"(?<![\w.])(?P<mantissa>\d+(?:\.\d+)?)"
    rf"(?:\s*(?:×|x|\\times)\s*10\s*\^?\s*\{{?(?P<power>[+{_MINUS}]?\d+)\}}?"
    rf"|[eE](?P<exponent>[+{_MINUS}]?\d+))?"
)
_ERROR = r"(?:\s*(?:±|\+/-|\\pm)\s*\d+(?:\.\d+)?)?"
_PER_CM2 = rf"cm\s*\^?\s*\{{?[{_MINUS}]\s*2\}}?"
_PER_S = rf"s\s*\^?\s*\{{?[{_MINUS}]\s*1\}}?"
_ERG_PER_S = rf"ergs?\s*(?:/\s*s(?:ec)?\b|{_PER_S})"
_FLUX = (
    rf"(?:ergs?\s*/\s*\(?\s*cm\^?\{{?2\}}?\s*[/\s]\s*s\)?|ergs?\s*/\s*s\s*/\s*cm\^?\{{?2\}}?"
    rf"|ergs?\s*{_PER_CM2}\s*{_PER_S}|{_ERG_PER_S}\s*{_PER_CM2})"
)


def _with_unit(unit: str) -> re.Pattern[str]:
    return re.compile(rf"{_NUMBER}{_ERROR}\s*{unit}")


def _after_name(name: str) -> re.Pattern[str]:
    # Between a name and its number stands no other number and no end of a clause.
    return re.compile(rf"(?:{name})[^0-9.;,]{{0,16}}?{_NUMBER}")


_QUALIFIED = r"(?:(?:net|source|x-ray|X-ray|background-subtracted|detected)\s+){0,2}"
_KELVIN_PER_KEV = 1.1604518e7
# For each kind: patterns, each with the factor to the unit of the kind.
_KINDS: dict[str, tuple[tuple[re.Pattern[str], float], ...]] = {
    "flux": ((_with_unit(_FLUX), 1.0),),
    "luminosity": ((_with_unit(rf"{_ERG_PER_S}(?!\s*(?:/|{_PER_CM2}))"), 1.0),),
    "column": ((_with_unit(rf"(?:atoms?\s*|H\s*)?{_PER_CM2}(?!\s*s)"), 1.0),),
    "temperature": (
        (
            re.compile(rf"(?:kT|temperatures?)[^0-9.;,]{{0,24}}?{_NUMBER}{_ERROR}\s*keV"),
            1.0,
        ),
        (_with_unit(r"(?:million\s*K\b|MK\b)"), 1e6 / _KELVIN_PER_KEV),
    ),
    "photon_index": ((_after_name(r"photon ind(?:ex|ices)|Γ|\\Gamma|Gamma|slope"), 1.0),),
    "redshift": ((_after_name(r"redshift|\bz\s*[=≈~]"), 1.0),),
    "distance": (
        (_with_unit(r"Gpc\b"), 1e9),
        (_with_unit(r"Mpc\b"), 1e6),
        (_with_unit(r"kpc\b"), 1e3),
        (_with_unit(r"pc\b"), 1.0),
    ),
    "abundance": (
        (_with_unit(r"(?:of\s+)?(?:the\s+)?solar\b(?!\s+(?:mass|lumin|radi))"), 1.0),
        (_with_unit(r"Z_?\{?(?:sun|⊙|\\odot)\}?"), 1.0),
    ),
    "counts": (
        (_with_unit(rf"{_QUALIFIED}(?:counts|photons|events)\b(?!\s*(?:/|s\b|per\b|s\^))"), 1.0),
    ),
    "count_rate": (
        (_with_unit(rf"{_QUALIFIED}(?:counts?|cts?|photons)\s*(?:/\s*s|{_PER_S}|per second)"), 1.0),
        (_with_unit(rf"{_QUALIFIED}(?:counts?|cts?|photons)\s*(?:/\s*ks|per kilosecond)"), 1e-3),
    ),
}
KINDS = tuple(_KINDS)
# Subtracted from the (logarithmic) value, so that a stated typical value is near 0, as none is.
TYPICAL = {
    "flux": -13.0,
    "luminosity": 38.0,
    "column": 21.5,
    "temperature": 0.0,
    "photon_index": 1.8,
    "redshift": 0.0,
    "distance": 6.0,
    "abundance": 0.0,
    "counts": 2.0,
    "count_rate": -2.5,
}
# Values farther from the typical one are misread: no column density is 1e5 cm⁻².
_FARTHEST = 8.0
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")


def find_quantities(text: str) -> dict[str, list[float]]:
    """Find the quantities that a text states, in order.

    Args:
        text: prose; `1.1 × 10^-13 erg/cm^2/s`, `2e21 cm^-2`, `kT = 0.9 ± 0.1 keV`, `Γ ≈ 1.8`,
            `4.3 Mpc` and their LaTeX forms are understood.

    Returns:
        For each of `KINDS` found: flux erg/cm²/s, luminosity erg/s, column cm⁻², temperature keV,
        photon_index, redshift, distance pc, abundance (solar), counts, count_rate counts/s.

    Examples:
        >>> find_quantities("An absorbed power law with Γ ≈ 1.8 and N_H = 2e21 cm^-2.")
        {'column': [2e+21], 'photon_index': [1.8]}
    """
    text = _THOUSANDS.sub("", text.replace("$", ""))  # cm$^{-2}$ as cm^{-2}, 1,200 as 1200
    found: dict[str, list[float]] = {}
    for kind, patterns in _KINDS.items():
        matches = [
            (match.start("mantissa"), _value(match) * factor)
            for pattern, factor in patterns
            for match in pattern.finditer(text)
        ]
        values = [value for _, value in sorted(matches) if _is_plausible(kind, value)]
        if values:
            found[kind] = values
    return found


def _value(match: re.Match[str]) -> float:
    power = match["power"] or match["exponent"] or "0"
    for sign in _MINUS:
        power = power.replace(sign, "-")
    # Clipped to the range of a double.
    return float(match["mantissa"]) * 10.0 ** max(-300, min(300, int(power)))


def scaled(kind: str, value: float) -> float:
    """Return the decimal logarithm of a value; photon index and redshift stay linear."""
    return value if kind in ("photon_index", "redshift") else math.log10(value)


def _is_plausible(kind: str, value: float) -> bool:
    if not (math.isfinite(value) and value > 0):
        return False
    return abs(scaled(kind, value) - TYPICAL[kind]) <= _FARTHEST


__all__ = ["KINDS", "TYPICAL", "find_quantities", "scaled"]
