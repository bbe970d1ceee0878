"""Templates of sentences with choices: `<a|b>` is one of two, `<a|>` may be left out.

A backslash before `<`, `>` or `|` makes it plain text.
"""

from __future__ import annotations

from functools import cache
from random import Random

# Acronyms that are not spelt out.
_READ_AS_WORDS = ("MEKAL", "DISKBB")
# A text is its parts in order; a part is plain text, or the options of a choice.
_Parts = tuple["str | tuple[_Parts, ...]", ...]


def expand(template: str, random: Random) -> str:
    """Expand a template such as `It <is|was> <very <soft|hard>|faint>.`, each option alike.

    Raises:
        ValueError: unbalanced brackets.
    """
    return _written(_parse(template), random)


def capitalized(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def with_article(noun: str) -> str:
    """Return a noun phrase with its indefinite article, by the sound of its first word."""
    first = noun.split()[0].split("-")[0]
    if first.isupper() and first not in _READ_AS_WORDS:
        # Letters are spelt out, but for U, which begins like `you`.
        vowel = first[0] in "AEFHILMNORSX"
    else:
        vowel = first[0] in "aeiouAEIO"
    return f"{'an' if vowel else 'a'} {noun}"


def _written(parts: _Parts, random: Random) -> str:
    if len(parts) == 1:
        return parts[0]  # type: ignore[return-value]  # a text ends in plain text
    text = ""
    for part in parts:
        text += part if part.__class__ is str else _written(random.choice(part), random)
    return text


@cache
def _parse(template: str) -> _Parts:
    parts, end = _sequence(template, 0, within=False)
    if end != len(template):
        raise ValueError(f"a choice ends that never began: {template!r}")
    return parts


def _sequence(template: str, start: int, *, within: bool) -> tuple[_Parts, int]:
    """Parse parts from a position on, and return their end: `|` or `>` within a choice, else
    the end.
    """
    parts: list[str | tuple[_Parts, ...]] = []
    text, place = "", start
    while place < len(template):
        letter = template[place]
        if letter == "\\" and template[place + 1 : place + 2] in ("<", ">", "|"):
            place += 1
            text += template[place]
        elif letter == "<":
            options: list[_Parts] = []
            while template[place] != ">":
                option, place = _sequence(template, place + 1, within=True)
                if place >= len(template):
                    raise ValueError(f"a choice never ends: {template!r}")
                options.append(option)
            parts += [text, tuple(options)]
            text = ""
        elif letter == ">" or (letter == "|" and within):
            break
        else:
            text += letter
        place += 1
    return (*parts, text), place
