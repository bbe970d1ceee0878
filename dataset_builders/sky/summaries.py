"""Summaries by a language model, GPT-4o-mini as in arXiv 2603.04516: asked, checked, paid for once.

Papers are data: they go into the user's message as JSON and nowhere else, the task stands in the
system's message alone, and an answer that is not three sections of English about the papers given
is refused, whatever made it so.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hf_specclip.literature import SECTIONS

from .answers import Answer, AnswerCache
from .bibliography import SourceLiterature
from .ranking import RankedPaper

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
PROMPTS = Path(__file__).parent / "prompts"
# US dollars for a million tokens, in and out (openai.com/api/pricing).
PRICES: Mapping[str, tuple[float, float]] = {"gpt-4o-mini": (0.15, 0.60)}
# English prose has 4 to 5 bytes a token, formulae about 3: counting would need a vocabulary from
# the network. Forecasts use what the server has counted so far.
BYTES_A_TOKEN = 4.0
_FEWEST_BYTES_A_TOKEN = 2.5
MAX_OUTPUT_TOKENS = 900
_USUAL_OUTPUT_TOKENS = 350
# Of papers in one question: far inside a window of 128,000 tokens, where models still read well.
MAX_BYTES = 60_000
ATTEMPTS = 3
_BIBCODE = re.compile(r"\b[12]\d{3}[A-Za-z][A-Za-z0-9.&]{13}[A-Z]\b")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = frozenset(
    (
        *("the", "of", "and", "a", "an", "in", "is", "are", "to", "with"),
        *("as", "from", "by", "at", "for", "its", "it", "that", "was", "on"),
    )
)
_SECRETS = re.compile(r"sk-[\w-]{6,}|(?i:bearer)\s+\S+")
_SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": ["string", "null"]} for name in SECTIONS},
        "papers": {"type": "array", "items": {"type": "string"}},
    },
    "required": [*SECTIONS, "papers"],
    "additionalProperties": False,
}


class SummaryError(RuntimeError):
    """A source whose answers could not be used; others may go on."""


class CapReachedError(RuntimeError):
    """The next question could cost more than is allowed; everything answered is kept."""


class ModelError(RuntimeError):
    """The model cannot be reached or refuses; the message says what to do and holds no key."""


@dataclass(frozen=True)
class CostForecast:
    """What summaries will take.

    Attributes:
        questions: to ask.
        input_tokens, output_tokens: all together.
        dollars: None where the model's price is not known.
    """

    questions: int
    input_tokens: float
    output_tokens: float
    dollars: float | None

    def __str__(self) -> str:
        cost = "at an unknown price" if self.dollars is None else f"about ${self.dollars:,.2f}"
        return (
            f"{self.questions:,} questions, about {self.input_tokens:,.0f} tokens in and "
            f"{self.output_tokens:,.0f} out, {cost}"
        )


class ModelSummariser:
    """Asks a language model for the three sections.

    The key comes from OPENAI_API_KEY and goes to the server alone. A server of one's own
    (`base_url`) may need none.

    Args:
        cache: where answers are kept.
        model: name at the server.
        base_url: of an OpenAI-compatible server; by default OPENAI_BASE_URL, else OpenAI.
        prompt: version of the prompts, a file of `prompts/`.
        max_dollars: stop before more could be spent (what is in the cache counts).
        prices: dollars for a million tokens in and out, for models that are not in `PRICES`.
        workers: questions at once.
        timeout: s, for an answer.
        max_retries: of the client, after failures that pass.

    Attributes:
        asked: questions sent.

    Raises:
        ModelError: when OpenAI itself is asked and there is no key.
        ValueError: for a cap without a price.
    """

    def __init__(
        self,
        cache: AnswerCache,
        model: str = DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        prompt: str = "v1",
        max_dollars: float | None = None,
        prices: tuple[float, float] | None = None,
        workers: int = 4,
        timeout: float = 120.0,
        max_retries: int = 5,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise ImportError(
                'summaries by a model need openai: pip install "hf-specclip[openai]"'
            ) from error
        self.cache = cache
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self.prompt = json.loads((PROMPTS / f"{prompt}.json").read_text(encoding="utf-8"))
        self.prices = prices or PRICES.get(model)
        if max_dollars is not None and self.prices is None:
            raise ValueError(f"the price of {model} is not known: give prices, or no cap")
        self.max_dollars = max_dollars
        self.workers = workers
        self.asked = 0
        self._lock = threading.Lock()
        self._reserved = 0.0
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key and self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            raise ModelError(
                "OpenAI needs a key: export OPENAI_API_KEY=… (platform.openai.com), or use "
                "--summariser extractive, which needs none"
            )
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=self.base_url,
            timeout=timeout,
            max_retries=max_retries,
        )

    def __repr__(self) -> str:
        return f"ModelSummariser({self.name!r})"

    @property
    def name(self) -> str:
        """Model, prompt, and the server where it is not OpenAI."""
        name = f"openai:{self.model}, prompt {self.prompt['version']}"
        if self.base_url.rstrip("/") != DEFAULT_BASE_URL:
            parts = urlsplit(self.base_url)  # user, password and query may be secrets
            name += f", {parts.scheme}://{parts.hostname}" + (
                f":{parts.port}" if parts.port else ""
            )
        return name

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Three sections, checked.

        Long papers are read in pieces: notes on each portion first, then a summary of the notes.

        Args:
            source: what is known of it.
            papers: behind the summary.

        Raises:
            SummaryError: no answer could be used.
            CapReachedError: the next question could exceed the cap.
            ModelError: the server refuses or cannot be reached.
        """
        documents = [_document(paper) for paper in papers if paper.title or paper.abstract]
        if not documents:
            return {}
        ids = [document["id"] for document in documents]
        portions = list(_portions(documents, MAX_BYTES))
        if len(portions) > 1:
            notes: list[Mapping[str, Any]] = []
            for portion in portions:
                found = self._ask("notes", source, portion, ids)
                text = " ".join(found[name] or "" for name in SECTIONS)
                notes.append({"id": ", ".join(found["papers"]) or "notes", "text": text})
            portions = [notes]
        found = self._ask("summary", source, portions[0], ids)
        return {name: found[name] for name in SECTIONS}

    def forecast(
        self, sources: Sequence[tuple[SourceLiterature, Sequence[RankedPaper]]]
    ) -> CostForecast:
        """What sources will take that are not in the cache; nothing is asked.

        Tokens for a byte, and tokens of an answer, are those counted so far where there are any.
        """
        spent = self.cache.spent()
        per_byte = (
            spent.input_tokens / spent.input_bytes if spent.input_bytes else 1 / BYTES_A_TOKEN
        )
        out = spent.output_tokens / spent.answers if spent.answers else _USUAL_OUTPUT_TOKENS
        questions, size = 0, 0
        for source, papers in sources:
            documents = [_document(paper) for paper in papers if paper.title or paper.abstract]
            portions = list(_portions(documents, MAX_BYTES))
            kind = "notes" if len(portions) > 1 else "summary"
            for portion in portions:
                messages = self._messages(kind, source, portion)
                if self.cache.get(self._key(messages)) is None:
                    questions += 1
                    size += _size(messages)
        tokens_in, tokens_out = size * per_byte, questions * out
        return CostForecast(questions, tokens_in, tokens_out, self._dollars(tokens_in, tokens_out))

    # -- one question

    def _messages(
        self, kind: str, source: SourceLiterature, documents: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, str]]:
        about = {
            "name": source.name,
            "other_names": list(source.aliases[:20]),
            "class": source.source_class,
            "host": source.host,
        }
        data = json.dumps({"source": about, "papers": list(documents)}, ensure_ascii=False)
        return [
            {"role": "system", "content": " ".join(self.prompt[kind])},
            {"role": "user", "content": data},
        ]

    def _key(self, messages: Sequence[Mapping[str, str]]) -> bytes:
        return AnswerCache.key([self.name, messages])

    def _ask(
        self,
        kind: str,
        source: SourceLiterature,
        documents: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
    ) -> dict[str, Any]:
        messages = self._messages(kind, source, documents)
        problem = ""
        for _ in range(ATTEMPTS):
            key = self._key(messages)
            answer = self.cache.get(key)
            if answer is None:
                answer = self._send(messages, source.name)
                # Paid for, it is kept, whether it can be used or not.
                self.cache.put(key, answer)
            found = _parsed(answer.content)
            wrong = problem_of(found, ids, self.prompt["max_words"])
            if wrong is None and found is not None:
                return found
            problem = wrong or "it is no JSON object"
            messages = [
                *messages[:2],
                {"role": "assistant", "content": answer.content[:4000]},
                {"role": "user", "content": self.prompt["again"].format(problem=problem)},
            ]
        raise SummaryError(f"{self.name}, {source.name}: {ATTEMPTS} answers refused: {problem}")

    def _send(self, messages: Sequence[Mapping[str, str]], item: str) -> Answer:
        import openai

        size = _size(messages)
        asked: Any = list(messages)
        form: Any = {
            "type": "json_schema",
            "json_schema": {"name": "summary", "strict": True, "schema": _SCHEMA},
        }
        worst = self._dollars(size / _FEWEST_BYTES_A_TOKEN, MAX_OUTPUT_TOKENS) or 0.0
        self._reserve(worst, item)
        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=asked,
                temperature=0,
                seed=0,
                max_completion_tokens=MAX_OUTPUT_TOKENS,
                response_format=form,
            )
            content = answer.choices[0].message.content or ""
            usage = answer.usage
            return Answer(
                content,
                usage.prompt_tokens if usage else round(size / BYTES_A_TOKEN),
                usage.completion_tokens if usage else round(len(content) / BYTES_A_TOKEN),
                size,
            )
        except openai.OpenAIError as error:
            message = f"{str(error)[:400]}. {_way_out(getattr(error, 'status_code', None))}"
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            message = f"sent an answer in another form than OpenAI's ({error}). Check base_url"
        finally:
            with self._lock:
                self._reserved -= worst
        # Outside the handlers: the client's error holds the request and with it the key.
        raise ModelError(self._scrub(f"{self.name}, {item}: {message}"))

    def _reserve(self, dollars: float, item: str) -> None:
        with self._lock:
            self.asked += 1
            self._reserved += dollars
            if self.max_dollars is None:
                return
            spent = self.cache.spent()
            paid = self._dollars(spent.input_tokens, spent.output_tokens) or 0.0
            if paid + self._reserved > self.max_dollars:
                self._reserved -= dollars
                self.asked -= 1
                raise CapReachedError(
                    f"{self.name}, {item}: ${paid:.4f} are spent, and the next question could go "
                    f"over the cap of ${self.max_dollars:.2f}; every answer is kept: run again "
                    "with a higher cap to go on"
                )

    def _dollars(self, tokens_in: float, tokens_out: float) -> float | None:
        if self.prices is None:
            return None
        return (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6

    def _scrub(self, text: str) -> str:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        return _SECRETS.sub("***", text.replace(key, "***") if key else text)


def problem_of(found: Any, ids: Sequence[str], max_words: int) -> str | None:
    """What is wrong with an answer, None where it can be used.

    Args:
        found: the answer, parsed.
        ids: of the papers that it may name.
        max_words: in a section.
    """
    if not isinstance(found, dict) or any(name not in found for name in (*SECTIONS, "papers")):
        return f"it is no JSON object with {', '.join(SECTIONS)} and papers"
    if not isinstance(found["papers"], list):
        return "papers is no list"
    unknown = [str(code) for code in found["papers"] if code not in ids]
    if unknown:
        return f"{unknown[0][:40]!r} is none of the papers"
    texts = {}
    for name in SECTIONS:
        text = found[name]
        if text is not None and not isinstance(text, str):
            return f"{name} is neither text nor null"
        if text is not None and text.strip():
            texts[name] = text
    if not texts:
        return None if not found["papers"] else "every section is empty"
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


def _parsed(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _document(paper: RankedPaper) -> dict[str, Any]:
    return {"id": paper.id, "year": paper.year, "title": paper.title, "text": paper.abstract}


def _portions(
    documents: Sequence[Mapping[str, Any]], limit: int
) -> Iterator[list[Mapping[str, Any]]]:
    """Documents in portions of at most `limit` bytes; longer ones are cut at words."""
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


def _size(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)


def _way_out(status: int | None) -> str:
    if status in (401, 403):
        return "The key was refused: check OPENAI_API_KEY"
    if status == 404:
        return "Check the model's name and base_url (it ends in /v1 as a rule)"
    if status == 429:
        return "The rate or the quota is used up: check the account's limits, and run again"
    return "Check the network and the server, then run again: every answer is kept"


__all__ = [
    "CapReachedError",
    "CostForecast",
    "ModelError",
    "ModelSummariser",
    "SummaryError",
    "problem_of",
]
