"""Cache of language-model answers on disk: no question is paid for twice."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_specclip.errors import SpecCLIPError

from ..work.database import Database

FORMAT_VERSION = 2
_SCHEMA = """
CREATE TABLE answers (
    key BLOB PRIMARY KEY,
    content TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    batched INTEGER NOT NULL
);
CREATE TABLE reserved (id TEXT PRIMARY KEY, dollars REAL NOT NULL, until REAL NOT NULL);
"""


class AnswerCacheError(SpecCLIPError, RuntimeError):
    """A file of answers that cannot be used; the message names it and the way out."""


@dataclass(frozen=True)
class Answer:
    """Answer of a language model, with its tokens.

    Attributes:
        content: its text.
        input_tokens, output_tokens: as the server counted them.
        input_bytes: of the question.
        batched: whether it came in a batch, at half the price.
    """

    content: str
    input_tokens: int
    output_tokens: int
    input_bytes: int
    batched: bool = False


@dataclass(frozen=True)
class Spent:
    """Sums over the answers of a cache: their number, and tokens and bytes as in `Answer`.

    Attributes:
        batched_input_tokens, batched_output_tokens: those of them that came in batches.
    """

    answers: int
    input_tokens: int
    output_tokens: int
    input_bytes: int
    batched_input_tokens: int
    batched_output_tokens: int


class AnswerCache:
    """Answers by the hash of their question, model and settings.

    Args:
        path: the SQLite file.

    Raises:
        AnswerCacheError: when the file cannot be used; so do all methods.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._database = Database(
            self.path,
            _SCHEMA,
            FORMAT_VERSION,
            error=AnswerCacheError,
            name="answers",
            damaged="move it away; its answers are then asked, and paid, for again",
        )

    @staticmethod
    def key(question: Any) -> bytes:
        """Hash a question with its model and settings (JSON; no secrets belong there)."""
        text = json.dumps(question, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes) -> Answer | None:
        """Return the answer, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT content, input_tokens, output_tokens, input_bytes, batched FROM answers "
                "WHERE key = ?",
                (key,),
            ).fetchone()
        return None if row is None else Answer(*row[:4], bool(row[4]))

    def put(self, key: bytes, answer: Answer) -> None:
        """Store an answer."""
        self.put_all({key: answer})

    def put_all(self, answers: Mapping[bytes, Answer]) -> None:
        """Store answers, all in one commit."""
        rows = [
            (key, a.content, a.input_tokens, a.output_tokens, a.input_bytes, int(a.batched))
            for key, a in answers.items()
        ]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", rows)

    def spent(self) -> Spent:
        """Sum what all answers took."""
        with self._database.reading() as connection:
            return _spent(connection)

    def reserve(
        self, dollars: float, cap: float, price: Callable[[Spent], float], seconds: float
    ) -> tuple[str | None, float]:
        """Set money aside for a question, unless all together could then pass the cap.

        Args:
            dollars: the most that it can cost.
            cap: on all answers of this file, of whatever process.
            price: what answers have cost.
            seconds: after which the question has ended, one way or another.

        Returns:
            What to `release` when the answer is there (None where the cap forbids the question),
            and what was spent.
        """
        now = time.time()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM reserved WHERE until < ?", (now,))
            [aside] = connection.execute("SELECT total(dollars) FROM reserved").fetchone()
            paid = price(_spent(connection))
            if paid + aside + dollars > cap:
                return None, paid
            name = secrets.token_hex(8)
            connection.execute(
                "INSERT INTO reserved VALUES (?, ?, ?)", (name, dollars, now + seconds)
            )
            return name, paid

    def set_aside(self) -> float:
        """Sum the dollars reserved for questions under way."""
        with self._database.reading() as connection:
            query = "SELECT total(dollars) FROM reserved WHERE until >= ?"
            return float(connection.execute(query, (time.time(),)).fetchone()[0])

    def release(self, reservation: str | None) -> None:
        """Give back what was set aside."""
        if reservation is not None:
            with self._database.writing() as connection:
                connection.execute("DELETE FROM reserved WHERE id = ?", (reservation,))


def _spent(connection: sqlite3.Connection) -> Spent:
    row = connection.execute(
        "SELECT count(*), total(input_tokens), total(output_tokens), total(input_bytes), "
        "total(input_tokens * batched), total(output_tokens * batched) FROM answers"
    ).fetchone()
    return Spent(*map(int, row))


__all__ = ["Answer", "AnswerCache", "AnswerCacheError", "Spent"]
