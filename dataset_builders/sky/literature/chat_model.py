"""Chat model on an OpenAI-compatible server, with cached responses, validation and a cost limit."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_specclip.errors import SpecCLIPError
from hf_specclip.literature import SECTIONS

from ..services.http_session import public_address, scrub
from ..work.store import Store

Messages = Sequence[Mapping[str, str]]

STAGE = "answers"
DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
BATCH_DISCOUNT = 0.5  # price of the Batch API relative to single requests
# US dollars per million input and output tokens (openai.com/api/pricing).
PRICES: Mapping[str, tuple[float, float]] = {"gpt-4o-mini": (0.15, 0.60)}
# English has 4 to 5 bytes per token, formulae about 3. Forecasts use the server's counts if any;
# a tokenizer would have to be downloaded.
BYTES_PER_TOKEN = 4.0
MIN_BYTES_PER_TOKEN = 2.5
MAX_OUTPUT_TOKENS = 900
ATTEMPTS = 3
TIMEOUT = 120.0  # s
# Finish reason or error code of a response blocked by the content filter.
FILTERED = "content_filter"
# Optional request fields, some of which models do not support.
_OPTIONAL_FIELDS = ("temperature", "seed", "max_completion_tokens", "max_tokens", "response_format")
ADVICE_BY_STATUS = {
    401: "The key was refused: check OPENAI_API_KEY",
    403: "The key was refused: check OPENAI_API_KEY",
    404: "Check the model name and base_url (usually ending in /v1)",
    429: "Rate limit or quota exceeded: check the limits of the account, then run again",
    0: "Check the network and the server, then run again; all responses are kept",
}
_UNSUPPORTED = re.compile(r"unsupported|not supported|unrecognized|unknown|extra", re.IGNORECASE)
# Papers per request, far below a context window of 128,000 tokens.
MAX_BYTES = 60_000
_PIECE = re.compile(r".{1,30000}(?:\s|$)|.{1,30000}", re.DOTALL)
_BIBCODE = re.compile(r"\b[12]\d{3}[A-Za-z][A-Za-z0-9.&]{13}[A-Z]\b")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = {
    "the", "of", "and", "a", "an", "in", "is", "are", "to", "with", "as", "from", "by", "at", "for",
    "its", "it", "that", "was", "on",
}  # fmt: skip
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


class ModelError(SpecCLIPError, RuntimeError):
    """Failed request to a model; the message says what to do and contains no key."""


class BudgetExceededError(ModelError):
    """Request that could exceed the cost limit; all responses so far are kept."""


class FieldRejectedError(Exception):
    """Optional field that the model does not support; the request is sent again without it."""


@dataclass(frozen=True)
class ChatResponse:
    """Response of a language model."""

    content: str
    end: str  # finish reason: `stop`, `length`, `content_filter`, or `refusal: …`
    input_tokens: int  # as counted by the server
    output_tokens: int
    input_bytes: int  # of the messages
    paid_input: float  # tokens times the batch discount
    paid_output: float


FILTERED_RESPONSE = ChatResponse("", FILTERED, 0, 0, 0, 0.0, 0.0)
_SUMMED = ("input_tokens", "output_tokens", "input_bytes", "paid_input", "paid_output")


class ChatModel:
    """Chat model with a persistent cache of responses.

    The key is read from OPENAI_API_KEY; a local server (`base_url`) may not need one.

    Args:
        model: name of the model on the server.
        base_url: OpenAI-compatible server; default OPENAI_BASE_URL, else OpenAI.
        max_dollars: cost limit, including the cached responses.
        prices: dollars per million input and output tokens, for models not in `PRICES`.
        max_retries: retries by the OpenAI client.
        require_key: False for a forecast without requests.

    Attributes:
        client: OpenAI client.
        usage: number of `answers`, and sums of their tokens and bytes as in `ChatResponse`.
        rejected_fields: optional fields that the model does not support.

    Raises:
        ModelError: no key for OpenAI.
        ValueError: a cost limit for a model without a known price.
    """

    def __init__(
        self,
        store: Store,
        model: str = DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        max_dollars: float | None = None,
        prices: tuple[float, float] | None = None,
        max_retries: int = 5,
        require_key: bool = True,
    ) -> None:
        import openai

        self.store = store
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self.prices = prices or PRICES.get(model)
        if max_dollars is not None and self.prices is None:
            raise ValueError(f"the price of {model} is unknown: set prices, or no cost limit")
        self.max_dollars = max_dollars
        self.reload_usage()
        self.rejected_fields: set[str] = set()
        self._reserved = 0.0
        self._lock = threading.Lock()
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if require_key and not key and self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            raise ModelError(
                "no OpenAI key: set OPENAI_API_KEY (platform.openai.com), or use --summariser "
                "extractive"
            )
        self.client = openai.OpenAI(
            api_key=key or "none", base_url=self.base_url, timeout=TIMEOUT, max_retries=max_retries
        )

    @classmethod
    def from_options(
        cls, store: Store, model: str, options: argparse.Namespace, *, require_key: bool = True
    ) -> ChatModel:
        """Create a model from the options of `add_model_options`."""
        return cls(
            store,
            model or DEFAULT_MODEL,
            base_url=options.llm_url,
            max_dollars=options.max_dollars,
            prices=tuple(options.token_prices) if options.token_prices else None,
            require_key=require_key,
        )

    def reload_usage(self) -> None:
        """Recompute the usage from the store, which other processes may have changed."""
        sums = self.store.sums(STAGE, *_SUMMED)
        self.usage = Counter(dict(zip(("answers", *_SUMMED), sums, strict=True)))

    @property
    def name(self) -> str:
        """Model name, with the server unless it is OpenAI."""
        if self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            return f"openai:{self.model}"
        return f"openai:{self.model}, {public_address(self.base_url)}"

    def cache_key(self, messages: Messages) -> str:
        """Return the key of a request in the cache."""
        text = json.dumps([self.name, messages], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def cached_response(self, messages: Messages) -> ChatResponse | None:
        """Return the cached response to a request, or None."""
        key = self.cache_key(messages)
        results = self.store.results(STAGE, [key])
        return ChatResponse(**results[key]) if results else None

    def save_responses(self, responses: Mapping[str, ChatResponse]) -> None:
        """Cache responses by key and add their usage."""
        self.store.put(STAGE, {key: asdict(response) for key, response in responses.items()})
        with self._lock:
            for response in responses.values():
                self.usage.update({"answers": 1, **{n: getattr(response, n) for n in _SUMMED}})

    def request_body(self, messages: Messages) -> dict[str, Any]:
        """Build the body of a request, without rejected fields."""
        json_schema = {"name": "summary", "strict": True, "schema": SCHEMA}
        fields = {
            "temperature": 0,
            "seed": 0,
            "max_completion_tokens": MAX_OUTPUT_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": json_schema},
        }
        if "max_completion_tokens" in self.rejected_fields:
            fields["max_tokens"] = MAX_OUTPUT_TOKENS
        fields = {name: value for name, value in fields.items() if name not in self.rejected_fields}
        return {"model": self.model, "messages": list(messages), **fields}

    def note_rejected_fields(
        self, message: str, body: Mapping[str, Any], param: str | None = None
    ) -> bool:
        """Record the optional fields that an error message or its `param` names.

        Returns:
            True if there are any, and the request should be sent again.
        """
        sent = [name for name in _OPTIONAL_FIELDS if name in body]
        named = [name for name in sent if param and param.startswith(name)]
        text = message.replace("json_schema", "response_format").replace("max tokens", "max_tokens")
        named = named or [name for name in sent if re.search(rf"\b{name}\b", text)]
        if not named and "response_format" in sent and _UNSUPPORTED.search(message):
            named = [name for name in sent if name != "temperature"]
        self.rejected_fields.update(named)
        return bool(named)

    def max_cost(self, messages: Messages, *, batched: bool = False) -> float:
        """Return an upper bound of the cost of a request, dollars; 0 if the price is unknown."""
        size = message_bytes(messages) / MIN_BYTES_PER_TOKEN
        return self.price(size, MAX_OUTPUT_TOKENS, batched=batched) or 0.0

    def parse_completion(
        self, completion: Any, size: int, *, batched: bool = False
    ) -> ChatResponse:
        """Convert a chat completion of the client; `size` is that of the messages, bytes.

        Raises:
            ValueError, TypeError, AttributeError, IndexError: malformed completion.
        """
        choice = completion.choices[0]
        content, refusal = choice.message.content or "", getattr(choice.message, "refusal", None)
        usage = completion.usage
        tokens_in = usage.prompt_tokens if usage else round(size / BYTES_PER_TOKEN)
        tokens_out = usage.completion_tokens if usage else round(len(content) / BYTES_PER_TOKEN)
        discount = BATCH_DISCOUNT if batched else 1.0
        end = f"refusal: {self.scrub(refusal)[:200]}" if refusal else str(choice.finish_reason)
        return ChatResponse(
            content, end, tokens_in, tokens_out, size, discount * tokens_in, discount * tokens_out
        )

    def send(self, messages: Messages, item: str) -> ChatResponse:
        """Send a request and cache the response.

        Raises:
            FieldRejectedError: the request should be built and sent again.
            BudgetExceededError: it could exceed the cost limit.
            ModelError: the server rejects the request or cannot be reached.
        """
        import openai

        message, field_rejected, body = "", False, self.request_body(messages)
        malformed = "malformed response"
        with self.reserve(self.max_cost(messages), item):
            try:
                for _ in range(ATTEMPTS):
                    completion = self.client.chat.completions.create(**body)
                    try:
                        response = self.parse_completion(completion, message_bytes(messages))
                    except (ValueError, TypeError, AttributeError, IndexError) as error:
                        message = f"{malformed} ({error})."
                        continue
                    # Before the reserved budget is released to other threads.
                    self.save_responses({self.cache_key(messages): response})
                    return response
            except openai.OpenAIError as error:
                status = getattr(error, "status_code", None)
                if status == 400 and getattr(error, "code", None) == FILTERED:
                    self.save_responses({self.cache_key(messages): FILTERED_RESPONSE})
                    return FILTERED_RESPONSE
                advice = ADVICE_BY_STATUS.get(status or 0, ADVICE_BY_STATUS[0])
                message = f"{self.scrub(str(error))[:400]}. {advice}"
                field_rejected = status in (400, 404, 422, 501) and self.note_rejected_fields(
                    str(error), body, getattr(error, "param", None)
                )
            except (ValueError, TypeError, RecursionError) as error:
                message = f"{malformed} ({error}). Check base_url"
        # Raised outside the handlers: the client's error as context would carry the key.
        if field_rejected:
            raise FieldRejectedError
        raise ModelError(f"{self.name}, {item}: {self.scrub(message)}")

    @property
    def dollars_spent(self) -> float:
        """Cost so far, dollars; 0 if the price is unknown."""
        return self.price(self.usage["paid_input"], self.usage["paid_output"]) or 0.0

    @property
    def budget_left(self) -> float | None:
        """Remaining budget, dollars; None without a cost limit."""
        return self.max_dollars and self.max_dollars - self.dollars_spent - self._reserved

    @contextlib.contextmanager
    def reserve(self, dollars: float, item: str) -> Iterator[None]:
        """Reserve budget for requests in flight.

        Raises:
            BudgetExceededError: the requests in flight could exceed the cost limit.
        """
        with self._lock:
            left = self.budget_left
            if left is not None and dollars > left:
                raise self.budget_error(item)
            self._reserved += dollars
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= dollars

    def budget_error(self, item: str) -> BudgetExceededError:
        """Return the error of a request that could exceed the cost limit."""
        return BudgetExceededError(
            f"{self.name}, {item}: ${self.dollars_spent:.4f} spent; the next request could exceed "
            f"the cost limit of ${self.max_dollars or 0:.2f}. All responses are kept: run again "
            "with a higher limit"
        )

    def price(self, tokens_in: float, tokens_out: float, *, batched: bool = False) -> float | None:
        """Return the price of tokens, dollars; None if unknown."""
        if self.prices is None:
            return None
        full = (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6
        return full * BATCH_DISCOUNT if batched else full

    def scrub(self, text: str) -> str:
        """Redact the key and anything that looks like a credential."""
        return scrub(text, os.environ.get("OPENAI_API_KEY", "").strip())


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a language model to a parser."""
    add = parser.add_argument
    add("--llm-url", help="URL of an OpenAI-compatible server, ending in /v1")
    add("--max-dollars", type=float, help="maximum cost of the summaries")
    prices = "$ per million input and output tokens, for models without a known price"
    add("--token-prices", type=float, nargs=2, metavar=("IN", "OUT"), help=prices)


def find_response_fault(summary: Any, ids: Sequence[str], max_words: int) -> str | None:
    """Validate a parsed summary; return its fault, or None.

    A valid summary has the three sections, in English, and cites no other papers.

    Args:
        ids: identifiers of the papers in the request.
        max_words: maximum length of a section.
    """
    if not isinstance(summary, dict) or any(name not in summary for name in (*SECTIONS, "papers")):
        return f"it is not a JSON object with {', '.join(SECTIONS)} and papers"
    if not isinstance(summary["papers"], list):
        return "papers is not a list"
    if unknown := [str(code) for code in summary["papers"] if code not in ids]:
        return f"{unknown[0][:40]!r} is not one of the papers"
    if invalid := [n for n in SECTIONS if not isinstance(summary[n], str | None)]:
        return f"{invalid[0]} is neither text nor null"
    texts = {name: summary[name] for name in SECTIONS if (summary[name] or "").strip()}
    if not texts and summary["papers"]:
        return "every section is empty"
    for name, text in texts.items():
        words = _WORD.findall(text.lower())
        if len(text.split()) > max_words:
            return f"{name} has {len(text.split())} words, more than {max_words}"
        if len(words) < 3:
            return f"{name} is too short"
        if len(words) >= 8 and sum(word in _COMMON for word in words) < 0.1 * len(words):
            return f"{name} is not English prose"
        if unknown := [code for code in _BIBCODE.findall(text) if code not in ids]:
            return f"{name} cites {unknown[0]}, which is not one of the papers"
    return None


def parse_json(content: str) -> Any:
    """Parse JSON, with or without a code fence; None if invalid."""
    fenced = _FENCED.fullmatch(content)
    try:
        return json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError):
        return None


def notes_to_documents(notes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Convert notes to the documents of the final summary request."""
    return [
        {
            "id": ", ".join(note["papers"]) or "notes",
            "text": " ".join(note[name] or "" for name in SECTIONS),
        }
        for note in notes
    ]


def split_documents(documents: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield chunks of documents of about `MAX_BYTES`; long documents are split at words."""
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for document in documents:
        pieces = [piece.strip() for piece in _PIECE.findall(document["text"] or "")]
        for piece in ({**document, "text": text} for text in pieces or [document["text"]]):
            length = _n_bytes(json.dumps(piece, ensure_ascii=False))
            if chunk and size + length > MAX_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append(piece)
            size += length
    if chunk:
        yield chunk


def message_bytes(messages: Sequence[Mapping[str, str]]) -> int:
    """Return the size of the messages, bytes."""
    return sum(_n_bytes(message["content"]) for message in messages)


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
