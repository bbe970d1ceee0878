"""Writer of titles, keyword lines and search-like phrases of one to twelve words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from string import Formatter

from hf_specclip.literature import FAMILIES, find_class, mentioned_classes

from ...source_classes import CLASSES, COMPONENTS, POWER_LAW
from ..facts import Facts
from ..grammar import below, capitalized
from ..phrases import read_phrases
from ..reporter import LINEAR, LOG, Measurement, Reporter, WordScale
from ..writer import Writer

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
_FLUX = (1e-15, 1e-14, 3e-14, 1e-13, 3e-13, 1e-12, 1e-11)


def _class_phrases() -> dict[str, list[list[tuple[str, str]]]]:
    """Return for each class its names, its synonyms and its family's names, each with the labels
    that it allows.
    """
    of_label = {item.label: key for key, item in CLASSES.items()}
    tables: dict[str, list[list[tuple[str, str]]]] = {}
    for key, item in CLASSES.items():
        source_class = find_class(item.label)
        assert source_class is not None
        family = FAMILIES[source_class.family].names
        tables[key] = []
        for phrases in (source_class.names, source_class.synonyms, family):
            options = []
            for phrase in phrases:
                mentions = mentioned_classes(phrase)
                if len(mentions) != 1 or _CLAIMS.search(phrase):
                    continue
                allowed = {of_label[label] for label in mentions[0].labels if label in of_label}
                if key in allowed:
                    options.append(("|".join(name for name in CLASSES if name in allowed), phrase))
            tables[key].append(options)
    return tables


_NAMES = _class_phrases()


@cache
def _slots(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write one phrase, or at times two."""
    kind = reporter.random.random()
    if kind < 0.22:
        phrase = _class_phrase(facts, reporter)
        texts = {"identity": _plural(phrase) if reporter.chance(0.15) else phrase}
    elif kind < 0.29:
        texts = {"identity": PHRASES.keyword_lines.pick(facts, reporter)}
    elif kind < 0.64:
        texts = {"identity": _fill(PHRASES.labelled, facts, reporter)}
    elif kind < 0.78:
        texts = {"identity": _fill(PHRASES.titles, facts, reporter)}
    else:
        texts = {"spectrum": _fill(PHRASES.unlabelled, facts, reporter)}
    if reporter.chance(0.15):
        if "spectrum" in texts:
            texts["context"] = PHRASES.host_words.pick(facts, reporter, host=facts.host)
        else:
            texts["spectrum"] = _fill(PHRASES.unlabelled, facts, reporter)
    capital = reporter.chance(0.35)
    return {name: capitalized(text) if capital else text for name, text in texts.items()}


def _fill(templates: tuple[str, ...], facts: Facts, reporter: Reporter) -> str:
    """Fill in one of the templates for which something can be said in each slot."""
    mark = len(reporter.statements)
    for _ in range(20):
        template = templates[below(reporter.random, len(templates))]
        values = {name: _SLOTS[name.lower()](facts, reporter) for name in sorted(_slots(template))}
        if all(values.values()):
            values = {
                name: capitalized(value) if name[0].isupper() else value
                for name, value in values.items()
            }
            text = _ARTICLE.sub(r"\1n ", reporter.pick((template,), **values))
            if text.count(" ") < _MOST_WORDS:
                return text
        del reporter.statements[mark:]
    return _class_phrase(facts, reporter)


def _class_phrase(facts: Facts, reporter: Reporter) -> str:
    chosen = reporter.random.random()
    options = _NAMES[facts.class_name][0 if chosen < 0.4 else 1 if chosen < 0.82 else 2]
    labels, phrase = options[below(reporter.random, len(options))]
    reporter.label("class", labels)
    return phrase


def _plural(phrase: str) -> str:
    if phrase.endswith("y"):
        return f"{phrase[:-1]}ies"
    return f"{phrase}s" if phrase[-1] in "rkNVXE" else phrase


def _model(facts: Facts, reporter: Reporter) -> str:
    text = PHRASES.models.pick(facts, reporter)
    if reporter.tells_second(facts, 0.15):
        text = f"{text} {PHRASES.second[COMPONENTS[int(facts.second)]]}"
    return text


def _adjective(facts: Facts, reporter: Reporter) -> str:
    """Return a word on absorption, colour, brightness, slope or temperature; `` for none."""
    chosen = below(reporter.random, 7)
    if chosen < 3:
        found, scale = reporter.measure("nh", facts.nh, 0.25, LOG), PHRASES.obscured
    elif chosen < 5:
        found, scale = reporter.measure("hardness", facts.hardness, 0.08), PHRASES.colours
    elif chosen < 6:
        found, scale = reporter.measure("flux", facts.flux, 0.4, LOG), PHRASES.bright
    else:
        found, scale = _measure_shape(facts, reporter)
    if not scale.step(found.value)[2]:
        return ""
    if found.quantity == "shape":
        _label_shape(facts, reporter)
    return reporter.word(found, scale)


def _measure_shape(facts: Facts, reporter: Reporter) -> tuple[Measurement, WordScale]:
    if facts.first == POWER_LAW:
        return reporter.measure("shape", facts.shape, 0.15, LINEAR), PHRASES.slopes
    return reporter.measure("shape", facts.shape, 0.12, LOG), PHRASES.heats


def _label_shape(facts: Facts, reporter: Reporter) -> None:
    """Record what a photon index or a temperature says of the model."""
    power_law = facts.first == POWER_LAW
    thermal = "black_body|bremsstrahlung|plasma|disk"
    reporter.label("model", "power_law" if power_law else thermal)


def _quantity(facts: Facts, reporter: Reporter) -> str:
    chosen = below(reporter.random, 10)
    if chosen < 2:
        return _redshift(facts, reporter)
    if chosen < 6:
        return _shape(facts, reporter)
    if chosen < 9:
        return _column(facts, reporter)
    return _flux(facts, reporter)


def _redshift(facts: Facts, reporter: Reporter) -> str:
    if facts.redshift <= 0.0:
        return ""
    found = reporter.measure("redshift", facts.redshift, 1e-3)
    condition = _condition(found, _Z, "z", "", reporter)
    if condition:
        return condition
    if reporter.chance(0.5):
        value = reporter.plain(found, 1)
        return reporter.pick(("z~{v}", "z ~ {v}", "z ≈ {v}", "redshift about {v}"), v=value)
    value = reporter.decimal(found, 1 + (found.value < 1.0) + (found.value < 0.1))
    return reporter.pick(("z={v}", "z = {v}", "redshift {v}", "redshift of {v}"), v=value)


def _shape(facts: Facts, reporter: Reporter) -> str:
    found, _ = _measure_shape(facts, reporter)
    _label_shape(facts, reporter)
    if found.scale == LINEAR:
        name = reporter.pick(("Gamma", "Γ", "photon index", r"\Gamma"))
        condition = _condition(found, _INDEX, name, "", reporter)
        value = condition or reporter.decimal(found, 1)
        return condition or reporter.pick(("{n} ~ {v}", "{n} = {v}", "{n} {v}"), n=name, v=value)
    name = reporter.pick(("kT", "temperature", "kT"))
    condition = _condition(found, _KT, name, " keV", reporter)
    if condition:
        return condition
    if reporter.chance(0.15):
        return reporter.pick(("T ~ {v} MK", "{v} MK"), v=reporter.plain(found, 1, 1 / _KEV_IN_MK))
    value = reporter.plain(found, 1 + reporter.random.randrange(2))
    return reporter.pick(
        ("{n} ~ {v} keV", "{n} = {v} keV", "{n}~{v} keV", "{v} keV"), n=name, v=value
    )


def _column(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("nh", facts.nh, 0.25, LOG)
    name = reporter.pick(("NH", "N_H", "nH", "column"))
    if reporter.chance(0.2):
        return f"log {name} ~ {reporter.logarithm(found, 1, 1e-22)}"
    condition = _condition(found, _NH, name, " cm^-2", reporter, 1e22)
    if condition:
        return condition
    mantissa, exponent = reporter.significant(found, 1, 1e-22)
    return reporter.pick(
        ("{n} {m}e{e}", "{n} ~ {m}e{e} cm^-2", "{n} = {m} x 10^{e}", "{n} of {m}e{e} cm-2"),
        n=name,
        m=mantissa,
        e=exponent,
    )


def _flux(facts: Facts, reporter: Reporter) -> str:
    flux = reporter.measure("flux", facts.flux, 0.35, LOG)
    if facts.is_at_known_distance and reporter.chance(0.6):
        where = PHRASES.host_words.pick(facts, reporter, host=facts.host)
        reporter.label("host", facts.field_kind)
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        if reporter.chance(0.4):
            return f"log LX ~ {reporter.logarithm(found, 1)} {where}"
        mantissa, exponent = reporter.significant(found, 1)
        value = "" if mantissa == "1" else f"{mantissa}x"
        return f"L_X ~ {value}10^{exponent} erg/s {where}"
    condition = _condition(flux, _FLUX, "flux", " erg/cm2/s", reporter)
    if condition:
        return condition
    mantissa, exponent = reporter.significant(flux, 1)
    return reporter.pick(("flux ~ {m}e{e}", "F_X ~ {m}e{e} erg/s/cm2"), m=mantissa, e=exponent)


def _condition(
    found: Measurement,
    ladder: tuple[float, ...],
    name: str,
    unit: str,
    reporter: Reporter,
    factor: float = 1.0,
) -> str:
    """Write a limit or a range from a ladder of round numbers, or `` for a plain number instead.

    Args:
        found: measurement.
        ladder: limits, in its units.
        name: of the quantity, in the text.
        unit: after the number, in the text.
        reporter: writes and notes.
        factor: number in the text over that in the measurement's units.
    """
    place = bisect_right(ladder, found.value)
    lower, upper = ladder[max(place - 2, 0) : place], ladder[place : place + 2]
    form = reporter.random.random()

    def number(value: float) -> str:
        large = unit[:4] in (" cm^", " erg")
        return f"{value * factor:.0e}".replace("+", "") if large else f"{value:g}"

    if form < 0.22 and lower:
        limit = lower[below(reporter.random, len(lower))]
        reporter.limit(found, limit, upper=False)
        sign = reporter.pick((r" \> ", r"\>", " above ", " at least ", " of more than "))
    elif form < 0.44 and upper:
        limit = upper[below(reporter.random, len(upper))]
        reporter.limit(found, limit, upper=True)
        sign = reporter.pick((r" \< ", r"\<", " below ", " at most ", " under "))
    elif form < 0.52 and lower and upper:
        reporter.between(found, lower[-1], upper[0])
        ends = number(lower[-1]), number(upper[0])
        return reporter.pick(
            ("{n} between {a} and {b}{u}", "{n} = {a}-{b}{u}", "{n} from {a} to {b}{u}"),
            n=name,
            a=ends[0],
            b=ends[1],
            u=unit,
        )
    else:
        return ""
    return f"{name}{sign}{number(limit)}{unit}"


_KEV_IN_MK = 11.6045
_SLOTS: dict[str, Callable[[Facts, Reporter], str]] = {
    "adjective": _adjective,
    "c": _class_phrase,
    "model": _model,
    "other": _quantity,
    "quantity": _quantity,
    "where": lambda facts, reporter: PHRASES.host_words.pick(facts, reporter, host=facts.host),
    "z": _redshift,
}

WRITER = Writer("keywords", write)
