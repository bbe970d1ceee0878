"""Talkative writer: three sections of full sentences, nearly every quantity in words or numbers."""

from ...facts import Facts
from ...reporter import Reporter
from ...writer import Writer
from .context import write_context
from .identity import write_identity
from .methods import METHODS, method
from .spectrum import write_spectrum

_FEWEST_WORDS = 60


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the three sections, with remarks on methods until there are words enough."""
    identity = write_identity(facts, reporter)
    spectrum = write_spectrum(facts, reporter)
    context = write_context(facts, reporter)
    methods = reporter.shuffled(METHODS)
    wanted = reporter.random.randrange(3)
    while wanted > 0 or len(f"{identity} {spectrum} {context}".split()) < _FEWEST_WORDS:
        context = f"{context} {method(reporter, methods.pop())}"
        wanted -= 1
    return {"identity": identity, "spectrum": spectrum, "context": context}


WRITER = Writer("talkative", write)

__all__ = ["WRITER"]
