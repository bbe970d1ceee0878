"""Second section of a summary: the X-ray emission."""

from __future__ import annotations

from collections.abc import Callable

from ..source_classes import COMPONENTS, PLASMA, POWER_LAW
from .class_words import BEHAVIOUR
from .facts import Facts
from .reporter import LOG, Reporter
from .scales import (
    ABSORPTION,
    HARDNESS,
    LOW_ENERGIES,
    MODEL_NAMES,
    SLOPES,
    TEMPERATURES,
)

KEV_IN_MK = 11.6
# A second component with more than this share of the photons is told of with this chance: so the
# absence of a word on one says something.
LEAST_SHARE = 0.1
SECOND_TOLD = 0.7
_OPENING = (
    "The best fit is {model}",
    "The best model is {model}",
)
_SECOND = (
    "A second component is {other}{shape}.",
    "A second component, {other}{shape}, is needed.",
)
_SLOPE_WORDS = ("The power law is {word}.", "As power laws go, it is {word}.")
_HEAT_WORDS = ("The emitter is {word}.", "In temperature it is {word}.")
_COLOURS = ("The spectrum is {word}.", "The emission is {word}.")
_SOFT_END = ("At low energies it {word}.", "In the soft band it {word}.")
_ABSORBED = ("There is {word}{column}.", "It shows {word}{column}.")
_METALS = (
    "The abundance is {value} solar.",
    "Metals are at {value} of the solar abundance.",
)
SILENT = (
    "No spectral analysis has been published; the papers give a position and a detection only.",
    "The literature is silent on its X-ray spectrum beyond the fact that it was detected.",
    "X-ray data were used for astrometry alone, and no fit is reported.",
    "Published work concentrates on the radio and optical, without spectral results in X-rays.",
)


def write_spectrum(facts: Facts, reporter: Reporter) -> str:
    """Write the section `spectrum`: the model, further components, and the shape of the continuum.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    manner = reporter.manner
    if reporter.chance(manner.silent):
        return reporter.pick(SILENT)
    kind = int(facts.first)
    reporter.label("model", COMPONENTS[kind])
    number = reporter.chance(manner.stated_numbers)
    shape = f" {_shape('shape', kind, facts.shape, reporter)}" if number else ""
    sentences = [reporter.pick(_OPENING, model=reporter.pick(MODEL_NAMES[kind])) + f"{shape}."]
    second = int(facts.second)
    if second >= 0 and facts.share2 > LEAST_SHARE and reporter.chance(SECOND_TOLD):
        reporter.label("second", COMPONENTS[second])
        other = reporter.pick(MODEL_NAMES[second])
        number = reporter.chance(manner.stated_numbers)
        shape = f" {_shape('shape2', second, facts.shape2, reporter)}" if number else ""
        sentences.append(reporter.pick(_SECOND, other=other, shape=shape))
    metals = manner.asides if kind == PLASMA else 0.0
    parts: tuple[tuple[float, Callable[[], str]], ...] = (
        (manner.stated_words, lambda: _shape_in_words(kind, facts, reporter)),
        (manner.stated_words, lambda: _hardness(facts, reporter)),
        (manner.stated_words, lambda: _soft_end(facts, reporter)),
        (manner.stated_words, lambda: _absorption(facts, reporter)),
        (manner.asides, lambda: reporter.pick(BEHAVIOUR[facts.class_name])),
        (metals, lambda: _metals(facts, reporter)),
    )
    # Always in this order, as a form is filled in.
    sentences += [write() for chance, write in parts if reporter.chance(chance)]
    return " ".join(sentences)


def _shape(quantity: str, kind: int, value: float, reporter: Reporter) -> str:
    relative = 10.0 ** reporter.random.uniform(-1.7, -0.8)
    if kind == POWER_LAW:
        error = max(0.03, 1.8 * relative)
        found = reporter.measure(quantity, value, error)
        digits = 1 if error > 0.1 else 2
        return reporter.pick(
            (
                "with photon index {value} ± {error:.{digits}f}",
                "of photon index Γ = {value}",
            ),
            value=reporter.decimal(found, digits),
            error=found.error,
            digits=digits,
        )
    found = reporter.measure(quantity, value, relative, LOG)
    if reporter.chance(0.25):
        return f"at about {reporter.plain(found, 2, 1.0 / KEV_IN_MK)} million K"
    digits = 0 if found.value >= 10 else 1 if found.value >= 1 else 2
    return reporter.pick(
        ("with kT = {value} ± {error:.{more}f} keV", "of temperature {value} keV"),
        value=reporter.decimal(found, digits),
        error=found.value * found.error,
        more=digits + 1,
    )


def _shape_in_words(kind: int, facts: Facts, reporter: Reporter) -> str:
    if kind == POWER_LAW:
        found = reporter.measure("shape", facts.shape, 0.1)
        return reporter.pick(_SLOPE_WORDS, word=reporter.word(found, SLOPES))
    found = reporter.measure("shape", facts.shape, 0.1, LOG)
    return reporter.pick(_HEAT_WORDS, word=reporter.word(found, TEMPERATURES))


def _hardness(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("hardness", facts.hardness, 0.06)
    return reporter.pick(_COLOURS, word=reporter.word(found, HARDNESS))


def _soft_end(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("medium_soft", facts.medium_soft, 0.06)
    return reporter.pick(_SOFT_END, word=reporter.word(found, LOW_ENERGIES))


def _absorption(facts: Facts, reporter: Reporter) -> str:
    error = 10.0 ** reporter.random.uniform(-1.2, -0.6)
    column = reporter.measure("nh", facts.nh, error, LOG)
    if not reporter.chance(reporter.manner.stated_numbers):
        return reporter.pick(_ABSORBED, word=reporter.word(column, ABSORPTION), column="")
    mantissa, exponent = reporter.significant(column, 2, 1e-22)
    return reporter.pick(
        _ABSORBED,
        word=reporter.aside(column, ABSORPTION),
        column=f", with a column of {mantissa}e{exponent} cm^-2",
    )


def _metals(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("abundance", facts.abundance, 0.15, LOG)
    return reporter.pick(_METALS, value=reporter.decimal(found, 1 + reporter.random.randrange(2)))


__all__ = ["KEV_IN_MK", "LEAST_SHARE", "SECOND_TOLD", "SILENT", "write_spectrum"]
