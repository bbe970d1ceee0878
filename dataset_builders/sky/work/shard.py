"""One of several shares of a build, each owned by one machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """A share of the sources.

    Attributes:
        number: 1 to `of`.
        of: how many there are.

    Raises:
        ValueError: for a number out of range.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(
                f"shard {self.number}/{self.of}: write 1/{self.of} to {self.of}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `2/8`.

        Raises:
            ValueError: for anything else.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.strip().isdecimal() and of.strip().isdecimal()):
            raise ValueError(f"shard {text!r}: write NUMBER/SHARDS, such as 2/8")
        return cls(int(number), int(of))

    def has(self, name: str) -> bool:
        """Whether a source is in this share: by the hash of its name, the same everywhere."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    def has_number(self, number: int) -> bool:
        """Whether the part of that number is in this share."""
        return number % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


__all__ = ["Shard"]
