"""Writers of the simulated literature, one module each; no two share phrases or word scales."""

from . import (
    catalogue_note,
    keywords,
    llm_summary,
    notice,
    proposal,
    source_paper,
    survey_abstract,
    table_row,
    talkative,
)

_MODULES = (
    catalogue_note, keywords, llm_summary, notice, proposal, source_paper, survey_abstract,
    table_row, talkative,
)  # fmt: skip
WRITERS = tuple(module.WRITER for module in _MODULES)
