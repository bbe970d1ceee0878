"""Summary of what the literature says about a source, by one writer or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp
from random import Random

from .facts import Facts
from .reporter import Reporter, Writer
from .statements import Statement, Summary

SECTIONS = ("identity", "spectrum", "context")
# Chance that the papers behind a summary are by two writers.
TWO_WRITERS = 0.15


def choose_writers(writers: Sequence[Writer], random: Random, *, seen: bool) -> tuple[Writer, ...]:
    """Choose one writer by weight, or at times two; `seen` excludes writers of unseen texts."""
    known = [writer for writer in writers if not writer.unseen]
    if random.random() < TWO_WRITERS and len(known) > 1:
        first = _by_weight(known, random)
        return first, _by_weight([writer for writer in known if writer != first], random)
    return (_by_weight(known if seen else writers, random),)


def write_summary(
    facts: Facts, writers: Sequence[Writer], stream: Callable[[str], Random]
) -> Summary:
    """Write a source's summary, and return its statements.

    Args:
        facts: truth about the source.
        writers: writers whose texts are joined, section by section.
        stream: returns the source's generator for a purpose (a writer's name, or `mistake`), so
            that a text depends on the source and its writer alone.
    """
    random = stream("mistake")
    wrong = sum(writer.wrong for writer in writers) / len(writers)
    is_mistaken = random.random() < wrong
    if is_mistaken:
        facts = mistaken(facts, random)
    texts: list[dict[str, str]] = []
    statements: list[Statement] = []
    for writer in writers:
        reporter = Reporter(facts, stream(writer.name), writer.errors)
        texts.append(writer.write(reporter))
        statements += reporter.statements
    joined = {
        section: " ".join(text[section] for text in texts if text.get(section))
        for section in SECTIONS
    }
    return Summary(
        {section: text for section, text in joined.items() if text},
        tuple(statements),
        " + ".join(writer.name for writer in writers),
        wrong,
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


def _by_weight(writers: Sequence[Writer], random: Random) -> Writer:
    return random.choices(writers, [writer.weight for writer in writers])[0]
