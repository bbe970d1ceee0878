"""Physical quantities read from scientific prose, as numbers.

A sentence embedding hardly encodes a stated value, because its tokens split the digits. Here the
value, its unit and its kind are read by regular expressions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DIGIT = re.compile(r"\d")
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
# Centre and spread of the (logarithmic) values, so that scaled ones are of order 1.
_SCALE = {
    "flux": (-13.0, 1.0),
    "luminosity": (38.0, 4.0),
    "column": (21.5, 1.0),
    "temperature": (0.0, 0.7),
    "photon_index": (1.8, 0.5),
    "redshift": (0.2, 0.2),
    "distance": (6.0, 3.0),
    "abundance": (0.0, 0.5),
    "counts": (2.0, 1.0),
    "count_rate": (-2.5, 1.0),
}
# Farther values are misread: no column density is 1e5 cm⁻².
_FARTHEST = 8.0
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
# Values kept of each kind (a spectrum may have two components) and numbers of a value: stated,
# scaled value, half width of its range or error, upper limit, lower limit.
_KEPT, _PER_VALUE = 2, 5
QUANTITY_WIDTH = len(KINDS) * _KEPT * _PER_VALUE


@dataclass(frozen=True)
class Quantity:
    """Quantity that a text states.

    Attributes:
        kind: one of `KINDS`.
        value: in the unit of the kind; the limit of a limit; nan for a range.
        low: smallest value stated; -inf for an upper limit.
        high: largest value stated; inf for a lower limit.
        start: position in the text.
        stop: end in the text.
    """

    kind: str
    value: float
    low: float
    high: float
    start: int
    stop: int


def find_quantities(text: str) -> list[Quantity]:
    """Find the quantities that a text states, in order.

    Args:
        text: prose; `1.1 × 10^-13 erg/cm^2/s`, `2e21 cm^-2`, `kT = 0.9 ± 0.1 keV`, `Γ ≈ 1.8`,
            `4.3 Mpc` and their LaTeX forms are understood.

    Returns:
        Quantities of `KINDS`: flux erg/cm²/s, luminosity erg/s, column cm⁻², temperature keV,
        photon_index, redshift, distance pc, abundance (solar), counts, count_rate counts/s.

    Examples:
        >>> [(q.kind, q.value) for q in find_quantities("Γ ≈ 1.8 and N_H = 2e21 cm^-2.")]
        [('photon_index', 1.8), ('column', 2e+21)]
    """
    text = _THOUSANDS.sub("", text.replace("$", ""))  # cm$^{-2}$ as cm^{-2}, 1,200 as 1200
    found = []
    for kind, patterns in _KINDS.items():
        for pattern, factor in patterns:
            for match in pattern.finditer(text):
                value = _value(match) * factor
                if _is_plausible(kind, value):
                    found.append(Quantity(kind, value, value, value, *match.span()))
    return sorted(found, key=lambda quantity: quantity.start)


def quantity_numbers(sentences: Sequence[str]) -> np.ndarray:
    """Write the quantities that sentences state as numbers of order 1.

    Returns:
        (n, QUANTITY_WIDTH) float32. For each of `KINDS` and its first two values: 1, the scaled
        value, the half width of its range, 1 for an upper limit, 1 for a lower limit; zeros where
        nothing is stated.
    """
    numbers = np.zeros((len(sentences), len(KINDS), _KEPT, _PER_VALUE), np.float32)
    for row, sentence in enumerate(sentences):
        if not _DIGIT.search(sentence):
            continue
        count = dict.fromkeys(KINDS, 0)
        for quantity in find_quantities(sentence):
            kind, slot = KINDS.index(quantity.kind), count[quantity.kind]
            if slot < _KEPT:
                numbers[row, kind, slot] = _numbers(quantity)
            count[quantity.kind] += 1
    return numbers.reshape(len(sentences), -1)


def _numbers(quantity: Quantity) -> tuple[float, ...]:
    upper, lower = math.isinf(quantity.low), math.isinf(quantity.high)
    if upper or lower:
        return 1.0, scaled(quantity.kind, quantity.value), 0.0, float(upper), float(lower)
    low, high = (scaled(quantity.kind, end) for end in (quantity.low, quantity.high))
    return 1.0, (low + high) / 2, (high - low) / 2, 0.0, 0.0


def _value(match: re.Match[str]) -> float:
    power = match["power"] or match["exponent"] or "0"
    for sign in _MINUS:
        power = power.replace(sign, "-")
    # Clipped to the range of a double.
    return float(match["mantissa"]) * 10.0 ** max(-300, min(300, int(power)))


def scaled(kind: str, value: float) -> float:
    """Scale a value to order 1: logarithm (photon index: itself; redshift: of 1 + z) less a typical
    one, over its spread."""
    centre, spread = _SCALE[kind]
    if kind == "photon_index":
        return (value - centre) / spread
    return (math.log10(value + (kind == "redshift")) - centre) / spread


def _is_plausible(kind: str, value: float) -> bool:
    if not (math.isfinite(value) and value > 0):
        return False
    return abs(scaled(kind, value)) * _SCALE[kind][1] <= _FARTHEST


__all__ = ["KINDS", "QUANTITY_WIDTH", "Quantity", "find_quantities", "quantity_numbers", "scaled"]
