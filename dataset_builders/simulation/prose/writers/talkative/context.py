"""Third section: surroundings and motive."""

from __future__ import annotations

from math import isfinite

from ...facts import Facts
from ...names import AUTHORS
from ...reporter import LOG, Reporter
from .class_words import MOTIVE
from .scales import ABSORPTION, HARDNESS, PHOTONS

_CONTEXT = {
    "survey": (
        "It lies in {host}, an extragalactic survey with deep optical and infrared imaging.",
        "The region belongs to {host}, observed to trace the growth of black holes.",
        "{host_cap} was surveyed to resolve the cosmic X-ray background, and this source with it.",
    ),
    "galaxy": (
        "It resides in {host}, a galaxy at {distance}.",
        "The host is {host} ({distance}), whose X-ray source population was studied as a whole.",
        "It is one of the point sources of {host}, at {distance}.",
        "{host}, at {distance}, was observed for its star formation and X-ray binaries.",
    ),
    "globular": (
        "It belongs to the globular cluster {host} at {distance}.",
        "The globular cluster {host}, {distance} away, hosts it near its core.",
        "Close encounters in the dense core of {host} explain such systems.",
    ),
    "nursery": (
        "It is a member of the star-forming region {host} at {distance}.",
        "The young association {host}, {distance} away, was observed to find its members.",
        "{host} is a nursery of low-mass and massive stars, {distance} from the Sun.",
    ),
    "cluster": (
        "It is seen towards the cluster of galaxies {host}.",
        "The field is that of {host}, observed for its hot gas and mass.",
        "{host} was imaged to study how clusters assemble.",
    ),
    "plane": (
        "It lies in {host}, close to the Galactic plane, at a distance near {distance}.",
        "The source is in {host}, part of a census of faint Galactic X-ray sources.",
        "{host_cap} was chosen as a window on the Milky Way's compact objects.",
    ),
}
_BACKED_BY = (
    "{author} et al. ({year}) discuss it under the title “{title}”.",
    "The main reference is {author} et al. ({year}).",
    "See {author} et al. ({year}) for the full analysis.",
    "Work on it goes back to {author} et al. ({year}).",
)

# From so many photons on a source counts as easy to study: a limit of `scales.PHOTONS`.
_MANY = 480.0
_SIGHTLINE = (
    "The sightline through the Galaxy has {word}.",
    "<The Milky Way|Our Galaxy> <adds|puts> {word}<| in front>.",
    "<Maps of neutral hydrogen|Dust maps> <show|give> {word} on this line of sight.",
)
_EASY = ("a natural choice", "an easy target", "a rewarding target")
_HARD = ("a difficult choice", "a demanding target", "an awkward target")
_STUDIED = (
    "It was {choice} for <study|detailed work>, with {word} in <a typical exposure|each visit>.",
    "With {word} <per observation|in the usual exposure>, it was {choice}<| for such work>.",
    "<What made it|It was> {choice}<: {word} in an ordinary exposure|, given {word} per pointing>.",
)
_COLOURED = (
    "<Among the sources of its field|In the colour-colour diagram> it is {word}.",
    "It <drew attention|was noted> <because|since> it is {word}.",
    "<Population studies|Diagrams of X-ray colours> <file it as|show it as one that is> {word}.",
    "Being {word}, it <helps|served> to <separate|tell apart> <classes|populations>.",
)
_VEILED = (
    "Its <surroundings|position> <mean|imply> {word}.",
    "<One reason for interest|Of interest> is {word}.",
    "<Extinction in the optical|Reddening> <agrees with|confirms> {word}.",
)


# Chance of a sentence on why it was easy or hard to study.
_REMARKED = 0.9


def write_context(facts: Facts, reporter: Reporter) -> str:
    """Write the section `context`: surroundings, motive and references.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    reporter.label("host", facts.field_kind)
    places = _CONTEXT[facts.field_kind]
    place = places[reporter.random.randrange(len(places))]
    sentences = [
        place.format(
            host=facts.host,
            host_cap=facts.host[0].upper() + facts.host[1:],
            distance=_distance(facts, reporter) if "{distance}" in place else "",
        )
    ]
    if reporter.chance(0.8):
        sentences.append(reporter.pick(MOTIVE[facts.class_name]))
    if reporter.chance(_REMARKED):
        sentences.append(_remark(facts, reporter))
    if facts.field_kind == "plane" and reporter.chance(0.5):
        # From maps of gas and dust, which are good to a tenth.
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.1, LOG)
        words = reporter.word(found, ABSORPTION)
        sentences.append(reporter.pick(_SIGHTLINE, word=words))
    if reporter.chance(0.6) and facts.papers:
        paper = facts.papers[reporter.random.randrange(len(facts.papers))]
        sentences.append(
            reporter.pick(
                _BACKED_BY,
                author=AUTHORS[reporter.random.randrange(len(AUTHORS))],
                year=paper.year,
                title=paper.title,
            )
        )
    return " ".join([sentences[0], *reporter.shuffled(sentences[1:])])


def _remark(facts: Facts, reporter: Reporter) -> str:
    """Write why it was easy or hard to study, its colour, or the gas in front of it."""
    about = reporter.random.random()
    if about < 0.4:
        found = reporter.measure("photons", facts.photons, 0.2, LOG)
        # The choice follows from the step of the scale, so it says nothing more.
        easy = PHOTONS.step(found.value)[0] >= _MANY
        return reporter.pick(
            _STUDIED,
            choice=reporter.pick(_EASY if easy else _HARD),
            word=reporter.word(found, PHOTONS),
        )
    if about < 0.8:
        found = reporter.measure("hardness", facts.hardness, 0.06)
        return reporter.pick(_COLOURED, word=reporter.word(found, HARDNESS))
    column = reporter.measure("nh", facts.nh, 0.15, LOG)
    return reporter.pick(_VEILED, word=reporter.word(column, ABSORPTION))


def _distance(facts: Facts, reporter: Reporter) -> str:
    if not isfinite(facts.distance_mpc):
        return "an unknown distance"
    # One ladder or another.
    found = reporter.measure("distance_mpc", facts.distance_mpc, 0.05, LOG)
    if found.value >= 0.1:
        return f"{reporter.plain(found, 2)} Mpc"
    if found.value >= 1e-3:
        return f"{reporter.plain(found, 2, 1e-3)} kpc"
    return f"{reporter.plain(found, 2, 1e-6)} pc"


__all__ = ["write_context"]
