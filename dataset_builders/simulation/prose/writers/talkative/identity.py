"""First section: the source and its class."""

from __future__ import annotations

from ...facts import Facts
from ...papers import article_of
from ...reporter import LOG, Reporter
from .class_words import CLASS_LABELS, EVIDENCE
from .scales import BRIGHTNESS, HARDNESS, PHOTONS

_IDENTITY = (
    "<We discuss|This entry concerns|The subject here is> {name}, {a_label}{where}.",
    "<On the evidence so far|By all accounts|To present knowledge>,<| the X-ray source> {name} is "
    "{a_label}{where}.",
    "<The X-ray source |The Chandra source |>{name} is <most likely|in all likelihood|probably> "
    "{a_label}{where}.",
    "In <the catalogues|published lists|several catalogues> {name} <appears|is entered|figures> as "
    "{a_label}{where}.",
    "{name} <is|turns out to be|was shown to be> {a_label}{where}.",
    "The source {name} <has been|was> identified with {a_label}{where}.",
    "{a_label_cap}{where}, <catalogued|known|listed> in X-rays as {name}.",
    "<Several authors|Most authors|Two groups independently> classify {name} as {a_label}{where}.",
    "{name} is <listed|described|treated> in the literature as {a_label}{where}.",
    "Known <to observers |in the field |>as {alias}, {name} is {a_label}{where}.",
    "<The counterpart of|Behind> {name} <is|stands|one finds> {a_label}{where}.",
    "{a_label_cap}{where} <gives rise to|is behind|accounts for> the X-ray source {name}.",
)
_WHERE = (" in {host}", " belonging to {host}", " of {host}", " seen in {host}")
_PORTRAIT = (
    "<As X-ray sources go|By the standards of Chandra|In general> it is {brightness}<; in colour "
    "it is|, and in colour> {colour}.",
    "In X-rays it is {colour}<. It is also| and> {brightness}.",
    "<It stands out as|Observers describe it as|It is best known as> {colour}, and is "
    "{brightness}.",
    "<Reviews|Introductions> <call|describe> it <|as >{brightness} and {colour}.",
    "Its <X-ray light|emission> is {colour}<;|, and> the source itself is {brightness}.",
)
_DEPTH = (
    "<A Chandra exposure of usual depth|A typical Chandra pointing|A routine observation> "
    "<collects|gathers|yields> {photons}.",
    "<Archival|Existing> <observations|exposures> <hold|contain|offer> {photons} <each|apiece|per "
    "visit>.",
    "<One visit|A single pointing> <brings|gives|leaves> {photons}<| to work with>.",
    "<Detected|Seen> with {photons} in <a typical exposure|one ordinary visit>, it was <included|"
    "kept> in the <sample|catalogue>.",
)
_VERDICT = (
    "The <identification|association> is <considered|regarded as|thought to be> secure.",
    "The classification <remains|is still> <tentative|provisional|a matter of debate>.",
    "<Chance alignment|A chance coincidence> was <ruled out|excluded><| at high confidence>.",
    "An alternative identification has not been <excluded|ruled out>.",
    "<Later|Subsequent> work <confirmed|did not question|adopted> this <view|identification>.",
)


# Chance of each remark on its appearance in X-rays.
_PORTRAYED = 0.9


def write_identity(facts: Facts, reporter: Reporter) -> str:
    """Write the section `identity`: class, brightness and colour, and at times the evidence.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
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
        where = reporter.pick(_WHERE, host=facts.host)
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
        sentences.append(_evidence(facts, reporter))
    if reporter.chance(_PORTRAYED):
        sentences.append(_portrait(facts, reporter))
    if reporter.chance(_PORTRAYED):
        found = reporter.measure("photons", facts.photons, 0.2, LOG)
        sentences.append(reporter.pick(_DEPTH, photons=reporter.word(found, PHOTONS)))
    if reporter.chance(0.2):
        sentences.append(reporter.pick(_VERDICT))
    return " ".join([sentences[0], *reporter.shuffled(sentences[1:])])


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
