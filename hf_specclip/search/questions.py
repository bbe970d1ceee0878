"""Parser of queries in English: source classes, conditions, positions, names and other words.

    parse_question("obscured AGN at z~1 with NH > 1e22", vocabulary)

A query is parsed before it is embedded. Classes are recognised by `literature.source_classes`,
values by `literature.quantities`, coordinates and designations by regular expressions, and other
words by the vocabulary of the training texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..literature.quantities import OTHER_HARDNESS, Quantity, find_quantities
from ..literature.source_classes import ClassMention, mentioned_classes
from ..literature.source_names import name_key
from ..models.variables_specclip import VARIABLES
from .coordinates import find_cone
from .filter import NUMBER, Condition
from .names import find_hosts, find_names
from .vocabulary import Vocabulary

MAX_QUESTION = 2_000
# Stop words.
_FUNCTION_WORDS = """
a about above all also am an and any are around as at be because been being below between
both but by can could did do does each either every few find for from further get give had has
have having he her here his how if in into is it its just list like look looking many may me
might more most much must my near of off on one only onto or our out over own please same shall
she should show so some such than that the their them then there these they thing things this
those through to too toward towards under until up us very want was we were what when where
which while who whose why will with within would you your yes no not fewer less than"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_NEGATION = re.compile(
    r"\b(?:not?|none|never|without|except(?:ing)?|exclud(?:e[sd]?|ing)|neither|nor|lack(?:s|ing)?"
    r"|(?:other|rather) than|apart from|instead of)\b|n['’]t\b",
    re.IGNORECASE,
)
# Before a host: sources that are not in it.
_NOT_IN = re.compile(
    r"\b(?:beyond|behind|outside(?: of)?|in front of|(?:fore|back)ground (?:of|to)"
    r"|(?:away|far) from)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
# "No more than 100 counts" is a limit, not a negation.
_NEGATED_LIMIT = re.compile(r"\b(?:not?)\s+(?:\w+er|more|less)\s+than\b", re.IGNORECASE)
_FILTERED = ("counts", *VARIABLES)
_CONDITION = re.compile(
    rf"(?<![\d.])(?:{NUMBER}\s*[<>]=?\s*)?\b(?:{'|'.join(_FILTERED)})\s*[<>]=?\s*{NUMBER}",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"\b(?:in|of|near|around|from|behind|inside|within|towards?|by|with|at|to)\s+(?:[\w’'-]+\s+){0,2}$",
    re.IGNORECASE,
)
_LINK = re.compile(r"\s*(?:and|or|&|/)\s+(?:an?\s+|the\s+)?", re.IGNORECASE)
# Sagittarius A*, since "SGR" is a soft gamma repeater.
_GALACTIC_CENTRE = re.compile(r"\bSgr A\*?(?!\w)")
_BY_POSITION = re.compile(r"\b[A-Z]{2,6}\s[BJ]?\d{4,}(?:\.\d+)?[+\-−–]\d+(?:\.\d+)?[A-Z]?\b")
_X_NUMBER = r"(?:\s+(?:X|ULX)-?\d+)"
_X_SOURCE = re.compile(rf"\b[A-Z]\w+(?:\s[IVXL]+)?{_X_NUMBER}\b")
# Before a source: search for similar sources.
_LIKE = re.compile(r"\b(?:like|similar to|resembl(?:e|es|ing))\s+(?:the\s+)?$", re.IGNORECASE)
# Designations of sources: catalogue and number, or constellation and letter or number.
_DESIGNATIONS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:\d[A-Z]{1,5}|[A-Z]{1,6}[a-z]?\d?)\s?[BJ]?\d+(?:\.\d+)?(?:[+\-−–]\d+(?:\.\d+)?)?"
        rf"[A-Za-z]?{_X_NUMBER}?\b(?![.\d])",
        r"\b\d+\s[A-Z][a-z]{2}\b",
        r"\b[A-Z][a-z]{2}\s[A-Z]\*?(?!\w)",
        r"\b[A-Z][a-z]+\s(?:\d+|[IVXL]+)\b(?![.\d])",
        r"\b(?:[a-z]{1,4}\d{1,5}|[a-z]{3}\sx-\d)\b",
    )
)
_WORD = re.compile(r"[^\W_]+")
# Document frequency above which a word does not distinguish sources.
_COMMON = 0.5
# Ranges of a value without limits: ± for linear quantities, factors for the others.
_ERRORS = {"photon_index": 0.2, "hardness": 0.1}
_TEMPERATURE_FACTOR, _FACTOR = 1.5, 2.0
_BLACK_BODY = re.compile(r"black[\s-]?bod|\bBB\b|surface|dis[ck]\b", re.IGNORECASE)
_BREMSSTRAHLUNG = re.compile(r"brems", re.IGNORECASE)
_NH_UNIT = 1e20
_LABELS_SHOWN = 8
# Maximum number of unknown words with suggestions, which take milliseconds each.
_MAX_SUGGESTIONS = 4


@dataclass(frozen=True)
class Question:
    """Parsed query.

    Attributes:
        text: the query.
        kinds: phrases that name the requested source classes.
        labels: labels of these classes, as in the column `source_class`.
        conditions: ranges of variables.
        cone: right ascension, declination and radius, degrees.
        hosts: names of host galaxies or star clusters in the index.
        sources: names of requested sources in the index.
        like: names of sources in the index to find similar sources of.
        words: other words of the vocabulary.
        unused: names and quantities that are not in the index.
        unknown: words outside the vocabulary.
        suggestions: unknown word -> words of similar spelling.
        refusal: reason why the query cannot be answered, or None.
        negated: True if the reason is a negation.
        content: text to embed, without names, coordinates and unknown words.
    """

    text: str
    kinds: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    cone: tuple[float, float, float] | None = None
    hosts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    suggestions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refusal: str | None = None
    negated: bool = False
    content: str = ""

    def lines(self) -> list[str]:
        """Format the parsed query for the terminal, one line per item."""
        lines = []
        if self.kinds:
            labels = sorted(self.labels)
            more = ", …" if len(labels) > _LABELS_SHOWN else ""
            shown = ", ".join(labels[:_LABELS_SHOWN])
            lines.append(f"class: {', '.join(self.kinds)} ({shown}{more})")
        if self.conditions:
            terms = [_with_unit(condition) for condition in self.conditions]
            lines.append(f"conditions: {', '.join(terms)}")
        if self.cone:
            ra, dec, radius = self.cone
            lines.append(f"position: within {60 * radius:.3g}′ of {ra:.5f} {dec:+.5f}")
        named = {
            "in": self.hosts,
            "source": self.sources,
            "like": self.like,
            "words": self.words,
            "not used": self.unused,
            "not understood": self.unknown,
        }
        lines += [f"{title}: {', '.join(names)}" for title, names in named.items() if names]
        for word, others in self.suggestions.items():
            lines.append(f"did you mean {' or '.join(others)} (for {word})?")
        if self.refusal:
            lines.append(self.refusal)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {
            "text": self.text,
            "kinds": list(self.kinds),
            "labels": sorted(self.labels),
            "conditions": [str(condition) for condition in self.conditions],
            "cone": None if self.cone is None else list(self.cone),
            "hosts": list(self.hosts),
            "sources": list(self.sources),
            "like": list(self.like),
            "words": list(self.words),
            "unused": list(self.unused),
            "not_understood": list(self.unknown),
            "did_you_mean": {word: list(others) for word, others in self.suggestions.items()},
            "refusal": self.refusal,
        }


def parse_question(
    text: str,
    vocabulary: Vocabulary | None = None,
    variables: Collection[str] | None = None,
    host_names: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Question:
    """Parse a query.

    Args:
        text: English text, such as `"ULX in NGC 253"` or `"Gamma ~ 1.7 with NH 1e22"`.
        vocabulary: vocabulary of the training texts; None accepts every word.
        variables: variables with values in the index; None accepts all.
        host_names: see `SpecCLIPIndex.host_names`.
        names: see `SpecCLIPIndex.names`.

    Raises:
        ValueError: the text is longer than `MAX_QUESTION` characters.
    """
    text = " ".join(text.encode("utf-8", "replace").decode().split())  # no lone surrogates
    if len(text) > MAX_QUESTION:
        raise ValueError(f"the query is longer than {MAX_QUESTION:,} characters: shorten it")
    remainder = _Remainder(text)
    if match := _NEGATION.search(_NEGATED_LIMIT.sub(" ", text)):
        return Question(
            text,
            refusal=f"“{match[0]}”: negations are not supported. Use a positive term "
            "(“unabsorbed”, “NH < 1e21”), --class or --where.",
            negated=True,
        )
    cone, spans = find_cone(text)
    remainder.remove(*spans)
    ranges = [Condition.parse(match[0]) for match in remainder.find(_CONDITION)]
    lacking = {c.variable for c in ranges if variables is not None and c.variable not in variables}
    sources = [
        (span, source)
        for span, source in find_names(remainder.text, names or {})
        if name_key(text[slice(*span)]) not in (host_names or {})
    ]
    likes: dict[str, tuple[int, int]] = {}
    previous = -1
    for span, source in sources:
        # "like A and B" asks for sources that resemble either.
        linked = previous >= 0 and _LINK.fullmatch(text, previous, span[0])
        if match := linked or _LIKE.search(text[: span[0]]):
            likes[source], previous = match.span(), span[1]
    remainder.remove(*(span for span, _ in sources), *likes.values())
    hosts = find_hosts(remainder.text, host_names or {})
    for (start, stop), _ in hosts:
        if match := _NOT_IN.search(text[:start]):
            return Question(
                text,
                refusal=f"“{text[match.start() : stop]}”: only sources inside a host can be "
                "searched for. Name the host, or give a position and a radius.",
                negated=True,
            )
    remainder.remove(*(span for span, _ in hosts))
    # These come before the classes, since "PSR" would be read as a pulsar.
    unused = [match[0] for match in remainder.find(_BY_POSITION, _GALACTIC_CENTRE, _X_SOURCE)]
    quantities = find_quantities(remainder.text)
    mentions = mentioned_classes(remainder.without(quantities))
    remainder.remove(*((q.start, q.stop) for q in quantities))
    remainder.remove(*((m.start, m.stop) for m in mentions))
    keep = partial(_is_designation, vocabulary)
    unused += [match[0] for match in remainder.find(*_DESIGNATIONS, keep=keep)]
    in_words = [*unused, *(text[slice(*span)] for span, _ in (*hosts, *sources))]
    stated, unstored = _conditions(text, quantities, variables)
    kinds = _requested_classes(text, mentions)
    known, common, unknown = _sort_words(remainder.text, vocabulary)
    question = Question(
        text,
        kinds=tuple(mention.phrase for mention in kinds),
        labels=frozenset().union(*(mention.labels for mention in kinds)),
        conditions=(*(c for c in ranges if c.variable not in lacking), *stated),
        cone=cone,
        hosts=tuple(dict.fromkeys(host for _, host in hosts)),
        sources=tuple(dict.fromkeys(source for _, source in sources if source not in likes)),
        like=tuple(likes),
        words=tuple(known),
        unused=(*unused, *unstored, *(f"{name} (not in the index)" for name in lacking)),
        unknown=tuple(unknown),
        suggestions=_suggestions(unknown, vocabulary),
        content=_content(text, [*in_words, *(w for w in unknown if w.isalpha())], spans),
    )
    return _refuse(question, mentions, common)


class _Remainder:
    """Text of a query, whose spans are blanked when they have been parsed."""

    def __init__(self, text: str):
        self.text = text

    def remove(self, *spans: tuple[int, int]) -> None:
        for start, stop in spans:
            self.text = self.text[:start] + " " * (stop - start) + self.text[stop:]

    def without(self, items: Collection[Quantity]) -> str:
        blanked = _Remainder(self.text)
        blanked.remove(*((item.start, item.stop) for item in items))
        return blanked.text

    def find(self, *patterns: re.Pattern[str], keep: Any = None) -> list[re.Match[str]]:
        """Find and blank patterns; matches are in the order of the text."""
        matches = []
        for pattern in patterns:
            for match in pattern.finditer(self.text):
                if keep is None or keep(match):
                    matches.append(match)
                    self.remove(match.span())
        return sorted(matches, key=lambda match: match.start())


def _is_designation(vocabulary: Vocabulary | None, match: re.Match[str]) -> bool:
    if match[0].upper() in ("J2000", "B1950"):
        return False
    first = _WORD.findall(match[0])[0]
    # The first word of a text is capitalised without being a name.
    capitalised = match.start() == 0 and first[1:].islower()
    return not (capitalised and vocabulary is not None and first in vocabulary)


def _requested_classes(text: str, mentions: list[ClassMention]) -> list[ClassMention]:
    """Drop classes that describe the environment, as in "a binary in a globular cluster"."""
    linked: list[list[ClassMention]] = []
    for item in mentions:
        if not linked or not _LINK.fullmatch(text, linked[-1][-1].stop, item.start):
            linked.append([])
        linked[-1].append(item)
    free = [items for items in linked if not _PREPOSITION.search(text[: items[0].start])]
    return [item for items in free or linked[:1] for item in items]


def _conditions(
    text: str, quantities: Collection[Quantity], variables: Collection[str] | None
) -> tuple[list[Condition], list[str]]:
    """Convert quantities to conditions; also return phrases of quantities not in the index."""
    temperatures = {id(q): _temperature(text, q) for q in quantities if q.kind == "temperature"}
    models = {name.removesuffix("_kt") for name in temperatures.values()}
    indexed = any(q.kind == "photon_index" for q in quantities)
    nh = f"{models.pop()}_nh" if len(models) == 1 and not indexed else "powlaw_nh"
    conditions, unstored = [], []
    for quantity in quantities:
        name = {
            "photon_index": "powlaw_gamma",
            "column": nh,
            "temperature": temperatures.get(id(quantity), ""),
            "counts": "counts",
            "hardness": f"hard_{quantity.bands}",
        }.get(quantity.kind, quantity.kind)
        if name in _FILTERED and (variables is None or name in variables):
            conditions.append(Condition(name, *_range(quantity)))
        else:
            other = quantity.kind == OTHER_HARDNESS
            label = "hardness ratios of these bands" if other else quantity.kind.replace("_", " ")
            phrase = text[quantity.start : quantity.stop]
            unstored.append(f"“{phrase}” ({label} not in the index)")
    return conditions, unstored


def _temperature(text: str, quantity: Quantity) -> str:
    """Return the variable of a temperature, by the nearest name of a spectral model."""
    near = {"apec_kt": 1e9}
    for name, pattern in (("bb_kt", _BLACK_BODY), ("brems_kt", _BREMSSTRAHLUNG)):
        for match in pattern.finditer(text):
            gap = max(match.start() - quantity.stop, quantity.start - match.end(), 0)
            near[name] = min(near.get(name, 1e9 - 1), gap)
    return min(near, key=lambda name: near[name])


def _range(quantity: Quantity) -> tuple[float, float]:
    """Return the range of a quantity in catalogue units; a value without limits is widened."""
    low, high = quantity.low, quantity.high
    if low == high:
        if error := _ERRORS.get(quantity.kind):
            low, high = low - error, high + error
        else:
            factor = _TEMPERATURE_FACTOR if quantity.kind == "temperature" else _FACTOR
            low, high = low / factor, high * factor
    unit = _NH_UNIT if quantity.kind == "column" else 1.0
    return low / unit, high / unit


def _sort_words(text: str, vocabulary: Vocabulary | None) -> tuple[list[str], list[str], list[str]]:
    """Sort words into known, common (in most texts) and unknown ones."""
    known, common, unknown = dict[str, None](), dict[str, None](), dict[str, None]()
    for match in _WORD.finditer(text):
        word = match[0]
        if word.lower() in FUNCTION_WORDS or (len(word) == 1 and word.isascii() and word.isalpha()):
            continue
        share = float(word.isascii()) / 2 if vocabulary is None else vocabulary.share(word)
        share *= not any(c.isdigit() for c in word)
        (known if 0 < share <= _COMMON else common if share else unknown)[word] = None
    return list(known), list(common), list(unknown)


def _suggestions(unknown: list[str], vocabulary: Vocabulary | None) -> dict[str, tuple[str, ...]]:
    if vocabulary is None:
        return {}
    words = [word for word in unknown if word.isascii()][:_MAX_SUGGESTIONS]
    found = {word: tuple(vocabulary.suggest(word)) for word in words}
    return {word: others for word, others in found.items() if others}


def _content(text: str, dropped: list[str], spans: list[tuple[int, int]]) -> str:
    """Return the text to embed: the query without names, coordinates and unknown words."""
    remainder = _Remainder(text)
    remainder.remove(*spans)
    kept = remainder.text
    for name in sorted(dropped, key=len, reverse=True):
        kept = re.sub(rf"(?:\b(?:in|of|near|at|from)\s+(?:the\s+)?)?(?<!\w){re.escape(name)}(?!\w)",
                      " ", kept)  # fmt: skip
    return " ".join(kept.split())


def _refuse(question: Question, mentions: list[ClassMention], common: list[str]) -> Question:
    """Add a refusal to a query without searchable content."""
    named = sum(len(mention.phrase.split()) for mention in mentions)
    understood = named + len(question.words) + 2 * len(question.conditions)
    placed = question.cone is not None or question.hosts
    if placed or question.sources or question.like or len(question.unknown) <= understood != 0:
        return question
    if question.unused and not question.unknown:
        reason = (
            "The index lacks these names, places or values: describe the source by its class or "
            "spectrum, or give its position (RA 187.278 Dec +2.052)."
        )
    elif question.unknown:
        reason = "Not understood: use English, and a source class, spectral property or value."
    else:
        what = f"“{' '.join(common)}” does not distinguish sources" if common else "Empty query"
        reason = f"{what}: add a source class, a spectral property or a value."
    return replace(question, refusal=reason)


def _with_unit(condition: Condition) -> str:
    unit = VARIABLES.get(condition.variable) or ""
    sign = "× " if unit[:1].isdigit() else ""  # a multiple, as 1e20 cm-2
    return f"{condition} {sign}{unit}".rstrip()
