"""Client of OpenAI's Batch API: half the price, answers within a day.

The questions that are open at a time go up as one file, or as many as the account may have waiting;
the answers go into the store that single questions use, too, and are checked like theirs. An answer
may lead to a further question (a summary of notes, a second try), which is in the next file. The
number of a batch is on the disk as soon as the server has said it, and a batch whose number was
lost with a killed process is found again by its label.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm.auto import tqdm

from ..work.store import Store
from .chat_model import (
    FEWEST_BYTES_A_TOKEN,
    FILTERED,
    FILTERED_ANSWER,
    Answer,
    Messages,
    ModelError,
    size_of,
)
from .summaries import ModelSummariser, Pairs

logger = logging.getLogger(__name__)

STAGE = "batches"
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
# Limits of the interface: questions in a file, and its bytes.
MAX_QUESTIONS = 50_000
MAX_BYTES = 190_000_000
POLL_SECONDS = 60.0
_ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
_FULL = re.compile(r"enqueued token|token_limit_exceeded", re.IGNORECASE)
_LIMIT = re.compile(r"limit:?\s*([\d,]+)\s*enqueued", re.IGNORECASE)
_LABEL = "specclip"
_LOOK_BACK = 100


class BatchRunner:
    """Sender of a summariser's questions in batches.

    Args:
        summariser: asks the questions; the answers go to its model's store.
    """

    def __init__(
        self,
        summariser: ModelSummariser,
        store: Store,
        *,
        poll: float = POLL_SECONDS,
        most: int = MAX_QUESTIONS,
    ) -> None:
        self.summariser = summariser
        self.model = summariser.model
        self.store = store
        self.poll = poll
        self.most = most
        # Tokens that a batch may have: as the account's limit says, or found by halving.
        self._max_tokens = self._limit = float("inf")

    def run(self, sources: Callable[[], Pairs]) -> None:
        """Ask until no question is open, or those left bring no answer in a batch.

        Args:
            sources: gives those to summarise with their papers, anew for each round.

        Raises:
            CapReachedError, ModelError: see `ChatModel.send`.
        """
        answered = 0
        bar = tqdm(desc=STAGE, unit="answer", disable=not self.store.progress)
        for name, state in list(self.store.got(STAGE)):
            if "ended" not in state:
                bar.update(self._finish(name, state, b"")[0])
        while questions := self._open_questions(sources()):
            content = b"".join(line for line, _ in questions.values())
            name = hashlib.sha256(content).hexdigest()[:24]
            state = self.store.results(STAGE, [name]).get(name, {"ended": None})
            if "ended" in state:
                state = {"sizes": {key: size_of(asked) for key, (_, asked) in questions.items()}}
            worst = sum(self.model.worst(asked, batched=True) for _, asked in questions.values())
            refused = set(self.model.refused)
            with self.model.set_aside(worst, f"batch {name}"):
                answers, problem = self._finish(name, state, content)
            bar.update(answers)
            answered += answers
            if answers:
                self._max_tokens = min(2 * self._max_tokens, self._limit)
            elif problem and _FULL.search(problem):
                self._make_smaller(problem, state["sizes"])
            elif self.model.refused == refused:
                if answered:
                    break  # asked singly, the rest says what is wrong with it
                raise ModelError(
                    f"{self.summariser.name}: a batch of {len(questions):,} questions brought no "
                    f"answer ({problem or 'nothing is said of why'}). Check the account's limits, "
                    "and run again"
                )
        bar.close()

    def _open_questions(self, sources: Pairs) -> dict[str, tuple[bytes, Messages]]:
        """Collect lines of a batch's file by key, as many as the file, limit and cap allow."""
        left = self.model.money_left
        found: dict[str, tuple[bytes, Messages]] = {}
        size, tokens, unaffordable = 0, 0.0, ""
        for source, _, messages in self.summariser.unanswered(sources):
            worst = self.model.worst(messages, batched=True)
            if left is not None and worst > left:
                unaffordable = unaffordable or source.name
                continue
            key, body = self.model.key(messages), self.model.body(messages)
            line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
            data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
            size += len(data)
            tokens += size_of(messages) / FEWEST_BYTES_A_TOKEN
            if found and (size > MAX_BYTES or tokens > self._max_tokens):
                return found
            found[key] = (data, messages)
            left = None if left is None else left - worst
            if len(found) == self.most:
                return found
        if unaffordable and not found:
            raise self.model.cap_reached(unaffordable)
        return found

    def _make_smaller(self, problem: str, sizes: Mapping[str, int]) -> None:
        """Take fewer tokens in the next batch, or wait for others' to leave the queue."""
        if len(sizes) == 1:
            logger.info("%s: %s; waiting for room", self.summariser.name, problem)
            time.sleep(self.poll)
            return
        tokens = sum(sizes.values()) / FEWEST_BYTES_A_TOKEN
        if stated := _LIMIT.search(problem):
            self._limit = float(stated[1].replace(",", ""))
        self._max_tokens = self._limit if self._limit < tokens else tokens / 2

    # -- a batch

    def _finish(self, name: str, state: dict[str, Any], content: bytes) -> tuple[int, str | None]:
        """Send a batch unless it was, wait for it and keep its answers.

        Returns:
            Number of answers, and the problem of the others, or None.
        """
        client, problem = self.model.client, "the server no longer has it"
        answers: dict[str, Answer] = {}
        try:
            batch = self._batch(name, state, content)
        except ModelError as error:
            if not _FULL.search(str(error)):
                raise
            return 0, str(error)
        while batch is not None and batch.status not in _ENDED:
            time.sleep(self.poll)
            batch = self._call(client.batches.retrieve, batch.id)
        if batch is not None:
            problem = None
            for place in filter(None, (batch.output_file_id, batch.error_file_id)):
                lines = self._call(client.files.content, place)
                found, wrong = self._answers(lines.read() if lines else b"", state["sizes"])
                answers |= found
                problem = problem or wrong
            if batch.errors and batch.errors.data:
                error = batch.errors.data[0]
                problem = problem or f"{error.code}: {error.message}"
            if batch.status != "completed":
                problem = problem or f"it ended as {batch.status}"
        self.model.keep(answers)
        problem = None if problem is None else self.model.scrub(problem)[:300]
        self.store.put(STAGE, {name: {"ended": problem}})
        return len(answers), problem

    def _batch(self, name: str, state: dict[str, Any], content: bytes) -> Any:
        """Return the batch of a state, made where there is none; None where it is lost."""
        client = self.model.client

        def keep(**facts: Any) -> None:
            state.update(facts)
            self.store.put(STAGE, {name: state})

        if "batch" in state:
            return self._call(client.batches.retrieve, state["batch"])
        batch = None
        if "file" in state:
            # Killed between the request for the batch and its answer: it may be running.
            recent = self._call(client.batches.list, limit=_LOOK_BACK)
            with_label = (b for b in recent.data if (b.metadata or {}).get(_LABEL) == name)
            batch = next(with_label, None)
        if batch is None and not content:
            return None
        if "file" not in state:
            sent = (f"{name}.jsonl", content)
            keep(file=self._call(client.files.create, file=sent, purpose="batch").id)
        if batch is None:
            batch = self._call(
                client.batches.create,
                input_file_id=state["file"],
                endpoint=ENDPOINT,
                completion_window=WINDOW,
                metadata={_LABEL: name},
            )
        keep(batch=batch.id)
        return batch

    def _answers(
        self, content: bytes, sizes: Mapping[str, int]
    ) -> tuple[dict[str, Answer], str | None]:
        from openai.types.chat import ChatCompletion

        found: dict[str, Answer] = {}
        problem, body = None, self.model.body([])
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                key, response = entry["custom_id"], entry.get("response") or {}
                status, answer = response.get("status_code"), response.get("body") or {}
                if key in sizes and status == 200:
                    completion = ChatCompletion.model_validate(answer)
                    found[key] = self.model.answer_of(completion, sizes[key], batched=True)
                elif key in sizes:
                    error = entry.get("error") or answer.get("error", answer)
                    problem = problem or json.dumps(error)
                    if status == 400 and error.get("code") == FILTERED:
                        found[key] = FILTERED_ANSWER
                    elif status in (400, 422):
                        self.model.note_refusal(json.dumps(error), body, error.get("param"))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                problem = problem or f"a line in another form than OpenAI's ({error})"
        return found, problem

    def _call(self, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; None where the server has no such thing."""
        import openai

        try:
            return ask(*arguments, **options)
        except openai.OpenAIError as error:
            if arguments and isinstance(error, openai.NotFoundError):
                return None
            message = self.model.scrub(str(error))[:400]
        # Outside the handler: the client's error holds the request and with it the key.
        raise ModelError(
            f"{self.summariser.name}, batches: {message}. What was sent and answered is kept: "
            "check key, limits and network, and run again"
        )
