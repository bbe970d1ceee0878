"""Names of a source in a sentence, whatever their spelling."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

# Equatorial designation, of which hours, minutes, sign, degrees and arcminutes are kept.
_POSITION = re.compile(r"j(\d{4})(?:\d\d)?(?:\.\d+)?([+-])(\d{4})(?:\d\d)?(?!\d)")
# Shorter names are also words.
_SHORTEST = 5


@lru_cache(maxsize=65536)
def squeezed(text: str) -> str:
    """Return lower case without spaces, formula marks and brackets, so that spellings agree."""
    return re.sub(r"[\s~$\\{}_,()]+", "", re.sub("[−–]", "-", text.lower()))


def names_any(names: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that is True for a sentence with one of the names.

    Positions agree to the minute of right ascension and the arcminute, so that `J0642+4904` is a
    name of `2CXO J064225.1+490403`.
    """
    own = [squeezed(name) for name in names]
    places = {place for name in own for place in _POSITION.findall(name)}
    others = [name.replace("-", "") for name in own if not _POSITION.search(name)]
    others = [name for name in others if len(name) >= _SHORTEST]
    pattern = re.compile("|".join(rf"(?<!\d){re.escape(n)}(?!\d)" for n in others) or r"(?!)")

    def named(sentence: str) -> bool:
        text = squeezed(sentence)
        return bool(
            pattern.search(text.replace("-", "")) or places.intersection(_POSITION.findall(text))
        )

    return named


__all__ = ["names_any", "squeezed"]
