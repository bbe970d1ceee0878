"""A summary of three sections, and what it states."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

from .context import write_context
from .facts import Facts
from .identity import write_identity
from .methods import METHODS, method
from .reporter import Reporter
from .spectrum import write_spectrum
from .statements import Summary

FEWEST_WORDS = 60


def write_summary(
    facts: Facts,
    random: Random,
    *,
    stated_numbers: float,
    stated_words: float,
    repeated: float,
    silent: float,
    wrong: float,
    errors: float = 1.0,
) -> Summary:
    """The three sections of a source's summary, and what they state.

    Args:
        facts: the truth about the source.
        random: generator of this source; what is stated has errors drawn from it.
        stated_numbers: chance that a measured quantity is stated as a number.
        stated_words: chance that a quantity is told in words.
        repeated: chance that the first and the last section bring up colour and brightness, too,
            each from measurements of its own.
        silent: chance that the spectral section says nothing about the spectrum.
        wrong: chance that the literature is mistaken about the source.
        errors: factor on the errors of all measurements.
    """
    reporter = Reporter(random, errors)
    is_mistaken = reporter.chance(wrong)
    if is_mistaken:
        facts = mistaken(facts, random)
    identity = write_identity(facts, reporter, portrait=repeated)
    spectrum = write_spectrum(
        facts,
        reporter,
        stated_numbers=stated_numbers,
        stated_words=stated_words,
        silent=silent,
    )
    context = write_context(facts, reporter, remark=repeated)
    # One or none at random, and as many as a text needs to be one.
    methods = random.sample(range(len(METHODS)), len(METHODS))
    wanted = random.randrange(3)
    while wanted > 0 or sum(len(text.split()) for text in (identity, spectrum, context)) < (
        FEWEST_WORDS
    ):
        context = f"{context} {method(reporter, methods.pop())}"
        wanted -= 1
    return Summary(
        {"identity": identity, "spectrum": spectrum, "context": context},
        tuple(reporter.statements),
        is_mistaken,
    )


def mistaken(facts: Facts, random: Random) -> Facts:
    """The facts as somebody had them who took another source for this one, or a poor fit."""
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
