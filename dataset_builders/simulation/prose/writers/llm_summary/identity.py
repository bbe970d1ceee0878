"""First section: identification and evidence."""

from __future__ import annotations

from ...facts import Facts
from ...grammar import capitalized
from ...reporter import LOG, Reporter
from .class_phrases import EVIDENCE, NAMES
from .scales import BRIGHTNESS, COLOUR

_SUBJECTS = ("The source", "This <source|object>", "The X-ray source", "The target", "It")
_IDENTIFIED = (
    "{subject} is <identified as|classified as|believed to be|likely|most likely> {label}{where}.",
    "{subject}<, also known as {alias},|> is {label}{where}.",
    "{name} is {label}{where}<, as <established|suggested> by multiwavelength data|>.",
    "{name} <has been|was> classified as {label}{where}.",
    "Based on <the literature|multiwavelength evidence>, {subject_low} is {label}{where}.",
    "<Cataloged|Listed> as {name}, this <source|object> is <consistent with|best interpreted as> "
    "{label}{where}.",
    "The literature <describes|identifies> {subject_low} as {label}{where}.",
    "{subject} corresponds to {label}{where}.",
)
_REDSHIFT = (
    " at <a redshift of |redshift |>z = {z}",
    " at z ≈ {z}",
    " with a <spectroscopic |>redshift of {z}",
    " (z = {z})",
)
_APART = (
    "Its <spectroscopic |>redshift is <z = |>{z}.",
    "A redshift of <z = |z ≈ |>{z} has been <reported|measured><| from optical spectroscopy>.",
)
_CONFIDENCE = (
    "The classification is <considered|regarded as> <robust|reliable|secure>.",
    "However, <the classification remains tentative|alternative explanations cannot be fully ruled "
    "out>.",
    "Some <studies|authors> <caution|note> that the <association|identification> is not "
    "<definitive|conclusive>.",
    "The source has been <included|cataloged> in <several|multiple> X-ray <surveys|catalogs>.",
    "<No|Little> further information on its nature is <available|provided>.",
)
_APPEARANCE = (
    "It <appears|stands out> as <a|an X-ray> source that is {colour} and {bright}.",
    "In X-rays, it is {bright}<, with|; it has> an overall spectrum that is {colour}.",
)
_BRIGHT = (
    "{Bright} <at X-ray energies|in the Chandra band>, it <has drawn|attracted> <some|particular> "
    "attention.",
    "It is <noted|reported> to be {bright} <in X-rays|among the sources in its field>.",
)
# From lines in optical spectra.
_REDSHIFT_ERROR = 4e-4


def write_identity(facts: Facts, reporter: Reporter) -> str:
    """Write the class, redshift or host, and some evidence."""
    where, apart = "", ""
    if facts.redshift > 0.0 and reporter.chance(0.6):
        found = reporter.measure("redshift", facts.redshift, _REDSHIFT_ERROR)
        z = reporter.decimal(found, 3 if facts.redshift < 0.2 else 2)
        if reporter.chance(0.7):
            where = reporter.pick(_REDSHIFT, z=z)
        else:
            apart = reporter.pick(_APART, z=z)
    elif facts.field_kind in ("galaxy", "globular", "nursery") and reporter.chance(0.4):
        reporter.label("host", facts.field_kind)
        where = reporter.pick((" <in|located in|within> {host}",), host=facts.host)
    subject = reporter.pick(_SUBJECTS)
    lead = reporter.pick(
        _IDENTIFIED,
        subject=subject,
        subject_low="the source" if subject == "It" else subject[0].lower() + subject[1:],
        label=NAMES.pick(facts, reporter),
        where=where,
        name=facts.name,
        alias=f"source {facts.place + 1} of the field",
    )
    more = [apart] if apart else []
    if reporter.chance(0.75):
        more.append(_evidence(facts, reporter))
    if reporter.chance(0.3):
        more.append(_appearance(facts, reporter))
    if reporter.chance(0.45):
        more.append(reporter.pick(_CONFIDENCE))
    return " ".join([lead, *reporter.shuffled(more)])


def _evidence(facts: Facts, reporter: Reporter) -> str:
    random = reporter.random
    return EVIDENCE.pick(
        facts,
        reporter,
        magnitude=random.uniform(17.5, 24.5),
        bright=random.uniform(6.5, 13.5),
        mass=random.randrange(3, 95),
        hours=random.uniform(1.4, 14.0),
        seconds=random.randrange(4, 1100),
        arcsec=random.randrange(5, 70),
        years=random.randrange(2, 8),
        period=random.randrange(30, 420),
        spin=random.uniform(0.9, 10.5),
        few=random.uniform(1.7, 9.0),
    )


def _appearance(facts: Facts, reporter: Reporter) -> str:
    bright = reporter.word(reporter.measure("flux", facts.flux, 0.35, LOG), BRIGHTNESS)
    if reporter.chance(0.4):
        return reporter.pick(_BRIGHT, bright=bright, Bright=capitalized(bright))
    colour = reporter.word(reporter.measure("hardness", facts.hardness, 0.08), COLOUR)
    return reporter.pick(_APPEARANCE, colour=colour, bright=bright)


__all__ = ["write_identity"]
