"""Writer in the manner of a language model: three sections of polished, cautious sentences."""

from __future__ import annotations

from math import isfinite

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..grammar import capitalized
from ..notation import luminosity_over_flux
from ..phrases import read_phrases
from ..reporter import Measurement, Reporter, Writer

PHRASES = read_phrases("writers/llm_summary")
_FEWEST_WORDS = 60
# From lines in optical spectra.
_REDSHIFT_ERROR = 4e-4
_KEV_PER_MK = 0.08617
_POWER = "{} × 10^{}"


def write(reporter: Reporter) -> dict[str, str]:
    """Write the three sections, and go on until there are words enough."""
    identity = _write_identity(reporter)
    spectrum = _write_spectrum(reporter)
    context = _write_context(reporter)
    while identity.count(" ") + spectrum.count(" ") + context.count(" ") < _FEWEST_WORDS:
        context = f"{context} {_write_remark(reporter)}"
    return {"identity": identity, "spectrum": spectrum, "context": context}


def _write_identity(reporter: Reporter) -> str:
    """Write the class, redshift or host, and some evidence."""
    facts, where, apart = reporter.facts, "", ""
    if facts.redshift > 0.0 and reporter.chance(0.6):
        z = _redshift(reporter)
        if reporter.chance(0.7):
            where = reporter.pick(PHRASES.redshift, z=z)
        else:
            apart = reporter.pick(PHRASES.apart, z=z)
    elif facts.field_kind in ("galaxy", "globular", "nursery") and reporter.chance(0.4):
        reporter.label("host", facts.field_kind)
        where = reporter.pick((" <in|located in|within> {host}",), host=facts.host)
    subject = reporter.pick(PHRASES.subjects)
    lead = reporter.pick(
        PHRASES.identified,
        subject=subject,
        subject_low="the source" if subject == "It" else subject[0].lower() + subject[1:],
        label=PHRASES.names.pick(reporter),
        where=where,
        name=facts.name,
        alias=f"source {facts.place + 1} of the field",
    )
    more = [apart] if apart else []
    if reporter.chance(0.75):
        more.append(PHRASES.evidence.pick(reporter, **reporter.draw(PHRASES.numbers)))
    if reporter.chance(0.3):
        more.append(_appearance(reporter))
    if reporter.chance(0.45):
        more.append(reporter.pick(PHRASES.confidence))
    return " ".join([lead, *reporter.shuffled(more)])


def _redshift(reporter: Reporter) -> str:
    measured = reporter.measure("redshift", _REDSHIFT_ERROR)
    return reporter.decimal(measured, 3 if reporter.facts.redshift < 0.2 else 2)


def _appearance(reporter: Reporter) -> str:
    bright = reporter.word(reporter.measure("flux", 0.35), PHRASES.brightness)
    if reporter.chance(0.4):
        return reporter.pick(PHRASES.bright_appearance, bright=bright, Bright=capitalized(bright))
    colour = reporter.word(reporter.measure("hardness", 0.08), PHRASES.colour)
    return reporter.pick(PHRASES.appearance, colour=colour, bright=bright)


def _write_spectrum(reporter: Reporter) -> str:
    """Write the model with its parameters, and remarks in varying order."""
    if reporter.chance(0.04):
        return reporter.pick(PHRASES.nothing)
    form, tell = reporter.random.random(), reporter.tell
    if form < 0.2:
        leads, told = [_impression(reporter)], (_absorption, _colour)
    elif form < 0.45:
        leads, told = [_opening(reporter, absorbed=True)], (_absorption,)
    else:
        leads, told = [_opening(reporter, absorbed=False)], ()
    if reporter.tells_second(0.65):
        second = int(reporter.facts.second)
        shape = _shape("shape2", second, reporter) if reporter.chance(0.5) else ""
        other = reporter.pick(PHRASES.seconds[COMPONENTS[second]])
        leads.append(reporter.pick(PHRASES.added, other=other, shape=shape))
    more = [
        write(reporter)
        for chance, write in (
            (0.7, _absorption),
            (0.5, _colour),
            (0.25, lambda _: tell("medium_soft", 0.08, PHRASES.soft_end, PHRASES.low)),
            (0.65, _power),
            (0.3, lambda _: tell("photons", 0.25, PHRASES.depth, PHRASES.quality)),
            (0.3, PHRASES.behaviour.pick),
            (0.25 if reporter.facts.first == PLASMA else 0.0, _metals),
            (0.2, lambda _: reporter.pick(PHRASES.generic)),
        )
        if write not in told and reporter.chance(chance)
    ]
    more = reporter.shuffled(more)
    # Now and then the summary begins with the overall impression.
    if more and reporter.chance(0.15):
        leads.insert(0, more.pop())
    return " ".join([*leads, *more])


def _opening(reporter: Reporter, *, absorbed: bool) -> str:
    shape = _first_shape(reporter) if absorbed or reporter.chance(0.7) else ""
    model = PHRASES.models.pick(reporter)
    slots = {"model": model, "Model": capitalized(model), "shape": shape}
    if absorbed:
        column = reporter.measure("nh", reporter.random.uniform(0.1, 0.35))
        return reporter.pick(PHRASES.openings_absorbed, nh=_column(column, reporter), **slots)
    text = reporter.pick(PHRASES.openings, **slots)
    if not shape and reporter.chance(0.5):
        kind = int(reporter.facts.first)
        reporter.label("model", COMPONENTS[kind])
        scale = PHRASES.slope if kind == POWER_LAW else PHRASES.heat
        text = f"{text} {reporter.tell('shape', 0.15, scale, PHRASES.shaped)}"
    return text


def _impression(reporter: Reporter) -> str:
    """Write colour, absorption and model in one sentence."""
    column = reporter.measure("nh", 0.25)
    return reporter.pick(
        PHRASES.impressions,
        colour=reporter.word(reporter.measure("hardness", 0.08), PHRASES.colour),
        absorbed=reporter.word(column, PHRASES.absorption),
        model=PHRASES.models.pick(reporter),
        shape=_first_shape(reporter) if reporter.chance(0.5) else "",
    )


def _first_shape(reporter: Reporter) -> str:
    kind = int(reporter.facts.first)
    reporter.label("model", COMPONENTS[kind])
    return _shape("shape", kind, reporter)


def _shape(quantity: str, kind: int, reporter: Reporter) -> str:
    """Write a photon index or a temperature, with an introduction."""
    if kind == POWER_LAW:
        error = reporter.random.choice((0.05, 0.1, 0.2, 0.3))
        measured, digits = reporter.measure(quantity, error), 2 if error < 0.1 else 1
        value = reporter.decimal(measured, digits)
        return reporter.pick(
            PHRASES.photon_indices, value=value, error=measured.error, digits=digits
        )
    measured = reporter.measure(quantity, reporter.random.choice((0.05, 0.1, 0.15)))
    if reporter.chance(0.12):
        return f" at a temperature of {reporter.plain(measured, 2, _KEV_PER_MK)} million K"
    digits = 0 if measured.value >= 9.5 else 1 if measured.value >= 0.95 else 2
    return reporter.pick(
        PHRASES.temperatures,
        value=reporter.decimal(measured, digits),
        error=max(measured.sigma, 10.0 ** -(digits + 1)),
        more=digits + 1,
    )


def _absorption(reporter: Reporter) -> str:
    column = reporter.measure("nh", reporter.random.uniform(0.1, 0.35))
    if reporter.chance(0.45):
        return reporter.say(column, PHRASES.absorption, PHRASES.obscured)
    nh, word = _column(column, reporter), reporter.aside(column, PHRASES.absorption)
    return reporter.pick(PHRASES.column, nh=nh, word=word, Word=capitalized(word))


def _column(column: Measurement, reporter: Reporter) -> str:
    if reporter.chance(0.15):
        return f"log(N_H/cm^-2) ≈ {reporter.logarithm(column, 1, 1e-22)}"
    digits = 1 + reporter.random.randrange(2)
    return reporter.power(PHRASES.column_forms, column, digits, 1e-22)


def _colour(reporter: Reporter) -> str:
    return reporter.tell("hardness", 0.08, PHRASES.colour, PHRASES.coloured)


def _power(reporter: Reporter) -> str:
    facts, flux = reporter.facts, reporter.measure("flux", 0.35)
    if reporter.chance(0.35):
        return reporter.say(flux, PHRASES.brightness, PHRASES.bright)
    digits = 1 + reporter.random.randrange(2)
    if reporter.chance(0.2):
        hardness = reporter.measure("hardness", 0.08)
        return reporter.pick(
            PHRASES.impressions_bright,
            value=_POWER.format(*reporter.significant(flux, digits)),
            colour=reporter.word(hardness, PHRASES.colour),
            bright=reporter.aside(flux, PHRASES.brightness),
        )
    if facts.is_at_known_distance and reporter.chance(0.55):
        reporter.label("host", facts.field_kind)
        luminosity = reporter.luminosity(flux)
        value = reporter.power(("{m} × 10^{e}", "{m}×10^{e}"), luminosity, digits)
        place = reporter.pick(PHRASES.places[facts.field_kind])
        return reporter.pick(PHRASES.luminosity, value=value, place=place)
    if facts.redshift > 0.0 and reporter.chance(0.5):
        z = _redshift(reporter)
        unit = 1.0 / luminosity_over_flux(max(float(z), 1e-3))
        value = _POWER.format(*reporter.significant(flux, digits, unit))
        return reporter.pick(PHRASES.luminosity_at, value=value, z=z)
    value = reporter.power(("{m} × 10^{e}", "{m}e{e}"), flux, digits)
    return reporter.pick(PHRASES.flux, value=value, word=reporter.aside(flux, PHRASES.brightness))


def _metals(reporter: Reporter) -> str:
    measured = reporter.measure("abundance", 0.2)
    return reporter.pick(
        PHRASES.metals, value=reporter.decimal(measured, 1 + (measured.value < 0.5))
    )


def _write_context(reporter: Reporter) -> str:
    """Write the environment, a reason for interest and remarks, each at times."""
    kind, sentences = reporter.facts.field_kind, []
    if reporter.chance(0.8):
        reporter.label("host", kind)
        sentences.append(_environment(reporter))
    if reporter.chance(0.6):
        sentences.append(PHRASES.interest.pick(reporter))
    if kind == "plane" and reporter.chance(0.3):
        sentences.append(
            reporter.tell("foreground_nh", 0.15, PHRASES.absorption, PHRASES.sightline)
        )
    for _ in range(reporter.random.randrange(3) + (len(sentences) < 2)):
        sentences.append(_write_remark(reporter))
    if reporter.chance(0.25):
        sentences = reporter.shuffled(sentences)
    return " ".join(dict.fromkeys(sentences))


def _write_remark(reporter: Reporter) -> str:
    """Write a remark on the literature that tells nothing of the source."""
    papers = reporter.facts.papers
    paper = reporter.random.choice(papers)
    return reporter.pick(PHRASES.literature, n=len(papers), year=paper.year)


def _environment(reporter: Reporter) -> str:
    facts = reporter.facts
    templates = PHRASES.environment[facts.field_kind]
    distance = ""
    if isfinite(facts.distance_mpc) and reporter.chance(0.5):
        measured = reporter.measure("distance_mpc", 0.08)
        length = reporter.length(measured, 1 + reporter.random.randrange(2), pc_below=9e-4)
        distance = reporter.pick(PHRASES.distance, d=length)
        templates = [template.replace("<{distance}|>", "{distance}") for template in templates]
        templates = [template for template in templates if "{distance}" in template]
    return reporter.pick(templates, host=facts.host, distance=distance)


WRITER = Writer("llm_summary", write, weight=1.3)
