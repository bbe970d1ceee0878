"""Third section: environment, relevance and remarks on the literature."""

from __future__ import annotations

from math import isfinite

from ...facts import Facts
from ...reporter import LOG, Reporter
from .class_phrases import INTEREST
from .scales import ABSORPTION

_ENVIRONMENT = {
    "survey": (
        "The source <lies|is located> in an extragalactic survey field<| ({host})>.",
        "It was <detected|observed> as part of <a deep|an extragalactic> X-ray survey.",
        "It <belongs to|is included in> the X-ray source catalog of {host}.",
        "The <surrounding |>field, away from the Galactic plane, was <surveyed|targeted> with "
        "Chandra to <study distant AGN|resolve the X-ray background>.",
    ),
    "galaxy": (
        "It is <located|situated> in the nearby galaxy {host}<{distance}|>.",
        "The source is <one of|part of> the X-ray population of a nearby galaxy<{distance}|>.",
        "The host galaxy, {host}{distance}, <contains|hosts> <numerous|many> X-ray sources.",
        "Its host galaxy<{distance}|> has been <extensively studied|surveyed> for X-ray binaries.",
    ),
    "globular": (
        "It <resides in|is a member of> the globular cluster {host}<{distance}|>.",
        "The source is found in a <dense |>globular cluster<{distance}|><, where dynamical "
        "interactions are frequent|>.",
        "Its location within the <core|half-mass radius> of {host} <suggests|supports> cluster "
        "membership.",
    ),
    "nursery": (
        "It is <located in|associated with> the star-forming region {host}<{distance}|>.",
        "The source <belongs to|lies in> a young <stellar cluster|star-forming complex><{distance}"
        "|>.",
        "The region, <home to|rich in> young stars<{distance}|>, was observed to <identify|"
        "characterize> its X-ray members.",
    ),
    "cluster": (
        "It <lies|is located> in the field of the galaxy cluster {host}.",
        "The observation targeted a cluster of galaxies.",
        "The <field|pointing> <is centered on|covers> a <massive |>galaxy cluster<, {host}|>.",
    ),
    "plane": (
        "It is <located|situated> in the Galactic plane<{distance}|>.",
        "The source lies at low Galactic latitude<{distance}|><, in {host}|>.",
        "It was detected <during|in> a survey of the Galactic <disk|plane>.",
    ),
}
_DISTANCE = (" at a distance of <about |roughly |>{d}", " (<distance ~|>{d})", " (d ≈ {d})")
_SIGHTLINE = (
    "The Galactic sightline <contributes|has> {word}.",
    "<Foreground gas in the Milky Way|The Milky Way> <causes|contributes> {word}.",
)
_LITERATURE = (
    "The source was <observed|covered> <with|by> Chandra<| and XMM-Newton> <as part of a larger "
    "sample|serendipitously>.",
    "<Multiple|Several> studies have <examined|investigated> <this source|the field>, focusing on "
    "<its multiwavelength properties|the overall source population|source classification>.",
    "It <appears|is included> in {n} <papers|studies>, most of which <discuss|concern> <larger "
    "samples|the surrounding field|statistical properties of the population>.",
    "A {year} <paper|study> <discusses|includes> this source<| among others>.",
    "Its counterpart has been <studied|imaged> <at radio wavelengths|in the near-infrared|with the "
    "Hubble Space Telescope|by Gaia>.",
    "Positions were <cross-matched|aligned> with <Gaia|2MASS|Pan-STARRS|SDSS> <to identify "
    "counterparts|with sub-arcsecond accuracy>.",
    "<Machine learning|Automated> classification <supports|agrees with> the proposed nature.",
    "Future observations with <XRISM|Athena|JWST|next-generation facilities> <could|may> <clarify "
    "its properties|provide further constraints>.",
    "Deeper observations <would help|are required> to <confirm its nature|refine these results>.",
    "Overall, the source <remains|is> <a target of interest|of interest> for <multiwavelength "
    "studies|high-energy astrophysics>.",
)
# Kinds of field whose distance is that of their sources.
_AT_ONE_DISTANCE = ("galaxy", "globular", "nursery", "plane")


def write_context(facts: Facts, reporter: Reporter) -> str:
    """Write the environment, a reason for interest and remarks, each at times."""
    sentences = []
    if reporter.chance(0.8):
        reporter.label("host", facts.field_kind)
        sentences.append(_environment(facts, reporter))
    if reporter.chance(0.6):
        sentences.append(INTEREST.pick(facts, reporter))
    if facts.field_kind == "plane" and reporter.chance(0.3):
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.15, LOG)
        sentences.append(reporter.pick(_SIGHTLINE, word=reporter.word(found, ABSORPTION)))
    for _ in range(reporter.random.randrange(3) + (len(sentences) < 2)):
        sentences.append(write_remark(facts, reporter))
    if reporter.chance(0.25):
        sentences = reporter.shuffled(sentences)
    return " ".join(dict.fromkeys(sentences))


def write_remark(facts: Facts, reporter: Reporter) -> str:
    """Write a remark on the literature that tells nothing of the source."""
    paper = facts.papers[reporter.random.randrange(len(facts.papers))]
    return reporter.pick(_LITERATURE, n=len(facts.papers), year=paper.year)


def _environment(facts: Facts, reporter: Reporter) -> str:
    templates = _ENVIRONMENT[facts.field_kind]
    known = facts.field_kind in _AT_ONE_DISTANCE and isfinite(facts.distance_mpc)
    distance = ""
    if known and reporter.chance(0.5):
        found = reporter.measure("distance_mpc", facts.distance_mpc, 0.08, LOG)
        value, unit, name = found.value, 1.0, "Mpc"
        if value < 0.1:
            unit, name = (1e-3, "kpc") if value >= 9e-4 else (1e-6, "pc")
        number = reporter.plain(found, 1 + reporter.random.randrange(2), unit)
        distance = reporter.pick(_DISTANCE, d=f"{number} {name}")
        templates = [template.replace("<{distance}|>", "{distance}") for template in templates]
        templates = [template for template in templates if "{distance}" in template]
    return reporter.pick(templates, host=facts.host, distance=distance)


__all__ = ["write_context", "write_remark"]
