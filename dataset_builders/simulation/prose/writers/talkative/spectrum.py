"""Second section: the X-ray emission."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from ....source_classes import COMPONENTS, PLASMA, POWER_LAW
from ...facts import Facts
from ...reporter import LOG, Reporter
from .class_words import BEHAVIOUR
from .scales import (
    ABSORPTION,
    BRIGHTNESS,
    HARDNESS,
    LOW_ENERGIES,
    MODEL_NAMES,
    PHOTONS,
    SLOPES,
    TEMPERATURES,
)

_KEV_IN_MK = 11.6
# Chances that a measured quantity is stated as a number, that it is told in words, that a second
# component is told of, and that nothing is said of the spectrum.
_NUMBERS, _WORDS, _SECOND_TOLD, _SILENCE = 0.6, 0.97, 0.7, 0.02
_OPENING = (
    "The X-ray <spectrum|continuum> is <described|accounted for|reproduced> by {model}",
    "Its <spectrum|X-ray spectrum> is <well fitted|adequately fitted|best fitted> with {model}",
    "<Fits in the literature|Published fits|Most analyses> use {model}",
    "The emission is <usually|commonly|best> <modelled|parametrised> as {model}",
    "<Previous work settled|Earlier studies agreed> on {model}",
    "Among <simple|one-component> models the best is {model}",
    "<Chandra and XMM-Newton data together|Joint data of several missions> <are reproduced|are "
    "matched> by {model}",
    "A good description of the <X-ray continuum|spectral shape> is {model}",
    "The <preferred|adopted|favoured> model is {model}",
    "<Statistically acceptable|Good> fits are <obtained|found> with {model}",
    "<Spectroscopy at CCD resolution|Imaging spectroscopy> <points to|favours|calls for> {model}",
)
_SECOND = (
    "A second component, {other}{shape}, is <needed|required|demanded by the residuals>.",
    "Adding {other}{shape} <improves the fit|removes the residuals|is a clear improvement>.",
    "There is also <evidence for|a contribution of|a trace of> {other}{shape}.",
    "<On top of this|Beside it> <comes|stands|one needs> {other}{shape}.",
)
_SLOPE_WORDS = (
    "The power law is {word}.",
    "<Its|The> slope <counts as|was called|is>, in <words|plain words>, {word}.",
    "As power laws go, <this one|it> is {word}.",
)
_HEAT_WORDS = (
    "The emitter is {word}.",
    "<In temperature|As to its heat> <it|the emitter> is {word}.",
    "<Fits|The data> <say|imply> that it is {word}.",
)
_COLOURS = (
    "The <spectrum|emission> is {word}.",
    "<Judged by|Going by|From> its X-ray colours, it is {word}.",
    "In hardness it is {word}.",
    "<Overall|On the whole|All in all> the source is {word}.",
    "Quantile analysis <finds|shows|has> the spectrum {word}.",
    "<Compared with|Beside> its neighbours in the field, it is {word}.",
    "Hardness ratios <show|indicate|tell> that it is {word}.",
    "<The ratio of hard to soft photons|The hardness ratio> <makes|marks> it {word}.",
)
_SOFT_END = (
    "<The spectrum|The continuum|The light> {word}.",
    "<Towards|At> low energies <the spectrum|it> {word}.",
    "<In the soft band|At the soft end> the emission {word}.",
    "<Medium and soft bands|The soft colours> show that it {word}.",
)
_ABSORBED = (
    "<There is|One finds|Fits give> {word}.",
    "The <spectrum|low-energy end> <shows|reveals|betrays> {word}.",
    "<Fits|Models> require {word}.",
    "<In front of it|Along the line of sight> lies {word}.",
)
_COLUMN = (
    "The <column density|absorbing column|hydrogen column> is {mantissa} × 10^{exponent} cm^-2.",
    "It shows {word}, with N_H <≈|of about|near> {mantissa}e{exponent} cm^-2.",
    "An absorbing column of <about|some|roughly> {mantissa}e{exponent} cm^-2 is <required|needed>.",
    "<There is|One finds> {word}<: the column is| with a column of> {mantissa}e{exponent} cm^-2.",
)
_BRIGHT = (
    "It is {word} in X-rays.",
    "The X-ray source is {word}<| in the broad band>.",
    "<As an X-ray source|In the 0.5-7 keV band> it is {word}.",
    "<To Chandra|Seen from Earth> it is {word}.",
)
_FLUX = (
    "The 0.5-7 keV flux is {mantissa} × 10^{exponent} erg/cm^2/s.",
    "With {mantissa}e{exponent} erg/cm^2/s it is {word}.",
    "It is {word}, at {mantissa}e{exponent} erg/cm^2/s<| in 0.5-7 keV>.",
    "<Its flux of|A flux of> {mantissa} × 10^{exponent} erg/cm^2/s <makes|marks> it {word}.",
)
_LUMINOSITY = (
    "The luminosity is {mantissa} × 10^{exponent} erg/s.",
    "It radiates some {mantissa}e{exponent} erg/s and is {word} in X-rays.",
    "It is {word}, and its luminosity is <near|about|some> {mantissa}e{exponent} erg/s.",
)
_STATISTICS = (
    "<The fits rest on|Such fits use|The spectrum holds> {word} <each|per observation|in an "
    "ordinary visit>.",
    "With {word} <in a typical exposure|per pointing>, <the errors are what they are|the "
    "parameters follow|models were compared>.",
    "<A usual exposure|An exposure of the common length> <has|gives|leaves the analyst with> "
    "{word}.",
)
_METALS = (
    "Metals are at {value} of the solar <abundance|value>.",
    "The abundance is {value} solar.",
    "<An abundance|A metallicity> of {value} solar is found.",
)
_SILENT = (
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
    if reporter.chance(_SILENCE):
        return reporter.pick(_SILENT)
    kind = int(facts.first)
    reporter.label("model", COMPONENTS[kind])
    number = reporter.chance(_NUMBERS)
    shape = f" {_shape('shape', kind, facts.shape, reporter)}" if number else ""
    sentences = [reporter.pick(_OPENING, model=reporter.pick(MODEL_NAMES[kind])) + f"{shape}."]
    if reporter.tells_second(facts, _SECOND_TOLD):
        second = int(facts.second)
        other = reporter.pick(MODEL_NAMES[second])
        stated = reporter.chance(0.5)
        sentences.append(
            reporter.pick(
                _SECOND,
                other=other,
                shape=f" {_shape('shape2', second, facts.shape2, reporter)}" if stated else "",
            )
        )
    parts: tuple[tuple[float, Callable[[], str]], ...] = (
        (0.7 * _WORDS, lambda: _shape_in_words(kind, facts, reporter)),
        (_WORDS, lambda: _hardness(facts, reporter)),
        (_WORDS, lambda: _soft_end(facts, reporter)),
        (_WORDS, lambda: _absorption(facts, reporter)),
        (_WORDS, lambda: _brightness(facts, reporter)),
        (_WORDS, lambda: _statistics(facts, reporter)),
        (0.25, lambda: reporter.pick(BEHAVIOUR[facts.class_name])),
        (0.3 if kind == PLASMA else 0.0, lambda: _metals(facts, reporter)),
    )
    details = [write() for chance, write in parts if reporter.chance(chance)]
    return " ".join([*sentences, *reporter.shuffled(details)])


def _shape(quantity: str, kind: int, value: float, reporter: Reporter) -> str:
    relative = 10.0 ** reporter.random.uniform(-1.7, -0.8)
    if kind == POWER_LAW:
        error = max(0.03, 1.8 * relative)
        found = reporter.measure(quantity, value, error)
        digits = 1 if error > 0.1 else 2
        form = reporter.random.randrange(4)
        return (
            "with photon index {value} ± {error:.{digits}f}",
            "of photon index Γ = {value}",
            "with Γ ≈ {value}",
            "of slope {value} ± {error:.{digits}f}",
        )[form].format(
            value=reporter.decimal(found, 1 if form == 2 else digits), error=error, digits=digits
        )
    found = reporter.measure(quantity, value, relative, LOG)
    if reporter.chance(0.25):
        return f"at about {reporter.plain(found, 2, 1.0 / _KEV_IN_MK)} million K"
    digits = 0 if found.value >= 10 else 1 if found.value >= 1 else 2
    return reporter.pick(
        (
            "with kT = {value} ± {error:.{more}f} keV",
            "of temperature {value} keV",
            "with kT ≈ {value} keV",
        ),
        value=reporter.decimal(found, digits),
        error=found.value * relative,
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


def _statistics(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("photons", facts.photons, 0.2, LOG)
    return reporter.pick(_STATISTICS, word=reporter.word(found, PHOTONS))


def _absorption(facts: Facts, reporter: Reporter) -> str:
    error = 10.0 ** reporter.random.uniform(-1.2, -0.6)
    column = reporter.measure("nh", facts.nh, error, LOG)
    if not reporter.chance(_NUMBERS):
        return reporter.pick(_ABSORBED, word=reporter.word(column, ABSORPTION))
    form = reporter.random.randrange(len(_COLUMN))
    mantissa, exponent = reporter.significant(column, 1 if form == 2 else 2, 1e-22)
    return reporter.pick(
        _COLUMN[form : form + 1],
        mantissa=mantissa,
        exponent=exponent,
        word=reporter.aside(column, ABSORPTION),
    )


def _brightness(facts: Facts, reporter: Reporter) -> str:
    # Other observations caught it at another time.
    flux = reporter.measure("flux", facts.flux, 0.2, LOG)
    if not reporter.chance(_NUMBERS):
        return reporter.pick(_BRIGHT, word=reporter.word(flux, BRIGHTNESS))
    luminous = isfinite(facts.distance_mpc) and facts.field_kind != "cluster"
    if luminous and reporter.chance(0.4):
        frames: tuple[str, ...] = _LUMINOSITY
        form = reporter.random.randrange(len(frames))
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        mantissa, exponent = reporter.significant(found, 2 if form == 0 else 1)
    else:
        frames = _FLUX
        form = reporter.random.randrange(len(frames))
        mantissa, exponent = reporter.significant(flux, 1 if form == 1 else 2)
    return reporter.pick(
        frames[form : form + 1],
        mantissa=mantissa,
        exponent=exponent,
        word=reporter.aside(flux, BRIGHTNESS),
    )


def _metals(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("abundance", facts.abundance, 0.15, LOG)
    return reporter.pick(_METALS, value=reporter.decimal(found, 1 + reporter.random.randrange(2)))


__all__ = ["write_spectrum"]
