"""Scientific justification of a proposal to observe a source."""

from ...writer import Writer
from .justification import write

WRITER = Writer("proposal", write, wrong=0.03, errors=1.2)

__all__ = ["WRITER"]
