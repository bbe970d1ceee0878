"""Summary of three sections, and its statements."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

from .context import write_context
from .facts import Facts
from .identity import write_identity
from .manner import Manner
from .methods import METHODS, method
from .reporter import Reporter
from .spectrum import write_spectrum
from .statements import Summary

FEWEST_WORDS = 60


def write_summary(facts: Facts, random: Random, manner: Manner) -> Summary:
    """Write the three sections of a source's summary, and return its statements.

    Args:
        facts: the truth about the source.
        random: generator of this source; what is stated has errors drawn from it.
        manner: how much is told, and how.
    """
    reporter = Reporter(random, manner)
    is_mistaken = reporter.chance(manner.wrong)
    if is_mistaken:
        facts = mistaken(facts, random)
    identity = write_identity(facts, reporter)
    spectrum = write_spectrum(facts, reporter)
    context = write_context(facts, reporter)
    # As many as a text needs to be one.
    methods = random.sample(range(len(METHODS)), len(METHODS))
    while sum(len(text.split()) for text in (identity, spectrum, context)) < FEWEST_WORDS:
        context = f"{context} {method(reporter, methods.pop())}"
    return Summary(
        {"identity": identity, "spectrum": spectrum, "context": context},
        tuple(reporter.statements),
        is_mistaken,
    )


def mistaken(facts: Facts, random: Random) -> Facts:
    """Return the facts of somebody who took another source for this one, or a poor fit."""
    flux = exp(random.gauss(0.0, 1.2))
    return replace(
        facts,
        shape=facts.shape * exp(random.gauss(0.0, 0.35)),
        nh=facts.nh * exp(random.gauss(0.0, 1.5)),
        flux=facts.flux * flux,
        photons=facts.photons * flux,
        hardness=random.uniform(-0.9, 0.9),
        medium_soft=random.uniform(-0.9, 0.7),
    )


__all__ = ["FEWEST_WORDS", "mistaken", "write_summary"]
