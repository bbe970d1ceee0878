"""Words of the survey abstract: scales, names of classes, and sentences on surveys and samples."""

from __future__ import annotations

from math import inf

from ..reporter import WordScale

# Each step: adjective / noun.
ABSORPTION = WordScale(
    (
        (0.04, "unabsorbed/no <absorption beyond the Galactic value|measurable absorption>"),
        (0.3, "<mildly|only weakly> absorbed/<a low absorption column|little absorption>"),
        (2.0, "moderately absorbed/<intermediate|moderate> absorption"),
        (20.0, "<heavily|strongly> obscured/<heavy|strong> obscuration"),
        (inf, "<extremely obscured|buried>/<extreme|nearly Compton-thick> obscuration"),
    )
)
COLOUR = WordScale(
    (
        (-0.88, "<extremely soft|supersoft>"),
        (-0.4, "soft"),
        (0.1, "<of intermediate colour|neither soft nor hard>"),
        (0.62, "hard"),
        (inf, "<among the hardest|extremely hard>"),
    )
)
BRIGHTNESS = WordScale(
    (
        (4e-14, "<faint|near the faint end of our catalogue>"),
        (2e-13, "<fairly faint|of modest flux>"),
        (9e-13, "<relatively bright|at the bright end of the counts>"),
        (inf, "<among the brightest|very bright>"),
    )
)
SLOPE = WordScale(
    (
        (1.15, "<flat|very flat>"),
        (1.6, "<rather flat|flatter than average>"),
        (2.0, "<canonical|typical>"),
        (2.5, "steep"),
        (inf, "<ultra-steep|unusually steep>"),
    )
)
WARMTH = WordScale(
    (
        (0.13, "<ultrasoft|very cold>"),
        (0.4, "cool"),
        (1.1, "<sub-keV to keV|warm>"),
        (4.0, "<multi-keV|hot>"),
        (inf, "<very hot|high-temperature>"),
    )
)

# Columns, 1e22 cm⁻².
OBSCURED, COMPTON_THICK = 1.0, 120.0
AGN = "qso|seyfert1|seyfert2|lensed_qso"
COMPACT = "lmxb|hmxb|ulx|ulx_pulsar"
WHITE_DWARF = "cv|cv_magnetic"
STELLAR = "star|yso|ob_star"
NEUTRON_STAR = "pulsar|msp|magnetar"
DIFFUSE = "snr|hot_gas|cluster"
FAMILY = {
    name: family
    for family in (AGN, COMPACT, WHITE_DWARF, STELLAR, NEUTRON_STAR, DIFFUSE)
    for name in family.split("|")
} | {"tde": "tde"}

# By class, noun phrases and the classes that they allow.
CLASSES = {
    "qso": (
        ("<a|a radio-quiet|an optically selected> quasar", "qso"),
        ("a QSO", "qso|lensed_qso"),
        ("a <broad-line|type-1> AGN", "qso|seyfert1|lensed_qso"),
    ),
    "lensed_qso": (
        ("a <gravitationally|strongly> lensed quasar", "lensed_qso"),
        ("a quasar <split into several images|with multiple images>", "lensed_qso"),
    ),
    "seyfert1": (
        ("a Seyfert 1<| galaxy| nucleus>", "seyfert1"),
        ("a <broad-line|type-1> AGN", "qso|seyfert1|lensed_qso"),
        ("a <low-redshift|local> broad-line Seyfert<| galaxy>", "seyfert1"),
    ),
    "seyfert2": (
        ("a Seyfert 2<| galaxy| nucleus>", "seyfert2"),
        ("a <narrow-line|type-2> AGN", "seyfert2"),
        ("a <narrow-line|type-2> Seyfert", "seyfert2"),
    ),
    "tde": (
        ("a <tidal disruption event|TDE>", "tde"),
        ("a <candidate|likely> <tidal disruption event|stellar disruption flare>", "tde"),
        ("a star disrupted by <a|the> massive black hole <|in its host's nucleus>", "tde"),
    ),
    "lmxb": (
        ("a low-mass X-ray binary", "lmxb"),
        ("an LMXB<| candidate>", "lmxb"),
        ("an X-ray binary with a <low-mass|late-type> donor", "lmxb"),
    ),
    "hmxb": (
        ("a high-mass X-ray binary", "hmxb"),
        ("an HMXB<| candidate>", "hmxb"),
        (
            "a <compact object|neutron star> <accreting|fed> from <a Be|a massive|an OB> star",
            "hmxb",
        ),
    ),
    "ulx": (
        ("an <ultraluminous X-ray source|ULX>", "ulx"),
        ("an off-nuclear <ultraluminous source|ULX>", "ulx"),
    ),
    "ulx_pulsar": (
        ("a pulsating <ULX|ultraluminous X-ray source>", "ulx_pulsar"),
        ("an ultraluminous <X-ray |>pulsar", "ulx_pulsar"),
        ("a ULX powered by a <pulsing|magnetised> neutron star", "ulx_pulsar"),
    ),
    "cv_magnetic": (
        ("an intermediate polar", "cv_magnetic"),
        ("a magnetic cataclysmic variable", "cv_magnetic"),
        ("a<| candidate> magnetic CV", "cv_magnetic"),
    ),
    "cv": (
        ("a <non-magnetic |>cataclysmic variable", "cv"),
        ("a dwarf nova", "cv"),
        ("a CV <in quiescence|with a weakly magnetic white dwarf>", "cv"),
    ),
    "star": (
        ("an M dwarf", "star"),
        ("an active <K dwarf|late-type star>", "star"),
        ("a<| nearby> coronally active star", "star|yso"),
    ),
    "yso": (
        ("a<| low-mass> pre-main-sequence star", "yso"),
        ("a <T Tauri star|young stellar object>", "yso"),
        ("a<| deeply embedded| disc-bearing> YSO", "yso"),
    ),
    "ob_star": (
        ("an <O|early B>-type star", "ob_star"),
        ("a massive <OB|hot> star", "ob_star"),
        ("an early-type star <with a strong wind|of spectral type O>", "ob_star"),
    ),
    "snr": (
        ("a supernova remnant", "snr"),
        ("an <evolved|X-ray bright> SNR", "snr"),
        ("a shell-type remnant", "snr"),
    ),
    "hot_gas": (
        (
            "<diffuse|extended> emission from the hot <ISM|interstellar medium> <|of the galaxy>",
            "hot_gas",
        ),
        ("a <halo|corona> of hot gas around <the|its> galaxy", "hot_gas"),
    ),
    "cluster": (
        ("a <galaxy cluster|cluster of galaxies>", "cluster"),
        ("<the hot intracluster medium|intracluster gas> of a <rich |>cluster", "cluster"),
    ),
    "pulsar": (
        ("a <rotation-powered|young> pulsar", "pulsar"),
        ("a pulsar <with a faint wind nebula|spinning down at a high rate>", "pulsar"),
    ),
    "msp": (
        ("a millisecond pulsar", "msp"),
        ("a recycled <|radio >pulsar", "msp"),
        ("an MSP", "msp"),
    ),
    "magnetar": (
        ("a magnetar", "magnetar"),
        ("<an anomalous X-ray pulsar|a soft gamma repeater>", "magnetar"),
        ("a <highly magnetised|magnetically powered> neutron star", "magnetar"),
    ),
}
FAMILY_NAMES = {
    AGN: ("an AGN", "an active galactic nucleus", "an active nucleus <|of unknown type>"),
    COMPACT: (
        "an accreting <neutron star or black hole|compact object of stellar mass>",
        "an X-ray binary<| or ULX|, possibly ultraluminous>",
    ),
    WHITE_DWARF: (
        "an accreting white dwarf",
        "a cataclysmic variable<| of either kind|, magnetic or not>",
    ),
    STELLAR: ("<a|a bona fide> star", "a stellar <source|X-ray emitter>", "a Galactic star"),
    NEUTRON_STAR: (
        "a<n isolated| non-accreting> neutron star",
        "a neutron star <without accretion|that does not accrete>",
    ),
    DIFFUSE: ("extended <thermal|diffuse> emission", "a <patch|region> of <hot|diffuse> gas"),
    "tde": ("a <tidal disruption event|TDE>",),
}

# By kind of field, the first sentence on a survey of it.
FIELD_OPENINGS = {
    "survey": (
        "We present <the|a> <deep|medium-deep> Chandra survey of {host}, <covering|which covers>"
        " {area} deg^2 to a <limiting flux|flux limit> of {limit}.",
        "{Host} has been <imaged|mapped> with <Chandra|ACIS-I> for {exposure}, <yielding|giving>"
        " {n} X-ray sources<| above a flux of {limit}>.",
        "The {exposure} Chandra <survey|mosaic> of {host} <is|was> designed to <bridge the gap"
        " between pencil-beam and shallow surveys|sample the knee of the luminosity function>.",
    ),
    "galaxy": (
        "We <present|report> a <census|catalogue|study> of the X-ray <source |>population of"
        " {host}<| at {dist}>, <based on|from> {fields} Chandra <observations|pointings> with a"
        " total exposure of {exposure}.",
        "X-ray binaries trace the <stellar mass|star formation> of galaxies. <Here we|We>"
        " <catalogue|characterise> {n} sources within the D25 <ellipse|isophote> of {host}.",
        "<Deep|Archival> Chandra data of the <|nearby >galaxy {host}<| (D = {dist})>"
        " <reveal|contain> {n} sources <brighter than|down to> {limit}.",
    ),
    "globular": (
        "We <study|investigate> the faint X-ray sources of the globular cluster {host}<| at"
        " {dist}> <with|using> {exposure} of Chandra data.",
        "Globular clusters <are efficient factories of|overproduce> compact binaries. In {host} we"
        " <detect|find> {n} X-ray sources within the <half-mass|half-light> radius.",
        "<A|Our> {exposure} <ACIS-S observation|exposure> of the globular cluster {host}"
        " <resolves|uncovers> {n} sources<| inside its core radius|>.",
    ),
    "nursery": (
        "We present <a|the> Chandra <study|census> of the <star-forming region|young complex>"
        " {host}<| ({dist})>, in which {n} sources are detected in {exposure}.",
        "The stellar population of {host}<|, at {dist},> is <traced|selected> free of disc bias"
        " through its X-rays. Our <ACIS-I mosaic|survey> <contains|lists> {n} members.",
        "X-ray surveys <find|pick out> young stars with and without discs. <For|Toward> {host} we"
        " <combine|match> {n} Chandra sources with <near-infrared|Spitzer> photometry.",
    ),
    "cluster": (
        "We <examine|study> the X-ray sources <toward|in the direction of> the galaxy cluster"
        " {host} <using|with> {exposure} of Chandra imaging.",
        "<We test|We revisit> whether dense environments <quench|trigger> nuclear activity,"
        " <using|with> {n} Chandra sources in the field of the cluster {host}.",
        "The Chandra field of the galaxy cluster {host} <holds|contains> {n} sources <down"
        " to|above> {limit}, <which|all of which> we <characterise|catalogue>.",
    ),
    "plane": (
        "We present a Chandra survey of {host}, <covering|spanning> {area} deg^2 of the Galactic"
        " plane<| with {fields} pointings>.",
        "The <nature|composition> of the <hard |>Galactic X-ray population is <still|not>"
        " <debated|settled>. In {host} we <detect|find> {n} sources in {exposure}.",
        "<Shallow|Tiled> ACIS observations of {host} <yield|give> {n} sources, <many|most> of them"
        " <without a counterpart|not known before>.",
    ),
}
CLASS_OPENINGS = {
    AGN: (
        "We <analyse|study> the X-ray properties of {n} active galactic nuclei <selected from|in>"
        " <the Chandra archive|a mid-infrared survey|SDSS>.",
        "<The obscured fraction|Obscuration> of AGN <depends on|changes with> luminosity. We"
        " revisit <this|the matter> <with|using> {n} AGN observed <on- and"
        " off-axis|serendipitously> by Chandra.",
    ),
    COMPACT: (
        "We <compile|present> a sample of {n} accreting neutron stars and black holes, <from"
        " ordinary binaries to|including> ultraluminous sources, with Chandra spectra.",
    ),
    WHITE_DWARF: (
        "<Accreting white dwarfs dominate|Cataclysmic variables make up much of> the hard emission"
        " of the Galaxy. We <present|study> {n} of them <observed|detected> with Chandra.",
    ),
    STELLAR: (
        "We <present|assemble> a catalogue of {n} stars detected by Chandra, <from"
        " pre-main-sequence objects to|including> <M dwarfs and OB stars|field dwarfs and massive"
        " stars>.",
    ),
    NEUTRON_STAR: (
        "We <examine|compare> the soft X-ray <emission|spectra> of {n} neutron stars that do not"
        " accrete: <ordinary, recycled and|young pulsars, millisecond pulsars and> magnetars.",
    ),
    DIFFUSE: (
        "We <search|have searched> the Chandra archive for extended emission and <report|list> {n}"
        " <objects|detections>, among them remnants, galaxies and clusters.",
    ),
    "tde": (
        "We <report|present> {n} X-ray selected tidal disruption events <found|identified> by"
        " <comparing|cross-matching> <surveys taken years apart|eROSITA, XMM-Newton and Chandra>.",
    ),
}
GENERAL_OPENINGS = (
    "We present a <wide-area|serendipitous> X-ray catalogue of {n} sources <drawn|compiled> from"
    " {fields} Chandra <observations|fields>, <covering|over> {area} deg^2.",
    "We <train a <random forest|neural network> on|apply a <gradient-boosted tree|neural network>"
    " to> {n} Chandra sources with <multiwavelength|optical to mid-infrared> photometry and"
    " <assign|obtain> <class probabilities|probabilistic classes> for each.",
    "<Time-domain|Variability> information is <rarely|seldom> used in X-ray catalogues. We"
    " <search|analyse> {years} years of Chandra data for <long-term|inter-observation> variability"
    " among {n} sources.",
    "We <cross-match|correlate> the Chandra <Source Catalog|archive> with <Gaia|a deep radio"
    " survey|the eROSITA catalogue|LOFAR>, and <find|obtain> {n} <reliable|secure> associations.",
    "<The identification|Identification> of serendipitous X-ray sources <remains|is>"
    " <incomplete|biased to optically bright objects>. We <obtained|present>"
    " <optical|near-infrared> spectroscopy for the counterparts of {part}.",
    "<Large|All-sky> X-ray surveys <call for|require> <follow-up with|the positions of> Chandra."
    " We <have targeted|observed> {n} <unidentified|poorly localised> sources in snapshots of"
    " {exposure} in total.",
)
# Sentences on the sample, which say nothing about any one source.
CONTEXT = (
    "The <catalogue|survey> is <{p1}|{p2}> per cent complete at {limit}, <with|and we expect>"
    " fewer than {small} spurious <detections|entries>.",
    "We <compute|derive> the number counts, which <agree|are consistent> with <previous|earlier>"
    " work <above|down to> {limit}.",
    "<Astrometry was|Positions were> tied to Gaia, <leaving|with> a <median|typical> uncertainty"
    " of {arcsec} arcsec.",
    "<Optical or infrared|Reliable> counterparts are <found|proposed> for {p1} per cent of the"
    " sample<|, with a false-match rate of {p3} per cent>.",
    "<Source detection|Detection> was <run|performed> <with|using> wavdetect in <three|four>"
    " bands, and photometry <extracted|measured> with ACIS Extract.",
    "<Each|Every> detection was <screened|inspected> <by eye|visually> and {p3} per cent were"
    " <rejected|removed>.",
    "The <resulting|integrated> luminosity function is <a power law|well described by a broken"
    " power law> with a <differential |>slope of {lf}.",
    "The <cumulative|differential> counts <flatten|break> at {flux2}, where {p2} per cent of the"
    " background is resolved.",
    "<Long-term|Inter-epoch> variability by more than a factor of <two|three> is <seen|found> in"
    " {p3} per cent of the <objects|sample>.",
    "<Upper limits|Sensitivity maps> are provided <for|at> all positions<| within the field of"
    " view>.",
    "<We stress|Note> that <small numbers limit|cosmic variance limits> any comparison"
    " <between|of> subsamples.",
    "We <discuss|quantify> <Eddington bias and its|selection effects and their> <effect|influence>"
    " on <population statistics|the counts>.",
    "<Radio|ALMA> data are available for {part2} <objects|sources> and will be"
    " <presented|discussed> <elsewhere|in a companion paper>.",
    "<X-ray|Serendipitous> surveys <suffer less from|are less affected by> extinction than"
    " <optical|ultraviolet> ones<|, but need long exposures>.",
    "<Exposures|Pointings> <overlap|are tiled> such that {p1} per cent of the area <has|received>"
    " at least <two|three> visits.",
    "<Simulations|Mock images> <show|indicate> that source confusion <matters|is relevant> <only"
    " |>below {limit}.",
    "<Spectroscopic redshifts|Spectra> <were|have been> <obtained|collected> for {part} of the"
    " <counterparts|optical counterparts> with <VIMOS|Keck|Hectospec|MUSE>.",
    "The <sky coverage|footprint> <overlaps|coincides> with <HST|Euclid|VISTA|Spitzer> imaging,"
    " <so that|and> most <hosts|counterparts> are <resolved|detected>.",
    "<Edges of the field|Chip gaps> and <off-axis angles|exposures> beyond <8|10> arcmin are"
    " <excluded|masked> from the <statistical analysis|sample>.",
    "<Background subtraction follows|Aperture corrections follow> the <catalogue|Source Catalog>"
    " pipeline, <with|and> <systematics|residual errors> of {p3} per cent.",
    "<Comparison|A comparison> with XMM-Newton <gives|shows> <consistent|compatible> fluxes for"
    " {p1} per cent of the <objects|detections> in common.",
    "<Observations|The data> were taken between {year1} and {year2} and <reduced|reprocessed>"
    " <homogeneously|with CIAO>.",
)
IDENTITY = {
    "survey": (
        "<Of|Among> the classified sources, {p1} per cent are AGN, {p3} per cent normal galaxies"
        " and the <rest|remainder> stars.",
        "<Type-1|Broad-line> objects <make up|account for> {p2} per cent of the"
        " <identified|spectroscopic> sample, and {part2} sources have z {above} 3.",
    ),
    "galaxy": (
        "<We classify|Colours suggest> {part} <X-ray binaries|sources as X-ray binaries>, {small}"
        " <as |>supernova remnants and {small2} <as |>ultraluminous sources, <besides|with>"
        " {part2} <likely|probable> background AGN.",
        "<High-mass systems|HMXBs> <outnumber|are fewer than> <low-mass ones|LMXBs> <in the"
        " disc|outside the bulge>, and {small} <objects|sources> exceed 10^39 erg s^-1.",
    ),
    "globular": (
        "<We identify|There are> {small} quiescent <low-mass X-ray binaries|LMXBs>, {part2}"
        " <probable|candidate> CVs, {small2} millisecond pulsars and <several|a few> active"
        " binaries.",
        "The <numbers|counts> scale with the encounter rate as in <other clusters|47 Tuc>, with"
        " {part2} <CVs|cataclysmic variables> <expected|predicted>.",
    ),
    "nursery": (
        "<Disc-bearing|Class II> <stars|members> make up {p2} per cent, <and|while> {small} OB"
        " stars <dominate|provide> the <ionising flux|feedback>.",
        "<About|Some> {p3} per cent are <contaminants|foreground dwarfs or background galaxies>,"
        " <the rest being|others are> pre-main-sequence stars<| of {part2} subclusters>.",
    ),
    "cluster": (
        "<Spectroscopy shows|Redshifts show> that {part2} <of them |>are cluster members and {p1}"
        " per cent background AGN.",
        "The AGN fraction <of member galaxies|among members> is {p3} per cent, <lower|higher> than"
        " in the field.",
    ),
    "plane": (
        "<Cataclysmic variables|Magnetic CVs> <dominate|make up {p2} per cent>, <followed|besides>"
        " by {part2} <coronal|stellar> sources and {small} neutron stars.",
        "{small} <sources|objects> coincide with radio pulsars and {part2} with <massive|OB>"
        " stars, <while|but> {p1} per cent <are|stay> unclassified.",
    ),
    "": (
        "<The classifier|Our scheme> <labels|sorts> {p1} per cent as AGN, {p3} per cent as stars"
        " and {part2} as compact objects, <with|at> an accuracy of {accuracy} per cent.",
        "<Of these,|In all,> {part2} are <X-ray binaries|CVs>, {p1} per cent <extragalactic|AGN>"
        " and {p3} per cent <remain ambiguous|lack any counterpart>.",
        "<We find|The sample includes> {small} <new |>cluster candidates, {part2} flaring stars"
        " and {small2} <candidate |>pulsars.",
    ),
}
CLASS_COUNTS = {
    AGN: ("<Type 1|Broad-line> objects make up {p2} per cent, and {small} <quasars |>are lensed.",),
    COMPACT: (
        "{p2} per cent have low-mass donors, <others|some> massive ones, and {small} <pulsate|are"
        " ULXs>.",
    ),
    WHITE_DWARF: (
        "<Intermediate polars|Magnetic systems> <make up|are> {p2} per cent<| of them>.",
    ),
    STELLAR: (
        "<They include|The sample holds> {part} M dwarfs, {part2} young stars and {small} OB"
        " stars.",
    ),
    NEUTRON_STAR: (
        "{part} are <young |>pulsars, {part2} <recycled|millisecond ones> and {small} magnetars.",
    ),
    DIFFUSE: (
        "<The majority|Most> are <clusters|groups and clusters>, <with|and> {small} remnants.",
    ),
    "tde": ("{small} of them were <also|independently> <found|flagged> in optical surveys.",),
}
SPECTRUM = (
    "<Assuming|For> a photon index of {gone}, count rates were converted <to|into> fluxes in the"
    " 0.5-7 keV band.",
    "<Soft|Hard> sources (HR {above} {hmed}) <dominate|prevail> <below|above> {flux2}.",
    "The <hard-band|2-7 keV> detections number {part}, and {part2} have no soft-band"
    " <counterpart|detection>.",
    "The <stacked|co-added> spectrum of the <faintest|undetected> <objects|sources> has {gmean}.",
    "<The sample has|We find> a mean photon index of {gbare} with <an intrinsic|a>"
    " <dispersion|scatter> of {gsig}<|, independent of flux>.",
    "The median flux <of the catalogue|of the detections> is {flux2}, <while|and> half of them lie"
    " between {limit} and {flux3}.",
    "<Hardness ratios|Colours> <range|extend> from {hlow} to {hhigh}, <with|and have> a median of"
    " {hmed}.",
    "<Columns|Column densities> above {nhcut} are <required|inferred> for {p2} per cent of the"
    " <sample|sources with enough counts>.",
    "<Thermal models are|A thermal plasma is> preferred <|over power laws >for {p3} per cent, with"
    " temperatures <between {klow} and|of {klow} to> {khigh} keV.",
    "<Spectral fits|Fits> are <given|tabulated> for the {part} <objects|sources> with more than"
    " {cut} counts.",
    "The <average|typical> <extinction-corrected|intrinsic> luminosity of the population"
    " <changes|varies> by {gsig} dex <between|across> subsamples.",
    "<No trend|A weak trend> of <spectral slope|hardness> with flux is <seen|apparent> over the"
    " <ensemble|full catalogue>.",
)
# Sentences on somebody else.
OTHERS = (
    "The brightest object <in the catalogue|of all>, {other}, has {cut2} counts and <serves|was"
    " used> for the <astrometric |cross->calibration<| of the mosaic>.",
    "<Another|A further> source, {other}, is <far softer|much harder> and <was|is> discussed"
    " <separately|elsewhere> (HR = {hhigh}).",
    "<By contrast, a|A> second source, {other}, <needs|shows> {gmean}, the <flattest|steepest> of"
    " <the sample|all>.",
    "The <most|second most> luminous <member|object> of the <catalogue|list> is {other}, <a"
    " known|an established> variable<|, at {flux4}>.",
    "The <largest|highest> column <in the catalogue|of the sample>, {nhcut}, <belongs to|is that"
    " of> {other}.",
)
CLOSINGS = (
    "<The full catalogue|All data products> <is|are> <available|released> <online|at the CDS>.",
    "<These|Our> results <show|demonstrate> the <value|power> of <serendipitous|archival> X-ray"
    " data <ahead of|for planning> <Athena|AXIS|future missions>.",
    "<We conclude|It follows> that <deeper|repeated> observations <are needed|would be required>"
    " to settle the <nature|makeup> of the faintest <population|sources>.",
    "<Implications|Consequences> for <population synthesis|models of the population> are"
    " <discussed|briefly outlined>.",
    "<Spectroscopic|Follow-up> campaigns with <4MOST|DESI|WEAVE> will <complete|extend> the"
    " identification <programme|of the rest>.",
    "The <approach|method> is <readily|easily> <applied|extended> to <the eROSITA|other>"
    " <all-sky|archival> <data|surveys>.",
)
