"""Where it lives and why it was studied: the third section."""

from __future__ import annotations

from math import isfinite

from .class_words import MOTIVE
from .facts import Facts
from .names import AUTHORS
from .reporter import LOG, Reporter
from .scales import ABSORPTION, BRIGHTNESS

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


def write_context(facts: Facts, reporter: Reporter, *, remark: float) -> str:
    """The section `context`.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
        remark: chance of a sentence on why it was easy or hard to study.
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
    if reporter.chance(remark):
        sentences.append(_remark(facts, reporter))
    if facts.field_kind == "plane" and reporter.chance(0.5):
        # From maps of gas and dust, which are good to a tenth.
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.1, LOG)
        words = reporter.word(found, ABSORPTION)
        sentences.append(f"The sightline through the Galaxy has {words}.")
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
    return " ".join(sentences)


def _remark(facts: Facts, reporter: Reporter) -> str:
    """Why it was easy or hard to study, or what lies in front of it."""
    if reporter.chance(0.6):
        flux = reporter.measure("flux", facts.flux, 0.23, LOG)
        # The choice follows from the step of the scale, so it says nothing more.
        return reporter.pick(
            (
                "It was {choice} for study, being {word}.",
                "Being {word}, it was {choice} for detailed work.",
            ),
            choice="a natural choice" if flux.value > 1e-13 else "a difficult choice",
            word=reporter.word(flux, BRIGHTNESS),
        )
    column = reporter.measure("nh", facts.nh, 0.2, LOG)
    return reporter.pick(
        ("Its surroundings mean {word}.", "One reason for interest is {word}."),
        word=reporter.word(column, ABSORPTION),
    )


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
