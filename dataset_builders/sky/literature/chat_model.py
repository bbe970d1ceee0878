"""Chat model behind an OpenAI-compatible server: questions, kept answers, and a cap on money."""

from __future__ import annotations

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

from ..services.polite_session import public_address, scrub
from ..work.store import Store
from .questions import SCHEMA, size_of

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
# End of an answer, or code of an error, where a filter of the server refuses.
FILTERED = "content_filter"
# Optional fields of a question; models refuse some of them.
_OPTIONAL = ("temperature", "seed", "max_completion_tokens", "max_tokens", "response_format")
_UNSUPPORTED = re.compile(r"unsupported|not supported|unrecognized|unknown|extra", re.IGNORECASE)


class CapReachedError(SpecCLIPError, RuntimeError):
    """A question that could cost more than is allowed; everything answered is kept."""


class ModelError(SpecCLIPError, RuntimeError):
    """A model that refuses or cannot be reached; the message says what to do and holds no key."""


class FieldRefused(Exception):
    """A refused optional field of a question, which is asked again without it."""


@dataclass(frozen=True)
class Answer:
    """Answer of a language model.

    Attributes:
        content: its text.
        end: `stop`, `length` (cut off), `content_filter`, or `refusal` and its words.
        input_tokens, output_tokens: as the server counted them.
        input_bytes: of the question.
        paid_input, paid_output: tokens at their full price; half as many in a batch.
    """

    content: str
    end: str
    input_tokens: int
    output_tokens: int
    input_bytes: int
    paid_input: float
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
        timeout: s, for an answer.
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
            api_key=key or "none", base_url=self.base_url, timeout=timeout, max_retries=max_retries
        )

    def __repr__(self) -> str:
        return f"ChatModel({self.name!r})"

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
        """Note the optional fields that a refusal names; return True where there are any.

        Args:
            said: words of the error.
            body: of the question.
            param: field that the error blames, or None.
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
        most = self.dollars(size_of(messages) / FEWEST_BYTES_A_TOKEN, MAX_OUTPUT_TOKENS) or 0.0
        return most * BATCH_SHARE if batched else most

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
        with self.set_aside(self.worst(messages), item):
            try:
                for _ in range(ATTEMPTS):
                    completion = self.client.chat.completions.create(**body)
                    try:
                        answer = self.answer_of(completion, size_of(messages))
                    except (ValueError, TypeError, AttributeError, IndexError) as error:
                        message = f"sent an answer in another form than OpenAI's ({error})."
                        continue
                    return self._kept(messages, answer)
            except openai.OpenAIError as error:
                status = getattr(error, "status_code", None)
                if status == 400 and getattr(error, "code", None) == FILTERED:
                    return self._kept(messages, FILTERED_ANSWER)
                message = f"{self.scrub(str(error))[:400]}. {_way_out(status)}"
                param = getattr(error, "param", None)
                refused = status in (400, 404, 422, 501) and self.note_refusal(
                    str(error), body, param
                )
            except (ValueError, TypeError, RecursionError) as error:  # no answer of such a server
                message = f"sent an answer in another form than OpenAI's ({error}). Check base_url"
        # Outside the handlers: the client's error holds the request and with it the key.
        if refused:
            raise FieldRefused
        raise ModelError(f"{self.name}, {item}: {self.scrub(message)}")

    def _kept(self, messages: Messages, answer: Answer) -> Answer:
        """Keep an answer, whether it can be used or not: it is paid for.

        This is done before its money is given back, as another thread could spend it in between.
        """
        self.keep({self.key(messages): answer})
        return answer

    # -- money

    @property
    def money_left(self) -> float | None:
        """Dollars that may still be spent; None without a cap."""
        if self.max_dollars is None:
            return None
        paid = self.dollars(self.spent["paid_input"], self.spent["paid_output"]) or 0.0
        return self.max_dollars - paid - self._aside

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
        paid = self.dollars(self.spent["paid_input"], self.spent["paid_output"]) or 0.0
        return CapReachedError(
            f"{self.name}, {item}: ${paid:.4f} are spent, and the next question could go over the "
            f"cap of ${self.max_dollars or 0:.2f}; every answer is kept: run again with a higher "
            "cap to go on"
        )

    def dollars(self, tokens_in: float, tokens_out: float) -> float | None:
        """Price tokens, outside batches; None where the price is not known."""
        if self.prices is None:
            return None
        return (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / 1e6

    def scrub(self, text: str) -> str:
        """Remove the key from a text, and what looks like one."""
        return scrub(text, os.environ.get("OPENAI_API_KEY", "").strip())


def _way_out(status: int | None) -> str:
    if status in (401, 403):
        return "The key was refused: check OPENAI_API_KEY"
    if status == 404:
        return "Check the model's name and base_url (it ends in /v1 as a rule)"
    if status == 429:
        return "The rate or the quota is used up: check the account's limits, and run again"
    return "Check the network and the server, then run again: every answer is kept"
