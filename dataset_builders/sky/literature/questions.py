"""Questions to a language model about papers, and the check on its answers.

An answer that is not three sections of English about the papers given is refused, whatever made it
so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_specclip.literature import SECTIONS

# Of papers in one question: far inside a window of 128,000 tokens, where models still read well.
MAX_BYTES = 60_000
_BIBCODE = re.compile(r"\b[12]\d{3}[A-Za-z][A-Za-z0-9.&]{13}[A-Z]\b")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = frozenset(
    (
        *("the", "of", "and", "a", "an", "in", "is", "are", "to", "with"),
        *("as", "from", "by", "at", "for", "its", "it", "that", "was", "on"),
    )
)
_FENCED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": ["string", "null"]} for name in SECTIONS},
        "papers": {"type": "array", "items": {"type": "string"}},
    },
    "required": [*SECTIONS, "papers"],
    "additionalProperties": False,
}


def problem_of(answer: Any, ids: Sequence[str], max_words: int) -> str | None:
    """Name the fault of an answer, or return None where it can be used.

    Args:
        answer: parsed.
        ids: of the papers that it may name.
        max_words: in a section.
    """
    if not isinstance(answer, dict) or any(name not in answer for name in (*SECTIONS, "papers")):
        return f"it is no JSON object with {', '.join(SECTIONS)} and papers"
    if not isinstance(answer["papers"], list):
        return "papers is no list"
    unknown = [str(code) for code in answer["papers"] if code not in ids]
    if unknown:
        return f"{unknown[0][:40]!r} is none of the papers"
    texts = {}
    for name in SECTIONS:
        text = answer[name]
        if text is not None and not isinstance(text, str):
            return f"{name} is neither text nor null"
        if text is not None and text.strip():
            texts[name] = text
    if not texts:
        return None if not answer["papers"] else "every section is empty"
    for name, text in texts.items():
        words = _WORD.findall(text.lower())
        if len(text.split()) > max_words:
            return f"{name} has {len(text.split())} words, more than {max_words}"
        if len(words) < 3:
            return f"{name} is too short to say anything"
        if len(words) >= 8 and sum(word in _COMMON for word in words) < 0.1 * len(words):
            return f"{name} is not English prose"
        strange = [code for code in _BIBCODE.findall(text) if code not in ids]
        if strange:
            return f"{name} names {strange[0]}, which is none of the papers"
    return None


def parse_answer(content: str) -> Any:
    """Parse an answer's JSON, fenced or not; None where it is none."""
    fenced = _FENCED.fullmatch(content)
    try:
        return json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError):
        return None


def notes_documents(notes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Turn notes into the documents of the question that follows."""
    return [
        {
            "id": ", ".join(answer["papers"]) or "notes",
            "text": " ".join(answer[name] or "" for name in SECTIONS),
        }
        for answer in notes
    ]


def sections_of(answer: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the sections of an answer, without its list of papers."""
    return {name: answer[name] for name in SECTIONS}


def portions_of(
    documents: Sequence[Mapping[str, Any]], limit: int
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the documents in portions of at most `limit` bytes; longer ones are cut at words."""
    portion: list[Mapping[str, Any]] = []
    size = 0
    for document in documents:
        for text in _pieces(document["text"], limit // 2):
            piece = {**document, "text": text}
            length = len(json.dumps(piece, ensure_ascii=False).encode("utf-8", "replace"))
            if portion and size + length > limit:
                yield portion
                portion, size = [], 0
            portion.append(piece)
            size += length
    if portion:
        yield portion


def _pieces(text: str | None, limit: int) -> Iterator[str | None]:
    if text is None or len(text.encode("utf-8", "replace")) <= limit:
        yield text
        return
    words: list[str] = []
    size = 0
    for word in text.split():
        length = len(word.encode("utf-8", "replace")) + 1
        if words and size + length > limit:
            yield " ".join(words)
            words, size = [], 0
        words.append(word)
        size += length
    yield " ".join(words)


def size_of(messages: Sequence[Mapping[str, str]]) -> int:
    """Count the bytes of a question's messages."""
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)
