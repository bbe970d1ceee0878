"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from ..writer import Writer
from .proposal import WRITER as PROPOSAL
from .source_paper import WRITER as SOURCE_PAPER
from .talkative import WRITER as TALKATIVE

WRITERS: tuple[Writer, ...] = (PROPOSAL, SOURCE_PAPER, TALKATIVE)

__all__ = ["WRITERS"]
