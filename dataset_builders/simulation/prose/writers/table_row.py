"""Writer that puts a catalogue row into words: columns with their values, few sentences."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..grammar import capitalized
from ..phrases import read_phrases
from ..reporter import Reporter, Writer

PHRASES = read_phrases("writers/table_row")
_ARTICLE = {"symbols": "", "words": "the "}
_KEV_IN_MK = 11.6045
# Upper limits on columns that are stated, 1e22 cm⁻².
_COLUMN_LIMITS = (0.03, 0.1, 0.3, 1.0, 3.0)


def write(reporter: Reporter) -> dict[str, str]:
    """Write one to four sentences of columns, as symbols or in words."""
    style = "words" if reporter.chance(0.5) else "symbols"
    texts = {"identity": _identity(reporter, style)}
    if reporter.chance(0.85):
        texts["spectrum"] = _fit(reporter, style)
    if reporter.chance(0.75 if "spectrum" in texts else 1.0):
        items = _photometry(reporter, style)
        text = _sentence(PHRASES.photometry[style], items, reporter)
        texts["spectrum"] = f"{texts.get('spectrum', '')} {text}".strip()
    if reporter.chance(0.55):
        texts["context"] = _sentence(PHRASES.context, _notes(reporter), reporter)
    return texts


def _identity(reporter: Reporter, style: str) -> str:
    items = []
    if reporter.chance(0.9):
        label = PHRASES.classes.pick(reporter)
        items.append(reporter.pick(PHRASES.class_name[style], c=label))
    if reporter.facts.redshift > 0.0 and reporter.chance(0.7):
        measured = reporter.measure("redshift", 5e-4)
        z = reporter.decimal(measured, 2 + reporter.random.randrange(2))
        items.append(reporter.pick(PHRASES.redshift[style], z=z))
    if not items or reporter.chance(0.3):
        items.append(_plain(reporter))
    return _sentence(PHRASES.identity[style], reporter.shuffled(items), reporter)


def _fit(reporter: Reporter, style: str) -> str:
    kind = int(reporter.facts.first)
    model = PHRASES.model_names.pick(reporter)
    if reporter.tells_second(0.5):
        second = COMPONENTS[int(reporter.facts.second)]
        model = f"{model} {reporter.pick(PHRASES.seconds[second])}"
    items = [reporter.pick(PHRASES.model[style], m=model)]
    more = []
    if reporter.chance(0.85):
        more.append(_shape(kind, reporter, style))
    if reporter.chance(0.75):
        more.append(_column(reporter, style))
    if kind == PLASMA and reporter.chance(0.35):
        measured = reporter.measure("abundance", 0.25)
        value = reporter.decimal(measured, 2)
        more.append(reporter.pick(PHRASES.abundance[style], v=value))
    if reporter.chance(0.35):
        a, b = (reporter.random.randrange(20, 180) for _ in range(2))
        ratio = reporter.random.uniform(0.7, 1.4)
        more.append(reporter.pick(PHRASES.statistic, a=a, b=b, c=ratio))
    return _sentence(PHRASES.spectrum[style], [*items, *reporter.shuffled(more)], reporter)


def _shape(kind: int, reporter: Reporter, style: str) -> str:
    random = reporter.random
    if kind == POWER_LAW:
        measured = reporter.measure("shape", random.uniform(0.06, 0.35))
        digits = 2 if measured.error < 0.2 else 1
        value = reporter.decimal(measured, digits)
        return reporter.pick(PHRASES.photon_index[style], v=value, e=measured.error, d=digits)
    measured = reporter.measure("shape", random.uniform(0.06, 0.25))
    if reporter.chance(0.15):
        value = reporter.plain(measured, 2, 1.0 / _KEV_IN_MK)
        return f"a temperature of {value} million kelvin" if style == "words" else f"T = {value} MK"
    digits = 1 if measured.value >= 3.0 else 2
    value, error = reporter.decimal(measured, digits), max(measured.sigma, 10.0**-digits)
    return reporter.pick(PHRASES.temperature[style], v=value, e=error, d=digits)


def _column(reporter: Reporter, style: str) -> str:
    measured = reporter.measure("nh", reporter.random.uniform(0.12, 0.4))
    form = reporter.random.random()
    if form < 0.2:
        return f"log NH = {reporter.logarithm(measured, 2, 1e-22)}"
    if form < 0.35:
        limit = next((step for step in _COLUMN_LIMITS if measured.value < step), 0.0)
        if limit:
            reporter.limit(measured, limit, upper=True)
            return reporter.pick(PHRASES.column_limit, v=limit)
    if form < 0.6:
        value = reporter.plain(measured, 2, 1e-2)
        return reporter.pick(PHRASES.small_column, v=value)
    return reporter.pick(PHRASES.column[style], v=reporter.plain(measured, 2))


def _photometry(reporter: Reporter, style: str) -> list[str]:
    columns: tuple[tuple[float, Callable[[Reporter, str], str]], ...] = (
        (0.6, _counts),
        (0.75, _flux),
        (0.5, _hardness),
        (0.25, _medium),
        (0.2, _colour),
    )
    items = [write(reporter, style) for chance, write in columns if reporter.chance(chance)]
    return reporter.shuffled(items or [_flux(reporter, style)])


def _colour(reporter: Reporter, style: str) -> str:
    word = reporter.word(reporter.measure("hardness", 0.07), PHRASES.colour)
    return f"{_ARTICLE[style]}{word}"


def _counts(reporter: Reporter, style: str) -> str:
    measured = reporter.measure("photons", 0.25)
    if reporter.chance(0.25):
        word = reporter.word(measured, PHRASES.count_flag)
        return f"{_ARTICLE[style]}{word}"
    return reporter.pick(PHRASES.counts[style], v=reporter.plain(measured, 2))


def _flux(reporter: Reporter, style: str) -> str:
    facts, flux = reporter.facts, reporter.measure("flux", 0.3)
    if facts.is_at_known_distance and reporter.chance(0.4):
        reporter.label("host", facts.field_kind)
        measured = reporter.luminosity(flux)
        place = reporter.pick(PHRASES.scales_of_hosts[facts.field_kind])
        if reporter.chance(0.6):
            value = reporter.logarithm(measured, 1 + reporter.random.randrange(2))
            return reporter.pick(PHRASES.log_luminosity, v=value, p=place)
        return reporter.power(PHRASES.luminosity, measured, 2, p=place)
    form = reporter.random.random()
    if form < 0.15:
        return f"{_ARTICLE[style]}{reporter.word(flux, PHRASES.bright_flag)}"
    if form < 0.35:
        value = reporter.logarithm(flux, 2)
        return reporter.pick(PHRASES.log_flux[style], v=value)
    return reporter.power(PHRASES.flux[style], flux, 2 + reporter.random.randrange(2))


def _hardness(reporter: Reporter, style: str) -> str:
    measured = reporter.measure("hardness", reporter.random.uniform(0.03, 0.1))
    value = reporter.decimal(measured, 2)
    return reporter.pick(PHRASES.hardness[style], v=value, e=measured.error)


def _medium(reporter: Reporter, style: str) -> str:
    measured = reporter.measure("medium_soft", reporter.random.uniform(0.03, 0.1))
    return reporter.pick(PHRASES.medium[style], v=reporter.decimal(measured, 2))


def _notes(reporter: Reporter) -> list[str]:
    facts = reporter.facts
    items = [_plain(reporter) for _ in range(1 + reporter.random.randrange(2))]
    if reporter.chance(0.65):
        reporter.label("host", facts.field_kind)
        place = reporter.pick(PHRASES.hosts[facts.field_kind], host=facts.host.removeprefix("the "))
        if isfinite(facts.distance_mpc) and reporter.chance(0.4):
            measured = reporter.measure("distance_mpc", 0.07)
            place = f"{place}, d = {reporter.length(measured, 2, pc_below=0.0)}"
        items.append(place)
    if facts.field_kind == "plane" and reporter.chance(0.3):
        measured = reporter.measure("foreground_nh", 0.15)
        items.append(f"NH(Gal) {reporter.plain(measured, 2, 1e-2)}e20")
    return reporter.shuffled(items)


def _plain(reporter: Reporter) -> str:
    """Write a column that tells nothing of the spectrum or the class."""
    return reporter.pick(PHRASES.plain, **reporter.draw(PHRASES.numbers))


def _sentence(frames: tuple[str, ...], items: list[str], reporter: Reporter) -> str:
    joint = reporter.random.choice((", ", "; ", ", "))
    text = joint.join(items)
    if len(items) > 1 and reporter.chance(0.3):
        text = f"{joint.join(items[:-1])}{' and ' if joint == ', ' else '; '}{items[-1]}"
    return reporter.pick(
        frames,
        items=text,
        Items=capitalized(text),
        name=reporter.facts.name,
        number=reporter.facts.place + 1,
    )


WRITER = Writer("table_row", write)
