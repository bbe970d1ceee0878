"""Templates of sentences of the abstract, by topic."""

from __future__ import annotations

from ....source_classes import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW

OPENING = (
    "<We present|We report|This paper presents> <a detailed|an> X-ray <study|analysis> of {name}, "
    "{a_noun}{place}.",
    "<The nature and X-ray properties|X-ray properties> of the {noun} {name}{place} are "
    "<investigated|examined>.",
    "{name} is {a_noun}{place}<| that has received <little|some> attention in X-rays>.",
    "<Chandra observations|High-resolution X-ray observations> of {name}{place} <are used to|allow "
    "us to> <establish|confirm> its nature as {a_noun}.",
    "<The aim of this work is to characterise|We aim to understand> {name}, {a_noun}{place}.",
    "<We identify|We argue for an identification of> {name}{place} as {a_noun}.",
    "<Little is known about|We revisit> the {noun} {name}{place}.",
)
REDSHIFT = (
    "<Spectroscopy|An optical spectrum> <places it at|yields a redshift of> {z}.",
    "<Its|The spectroscopic> redshift is {z}.",
    "<Emission lines|Absorption features> <are redshifted to|give> {z}.",
)
UNKNOWN = (
    "X-ray source of <uncertain|unknown> nature",
    "<unclassified|unidentified> X-ray source",
)
OBSERVED = (
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
    "<Quoted|Our> <errors|uncertainties> <include|do not include> <those of the "
    "calibration|systematic terms>.",
    "<We|In this paper, we> <combine|stack> {n} <exposures|pointings> <taken|made> <between {year} "
    "and 2024|since {year}>.",
    "<Light curves|Time series> were <binned to {n}00 s|searched with Bayesian blocks>.",
    "<Models|Spectral models> were <compared|ranked> by <BIC|the Akaike criterion>.",
    "<Background|The background> was taken from <an annulus|source-free regions> on the same chip.",
)
COUNTS = (
    "<The observations|Our data> <yield|contain> {counts} from the source.",
    "<After screening|In total>, {counts} <were collected|are available for spectroscopy>.",
)
OTHER_WAVELENGTHS = (
    "<Radio observations|VLA maps> <at {ghz} GHz|taken within a month> <set only an upper limit|"
    "detect a source of {n}0 microjansky>.",
    "<Pan-STARRS|HST|Gemini> images <show a crowded field|are used to correct the astrometry>.",
    "<No gamma-ray source|No Fermi-LAT source> is known at this position.",
    "<The WISE|Spitzer> <images|colours> <will be published|are presented> <elsewhere|in an "
    "appendix>.",
    "<The astrometric solution|Our position> is accurate to 0.{n} arcsec.",
    "<GALEX|Swift/UVOT> and <2MASS|WISE> magnitudes are <listed|tabulated>.",
    "<The catalogue of neighbours|Photometry of neighbouring objects> <is given in a table|will be "
    "the subject of a companion paper>.",
    "<A neutrino|A gravitational-wave> search at this position <found nothing|was negative>.",
    "<ALMA|Millimetre> <observations|data> of the <field|region> <are not yet available|have been "
    "scheduled>.",
)
ENDING = (
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
GALACTIC_PLACES = {
    "galaxy": ("in {host}", "in the <spiral|nearby galaxy|galaxy> {host}"),
    "globular": ("in <the globular cluster |the core of |>{host}",),
    "nursery": ("in <the star-forming region |the young association |>{host}",),
    "plane": ("in {host}", "<projected on|towards> {host}"),
    "survey": ("in {host}", "<serendipitously found|detected> in {host}"),
    "cluster": ("<at the position of|coincident with> {host}",),
}
FAR_PLACES = {
    "galaxy": ("<behind|close to> the galaxy {host}", "in the <field|direction> of {host}"),
    "survey": ("in {host}", "<serendipitously found|detected> in {host}"),
    "cluster": ("in the field of <the cluster |>{host}", "behind the <rich |>cluster {host}"),
}
MODELS = {
    POWER_LAW: "<power law|absorbed power law|power-law continuum>",
    BLACK_BODY: "<blackbody|single blackbody|blackbody model>",
    BREMSSTRAHLUNG: "<thermal bremsstrahlung model|bremsstrahlung continuum>",
    PLASMA: "<thermal plasma|APEC plasma|collisional plasma (APEC)|optically thin plasma>",
    DISK: "<multicolour disc|disc blackbody|DISKBB component>",
}
FIT = (
    "<Its spectrum|The X-ray spectrum> <is well fitted|can be described|is well reproduced> by "
    "{a_model}{shape}.",
    "<We fit|We model> the <0.5-7 keV|broad-band> spectrum with {a_model}{shape}.",
    "<A good|The best> <fit|description of the data> is <achieved with|provided by> "
    "{a_model}{shape}.",
    "<Spectral fits|Fits> <prefer|favour> {a_model}{shape}<| over the alternatives>.",
    "<To first order|Overall>, the <data|spectra> <follow|are consistent with> {a_model}{shape}.",
)
SECOND = (
    "<An additional|A second> {model}{shape} is <required|significant at {n}.{n} sigma|needed at "
    "high confidence>.",
    "<The fit improves|Residuals vanish> with the addition of {a_model}{shape}.",
    "<We also find|There is also> evidence for {a_model}{shape}.",
)
SLOPE = (
    "<The power law|Its power law> is {word}.",
    "<The continuum|Its power-law continuum> is {word}<, as the fits show|>.",
)
HEAT = (
    "<The emission|The spectrum> <is that of|comes from> {a_word} emitter.",
    "<This|The fit> <implies|indicates> {a_word} component.",
)
HARD = (
    "<The source|It> is {word} <in X-rays|in the Chandra band>.",
    "<The hardness ratios show|X-ray colours indicate> that it is {word}.",
)
LOW = (
    "<The spectrum|Its spectrum> <shows|has> {word}.",
    "<At the low-energy end|In the softest band> we <find|note> {word}.",
)
COLUMN = (
    "<The source|It> is {word}.",
    "<We conclude that the source|Our fits show that it> is {word}{number}.",
)
COLUMN_NUMBER = (
    "<The column density|Absorption along the line of sight> <is|amounts to> {number}.",
    "<The fitted column|The total absorbing column> is {number}<|, including the Galactic part>.",
    "<We obtain|We measure> {number} <for the absorber|from the spectral fit>.",
)
COLUMN_LIMIT = ("<We find|Fits give> {number} <for the absorber|with 90 per cent confidence>.",)
FLUX = (
    "<The absorbed|The observed> {band} flux is {number}.",
    "<In the {band} band|Over {band}>, the source <has a flux of|reaches> {number}.",
    "<We measure|Our data give> a {band} flux of {number}.",
)
LUMINOSITY = (
    "<The X-ray luminosity|The observed luminosity> is {number}{distance}.",
    "<This corresponds to|It radiates> {number}<| in the Chandra band>{distance}.",
    "<We derive|We infer> {number} for the {band} luminosity{distance}.",
)
LOG_LUMINOSITY = ("<Its observed|The> {band} luminosity is {number} (in erg/s){distance}.",)
BRIGHT = ("<In X-rays the source|The source> is {word}.", "<It|The object> is {word}.")
METALS = (
    "<The metallicity|The metal abundance> is {number}.",
    "<We find|The lines indicate> an abundance of {number}.",
)
SIGHTLINE = ("<The Galactic column|Foreground absorption><| in this direction> is {number}.",)

__all__ = [
    "BRIGHT",
    "COLUMN",
    "COLUMN_LIMIT",
    "COLUMN_NUMBER",
    "COUNTS",
    "ENDING",
    "FAR_PLACES",
    "FIT",
    "FLUX",
    "GALACTIC_PLACES",
    "HARD",
    "HEAT",
    "LOG_LUMINOSITY",
    "LOW",
    "LUMINOSITY",
    "METALS",
    "MODELS",
    "OBSERVED",
    "OPENING",
    "OTHER_WAVELENGTHS",
    "REDSHIFT",
    "SECOND",
    "SIGHTLINE",
    "SLOPE",
    "UNKNOWN",
]
