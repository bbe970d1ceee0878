"""Invented papers: titles and bibcodes of a journal that does not exist."""

from __future__ import annotations

from random import Random
from string import ascii_uppercase

from .facts import Paper
from .grammar import with_article
from .phrases import read_phrases

JOURNAL = "SimAp"
_PHRASES = read_phrases("papers")


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
