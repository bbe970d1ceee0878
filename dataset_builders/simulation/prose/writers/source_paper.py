"""Abstract of a paper about a single source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...source_classes import (
    BLACK_BODY,
    BREMSSTRAHLUNG,
    COMPONENTS,
    DISK,
    PLASMA,
    POWER_LAW,
)
from ..composition import Composition, distance, family_of, has_distance, is_background
from ..facts import Facts
from ..notation import Notation, Numerals, luminosity_over_flux, with_article
from ..reporter import LOG, Measurement, Reporter
from ..writer import Writer
from . import source_paper_words as words

FEWEST, MOST = 80, 200
_LATEX_UNITS = {
    "column": r"cm$^{-2}$",
    "kt": "keV",
    "ev": "eV",
    "mk": "MK",
    "flux": r"erg cm$^{-2}$ s$^{-1}$",
    "luminosity": r"erg s$^{-1}$",
    "mpc": "Mpc",
    "kpc": "kpc",
    "pc": "pc",
    "abundance": "solar",
    "counts": "counts",
}
_PLAIN_UNITS = _LATEX_UNITS | {
    "column": "cm^-2",
    "flux": "erg cm^-2 s^-1",
    "luminosity": "erg s^-1",
}
_LATEX = {
    "gamma": r"\Gamma",
    "column": r"N_{\rm H}",
    "kt": "kT",
    "ev": "kT",
    "mk": "T",
    "flux": r"F_{\rm X}",
    "luminosity": r"L_{\rm X}",
    "z": "z",
    "abundance": "Z",
}
_PLAIN = _LATEX | {"gamma": "Gamma", "column": "N_H", "flux": "F_X", "luminosity": "L_X"}
_NOTATIONS = (
    Notation(
        _LATEX,
        _LATEX_UNITS,
        ("=", r"\simeq", r"\sim"),
        r"{m}\times10^{{{e}}}",
        (r"{v}\pm{e}",),
        quote="$",
        gap="",
        log=r"\log ",
    ),
    Notation(
        _LATEX | {"column": r"N_\mathrm{H}", "luminosity": r"L_\mathrm{X}"},
        _LATEX_UNITS | {"abundance": r"$Z_\odot$"},
        (r"\approx", "="),
        r"{m} \times 10^{{{e}}}",
        ("{v}^{{+{a}}}_{{-{b}}}", r"{v} \pm {e}"),
        quote="$",
        log=r"\log ",
        spread=1.645,
    ),
    Notation(
        _PLAIN,
        _PLAIN_UNITS,
        ("=", "~"),
        "{m} x 10^{e}",
        ("{v} +/- {e}", "{v} (+{a}, -{b})"),
        log="log ",
        spread=1.645,
    ),
    Notation(
        _PLAIN | {"gamma": "Γ"},
        _PLAIN_UNITS | {"flux": "erg/cm2/s", "luminosity": "erg/s", "column": "cm-2"},
        ("≈", "=", "∼"),
        "{m} × 10^{e}",
        ("{v} ± {e}",),
        log="log ",
    ),
)
_OPENING = (
    "<We present|We report|This paper presents> <a detailed|an> X-ray <study|analysis> of {name}, "
    "{a_noun}{place}.",
    "<The nature and X-ray properties|X-ray properties> of the {noun} {name}{place} are "
    "<investigated|examined>.",
    "{name} is {a_noun}{place}<| that has received <little|some> attention in X-rays>.",
    "<Chandra observations|High-resolution X-ray observations> of {name}{place} <are used to|allow "
    "us to> <establish|confirm> its nature as {a_noun}.",
    "<The aim of this work is to characterise|We aim to understand> {name}, {a_noun}{place}.",
    "<We identify|We argue for an identification of> {name}{place} <as|with> {a_noun}.",
    "<Little is known about|We revisit> the {noun} {name}{place}.",
)
_REDSHIFT = (
    "<Spectroscopy|An optical spectrum> <places it at|yields a redshift of> {z}.",
    "<Its|The spectroscopic> redshift is {z}.",
    "<Emission lines|Absorption features> <are redshifted to|give> {z}.",
)
_UNKNOWN = (
    "X-ray source of <uncertain|unknown> nature",
    "<unclassified|unidentified> X-ray source",
)
_OBSERVED = (
    "<It was observed|The field was observed> with <Chandra|ACIS-S|ACIS-I> <on {n} occasions|for a "
    "total of {ks} ks|in {year}>.",
    "<Archival|New> Chandra <data|observations> <totalling {ks} ks|from {year}> <are analysed|were "
    "reduced with CIAO>.",
    "<Spectra were extracted|We extracted spectra> from a <{small} arcsec circle|"
    "region enclosing most of the flux> and fitted <in XSPEC|with Sherpa>.",
    "<Both C and chi-squared|Cash> statistics were <used|adopted> <in the fits|for the modelling>.",
    "<XMM-Newton and Swift|Contemporaneous> data <are used|serve> to <check|cross-check> the "
    "calibration.",
    "<Pile-up|The pile-up fraction> is <negligible|estimated at {n} per cent>.",
    "<The source region|Extraction> <is|was> <free of|kept clear of> <readout streaks|chip gaps|"
    "neighbouring sources>.",
    "<Quoted|All> <errors|uncertainties> <include|do not include> <those of the "
    "calibration|systematic terms>.",
    "<We|In this paper, we> <combine|stack> {n} <exposures|pointings> <taken|made> <between {year} "
    "and 2024|since {year}>.",
    "<Light curves|Time series> were <binned to {n}00 s|searched with Bayesian blocks>.",
    "<Models|Spectral models> were <compared|ranked> by <BIC|the Akaike criterion>.",
    "<Background|The background> was taken from <an annulus|source-free regions> on the same chip.",
)
_COUNTS = (
    "<The observations|Our data> <yield|contain> {counts} from the source.",
    "<After screening|In total>, {counts} <were collected|are available for spectroscopy>.",
)
_OTHER_WAVELENGTHS = (
    "<Radio observations|VLA maps> <at {ghz} GHz|taken within a month> <set only an upper limit|"
    "detect a source of {n}0 microjansky>.",
    "<Pan-STARRS|HST|Gemini> images <show a crowded field|are used to correct the astrometry>.",
    "<No gamma-ray source|No Fermi-LAT source> is known at this position.",
    "<The WISE|Spitzer> <images|colours> <will be published|are presented> <elsewhere|in an "
    "appendix>.",
    "<The astrometric solution|Our position> is accurate to 0.{n} arcsec.",
    "<GALEX|Swift/UVOT> and <2MASS|WISE> magnitudes are <listed|tabulated>.",
    "<Its|The> counterpart in <Gaia DR3|DECaLS> <is discussed|will be the subject of a companion "
    "paper>.",
    "<A neutrino|A gravitational-wave> search at this position <found nothing|was negative>.",
    "<ALMA|Millimetre> <observations|data> of the <field|region> <are not yet available|have been "
    "scheduled>.",
)
_ENDING = (
    "<The limits of|Systematic errors in> our analysis are <described|quantified with "
    "simulations>.",
    "<We outline|We propose> <how|in which way> <the next|upcoming> surveys <will|may> <find more "
    "such objects|improve on this>.",
    "<Our interpretation|This scenario> can be tested with <time-resolved|phase-resolved|deep> "
    "<spectroscopy|observations>.",
    "<We compare|Finally, we compare> our results with <previous|earlier> <work|claims>.",
    "<Future|Deeper> <observations|spectroscopy> with <Athena|XRISM|a large-area mission> <could|"
    "will> <test|settle> this <picture|interpretation>.",
    "<Further monitoring|Continued monitoring> is <encouraged|desirable>.",
    "<We discuss|We briefly consider> <alternatives|alternative scenarios> and <selection effects|"
    "systematic uncertainties>.",
    "<These results|Our findings> <illustrate|underline> the <power|value> of <archival|sub-"
    "arcsecond> X-ray data.",
    "<All data products|Reduced data> <are made public|are available on request>.",
    "<A sample of similar objects|A larger sample> would <help|be needed> to <generalise this "
    "result|draw firm conclusions>.",
)
_GALACTIC_PLACES = {
    "galaxy": ("in {host}", "in the <spiral|nearby galaxy|galaxy> {host}"),
    "globular": ("in <the globular cluster|the core of|> {host}",),
    "nursery": ("in <the star-forming region|the young association|> {host}",),
    "plane": ("in {host}", "<projected on|towards> {host}"),
    "survey": ("in {host}", "<serendipitously found|detected> in {host}"),
    "cluster": ("<at the position of|coincident with> {host}",),
}
_FAR_PLACES = {
    "galaxy": ("<behind|close to> the galaxy {host}", "in the <field|direction> of {host}"),
    "survey": ("in {host}", "<serendipitously found|detected> in {host}"),
    "cluster": ("in the field of <the cluster|> {host}", "behind the <rich|> cluster {host}"),
}
_MODELS = {
    POWER_LAW: "<power law|absorbed power law|power-law continuum>",
    BLACK_BODY: "<blackbody|single blackbody|blackbody model>",
    BREMSSTRAHLUNG: "<thermal bremsstrahlung model|bremsstrahlung continuum>",
    PLASMA: "<thermal plasma|APEC plasma|collisional plasma (APEC)|optically thin plasma>",
    DISK: "<multicolour disc|disc blackbody|DISKBB component>",
}
_FIT = (
    "<Its spectrum|The X-ray spectrum> <is well fitted|can be described|is well reproduced> by "
    "{a_model}{shape}.",
    "<We fit|We model> the <0.5-7 keV|broad-band> spectrum with {a_model}{shape}.",
    "<A|The> <good|best> <fit|description of the data> is <achieved with|provided by> "
    "{a_model}{shape}.",
    "<Spectral fits|Fits> <prefer|favour> {a_model}{shape}<| over the alternatives>.",
    "<To first order|Overall>, the <data|spectra> <follow|are consistent with> {a_model}{shape}.",
)
_SECOND = (
    "<An additional|A second> {model}{shape} is <required|significant at {n}.{n} sigma|needed at "
    "high confidence>.",
    "<The fit improves|Residuals vanish> with the addition of {a_model}{shape}.",
    "<We also find|There is also> evidence for {a_model}{shape}.",
)
_SLOPE = (
    "<The power law|Its power law> is {word}.",
    "<The continuum|Its power-law continuum> is {word}<, as the fits show|>.",
)
_HEAT = (
    "<The emission|The spectrum> <is that of|comes from> {a_word} emitter.",
    "<This|The fit> <implies|indicates> {a_word} component.",
)
_HARD = (
    "<The source|It> is {word} <in X-rays|in the Chandra band>.",
    "<The hardness ratios show|X-ray colours indicate> that it is {word}.",
)
_LOW = (
    "<The spectrum|Its spectrum> <shows|has> {word}.",
    "<At the low-energy end|In the softest band> we <find|note> {word}.",
)
_COLUMN = (
    "<The source|It> is {word}.",
    "<We conclude that the source|Our fits show that it> is {word}{number}.",
)
_COLUMN_NUMBER = (
    "<The column density|Absorption along the line of sight> <is|amounts to> {number}.",
    "<The fitted column|The total absorbing column> is {number}<|, including the Galactic part>.",
    "<We obtain|We measure> {number} <for the absorber|from the spectral fit>.",
)
_COLUMN_LIMIT = ("<We find|Fits give> {number} <for the absorber|at the {n}-sigma level>.",)
_FLUX = (
    "<The absorbed|The observed> {band} flux is {number}.",
    "<In the {band} band|Over {band}>, the source <has a flux of|reaches> {number}.",
    "<We measure|Our data give> a {band} flux of {number}.",
)
_LUMINOSITY = (
    "<The X-ray luminosity|The observed luminosity> is {number}{distance}.",
    "<This corresponds to|It radiates> {number}<| in the Chandra band>{distance}.",
    "<We derive|We infer> {number} for the {band} luminosity{distance}.",
)
_LOG_LUMINOSITY = ("<Its observed|The> {band} luminosity is {number} (in erg/s){distance}.",)
_BRIGHT = ("<In X-rays the source|The source> is {word}.", "<It|The object> is {word}.")
_METALS = (
    "<The metallicity|The metal abundance> is {number}.",
    "<We find|The lines indicate> an abundance of {number}.",
)
_SIGHTLINE = ("<The Galactic column|Foreground absorption><| in this direction> is {number}.",)


class _Abstract:
    """Sentences of one abstract by section, within its length."""

    def __init__(self, facts: Facts, reporter: Reporter) -> None:
        self.facts, self.reporter = facts, reporter
        self.composition = Composition(reporter)
        self.add = self.composition.add
        self.class_known = False
        self.has_redshift = False
        self.hosted = False
        notation = _NOTATIONS[int(len(_NOTATIONS) * reporter.random.random())]
        self.numerals = Numerals(reporter, notation)

    def number(self, key: str, found: Measurement, chance: float = 0.6) -> str:
        """State a quantity, with this chance of a printed error."""
        return self.numerals.state(key, found, error=self.reporter.chance(chance))

    def open(self) -> None:
        """Write the opening: name, class or family, surroundings."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        noun = reporter.pick(_UNKNOWN)
        if lot < 0.84:
            self.class_known = True
            reporter.label("class", facts.class_name)
            noun = reporter.pick((words.NOUNS[facts.class_name],))
        elif lot < 0.95:
            noun, allowed = family_of(facts, words.FAMILIES, reporter)
            reporter.label("class", allowed)
        name = facts.name if reporter.chance(0.4) else facts.name.split()[-1]
        slots = {"name": name.rstrip("X"), "noun": noun, "a_noun": with_article(noun)}
        self.add("identity", _OPENING, **slots, place=self._place())

    def _place(self) -> str:
        facts, reporter = self.facts, self.reporter
        if not facts.host or not reporter.chance(0.6):
            return ""
        self.hosted = True
        reporter.label("host", facts.field_kind)
        options: Sequence[str] = ("in the <field|direction> of {host}", "<near|towards> {host}")
        if self.class_known:
            places = _FAR_PLACES if is_background(facts) else _GALACTIC_PLACES
            options = places.get(facts.field_kind, options)
        return f" {reporter.pick(options, host=facts.host)}"

    def evidence(self) -> None:
        """Write the evidence for the class."""
        if self.class_known:
            self.add("identity", words.EVIDENCE[self.facts.class_name])

    def redshift(self) -> None:
        """Write the redshift of lines in the optical."""
        if self.facts.redshift > 0.0:
            self.has_redshift = True
            found = self.reporter.measure("redshift", self.facts.redshift, 5e-4)
            self.add("identity", _REDSHIFT, z=self.numerals.state("z", found))

    def observations(self) -> None:
        """Write what was observed and how it was reduced."""
        self.add("context", _OBSERVED)

    def counts(self) -> None:
        """Write the number of counts, in words or as a number."""
        found = self.reporter.measure("photons", self.facts.photons, 0.25, LOG)
        if found.value > 40.0 and self.reporter.chance(0.4):
            text = f"about {self.reporter.plain(found, 2)} counts"
        else:
            text = self.reporter.word(found, words.COUNTS)
        self.add("context", _COUNTS, counts=text)

    def fit(self) -> None:
        """Write the model of the spectrum, its shape, a second component and the metals."""
        facts, reporter = self.facts, self.reporter
        kind = int(facts.first)
        reporter.label("model", COMPONENTS[kind])
        model = reporter.pick((_MODELS[kind],))
        numbered = reporter.chance(0.72)
        shape = self._shape("shape", kind, facts.shape) if numbered else ""
        self.add("spectrum", _FIT, a_model=with_article(model), shape=shape)
        if not numbered and reporter.chance(0.8):
            self._shape_in_words(kind)
        if reporter.tells_second(facts, 0.8):
            kind = int(facts.second)
            shape = self._shape("shape2", kind, facts.shape2) if reporter.chance(0.6) else ""
            model = reporter.pick((_MODELS[kind],))
            self.add("spectrum", _SECOND, model=model, a_model=with_article(model), shape=shape)
        if facts.first == PLASMA and reporter.chance(0.3):
            found = reporter.measure("abundance", facts.abundance, 0.2, LOG)
            self.add("spectrum", _METALS, number=self.number("abundance", found))

    def _shape(self, quantity: str, kind: int, truth: float) -> str:
        reporter = self.reporter
        if kind == POWER_LAW:
            found = reporter.measure(quantity, truth, 0.05 * 6.0 ** reporter.random.random())
            value = self.numerals.value("gamma", found, error=reporter.chance(0.6))
            if reporter.chance(0.3):
                return f" of photon index {value}"
            symbol = self.numerals.notation.symbols["gamma"]
            quote = self.numerals.notation.quote
            equation = f"{quote}{symbol}={value.strip('$')}{quote}" if quote else (
                f"{symbol} = {value}"
            )  # fmt: skip
            return f" with {equation}" if reporter.chance(0.6) else f" ({equation})"
        found = reporter.measure(quantity, truth, 0.05 * 4.0 ** reporter.random.random(), LOG)
        key = "ev" if found.value < 0.25 and reporter.chance(0.4) else "kt"
        if kind == PLASMA and reporter.chance(0.12):
            key = "mk"
        if reporter.chance(0.25):
            error = reporter.chance(0.5)
            return f" with a temperature of {self.numerals.value(key, found, error=error)}"
        number = self.number(key, found)
        return f" with {number}" if reporter.chance(0.6) else f" ({number})"

    def _shape_in_words(self, kind: int) -> None:
        reporter = self.reporter
        if kind == POWER_LAW:
            word = reporter.word(reporter.measure("shape", self.facts.shape, 0.15), words.SLOPE)
            self.add("spectrum", _SLOPE, word=word)
        else:
            found = reporter.measure("shape", self.facts.shape, 0.15, LOG)
            word = reporter.word(found, words.HEAT)
            self.add("spectrum", _HEAT, word=word, a_word=with_article(word))

    def column(self) -> None:
        """Write the absorbing column: in words, as a number or as a limit."""
        facts, reporter = self.facts, self.reporter
        found = reporter.measure("nh", facts.nh, 0.1 * 3.5 ** reporter.random.random(), LOG)
        if found.value < 0.06 and reporter.chance(0.5):
            self.add("spectrum", _COLUMN_LIMIT, number=self.numerals.limit("column", found))
        elif reporter.chance(0.35):
            self.add("spectrum", _COLUMN[:1], word=reporter.word(found, words.ABSORPTION))
        elif reporter.chance(0.3):
            number = f" ({self.number('column', found)})"
            word = reporter.aside(found, words.ABSORPTION)
            self.add("spectrum", _COLUMN[1:], word=word, number=number)
        elif reporter.chance(0.15):
            number = self.numerals.logarithm("column", found)
            self.add("spectrum", _COLUMN_NUMBER[2:], number=number)
        else:
            self.add("spectrum", _COLUMN_NUMBER, number=self.number("column", found))

    def hardness(self) -> None:
        """Write the hardness in words."""
        found = self.reporter.measure("hardness", self.facts.hardness, 0.08)
        self.add("spectrum", _HARD, word=self.reporter.word(found, words.HARDNESS))

    def low_energies(self) -> None:
        """Write how the spectrum goes on below 1 keV."""
        found = self.reporter.measure("medium_soft", self.facts.medium_soft, 0.08)
        self.add("spectrum", _LOW, word=self.reporter.word(found, words.SOFT_END))

    def power(self) -> None:
        """Write the flux or luminosity, in words or as a number."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        band, widening = (("0.5-7 keV", 0.0), ("0.5-8 keV", 0.1), ("0.3-8 keV", 0.15))[
            int(3.0 * reporter.random.random())
        ]
        error = 0.2 + 0.25 * reporter.random.random() ** 2 + widening
        found = reporter.measure("flux", facts.flux, error, LOG)
        if lot < 0.2:
            self.add("spectrum", _BRIGHT, word=reporter.word(found, words.BRIGHTNESS))
        elif lot < 0.55 and self.hosted and has_distance(facts):
            value = found.value * facts.luminosity / facts.flux
            found = reporter.again(found, "luminosity", value)
            self._luminosity(found, band, None, self._at())
        elif lot < 0.55 and self.has_redshift:
            self._luminosity(found, band, 1.0 / luminosity_over_flux(facts.redshift), "")
        else:
            number = self.numerals.value("flux", found, error=reporter.chance(0.15))
            self.add("spectrum", _FLUX, band=band, number=number)

    def _luminosity(
        self, found: Measurement, band: str, scale: float | None, distance: str
    ) -> None:
        if self.reporter.chance(0.25):
            number = self.numerals.logarithm("luminosity", found, scale=scale)
            self.add("spectrum", _LOG_LUMINOSITY, band=band, number=number, distance=distance)
        else:
            number = self.numerals.state("luminosity", found, scale=scale)
            self.add("spectrum", _LUMINOSITY, band=band, number=number, distance=distance)

    def _at(self) -> str:
        if not self.reporter.chance(0.6):
            return ""
        number = distance(self.facts, self.reporter, 0.08)
        return self.reporter.pick((" at {d}", " for a distance of {d}"), d=number)

    def sightline(self) -> None:
        """Write the Galactic column."""
        found = self.reporter.measure("foreground_nh", self.facts.foreground_nh, 0.12, LOG)
        self.add("context", _SIGHTLINE, number=self.numerals.value("column", found))

    def behaviour(self) -> None:
        """Write how such a source behaves."""
        if self.class_known:
            self.add("spectrum", words.BEHAVIOUR[self.facts.class_name])

    def meaning(self) -> None:
        """Write an interpretation."""
        if self.class_known:
            self.add("context", words.MEANING[self.facts.class_name])

    def other_wavelengths(self) -> None:
        """Write about other data."""
        self.add("context", _OTHER_WAVELENGTHS)

    def ending(self) -> None:
        """Write an outlook."""
        self.add("context", _ENDING)


# In the order of an abstract; each with its chance.
_PARTS: tuple[tuple[float, Callable[[_Abstract], None]], ...] = (
    (0.6, _Abstract.evidence),
    (0.55, _Abstract.redshift),
    (0.6, _Abstract.observations),
    (0.25, _Abstract.observations),
    (0.35, _Abstract.counts),
    (0.85, _Abstract.fit),
    (0.6, _Abstract.column),
    (0.4, _Abstract.hardness),
    (0.25, _Abstract.low_energies),
    (0.75, _Abstract.power),
    (0.45, _Abstract.behaviour),
    (0.08, _Abstract.sightline),
    (0.35, _Abstract.other_wavelengths),
    (0.55, _Abstract.meaning),
    (0.5, _Abstract.ending),
)
_PADDING = (
    _Abstract.observations,
    _Abstract.other_wavelengths,
    _Abstract.ending,
    _Abstract.evidence,
    _Abstract.behaviour,
    _Abstract.meaning,
)


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write the abstract, each sentence under the section it belongs to.

    Args:
        facts: what the literature has as true.
        reporter: writes and notes.
    """
    abstract = _Abstract(facts, reporter)
    length = FEWEST + (MOST - FEWEST) * reporter.random.random() ** 1.5
    abstract.open()
    composition = abstract.composition
    for chance, part in _PARTS:
        if composition.words < MOST - 25 and reporter.chance(chance):
            part(abstract)
    while composition.words < length:
        _PADDING[int(len(_PADDING) * reporter.random.random())](abstract)
    return composition.sections()


WRITER = Writer("source_paper", write, wrong=0.015, errors=1.0)

__all__ = ["WRITER"]
