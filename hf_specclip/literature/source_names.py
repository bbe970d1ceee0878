"""Names of a source in a sentence, whatever their spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Equatorial designation, of which hours, minutes, sign, degrees and arcminutes are kept.
_POSITION = re.compile(r"j(\d{4})\d*(?:\.\d+)?([+-])(\d{4})")
# Shorter names are also words.
_SHORTEST = 5


def squeezed(text: str) -> str:
    """Return lower case without spaces, formula marks and brackets, so that spellings agree."""
    return re.sub(r"[\s~$\\{}_,()]+", "", re.sub("[−–]", "-", text.lower()))


def names_source(sentences: Sequence[str], names: Sequence[str]) -> list[bool]:
    """Tell for each sentence if it names a source.

    Positions in names agree to the minute of right ascension and the arcminute, so that
    `J0642+4904` names `2CXO J064225.1+490403`.

    Args:
        sentences: of a text.
        names: of the source.
    """
    own = [squeezed(name) for name in names]
    places = {place for name in own for place in _POSITION.findall(name)}
    others = [name for name in own if len(name) >= _SHORTEST and not _POSITION.search(name)]
    pattern = re.compile("|".join(rf"(?<![a-z\d]){re.escape(n)}(?!\d)" for n in others) or r"(?!)")
    return [
        bool(pattern.search(text) or places.intersection(_POSITION.findall(text)))
        for text in map(squeezed, sentences)
    ]


__all__ = ["names_source", "squeezed"]
