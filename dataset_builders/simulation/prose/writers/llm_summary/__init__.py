"""Writer in the manner of a language model: three sections of polished, cautious sentences."""

from ...facts import Facts
from ...reporter import Reporter
from ...writer import Writer
from .context import write_context, write_remark
from .identity import write_identity
from .spectrum import write_spectrum

_FEWEST_WORDS = 60


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the three sections, and go on until there are words enough."""
    identity = write_identity(facts, reporter)
    spectrum = write_spectrum(facts, reporter)
    context = write_context(facts, reporter)
    while identity.count(" ") + spectrum.count(" ") + context.count(" ") < _FEWEST_WORDS:
        context = f"{context} {write_remark(facts, reporter)}"
    return {"identity": identity, "spectrum": spectrum, "context": context}


WRITER = Writer("llm_summary", write, weight=1.3)

__all__ = ["WRITER"]
