"""Names of sources and of their host galaxies or star clusters, in queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..literature.source_names import name_key

# Pairs of Messier number and NGC number.
_MESSIER = """\
1 1952 2 7089 3 5272 4 6121 5 5904 6 6405 7 6475 8 6523 9 6333 10 6254 11 6705 12 6218 13 6205
14 6402 15 7078 16 6611 17 6618 18 6613 19 6273 20 6514 21 6531 22 6656 23 6494 24 6603 26 6694
27 6853 28 6626 29 6913 30 7099 31 224 32 221 33 598 34 1039 35 2168 36 1960 37 2099 38 1912
39 7092 41 2287 42 1976 43 1982 44 2632 46 2437 47 2422 48 2548 49 4472 50 2323 51 5194 52 7654
53 5024 54 6715 55 6809 56 6779 57 6720 58 4579 59 4621 60 4649 61 4303 62 6266 63 5055 64 4826
65 3623 66 3627 67 2682 68 4590 69 6637 70 6681 71 6838 72 6981 73 6994 74 628 75 6864 76 650
77 1068 78 2068 79 1904 80 6093 81 3031 82 3034 83 5236 84 4374 85 4382 86 4406 87 4486 88 4501
89 4552 90 4569 91 4548 92 6341 93 2447 94 4736 95 3351 96 3368 97 3587 98 4192 99 4254 100 4321
101 5457 103 581 104 4594 105 3379 106 4258 107 6171 108 3556 109 3992 110 205"""
_NICKNAMES = {
    "NGC 104": ("47 Tuc", "47 Tucanae"),
    "NGC 224": ("Andromeda", "Andromeda galaxy"),
    "NGC 253": ("Sculptor galaxy",),
    "NGC 292": ("SMC", "Small Magellanic Cloud"),
    "NGC 598": ("Triangulum galaxy",),
    "NGC 4038": ("Antennae",),
    "NGC 5128": ("Cen A", "Centaurus A"),
    "NGC 5139": ("omega Cen", "omega Centauri", "ω Cen"),
    "NGC 5194": ("Whirlpool galaxy",),
    "NGC 6611": ("Eagle nebula",),
    "ESO097-013": ("Circinus", "Circinus galaxy"),
}
_CSC_NAME = re.compile(r"^(?:2CXO)?\s*J?(\d{6}(?:\.\d)?[+-]\d{6})\s*([A-Z]?)$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[+-]\d+)?")
# "M15 X-2" is a source; "an M5 dwarf" and "M4.5 V" are spectral types.
_NOT_HOST = re.compile(r"\s+(?:U?LX|X)-?\d|[\d.]*\s*(?:e?V\b|dwarf|star|type|giant)", re.IGNORECASE)
_MAX_HOST_WORDS, _MAX_NAME_WORDS, _MIN_LETTERS = 3, 4, 2

# Span of a name in a text, and the source or host that it names.
NameMatch = tuple[tuple[int, int], str]


def normalise_name(name: str) -> str:
    """Normalise the name of a source, so that `2CXO J…`, `2cxoj…` and `J…` are equal."""
    short = " ".join(name.split())
    match = _CSC_NAME.match(short)
    return f"{match[1]}{match[2].upper()}" if match else name_key(short)


def host_names(hosts: Iterable[str]) -> dict[str, str]:
    """Map all names of hosts, normalised by `name_key`, to the host.

    Examples:
        >>> host_names(["NGC 224"])["m31"]
        'NGC 224'
    """
    numbers = iter(_MESSIER.split())
    messier = {f"ngc{ngc}": f"M{number}" for number, ngc in zip(numbers, numbers, strict=True)}
    nicknames = {name_key(host): names for host, names in _NICKNAMES.items()}
    names: dict[str, str] = {}
    for host in hosts:
        key = name_key(host)
        for name in map(name_key, (host, *nicknames.get(key, ()), messier.get(key, ""))):
            if name and (len(name) > _MIN_LETTERS or key in messier):
                names.setdefault(name, host)
    return names


def find_names(text: str, names: Mapping[str, str]) -> list[NameMatch]:
    """Find names of sources (`SpecCLIPIndex.names`) in a text.

    Returns:
        The matches, the longest where several overlap. A single word without a digit does not
        match.
    """

    def lookup(start: int, stop: int, n_words: int) -> NameMatch | None:
        phrase = text[start:stop].rstrip(",.;:?!”\"'")
        is_name = any(c.isdigit() for c in phrase) or (n_words > 1 and phrase[0].isupper())
        source = names.get(normalise_name(phrase)) if is_name else None
        return ((start, start + len(phrase)), source) if source else None

    return _longest_matches(list(re.finditer(r"\S+", text)), _MAX_NAME_WORDS, lookup)


def find_hosts(text: str, names: Mapping[str, str]) -> list[NameMatch]:
    """Find names of hosts (`host_names`) in a text.

    Returns:
        The matches, the longest where several overlap.
    """

    def lookup(start: int, stop: int, _: int) -> NameMatch | None:
        phrase = text[start:stop]
        is_name = re.fullmatch(r"[\w\s+–-]+", phrase) and not _NOT_HOST.match(text, stop)
        host = names.get(name_key(phrase)) if is_name else None
        return ((start, stop), host) if host else None

    return _longest_matches(list(_WORD.finditer(text)), _MAX_HOST_WORDS, lookup)


def _longest_matches(
    words: Sequence[re.Match[str]],
    max_words: int,
    lookup: Callable[[int, int, int], NameMatch | None],
) -> list[NameMatch]:
    """Return the matches of `lookup` (start, stop, number of words), longest first, which do not
    overlap.
    """
    matches: list[NameMatch] = []
    end = 0
    for first, word in enumerate(words):
        for n_words in range(min(max_words, len(words) - first), 0, -1):
            last = words[first + n_words - 1].end()
            if word.start() >= end and (match := lookup(word.start(), last, n_words)):
                matches.append(match)
                end = last
    return matches
