"""Writer in the manner of a language model: three sections of polished, cautious sentences."""

from __future__ import annotations

from math import isfinite

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..facts import Facts
from ..grammar import capitalized
from ..notation import length_unit, luminosity_over_flux
from ..phrases import read_phrases
from ..reporter import LOG, Measurement, Reporter
from ..writer import Writer

PHRASES = read_phrases("writers/llm_summary")
_FEWEST_WORDS = 60
# From lines in optical spectra.
_REDSHIFT_ERROR = 4e-4
_KEV_PER_MK = 0.08617


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the three sections, and go on until there are words enough."""
    identity = _write_identity(facts, reporter)
    spectrum = _write_spectrum(facts, reporter)
    context = _write_context(facts, reporter)
    while identity.count(" ") + spectrum.count(" ") + context.count(" ") < _FEWEST_WORDS:
        context = f"{context} {_write_remark(facts, reporter)}"
    return {"identity": identity, "spectrum": spectrum, "context": context}


def _write_identity(facts: Facts, reporter: Reporter) -> str:
    """Write the class, redshift or host, and some evidence."""
    where, apart = "", ""
    if facts.redshift > 0.0 and reporter.chance(0.6):
        found = reporter.measure("redshift", facts.redshift, _REDSHIFT_ERROR)
        z = reporter.decimal(found, 3 if facts.redshift < 0.2 else 2)
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
        label=PHRASES.names.pick(facts, reporter),
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
        more.append(reporter.pick(PHRASES.confidence))
    return " ".join([lead, *reporter.shuffled(more)])


def _evidence(facts: Facts, reporter: Reporter) -> str:
    random = reporter.random
    return PHRASES.evidence.pick(
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
    bright = reporter.word(reporter.measure("flux", facts.flux, 0.35, LOG), PHRASES.brightness)
    if reporter.chance(0.4):
        return reporter.pick(PHRASES.bright_appearance, bright=bright, Bright=capitalized(bright))
    colour = reporter.word(reporter.measure("hardness", facts.hardness, 0.08), PHRASES.colour)
    return reporter.pick(PHRASES.appearance, colour=colour, bright=bright)


def _write_spectrum(facts: Facts, reporter: Reporter) -> str:
    """Write the model with its parameters, and remarks in varying order."""
    if reporter.chance(0.04):
        return reporter.pick(PHRASES.nothing)
    form = reporter.random.random()
    if form < 0.2:
        leads, told = [_impression(facts, reporter)], (_absorption, _colour)
    elif form < 0.45:
        leads, told = [_opening(facts, reporter, absorbed=True)], (_absorption,)
    else:
        leads, told = [_opening(facts, reporter, absorbed=False)], ()
    if reporter.tells_second(facts, 0.65):
        second = int(facts.second)
        number = reporter.chance(0.5)
        shape = _shape("shape2", second, facts.shape2, reporter) if number else ""
        leads.append(
            reporter.pick(
                PHRASES.added, other=reporter.pick(PHRASES.seconds[COMPONENTS[second]]), shape=shape
            )
        )
    more = [
        write(facts, reporter)
        for chance, write in (
            (0.7, _absorption),
            (0.5, _colour),
            (0.25, _soft_end),
            (0.65, _power),
            (0.3, _quality),
            (0.3, PHRASES.behaviour.pick),
            (0.25 if facts.first == PLASMA else 0.0, _metals),
            (0.2, lambda _, reporter: reporter.pick(PHRASES.generic)),
        )
        if write not in told and reporter.chance(chance)
    ]
    more = reporter.shuffled(more)
    # Now and then the summary begins with the overall impression.
    if more and reporter.chance(0.15):
        leads.insert(0, more.pop())
    return " ".join([*leads, *more])


def _opening(facts: Facts, reporter: Reporter, *, absorbed: bool) -> str:
    kind = int(facts.first)
    shape = _first_shape(facts, reporter) if absorbed or reporter.chance(0.7) else ""
    model = PHRASES.models.pick(facts, reporter)
    slots = {"model": model, "Model": capitalized(model), "shape": shape}
    if absorbed:
        column = reporter.measure("nh", facts.nh, reporter.random.uniform(0.1, 0.35), LOG)
        return reporter.pick(PHRASES.openings_absorbed, nh=_column(column, reporter), **slots)
    text = reporter.pick(PHRASES.openings, **slots)
    if not shape and reporter.chance(0.5):
        text = f"{text} {_in_words(kind, facts, reporter)}"
    return text


def _impression(facts: Facts, reporter: Reporter) -> str:
    """Write colour, absorption and model in one sentence."""
    column = reporter.measure("nh", facts.nh, 0.25, LOG)
    return reporter.pick(
        PHRASES.impressions,
        colour=reporter.word(reporter.measure("hardness", facts.hardness, 0.08), PHRASES.colour),
        absorbed=reporter.word(column, PHRASES.absorption),
        model=PHRASES.models.pick(facts, reporter),
        shape=_first_shape(facts, reporter) if reporter.chance(0.5) else "",
    )


def _first_shape(facts: Facts, reporter: Reporter) -> str:
    reporter.label("model", COMPONENTS[int(facts.first)])
    return _shape("shape", int(facts.first), facts.shape, reporter)


def _in_words(kind: int, facts: Facts, reporter: Reporter) -> str:
    reporter.label("model", COMPONENTS[kind])
    if kind == POWER_LAW:
        found = reporter.measure("shape", facts.shape, 0.15)
        return reporter.say(PHRASES.shaped, found, PHRASES.slope)
    found = reporter.measure("shape", facts.shape, 0.15, LOG)
    return reporter.say(PHRASES.shaped, found, PHRASES.heat)


def _shape(quantity: str, kind: int, value: float, reporter: Reporter) -> str:
    """Write a photon index or a temperature, with an introduction."""
    if kind == POWER_LAW:
        error = (0.05, 0.1, 0.2, 0.3)[reporter.random.randrange(4)]
        found = reporter.measure(quantity, value, error)
        digits = 2 if error < 0.1 else 1
        return reporter.pick(
            PHRASES.photon_indices,
            value=reporter.decimal(found, digits),
            error=found.error,
            digits=digits,
        )
    found = reporter.measure(quantity, value, (0.05, 0.1, 0.15)[reporter.random.randrange(3)], LOG)
    if reporter.chance(0.12):
        return f" at a temperature of {reporter.plain(found, 2, _KEV_PER_MK)} million K"
    digits = 0 if found.value >= 9.5 else 1 if found.value >= 0.95 else 2
    return reporter.pick(
        PHRASES.temperatures,
        value=reporter.decimal(found, digits),
        error=max(found.value * found.error, 10.0 ** -(digits + 1)),
        more=digits + 1,
    )


def _absorption(facts: Facts, reporter: Reporter) -> str:
    column = reporter.measure("nh", facts.nh, reporter.random.uniform(0.1, 0.35), LOG)
    if reporter.chance(0.45):
        return reporter.say(PHRASES.obscured, column, PHRASES.absorption)
    nh, word = _column(column, reporter), reporter.aside(column, PHRASES.absorption)
    return reporter.pick(PHRASES.column, nh=nh, word=word, Word=capitalized(word))


def _column(column: Measurement, reporter: Reporter) -> str:
    if reporter.chance(0.15):
        return f"log(N_H/cm^-2) ≈ {reporter.logarithm(column, 1, 1e-22)}"
    mantissa, exponent = reporter.significant(column, 1 + reporter.random.randrange(2), 1e-22)
    return reporter.pick(PHRASES.column_forms, m=mantissa, e=exponent)


def _colour(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("hardness", facts.hardness, 0.08)
    return reporter.say(PHRASES.coloured, found, PHRASES.colour)


def _soft_end(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("medium_soft", facts.medium_soft, 0.08)
    return reporter.say(PHRASES.low, found, PHRASES.soft_end)


def _power(facts: Facts, reporter: Reporter) -> str:
    # Other observations caught it at another time.
    flux = reporter.measure("flux", facts.flux, 0.35, LOG)
    if reporter.chance(0.35):
        return reporter.say(PHRASES.bright, flux, PHRASES.brightness)
    digits = 1 + reporter.random.randrange(2)
    if reporter.chance(0.2):
        hardness = reporter.measure("hardness", facts.hardness, 0.08)
        mantissa, exponent = reporter.significant(flux, digits)
        return reporter.pick(
            PHRASES.impressions_bright,
            colour=reporter.word(hardness, PHRASES.colour),
            bright=reporter.aside(flux, PHRASES.brightness),
            value=f"{mantissa} × 10^{exponent}",
        )
    if facts.is_at_known_distance and reporter.chance(0.55):
        reporter.label("host", facts.field_kind)
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        mantissa, exponent = reporter.significant(found, digits)
        return reporter.pick(
            PHRASES.luminosity,
            value=reporter.pick(("{m} × 10^{e}", "{m}×10^{e}"), m=mantissa, e=exponent),
            place=reporter.pick(PHRASES.places[facts.field_kind]),
        )
    if facts.redshift > 0.0 and reporter.chance(0.5):
        found = reporter.measure("redshift", facts.redshift, 4e-4)
        z = reporter.decimal(found, 3 if facts.redshift < 0.2 else 2)
        factor = luminosity_over_flux(max(float(z), 1e-3))
        mantissa, exponent = reporter.significant(flux, digits, 1.0 / factor)
        return reporter.pick(PHRASES.luminosity_at, value=f"{mantissa} × 10^{exponent}", z=z)
    mantissa, exponent = reporter.significant(flux, digits)
    value = reporter.pick(("{m} × 10^{e}", "{m}e{e}"), m=mantissa, e=exponent)
    return reporter.pick(PHRASES.flux, value=value, word=reporter.aside(flux, PHRASES.brightness))


def _quality(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("photons", facts.photons, 0.25, LOG)
    return reporter.say(PHRASES.quality, found, PHRASES.depth)


def _metals(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("abundance", facts.abundance, 0.2, LOG)
    return reporter.pick(PHRASES.metals, value=reporter.decimal(found, 1 + (found.value < 0.5)))


def _write_context(facts: Facts, reporter: Reporter) -> str:
    """Write the environment, a reason for interest and remarks, each at times."""
    sentences = []
    if reporter.chance(0.8):
        reporter.label("host", facts.field_kind)
        sentences.append(_environment(facts, reporter))
    if reporter.chance(0.6):
        sentences.append(PHRASES.interest.pick(facts, reporter))
    if facts.field_kind == "plane" and reporter.chance(0.3):
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.15, LOG)
        sentences.append(reporter.say(PHRASES.sightline, found, PHRASES.absorption))
    for _ in range(reporter.random.randrange(3) + (len(sentences) < 2)):
        sentences.append(_write_remark(facts, reporter))
    if reporter.chance(0.25):
        sentences = reporter.shuffled(sentences)
    return " ".join(dict.fromkeys(sentences))


def _write_remark(facts: Facts, reporter: Reporter) -> str:
    """Write a remark on the literature that tells nothing of the source."""
    paper = facts.papers[reporter.random.randrange(len(facts.papers))]
    return reporter.pick(PHRASES.literature, n=len(facts.papers), year=paper.year)


def _environment(facts: Facts, reporter: Reporter) -> str:
    templates = PHRASES.environment[facts.field_kind]
    distance = ""
    if isfinite(facts.distance_mpc) and reporter.chance(0.5):
        found = reporter.measure("distance_mpc", facts.distance_mpc, 0.08, LOG)
        unit, name = length_unit(found.value, pc_below=9e-4)
        number = reporter.plain(found, 1 + reporter.random.randrange(2), unit)
        distance = reporter.pick(PHRASES.distance, d=f"{number} {name}")
        templates = [template.replace("<{distance}|>", "{distance}") for template in templates]
        templates = [template for template in templates if "{distance}" in template]
    return reporter.pick(templates, host=facts.host, distance=distance)


WRITER = Writer("llm_summary", write, weight=1.3)
