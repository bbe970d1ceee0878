"""Per-item cache of service responses: kept until the item is finished.

An item may take several questions. Killed after the third, a build asks the fourth next.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .queue import WorkQueue

STAGE = "answers"


class ResponseCache:
    """Cache of service responses in the queue's file.

    Args:
        queue: of the build.
    """

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        self._used: set[str] = set()

    def get(self, question: Any, *, permanent: bool = False) -> Any:
        """Return the response to a question (JSON), or None; `permanent` ones are not dropped."""
        key = _key(question)
        if not permanent:
            self._used.add(key)
        return self.queue.results(STAGE, [key]).get(key)

    def put(self, question: Any, response: Any) -> None:
        """Store a response (JSON)."""
        self.queue.put(STAGE, {_key(question): response})

    def forget(self) -> None:
        """Drop the responses used since the last call: the item they were for is finished."""
        self.queue.remove(STAGE, self._used)
        self._used.clear()


def _key(question: Any) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


__all__ = ["ResponseCache"]
