"""Matching of source names in sentences, independent of their spelling."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise, product

# Spaces, hyphens and LaTeX between the parts of a name.
_SEPARATORS = r"(?:\\,|[\s~$\\{}^_−–-]){%d,6}"
# Designation by equatorial coordinates: right ascension, sign and declination. The suffix X marks
# extended sources in the catalogue; other letters distinguish sources at one position.
_POSITION = re.compile(
    r"[jJ]\s?(\d{4,9})(?:\.(\d{1,9}))?[\s~$\\{}]{0,4}([+−–-])"
    r"[\s~$\\{}]{0,4}(\d{4}(?:\d{2,4})?)(?:\.(\d{1,9}))?X?(?![^\W_])"
)
# Astrometric tolerance between catalogues, degrees.
_ASTROMETRY = 2 / 3600

# Ranges of right ascension and declination that round to a name, degrees.
_Box = tuple[float, float, float, float]


@lru_cache(maxsize=65536)
def name_key(name: str) -> str:
    """Normalise a name, so that `NGC0253`, `NGC 253` and `ngc-253` are equal."""
    key = re.sub(r"[\s~$\\{}_,()−–-]+", "", name).casefold()
    return re.sub(r"(?<=[a-z])0+(?=[1-9])", "", key)


def without_prefix(name: str) -> str:
    """Remove a SIMBAD prefix, such as `V*` or `NAME`."""
    return re.sub(r"^(?:V\*|EM\*|NAME|Cl\*|\*+|\[[^\]]*\])\s*", "", name.strip())


def name_matcher(names: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that tests whether a sentence contains one of the names.

    A name does not match within another (`M82` in `M82 X-1`, `Her X-1` in `another X-1`).
    Coordinates are compared to the precision of both names, and to 2″: `J0642+4904` matches
    `2CXO J064225.1+490403`; `CXOU J064225.9+490403`, 8″ away, does not.
    """
    boxes = [box for name in names for box in _positions(name)]
    literal = [pattern for name in names if not _POSITION.search(name)
               and (pattern := _pattern(without_prefix(name)))]  # fmt: skip
    others = re.compile(
        rf"(?<![\w.])(?:{'|'.join(literal) or '(?!)'})(?![-−–]?\w|\s(?:U?L?X|CX)-?\d)",
        re.IGNORECASE,
    )

    def named(sentence: str) -> bool:
        pairs = product(boxes, _positions(sentence))
        return bool(others.search(sentence)) or any(_agree(*pair) for pair in pairs)

    return named


def _pattern(name: str) -> str:
    """Return a regular expression for the spellings of a name; empty for one that is too short."""
    parts = re.findall(r"[^\W\d_]+|\d+|[^\s\w−–-]", name)
    length = sum(len(part) for part in parts if part.isalnum() or part == "*")
    # Shorter names match other words by chance.
    shortest = 4 if any(map(str.isdigit, parts)) else 5
    if length < shortest or len(parts) == 1 or not any(map(str.isalpha, parts)):
        return ""
    pattern = re.escape(parts[0])
    for before, part in pairwise(parts):
        zeros = "0*" if before.isalpha() and part.isdigit() else ""
        pattern += _SEPARATORS % (before.isdigit() and part.isdigit()) + zeros
        pattern += re.escape(part.lstrip("0") or part if zeros else part)
    return pattern


@lru_cache(maxsize=65536)
def _positions(text: str) -> list[_Box]:
    boxes = []
    for ra_digits, ra_decimals, sign, dec_digits, dec_decimals in _POSITION.findall(text):
        ra, ra_unit = _sexagesimal(ra_digits, ra_decimals)
        dec, dec_unit = _sexagesimal(dec_digits, dec_decimals)
        low, high = (dec, dec + dec_unit) if sign == "+" else (-dec - dec_unit, -dec)
        boxes.append((15 * ra, 15 * (ra + ra_unit), low, high))
    return boxes


def _sexagesimal(digits: str, decimals: str) -> tuple[float, float]:
    """Return the value of `HHMMSSsss` or `DDMMm` and the unit of its last digit."""
    fields = [digits[:2], digits[2:4], digits[4:6]][: 2 + (len(digits) > 5)]
    decimals = digits[2 * len(fields) :] + decimals
    unit = 10.0 ** -len(decimals) / 60 ** (len(fields) - 1)
    value = sum(int(field) / 60**n for n, field in enumerate(fields))
    return value + int(decimals or 0) * unit, unit


def _agree(first: _Box, second: _Box) -> bool:
    """Return True if two names may refer to one position."""
    stretch = 1 / max(0.01, math.cos(math.radians(first[2])))
    gaps = (max(first[i], second[i]) - min(first[i + 1], second[i + 1]) for i in (0, 2))
    return next(gaps) < _ASTROMETRY * stretch and next(gaps) < _ASTROMETRY
