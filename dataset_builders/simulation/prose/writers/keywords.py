"""Writer of titles, keyword lines and search-like phrases of one to twelve words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from string import Formatter

from hf_specclip.literature import FAMILIES, find_class, mentioned_classes

from ...source_classes import CLASSES, COMPONENTS, POWER_LAW
from ..grammar import capitalized
from ..phrases import read_phrases
from ..reporter import LINEAR, Measurement, Reporter, WordScale, Writer

PHRASES = read_phrases("writers/keywords")
# Names that claim more than the class.
_CLAIMS = re.compile(r"compton|\bct|supersoft|\buls\b|redshift|distant|quiescent", re.IGNORECASE)
_MOST_WORDS = 12
# `a` before a vowel, spoken or in an abbreviation.
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|ul|un|[FHLMNRSX](?:[A-Z]|-))")
_Z = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0)
_INDEX = (0.5, 1.0, 1.2, 1.5, 1.7, 2.0, 2.3, 2.5, 3.0)
_KT = (0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
_NH = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
_KEV_IN_MK = 11.6045
_FLUX = (1e-15, 1e-14, 3e-14, 1e-13, 3e-13, 1e-12, 1e-11)


def _class_phrases() -> dict[str, list[list[tuple[str, str]]]]:
    """Return for each class its names, its synonyms and its family's names, each with the labels
    that it allows.
    """
    of_label = {item.label: key for key, item in CLASSES.items()}

    def options(key: str, phrases: Iterable[str]) -> Iterator[tuple[str, str]]:
        for phrase in phrases:
            mentions = mentioned_classes(phrase)
            if len(mentions) == 1 and not _CLAIMS.search(phrase):
                allowed = {of_label[label] for label in mentions[0].labels if label in of_label}
                if key in allowed:
                    yield "|".join(name for name in CLASSES if name in allowed), phrase

    tables = {}
    for key, item in CLASSES.items():
        source_class = find_class(item.label)
        assert source_class is not None
        names = source_class.names, source_class.synonyms, FAMILIES[source_class.family].names
        tables[key] = [list(options(key, phrases)) for phrases in names]
    return tables


_NAMES = _class_phrases()


@cache
def _slots(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def write(reporter: Reporter) -> dict[str, str]:
    """Write one phrase, or at times two."""
    kind = reporter.random.random()
    if kind < 0.22:
        phrase = _class_phrase(reporter)
        texts = {"identity": _plural(phrase) if reporter.chance(0.15) else phrase}
    elif kind < 0.29:
        texts = {"identity": PHRASES.keyword_lines.pick(reporter)}
    elif kind < 0.64:
        texts = {"identity": _fill(PHRASES.labelled, reporter)}
    elif kind < 0.78:
        texts = {"identity": _fill(PHRASES.titles, reporter)}
    else:
        texts = {"spectrum": _fill(PHRASES.unlabelled, reporter)}
    if reporter.chance(0.15):
        if "spectrum" in texts:
            texts["context"] = _where(reporter)
        else:
            texts["spectrum"] = _fill(PHRASES.unlabelled, reporter)
    capital = reporter.chance(0.35)
    return {name: capitalized(text) if capital else text for name, text in texts.items()}


def _fill(templates: tuple[str, ...], reporter: Reporter) -> str:
    """Fill in one of the templates for which something can be said in each slot."""
    mark = len(reporter.statements)
    for _ in range(20):
        template = reporter.random.choice(templates)
        values = {name: _SLOTS[name.lower()](reporter) for name in sorted(_slots(template))}
        if all(values.values()):
            values = {
                name: capitalized(value) if name[0].isupper() else value
                for name, value in values.items()
            }
            text = _ARTICLE.sub(r"\1n ", reporter.pick((template,), **values))
            if text.count(" ") < _MOST_WORDS:
                return text
        del reporter.statements[mark:]
    return _class_phrase(reporter)


def _class_phrase(reporter: Reporter) -> str:
    chosen = reporter.random.random()
    options = _NAMES[reporter.facts.class_name][0 if chosen < 0.4 else 1 if chosen < 0.82 else 2]
    labels, phrase = reporter.random.choice(options)
    reporter.label("class", labels)
    return phrase


def _plural(phrase: str) -> str:
    if phrase.endswith("y"):
        return f"{phrase[:-1]}ies"
    return f"{phrase}s" if phrase[-1] in "rkNVXE" else phrase


def _model(reporter: Reporter) -> str:
    text = PHRASES.models.pick(reporter)
    if reporter.tells_second(0.15):
        text = f"{text} {PHRASES.second[COMPONENTS[int(reporter.facts.second)]]}"
    return text


def _adjective(reporter: Reporter) -> str:
    """Return a word on absorption, colour, brightness, slope or temperature; `` for none."""
    chosen = reporter.random.randrange(7)
    if chosen < 3:
        measured, scale = reporter.measure("nh", 0.25), PHRASES.obscured
    elif chosen < 5:
        measured, scale = reporter.measure("hardness", 0.08), PHRASES.colours
    elif chosen < 6:
        measured, scale = reporter.measure("flux", 0.4), PHRASES.bright
    else:
        measured, scale = _measure_shape(reporter)
    if not scale.step(measured.value)[2]:
        return ""
    if measured.quantity == "shape":
        reporter.label_shape()
    return reporter.word(measured, scale)


def _measure_shape(reporter: Reporter) -> tuple[Measurement, WordScale]:
    if reporter.facts.first == POWER_LAW:
        return reporter.measure("shape", 0.15), PHRASES.slopes
    return reporter.measure("shape", 0.12), PHRASES.heats


def _redshift(reporter: Reporter) -> str:
    if reporter.facts.redshift <= 0.0:
        return ""
    measured = reporter.measure("redshift", 1e-3)
    condition = _condition(measured, _Z, "z", "", reporter)
    if condition:
        return condition
    if reporter.chance(0.5):
        value = reporter.plain(measured, 1)
        return reporter.pick(("z~{v}", "z ~ {v}", "z ≈ {v}", "redshift about {v}"), v=value)
    value = reporter.decimal(measured, 1 + (measured.value < 1.0) + (measured.value < 0.1))
    return reporter.pick(("z={v}", "z = {v}", "redshift {v}", "redshift of {v}"), v=value)


def _shape(reporter: Reporter) -> str:
    measured, _ = _measure_shape(reporter)
    reporter.label_shape()
    if measured.scale == LINEAR:
        name = reporter.pick(("Gamma", "Γ", "photon index", r"\Gamma"))
        condition = _condition(measured, _INDEX, name, "", reporter)
        value = condition or reporter.decimal(measured, 1)
        return condition or reporter.pick(("{n} ~ {v}", "{n} = {v}", "{n} {v}"), n=name, v=value)
    name = reporter.pick(("kT", "temperature", "kT"))
    condition = _condition(measured, _KT, name, " keV", reporter)
    if condition:
        return condition
    if reporter.chance(0.15):
        return reporter.pick(
            ("T ~ {v} MK", "{v} MK"), v=reporter.plain(measured, 1, 1 / _KEV_IN_MK)
        )
    value = reporter.plain(measured, 1 + reporter.random.randrange(2))
    return reporter.pick(
        ("{n} ~ {v} keV", "{n} = {v} keV", "{n}~{v} keV", "{v} keV"), n=name, v=value
    )


def _column(reporter: Reporter) -> str:
    measured = reporter.measure("nh", 0.25)
    name = reporter.pick(("NH", "N_H", "nH", "column"))
    if reporter.chance(0.2):
        return f"log {name} ~ {reporter.logarithm(measured, 1, 1e-22)}"
    condition = _condition(measured, _NH, name, " cm^-2", reporter, 1e22)
    if condition:
        return condition
    forms = ("{n} {m}e{e}", "{n} ~ {m}e{e} cm^-2", "{n} = {m} x 10^{e}", "{n} of {m}e{e} cm-2")
    return reporter.power(forms, measured, 1, 1e-22, n=name)


def _flux(reporter: Reporter) -> str:
    flux = reporter.measure("flux", 0.35)
    if reporter.facts.is_at_known_distance and reporter.chance(0.6):
        where = _where(reporter)
        reporter.label("host", reporter.facts.field_kind)
        measured = reporter.luminosity(flux)
        if reporter.chance(0.4):
            return f"log LX ~ {reporter.logarithm(measured, 1)} {where}"
        mantissa, exponent = reporter.significant(measured, 1)
        value = "" if mantissa == "1" else f"{mantissa}x"
        return f"L_X ~ {value}10^{exponent} erg/s {where}"
    condition = _condition(flux, _FLUX, "flux", " erg/cm2/s", reporter)
    return condition or reporter.power(("flux ~ {m}e{e}", "F_X ~ {m}e{e} erg/s/cm2"), flux, 1)


def _where(reporter: Reporter) -> str:
    return PHRASES.host_words.pick(reporter, host=reporter.facts.host)


def _condition(
    measured: Measurement,
    ladder: tuple[float, ...],
    name: str,
    unit: str,
    reporter: Reporter,
    factor: float = 1.0,
) -> str:
    """Write a limit or a range from a ladder of round numbers, or return `` for a plain number.

    The factor converts the units of measurement and ladder to those of the text.
    """
    place = bisect_right(ladder, measured.value)
    lower, upper = ladder[max(place - 2, 0) : place], ladder[place : place + 2]
    form = reporter.random.random()

    def number(value: float) -> str:
        large = unit[:4] in (" cm^", " erg")
        return f"{value * factor:.0e}".replace("+", "") if large else f"{value:g}"

    if form < 0.22 and lower:
        limit = reporter.random.choice(lower)
        reporter.limit(measured, limit, upper=False)
        sign = reporter.pick((r" \> ", r"\>", " above ", " at least ", " of more than "))
    elif form < 0.44 and upper:
        limit = reporter.random.choice(upper)
        reporter.limit(measured, limit, upper=True)
        sign = reporter.pick((r" \< ", r"\<", " below ", " at most ", " under "))
    elif form < 0.52 and lower and upper:
        reporter.between(measured, lower[-1], upper[0])
        forms = ("{n} between {a} and {b}{u}", "{n} = {a}-{b}{u}", "{n} from {a} to {b}{u}")
        return reporter.pick(forms, n=name, a=number(lower[-1]), b=number(upper[0]), u=unit)
    else:
        return ""
    return f"{name}{sign}{number(limit)}{unit}"


def _quantity(reporter: Reporter) -> str:
    return reporter.random.choice(_QUANTITIES)(reporter)


_QUANTITIES = (*(_redshift,) * 2, *(_shape,) * 4, *(_column,) * 3, _flux)
_SLOTS: dict[str, Callable[[Reporter], str]] = {
    "adjective": _adjective,
    "c": _class_phrase,
    "model": _model,
    "quantity": _quantity,
    "other": _quantity,
    "where": _where,
    "z": _redshift,
}

WRITER = Writer("keywords", write)
