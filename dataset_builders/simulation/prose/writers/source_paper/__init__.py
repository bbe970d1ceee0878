"""Abstract of a paper about a single source."""

from ...writer import Writer
from .abstract import write

WRITER = Writer("source_paper", write, wrong=0.015)

__all__ = ["WRITER"]
