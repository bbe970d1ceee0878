"""Classes of X-ray sources: families, names, synonyms, SIMBAD types and typical sentences.

They are defined in `source_classes.json`. A phrase may belong to several classes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

_WORD = re.compile(r"\w+(?:\.\d+)?")


@dataclass(frozen=True)
class Family:
    """Family of classes: its display name, and phrases for any of its classes."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class SourceClass:
    """Class of X-ray sources.

    Attributes:
        label: label in the column `source_class`.
        family: key of the family; empty for galaxies and globular clusters.
        names: noun phrases without article, the most common first.
        synonyms: abbreviations and other phrases.
        simbad: object types of SIMBAD and X-ray catalogues.
        spectrum: sentence about the typical X-ray spectrum; may be empty.
        context: sentence about the typical environment; may be empty.
    """

    label: str
    family: str
    names: tuple[str, ...]
    synonyms: tuple[str, ...]
    simbad: tuple[str, ...]
    spectrum: str
    context: str


@dataclass(frozen=True)
class ClassMention:
    """Phrase, at `text[start:stop]`, that names one or several classes, with their labels."""

    start: int
    stop: int
    phrase: str
    labels: frozenset[str]


_DATA: dict[str, Any] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8"),
    object_hook=lambda entry: {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()},
)

FAMILIES = MappingProxyType({key: Family(**f) for key, f in _DATA["families"].items()})


@cache
def source_classes() -> tuple[SourceClass, ...]:
    """Return all classes."""
    return tuple(SourceClass(**entry) for entry in _DATA["classes"])


def find_class(label: str) -> SourceClass | None:
    """Find a class by its label, SIMBAD type, name or synonym; None if unknown.

    Case, underscores and the suffixes of candidates (`?`, `_Candidate`) are ignored.

    Examples:
        >>> find_class("LowMassXBin").label, find_class("TTau*").label
        ('LMXB', 'YSO')
    """
    classes, label = _by_label(), label.strip()
    return classes.get(label) or classes.get(label.lower()) or classes.get(_normalise(label))


def with_article(phrase: str) -> str:
    """Add "a" or "an" to a noun phrase, but not to gas."""
    if re.match(r"(?:an?|the) |(?:hot |diffuse |interstellar )+gas", phrase):
        return phrase
    # Abbreviations are spelt out: an LMXB, a ULX.
    vowel = re.match(r"[AEFHILMNORSX](?:[A-Z]|[ -])|(?i:[aeio])|un|ul", phrase)
    return f"{'an' if vowel and not phrase.startswith('LINER') else 'a'} {phrase}"


def class_names(label: str) -> tuple[str, ...]:
    """Return the names of a class with an article; for an unknown class, its label.

    Examples:
        >>> class_names("LMXB")[0]
        'a low-mass X-ray binary'
    """
    found = find_class(label)
    names = found.names if found else (label.strip("*? ").replace("_", " "),)
    return tuple(with_article(name) for name in names)


def mentioned_classes(text: str) -> list[ClassMention]:
    """Find phrases in a text that name classes, the longest where several overlap.

    The name of a family gives all of its classes. Plurals, hyphens and the spelling of "X-ray" may
    vary. Abbreviations of two letters must be capitals, unless the whole text is lower case.

    Examples:
        >>> [(m.phrase, sorted(m.labels)) for m in mentioned_classes("quasars and a magnetar")]
        [('quasars', ['LensedQ', 'QSO']), ('magnetar', ['Magnetar'])]
    """
    labels, prefixes = _phrases()
    words = list(_WORD.finditer(text))
    mentions = []
    end = 0
    for index, first in enumerate(words):
        start = stop = first.start()
        if start < end:
            continue
        key, matched = "", frozenset[str]()
        for word in (words[n] for n in range(index, len(words))):
            if text[stop : word.start()].strip(" \n~/–-"):
                break
            key, stop = key + word.group().lower(), word.end()
            single = next((each for each in _singulars(key) if each in labels), None)
            if single and (len(single) > 2 or word.group()[:2].isupper() or text == text.lower()):
                matched, end = labels[single], stop
            if key not in prefixes:
                break
        if matched:
            mentions.append(ClassMention(start, end, text[start:end], matched))
    return mentions


def _normalise(phrase: str) -> str:
    """Normalise a phrase: lower case, without spaces, hyphens and suffixes of candidates."""
    phrase = re.sub(r"(?:[\s_-]candidate)?[?*\s]*$", "", phrase.lower())
    return re.sub(r"[\s_~/–-]+", "", phrase)


def _singulars(key: str) -> tuple[str, ...]:
    """Return a normalised phrase and its possible singulars."""
    ends = {"ies": "y", "nuclei": "nucleus", "novae": "nova", "bulae": "bula", "es": "", "s": ""}
    return key, *(key[: -len(end)] + new for end, new in ends.items() if key.endswith(end))


@cache
def _by_label() -> dict[str, SourceClass]:
    lists = [lambda c: (c.label,), lambda c: c.simbad, lambda c: c.names, lambda c: c.synonyms]
    exact = [(key, each) for keys in lists for each in source_classes() for key in keys(each)]
    plain = [(form, each) for key, each in exact for form in (key.lower(), _normalise(key)) if form]
    return dict(reversed([*exact, *plain]))  # the first counts


@cache
def _phrases() -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Return the labels of each normalised phrase (none for a phrase that is not a class), and all
    prefixes of phrases."""
    owners: dict[str, set[str]] = {_normalise(phrase): set() for phrase in _DATA["unrelated"]}
    for each in source_classes():
        family = FAMILIES[each.family].names if each.family else ()
        for phrase in (*each.names, *each.synonyms, *family):
            owners.setdefault(_normalise(phrase), set()).add(each.label)
    prefixes = frozenset(key[:end] for key in owners for end in range(1, len(key)))
    return {key: frozenset(labels) for key, labels in owners.items()}, prefixes
