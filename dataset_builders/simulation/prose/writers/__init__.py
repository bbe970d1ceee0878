"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from ..writer import Writer
from .catalogue_note import WRITER as CATALOGUE_NOTE
from .keywords import WRITER as KEYWORDS
from .llm_summary import WRITER as LLM_SUMMARY
from .notice import WRITER as NOTICE
from .proposal import WRITER as PROPOSAL
from .source_paper import WRITER as SOURCE_PAPER
from .survey_abstract import WRITER as SURVEY_ABSTRACT
from .table_row import WRITER as TABLE_ROW
from .talkative import WRITER as TALKATIVE

WRITERS: tuple[Writer, ...] = (
    CATALOGUE_NOTE,
    KEYWORDS,
    LLM_SUMMARY,
    NOTICE,
    PROPOSAL,
    SOURCE_PAPER,
    SURVEY_ABSTRACT,
    TABLE_ROW,
    TALKATIVE,
)
