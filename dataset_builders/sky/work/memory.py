"""Answers that are a part of an item's work: kept until the item is finished.

An item may take several questions. Killed after the third, a build asks the fourth next.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .queue import WorkQueue

STAGE = "answers"


class AnswerMemory:
    """Answers in the queue's file.

    Args:
        queue: of the build.
    """

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        self._used: set[str] = set()

    def recall(self, question: Any, *, for_good: bool = False) -> Any:
        """The answer to a question (JSON), or None. One kept `for_good` is not forgotten."""
        key = _key(question)
        if not for_good:
            self._used.add(key)
        return self.queue.results(STAGE, [key]).get(key)

    def keep(self, question: Any, answer: Any) -> None:
        """Keep an answer (JSON)."""
        self.queue.put(STAGE, {_key(question): answer})

    def forget(self) -> None:
        """Drop what was asked since the last time: the item it was for is finished."""
        self.queue.remove(STAGE, self._used)
        self._used.clear()


def _key(question: Any) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


__all__ = ["AnswerMemory"]
