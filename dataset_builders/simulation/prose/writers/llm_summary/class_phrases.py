"""Phrases for the classes: names, evidence, behaviour, and reasons for interest."""

from ...reporter import LabelTable

NAMES = LabelTable(
    "class",
    {
        "qso": (
            "a quasar",
            "a <luminous|broad-line|radio-quiet|distant> quasar",
            "a quasi-stellar object (QSO)",
            "an optically <selected|identified> quasar",
        ),
        "qso|seyfert1|seyfert2|lensed_qso": (
            "an active galactic nucleus<| (AGN)>",
            "an <|X-ray-selected |accreting supermassive black hole, i.e. an >AGN",
        ),
        "qso|seyfert1": ("a <broad-line|Type 1|type-1, unobscured> AGN",),
        "seyfert1": (
            "a Seyfert 1 galaxy",
            "a <Type 1|broad-line> Seyfert<| galaxy>",
            "a nearby Seyfert galaxy with broad <Balmer|optical> lines",
        ),
        "seyfert2": (
            "a Seyfert 2 galaxy",
            "an obscured <(Type 2) |>AGN",
            "a <Type 2|narrow-line> active <nucleus|galaxy>",
            "a Seyfert galaxy of Type 2, <viewed through its torus|with a hidden nucleus>",
        ),
        "lensed_qso": (
            "a <strongly|gravitationally> lensed quasar",
            "a multiply imaged quasar",
            "a quasar lensed by a foreground galaxy",
        ),
        "lmxb": (
            "a low-mass X-ray binary<| (LMXB)>",
            "an LMXB<| candidate>",
            "a neutron star <accreting from a low-mass companion|low-mass X-ray binary>",
        ),
        "lmxb|hmxb": (
            "an X-ray binary<| candidate>",
            "an accreting compact object in a binary<| system>",
        ),
        "hmxb": (
            "a high-mass X-ray binary<| (HMXB)>",
            "a <Be/X-ray binary|supergiant X-ray binary|wind-fed HMXB>",
            "an accreting X-ray pulsar with a massive companion",
        ),
        "ulx|ulx_pulsar": (
            "an ultraluminous X-ray source<| (ULX)>",
            "a <ULX|ULX candidate|off-nuclear ULX>",
        ),
        "ulx_pulsar": (
            "a pulsating ultraluminous X-ray source<| (PULX)>",
            "a ULX <powered by a neutron star|that hosts a pulsar>",
        ),
        "cv|cv_magnetic": (
            "a cataclysmic variable<| (CV)>",
            "an accreting white dwarf<| in a close binary>",
        ),
        "cv": (
            "a <dwarf nova|non-magnetic CV|nova-like variable>",
            "a quiescent dwarf nova",
        ),
        "cv_magnetic": (
            "a magnetic cataclysmic variable",
            "an intermediate polar<| (IP)>",
            "<a polar|an AM Her-type system|a DQ Her-type system>",
        ),
        "star": (
            "a coronally active <|late-type >star",
            "an <active|X-ray-emitting> <M dwarf|late-type star|K dwarf|flare star>",
            "<an RS CVn|an Algol|a BY Dra>-type <star|system>",
        ),
        "star|yso|ob_star": ("a stellar X-ray source", "a Galactic star detected in X-rays"),
        "yso": (
            "a young stellar object<| (YSO)>",
            "a <classical|weak-lined|> T Tauri star",
            "a pre-main-sequence star<| with a disk>",
            "a <protostar|Class II young star|Class I object>",
        ),
        "ob_star": (
            "<an O-type|an early-type|a massive OB|an early B-type> star",
            "a massive star with a <strong|powerful, line-driven> stellar wind",
        ),
        "snr": (
            "a supernova remnant<| (SNR)>",
            "an <extragalactic |>SNR<| candidate>",
            "the remnant of a <core-collapse|thermonuclear|past> supernova",
        ),
        "snr|hot_gas|cluster": ("an extended<|, diffuse> X-ray source",),
        "cluster": (
            "a galaxy cluster",
            "a <rich|massive|relaxed> cluster of galaxies",
            "the <hot |>intracluster medium <(ICM) |>of a galaxy cluster",
        ),
        "hot_gas": (
            "diffuse hot gas <in a galaxy|in and around its host galaxy>",
            "a hot gaseous halo",
            "the hot interstellar medium <(ISM) |>of a galaxy",
        ),
        "pulsar": (
            "a rotation-powered pulsar",
            "a <young|middle-aged|gamma-ray> pulsar",
            "a pulsar <with a wind nebula|powering a pulsar wind nebula (PWN)>",
        ),
        "pulsar|msp|magnetar": ("a neutron star", "a compact object, most likely a neutron star"),
        "msp": (
            "a millisecond pulsar<| (MSP)>",
            "a recycled <|millisecond >pulsar",
            "a <redback|black widow|binary> millisecond pulsar",
        ),
        "magnetar": (
            "a magnetar",
            "an anomalous X-ray pulsar<| (AXP)>",
            "a <soft gamma repeater|soft gamma-ray repeater (SGR)>",
            "a <highly magnetized|strongly magnetized> neutron star<, or magnetar|>",
        ),
        "tde": (
            "a tidal disruption event<| (TDE)>",
            "a <TDE candidate|thermal TDE|candidate stellar tidal disruption>",
            "a nuclear transient <consistent with|interpreted as> a tidal disruption",
        ),
    },
)
# Slots: magnitude, mass, hours, seconds, arcsec, years, period.
EVIDENCE = LabelTable(
    "class",
    {
        "qso": (
            "Its optical spectrum <features|displays|exhibits> broad emission lines<, including "
            "<C IV|Mg II|Lyα>,|> <typical|characteristic> of quasars.",
            "The identification is <supported|strengthened> by <its blue colors|mid-infrared "
            "colors|its inclusion in a spectroscopic quasar catalog>.",
            "<Spectroscopic follow-up|Optical spectroscopy> confirmed <its extragalactic nature|"
            "the presence of an accreting supermassive black hole>, with an optical counterpart of "
            "about {magnitude:.1f} mag.",
        ),
        "seyfert1": (
            "Broad <Hα and Hβ|Balmer> emission lines in the optical spectrum <support|underpin> "
            "this classification.",
            "The central black hole mass is estimated at roughly {mass} million solar masses<, "
            "based on reverberation mapping|>.",
            "The active nucleus <resides in|is hosted by> a <barred spiral|disk-dominated|"
            "relatively undisturbed> galaxy.",
        ),
        "seyfert2": (
            "The optical spectrum shows only narrow emission lines<, consistent with a hidden "
            "broad-line region|>.",
            "Spectropolarimetry <reveals|has revealed> scattered broad lines<, supporting the "
            "unified model|>.",
            "Its classification is based on <narrow-line ratios|high-ionization narrow lines> in "
            "diagnostic diagrams.",
        ),
        "lensed_qso": (
            "<High-resolution imaging|HST imaging> resolves the system into multiple images with "
            "separations of about an arcsecond.",
            "The lens is <an early-type galaxy|a massive elliptical>, and the images share "
            "<nearly identical|the same> optical spectra.",
            "Time delays <between|among> the images have been <measured|constrained>.",
        ),
        "lmxb": (
            "The lack of a bright optical counterpart <supports|is consistent with> a low-mass "
            "donor star.",
            "Thermonuclear (type I) X-ray bursts <confirm|have confirmed> a neutron star accretor.",
            "<Its location in|An association with> an old stellar population <favors|points to> a "
            "low-mass companion.",
        ),
        "hmxb": (
            "<An early-type|A blue> optical counterpart with Hα emission has been <reported|"
            "identified> <|at magnitude {magnitude:.1f}>.",
            "Coherent pulsations with a period of about {seconds} s <establish|indicate> a "
            "neutron star accretor.",
            "Its location near young stellar populations <supports|is consistent with> this "
            "interpretation.",
        ),
        "ulx|ulx_pulsar": (
            "It lies well outside the nucleus of its host<, ruling out an active nucleus|>.",
            "The source is <surrounded by|embedded in> an ionized <bubble|nebula>.",
        ),
        "ulx": (
            "Its apparent luminosity exceeds the Eddington limit of a stellar-mass black hole<, "
            "implying super-Eddington accretion or a more massive black hole|>.",
        ),
        "ulx_pulsar": (
            "Pulsations at {spin:.1f} s <unambiguously|clearly> identify the accretor as a "
            "neutron star.",
            "The detection of coherent pulsations <rules out|excludes> a black hole.",
        ),
        "cv": (
            "Optical monitoring reveals dwarf nova outbursts <every few weeks|on timescales of "
            "weeks to months>.",
            "An orbital period of roughly {hours:.1f} hours has been <measured|proposed>.",
            "The counterpart shows Hα <excess|emission> and blue colors.",
        ),
        "cv_magnetic": (
            "A spin modulation at {seconds} s <points to|indicates> channeled accretion onto a "
            "magnetic white dwarf.",
            "<Strong He II emission|Circular polarization> further <supports|suggests> a magnetic "
            "white dwarf.",
        ),
        "star": (
            "It is <associated|cross-matched> with a <bright|high-proper-motion> star of magnitude "
            "{bright:.1f}.",
            "The X-ray to bolometric luminosity ratio is <close to the saturation limit|typical of "
            "active coronae>.",
            "Its optical counterpart shows <chromospheric activity|Ca II H&K emission>.",
        ),
        "yso": (
            "An infrared excess <indicates|reveals> a circumstellar disk.",
            "<Lithium absorption|Accretion signatures such as Hα emission> <confirm|confirms> its "
            "youth.",
            "It was identified as a <probable |>cluster member <through|on the basis of> "
            "near-infrared photometry.",
        ),
        "ob_star": (
            "The optical counterpart, of magnitude {bright:.1f}, is a known hot, massive star.",
            "The ratio of X-ray to bolometric luminosity, near 10^-7, is typical of <O stars|"
            "single early-type stars>.",
        ),
        "snr": (
            "A shell-like <morphology|structure> about {arcsec} arcsec across is seen <in radio "
            "and optical images|in [S II] and radio maps>.",
            "<Elevated [S II]/Hα ratios|Nonthermal radio emission> <support|supports> the presence "
            "of shocks.",
        ),
        "cluster": (
            "The cluster is centered on a <dominant elliptical|brightest cluster galaxy>.",
            "Weak-lensing <studies|analyses> yield a mass of about {mass} × 10^13 solar masses.",
        ),
        "hot_gas": (
            "The emission is spatially extended and <follows|traces> the stellar light.",
            "After <point sources are removed|removal of point sources>, diffuse emission fills "
            "the inner {arcsec} arcsec.",
        ),
        "pulsar": (
            "Radio pulsations with a period of {period} ms <have been|were> detected.",
            "The pulsar has also been detected in gamma rays<| by Fermi-LAT>.",
        ),
        "msp": (
            "Radio timing <establishes|reveals> a spin period of {few:.2f} ms.",
            "It orbits a low-mass companion <in|with an orbital period of> {hours:.1f} hours.",
        ),
        "magnetar": (
            "It has a spin period of {spin:.1f} s and a <rapid|large> spin-down rate, implying a "
            "<magnetic field|dipole field> above 10^14 G.",
            "The source was discovered through <short hard X-ray bursts|an outburst>.",
        ),
        "tde": (
            "The host is a previously <quiescent|inactive> galaxy<, and no emission was seen "
            "before the flare|>.",
            "The flare was <first|also> detected <at optical wavelengths|in the UV/optical> and "
            "faded over {years} years.",
        ),
    },
)
BEHAVIOUR = LabelTable(
    "class",
    {
        "qso|seyfert1|seyfert2|lensed_qso": (
            "Variability on timescales of <months to years|days to weeks> has been <noted|"
            "reported>, as expected for AGN.",
        ),
        "seyfert1|seyfert2|hmxb|cv_magnetic": (
            "A <narrow|fluorescent> Fe Kα line near 6.4 keV is <present|detected|tentatively "
            "detected>.",
        ),
        "seyfert2": (
            "Scattered or reprocessed emission <likely contributes|may contribute> at low "
            "energies.",
        ),
        "lensed_qso": ("Microlensing <may affect|affects> the fluxes of individual images.",),
        "lmxb|hmxb|ulx": (
            "The source is <variable|known to vary> between observations<, suggesting changes in "
            "the accretion rate|>.",
        ),
        "ulx|ulx_pulsar": (
            "A <spectral turnover|high-energy cutoff> <is seen|has been reported> at several keV, "
            "<characteristic|a hallmark> of super-Eddington accretion.",
        ),
        "cv|cv_magnetic": (
            "The emission <arises|is thought to arise> from <shock-heated|cooling> gas settling "
            "onto the white dwarf.",
        ),
        "star|yso": (
            "<At least one flare|Flaring activity> has been observed<, consistent with magnetic "
            "reconnection|>.",
        ),
        "ob_star": (
            "The X-rays are <likely |>produced by shocks <embedded |>in the stellar wind.",
        ),
        "snr": (
            "Emission lines from <O, Ne, Mg and Si|highly ionized metals> are <prominent|evident>.",
        ),
        "cluster": (
            "<An|The> iron line complex <around|near> 6.7 keV (rest frame) is <visible|detected>.",
        ),
        "hot_gas": ("Iron L-shell emission <dominates|is prominent> around 1 keV.",),
        "pulsar|msp|magnetar": (
            "<Part of|Some of> the emission likely originates from <the neutron star surface|hot "
            "spots on the surface>.",
        ),
        "magnetar": ("The flux <decays|decayed> over months following outbursts.",),
        "tde": ("The X-ray flux <declined|faded> by an order of magnitude <over time|in a year>.",),
    },
)
INTEREST = LabelTable(
    "class",
    {
        "qso|seyfert1|seyfert2": (
            "Studies of <such objects|this source> <provide|offer> insight into <black hole growth "
            "and galaxy evolution|accretion onto supermassive black holes>.",
            "It contributes to <our understanding|the census> of <AGN demographics|the cosmic "
            "X-ray background>.",
        ),
        "seyfert2": (
            "It is <relevant|important> for understanding <the role of obscuration|the hidden "
            "population of AGN> in the <local |>universe.",
        ),
        "lensed_qso": (
            "The system has been used to <constrain|measure> the Hubble constant<| and the size "
            "of the X-ray corona>.",
        ),
        "lmxb": (
            "It helps <constrain|trace> the <luminosity function|population> of LMXBs in <old "
            "stellar systems|different environments>.",
        ),
        "hmxb": (
            "Such systems <trace|are tracers of> recent star formation and <massive binary "
            "evolution|the endpoints of massive stars>.",
        ),
        "ulx|ulx_pulsar": (
            "It serves as a laboratory for <super-Eddington accretion|extreme accretion physics>.",
            "Its nature is <relevant|central> to the debate over intermediate-mass black holes.",
        ),
        "cv|cv_magnetic": (
            "It is part of <the population|a census> of <compact binaries|accreting white dwarfs> "
            "<relevant|important> for <binary evolution|Galactic X-ray emission>.",
        ),
        "star": (
            "Its activity <is relevant|may matter> for <stellar dynamos|the habitability of its "
            "planets>.",
        ),
        "yso": (
            "High-energy radiation from young stars <influences|affects> <disk evolution|planet "
            "formation>.",
        ),
        "ob_star": ("It <informs|helps test> models of <wind clumping|radiatively driven winds>.",),
        "snr": (
            "The remnant <offers insights|provides a window> into <explosion mechanisms|chemical "
            "enrichment of the ISM>.",
        ),
        "cluster": (
            "The cluster is <valuable|useful> for <cosmological studies|understanding AGN "
            "feedback>.",
        ),
        "hot_gas": (
            "It <sheds light|provides constraints> on <feedback|the heating and retention of gas> "
            "in galaxies.",
        ),
        "pulsar": (
            "It is used to <study|test> neutron star cooling<| and particle acceleration>.",
        ),
        "msp": (
            "It <informs|contributes to> studies of the recycling scenario and <the neutron star "
            "equation of state|globular cluster dynamics>.",
        ),
        "magnetar": (
            "It is a key <target|laboratory> for physics in ultra-strong magnetic fields<, and a "
            "possible analog of fast radio burst sources|>.",
        ),
        "tde": (
            "Such events <reveal|illuminate> otherwise dormant <supermassive |>black holes and the "
            "onset of accretion.",
        ),
    },
)

__all__ = ["BEHAVIOUR", "EVIDENCE", "INTEREST", "NAMES"]
