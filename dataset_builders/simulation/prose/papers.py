"""Invented names of fields, hosts and authors, and papers of a journal that does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from string import ascii_uppercase

from .facts import Paper
from .grammar import with_article
from .phrases import read_phrases

JOURNAL = "SimAp"
_PHRASES = read_phrases("papers")
AUTHORS = _PHRASES.authors


def name_fields(kinds: Sequence[str], random: Random) -> list[str]:
    """Return a unique name for each field or host, by keys of `source_classes.FIELD_KINDS`."""
    names, taken = [], set()
    # As many numbers as leave most of them free, so that drawing again soon finds one.
    most = max(100_000, 4 * len(kinds))
    few, many = max(700, 2 * len(kinds)), max(5000, 2 * len(kinds))
    for kind in kinds:
        while True:
            number = random.randrange(1, most)
            place = random.choice(_PHRASES.constellations)
            if kind == "galaxy":
                # NGC ends at 7840, IC at 5386, UGC at 12921.
                catalogue, first = (("NGC", 7841), ("IC", 5387), ("UGC", 12922))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "globular":
                name = f"{('Terzan', 'Palomar', 'Djorg')[number % 3]} {20 + number % few}"
            elif kind == "nursery":
                suffix = ("OB", "cloud", "nebula")[number % 3]
                name = f"{place} {suffix} {10 + number % few}"
            elif kind == "cluster":
                catalogue, first = (("Abell", 5000), ("MACS", 20000), ("ZwCl", 10000))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "plane":
                name = f"the {place} plane field {1 + number % few}"
            else:
                name = f"the {place} deep field {1 + number % few}"
            if name not in taken:
                break
        taken.add(name)
        names.append(name)
    return names


def write_paper(
    kind: str, number: int, class_name: str, source: str, host: str, random: Random
) -> Paper:
    """Invent a paper.

    Args:
        kind: `source`, `field`, `sample` or `survey`.
        number: unique number of the paper.
        class_name: key of `source_classes.CLASSES` of its (first) source.
        source, host: names of that source and of its field or host.
        random: generator.
    """
    year = random.randrange(2001, 2025)
    label = _PHRASES.labels[class_name]
    options = _PHRASES.titles[kind]
    title = random.choice(options).format(
        label=label,
        a_label=with_article(label),
        short=source.removeprefix("2CXO "),
        host=host,
        roman=("I", "II", "III", "IV", "V")[number % 5],
        number=number % 90 + 1,
    )
    volume, page = 1 + number // 9000, 1 + number % 9000
    initial = random.choice(ascii_uppercase)
    bibcode = f"{year}{JOURNAL}{volume:.>4d}.{page:.>4d}{initial}"
    return Paper(bibcode, title[0].upper() + title[1:], year)
