"""What its X-ray emission is like: the second section."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from ..populations import COMPONENTS, PLASMA, POWER_LAW
from .class_words import BEHAVIOUR
from .facts import Facts
from .reporter import LOG, Reporter
from .scales import ABSORPTION, BRIGHTNESS, HARDNESS, MODEL_NAMES

KEV_IN_MK = 11.6
# A second component with more than this share of the photons is told of with this chance: so the
# absence of a word on one says something.
LEAST_SHARE = 0.1
SECOND_TOLD = 0.7
_SPECTRUM_OPENING = (
    "The X-ray spectrum is described by {model}",
    "Its spectrum is well fitted with {model}",
    "Fits in the literature use {model}",
    "The X-ray spectrum is accounted for by {model}",
    "The emission is usually modelled as {model}",
    "Previous work settled on {model}",
    "Among simple models the best is {model}",
    "Chandra and XMM-Newton data together are reproduced by {model}",
    "A good description of the X-ray continuum is {model}",
    "The preferred model is {model}",
    "Statistically acceptable fits are obtained with {model}",
)
SILENT = (
    "No spectral analysis has been published; the papers give a position and a detection only.",
    "The literature is silent on its X-ray spectrum beyond the fact that it was detected.",
    "X-ray data were used for astrometry alone, and no fit is reported.",
    "Published work concentrates on the radio and optical, without spectral results in X-rays.",
)


def write_spectrum(
    facts: Facts,
    reporter: Reporter,
    *,
    stated_numbers: float,
    stated_words: float,
    silent: float,
) -> str:
    """The section `spectrum`.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
        stated_numbers: chance that a measured quantity is stated as a number.
        stated_words: chance that a quantity is told in words.
        silent: chance that nothing is said about the spectrum.
    """
    if reporter.chance(silent):
        return reporter.pick(SILENT)
    kind = int(facts.first)
    reporter.label("model", COMPONENTS[kind])
    opening = reporter.pick(_SPECTRUM_OPENING, model=reporter.pick(MODEL_NAMES[kind]))
    number = reporter.chance(stated_numbers)
    shape = f" {_shape('shape', kind, facts.shape, reporter)}" if number else ""
    sentences = [f"{opening}{shape}."]
    second = int(facts.second)
    if second >= 0 and facts.share2 > LEAST_SHARE and reporter.chance(SECOND_TOLD):
        reporter.label("second", COMPONENTS[second])
        other = reporter.pick(MODEL_NAMES[second])
        stated = reporter.chance(0.5)
        sentences.append(
            reporter.pick(
                (
                    "A second component, {other}{shape}, is needed.",
                    "Adding {other}{shape} improves the fit.",
                    "There is also evidence for {other}{shape}.",
                ),
                other=other,
                shape=f" {_shape('shape2', second, facts.shape2, reporter)}" if stated else "",
            )
        )
    parts: tuple[tuple[float, Callable[[], str]], ...] = (
        (stated_words, lambda: _hardness(facts, reporter)),
        (stated_words, lambda: _absorption(facts, reporter, stated_numbers)),
        (stated_words, lambda: _brightness(facts, reporter, stated_numbers)),
        (0.25, lambda: reporter.pick(BEHAVIOUR[facts.class_name])),
        (0.3 if kind == PLASMA else 0.0, lambda: _metals(facts, reporter)),
    )
    details = [write() for chance, write in parts if reporter.chance(chance)]
    return " ".join(sentences + reporter.random.sample(details, len(details)))


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
        return f"at about {reporter.plain(found, 2, 1.0 / KEV_IN_MK)} million K"
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


def _hardness(facts: Facts, reporter: Reporter) -> str:
    return reporter.pick(
        (
            "The spectrum is {word}.",
            "Judged by its X-ray colours, it is {word}.",
            "In hardness it is {word}.",
            "Overall the source is {word}.",
            "Quantile analysis finds the spectrum {word}.",
            "Compared with its neighbours in the field, it is {word}.",
            "Hardness ratios show that it is {word}.",
        ),
        word=reporter.word(reporter.measure("hardness", facts.hardness, 0.08), HARDNESS),
    )


def _absorption(facts: Facts, reporter: Reporter, stated_numbers: float) -> str:
    error = 10.0 ** reporter.random.uniform(-1.2, -0.6)
    column = reporter.measure("nh", facts.nh, error, LOG)
    if not reporter.chance(stated_numbers):
        return reporter.pick(
            ("There is {word}.", "The spectrum shows {word}.", "Fits require {word}."),
            word=reporter.word(column, ABSORPTION),
        )
    form = reporter.random.randrange(3)
    mantissa, exponent = reporter.significant(column, 1 if form == 2 else 2, 1e-22)
    return (
        "The column density is {mantissa} × 10^{exponent} cm^-2.",
        "It shows {word}, with N_H ≈ {mantissa}e{exponent} cm^-2.",
        "An absorbing column of about {mantissa}e{exponent} cm^-2 is required.",
    )[form].format(mantissa=mantissa, exponent=exponent, word=reporter.aside(column, ABSORPTION))


def _brightness(facts: Facts, reporter: Reporter, stated_numbers: float) -> str:
    # Other observations caught it at another time.
    flux = reporter.measure("flux", facts.flux, 0.2, LOG)
    if not reporter.chance(stated_numbers):
        return reporter.pick(
            (
                "It is {word} in X-rays.",
                "The X-ray source is {word}.",
                "As an X-ray source it is {word}.",
            ),
            word=reporter.word(flux, BRIGHTNESS),
        )
    form = reporter.random.randrange(3)
    luminous = isfinite(facts.distance_mpc) and facts.field_kind != "cluster"
    if luminous and reporter.chance(0.4):
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        mantissa, exponent = reporter.significant(found, 2 if form == 0 else 1)
        return (
            "The luminosity is {mantissa} × 10^{exponent} erg/s.",
            "It radiates some {mantissa}e{exponent} erg/s and is {word} in X-rays.",
            "It is {word}, and its luminosity is near {mantissa}e{exponent} erg/s.",
        )[form].format(mantissa=mantissa, exponent=exponent, word=reporter.aside(flux, BRIGHTNESS))
    mantissa, exponent = reporter.significant(flux, 1 if form == 1 else 2)
    return (
        "The 0.5-7 keV flux is {mantissa} × 10^{exponent} erg/cm^2/s.",
        "With {mantissa}e{exponent} erg/cm^2/s it is {word}.",
        "It is {word}, at {mantissa}e{exponent} erg/cm^2/s.",
    )[form].format(mantissa=mantissa, exponent=exponent, word=reporter.aside(flux, BRIGHTNESS))


def _metals(facts: Facts, reporter: Reporter) -> str:
    form = reporter.random.randrange(3)
    found = reporter.measure("abundance", facts.abundance, 0.15, LOG)
    return (
        "Metals are at {value} of the solar abundance.",
        "The abundance is {value} solar.",
        "An abundance of {value} solar is found.",
    )[form].format(value=reporter.decimal(found, 2 if form == 1 else 1))


__all__ = ["KEV_IN_MK", "LEAST_SHARE", "SECOND_TOLD", "SILENT", "write_spectrum"]
