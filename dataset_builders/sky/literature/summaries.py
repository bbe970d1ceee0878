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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hf_specclip.errors import SpecCLIPError
from hf_specclip.literature import SECTIONS

from .answers import Answer, AnswerCache, Spent
from .bibliography import SourceLiterature
from .ranking import RankedPaper

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
PROMPTS = Path(__file__).parent / "prompts"
# In a batch, which is answered within a day, prices are half.
BATCH_SHARE = 0.5
# US dollars for a million tokens, in and out (openai.com/api/pricing).
PRICES: Mapping[str, tuple[float, float]] = {"gpt-4o-mini": (0.15, 0.60)}
# English prose has 4 to 5 bytes a token, formulae about 3: counting would need a vocabulary from
# the network. Forecasts use what the server has counted so far.
BYTES_A_TOKEN = 4.0
_FEWEST_BYTES_A_TOKEN = 2.5
MAX_OUTPUT_TOKENS = 900
USUAL_OUTPUT_TOKENS = 350
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
_FENCED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
# What servers that know no structured output call it when they refuse a question.
_FORM_WORDS = re.compile(
    r"response_format|json_schema|max_completion_tokens|\bseed\b|unsupported|extra", re.IGNORECASE
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


class SummaryError(SpecCLIPError, RuntimeError):
    """A source whose answers could not be used; others may go on."""


class CapReachedError(SpecCLIPError, RuntimeError):
    """The next question could cost more than is allowed; everything answered is kept."""


class _Unanswered(Exception):
    """A question whose answer is not there, where none may be asked."""

    def __init__(self, messages: Sequence[Mapping[str, str]]) -> None:
        super().__init__()
        self.messages = messages


class _FormRefusedError(Exception):
    """The server knows no structured output."""


class ModelError(SpecCLIPError, RuntimeError):
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
        may_ask: whether questions will be asked; a forecast alone needs no key.

    Attributes:
        asked: questions sent.
        full_text: gives the text of a paper by its id, or None; without it, abstracts are read.
        client: of OpenAI.

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
        may_ask: bool = True,
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
        self.full_text: Callable[[str], str | None] | None = None
        self._lock = threading.Lock()
        self._longest = timeout * (max_retries + 1)
        self._plain = False
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if may_ask and not key and self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            raise ModelError(
                "OpenAI needs a key: export OPENAI_API_KEY=… (platform.openai.com), or use "
                "--summariser extractive, which needs none"
            )
        self.client = openai.OpenAI(
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
        return name + (", full texts" if self.full_text is not None else "")

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
        documents = self._documents(papers)
        if not documents:
            return {}
        ids = [document["id"] for document in documents]
        portions = list(_portions(documents, MAX_BYTES))
        if len(portions) > 1:
            found = [self._ask("notes", source, portion, ids) for portion in portions]
            portions = [_notes(found)]
        return _sections(self._ask("summary", source, portions[0], ids))

    def unanswered(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> list[Sequence[Mapping[str, str]]]:
        """The questions to ask next for a source: messages of each, none where all is answered.

        Args:
            source: what is known of it.
            papers: behind the summary.
        """
        documents = self._documents(papers)
        if not documents:
            return []
        ids = [document["id"] for document in documents]
        portions = list(_portions(documents, MAX_BYTES))
        found, left = [], []

        def look(kind: str, portion: Sequence[Mapping[str, Any]]) -> None:
            try:
                found.append(self._ask(kind, source, portion, ids, may_send=False))
            except _Unanswered as question:
                left.append(question.messages)

        try:
            if len(portions) > 1:
                for portion in portions:
                    look("notes", portion)
                if left:
                    return left
                portions = [_notes(found)]
            look("summary", portions[0])
        except SummaryError:
            return []
        return left

    def forecast(
        self,
        sources: Iterable[tuple[SourceLiterature, Sequence[RankedPaper]]],
        *,
        batches: bool = False,
    ) -> CostForecast:
        """What sources will take that are not in the cache; nothing is asked.

        Args:
            sources: each with the papers behind its summary.
            batches: whether the questions go in batches.

        Tokens for a byte, and tokens of an answer, are those counted so far where there are any.
        """
        spent = self.cache.spent()
        per_byte = (
            spent.input_tokens / spent.input_bytes if spent.input_bytes else 1 / BYTES_A_TOKEN
        )
        out = spent.output_tokens / spent.answers if spent.answers else USUAL_OUTPUT_TOKENS
        questions, size = 0, 0
        for source, papers in sources:
            portions = list(_portions(self._documents(papers), MAX_BYTES))
            kind = "notes" if len(portions) > 1 else "summary"
            for portion in portions:
                messages = self._messages(kind, source, portion)
                if self.cache.get(self.key(messages)) is None:
                    questions += 1
                    size += _size(messages)
            if len(portions) > 1:  # the summary of the notes
                questions += 1
                size += len(portions) * round(out * BYTES_A_TOKEN)
        tokens_in, tokens_out = size * per_byte, questions * out
        dollars = self.dollars(tokens_in, tokens_out)
        if dollars is not None and batches:
            dollars *= BATCH_SHARE
        return CostForecast(questions, tokens_in, tokens_out, dollars)

    @property
    def fixed_bytes(self) -> int:
        """Of a question, beside the papers."""
        source = SourceLiterature("2CXO J000000.0+000000", ("alias",) * 5, "X", "host", ())
        return _size(self._messages("summary", source, ()))

    # -- one question

    def _documents(self, papers: Sequence[RankedPaper]) -> list[dict[str, Any]]:
        documents = []
        for paper in papers:
            text = self.full_text(paper.id) if self.full_text is not None else None
            text = text or paper.abstract
            if paper.title or text:
                documents.append(
                    {"id": paper.id, "year": paper.year, "title": paper.title, "text": text}
                )
        return documents

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
        task = [*self.prompt[kind], *([self.prompt["form"]] if self._plain else [])]
        return [
            {"role": "system", "content": " ".join(task)},
            {"role": "user", "content": data},
        ]

    def key(self, messages: Sequence[Mapping[str, str]]) -> bytes:
        """Of a question, in the cache."""
        return AnswerCache.key([self.name, messages])

    def _ask(
        self,
        kind: str,
        source: SourceLiterature,
        documents: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        *,
        may_send: bool = True,
    ) -> dict[str, Any]:
        messages = self._messages(kind, source, documents)
        problem = ""
        for _ in range(ATTEMPTS):
            answer = self.cache.get(self.key(messages))
            if answer is None and not may_send:
                raise _Unanswered(messages)
            if answer is None:
                try:
                    answer = self._send(messages, source.name)
                except _FormRefusedError:
                    # A server without structured output is asked in words.
                    self._plain = True
                    return self._ask(kind, source, documents, ids)
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

    def body(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """What is sent for a question."""
        asked: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": 0}
        if self._plain:
            return {**asked, "max_tokens": MAX_OUTPUT_TOKENS}
        form = {"name": "summary", "strict": True, "schema": _SCHEMA}
        return {
            **asked,
            "seed": 0,
            "max_completion_tokens": MAX_OUTPUT_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": form},
        }

    def worst(self, messages: Sequence[Mapping[str, str]], *, batched: bool = False) -> float:
        """The most dollars that a question can cost; 0 where the price is not known."""
        most = self.dollars(_size(messages) / _FEWEST_BYTES_A_TOKEN, MAX_OUTPUT_TOKENS) or 0.0
        return most * BATCH_SHARE if batched else most

    def money_left(self) -> float | None:
        """Dollars that may still be spent; None without a cap."""
        if self.max_dollars is None:
            return None
        return self.max_dollars - self._paid(self.cache.spent()) - self.cache.set_aside()

    def answer_of(self, completion: Any, messages: Sequence[Mapping[str, str]]) -> Answer:
        """What a chat completion of the client says.

        Raises:
            ValueError, TypeError, AttributeError, IndexError: when it is none.
        """
        content = completion.choices[0].message.content or ""
        usage, size = completion.usage, _size(messages)
        return Answer(
            content,
            usage.prompt_tokens if usage else round(size / BYTES_A_TOKEN),
            usage.completion_tokens if usage else round(len(content) / BYTES_A_TOKEN),
            size,
        )

    def _send(self, messages: Sequence[Mapping[str, str]], item: str) -> Answer:
        import openai

        aside = self.set_aside(self.worst(messages), item, self._longest)
        with self._lock:
            self.asked += 1
        refused = False
        try:
            for last in (False, False, True):
                completion = self.client.chat.completions.create(**self.body(messages))
                try:
                    answer = self.answer_of(completion, messages)
                except (ValueError, TypeError, AttributeError, IndexError) as error:
                    if last:
                        message = f"sent an answer in another form than OpenAI's ({error})."
                    continue
                # Paid for, it is kept, whether it can be used or not; before its money is given
                # back, as another thread could spend it again in between.
                self.cache.put(self.key(messages), answer)
                return answer
        except openai.OpenAIError as error:
            message = f"{str(error)[:400]}. {_way_out(getattr(error, 'status_code', None))}"
            refused = getattr(error, "status_code", None) in (400, 404, 422, 501) and bool(
                _FORM_WORDS.search(str(error))
            )
        except (ValueError, TypeError) as error:  # what the client could not parse
            message = f"sent an answer in another form than OpenAI's ({error}). Check base_url"
        finally:
            self.cache.release(aside)
        if refused and not self._plain:
            raise _FormRefusedError
        # Outside the handlers: the client's error holds the request and with it the key.
        raise ModelError(self.scrub(f"{self.name}, {item}: {message}"))

    def set_aside(self, dollars: float, item: str, seconds: float) -> str | None:
        """Set money aside for questions; what is given back goes to `cache.release`.

        Raises:
            CapReachedError: when all together could then pass the cap.
        """
        if self.max_dollars is None:
            return None
        aside, paid = self.cache.reserve(dollars, self.max_dollars, self._paid, seconds)
        if aside is None:
            raise CapReachedError(
                f"{self.name}, {item}: ${paid:.4f} are spent, and the next question could go over "
                f"the cap of ${self.max_dollars:.2f}; every answer is kept: run again with a "
                "higher cap to go on"
            )
        return aside

    def _paid(self, spent: Spent) -> float:
        alone = self.dollars(
            spent.input_tokens - spent.batched_input_tokens,
            spent.output_tokens - spent.batched_output_tokens,
        )
        batched = self.dollars(spent.batched_input_tokens, spent.batched_output_tokens)
        return (alone or 0.0) + BATCH_SHARE * (batched or 0.0)

    def dollars(self, tokens_in: float, tokens_out: float) -> float | None:
        """Their price, outside batches; None where it is not known."""
        if self.prices is None:
            return None
        return (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6

    def scrub(self, text: str) -> str:
        """A text without the key, and without what looks like one."""
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
    fenced = _FENCED.fullmatch(content)
    try:
        return json.loads(fenced[1] if fenced else content)
    except ValueError:
        return None


def _notes(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Notes as documents of the question that follows."""
    return [
        {
            "id": ", ".join(notes["papers"]) or "notes",
            "text": " ".join(notes[name] or "" for name in SECTIONS),
        }
        for notes in found
    ]


def _sections(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: found[name] for name in SECTIONS}


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
