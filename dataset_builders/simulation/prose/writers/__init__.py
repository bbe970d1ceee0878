"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from ..writer import Writer
from .talkative import WRITER as TALKATIVE

WRITERS: tuple[Writer, ...] = (TALKATIVE,)

__all__ = ["WRITERS"]
