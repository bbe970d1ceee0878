"""Nouns of an abstract, and sentences for each class of sources."""

from __future__ import annotations

from ...reporter import LabelTable

NOUNS = {
    "qso": "<quasar|radio-quiet quasar|type 1 quasar|optically selected quasar>",
    "lensed_qso": "<gravitationally lensed quasar|strongly lensed quasar|multiply imaged quasar>",
    "seyfert1": "<Seyfert 1 galaxy|type 1 Seyfert|Seyfert 1 nucleus|Seyfert 1.5 galaxy>",
    "seyfert2": "<Seyfert 2 galaxy|type 2 AGN|Seyfert 2 nucleus|narrow-line AGN>",
    "tde": "<tidal disruption event|tidal disruption event (TDE)|stellar tidal disruption flare>",
    "lmxb": "<low-mass X-ray binary|low-mass X-ray binary (LMXB)|LMXB>",
    "hmxb": "<high-mass X-ray binary|Be/X-ray binary|wind-fed HMXB|HMXB>",
    "ulx": "<ultraluminous X-ray source|ultraluminous X-ray source (ULX)|ULX>",
    "ulx_pulsar": "<ultraluminous X-ray pulsar|pulsating ULX|ULX pulsar>",
    "cv_magnetic": "<intermediate polar|magnetic cataclysmic variable|magnetic CV>",
    "cv": "<cataclysmic variable|dwarf nova|nova-like variable|non-magnetic CV>",
    "star": "<late-type star|active M dwarf|flare star|RS CVn-type binary|coronal source>",
    "yso": "<T Tauri star|pre-main-sequence star|young stellar object|weak-lined T Tauri star>",
    "ob_star": "<O-type star|early-type star|massive star|O supergiant>",
    "snr": "<supernova remnant|supernova remnant (SNR)|SNR>",
    "hot_gas": "<hot gaseous halo|diffuse X-ray halo|gaseous halo>",
    "cluster": "<galaxy cluster|cluster of galaxies|massive galaxy cluster>",
    "pulsar": "<rotation-powered pulsar|radio pulsar|isolated pulsar>",
    "msp": "<millisecond pulsar|recycled pulsar|millisecond pulsar (MSP)>",
    "magnetar": "<magnetar|anomalous X-ray pulsar|soft gamma-ray repeater>",
}
FAMILIES = LabelTable(
    "class",
    {
        "qso|seyfert1|seyfert2|lensed_qso": (
            "active galactic nucleus",
            "AGN",
        ),
        "qso|seyfert1|lensed_qso": ("broad-line AGN",),
        "tde|qso|seyfert1|seyfert2": ("transient in a galactic nucleus",),
        "lmxb|hmxb": ("X-ray binary",),
        "lmxb|hmxb|ulx|ulx_pulsar": ("accreting compact object",),
        "ulx|ulx_pulsar": ("ultraluminous source",),
        "cv|cv_magnetic": ("accreting white dwarf",),
        "cv|cv_magnetic|lmxb|msp": ("compact binary",),
        "star|yso|ob_star": ("stellar X-ray source",),
        "pulsar|msp|magnetar": ("neutron star",),
        "snr|cluster|hot_gas": ("extended X-ray source",),
    },
)
EVIDENCE = {
    "qso": (
        "<Broad|Strong broad> <C III] and Mg II|Ly-alpha and C IV> lines are <present|seen> in its "
        "<SDSS|discovery> spectrum.",
        "<The UV slope|The big blue bump> and emission lines are those of <ordinary|typical> "
        "quasars of <similar|the same> luminosity.",
    ),
    "lensed_qso": (
        "<Two|Four> images of the quasar lie within {small} arcsec of <a foreground|the lensing> "
        "galaxy.",
        "<The image separation|The largest image separation> is {small} arcsec, and <HST|adaptive "
        "optics> imaging reveals the lens.",
    ),
    "seyfert1": (
        "<Broad H-beta|The broad Balmer lines>, <with|of> FWHM ~ {kms} km/s, <imply|suggest> a "
        "black hole of a few 10^{dex} solar masses.",
        "Its nucleus <shows|has> broad <permitted lines|H-alpha and H-beta> on a blue continuum.",
    ),
    "seyfert2": (
        "<Only narrow|No broad> <permitted lines|optical lines> are <found|detected> in the "
        "nucleus<, even in polarised light|>.",
        "Its <optical line ratios|[N II]/H-alpha and [O III]/H-beta ratios> are those of <a Seyfert"
        "|photoionisation by a hidden nucleus>.",
    ),
    "tde": (
        "<The flare|The outburst> <was found|was discovered> in <optical monitoring|a transient "
        "survey> at the nucleus of a <quiescent|post-starburst> galaxy.",
        "<Nothing was detected|There was no X-ray source> at this position <{years} years "
        "before|in archival images>.",
    ),
    "lmxb": (
        "<Thermonuclear bursts|Type I X-ray bursts> <identify|reveal> a neutron star <accretor|"
        "primary>.",
        "<Its faint blue counterpart|The optical counterpart> <varies|is modulated> with a period "
        "of {hours} h.",
    ),
    "hmxb": (
        "<Its donor|The donor|The companion> is <a B0-2 Ve|a B1 Ib|an O9.5 V> star <with a "
        "decretion disc|of magnitude V = {bright}>.",
        "<Coherent pulsations|X-ray pulsations> with a period of {seconds} s <are detected|are "
        "found in the light curve>.",
    ),
    "ulx": (
        "<The source|It> is <off-nuclear|well outside the nucleus>, and its luminosity exceeds "
        "that of stellar black holes <at their Eddington limit|of normal mass>.",
        "<A shock-ionised|An ionised> bubble <of {arcsec} pc|hundreds of parsecs across> surrounds "
        "the <source|accretor>.",
    ),
    "ulx_pulsar": (
        "<A pulsed signal|Pulsed emission> with P = {small} s <is detected|appears> <in one of the "
        "observations|at high significance>.",
        "<The strong spin-up|A spin-up of order 10^-10 s/s> <demands|requires> a <large accretion "
        "rate|neutron star fed far above its Eddington rate>.",
    ),
    "cv_magnetic": (
        "<The X-ray light curve|Its light curve> is modulated at the {seconds} s spin period of "
        "the <white dwarf|magnetised primary>.",
        "<He II 4686|Strong He II emission> and <two coherent optical periods|a beat period> "
        "<suggest|establish> <magnetic accretion|a magnetic white dwarf>.",
    ),
    "cv": (
        "<Double-peaked Balmer lines|Broad Balmer emission lines> <point to|come from> an "
        "accretion disc around a white dwarf.",
        "<Superhumps|Eclipses> <repeat|recur> every {hours} h<, and outbursts reach V = "
        "{bright}|>.",
    ),
    "star": (
        "<Gaia|The Gaia parallax> <places|puts> the <counterpart|star> on the main sequence "
        "<as an M{n} dwarf|with a rotation period of {days} d>.",
        "<Ca II H&K|H-alpha> emission <betrays|indicates> <strong|enhanced> <chromospheric|"
        "magnetic> activity.",
    ),
    "yso": (
        "<Li I 6708|Lithium> absorption and <near-infrared|mid-infrared> excess <indicate|imply> "
        "an age of a few Myr.",
        "<Its spectral energy distribution|The SED> <is that of|makes it> a Class <I|II|III> "
        "object<, of visual extinction {n} mag|>.",
    ),
    "ob_star": (
        "<Its optical spectrum|Spectroscopy> <gives|suggests> <O{n} V((f))|O{n} I|B0.{n} V> as the "
        "spectral type.",
        "<Wind lines|UV P Cygni lines> <show|imply> a terminal velocity of {kms} km/s.",
    ),
    "snr": (
        "<The radio shell|Its shell> <has a diameter of|measures> {arcsec} arcsec and <a spectral "
        "index of -0.{n}|elevated [S II]/H-alpha>.",
        "<A filamentary optical shell|An H-alpha shell> <coincides with|encloses> the X-ray "
        "emission.",
    ),
    "hot_gas": (
        "<The emission|Its surface brightness> <extends|can be traced> <well beyond the stars|"
        "to {arcsec} kpc> <after removal of point sources|once binaries are excised>.",
        "<Unresolved binaries|Faint point sources> <cannot account for|contribute little to> the "
        "diffuse light.",
    ),
    "cluster": (
        "<A brightest cluster galaxy|A giant cD galaxy> <sits|lies> at the peak of the X-ray "
        "emission.",
        "<The red sequence|The velocity dispersion of {kms} km/s from {n}0 members> "
        "<confirms|shows> <a virialised system|an evolved system>.",
    ),
    "pulsar": (
        "<Radio timing|The radio ephemeris> <gives|yields> P = {ms} ms and a characteristic age "
        "of {seconds} kyr.",
        "<X-ray pulsations|Pulsations at the radio period> are <detected|recovered> with a pulsed "
        "fraction of {n}0 per cent.",
    ),
    "msp": (
        "<The X-ray source|It> <coincides with|is the counterpart of> a radio pulsar with P = "
        "{small} ms<, with an orbit of {hours} h|>.",
        "<Its low spin-down rate|Radio timing> <implies|gives> a <field|surface field> near 10^8 "
        "G<, as expected after recycling|>.",
    ),
    "magnetar": (
        "<The spin period|Its period> of {slow} s and <rapid|strong> spin-down <imply|require> "
        "a dipole field of <several|a few> 10^14 G.",
        "<Short bursts|Bursts lasting tenths of a second> <triggered|were seen by> <Swift/BAT|"
        "Fermi/GBM><, leading to these observations|>.",
    ),
}
BEHAVIOUR = {
    "qso": (
        "<Between epochs|Over {years} years in the rest frame> the flux changes by <less "
        "than|about> {n}0 per cent.",
        "<Its optical-to-X-ray slope|alpha_ox> is <consistent with|close to> <the known relation|"
        "the value expected for its UV luminosity>.",
    ),
    "lensed_qso": (
        "<The X-ray flux ratios of the images|Flux ratios> <differ|deviate> from <smooth lens "
        "models|those in the radio>, <a sign of|as a result of> microlensing.",
        "<The delay between images|A time delay> of {days} d is <consistent with|allowed by> the "
        "light curves.",
    ),
    "seyfert1": (
        "<The excess variance|Rapid variability within {n} ks> <is as expected|agrees with "
        "expectation> for its black hole mass.",
        "<A narrow iron line|Fe K-alpha emission> at 6.4 keV is <marginally|clearly> <detected|"
        "required>.",
    ),
    "seyfert2": (
        "<A strong Fe K-alpha line|Fluorescent iron emission> <accompanies|stands out of> the "
        "<reflected|absorbed> continuum.",
        "<A small fraction|A few per cent> of the <primary|nuclear> light is scattered <into our "
        "line of sight|by ionised gas above the torus>.",
    ),
    "tde": (
        "<The X-ray light curve|The flux> <declines|fades> roughly as t^-5/3<| over {n} months>.",
        "<The inferred emitting radius|The black-body radius> is <a few|several> gravitational "
        "radii<| of a 10^{dex} solar mass black hole>.",
    ),
    "lmxb": (
        "<A transition|At least one transition> between <island and banana|hard and soft> states "
        "is <seen in its colours|inferred from the long-term light curve>.",
        "<The persistent emission|The source> varies by a factor of <two|three|a few> on "
        "<time-scales of days|all observed time-scales>.",
    ),
    "hmxb": (
        "<Flares|Bright flares> lasting <hundreds of seconds|about an hour> <are due to|suggest> "
        "<wind clumps|inhomogeneous accretion>.",
        "<Outbursts|Type I outbursts> <occur|recur> every {days} d, <near periastron|the likely "
        "orbital period>.",
    ),
    "ulx": (
        "<Its long-term light curve|Monitoring> shows <little|moderate> variability <by up to a "
        "factor of {n}|over {years} years>.",
        "<The high-energy curvature|A turnover at several keV> <distinguishes|separates> it from "
        "sub-Eddington <binaries|states>.",
    ),
    "ulx_pulsar": (
        "<The source|It> <drops|falls> by more than a factor of {n}0 in <low states|some "
        "observations>.",
        "<The pulsed fraction|Its pulsed fraction> <rises|increases> with energy<, from {n} per "
        "cent in the soft band|>.",
    ),
    "cv_magnetic": (
        "<The modulation|Spin modulation> is <deepest|strongest> at low energies, as <absorption "
        "in the accretion curtain|a partial absorber> <predicts|would produce>.",
        "<The shock temperature|The height of the shock> <gives|implies> a white dwarf of 0.{n} "
        "solar masses.",
    ),
    "cv": (
        "<Aperiodic flickering|Flickering> <dominates|is seen in> the X-ray light curve.",
        "<The boundary layer|An optically thin boundary layer> <accounts for|can explain> the "
        "<X-ray emission|X-rays in quiescence>.",
    ),
    "star": (
        "<A flare|One flare> with an e-folding decay of {n} ks <occurs|is caught> <during the "
        "exposure|near the end of the observation>.",
        "<The coronal abundances|Elements> <follow|show> an inverse FIP <pattern|effect>.",
    ),
    "yso": (
        "<A powerful flare|An intense flare> <heats|raises the temperature of> the plasma and "
        "decays within {n} h.",
        "<Loops that reach|A flare loop reaching> <several stellar radii|the inner edge of the "
        "disc> would explain its <cooling|decay>.",
    ),
    "ob_star": (
        "<No variability|No change> <beyond {n} per cent|above the noise> is <found|detected><, as "
        "expected for many small shocks|>.",
        "<log L_X/L_bol|The ratio of X-ray to bolometric luminosity> is <close to -7|normal for a "
        "single star of this type>.",
    ),
    "snr": (
        "<K-shell lines of Mg, Si and S|O, Ne and Fe-L lines> <are resolved|dominate the "
        "spectrum>.",
        "<A Sedov model|The Sedov solution> <gives|implies> an age of {n} kyr.",
    ),
    "hot_gas": (
        "<The Fe-L complex|Fe-L emission> is the <main|strongest> spectral feature.",
        "<The cooling time|Its cooling time> is <shorter than|comparable to> {n} Gyr in the "
        "<centre|inner kiloparsec>.",
    ),
    "cluster": (
        "<The entropy profile|The gas density profile> <flattens|steepens> <within|beyond> "
        "{arcsec}0 kpc.",
        "<The Fe K complex|Highly ionised iron> at 6.7 keV <yields|gives> a <redshift|metallicity> "
        "<consistent with the galaxies|typical of clusters>.",
    ),
    "pulsar": (
        "<No flux variation|No variation> is found <within|over> {years} years.",
        "<The X-ray efficiency|The ratio of X-ray output to spin-down power> is of order 10^-{n}.",
    ),
    "msp": (
        "<Heated polar caps|Hot spots> of <about|roughly> {n}00 m radius <may|can> <power the "
        "emission|explain the X-rays>.",
        "<No orbital modulation|An orbital modulation> is <found|visible> in the X-ray <data|"
        "light curve>.",
    ),
    "magnetar": (
        "<The flux|Its flux> <decayed|dropped> by a factor of {n} <since the outburst|in {years} "
        "years>.",
        "<A glitch|Timing noise> and a <double-peaked|single-peaked> pulse profile <are|were> "
        "<seen|found>.",
    ),
}
# What is concluded or hoped for, of a class.
MEANING = {
    "qso": (
        "<Results are|This is> discussed in <terms|the framework> of disc-corona <models|coupling> "
        "<at high luminosity|in quasars>.",
        "We <discuss|consider> the <Eddington ratio|bolometric correction> of the quasar.",
    ),
    "lensed_qso": (
        "The <size|half-light radius> of the X-ray corona is <constrained|limited> by <the lack of|"
        "the observed> microlensing.",
        "<A mass model|Our lens model> <of the deflector |><reproduces|accounts for> the image "
        "positions.",
    ),
    "seyfert1": (
        "A <hot corona|compact corona> above the <inner |>disc explains the <continuum|data>.",
        "We <compare|place> the source with other <local|nearby> <type 1 objects|Seyferts> in the "
        "plane of Eddington ratio and slope.",
    ),
    "seyfert2": (
        "<The data|Our results> <support|favour> a <clumpy torus|torus seen edge-on>.",
        "<Infrared|[O III] and mid-infrared> luminosities agree with the <intrinsic|"
        "absorption-corrected> power of the <hidden |>nucleus.",
    ),
    "tde": (
        "We <interpret|explain> the event as the <partial|full> disruption of a <solar-type|low-"
        "mass> star by a <massive|10^{dex} solar mass> black hole.",
        "<Delayed|Prompt> circularisation of the debris is <discussed|considered>.",
    ),
    "lmxb": (
        "<The accretion rate|The mean transfer rate> <implies|suggests> a <main-sequence|slightly "
        "evolved|degenerate> donor.",
        "<A truncated|An irradiated> disc <may|could> explain <its behaviour|the observations>.",
    ),
    "hmxb": (
        "<Wind accretion on to|Accretion from a disc by> a <magnetised|strongly magnetised> "
        "neutron star <reproduces|accounts for> <the luminosity|these properties>.",
        "The system <descends|must have come> from <a massive binary|stars of more than 1{n} solar "
        "masses> with a <small|modest> natal kick.",
    ),
    "ulx": (
        "<Super-Eddington accretion on to a stellar remnant|A supercritical disc with a wind> "
        "<provides|is> <the simplest explanation|our preferred model>.",
        "An intermediate-mass black hole is <not required|disfavoured|difficult to exclude>.",
    ),
    "ulx_pulsar": (
        "<Magnetic|Column> accretion with <moderate|little> beaming <can|may> explain such "
        "luminosities.",
        "<The surface field|A dipole field> is <likely|estimated to be> <a few|about {n}> times "
        "10^12 G.",
    ),
    "cv_magnetic": (
        "We <model|interpret> the emission as a <post-shock|stand-off> accretion column.",
        "<The orbital period|Its period ratio> <places|puts> the system <near spin "
        "equilibrium|among long-period intermediate polars>.",
    ),
    "cv": (
        "<The accretion rate|A mean accretion rate> of {n}e-11 solar masses per year <suffices|is "
        "implied>.",
        "<The system|It> <may|could> be a <period bouncer|WZ Sge star|U Gem star in quiescence>.",
    ),
    "star": (
        "<Magnetic activity|Coronal emission> at the <saturated|unsaturated> level <explains|"
        "accounts for> the source.",
        "<Implications|Consequences> for <planetary atmospheres|gyrochronology> are <discussed|"
        "outlined>.",
    ),
    "yso": (
        "<Magnetic reconnection|Magnetospheric accretion> <dominates|contributes to> <the "
        "X-rays of the star|the observed X-rays>.",
        "<X-ray irradiation|Ionisation by X-rays> of the disc is <considered|estimated>.",
    ),
    "ob_star": (
        "<Embedded|Distributed> wind shocks <explain|account for> <the emission|the X-rays>.",
        "We <find no need for|cannot exclude> a <companion|magnetically confined wind|colliding "
        "wind>.",
    ),
    "snr": (
        "<A core-collapse|A thermonuclear> origin is <favoured|preferred> <from the abundances|"
        "given the environment>.",
        "<The ambient density|The swept-up mass> <indicates|suggests> a remnant in <the Sedov|a "
        "late adiabatic> phase.",
    ),
    "hot_gas": (
        "<Stellar mass loss|Supernova feedback> <can|may> <supply|heat> the gas.",
        "<The halo mass|The total mass> within {n} effective radii is <dominated by dark matter|"
        "derived from hydrostatic equilibrium>.",
    ),
    "cluster": (
        "<The total mass|M_500> of {n}e14 solar masses <follows|is derived> from <hydrostatic "
        "equilibrium|scaling relations>.",
        "<Cavities|Sloshing features> in the core <suggest|point to> <AGN feedback|a past merger>.",
    ),
    "pulsar": (
        "<Cooling|Thermal> and magnetospheric <components|contributions> are <discussed|compared "
        "with models>.",
        "<A faint|A compact> wind nebula <may|could> <surround|contribute to> the source.",
    ),
    "msp": (
        "<Return currents|Particles from the magnetosphere> <heat|bombard> the magnetic poles.",
        "<Dynamical formation|An exchange encounter> <in a dense core |><explains|may explain> the "
        "system.",
    ),
    "magnetar": (
        "<Decay of the magnetic field|Heat from the crust> <powers|drives> the emission.",
        "<A twisted|An untwisting> magnetosphere <accounts for|explains> the <evolution|spectral "
        "changes>.",
    ),
}

__all__ = [
    "BEHAVIOUR",
    "EVIDENCE",
    "FAMILIES",
    "MEANING",
    "NOUNS",
]
