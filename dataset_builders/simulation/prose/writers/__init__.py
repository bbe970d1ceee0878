"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from ..writer import Writer
from .catalogue_note import WRITER as CATALOGUE_NOTE
from .keywords import WRITER as KEYWORDS
from .llm_summary import WRITER as LLM_SUMMARY
from .proposal import WRITER as PROPOSAL
from .source_paper import WRITER as SOURCE_PAPER
from .table_row import WRITER as TABLE_ROW
from .talkative import WRITER as TALKATIVE

WRITERS: tuple[Writer, ...] = (
    CATALOGUE_NOTE,
    KEYWORDS,
    LLM_SUMMARY,
    PROPOSAL,
    SOURCE_PAPER,
    TABLE_ROW,
    TALKATIVE,
)

__all__ = ["WRITERS"]
