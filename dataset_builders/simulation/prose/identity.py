"""First section of a summary: the source and its class."""

from __future__ import annotations

from .class_words import CLASS_LABELS, EVIDENCE
from .facts import Facts
from .papers import article_of
from .reporter import LOG, Reporter
from .scales import BRIGHTNESS, HARDNESS

_IDENTITY = (
    "The source is {a_label}{where}.",
    "It is {a_label}{where}.",
)
_NAMED = (
    "{name} is {a_label}{where}.",
    "{name}, <known|also known> as {alias}, is {a_label}{where}.",
)
_PORTRAIT = (
    "In X-rays it is {brightness} and {colour}.",
    "It is {brightness} and {colour} in X-rays.",
)
_VERDICT = (
    "The identification is <considered|regarded as|thought to be> secure.",
    "The classification <remains|is still> <tentative|provisional|a matter of debate>.",
    "<Chance alignment|A chance coincidence> was <ruled out|excluded><| at high confidence>.",
    "An alternative identification has not been <excluded|ruled out>.",
    "<Later|Subsequent> work <confirmed|did not question|adopted> this <view|identification>.",
)


def write_identity(facts: Facts, reporter: Reporter) -> str:
    """Write the section `identity`: class, brightness and colour, and at times the evidence.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    manner = reporter.manner
    label = reporter.pick(CLASS_LABELS[facts.class_name])
    reporter.label("class", facts.class_name)
    where = ""
    if facts.redshift > 0.0 and reporter.chance(manner.stated_numbers):
        digits = 3 if facts.redshift < 0.3 else 2
        # From lines in optical spectra.
        found = reporter.measure("redshift", facts.redshift, 3e-4)
        where = f" at redshift {reporter.decimal(found, digits)}"
    sentences = [
        reporter.pick(
            _NAMED if reporter.chance(manner.named) else _IDENTITY,
            name=facts.name,
            a_label=f"{article_of(label)} {label}",
            where=where,
            alias=f"{facts.host.removeprefix('the ')} X-{facts.place + 1}",
        )
    ]
    if reporter.chance(manner.repeated):
        sentences.append(_portrait(facts, reporter))
    if reporter.chance(manner.asides):
        sentences.append(_evidence(facts, reporter))
    if reporter.chance(manner.asides):
        sentences.append(reporter.pick(_VERDICT))
    return " ".join(sentences)


def _portrait(facts: Facts, reporter: Reporter) -> str:
    """Write one sentence on the source's appearance in X-rays, as introductions have it."""
    flux = reporter.measure("flux", facts.flux, 0.2, LOG)
    hardness = reporter.measure("hardness", facts.hardness, 0.06)
    return reporter.pick(
        _PORTRAIT,
        brightness=reporter.word(flux, BRIGHTNESS),
        colour=reporter.word(hardness, HARDNESS),
    )


def _evidence(facts: Facts, reporter: Reporter) -> str:
    """Write the evidence for the class, with numbers that carry no information."""
    random = reporter.random
    return reporter.pick(
        EVIDENCE[facts.class_name],
        magnitude=random.uniform(17.0, 25.0),
        bright=random.uniform(7.0, 14.0),
        mass=random.randrange(2, 90),
        hours=random.uniform(1.3, 12.0),
        seconds=random.randrange(3, 900),
        arcsec=random.randrange(4, 60),
        kyr=random.randrange(1, 30),
        period=random.randrange(2, 400),
        edot=random.randrange(33, 38),
        images=(2, 4)[random.randrange(2)],
        days=random.randrange(5, 160),
        years=random.randrange(1, 9),
        spin=random.uniform(0.8, 11.0),
        few=random.uniform(1.6, 12.0),
    )


__all__ = ["write_identity"]
