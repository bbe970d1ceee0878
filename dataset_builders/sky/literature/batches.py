"""Client of OpenAI's Batch API: half the price, answers within a day.

All questions that are open at a time go up as one file; the answers go into the cache that single
questions use, too, and are checked like theirs. What an answer leads to (a summary of notes, a
second try) is in the file of the next round. The number of a batch is on the disk as soon as the
server has said it, and a batch whose number was lost with a killed process is found again by what
was written on it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_specclip.storage import write_bytes

from ..work.queue import Item, WorkQueue
from .answers import Answer
from .bibliography import SourceLiterature
from .ranking import RankedPaper
from .summaries import CapReachedError, ModelError, ModelSummariser

STAGE = "batches"
FOLDER = "batches"
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
# Limits of the interface: questions in a file, and its bytes.
MAX_QUESTIONS = 50_000
MAX_BYTES = 190_000_000
POLL_SECONDS = 60.0
# What is set aside for a batch is free again when it can run no longer.
_LONGEST_SECONDS = 30 * 3600.0
_ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
_LABEL = "specclip"
_LOOK_BACK = 100
_LOOK_SECONDS = 0.5

Pairs = Iterable[tuple[SourceLiterature, Sequence[RankedPaper]]]


class BatchRunner:
    """Sender of a summariser's questions in batches.

    Args:
        summariser: whose questions they are, and whose cache the answers go to.
        queue: of the build.
        folder: of the build; files go to its `batches`.
        poll: s, between looks at a batch under way.
        most: questions in a batch.
    """

    def __init__(
        self,
        summariser: ModelSummariser,
        queue: WorkQueue,
        folder: str | Path,
        *,
        poll: float = POLL_SECONDS,
        most: int = MAX_QUESTIONS,
    ) -> None:
        self.summariser = summariser
        self.queue = queue
        self.folder = Path(folder) / FOLDER
        self.poll = poll
        self.most = most

    def run(
        self, sources: Callable[[], Pairs], progress: Callable[[int], object] = lambda n: None
    ) -> None:
        """Ask until no question is open.

        Args:
            sources: gives those to summarise with their papers, anew for each round.
            progress: called with the number of answers of each batch.

        Raises:
            CapReachedError: when not one more question may be asked.
            ModelError: when the server refuses, cannot be reached, or answers nothing.
        """
        self._finish_all(progress)
        while questions := self._open_questions(sources()):
            before = self.summariser.cache.spent().answers
            self._want(questions)
            self._finish_all(progress)
            if self.summariser.cache.spent().answers == before:
                raise ModelError(
                    f"{self.summariser.name}: a batch of {len(questions):,} questions brought no "
                    f"answer ({self._last_problem()}). Check the account's limits, and run again"
                )

    # -- what to ask

    def _open_questions(self, sources: Pairs) -> dict[str, bytes]:
        """Collect the lines of a batch's file by key, as many as the file and the cap allow."""
        asking = self.summariser
        left = asking.money_left()
        lines: dict[str, bytes] = {}
        size, unaffordable = 0, ""
        for source, papers in sources:
            for messages in asking.unanswered(source, papers):
                worst = asking.worst(messages, batched=True)
                if left is not None and worst > left:
                    unaffordable = unaffordable or source.name
                    continue
                key = asking.key(messages).hex()
                body = asking.body(messages)
                line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
                data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
                if size + len(data) > MAX_BYTES:
                    return lines
                lines[key] = data
                size += len(data)
                left = None if left is None else left - worst
                if len(lines) == self.most:
                    return lines
        if unaffordable and not lines:
            raise CapReachedError(
                f"{asking.name}, {unaffordable}: the next question could go over the cap of "
                f"${asking.max_dollars:.2f}; every answer is kept: run again with a higher cap to "
                "go on"
            )
        return lines

    def _want(self, questions: Mapping[str, bytes]) -> None:
        content = b"".join(questions[key] for key in sorted(questions))
        name = hashlib.sha256(content).hexdigest()[:24]
        path = self.folder / f"{name}.jsonl"
        if not path.is_file():
            write_bytes(path, content)
        # A batch that came to nothing is sent again under the same name.
        if not self.queue.add(STAGE, {name: {"questions": len(questions)}}):
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            self.queue.again(STAGE, [name])

    # -- a batch

    def _finish_all(self, progress: Callable[[int], object]) -> None:
        """See every batch to its end, with this process or another."""
        while True:
            while items := self.queue.claim(STAGE, 1):
                [item] = items
                with self.queue.held(items):
                    answers, problem = self._finish(item)
                    self.queue.finish(STAGE, {item.id: {"answers": answers, "problem": problem}})
                progress(answers)
            if not self.queue.counts(STAGE)["claimed"]:
                return
            time.sleep(_LOOK_SECONDS)

    def _finish(self, item: Item) -> tuple[int, str | None]:
        """Send a batch unless it was, wait for it and keep its answers.

        Returns:
            How many there are, and what went wrong with the others, or None.
        """
        path = self.folder / f"{item.id}.jsonl"
        questions = dict(_questions(path))
        state = self._state(item.id)
        batch = self._batch(item.id, path, questions, state)
        client, number = self.summariser.client, batch.id
        while batch.status not in _ENDED:
            time.sleep(self.poll)
            batch = self._call("batch", lambda: client.batches.retrieve(number))
        answers: dict[bytes, Answer] = {}
        problem = None
        for place in (batch.output_file_id, batch.error_file_id):
            if place:
                content = self._call("answers", lambda p=place: client.files.content(p).read())
                found, wrong = self._answers(content, questions)
                answers |= found
                problem = problem or wrong
        if not answers and batch.errors and batch.errors.data:
            problem = problem or str(batch.errors.data[0].message)
        if batch.status != "completed":
            problem = problem or f"it ended as {batch.status}"
        self.summariser.cache.put_all(answers)
        self.summariser.cache.release(state.get("aside"))
        return len(answers), None if problem is None else self.summariser.scrub(problem)[:300]

    def _batch(
        self,
        name: str,
        path: Path,
        questions: Mapping[str, Sequence[Mapping[str, str]]],
        state: dict[str, Any],
    ) -> Any:
        client = self.summariser.client
        if "batch" in state:
            return self._call("batch", lambda: client.batches.retrieve(state["batch"]))
        if "file" in state:
            # Killed between the request for the batch and its answer: it may be running.
            recent = self._call("batches", lambda: client.batches.list(limit=_LOOK_BACK))
            for batch in recent.data:
                if (batch.metadata or {}).get(_LABEL) == name:
                    self._keep(name, state, batch=batch.id)
                    return batch
        else:
            self.summariser.cache.release(state.get("aside"))  # of an earlier attempt
            worst = sum(self.summariser.worst(m, batched=True) for m in questions.values())
            aside = self.summariser.set_aside(worst, f"batch {name}", _LONGEST_SECONDS)
            self._keep(name, state, aside=aside)
            with path.open("rb") as file:
                sent = self._call(
                    "file",
                    lambda: client.files.create(file=(path.name, file.read()), purpose="batch"),
                )
            self._keep(name, state, file=sent.id)
        batch = self._call(
            "batch",
            lambda: client.batches.create(
                input_file_id=state["file"],
                endpoint=ENDPOINT,
                completion_window=WINDOW,
                metadata={_LABEL: name},
            ),
        )
        self._keep(name, state, batch=batch.id)
        return batch

    def _answers(
        self, content: bytes, questions: Mapping[str, Sequence[Mapping[str, str]]]
    ) -> tuple[dict[bytes, Answer], str | None]:
        from openai.types.chat import ChatCompletion

        found: dict[bytes, Answer] = {}
        problem = None
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                key = entry["custom_id"]
                if key not in questions:
                    continue
                response = entry.get("response") or {}
                if response.get("status_code") != 200:
                    problem = problem or json.dumps(entry.get("error") or response.get("body"))
                    continue
                completion = ChatCompletion.model_validate(response["body"])
                answer = self.summariser.answer_of(completion, questions[key])
                found[bytes.fromhex(key)] = Answer(**{**vars(answer), "batched": True})
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                problem = problem or f"a line in another form than OpenAI's ({error})"
        return found, problem

    def _call(self, what: str, ask: Callable[[], Any]) -> Any:
        import openai

        try:
            return ask()
        except openai.OpenAIError as error:
            message = str(error)[:400]
        # Outside the handler: the client's error holds the request and with it the key.
        raise ModelError(
            self.summariser.scrub(
                f"{self.summariser.name}, {what}: {message}. What was sent and answered is kept: "
                "check key, limits and network, and run again"
            )
        )

    # -- what is known of a batch

    def _state(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _keep(self, name: str, state: dict[str, Any], **facts: Any) -> None:
        state.update(facts)
        write_bytes(self.folder / f"{name}.json", json.dumps(state).encode())

    def _last_problem(self) -> str:
        problems = [i.result["problem"] for i in self.queue.items(STAGE, ["got"])]
        return next((p for p in reversed(problems) if p), "nothing is said of why")


def _questions(path: Path) -> Iterator[tuple[str, Sequence[Mapping[str, str]]]]:
    with path.open("rb") as file:
        for line in file:
            entry = json.loads(line)
            yield entry["custom_id"], entry["body"]["messages"]


__all__ = ["BatchRunner"]
