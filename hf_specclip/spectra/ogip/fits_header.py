"""Cards of a FITS header from untrusted files, parsed by astropy where a value leaves questions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.io.fits import Card

from .errors import SpectrumFileError

CARD = 80  # bytes
_LARGEST = float(np.finfo(np.float64).max)

# Cards whose value leaves no question: text without a colon (which may make it a record of several
# values) that no CONTINUE can follow, whole and real numbers, T and F. Others are astropy's to
# parse.
_PLAIN_VALUE = re.compile(
    r" *(?:'(?P<text>(?:[^':&]|'')*)'|(?P<whole>[+-]?\d{1,18})"
    r"|(?P<real>[+-]?\d{1,17}\.\d{0,17}(?:E[+-]?\d{1,2})?)|(?P<logical>[TF])) *(?:/.*)?",
    re.ASCII | re.DOTALL,
)
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[DEde][+-]?\d+)?", re.ASCII)


class Header:
    """Cards of one HDU; values are parsed (by astropy) when asked for."""

    def __init__(self, cards: list[str], path: str, name: str) -> None:
        self._cards = cards
        self._path, self._name = path, name
        self._values: dict[str, Any] = {}
        # Of cards with the same keyword the first counts.
        numbers = range(len(cards) - 1, -1, -1)
        self._index = {cards[number][:8].rstrip().upper(): number for number in numbers}

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def get(self, key: str) -> Any:
        """Return the value of a keyword, None where absent or empty.

        Raises SpectrumFileError for a card that is not FITS.
        """
        if key not in self._values:
            self._values[key] = self._parse(key) if key in self._index else None
        return self._values[key]

    def _parse(self, key: str) -> Any:
        number = self._index[key]
        text = self._cards[number]
        if text[8:10] != "= ":
            return None
        plain = _PLAIN_VALUE.fullmatch(text, 10)
        if plain is not None and (plain["text"] is None or len(text.rstrip()) < CARD):
            kind = plain.lastgroup or "text"
            return _PLAIN_KINDS[kind](plain[kind])
        for more in self._cards[number + 1 : number + 1 + 64]:
            if not more.startswith("CONTINUE"):
                break
            text += more
        try:
            value = Card.fromstring(text.encode("ascii", "replace").decode()).value
        except Exception as error:  # astropy raises many kinds on damaged cards
            raise self._bad(key, f"cannot be parsed ({error})") from None
        if value is None or type(value).__name__ == "Undefined":
            return None
        return readable(value.encode()) if isinstance(value, str) else value

    def text(self, key: str) -> str | None:
        """Return a keyword as text; None where absent or blank."""
        value = self.get(key)
        return None if value is None or str(value) == "" else str(value)

    def integer(self, key: str, default: int | None = None) -> int | None:
        """Return a keyword as a whole number. Raises SpectrumFileError for anything else."""
        value = _as_number(self.get(key))
        if value is None:
            return default
        if type(value) is int and abs(value) < 2**63:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise self._bad(key, f"must be a whole number, not {value!r}")
        if not -(2**63) <= value < 2**63:
            raise self._bad(key, f"must fit into 64 bits, not {value!r}")
        return int(value)

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a keyword as a finite number. Raises SpectrumFileError for anything else."""
        value = _as_number(self.get(key))
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(key, f"must be a number, not {value!r}")
        if not abs(value) <= _LARGEST:
            raise self._bad(key, f"must be finite, not {value!r}")
        return float(value)

    def require_value(self, key: str) -> None:
        """Raise SpectrumFileError for a keyword that is there without a readable value."""
        if key in self and self.get(key) is None:
            raise self._bad(key, "has no readable value")

    def _bad(self, key: str, problem: str) -> SpectrumFileError:
        place = f"HDU {self._name}, keyword {key}"
        return SpectrumFileError(problem, path=self._path, place=place, mend="correct the header")


def _as_number(value: Any) -> Any:
    """Return the number that a text spells (some writers quote them); else the value itself."""
    if not isinstance(value, str) or len(value) > CARD or _NUMERAL.fullmatch(value) is None:
        return value
    return int(value) if value.lstrip("+-").isdigit() else float(re.sub("[Dd]", "e", value))


def readable(text: bytes) -> str:
    """Decode text of a file (ASCII by the standard, UTF-8 or Latin-1 in practice), stripped.

    Control characters, which could steer a terminal, become question marks.
    """
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
    if not decoded.isprintable():
        decoded = "".join(each if each.isprintable() else "?" for each in decoded)
    return decoded.strip()


# Unambiguous values parsed as astropy does, in a tenth of the time.
_PLAIN_KINDS: dict[str, Callable[[str], Any]] = {
    "text": lambda value: readable(value.replace("''", "'").encode("latin-1")),
    "logical": lambda value: value == "T",
    "whole": int,
    "real": float,
}
