"""Names of a source in a sentence, whatever their spelling."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

# Marks of LaTeX and hyphens that separate the parts of a name, or do not.
_MARKS = r"(?:\\,|[\s~$\\{}^_−–-]){%d,6}"
# Equatorial designation: digits and decimals of right ascension, sign, those of declination. The
# catalogue marks extended sources with X; other letters tell sources of one place apart.
_POSITION = re.compile(
    r"[jJ]\s?(\d{4,9})(?:\.(\d{1,9}))?[\s~$\\{}]{0,4}([+−–-])"
    r"[\s~$\\{}]{0,4}(\d{4}(?:\d{2,4})?)(?:\.(\d{1,9}))?X?(?![^\W_])"
)
# Words that SIMBAD puts before a name.
_PREFIX = re.compile(r"^(?:V\*|EM\*|NAME|Cl\*|\*+|\[[^\]]*\])\s*")
# Shorter names are also words, or stand in too many texts by chance.
_SHORTEST, _SHORTEST_WITH_NUMBER = 5, 4
# Catalogues differ by this much on one source, degrees.
_ASTROMETRY = 2 / 3600

# Smallest and largest right ascension and declination of those that a name abbreviates, degrees.
_Box = tuple[float, float, float, float]


@lru_cache(maxsize=65536)
def name_key(name: str) -> str:
    """Return a name in one form, so that `NGC0253`, `NGC 253` and `ngc-253` are equal."""
    key = re.sub(r"[\s~$\\{}_,()−–-]+", "", name).casefold()
    return re.sub(r"(?<=[a-z])0+(?=[1-9])", "", key)


def without_prefix(name: str) -> str:
    """Return a name without the words that SIMBAD puts before it, such as `V*` or `NAME`."""
    return _PREFIX.sub("", name.strip())


def names_any(names: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that is True for a sentence with one of the names.

    A name is not found inside another (`M82` in `M82 X-1`, `Her X-1` in `another X-1`). Positions
    agree as far as both have digits, and to 2″, so that `J0642+4904` is a name of
    `2CXO J064225.1+490403` and `CXOU J064225.9+490403`, 8″ east of it, is none.
    """
    boxes = [box for name in names for box in _positions(name)]
    literal = [pattern for name in names if not _POSITION.search(name)
               and (pattern := _pattern(without_prefix(name)))]  # fmt: skip
    others = re.compile(
        rf"(?<![\w.])(?:{'|'.join(literal) or '(?!)'})(?![-−–]?\w|\s(?:U?L?X|CX)-?\d)",
        re.IGNORECASE,
    )

    def named(sentence: str) -> bool:
        return bool(others.search(sentence)) or any(
            _agree(box, other) for other in _positions(sentence) for box in boxes
        )

    return named


def _pattern(name: str) -> str:
    """Return the pattern of a name in any spelling; empty for one that texts hold by chance."""
    parts = re.findall(r"[^\W\d_]+|\d+|[^\s\w−–-]", name)
    length = sum(len(part) for part in parts if part.isalnum() or part == "*")
    numbered = any(part.isdigit() for part in parts)
    shortest = _SHORTEST_WITH_NUMBER if numbered else _SHORTEST
    if length < shortest or len(parts) == 1 or not any(map(str.isalpha, parts)):
        return ""
    pattern = ""
    for before, part in zip(["", *parts[:-1]], parts, strict=True):
        if before:
            pattern += _MARKS % (before.isdigit() and part.isdigit())
        zeros = "0*" if before.isalpha() and part.isdigit() else ""
        pattern += zeros + re.escape(part.lstrip("0") or part if zeros else part)
    return pattern


@lru_cache(maxsize=65536)
def _positions(text: str) -> tuple[_Box, ...]:
    return tuple(_boxes(text))


def _boxes(text: str) -> Iterator[_Box]:
    for hours, tenths, sign, degrees, more in _POSITION.findall(text):
        ra, ra_unit = _sexagesimal(hours, tenths)
        dec, dec_unit = _sexagesimal(degrees, more)
        low, high = (dec, dec + dec_unit) if sign == "+" else (-dec - dec_unit, -dec)
        yield 15 * ra, 15 * (ra + ra_unit), low, high


def _sexagesimal(digits: str, decimals: str) -> tuple[float, float]:
    """Return the value of `HHMMSSsss` or `DDMMm` and the unit of its last digit."""
    fields = [digits[:2], digits[2:4], digits[4:6]][: 2 + (len(digits) > 5)]
    decimals = digits[2 * len(fields) :] + decimals
    value = sum(int(field) / 60**n for n, field in enumerate(fields))
    last = 60 ** (len(fields) - 1)
    unit = 10.0 ** -len(decimals) / last
    return value + int(decimals or 0) * unit, unit


def _agree(one: _Box, other: _Box) -> bool:
    """Return True if two names may abbreviate one position."""
    stretch = 1 / max(0.01, math.cos(math.radians(one[2])))
    gaps = (max(one[i], other[i]) - min(one[i + 1], other[i + 1]) for i in (0, 2))
    return all(gap < _ASTROMETRY * by for gap, by in zip(gaps, (stretch, 1.0), strict=True))


__all__ = ["name_key", "names_any"]
