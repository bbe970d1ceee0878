"""Third section of a summary: surroundings and motive."""

from __future__ import annotations

from math import isfinite

from .class_words import MOTIVE
from .facts import Facts
from .names import AUTHORS
from .reporter import LOG, Measurement, Reporter
from .scales import ABSORPTION, BRIGHTNESS, PHOTONS

# What each kind of field is.
_PLACES = {
    "survey": "an extragalactic survey field",
    "galaxy": "a nearby galaxy with many X-ray sources",
    "globular": "a globular cluster",
    "nursery": "a star-forming region",
    "cluster": "the field of a cluster of galaxies",
    "plane": "a field of the Galactic plane",
}
_WHERE = ("It lies in {place}{distance}.", "It was found in {place}{distance}.")
_NAMED = (
    "It lies in {host}, {place}{distance}.",
    "It was found in {host}, {place}{distance}.",
)
_SEEN = (
    "It is {word}, with {photons} in a typical exposure.",
    "It is {word}, and a typical exposure gives {photons}.",
)
_BACKED_BY = (
    "The main reference is {author} et al. ({year}).",
    "{author} et al. ({year}) discuss it under the title “{title}”.",
    "See {author} et al. ({year}) for the full analysis.",
    "Work on it goes back to {author} et al. ({year}).",
)
_SIGHTLINE = (
    "The sightline through the Galaxy has {word}.",
    "Maps of neutral hydrogen show {word} on this line of sight.",
)
# Kinds of field whose distance is that of their sources.
_AT_ONE_DISTANCE = ("galaxy", "globular", "nursery", "plane")


def write_context(facts: Facts, reporter: Reporter) -> str:
    """Write the section `context`: surroundings, and how well the source can be studied.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    manner = reporter.manner
    reporter.label("host", facts.field_kind)
    distance = ""
    known = facts.field_kind in _AT_ONE_DISTANCE and isfinite(facts.distance_mpc)
    if known and reporter.chance(manner.stated_numbers):
        distance = f" at a distance of {_distance(facts, reporter)}"
    sentences = [
        reporter.pick(
            _NAMED if reporter.chance(manner.named) else _WHERE,
            place=_PLACES[facts.field_kind],
            host=facts.host,
            distance=distance,
        )
    ]
    if reporter.chance(manner.stated_words):
        sentences.append(_seen(facts, reporter))
    if reporter.chance(manner.asides):
        sentences.append(reporter.pick(MOTIVE[facts.class_name]))
    if facts.field_kind == "plane" and reporter.chance(manner.asides):
        # From maps of gas and dust, which are good to a tenth.
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.1, LOG)
        sentences.append(reporter.pick(_SIGHTLINE, word=reporter.word(found, ABSORPTION)))
    if facts.papers and reporter.chance(manner.asides):
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


def _seen(facts: Facts, reporter: Reporter) -> str:
    """Write the source's brightness and number of photons."""
    # Other observations caught it at another time.
    flux = reporter.measure("flux", facts.flux, 0.2, LOG)
    photons = reporter.measure("photons", facts.photons, 0.2, LOG)
    if reporter.chance(reporter.manner.stated_numbers):
        word = f"{reporter.aside(flux, BRIGHTNESS)} at {_power(flux, facts, reporter)}"
    else:
        word = f"{reporter.word(flux, BRIGHTNESS)} in X-rays"
    return reporter.pick(_SEEN, word=word, photons=reporter.word(photons, PHOTONS))


def _power(flux: Measurement, facts: Facts, reporter: Reporter) -> str:
    """Write the flux or, where the distance is known, at times the luminosity, as a number."""
    if facts.field_kind != "cluster" and isfinite(facts.distance_mpc) and reporter.chance(0.4):
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        mantissa, exponent = reporter.significant(found, 2)
        return f"{mantissa}e{exponent} erg/s"
    mantissa, exponent = reporter.significant(flux, 2)
    return f"{mantissa}e{exponent} erg/cm^2/s"


def _distance(facts: Facts, reporter: Reporter) -> str:
    # One ladder or another.
    found = reporter.measure("distance_mpc", facts.distance_mpc, 0.05, LOG)
    if found.value >= 0.1:
        return f"{reporter.plain(found, 2)} Mpc"
    if found.value >= 1e-3:
        return f"{reporter.plain(found, 2, 1e-3)} kpc"
    return f"{reporter.plain(found, 2, 1e-6)} pc"


__all__ = ["write_context"]
