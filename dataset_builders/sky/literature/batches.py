"""Client of OpenAI's Batch API: half the price, responses within a day.

All pending requests are sent as a batch, as far as the account's limit on enqueued tokens allows.
Responses go to the same cache as single ones. Follow-up requests (a summary of notes, a second
attempt) are in the next batch. The batch id is stored for resuming; if a kill prevented that, the
batch is found by its label in the metadata.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ..work.store import Store
from .chat_model import (
    FILTERED,
    FILTERED_RESPONSE,
    MIN_BYTES_PER_TOKEN,
    ChatResponse,
    Messages,
    ModelError,
    message_bytes,
)
from .summaries import ModelSummariser, Pairs

logger = logging.getLogger(__name__)

STAGE = "batches"
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
# Limits of the API: requests per file, and bytes.
MAX_REQUESTS = 50_000
MAX_BYTES = 190_000_000
POLL_SECONDS = 60.0
_FINAL_STATES = frozenset(("completed", "failed", "expired", "cancelled"))
_QUEUE_FULL = re.compile(r"enqueued token|token_limit_exceeded", re.IGNORECASE)
_TOKEN_LIMIT = re.compile(r"limit:?\s*([\d,]+)\s*enqueued", re.IGNORECASE)
_LABEL = "specclip"
_LIST_LIMIT = 100


@dataclass
class BatchRunner:
    """Runner of a summariser's requests as batch jobs."""

    summariser: ModelSummariser
    store: Store
    poll: float = POLL_SECONDS  # polling interval, s
    limit: int = MAX_REQUESTS  # maximum number of requests per batch

    def __post_init__(self) -> None:
        self.model = self.summariser.model
        # Tokens per batch: from the account's limit in an error message, or found by halving.
        self._max_tokens = self._token_limit = float("inf")

    def run(self, sources: Callable[[], Pairs]) -> None:
        """Run batches until no request is pending, or the rest fails in batches.

        Args:
            sources: returns the sources to summarise and their papers; called for each batch.

        Raises:
            BudgetExceededError, ModelError: see `ChatModel.send`.
        """
        n_responses = 0
        bar = tqdm(desc=STAGE, unit="response", disable=not self.store.progress)
        for name, state in list(self.store.iter_results(STAGE)):
            if "ended" not in state:
                bar.update(self._complete_batch(name, state, b"")[0])
        while requests := self._next_requests(sources()):
            content = b"".join(line for line, _ in requests.values())
            name = hashlib.sha256(content).hexdigest()[:24]
            state = self.store.results(STAGE, [name]).get(name, {"ended": None})
            if "ended" in state:
                state = {"sizes": {key: message_bytes(m) for key, (_, m) in requests.items()}}
            cost = sum(self.model.max_cost(m, batched=True) for _, m in requests.values())
            rejected = set(self.model.rejected_fields)
            with self.model.reserve(cost, f"batch {name}"):
                n, problem = self._complete_batch(name, state, content)
            bar.update(n)
            n_responses += n
            if n:
                self._max_tokens = min(2 * self._max_tokens, self._token_limit)
            elif problem and _QUEUE_FULL.search(problem):
                self._reduce_batch_size(problem, state["sizes"])
            elif self.model.rejected_fields == rejected:
                if n_responses:
                    break  # sent one by one, the rest give separate errors
                raise ModelError(
                    f"{self.summariser.name}: no response to a batch of {len(requests):,} requests "
                    f"({problem or 'no reason given'}). Check the account's limits, then run again"
                )
        bar.close()

    def _next_requests(self, sources: Pairs) -> dict[str, tuple[bytes, Messages]]:
        """Collect the requests of a batch within its limits: key -> (JSON line, messages)."""
        left = self.model.budget_left
        requests: dict[str, tuple[bytes, Messages]] = {}
        size, tokens, unaffordable = 0, 0.0, ""
        for source, _, messages in self.summariser.pending_requests(sources):
            cost = self.model.max_cost(messages, batched=True)
            if left is not None and cost > left:
                unaffordable = unaffordable or source.name
                continue
            key, body = self.model.cache_key(messages), self.model.request_body(messages)
            line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
            data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
            size += len(data)
            tokens += message_bytes(messages) / MIN_BYTES_PER_TOKEN
            if requests and (size > MAX_BYTES or tokens > self._max_tokens):
                return requests
            requests[key] = (data, messages)
            left = None if left is None else left - cost
            if len(requests) == self.limit:
                return requests
        if unaffordable and not requests:
            raise self.model.budget_error(unaffordable)
        return requests

    def _reduce_batch_size(self, problem: str, sizes: Mapping[str, int]) -> None:
        """Reduce the tokens per batch, or wait for room in the queue of the account."""
        if len(sizes) == 1:
            logger.info("%s: %s; waiting for the queue", self.summariser.name, problem)
            time.sleep(self.poll)
            return
        tokens = sum(sizes.values()) / MIN_BYTES_PER_TOKEN
        if match := _TOKEN_LIMIT.search(problem):
            self._token_limit = float(match[1].replace(",", ""))
        self._max_tokens = self._token_limit if self._token_limit < tokens else tokens / 2

    def _complete_batch(
        self, name: str, state: dict[str, Any], content: bytes
    ) -> tuple[int, str | None]:
        """Create or resume a batch, wait for it and save its responses.

        Returns:
            Number of responses, and the problem of the other requests, or None.
        """
        client, problem = self.model.client, "the batch does not exist any more"
        responses: dict[str, ChatResponse] = {}
        try:
            batch = self._batch(name, state, content)
        except ModelError as error:
            if not _QUEUE_FULL.search(str(error)):
                raise
            return 0, str(error)
        while batch is not None and batch.status not in _FINAL_STATES:
            time.sleep(self.poll)
            batch = self._call(client.batches.retrieve, batch.id)
        if batch is not None:
            problem = None
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
                file = self._call(client.files.content, file_id)
                parsed, error = self._parse_responses(file.read() if file else b"", state["sizes"])
                responses |= parsed
                problem = problem or error
            if batch.errors and batch.errors.data:
                error = batch.errors.data[0]
                problem = problem or f"{error.code}: {error.message}"
            if batch.status != "completed":
                problem = problem or f"status {batch.status}"
        self.model.save_responses(responses)
        problem = None if problem is None else self.model.scrub(problem)[:300]
        self.store.put(STAGE, {name: {"ended": problem}})
        return len(responses), problem

    def _batch(self, name: str, state: dict[str, Any], content: bytes) -> Any:
        """Return the batch of a state, created if necessary; None if the server has lost it."""
        client = self.model.client

        def save(**ids: Any) -> None:
            state.update(ids)
            self.store.put(STAGE, {name: state})

        if "batch" in state:
            return self._call(client.batches.retrieve, state["batch"])
        batch = None
        if "file" in state:
            # A kill may have come between the creation of the batch and saving its id.
            recent = self._call(client.batches.list, limit=_LIST_LIMIT)
            with_label = (b for b in recent.data if (b.metadata or {}).get(_LABEL) == name)
            batch = next(with_label, None)
        if batch is None and not content:
            return None
        if "file" not in state:
            upload = (f"{name}.jsonl", content)
            save(file=self._call(client.files.create, file=upload, purpose="batch").id)
        if batch is None:
            batch = self._call(
                client.batches.create,
                input_file_id=state["file"],
                endpoint=ENDPOINT,
                completion_window=WINDOW,
                metadata={_LABEL: name},
            )
        save(batch=batch.id)
        return batch

    def _parse_responses(
        self, content: bytes, sizes: Mapping[str, int]
    ) -> tuple[dict[str, ChatResponse], str | None]:
        from openai.types.chat import ChatCompletion

        responses: dict[str, ChatResponse] = {}
        problem, body = None, self.model.request_body([])
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                key, response = entry["custom_id"], entry.get("response") or {}
                status, content = response.get("status_code"), response.get("body") or {}
                if key in sizes and status == 200:
                    completion = ChatCompletion.model_validate(content)
                    size = sizes[key]
                    responses[key] = self.model.parse_completion(completion, size, batched=True)
                elif key in sizes:
                    error = entry.get("error") or content.get("error", content)
                    problem = problem or json.dumps(error)
                    if status == 400 and error.get("code") == FILTERED:
                        responses[key] = FILTERED_RESPONSE
                    elif status in (400, 422):
                        self.model.note_rejected_fields(json.dumps(error), body, error.get("param"))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                problem = problem or f"malformed line ({error})"
        return responses, problem

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; return None for status 404."""
        import openai

        try:
            return method(*arguments, **options)
        except openai.OpenAIError as error:
            if arguments and isinstance(error, openai.NotFoundError):
                return None
            message = self.model.scrub(str(error))[:400]
        # Raised outside the handler: the client's error as context would carry the key.
        raise ModelError(
            f"{self.summariser.name}, batches: {message}. Check key, limits and network, then run "
            "again; all responses are kept"
        )
