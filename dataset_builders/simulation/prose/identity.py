"""What the source is: the first section."""

from __future__ import annotations

from .class_words import CLASS_LABELS, EVIDENCE
from .facts import Facts
from .papers import article_of
from .reporter import LOG, Reporter
from .scales import BRIGHTNESS, HARDNESS

_IDENTITY = (
    "We discuss {name}, {a_label}{where}.",
    "On the evidence so far {name} is {a_label}{where}.",
    "The X-ray source {name} is most likely {a_label}{where}.",
    "In the catalogues {name} appears as {a_label}{where}.",
    "{name} is {a_label}{where}.",
    "The source {name} has been identified with {a_label}{where}.",
    "{a_label_cap}{where}, catalogued in X-rays as {name}.",
    "Several authors classify {name} as {a_label}{where}.",
    "{name} is listed in the literature as {a_label}{where}.",
    "Known to observers as {alias}, {name} is {a_label}{where}.",
)


def write_identity(facts: Facts, reporter: Reporter, *, portrait: float) -> str:
    """The section `identity`.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
        portrait: chance of a sentence on how the source looks in X-rays.
    """
    random = reporter.random
    label = reporter.pick(CLASS_LABELS[facts.class_name])
    reporter.label("class", facts.class_name)
    article = article_of(label)
    where = ""
    if facts.redshift > 0.0 and reporter.chance(0.75):
        digits = 3 if facts.redshift < 0.3 else 2
        # From lines in optical spectra.
        found = reporter.measure("redshift", facts.redshift, 3e-4)
        where = f" at redshift {reporter.decimal(found, digits)}"
    elif facts.field_kind in ("galaxy", "globular", "nursery") and reporter.chance(0.6):
        where = reporter.pick((" in {host}", " belonging to {host}", " of {host}"), host=facts.host)
    sentences = [
        reporter.pick(
            _IDENTITY,
            name=facts.name,
            a_label=f"{article} {label}",
            a_label_cap=f"{article.capitalize()} {label}",
            where=where,
            alias=f"{facts.host.removeprefix('the ')} X-{facts.place + 1}",
        )
    ]
    if reporter.chance(0.8):
        sentences.append(
            reporter.pick(
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
        )
    if reporter.chance(portrait):
        sentences.append(_portrait(facts, reporter))
    if reporter.chance(0.15):
        sentences.append(
            reporter.pick(
                (
                    "The identification is considered secure.",
                    "The classification remains tentative.",
                    "Chance alignment was ruled out at high confidence.",
                    "An alternative identification has not been excluded.",
                )
            )
        )
    return " ".join(sentences)


def _portrait(facts: Facts, reporter: Reporter) -> str:
    """One sentence on how the source looks in X-rays, as introductions have it."""
    flux = reporter.measure("flux", facts.flux, 0.23, LOG)
    hardness = reporter.measure("hardness", facts.hardness, 0.08)
    return reporter.pick(
        (
            "As X-ray sources go it is {brightness}; in colour it is {colour}.",
            "In X-rays it is {colour}. It is {brightness}.",
            "It stands out as {colour}, and is {brightness}.",
        ),
        brightness=reporter.word(flux, BRIGHTNESS),
        colour=reporter.word(hardness, HARDNESS),
    )


__all__ = ["write_identity"]
