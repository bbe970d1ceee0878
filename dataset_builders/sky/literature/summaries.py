"""Summaries by a language model, GPT-4o-mini as in arXiv 2603.04516.

Every answer is checked, kept, and paid for once. Papers are data: they go into the user's message
as JSON and nowhere else, and the task stands in the system's message alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hf_specclip.errors import SpecCLIPError

from .answers import Answer, AnswerCache, Spent
from .bibliography import SourceLiterature
from .questions import (
    MAX_BYTES,
    SCHEMA,
    notes_documents,
    parse_answer,
    portions_of,
    problem_of,
    sections_of,
    size_of,
)
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
ATTEMPTS = 3
# What servers that know no structured output call it when they refuse a question.
_FORM_WORDS = re.compile(
    r"response_format|json_schema|max_completion_tokens|\bseed\b|unsupported|extra", re.IGNORECASE
)
_SECRETS = re.compile(r"sk-[\w-]{6,}|(?i:bearer)\s+\S+")


class SummaryError(SpecCLIPError, RuntimeError):
    """A source whose answers could not be used; others may go on."""


class CapReachedError(SpecCLIPError, RuntimeError):
    """A question that could cost more than is allowed; everything answered is kept."""


class _Unanswered(Exception):
    """A question whose answer is not there, where none may be asked."""

    def __init__(self, messages: Sequence[Mapping[str, str]]) -> None:
        super().__init__()
        self.messages = messages


class _FormRefusedError(Exception):
    """A server that refuses structured output."""


class ModelError(SpecCLIPError, RuntimeError):
    """A model that refuses or cannot be reached; the message says what to do and holds no key."""


@dataclass(frozen=True)
class CostForecast:
    """Cost of the summaries still to be asked for.

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
    """Summariser that asks a language model for the three sections.

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
        self.full_text: Callable[[str], str | None] | None = None
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
        """Name of model and prompt, and of the server where it is not OpenAI."""
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
        """Ask for the three sections of a source, and check them.

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
        portions = list(portions_of(documents, MAX_BYTES))
        if len(portions) > 1:
            found = [self._ask("notes", source, portion, ids) for portion in portions]
            portions = [notes_documents(found)]
        return sections_of(self._ask("summary", source, portions[0], ids))

    def unanswered(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> list[Sequence[Mapping[str, str]]]:
        """List the messages of the questions to ask next for a source, none where all is answered.

        Args:
            source: what is known of it.
            papers: behind the summary.
        """
        documents = self._documents(papers)
        if not documents:
            return []
        ids = [document["id"] for document in documents]
        portions = list(portions_of(documents, MAX_BYTES))
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
                portions = [notes_documents(found)]
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
        """Forecast the cost of sources that are not in the cache; nothing is asked.

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
            portions = list(portions_of(self._documents(papers), MAX_BYTES))
            kind = "notes" if len(portions) > 1 else "summary"
            for portion in portions:
                messages = self._messages(kind, source, portion)
                if self.cache.get(self.key(messages)) is None:
                    questions += 1
                    size += size_of(messages)
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
        """Bytes of a question beside the papers."""
        source = SourceLiterature("2CXO J000000.0+000000", ("alias",) * 5, "X", "host", ())
        return size_of(self._messages("summary", source, ()))

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
        """Return the key of a question in the cache."""
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
            found = parse_answer(answer.content)
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
        """Build the request for a question."""
        asked: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": 0}
        if self._plain:
            return {**asked, "max_tokens": MAX_OUTPUT_TOKENS}
        form = {"name": "summary", "strict": True, "schema": SCHEMA}
        return {
            **asked,
            "seed": 0,
            "max_completion_tokens": MAX_OUTPUT_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": form},
        }

    def worst(self, messages: Sequence[Mapping[str, str]], *, batched: bool = False) -> float:
        """Bound the dollars that a question can cost; 0 where the price is not known."""
        most = self.dollars(size_of(messages) / _FEWEST_BYTES_A_TOKEN, MAX_OUTPUT_TOKENS) or 0.0
        return most * BATCH_SHARE if batched else most

    def money_left(self) -> float | None:
        """Compute the dollars that may still be spent; None without a cap."""
        if self.max_dollars is None:
            return None
        return self.max_dollars - self._paid(self.cache.spent()) - self.cache.set_aside()

    def answer_of(self, completion: Any, messages: Sequence[Mapping[str, str]]) -> Answer:
        """Read the answer out of a chat completion of the client.

        Raises:
            ValueError, TypeError, AttributeError, IndexError: when it is none.
        """
        content = completion.choices[0].message.content or ""
        usage, size = completion.usage, size_of(messages)
        return Answer(
            content,
            usage.prompt_tokens if usage else round(size / BYTES_A_TOKEN),
            usage.completion_tokens if usage else round(len(content) / BYTES_A_TOKEN),
            size,
        )

    def _send(self, messages: Sequence[Mapping[str, str]], item: str) -> Answer:
        import openai

        aside = self.set_aside(self.worst(messages), item, self._longest)
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
        """Price tokens, outside batches; None where the price is not known."""
        if self.prices is None:
            return None
        return (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6

    def scrub(self, text: str) -> str:
        """Remove the key from a text, and what looks like one."""
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        return _SECRETS.sub("***", text.replace(key, "***") if key else text)


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
]
