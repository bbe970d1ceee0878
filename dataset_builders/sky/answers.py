"""Answers of language models on disk: what was paid for once is not asked for again.

One SQLite file with a rollback journal, as for embeddings: a commit is whole whatever kills the
process, and it works on network file systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BUSY_SECONDS = 120.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, content TEXT NOT NULL, "
    "input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, "
    "input_bytes INTEGER NOT NULL)"
)


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        content: its text.
        input_tokens, output_tokens: as the server counted them.
        input_bytes: of the question.
    """

    content: str
    input_tokens: int
    output_tokens: int
    input_bytes: int


@dataclass(frozen=True)
class Spent:
    """What the answers of a cache took together: numbers as in `Answer`, and how many there are."""

    answers: int
    input_tokens: int
    output_tokens: int
    input_bytes: int


class AnswerCache:
    """Answers by the hash of everything that decides them.

    Args:
        path: the SQLite file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute(_SCHEMA)

    @staticmethod
    def key(question: Any) -> bytes:
        """Of a question with its model and settings (JSON; no secrets belong there)."""
        text = json.dumps(question, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes) -> Answer | None:
        """The answer, or None."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT content, input_tokens, output_tokens, input_bytes FROM answers "
                "WHERE key = ?",
                (key,),
            ).fetchone()
        return None if row is None else Answer(*row)

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        with self._open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (
                    key,
                    answer.content,
                    answer.input_tokens,
                    answer.output_tokens,
                    answer.input_bytes,
                ),
            )

    def spent(self) -> Spent:
        """What all answers took together."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT count(*), total(input_tokens), total(output_tokens), total(input_bytes) "
                "FROM answers"
            ).fetchone()
        return Spent(*map(int, row))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()


__all__ = ["Answer", "AnswerCache", "Spent"]
