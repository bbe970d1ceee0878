"""Words of the notice: scales, names of classes, and its sentences."""

from __future__ import annotations

from math import inf

from ..reporter import LabelTable, WordScale

COLOUR = WordScale(
    (
        (-0.7, "<very soft|supersoft>"),
        (-0.15, "<rather soft|soft>"),
        (0.35, "<moderately hard|slightly hard>"),
        (0.8, "<hard|clearly hard>"),
        (inf, "<very hard|strikingly hard>"),
    )
)
ABSORPTION = WordScale(
    (
        (0.1, "<negligible|no additional>"),
        (0.7, "some"),
        (4.0, "significant"),
        (60.0, "<strong|very strong>"),
        (inf, "<enormous|Compton-thick>"),
    )
)
BRIGHTNESS = WordScale(
    (
        (1e-13, "weak"),
        (7e-13, "<moderately bright|fairly bright>"),
        (inf, "bright"),
    )
)
SLOPE = WordScale(
    (
        (1.0, "<remarkably flat|very hard>"),
        (1.5, "<hard|flat>"),
        (2.2, "<ordinary|intermediate>"),
        (3.0, "<soft|steep>"),
        (inf, "<very soft|very steep>"),
    )
)

_AGN = "qso|seyfert1|seyfert2|lensed_qso"
_BINARY = "lmxb|hmxb|ulx|ulx_pulsar"
_WHITE_DWARF = "cv|cv_magnetic"
_DIFFUSE = "snr|hot_gas|cluster"
_GALACTIC = "lmxb|hmxb|cv|cv_magnetic|star|yso|ob_star|pulsar|msp|magnetar"
EXTENDED = frozenset(_DIFFUSE.split("|"))
CLASSES = LabelTable(
    "class",
    {
        "qso": ("a<| bright> quasar", "a distant quasar"),
        "qso|lensed_qso": ("a QSO <in outburst|undergoing a flare>",),
        "lensed_qso": ("a lensed <quasar|QSO>", "one of the images of a <lensed|macrolensed> QSO"),
        "seyfert1": ("a Seyfert 1", "an unusually active Sy1 nucleus"),
        "qso|seyfert1|lensed_qso": ("a broad-lined AGN", "a type I AGN"),
        "seyfert2": ("a Seyfert 2", "a Sy2 nucleus", "a narrow-lined AGN", "a type II AGN"),
        f"tde|{_AGN}": ("nuclear activity, <by|through> an AGN flare or a tidal disruption",),
        "tde": ("a TDE", "a thermal TDE", "a tidal disruption of a star", "a<| new> TDE candidate"),
        "lmxb": (
            "a<| new> LMXB",
            "a low mass X-ray binary <in a faint state|>",
            "a <neutron star|black hole> LMXB",
        ),
        "hmxb": (
            "a<| new> HMXB",
            "a Be/X-ray binary",
            "a wind-fed HMXB",
            "a high mass X-ray binary",
        ),
        "ulx": ("a ULX", "a<| new> ultraluminous source", "a transient ULX"),
        "ulx_pulsar": (
            "a ULX pulsar",
            "a PULX",
            "a super-Eddington <accreting |>X-ray pulsar",
        ),
        "cv_magnetic": (
            "an IP",
            "a polar or intermediate polar",
            "an mCV",
            "an intermediate polar CV",
        ),
        "cv": (
            "a dwarf nova <in or near outburst|>",
            "a non-magnetic CV",
            "an SU UMa-type dwarf nova",
        ),
        "star": ("a flaring M star", "a flare star", "an RS CVn system", "an active binary star"),
        "star|yso": ("a coronal flare", "a stellar coronal <source|event>"),
        "yso": ("a protostar", "a T Tauri star", "a flaring YSO", "a <weak-lined|classical> TTS"),
        "ob_star": ("an OB star", "a massive <O star|binary>", "a colliding-wind O star"),
        "snr": ("an SNR", "a <previously unseen |>supernova remnant", "a young SNR"),
        "hot_gas": ("hot interstellar gas", "a galactic wind", "the hot halo of the galaxy"),
        "cluster": ("a cluster of galaxies", "a massive galaxy cluster", "the ICM of a cluster"),
        "pulsar": ("a radio pulsar", "a rotation-powered PSR", "a PSR <and its nebula|>"),
        "msp": ("an MSP", "a <redback or black widow|redback> system", "a millisecond PSR"),
        "magnetar": (
            "a magnetar <in outburst|>",
            "an SGR",
            "an AXP",
            "a<| new> magnetar candidate",
        ),
        _AGN: ("a<| background> AGN", "an AGN <of some kind|>"),
        _BINARY: ("an X-ray binary, perhaps a ULX", "accretion onto a neutron star or black hole"),
        _WHITE_DWARF: ("a CV", "an accreting white dwarf"),
        f"{_BINARY}|{_WHITE_DWARF}": ("an accreting <binary|compact object>",),
        "star|yso|ob_star": ("a <normal |>star", "a stellar X-ray source"),
        "pulsar|msp|magnetar": ("<a non-accreting|an isolated> neutron star",),
        _DIFFUSE: ("<thermal emission of |>diffuse gas", "an extended plasma source"),
        _GALACTIC: ("a Galactic <source|object>",),
    },
)
MODELS = {
    "power_law": ("an absorbed power law", "tbabs*powerlaw", "a power law"),
    "black_body": ("a blackbody", "bbodyrad", "an absorbed blackbody", "tbabs*bbody"),
    "bremsstrahlung": ("bremsstrahlung", "tbabs*bremss", "a thermal bremsstrahlung model"),
    "plasma": ("an apec plasma", "tbabs*apec", "a mekal model", "an optically thin (apec) model"),
    "disk": ("a diskbb", "a disk blackbody", "a multi-temperature disk"),
}

DETECTION = (
    "We report the Chandra <X-ray |>detection of {src}{place} on {date}.",
    "We report <on a|a> {exposure} Chandra observation of {src}{place}, <obtained|performed> on"
    " {date}.",
    "<On|Starting on> {date}, Chandra/{chip} <detected|observed> {src}{place} in an exposure of"
    " {exposure}.",
    "A Chandra {too} <of|on> {src}{place} was <carried out|executed> on {date} (ObsID {obsid}).",
    "Chandra <clearly |>detects {src}{place} in <data taken|an observation> on {date}.",
    "<Following|After> {trigger}, we <obtained|requested> Chandra {chip} data of {src}{place} on"
    " {date}.",
    "Inspection of <recent|public> Chandra data reveals {src}{place} (observed on {date},"
    " {exposure}, PI: {pi}).",
    "<Further to|In reply to> ATel #{atel}, we report X-ray emission from {src}{place}, seen with"
    " Chandra on {date}.",
)
DETAILS = (
    "The <observation|exposure> (ObsID {obsid}) lasted {exposure} and <used|employed> {chip} in"
    " <faint|very faint|timed> mode.",
    "Data were <processed|reduced> with CIAO {ciao} and <CALDB 4|the latest calibration>.",
    "The position, {position} (J2000, error {arcsec} arcsec), <is consistent|agrees> with that of"
    " {trigger2}.",
    "<Boresight correction|Alignment to Gaia> gives {position} with a 90% <radius|uncertainty> of"
    " {arcsec} arcsec.",
    "No other source <is detected|is seen> within {radius} arcsec of <this|the> position.",
    "The <1/8|1/4|custom> subarray was <used|chosen> to <avoid|mitigate> pile-up, which is below"
    " {small}%.",
    "Swift/XRT <observed|visited> the field on {date2}, but the <short|{seconds} s> exposure <is"
    " not constraining|yielded no useful limit>.",
    "<NICER|NuSTAR> could not observe the <field|target> because of <a Sun constraint|visibility>.",
    "No <coherent|periodic> signal is found up to {hertz} Hz<|, given the frame time>.",
)
HISTORY = (
    "In <archival|earlier> Chandra data from {year}, the <source|object> was a factor of ~{factor}"
    " <fainter|brighter>.",
    "<It|The source> had <gone undetected|not been seen> in XMM-Newton slew data of {year}.",
    "This is the <first|second> time that it has been <caught|seen> since {year} (ATel #{atel}).",
    "The light curve within the <observation|exposure> is <flat|consistent with being"
    " constant|mildly variable>.",
    "<Between|Over> {year} and {year2}, Swift <recorded|saw> changes <of|by> a factor of {factor}.",
    "<ROSAT|Einstein> data show no source at this position.",
)
ELSEWHERE = (
    "ZTF <lists|shows> an object of g = {mag} mag at {sep} arcsec.",
    "Gaia <DR3 |>has a <star|source> of G = {mag} within the error circle, <but|although> a chance"
    " <alignment|coincidence> <is possible|has a probability of {small}%>.",
    "<MeerKAT data at 1.3|ATCA data at {ghz}|VLA observations at {ghz}> GHz <give|set> a 3-sigma"
    " limit of {ujy} uJy.",
    "A <Legacy Survey|Pan-STARRS> image shows <a|one> candidate counterpart with r = {mag}.",
    "No counterpart brighter than K = {mag} is <present|visible> in VVV or UKIDSS.",
    "<An optical|A near-infrared> spectrum taken with <FORS2|Gemini|SALT|NTT> on {date2} <is being"
    " reduced|will be reported elsewhere>.",
)
IDENTIFICATION = (
    "We <therefore |>suggest that {src} is {cls}.",
    "The <X-ray |>properties <are typical of|suggest|point to> {cls}.",
    "<All this|This behaviour> <is consistent with|argues for> {cls}.",
    "We <tentatively |>identify {src} as {cls}.",
    "<The most natural interpretation is|Most likely we see> {cls}.",
    "The source is <probably|most likely> {cls}.",
    "<Together with|Given> the <position|counterpart>, we classify the source as {cls}.",
    "<An identification with|The case for> {cls} is <strongest|favoured>.",
)
UNIDENTIFIED = (
    "The <nature|origin> of {src} is <unclear|not known>.",
    "A <firm |>classification must <await|wait for> <optical spectroscopy|a counterpart>.",
    "We <cannot|are unable to> <say|decide> <yet |>what <kind of object|sort of source> this is.",
)
COUNTS = (
    "{src} is detected with {counts} net counts in {exposure}.",
    "<Within|In> {exposure}, {counts} counts are <collected|extracted>, a rate of {rate}.",
    "The <background-subtracted|net> count rate is {rate} <over|in> {exposure}.",
    "We <extract|find> {counts} source counts (0.5-7 keV) in {exposure}.",
)
FLUX = (
    "The <absorbed|observed> {band} flux is {flux}.",
    "This <corresponds|translates> to {flux} ({band}, <absorbed|not corrected for absorption>).",
    "We <measure|derive> a flux of {flux} in {band}.",
    "<The source|{src}> is {bright_beside}, <at|with> F({band}) of {flux}.",
    "{src} is <currently |>{bright}.",
    "<The|Its> log flux ({band}, cgs) is {log_flux}.",
    "The flux, {flux} ({band}), <has a systematic error of|is uncertain by another> ~{small}% due"
    " to <calibration|the ARF>.",
)
LUMINOSITY = (
    "At {distance}, the {band} luminosity is {lum}.",
    "<Adopting|For> {distance}, we obtain L({band}) = {lum}.",
    "<This|The flux> implies Lx = {lum} at {distance}.",
    "Lx is {lum} <assuming|at> {distance}.",
)
# Spectral fits: {shape} is that of the model, {nh} its column.
FIT = (
    "The spectrum is <well |>fit <by|with> {model}, <with|yielding> {shape} and {nh}"
    " (<W-stat|C-stat>/dof = {stat}).",
    "<Fitting|A fit of> {model} <gives|results in> {nh} and {shape}<| (90% errors)>.",
    "{shape} and {nh} are <found|obtained> <from|in> a fit of {model}<| (chi2_nu = {chi})>.",
    "With nH fixed <to|at> {nh_fixed}, {model} gives {shape}.",
    "{model} <describes|reproduces> the {band} spectrum <well|acceptably> for {shape}.",
    "<Preliminary|First> <fits|modelling> with {model}: {shape}, {nh}, <W-stat|chi2>/dof = {stat}.",
    "Its spectrum, <modelled as|described by> {model}, has {shape}; {nh}.",
)
SLOPE_WORDS = (
    "<Fitted|Described> with a power law, the spectrum is {slope}.",
    "The <continuum|power law> is {slope_beside}, {shape}.",
)
COLOUR_WORDS = (
    "The spectrum is {colour} (too few counts for a fit).",
    "The source is {colour}<, based on its hardness ratio>.",
    "<Most|The bulk> of the photons <are as expected for|come from> a {colour} spectrum.",
    "The hardness ratio (2-7 keV against 0.5-1.2 keV) is {hr}.",
    "HR=(H-S)/(H+S)={hr}, <that is|i.e.,> {colour_beside}.",
)
ABSORPTION_WORDS = (
    "There is {thick} absorption.",
    "<The low energies|The data> <require|show> {thick} absorption<| along the line of sight>.",
    "{nh} <is needed|is required> to <fit|reproduce> the low energies.",
    "We <infer|find> {nh}.",
)
SECOND = (
    "<An additional|A second> component, {model2}, <improves the fit|is required at 3 sigma><|"
    " ({shape2})>.",
    "<Residuals|A systematic excess> <disappear|vanishes> <if|when> {model2} is added, {shape2}.",
    "<We also see|The data also show> {model2} with {shape2}.",
)
REQUESTS = (
    "Further <X-ray|multi-wavelength> observations are <encouraged|strongly encouraged>.",
    "<Optical|Infrared|Radio> follow-up is <requested|encouraged> <to|in order to>"
    " <establish|clarify> its nature.",
    "We <plan|have requested> <another|a second> Chandra <visit|pointing> in {days} days.",
    "Swift <monitoring|coverage> every {days} days has been <approved|requested>.",
    "<Spectroscopy|Photometry> of the counterpart is <desirable|urgently needed><| while it"
    " lasts>.",
    "<Searches for|A search for> <radio|gamma-ray|optical> emission <at|from> this position"
    " <are|is> <welcome|encouraged>.",
    "<Analysis|Work> is <continuing|ongoing> and <results|updates> will be <posted|reported>.",
)
THANKS = (
    "We thank the <CXC|Chandra> Director for <granting|approving> DDT <time|observations>.",
    "We thank the <Chandra|CXC> <planning|operations> team for the <rapid|quick> scheduling.",
    "We acknowledge the use of public data from the <Chandra|Chandra and Swift> archive.",
)
