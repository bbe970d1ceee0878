"""Talkative writer: three sections of full sentences, nearly every quantity in words or numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..grammar import capitalized, with_article
from ..papers import AUTHORS
from ..phrases import read_phrases
from ..reporter import Reporter, Writer

PHRASES = read_phrases("writers/talkative")
_FEWEST_WORDS = 60
# Chance of each remark on its appearance in X-rays.
_PORTRAYED = 0.9
# Chance of a sentence on why it was easy or hard to study.
_REMARKED = 0.9
# From so many photons on a source counts as easy to study: a limit of `PHRASES.photons`.
_MANY = 480.0
_KEV_IN_MK = 11.6
# Chances that a measured quantity is stated as a number, that it is told in words, that a second
# component is told of, and that nothing is said of the spectrum.
_NUMBERS, _WORDS, _SECOND_TOLD, _SILENCE = 0.6, 0.97, 0.7, 0.02


def write(reporter: Reporter) -> dict[str, str]:
    """Write the three sections, with remarks on methods until there are words enough."""
    identity = _write_identity(reporter)
    spectrum = _write_spectrum(reporter)
    context = _write_context(reporter)
    methods = reporter.shuffled(PHRASES.methods)
    wanted = reporter.random.randrange(3)
    while wanted > 0 or len(f"{identity} {spectrum} {context}".split()) < _FEWEST_WORDS:
        numbers = reporter.draw(PHRASES.methods_numbers)
        context = f"{context} {methods.pop().format(**numbers)}"
        wanted -= 1
    return {"identity": identity, "spectrum": spectrum, "context": context}


def _write_identity(reporter: Reporter) -> str:
    """Write the section `identity`: class, brightness and colour, and at times the evidence."""
    facts = reporter.facts
    label = reporter.pick(PHRASES.class_labels[facts.class_name])
    reporter.label("class", facts.class_name)
    a_label = with_article(label)
    where = ""
    if facts.redshift > 0.0 and reporter.chance(0.75):
        digits = 3 if facts.redshift < 0.3 else 2
        # From lines in optical spectra.
        measured = reporter.measure("redshift", 3e-4)
        where = f" at redshift {reporter.decimal(measured, digits)}"
    elif facts.field_kind in ("galaxy", "globular", "nursery") and reporter.chance(0.6):
        where = reporter.pick(PHRASES.where, host=facts.host)
    sentences = [
        reporter.pick(
            PHRASES.identity,
            name=facts.name,
            a_label=a_label,
            a_label_cap=capitalized(a_label),
            where=where,
            alias=f"{facts.host.removeprefix('the ')} X-{facts.place + 1}",
        )
    ]
    if reporter.chance(0.8):
        numbers = reporter.draw(PHRASES.evidence_numbers)
        sentences.append(reporter.pick(PHRASES.evidence[facts.class_name], **numbers))
    if reporter.chance(_PORTRAYED):
        flux, hardness = reporter.measure("flux", 0.2), reporter.measure("hardness", 0.06)
        brightness = reporter.word(flux, PHRASES.brightness)
        colour = reporter.word(hardness, PHRASES.hardness)
        sentences.append(reporter.pick(PHRASES.portrait, brightness=brightness, colour=colour))
    if reporter.chance(_PORTRAYED):
        photons = reporter.word(reporter.measure("photons", 0.2), PHRASES.photons)
        sentences.append(reporter.pick(PHRASES.depth, photons=photons))
    if reporter.chance(0.2):
        sentences.append(reporter.pick(PHRASES.verdict))
    return " ".join([sentences[0], *reporter.shuffled(sentences[1:])])


def _write_spectrum(reporter: Reporter) -> str:
    """Write the section `spectrum`: model, further components, shape of the continuum."""
    if reporter.chance(_SILENCE):
        return reporter.pick(PHRASES.silent)
    facts, tell = reporter.facts, reporter.tell
    kind = int(facts.first)
    reporter.label("model", COMPONENTS[kind])
    shape = f" {_shape('shape', kind, reporter)}" if reporter.chance(_NUMBERS) else ""
    model = reporter.pick(PHRASES.model_names[COMPONENTS[kind]])
    sentences = [reporter.pick(PHRASES.opening, model=model) + f"{shape}."]
    if reporter.tells_second(_SECOND_TOLD):
        second = int(facts.second)
        other = reporter.pick(PHRASES.model_names[COMPONENTS[second]])
        shape = f" {_shape('shape2', second, reporter)}" if reporter.chance(0.5) else ""
        sentences.append(reporter.pick(PHRASES.second, other=other, shape=shape))
    slopes = (
        (PHRASES.slopes, PHRASES.slope_words)
        if kind == POWER_LAW
        else (PHRASES.heats, PHRASES.heat_words)
    )
    parts: tuple[tuple[float, Callable[[], str]], ...] = (
        (0.7 * _WORDS, lambda: tell("shape", 0.1, *slopes)),
        (_WORDS, lambda: tell("hardness", 0.06, PHRASES.hardness, PHRASES.colours)),
        (_WORDS, lambda: tell("medium_soft", 0.06, PHRASES.low_energies, PHRASES.soft_end)),
        (_WORDS, lambda: _absorption(reporter)),
        (_WORDS, lambda: _brightness(reporter)),
        (_WORDS, lambda: tell("photons", 0.2, PHRASES.photons, PHRASES.statistics)),
        (0.25, lambda: reporter.pick(PHRASES.behaviour[facts.class_name])),
        (0.3 if kind == PLASMA else 0.0, lambda: _metals(reporter)),
    )
    details = [write() for chance, write in parts if reporter.chance(chance)]
    return " ".join([*sentences, *reporter.shuffled(details)])


def _shape(quantity: str, kind: int, reporter: Reporter) -> str:
    relative = 10.0 ** reporter.random.uniform(-1.7, -0.8)
    if kind == POWER_LAW:
        error = max(0.03, 1.8 * relative)
        measured = reporter.measure(quantity, error)
        digits = 1 if error > 0.1 else 2
        form = reporter.random.randrange(4)
        return PHRASES.photon_indices[form].format(
            value=reporter.decimal(measured, 1 if form == 2 else digits), error=error, digits=digits
        )
    measured = reporter.measure(quantity, relative)
    if reporter.chance(0.25):
        return f"at about {reporter.plain(measured, 2, 1.0 / _KEV_IN_MK)} million K"
    digits = 0 if measured.value >= 10 else 1 if measured.value >= 1 else 2
    return reporter.pick(
        PHRASES.temperatures,
        value=reporter.decimal(measured, digits),
        error=measured.value * relative,
        more=digits + 1,
    )


def _absorption(reporter: Reporter) -> str:
    error = 10.0 ** reporter.random.uniform(-1.2, -0.6)
    column = reporter.measure("nh", error)
    if not reporter.chance(_NUMBERS):
        return reporter.say(column, PHRASES.absorption, PHRASES.absorbed)
    form = reporter.random.randrange(len(PHRASES.column))
    word = reporter.aside(column, PHRASES.absorption)
    return reporter.power(
        PHRASES.column[form : form + 1], column, 1 if form == 2 else 2, 1e-22, word=word
    )


def _brightness(reporter: Reporter) -> str:
    # Other observations caught it at another time.
    flux = reporter.measure("flux", 0.2)
    if not reporter.chance(_NUMBERS):
        return reporter.say(flux, PHRASES.brightness, PHRASES.bright)
    facts, measured = reporter.facts, flux
    luminous = isfinite(facts.distance_mpc) and facts.field_kind != "cluster"
    if luminous and reporter.chance(0.4):
        frames, measured = PHRASES.luminosity, reporter.luminosity(flux)
        form = reporter.random.randrange(len(frames))
        digits = 2 if form == 0 else 1
    else:
        frames = PHRASES.flux
        form = reporter.random.randrange(len(frames))
        digits = 1 if form == 1 else 2
    word = reporter.aside(flux, PHRASES.brightness)
    return reporter.power(frames[form : form + 1], measured, digits, word=word)


def _metals(reporter: Reporter) -> str:
    measured = reporter.measure("abundance", 0.15)
    return reporter.pick(
        PHRASES.metals, value=reporter.decimal(measured, 1 + reporter.random.randrange(2))
    )


def _write_context(reporter: Reporter) -> str:
    """Write the section `context`: surroundings, motive and references."""
    facts = reporter.facts
    reporter.label("host", facts.field_kind)
    places = PHRASES.context[facts.field_kind]
    place = reporter.random.choice(places)
    sentences = [
        place.format(
            host=facts.host,
            host_cap=facts.host[0].upper() + facts.host[1:],
            distance=_distance(reporter) if "{distance}" in place else "",
        )
    ]
    if reporter.chance(0.8):
        sentences.append(reporter.pick(PHRASES.motive[facts.class_name]))
    if reporter.chance(_REMARKED):
        sentences.append(_remark(reporter))
    if facts.field_kind == "plane" and reporter.chance(0.5):
        # From maps of gas and dust, which are good to a tenth.
        sentences.append(reporter.tell("foreground_nh", 0.1, PHRASES.absorption, PHRASES.sightline))
    if reporter.chance(0.6) and facts.papers:
        paper = reporter.random.choice(facts.papers)
        sentences.append(
            reporter.pick(
                PHRASES.backed_by,
                author=reporter.random.choice(AUTHORS),
                year=paper.year,
                title=paper.title,
            )
        )
    return " ".join([sentences[0], *reporter.shuffled(sentences[1:])])


def _remark(reporter: Reporter) -> str:
    """Write why it was easy or hard to study, its colour, or the gas in front of it."""
    about = reporter.random.random()
    if about < 0.4:
        measured = reporter.measure("photons", 0.2)
        # The choice follows from the step of the scale, so it says nothing more.
        easy = PHRASES.photons.step(measured.value)[0] >= _MANY
        return reporter.pick(
            PHRASES.studied,
            choice=reporter.pick(PHRASES.easy if easy else PHRASES.hard),
            word=reporter.word(measured, PHRASES.photons),
        )
    if about < 0.8:
        return reporter.tell("hardness", 0.06, PHRASES.hardness, PHRASES.coloured)
    return reporter.tell("nh", 0.15, PHRASES.absorption, PHRASES.veiled)


def _distance(reporter: Reporter) -> str:
    if not isfinite(reporter.facts.distance_mpc):
        return "an unknown distance"
    return reporter.length(reporter.measure("distance_mpc", 0.05), 2)


WRITER = Writer("talkative", write)
