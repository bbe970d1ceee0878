"""Nouns of a proposal, and what is known, wondered and wanted about each class of sources."""

from __future__ import annotations

from ...reporter import LabelTable

NOUNS = {
    "qso": "<QSO|luminous quasar|broad-line quasar|blue quasar|quasar>",
    "lensed_qso": "<lensed quasar|gravitational lens system|quasar lens|lensed QSO>",
    "seyfert1": "<type 1 Seyfert galaxy|broad-line Seyfert|Seyfert 1 AGN|Sy1 galaxy>",
    "seyfert2": "<type 2 Seyfert galaxy|narrow-line Seyfert|Seyfert 2 AGN|Sy2 galaxy>",
    "tde": "<TDE|TDE candidate|tidal disruption candidate|tidal disruption event>",
    "lmxb": "<LMXB|low-mass XRB|neutron star or black hole LMXB|low-mass X-ray binary>",
    "hmxb": "<HMXB|high-mass XRB|supergiant HMXB|Be X-ray binary|high-mass X-ray binary>",
    "ulx": "<ULX|ultraluminous X-ray source|super-Eddington candidate>",
    "ulx_pulsar": "<pulsating ULX (PULX)|ULX pulsar|PULX|neutron star ULX>",
    "cv_magnetic": "<magnetic CV|intermediate polar|IP candidate|magnetic white dwarf binary>",
    "cv": "<CV|dwarf nova|non-magnetic cataclysmic variable|disc-accreting white dwarf>",
    "star": "<nearby active star|active late-type star|M-dwarf flare star|active binary>",
    "yso": "<young star|YSO|classical T Tauri star|pre-main sequence star with a disk>",
    "ob_star": "<OB star|hot massive star|O-type star|early-type supergiant>",
    "snr": "<SNR|young remnant|supernova remnant|remnant of a supernova>",
    "hot_gas": "<hot gas halo|X-ray corona of a galaxy|diffuse hot ISM component>",
    "cluster": "<massive cluster|galaxy cluster|relaxed cluster of galaxies|cluster>",
    "pulsar": "<rotation-powered pulsar|middle-aged pulsar|energetic radio pulsar|pulsar>",
    "msp": "<MSP|millisecond pulsar|recycled millisecond pulsar>",
    "magnetar": "<magnetar|SGR/AXP|magnetar candidate>",
}
FAMILIES = LabelTable(
    "class",
    {
        "qso|seyfert1|seyfert2|lensed_qso": ("AGN",),
        "qso|seyfert1|seyfert2|lensed_qso|tde": ("accreting supermassive black hole",),
        "qso|seyfert1|seyfert2|tde": ("bright galactic nucleus",),
        "lmxb|hmxb|ulx|ulx_pulsar|cv|cv_magnetic": ("accreting binary",),
        "lmxb|hmxb": ("XRB",),
        "cv|cv_magnetic": ("interacting white dwarf binary",),
        "lmxb|hmxb|ulx|ulx_pulsar|cv|cv_magnetic|pulsar|msp|magnetar": ("compact object",),
        "pulsar|msp|magnetar": ("isolated neutron star or pulsar",),
        "star|yso|ob_star": ("star with hot plasma",),
        "snr|cluster|hot_gas": ("diffuse source",),
    },
)
KNOWN = {
    "qso": (
        "<Its SDSS spectrum|The discovery spectrum> has <strong|broad> <emission|UV> lines and a "
        "<blue|power-law> continuum.",
        "<With|At> i = {faint} it is <bright enough|well suited> for <ground-based|parallel "
        "optical> spectroscopy.",
    ),
    "lensed_qso": (
        "<The images|Its images> are <{small} arcsec apart|well separated>, so <only "
        "Chandra|Chandra alone> can resolve them.",
        "<The lens|The deflector> is <an early-type|a massive elliptical> galaxy<, imaged by "
        "HST|>.",
    ),
    "seyfert1": (
        "<Reverberation|Single-epoch Balmer> masses <are near|cluster around> 10^{dex} Msun.",
        "<Broad H-alpha|The broad-line component> has <not changed in {years} years|persisted "
        "since its discovery>.",
    ),
    "seyfert2": (
        "<No broad|Not a single broad> line <shows up|appears> in the optical<, despite deep Keck "
        "data|>.",
        "<The mid-IR|Its 12 micron> luminosity <demands|calls for> a powerful <hidden|buried> "
        "nucleus.",
    ),
    "tde": (
        "<ZTF|ASAS-SN|eROSITA> <caught|discovered> the flare, and no earlier <activity|outburst> "
        "is on record.",
        "<He II and H lines|Broad helium lines> <appeared|emerged> on a <hot|blue> continuum.",
    ),
    "lmxb": (
        "<Its donor|The companion> must be <faint|a low-mass star>: nothing brighter than {faint} "
        "mag is <at the position|there>.",
        "<A burst|One type I burst> in {year} <settled|decided> the <nature of the "
        "accretor|question of a neutron star>.",
    ),
    "hmxb": (
        "<A blue|A bright blue> star with V = {bright} <is|is almost certainly> the mass donor.",
        "<A period|A coherent period of {seconds} s> was <reported|claimed> "
        "<from RXTE|in older data>.",
    ),
    "ulx": (
        "<It sits|It is found> <on a spiral arm|in a young region>, far from the <nucleus|centre>.",
        "<No foreground star|No background AGN> <fits|matches> the HST <photometry|counterpart>.",
    ),
    "ulx_pulsar": (
        "<It spins|The neutron star spins> at {small} s <and spins up rapidly|with a large "
        "spin-up>.",
        "<Pulsations|The pulses> were <missed|absent> in <some|half> of the earlier visits.",
    ),
    "cv_magnetic": (
        "<TESS|Optical photometry> <shows|finds> <a spin of {seconds} s|spin and beat periods>.",
        "<Strong He II|High-excitation lines> and <circular polarization|cyclotron humps> <point|"
        "testify> to a <strong|sizeable> field.",
    ),
    "cv": (
        "<Outbursts|Dwarf-nova outbursts> <come|occur> every {days} d <in AAVSO data|in the ZTF "
        "record>.",
        "<The orbit|Its orbital period> is {hours} h <from eclipses|from radial velocities>.",
    ),
    "star": (
        "<It is|At V = {bright}, it is> <among the nearest|one of the best-studied> <dwarfs|stars> "
        "of its type.",
        "<TESS|Kepler> <saw|recorded> <dozens of|frequent> white-light flares.",
    ),
    "yso": (
        "<An ALMA-resolved disk|A disk with an inner hole> <surrounds|encircles> it.",
        "<Accretion|Its accretion rate> of 1e-{n} Msun/yr <follows|is known> from <the UV excess|"
        "H-alpha>.",
    ),
    "ob_star": (
        "<Its type|The spectral type>, <O{n}|O{n}.5 If|B0.{n} III>, is secure.",
        "<Spectroscopic monitoring|Interferometry> <finds|has found> no <close|massive> companion.",
    ),
    "snr": (
        "<In the radio|At {ghz} GHz> it is a <ring of {arcsec} arcsec|broken ring>.",
        "<Optical line ratios|[S II]/H-alpha> <prove|show> that it is <shock-heated|a shock>.",
    ),
    "hot_gas": (
        "<ROSAT|Shallow exposures> <saw|show> <diffuse light|a smooth glow> <out to {arcsec} "
        "arcsec|over the whole galaxy>.",
        "<The galaxy|Its host> <has|shows> <hardly any cold gas|a radio source in its centre>.",
    ),
    "cluster": (
        "<Planck|SPT> <detects|lists> it <as an SZ source|through the SZ effect>.",
        "<Lensing arcs|Strong-lensing features> <ring|surround> the brightest galaxy.",
    ),
    "pulsar": (
        "<It rotates|The pulsar rotates> in {ms} ms and is <some {seconds} kyr old|a gamma-ray "
        "source, too>.",
        "<Parkes|MeerKAT> <timing|ephemerides> <will be|are> available<| for folding>.",
    ),
    "msp": (
        "<It spins|The pulsar spins> in {small} ms with a <white dwarf|very light> companion.",
        "<Radio eclipses|Dispersion variations> <are|have been> <seen|monitored> <around|near> "
        "conjunction.",
    ),
    "magnetar": (
        "<P = {slow} s|A period of {slow} s> and its derivative <give|imply> a field above 1e14 G.",
        "<The last outburst|Its last burst storm> was in {year}.",
    ),
}
WHY = {
    "qso": (
        "<How coronae are heated|What heats the corona> in <luminous|distant> quasars <remains|is "
        "still> <unclear|debated>.",
        "<Quasars|Objects> like this <drive|may drive> the feedback that <quenches|shapes> massive "
        "galaxies.",
    ),
    "lensed_qso": (
        "<Microlensing|Microlensing variability> is the <only|sharpest> <tool|ruler> for the size "
        "of X-ray emitting regions.",
        "<Time delays|Accurate delays> <offer|provide> <an independent|a one-step> Hubble "
        "constant.",
    ),
    "seyfert1": (
        "<The geometry|The origin> of the X-ray corona is <an open|a major open> <question|"
        "problem>.",
        "<Local|Nearby> type 1 nuclei <anchor|calibrate> <all AGN surveys|black-hole scaling "
        "relations>.",
    ),
    "seyfert2": (
        "<Hidden|Obscured> accretion <makes|produces> <most|a large part> of the cosmic X-ray "
        "background.",
        "<The structure|The covering factor> of the torus <is|remains> <poorly known|disputed>.",
    ),
    "tde": (
        "<Disruptions|Such flares> <reveal|find> <dormant|otherwise invisible> black holes.",
        "<When and how|How fast> a disk forms <is|remains> <not understood|the key question>.",
    ),
    "lmxb": (
        "<Old|Low-mass> binaries <trace|map> <stellar mass|dynamical encounters> in galaxies.",
        "<Disk accretion|Accretion> at low rates <is|remains> <puzzling|badly sampled>.",
    ),
    "hmxb": (
        "<Massive|Wind-accreting> binaries are <the progenitors|ancestors> of gravitational-wave "
        "sources.",
        "<The structure of|Clumping in> stellar winds <can be probed|is best seen> with X-rays "
        "from an embedded <compact object|neutron star>.",
    ),
    "ulx": (
        "<How matter|How gas> accretes beyond the Eddington limit <matters|is crucial> for <early "
        "quasars|the growth of the first black holes>.",
        "<Neutron star or black hole|Which compact object> <is the issue|powers it is unknown>.",
    ),
    "ulx_pulsar": (
        "<Fewer than|Only> a dozen <accretors|objects> of this kind are known.",
        "<Beaming, magnetic field and mass supply|Field strength and beaming> cannot be separated "
        "<so far|with existing data>.",
    ),
    "cv_magnetic": (
        "<White dwarf masses|Masses of white dwarfs> in binaries <exceed|seem to exceed> those of "
        "single stars, <for unknown reasons|which is not explained>.",
        "<Such systems|Magnetic binaries> <explain|dominate> the <hard |>emission of the <Galactic "
        "ridge|Milky Way's bulge>.",
    ),
    "cv": (
        "<The end point|The fate> of close binary evolution <is|can be> <tested|probed> by the "
        "<faintest|shortest-period> systems.",
        "<Boundary layers|The transition from disk to star> <defy|challenge> simple theory.",
    ),
    "star": (
        "<X-rays|High-energy photons> <erode|strip> <exoplanet atmospheres|the atmospheres of "
        "close planets>.",
        "<Dynamos|Magnetic dynamos> in <slowly|fast> rotating stars are <little|insufficiently> "
        "understood.",
    ),
    "yso": (
        "<Disk chemistry|Photoevaporation> <depends|hinges> on the stellar X-ray <output|flux>.",
        "<Giant flares|The largest flares> of young suns <bear|have consequences> for <early "
        "planets|meteoritic isotopes>.",
    ),
    "ob_star": (
        "<Mass-loss rates|The winds> of hot stars <are|remain> <uncertain by factors|a key "
        "uncertainty of stellar evolution>.",
        "<Shock physics|Instabilities> in line-driven winds <can|may> be <tested|studied> here.",
    ),
    "snr": (
        "<Nucleosynthesis|Element yields> of <supernovae|explosions> can be read from ejecta.",
        "<Cosmic-ray acceleration|Particle acceleration> <at its shock|in the shell> <is|remains> "
        "<unproven|in dispute>.",
    ),
    "hot_gas": (
        "<Where the missing baryons are|The baryon budget of galaxies> is <unknown|one of the "
        "questions of the decade>.",
        "<Feedback|AGN and supernova feedback> must leave <an imprint|traces> in the <gas|halo>.",
    ),
    "cluster": (
        "<Cluster counts|Masses of clusters> <test|constrain> <dark energy|cosmology>.",
        "<Why cool cores do not cool|The heating of cool cores> <is|remains> a riddle.",
    ),
    "pulsar": (
        "<The equation of state|Cooling of superfluid matter> <enters|governs> the surface <flux|"
        "temperature> of neutron stars.",
        "<Particle acceleration|Pair creation> in the magnetosphere <is|remains> unsolved.",
    ),
    "msp": (
        "<Radii|Neutron star radii> <from hot spots|from pulse modelling> <need|require> clean "
        "spectra.",
        "<Swings|Transitions> between accretion and rotation power <link|connect> <MSPs with "
        "binaries|two stages of recycling>.",
    ),
    "magnetar": (
        "<Fast radio bursts|At least some FRBs> <come|originate> from magnetars.",
        "<Crustal heating|The response of the crust> <can be followed|is visible> only in the "
        "<weeks|months> after an outburst.",
    ),
}
GOALS = {
    "qso": (
        "test whether <the corona|alpha_ox> <varies|follows> with luminosity",
        "search for <ultra-fast outflows|intervening absorbers>",
    ),
    "lensed_qso": (
        "obtain <fluxes|light curves> of each <image|lensed image>",
        "<measure|bound> the <coronal size|delay between images>",
    ),
    "seyfert1": (
        "<time|follow> the rapid <variability|flux changes>",
        "separate <disk reflection|the narrow iron line> from the continuum",
    ),
    "seyfert2": (
        "measure the <equivalent width|energy> of the <iron|Fe K-alpha> line",
        "<resolve|image> <extended|scattered> emission around the nucleus",
    ),
    "tde": (
        "follow the <decline|fading> towards <the t^-5/3 law|quiescence>",
        "<watch|catch> the <disk|corona> as it forms",
    ),
    "lmxb": (
        "find the <spectral state|orbital modulation>",
        "search for <bursts|dips and eclipses>",
    ),
    "hmxb": (
        "<refine|confirm> the <spin period|orbital ephemeris>",
        "resolve <flares|wind clumps> in time",
    ),
    "ulx": (
        "search for <pulsations|wind absorption lines>",
        "<follow|trace> its <spectral|flux> states",
    ),
    "ulx_pulsar": (
        "<track|measure> the <spin-up|orbital Doppler shifts>",
        "look for <cyclotron lines|the propeller transition>",
    ),
    "cv_magnetic": (
        "fold the <data|events> on the <spin|beat> period",
        "<weigh|measure the mass of> the white dwarf",
    ),
    "cv": (
        "<measure|derive> the accretion rate <in quiescence|between outbursts>",
        "look for <eclipses|orbital modulation>",
    ),
    "star": (
        "catch <at least one flare|flares> with <time-resolved|simultaneous optical> data",
        "derive <coronal abundances|the high-energy input to its planets>",
    ),
    "yso": (
        "<time|model> <flares|the decay of flares>",
        "tell <accretion shocks|shock plasma> from <the corona|coronal plasma>",
    ),
    "ob_star": (
        "<resolve|measure> the <widths|profiles> of wind lines",
        "search for <colliding-wind|phase-locked> variability",
    ),
    "snr": (
        "map <O, Fe and Si|the ejecta> across the shell",
        "find <a compact object|the neutron star> inside",
    ),
    "hot_gas": (
        "<derive|trace> the <entropy|density> profile",
        "separate <diffuse light|gas> from unresolved binaries",
    ),
    "cluster": (
        "<map|find> <cavities and fronts|substructure in the core>",
        "<derive|measure> the total mass profile",
    ),
    "pulsar": (
        "<fold|phase-resolve> the <X-rays|events> with the radio ephemeris",
        "<look|search> for a <faint|compact> wind nebula",
    ),
    "msp": (
        "cover a full <orbit|orbital cycle>",
        "<detect|look for> <X-ray pulses|an intrabinary shock>",
    ),
    "magnetar": (
        "<follow|sample> the <decay of the outburst|spin evolution>",
        "search for <short bursts|pulse profile changes>",
    ),
}

__all__ = ["FAMILIES", "GOALS", "KNOWN", "NOUNS", "WHY"]
