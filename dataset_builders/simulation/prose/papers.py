"""Invented papers: titles and bibcodes of a journal that does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from string import ascii_uppercase

from .facts import Paper
from .grammar import with_article
from .phrases import read_phrases

JOURNAL = "SimAp"
_PHRASES = read_phrases("papers")


@dataclass(frozen=True)
class Subject:
    """Subject of a paper."""

    kind: str  # `source`, `field`, `sample` or `survey`
    number: int  # of the paper, unique
    name: str  # name of the field, for papers on one


def write_paper(subject: Subject, class_name: str, source: str, host: str, random: Random) -> Paper:
    """Invent a paper.

    Args:
        subject: subject of the paper.
        class_name: key of `source_classes.CLASSES` of its (first) source.
        source, host: names of that source and of its field or host.
        random: generator.
    """
    year = random.randrange(2001, 2025)
    label = _PHRASES.labels[class_name]
    options = _PHRASES.titles[subject.kind]
    title = random.choice(options).format(
        label=label,
        a_label=with_article(label),
        short=source.removeprefix("2CXO "),
        host=host,
        roman=("I", "II", "III", "IV", "V")[subject.number % 5],
        number=subject.number % 90 + 1,
    )
    volume, page = 1 + subject.number // 9000, 1 + subject.number % 9000
    initial = random.choice(ascii_uppercase)
    bibcode = f"{year}{JOURNAL}{volume:.>4d}.{page:.>4d}{initial}"
    return Paper(bibcode, title[0].upper() + title[1:], year)
