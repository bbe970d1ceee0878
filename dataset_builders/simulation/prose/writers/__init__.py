"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from ..writer import Writer
from .catalogue_note import WRITER as CATALOGUE_NOTE
from .proposal import WRITER as PROPOSAL
from .source_paper import WRITER as SOURCE_PAPER
from .talkative import WRITER as TALKATIVE

WRITERS: tuple[Writer, ...] = (CATALOGUE_NOTE, PROPOSAL, SOURCE_PAPER, TALKATIVE)

__all__ = ["WRITERS"]
