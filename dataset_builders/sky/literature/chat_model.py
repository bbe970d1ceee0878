"""Chat model behind an OpenAI-compatible server: questions, checked answers, and a cap on money.

An answer that is not three sections of English about the papers given is refused, whatever made it
so.
"""

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

from ..services.polite_session import public_address, scrub
from ..work.store import Store

Messages = Sequence[Mapping[str, str]]

STAGE = "answers"
DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
# In a batch, which is answered within a day, prices are half.
BATCH_SHARE = 0.5
# US dollars for a million tokens, in and out (openai.com/api/pricing).
PRICES: Mapping[str, tuple[float, float]] = {"gpt-4o-mini": (0.15, 0.60)}
# English prose has 4 to 5 bytes a token, formulae about 3: counting would need a vocabulary from
# the network. Forecasts use what the server has counted so far.
BYTES_A_TOKEN = 4.0
FEWEST_BYTES_A_TOKEN = 2.5
MAX_OUTPUT_TOKENS = 900
ATTEMPTS = 3
TIMEOUT = 120.0  # s, for an answer
# End of an answer, or code of an error, where a filter of the server refuses.
FILTERED = "content_filter"
# Optional fields of a question; models refuse some of them.
_OPTIONAL = ("temperature", "seed", "max_completion_tokens", "max_tokens", "response_format")
WAYS_OUT = {
    401: "The key was refused: check OPENAI_API_KEY",
    403: "The key was refused: check OPENAI_API_KEY",
    404: "Check the model's name and base_url (it ends in /v1 as a rule)",
    429: "The rate or the quota is used up: check the account's limits, and run again",
    0: "Check the network and the server, then run again: every answer is kept",
}
_UNSUPPORTED = re.compile(r"unsupported|not supported|unrecognized|unknown|extra", re.IGNORECASE)
# Of papers in one question: far inside a window of 128,000 tokens, where models still read well.
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
    """A model that refuses or cannot be reached; the message says what to do and holds no key."""


class CapReachedError(ModelError):
    """A question that could cost more than is allowed; everything answered is kept."""


class FieldRefused(Exception):
    """A refused optional field of a question, which is asked again without it."""


@dataclass(frozen=True)
class Answer:
    """Answer of a language model."""

    content: str
    end: str  # `stop`, `length` (cut off), `content_filter`, or `refusal` and its words
    input_tokens: int  # as the server counted them
    output_tokens: int
    input_bytes: int  # of the question
    paid_input: float  # tokens at their full price; half as many in a batch
    paid_output: float


FILTERED_ANSWER = Answer("", FILTERED, 0, 0, 0, 0.0, 0.0)
_SUMMED = ("input_tokens", "output_tokens", "input_bytes", "paid_input", "paid_output")


class ChatModel:
    """Chat model whose answers are kept in a store, and paid for once.

    The key comes from OPENAI_API_KEY and goes to the server alone. A server of one's own
    (`base_url`) may need none.

    Args:
        model: name at the server.
        base_url: of an OpenAI-compatible server; by default OPENAI_BASE_URL, else OpenAI.
        max_dollars: stop before more could be spent (answers in the store count).
        prices: dollars for a million tokens in and out, for models that are not in `PRICES`.
        max_retries: of the client, after failures that pass.
        may_ask: False for a forecast, which needs no key.

    Attributes:
        client: of OpenAI.
        spent: sums over the answers: their number (`answers`), tokens and bytes as in `Answer`.
        refused: optional fields that the model does not take.

    Raises:
        ModelError: when OpenAI itself is asked and there is no key.
        ValueError: for a cap without a price.
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
        may_ask: bool = True,
    ) -> None:
        import openai

        self.store = store
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self.prices = prices or PRICES.get(model)
        if max_dollars is not None and self.prices is None:
            raise ValueError(f"the price of {model} is not known: give prices, or no cap")
        self.max_dollars = max_dollars
        self.recount()
        self.refused: set[str] = set()
        self._aside = 0.0
        self._lock = threading.Lock()
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if may_ask and not key and self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            raise ModelError(
                "OpenAI needs a key: export OPENAI_API_KEY=… (platform.openai.com), or use "
                "--summariser extractive, which needs none"
            )
        self.client = openai.OpenAI(
            api_key=key or "none", base_url=self.base_url, timeout=TIMEOUT, max_retries=max_retries
        )

    @classmethod
    def of_options(
        cls, store: Store, model: str, options: argparse.Namespace, *, may_ask: bool = True
    ) -> ChatModel:
        """Make a model of the options of `add_model_options`."""
        return cls(
            store,
            model or DEFAULT_MODEL,
            base_url=options.llm_url,
            max_dollars=options.max_dollars,
            prices=tuple(options.token_prices) if options.token_prices else None,
            may_ask=may_ask,
        )

    def recount(self) -> None:
        """Sum up the answers in the store: another process may have asked since."""
        sums = self.store.sums(STAGE, *_SUMMED)
        self.spent = Counter(dict(zip(("answers", *_SUMMED), sums, strict=True)))

    @property
    def name(self) -> str:
        """Name of the model, and of the server where it is not OpenAI."""
        if self.base_url.rstrip("/") == DEFAULT_BASE_URL:
            return f"openai:{self.model}"
        return f"openai:{self.model}, {public_address(self.base_url)}"

    def key(self, messages: Messages) -> str:
        """Return the id of a question's answer in the store."""
        text = json.dumps([self.name, messages], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def answer(self, messages: Messages) -> Answer | None:
        """Return the answer to a question from the store, or None."""
        key = self.key(messages)
        found = self.store.results(STAGE, [key])
        return Answer(**found[key]) if found else None

    def keep(self, answers: Mapping[str, Answer]) -> None:
        """Store answers by their keys, and count them."""
        self.store.put(STAGE, {key: asdict(answer) for key, answer in answers.items()})
        with self._lock:
            for answer in answers.values():
                self.spent.update({"answers": 1, **{n: getattr(answer, n) for n in _SUMMED}})

    def body(self, messages: Messages) -> dict[str, Any]:
        """Build the request for a question, without the fields that the model refuses."""
        form = {"name": "summary", "strict": True, "schema": SCHEMA}
        fields = {
            "temperature": 0,
            "seed": 0,
            "max_completion_tokens": MAX_OUTPUT_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": form},
        }
        if "max_completion_tokens" in self.refused:
            fields["max_tokens"] = MAX_OUTPUT_TOKENS
        fields = {name: value for name, value in fields.items() if name not in self.refused}
        return {"model": self.model, "messages": list(messages), **fields}

    def note_refusal(self, said: str, body: Mapping[str, Any], param: str | None = None) -> bool:
        """Note the optional fields of a question that an error names (`param` is the one blamed).

        Returns:
            True where there are any.
        """
        sent = [name for name in _OPTIONAL if name in body]
        named = [name for name in sent if param and param.startswith(name)]
        spelled = said.replace("json_schema", "response_format").replace("max tokens", "max_tokens")
        named = named or [name for name in sent if re.search(rf"\b{name}\b", spelled)]
        if not named and "response_format" in sent and _UNSUPPORTED.search(said):
            named = [name for name in sent if name != "temperature"]
        self.refused.update(named)
        return bool(named)

    def worst(self, messages: Messages, *, batched: bool = False) -> float:
        """Bound the dollars that a question can cost; 0 where the price is not known."""
        size = size_of(messages) / FEWEST_BYTES_A_TOKEN
        return self.dollars(size, MAX_OUTPUT_TOKENS, batched=batched) or 0.0

    def answer_of(self, completion: Any, size: int, *, batched: bool = False) -> Answer:
        """Read the answer to a question of `size` bytes out of a chat completion of the client.

        Raises:
            ValueError, TypeError, AttributeError, IndexError: when it is none.
        """
        choice = completion.choices[0]
        content, refusal = choice.message.content or "", getattr(choice.message, "refusal", None)
        usage = completion.usage
        tokens_in = usage.prompt_tokens if usage else round(size / BYTES_A_TOKEN)
        tokens_out = usage.completion_tokens if usage else round(len(content) / BYTES_A_TOKEN)
        share = BATCH_SHARE if batched else 1.0
        end = f"refusal: {self.scrub(refusal)[:200]}" if refusal else str(choice.finish_reason)
        return Answer(
            content, end, tokens_in, tokens_out, size, share * tokens_in, share * tokens_out
        )

    def send(self, messages: Messages, item: str) -> Answer:
        """Ask a question and keep its answer.

        Raises:
            FieldRefused: the question is to be asked again, without the fields now noted.
            CapReachedError: it could exceed the cap.
            ModelError: the server refuses or cannot be reached.
        """
        import openai

        message, refused, body = "", False, self.body(messages)
        form = "sent an answer in another form than OpenAI's"
        with self.set_aside(self.worst(messages), item):
            try:
                for _ in range(ATTEMPTS):
                    completion = self.client.chat.completions.create(**body)
                    try:
                        answer = self.answer_of(completion, size_of(messages))
                    except (ValueError, TypeError, AttributeError, IndexError) as error:
                        message = f"{form} ({error})."
                        continue
                    # Kept before its money is given back, which another thread could spend.
                    self.keep({self.key(messages): answer})
                    return answer
            except openai.OpenAIError as error:
                status = getattr(error, "status_code", None)
                if status == 400 and getattr(error, "code", None) == FILTERED:
                    self.keep({self.key(messages): FILTERED_ANSWER})
                    return FILTERED_ANSWER
                way = WAYS_OUT.get(status or 0, WAYS_OUT[0])
                message = f"{self.scrub(str(error))[:400]}. {way}"
                refused = status in (400, 404, 422, 501) and self.note_refusal(
                    str(error), body, getattr(error, "param", None)
                )
            except (ValueError, TypeError, RecursionError) as error:  # no answer of such a server
                message = f"{form} ({error}). Check base_url"
        # Outside the handlers: the client's error holds the request and with it the key.
        if refused:
            raise FieldRefused
        raise ModelError(f"{self.name}, {item}: {self.scrub(message)}")

    # -- money

    @property
    def money_spent(self) -> float:
        """Dollars paid so far; 0 where the price is not known."""
        return self.dollars(self.spent["paid_input"], self.spent["paid_output"]) or 0.0

    @property
    def money_left(self) -> float | None:
        """Dollars that may still be spent; None without a cap."""
        return self.max_dollars and self.max_dollars - self.money_spent - self._aside

    @contextlib.contextmanager
    def set_aside(self, dollars: float, item: str) -> Iterator[None]:
        """Set money aside while questions are under way.

        Raises:
            CapReachedError: when all together could then pass the cap.
        """
        with self._lock:
            left = self.money_left
            if left is not None and dollars > left:
                raise self.cap_reached(item)
            self._aside += dollars
        try:
            yield
        finally:
            with self._lock:
                self._aside -= dollars

    def cap_reached(self, item: str) -> CapReachedError:
        """Format the error of a question that may not be asked."""
        return CapReachedError(
            f"{self.name}, {item}: ${self.money_spent:.4f} are spent, and the next question could "
            f"go over the cap of ${self.max_dollars or 0:.2f}; every answer is kept: run again "
            "with a higher cap to go on"
        )

    def dollars(
        self, tokens_in: float, tokens_out: float, *, batched: bool = False
    ) -> float | None:
        """Price tokens, in batches or outside; None where the price is not known."""
        if self.prices is None:
            return None
        full = (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6
        return full * BATCH_SHARE if batched else full

    def scrub(self, text: str) -> str:
        """Remove the key from a text, and what looks like one."""
        return scrub(text, os.environ.get("OPENAI_API_KEY", "").strip())


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a model to a parser."""
    add = parser.add_argument
    add("--llm-url", help="of an OpenAI-compatible server, ending in /v1")
    add("--max-dollars", type=float, help="that summaries may cost")
    add("--token-prices", type=float, nargs=2, metavar=("IN", "OUT"), help="$ a million tokens")


def problem_of(answer: Any, ids: Sequence[str], max_words: int) -> str | None:
    """Name the fault of a parsed answer, or return None where it can be used.

    Args:
        ids: of the papers that it may name.
        max_words: in a section.
    """
    if not isinstance(answer, dict) or any(name not in answer for name in (*SECTIONS, "papers")):
        return f"it is not a JSON object with {', '.join(SECTIONS)} and papers"
    if not isinstance(answer["papers"], list):
        return "papers is not a list"
    if unknown := [str(code) for code in answer["papers"] if code not in ids]:
        return f"{unknown[0][:40]!r} is none of the papers"
    if wrong := [n for n in SECTIONS if not isinstance(answer[n], str | None)]:
        return f"{wrong[0]} is neither text nor null"
    texts = {name: answer[name] for name in SECTIONS if (answer[name] or "").strip()}
    if not texts and answer["papers"]:
        return "every section is empty"
    for name, text in texts.items():
        words = _WORD.findall(text.lower())
        if len(text.split()) > max_words:
            return f"{name} has {len(text.split())} words, more than {max_words}"
        if len(words) < 3:
            return f"{name} is too short to say anything"
        if len(words) >= 8 and sum(word in _COMMON for word in words) < 0.1 * len(words):
            return f"{name} is not English prose"
        if strange := [code for code in _BIBCODE.findall(text) if code not in ids]:
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


def portions_of(documents: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield documents in portions of about `MAX_BYTES` at most; longer ones are cut at words."""
    portion: list[Mapping[str, Any]] = []
    size = 0
    for document in documents:
        pieces = [piece.strip() for piece in _PIECE.findall(document["text"] or "")]
        for piece in ({**document, "text": text} for text in pieces or [document["text"]]):
            length = _n_bytes(json.dumps(piece, ensure_ascii=False))
            if portion and size + length > MAX_BYTES:
                yield portion
                portion, size = [], 0
            portion.append(piece)
            size += length
    if portion:
        yield portion


def size_of(messages: Sequence[Mapping[str, str]]) -> int:
    """Count the bytes of a question's messages."""
    return sum(_n_bytes(message["content"]) for message in messages)


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
