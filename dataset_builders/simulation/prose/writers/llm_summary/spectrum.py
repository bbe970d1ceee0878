"""Second section: the X-ray emission."""

from __future__ import annotations

from ....source_classes import BLACK_BODY, BREMSSTRAHLUNG, COMPONENTS, DISK, PLASMA, POWER_LAW
from ...facts import Facts
from ...grammar import capitalized
from ...notation import luminosity_over_flux
from ...reporter import LOG, LabelTable, Measurement, Reporter
from .class_phrases import BEHAVIOUR
from .scales import ABSORPTION, BRIGHTNESS, COLOUR, DEPTH, HEAT, SLOPE, SOFT_END

_MODELS = LabelTable(
    "model",
    {
        "power_law": (
            "<an absorbed|a> power-law <model|continuum>",
            "a <simple|single> power law",
            "non-thermal, power-law-like emission",
        ),
        "black_body": ("blackbody emission", "a <soft |>blackbody <model|component>"),
        "bremsstrahlung": (
            "thermal bremsstrahlung<| emission>",
            "a hot bremsstrahlung <continuum|model>",
        ),
        "plasma": (
            "optically thin thermal plasma emission",
            "a <collisionally ionized|thermal> plasma <(APEC) |>model",
            "thermal emission from hot, diffuse gas",
        ),
        "disk": ("a multicolor disk blackbody", "thermal emission from an accretion disk"),
        "black_body|plasma|disk|bremsstrahlung": ("thermal emission", "a thermal <model|spectrum>"),
    },
)
_SECONDS = {
    POWER_LAW: (
        "a<n additional| second> power-law <component|tail>",
        "a non-thermal <tail|component>",
    ),
    BLACK_BODY: ("a <soft |>blackbody component", "a soft excess modeled as a blackbody"),
    PLASMA: ("a second <thermal|plasma> component", "an additional thermal plasma component"),
    DISK: ("a <cool|soft> accretion disk component", "a multicolor disk <blackbody|component>"),
    BREMSSTRAHLUNG: ("a bremsstrahlung component",),
}
_OPENINGS = (
    "The X-ray <spectrum|emission> is <well described by|characterized by|consistent with|best fit "
    "by> {model}{shape}.",
    "Spectral <analysis|modeling|fitting> <indicates|suggests|yields> {model}{shape}.",
    "The <spectrum|X-ray spectrum> can be <modeled|described> <as|with> {model}{shape}.",
    "The source exhibits {model}{shape}.",
    "{Model}{shape} <provides|gives> <a good|an adequate|an acceptable> description of the data.",
    "Its X-ray emission is dominated by {model}{shape}.",
)
_OPENINGS_ABSORBED = (
    "The <X-ray |>spectrum is <well |>fit<ted|> by {model}{shape}, <absorbed by|behind> a column "
    "of {nh}.",
    "{Model}{shape} and a<n absorbing| hydrogen> column <density |>of {nh} <reproduce|describe> "
    "the <data|spectrum>.",
    "Spectral <fitting|analysis> yields {model}{shape}, <along|together> with a column <density |>"
    "of {nh}.",
    "The best-fit model is {model}{shape} with an absorbing column <density |>of {nh}.",
)
_IMPRESSIONS = (
    "The X-ray <spectrum|emission> is {colour} and <shows|exhibits> {absorbed}, <consistent with|"
    "as described by> {model}{shape}.",
    "With {absorbed} and {model}{shape}, the <overall |>spectrum is {colour}.",
    "<Characterized by|Showing> {absorbed}, the <spectrum|emission> is {colour} and <is fit|can be "
    "modeled> with {model}{shape}.",
    "The emission, which is {colour}, is <attributed to|explained by> {model}{shape} with "
    "{absorbed}.",
)
_IMPRESSIONS_BRIGHT = (
    "It is {colour} and {bright}, with a <flux|0.5-7 keV flux> of {value} erg cm^-2 s^-1.",
    "<At|With> {value} erg/cm^2/s, the source is {bright}<;| and> its spectrum is {colour}.",
    "<Its|The> X-ray <colors|hardness ratios> are those of an object that is {colour}<;|, and> the "
    "flux is {value} erg cm⁻² s⁻¹.",
)
_ADDED = (
    "<In addition|Additionally|Furthermore>, {other}{shape} <is required|is needed|improves the "
    "fit>.",
    "The fit also includes {other}{shape}.",
    "There is evidence for {other}{shape}<, suggesting a more complex spectrum|>.",
)
_COLOURED = (
    "Overall, the spectrum is {word}.",
    "The emission is {word}<, as indicated by its hardness ratios|>.",
    "Its hardness ratios <indicate|suggest> that it is {word}.",
    "The source <appears|is> {word} in the Chandra band.",
)
_LOW = (
    "The emission is {word}.",
    "Its <soft emission|spectrum> is {word}.",
    "At the soft end, the flux is {word}.",
)
_SHAPED = (
    "The spectrum <suggests|implies> {word}.",
    "It shows {word}.",
    "{Word} is <inferred|found>.",
)
_OBSCURED = (
    "There is {word}<| along the line of sight>.",
    "The spectrum <indicates|shows|suggests> {word}.",
    "{Word} <is inferred|is evident|affects the spectrum>.",
    "<Fits|The fits> require {word}.",
)
_COLUMN = (
    "The <absorbing |hydrogen |>column density is <estimated to be |>{nh}.",
    "{Word} is <inferred|found>, with {nh}.",
    "Absorption with {nh} is <required|included in the model>.",
    "The line-of-sight column, {nh}, <indicates|implies> {word}.",
)
_COLUMN_FORMS = (
    "N_H <≈|~|=> {m} × 10^{e} cm^-2",
    "<about|approximately|roughly> {m}×10^{e} cm⁻²",
    "~{m}e{e} cm^-2",
)
_FLUX = (
    "The <observed |>0.5-7 keV flux is <approximately |about |>{value} erg cm^-2 s^-1.",
    "With a flux of <~|approximately |>{value} erg/s/cm^2, it is {word}.",
    "A <broad-band|0.5–7 keV> flux of {value} erg cm⁻² s⁻¹ has been <reported|measured>.",
)
_LUMINOSITY = (
    "For <a source|an object> {place}, the <estimated |implied |>X-ray luminosity is <about |"
    "approximately |~>{value} erg/s.",
    "Its <0.5-7 keV|X-ray> luminosity {place} <reaches|is of order> {value} erg s^-1.",
)
_LUMINOSITY_AT = (
    "At z = {z}, <its|the> <0.5-7 keV|broad-band X-ray> luminosity is <about |roughly |>{value} "
    "erg/s.",
    "The <implied|rest-frame> X-ray luminosity is L_X <~|≈> {value} erg s^-1 <at|for> z = {z}.",
    "For a redshift of {z}, this corresponds to a luminosity of <~|approximately |>{value} erg/s.",
)
_PLACES = {
    "galaxy": ("at the distance of the <host |>galaxy", "in this nearby galaxy"),
    "globular": ("at the distance of the globular cluster",),
    "nursery": ("at the distance of the star-forming <region|complex>",),
    "plane": ("at <its|a> Galactic distance", "in the Galactic disk"),
}
_BRIGHT = (
    "The source is {word}<| in X-rays>.",
    "Compared with <similar objects|other sources>, it is {word}.",
)
_QUALITY = (
    "The <available |>spectrum is {word}.",
    "Results are {word}.",
)
_METALS = (
    "The metal abundance is <about |>{value} times solar.",
    "A metallicity of <Z ≈ |>{value} solar <is inferred|is reported>.",
)
_NOTHING = (
    "The <available texts|provided abstracts> do not <describe|detail> the X-ray spectrum.",
    "No <detailed |>spectral <analysis|information> is available<; only a detection is reported|>.",
    "Spectral properties have not been <reported|discussed> in the literature.",
)
_GENERIC = (
    "Further observations are needed to <better |>constrain the spectral parameters.",
    "The fit was performed with <XSPEC|Sherpa> using <Cash|chi-squared> statistics.",
    "Uncertainties are quoted at the <68|90>% confidence level.",
    "No significant <pile-up|contamination> was noted.",
)
_KEV_PER_MK = 0.08617


def write_spectrum(facts: Facts, reporter: Reporter) -> str:
    """Write the model with its parameters, and remarks in varying order."""
    if reporter.chance(0.04):
        return reporter.pick(_NOTHING)
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
        leads.append(reporter.pick(_ADDED, other=reporter.pick(_SECONDS[second]), shape=shape))
    more = [
        write(facts, reporter)
        for chance, write in (
            (0.7, _absorption),
            (0.5, _colour),
            (0.25, _soft_end),
            (0.65, _power),
            (0.3, _quality),
            (0.3, BEHAVIOUR.pick),
            (0.25 if facts.first == PLASMA else 0.0, _metals),
            (0.2, lambda _, reporter: reporter.pick(_GENERIC)),
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
    model = _MODELS.pick(facts, reporter)
    slots = {"model": model, "Model": capitalized(model), "shape": shape}
    if absorbed:
        column = reporter.measure("nh", facts.nh, reporter.random.uniform(0.1, 0.35), LOG)
        return reporter.pick(_OPENINGS_ABSORBED, nh=_column(column, reporter), **slots)
    text = reporter.pick(_OPENINGS, **slots)
    if not shape and reporter.chance(0.5):
        text = f"{text} {_in_words(kind, facts, reporter)}"
    return text


def _impression(facts: Facts, reporter: Reporter) -> str:
    """Write colour, absorption and model in one sentence."""
    column = reporter.measure("nh", facts.nh, 0.25, LOG)
    return reporter.pick(
        _IMPRESSIONS,
        colour=reporter.word(reporter.measure("hardness", facts.hardness, 0.08), COLOUR),
        absorbed=reporter.word(column, ABSORPTION),
        model=_MODELS.pick(facts, reporter),
        shape=_first_shape(facts, reporter) if reporter.chance(0.5) else "",
    )


def _first_shape(facts: Facts, reporter: Reporter) -> str:
    reporter.label("model", COMPONENTS[int(facts.first)])
    return _shape("shape", int(facts.first), facts.shape, reporter)


def _in_words(kind: int, facts: Facts, reporter: Reporter) -> str:
    reporter.label("model", COMPONENTS[kind])
    if kind == POWER_LAW:
        word = reporter.word(reporter.measure("shape", facts.shape, 0.15), SLOPE)
    else:
        word = reporter.word(reporter.measure("shape", facts.shape, 0.15, LOG), HEAT)
    return reporter.pick(_SHAPED, word=word, Word=capitalized(word))


def _shape(quantity: str, kind: int, value: float, reporter: Reporter) -> str:
    """Write a photon index or a temperature, with an introduction."""
    if kind == POWER_LAW:
        error = (0.05, 0.1, 0.2, 0.3)[reporter.random.randrange(4)]
        found = reporter.measure(quantity, value, error)
        digits = 2 if error < 0.1 else 1
        return reporter.pick(
            (
                " with a photon index of <about |approximately |~>{value}",
                " (Γ <≈|~|=> {value})",
                " with Γ = {value} ± {error:.{digits}f}",
                " with a photon index Γ ≈ {value}",
            ),
            value=reporter.decimal(found, digits),
            error=found.error,
            digits=digits,
        )
    found = reporter.measure(quantity, value, (0.05, 0.1, 0.15)[reporter.random.randrange(3)], LOG)
    if reporter.chance(0.12):
        return f" at a temperature of {reporter.plain(found, 2, _KEV_PER_MK)} million K"
    digits = 0 if found.value >= 9.5 else 1 if found.value >= 0.95 else 2
    return reporter.pick(
        (
            " with a temperature of <about |approximately |>{value} keV",
            " (kT <≈|~|=> {value} keV)",
            " with kT = {value} ± {error:.{more}f} keV",
            " at kT ≈ {value} keV",
        ),
        value=reporter.decimal(found, digits),
        error=max(found.value * found.error, 10.0 ** -(digits + 1)),
        more=digits + 1,
    )


def _absorption(facts: Facts, reporter: Reporter) -> str:
    column = reporter.measure("nh", facts.nh, reporter.random.uniform(0.1, 0.35), LOG)
    if reporter.chance(0.45):
        word = reporter.word(column, ABSORPTION)
        return reporter.pick(_OBSCURED, word=word, Word=capitalized(word))
    nh, word = _column(column, reporter), reporter.aside(column, ABSORPTION)
    return reporter.pick(_COLUMN, nh=nh, word=word, Word=capitalized(word))


def _column(column: Measurement, reporter: Reporter) -> str:
    if reporter.chance(0.15):
        return f"log(N_H/cm^-2) ≈ {reporter.logarithm(column, 1, 1e-22)}"
    mantissa, exponent = reporter.significant(column, 1 + reporter.random.randrange(2), 1e-22)
    return reporter.pick(_COLUMN_FORMS, m=mantissa, e=exponent)


def _colour(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("hardness", facts.hardness, 0.08)
    return reporter.pick(_COLOURED, word=reporter.word(found, COLOUR))


def _soft_end(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("medium_soft", facts.medium_soft, 0.08)
    return reporter.pick(_LOW, word=reporter.word(found, SOFT_END))


def _power(facts: Facts, reporter: Reporter) -> str:
    # Other observations caught it at another time.
    flux = reporter.measure("flux", facts.flux, 0.35, LOG)
    if reporter.chance(0.35):
        return reporter.pick(_BRIGHT, word=reporter.word(flux, BRIGHTNESS))
    digits = 1 + reporter.random.randrange(2)
    if reporter.chance(0.2):
        hardness = reporter.measure("hardness", facts.hardness, 0.08)
        mantissa, exponent = reporter.significant(flux, digits)
        return reporter.pick(
            _IMPRESSIONS_BRIGHT,
            colour=reporter.word(hardness, COLOUR),
            bright=reporter.aside(flux, BRIGHTNESS),
            value=f"{mantissa} × 10^{exponent}",
        )
    if facts.is_at_known_distance and reporter.chance(0.55):
        reporter.label("host", facts.field_kind)
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        mantissa, exponent = reporter.significant(found, digits)
        return reporter.pick(
            _LUMINOSITY,
            value=reporter.pick(("{m} × 10^{e}", "{m}×10^{e}"), m=mantissa, e=exponent),
            place=reporter.pick(_PLACES[facts.field_kind]),
        )
    if facts.redshift > 0.0 and reporter.chance(0.5):
        found = reporter.measure("redshift", facts.redshift, 4e-4)
        z = reporter.decimal(found, 3 if facts.redshift < 0.2 else 2)
        factor = luminosity_over_flux(max(float(z), 1e-3))
        mantissa, exponent = reporter.significant(flux, digits, 1.0 / factor)
        return reporter.pick(_LUMINOSITY_AT, value=f"{mantissa} × 10^{exponent}", z=z)
    mantissa, exponent = reporter.significant(flux, digits)
    value = reporter.pick(("{m} × 10^{e}", "{m}e{e}"), m=mantissa, e=exponent)
    return reporter.pick(_FLUX, value=value, word=reporter.aside(flux, BRIGHTNESS))


def _quality(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("photons", facts.photons, 0.25, LOG)
    return reporter.pick(_QUALITY, word=reporter.word(found, DEPTH))


def _metals(facts: Facts, reporter: Reporter) -> str:
    found = reporter.measure("abundance", facts.abundance, 0.2, LOG)
    return reporter.pick(_METALS, value=reporter.decimal(found, 1 + (found.value < 0.5)))


__all__ = ["write_spectrum"]
