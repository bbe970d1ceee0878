"""Extractive summaries: sentences quoted from the abstracts of the papers about a source.

They need no language model, unlike the summaries of arXiv 2603.04516. All sentences are quoted,
except the first of `identity` and the introduction of `context`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .sentences import split_sentences
from .source_classes import FAMILIES, class_names, find_class, with_article
from .source_names import name_key, name_matcher

MAX_WORDS = 100
# Shorter sentences have no content; longer ones are lists, or lack a full stop.
_SENTENCE_WORDS = range(5, 61)
_TITLES = 4
_NO_CLASS = {"", "unidentified", "unknown", "other", "none", "nan"}

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_KINDS = {key: re.compile(kind, re.IGNORECASE) for key, kind in _TABLES["sentences"].items()}
_XRAY_TERMS = [
    (re.compile(pattern, re.IGNORECASE), int(weight))
    for weight, patterns in _TABLES["xray_terms"].items()
    for pattern in patterns
]


class _Sentence(NamedTuple):
    """Sentence of an abstract, with its place and its relation to the source."""

    text: str
    place: tuple[int, int]  # paper, position in it
    names_source: bool
    about_source: bool  # the paper is about the source, or the sentence names it
    xray_paper: bool


def extractive_summary(
    name: str,
    aliases: Sequence[str] | None = None,
    host: str | None = None,
    source_class: str | None = None,
    papers: Iterable[Mapping[str, Any]] = (),
    is_survey: Sequence[bool] | None = None,
) -> dict[str, str | None]:
    """Summarise a source in three sections, from the catalogue and its papers.

    * `identity`: names, class and host, and sentences that describe the nature of the source.
    * `spectrum`: sentences about its X-ray emission, or else from X-ray papers about the host,
      marked as such.
    * `context`: host, titles of the papers, and other sentences.

    The result is deterministic. A survey (a paper linked to very many sources) is quoted only where
    it names this source, and not if all papers are surveys.

    Args:
        name: name of the source, e.g. `2CXO J004243.9+411610`.
        aliases: other names.
        host: host galaxy or star cluster.
        source_class: class in a catalogue or SIMBAD, e.g. `LMXB`, `QSO`, `CV*`.
        papers: mappings with `title`, `abstract`, `about` (`"source"` or `"host"`, the default) and
            `xray` (bool, default False).
        is_survey: one flag per paper; all False by default.

    Returns:
        `{"identity", "spectrum", "context"}`, at most `MAX_WORDS` words each; None for an empty
        section, and for all three if every paper is a survey.

    Raises:
        ValueError: the lengths of `is_survey` and `papers` differ.

    Examples:
        >>> extractive_summary("2CXO J1", ["X-7"], "NGC0598", "HMXB")["identity"]
        '2CXO J1, also known as X-7, is a high-mass X-ray binary in NGC 598.'
    """
    papers = list(papers)
    surveys = [False] * len(papers) if is_survey is None else list(is_survey)
    if len(surveys) != len(papers):
        raise ValueError(
            f"{len(papers)} papers need as many flags in is_survey, not {len(surveys)}"
        )
    if papers and all(surveys):
        return {"identity": None, "spectrum": None, "context": None}
    names = [_text(alias) for alias in ([] if aliases is None else aliases) if _text(alias)]
    # Catalogues list a name in several spellings: "V* V1033 Sco", "V1033 SCO".
    spellings = {name_key(re.sub(r"^(?:V\*|\*+|NAME)\s+", "", n)): n for n in reversed(names)}
    names = [n for n in spellings.values() if n != name][::-1]
    # "NGC0224" becomes "NGC 224".
    host = re.sub(r"^(NGC|IC|UGC|PGC)\s*0*(\d+\w?)$", r"\1 \2", _plain(_text(host)))
    ranked = sorted(
        zip(papers, surveys, strict=True),
        key=lambda pair: (pair[0].get("about") != "source", not pair[0].get("xray")),
    )
    sentences = _sentences(ranked, name_matcher([name, *names]))
    titles = [_plain(_text(p.get("title"))).rstrip(".") for p, survey in ranked if not survey]
    used: set[str] = set()
    return {
        "identity": _identity(name, names, _text(source_class), host, sentences, used),
        "spectrum": _spectrum(host, sentences, used),
        "context": _context(host, list(dict.fromkeys(filter(None, titles))), sentences, used),
    }


def _identity(
    name: str,
    aliases: list[str],
    source_class: str,
    host: str,
    sentences: list[_Sentence],
    used: set[str],
) -> str | None:
    class_phrase = _class_in_words(source_class)
    if not (class_phrase or host or aliases or any(s.about_source for s in sentences)):
        return None  # a name alone has no content
    also = f", also known as {_plain(', '.join(aliases[:4]))}," if aliases else ""
    opening = f"{_plain(name)}{also} is {class_phrase or 'an X-ray source'}"
    if host and not (class_phrase and class_phrase.endswith(host)):
        opening += f" in {host}"
    # A sentence that names the source and describes it.
    best = [(5, s) for s in sentences if s.names_source and _KINDS["is_something"].search(s.text)]
    if not best and host:
        # Else a sentence that classifies the host.
        spelled = re.escape(host).replace(r"\ ", r"[\s-]?")
        subject = re.compile(rf"{spelled}\b[^.;]{{0,40}}?\bis (?:an?|the|one)\b")
        best = [(1, s) for s in sentences if subject.search(s.text)][:1]
    return _compose(opening + ".", best, used, most=2)


def _spectrum(host: str, sentences: list[_Sentence], used: set[str]) -> str | None:
    scored = [
        (score + 2 * s.names_source, s) for s in sentences if (score := _xray_score(s.text)) >= 3
    ]
    if of_source := [(score, s) for score, s in scored if s.about_source]:
        return _compose("", of_source, used, most=4)
    # Sentences about other sources of the host are marked as such.
    of_host = [
        (n, s) for n, s in scored if s.xray_paper and not _KINDS["one_object"].search(s.text)
    ]
    opening = f"X-ray studies of {host or 'its surroundings'}:"
    text = _compose(opening, of_host, used, most=3)
    return None if text == opening else text


def _context(
    host: str, titles: list[str], sentences: list[_Sentence], used: set[str]
) -> str | None:
    # The first sentence of an abstract usually explains why an object is studied.
    remaining = [
        (2 * s.about_source + (s.place[1] == 0), s) for s in sentences if s.text not in used
    ]
    if not titles and not remaining:
        return None  # the host is already in `identity`
    opening = f"It lies in {host}." if host else ""
    for count in range(min(_TITLES, len(titles)), 0, -1):
        stop = "" if titles[count - 1].endswith(("?", "!")) else "."
        listed = f"{opening} Studied in: {'; '.join(titles[:count])}{stop}".strip()
        if len(listed.split()) <= MAX_WORDS * 2 // 3:
            break
    return _compose(listed if titles else opening, remaining, used, most=4)


def _compose(
    opening: str, scored: list[tuple[int, _Sentence]], used: set[str], *, most: int
) -> str | None:
    """Join the opening and the best sentences that fit, in their original order."""
    room = MAX_WORDS - len(opening.split())
    chosen: list[_Sentence] = []
    for _, s in sorted(scored, key=lambda pair: (-pair[0], pair[1].place)):
        length = len(s.text.split())
        if len(chosen) < most and s.text not in used and length <= room:
            used.add(s.text)
            chosen.append(s)
            room -= length
    texts = (s.text for s in sorted(chosen, key=lambda s: s.place))
    words = " ".join([opening, *texts]).split()
    text = " ".join(words if len(words) <= MAX_WORDS else [*words[: MAX_WORDS - 1], "…"])
    return text or None


def _sentences(
    ranked: list[tuple[Mapping[str, Any], bool]], named: Callable[[str], bool]
) -> list[_Sentence]:
    """Return the sentences that may be quoted; of a survey, those that name the source."""
    result: dict[str, _Sentence] = {}
    for number, (paper, is_survey) in enumerate(ranked):
        for position, text in enumerate(_plain_sentences(_text(paper.get("abstract")))):
            if text in result or len(text.split()) not in _SENTENCE_WORDS:
                continue
            names_source = named(text)
            if names_source or not (is_survey or _KINDS["about_the_paper"].search(text)):
                about_source = names_source or paper.get("about") == "source"
                xray = bool(paper.get("xray"))
                place = number, position
                result[text] = _Sentence(text, place, names_source, about_source, xray)
    return list(result.values())


# Cached, because a paper about a host is used for all of its sources.
@lru_cache(maxsize=4096)
def _plain_sentences(abstract: str) -> tuple[str, ...]:
    abstract = re.sub(r"^\W*abridged\W*", "", abstract, flags=re.IGNORECASE)
    return tuple(_plain(sentence) for sentence in split_sentences(abstract))


@lru_cache(maxsize=65536)
def _xray_score(text: str) -> int:
    """Score a sentence by its X-ray terms; 0 for other wavelengths."""
    weights = (weight for term, weight in _XRAY_TERMS if term.search(text))
    return sum(weights) if _KINDS["is_xray"].search(text) else 0


def _class_in_words(source_class: str) -> str:
    """Return a class as a noun phrase; an unknown one is quoted, an empty one gives ''."""
    words = re.sub(r"[\s_]+", " ", source_class).strip("? ").split()
    if " ".join(words).lower() in _NO_CLASS:
        return ""
    # Some catalogues concatenate classes: "LMXRB GLOBULAR CLUSTER", "HMXRB BE STAR X-RAY PULSAR".
    phrase = ""
    while words:
        heads = (" ".join(words[:n]) for n in range(len(words), 0, -1))
        if not (head := next(filter(find_class, heads), "")):
            return f"classified as {_plain(source_class.strip())}"
        name = class_names(head)[0]
        if any(head.lower() in family.names for family in FAMILIES.values()):
            name = with_article(head.lower())  # a star need not be active
        if name not in phrase:
            joint = " in " if name == "a globular cluster" else " with "
            phrase += f"{joint if phrase else ''}{name}"
        words = words[len(head.split()) :]
    return f"possibly {phrase}" if source_class.strip().endswith("?") else phrase


def _text(value: Any) -> str:
    """Return a string of a table, '' for None or NaN."""
    return value.strip() if isinstance(value, str) else ""


def _plain(text: str) -> str:
    """Convert LaTeX to plain text: `$10^{38}$ erg\\,s$^{-1}$` becomes `10^38 erg s^-1`."""
    # A tilde between words is a space in LaTeX ("NGC~6397"); elsewhere it means "about".
    text = re.sub(r"(?<=[\w$}.])~(?=[\w\\$(])", " ", text)
    text = re.sub(r"\\[,;: !]", " ", text)
    text = re.sub(r"\\([a-zA-Z]+)\*? ?", lambda m: _TABLES["symbols"].get(m[1], m[1]), text)
    text = re.sub(r"\\([&%$#_{}])", r"\1", text)
    text = re.sub(r"[{}$]|\\", "", text)
    text = text.replace("---", " – ").replace("``", '"').replace("''", '"')
    return " ".join(text.split())
