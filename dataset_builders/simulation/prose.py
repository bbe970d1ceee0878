"""What the literature says about a simulated source: papers, and a summary in three sections.

A summary knows the source's truth and nothing of any row: what it states was measured at another
time, with an error of its own, rounded as papers round. Some things are told in words only, some
not at all. Names of hosts and catalogue numbers lie outside the ranges that real catalogues use,
and bibcodes name a journal (`SimAp`) that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, floor, isfinite, log10, pi
from random import Random

from .populations import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW

JOURNAL = "SimAp"
KEV_IN_MK = 11.6
MPC_IN_CM = 3.0857e24


@dataclass(frozen=True)
class Subject:
    """What a paper is about.

    Attributes:
        kind: `source`, `field`, `sample` or `survey`.
        number: of the paper, unique.
        name: name of the field, for papers on one.
    """

    kind: str
    number: int
    name: str


@dataclass(frozen=True)
class Paper:
    """One invented paper."""

    id: str
    title: str
    year: int

    def row(self) -> dict[str, object]:
        """As the contract's `papers` has it; the type keeps it from being linked to ADS."""
        return {"id": self.id, "id_type": "simulated", "title": self.title, "year": self.year}


@dataclass(frozen=True)
class Facts:
    """The truth about a source, from which its summary is drawn.

    Attributes:
        name: `2CXO J…`.
        class_name: key of `populations.CLASSES`.
        field_kind: key of `populations.FIELD_KINDS`.
        place: number within the field; 0 is in the middle.
        host: name of the field or host.
        distance_mpc: of the host, nan where there is none.
        foreground_nh: Galactic column, 1e22 cm⁻².
        papers: the papers about it.
        flux: absorbed, 0.5–7 keV, erg/cm²/s.
        hardness, medium_soft: (h − s)/(h + s) and (m − s)/(m + s) of absorbed photon fluxes.
        first, second, shape, shape2, share2, nh, abundance, redshift, line, covering: see
            `populations.Spectra`.
    """

    name: str
    class_name: str
    field_kind: str
    place: int
    host: str
    distance_mpc: float
    foreground_nh: float
    papers: Sequence[Paper]
    flux: float
    hardness: float
    medium_soft: float
    first: float
    second: float
    shape: float
    shape2: float
    share2: float
    nh: float
    abundance: float
    redshift: float
    line: float
    covering: float


_CONSTELLATIONS = (
    "Lyrae",
    "Auriga",
    "Lynx",
    "Cetus",
    "Hydra",
    "Fornax",
    "Pavo",
    "Corvus",
    "Draco",
    "Aquila",
    "Vela",
    "Carina",
    "Puppis",
    "Norma",
    "Ara",
    "Scutum",
    "Sagitta",
    "Monoceros",
    "Eridanus",
    "Phoenix",
    "Grus",
    "Indus",
    "Pyxis",
    "Antlia",
    "Crater",
    "Sextans",
    "Cepheus",
)
_AUTHORS = (
    "Okafor",
    "Lindqvist",
    "Marchetti",
    "Tanaka",
    "Reyes",
    "Novak",
    "Achterberg",
    "Banerjee",
    "Castellan",
    "Dubois",
    "Eriksen",
    "Farouk",
    "Goldwater",
    "Hashimoto",
    "Ivanova",
    "Jankowski",
    "Kowalczyk",
    "Larsen",
    "Mbeki",
    "Nakagawa",
    "Oyelaran",
    "Petrov",
    "Quiroga",
    "Rasmussen",
    "Sokolova",
    "Thorne",
    "Ueda",
    "Villanueva",
    "Whitlock",
    "Xu",
    "Yamada",
    "Zielinski",
)


def _pick(random: Random, options: Sequence[str], **slots: object) -> str:
    return options[random.randrange(len(options))].format(**slots)


def name_fields(kinds: Sequence[str], random: Random) -> list[str]:
    """A name for each field or host, unique.

    Args:
        kinds: keys of `populations.FIELD_KINDS`.
        random: generator.
    """
    names, taken = [], set()
    # As many numbers as leave most of them free, so that drawing again soon finds one.
    most = max(100_000, 4 * len(kinds))
    few, many = max(700, 2 * len(kinds)), max(5000, 2 * len(kinds))
    for kind in kinds:
        while True:
            number = random.randrange(1, most)
            place = _CONSTELLATIONS[random.randrange(len(_CONSTELLATIONS))]
            if kind == "galaxy":
                # NGC ends at 7840, IC at 5386, UGC at 12921.
                catalogue, first = (("NGC", 7841), ("IC", 5387), ("UGC", 12922))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "globular":
                name = f"{('Terzan', 'Palomar', 'Djorg')[number % 3]} {20 + number % few}"
            elif kind == "nursery":
                suffix = ("OB", "cloud", "nebula")[number % 3]
                name = f"{place} {suffix} {10 + number % few}"
            elif kind == "cluster":
                catalogue, first = (("Abell", 5000), ("MACS", 20000), ("ZwCl", 10000))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "plane":
                name = f"the {place} plane field {1 + number % few}"
            else:
                name = f"the {place} deep field {1 + number % few}"
            if name not in taken:
                break
        taken.add(name)
        names.append(name)
    return names


_LABELS = {
    "qso": ("quasar", "broad-line quasar", "radio-quiet quasar", "luminous quasar"),
    "seyfert1": ("Seyfert 1 galaxy", "broad-line AGN", "unobscured active nucleus", "type 1 AGN"),
    "seyfert2": (
        "Seyfert 2 galaxy",
        "obscured active nucleus",
        "type 2 AGN",
        "heavily obscured AGN",
    ),
    "lmxb": (
        "low-mass X-ray binary",
        "LMXB",
        "accreting neutron star with a low-mass companion",
        "low-mass X-ray binary candidate",
    ),
    "hmxb": (
        "high-mass X-ray binary",
        "HMXB",
        "Be/X-ray binary",
        "wind-fed neutron star with an OB supergiant companion",
    ),
    "ulx": ("ultraluminous X-ray source", "ULX", "off-nuclear ultraluminous source"),
    "cv": (
        "cataclysmic variable",
        "accreting white dwarf",
        "dwarf nova",
        "non-magnetic cataclysmic variable",
    ),
    "star": (
        "active star",
        "coronally active late-type star",
        "nearby M dwarf",
        "chromospherically active binary",
    ),
    "yso": (
        "young stellar object",
        "T Tauri star",
        "pre-main-sequence star",
        "embedded protostar candidate",
    ),
    "snr": ("supernova remnant", "young supernova remnant", "shell-type supernova remnant"),
    "cluster": ("galaxy cluster", "massive cluster of galaxies", "cool-core cluster of galaxies"),
    "pulsar": (
        "rotation-powered pulsar",
        "middle-aged pulsar",
        "young pulsar with a nebula",
        "isolated neutron star",
    ),
    "lensed_qso": (
        "lensed quasar",
        "gravitationally lensed quasar",
        "multiply imaged quasar",
    ),
    "tde": (
        "tidal disruption event",
        "candidate tidal disruption event",
        "fading nuclear transient",
    ),
    "ulx_pulsar": (
        "pulsating ultraluminous X-ray source",
        "ULX pulsar",
        "super-Eddington X-ray pulsar",
    ),
    "cv_magnetic": (
        "magnetic cataclysmic variable",
        "intermediate polar",
        "polar candidate",
    ),
    "ob_star": (
        "OB star",
        "massive early-type star",
        "hot star with a strong wind",
    ),
    "hot_gas": (
        "halo of hot gas",
        "hot interstellar medium of a galaxy",
        "diffuse galactic corona",
    ),
    "msp": (
        "millisecond pulsar",
        "recycled pulsar",
        "binary millisecond pulsar",
    ),
    "magnetar": (
        "magnetar",
        "anomalous X-ray pulsar",
        "soft gamma repeater",
    ),
}
_EVIDENCE = {
    "qso": (
        "Broad C IV and Mg II lines in its optical spectrum fix the class.",
        "It was selected by its blue optical colours and confirmed with spectroscopy.",
        "A point-like optical counterpart of magnitude {magnitude:.1f} shows broad emission lines.",
    ),
    "seyfert1": (
        "Its optical spectrum shows broad Balmer lines on a blue continuum.",
        "The nucleus of an otherwise quiet spiral galaxy hosts the source.",
        "Reverberation mapping gives a black hole of about {mass} million solar masses.",
    ),
    "seyfert2": (
        "Only narrow emission lines are seen in the optical.",
        "The high [O III] to X-ray ratio betrays a buried nucleus.",
        "Polarised broad lines reveal a hidden broad-line region behind a dusty torus.",
    ),
    "lmxb": (
        "No bright optical counterpart is found, as expected for a low-mass donor.",
        "Type I bursts were reported once, which makes the accretor a neutron star.",
        "An orbital period near {hours:.1f} hours has been claimed.",
    ),
    "hmxb": (
        "The counterpart is an early-type star of magnitude {magnitude:.1f} with H-alpha emission.",
        "Pulsations at {seconds} s identify a magnetised neutron star.",
        "Its companion is a blue star whose wind feeds a compact object.",
    ),
    "ulx": (
        "No nuclear or foreground counterpart is found down to magnitude {magnitude:.0f}.",
        "It sits in a bubble of ionised gas seen in He II.",
        "The luminosity is above the Eddington limit of a ten solar mass black hole.",
    ),
    "cv": (
        "A faint blue counterpart with H-alpha excess was found with Hubble.",
        "Its optical light is modulated at {hours:.1f} hours, the likely orbital period.",
        "Dwarf-nova outbursts recur every few weeks in the optical.",
    ),
    "star": (
        "The counterpart is a bright star of magnitude {bright:.1f} with a large proper motion.",
        "Its optical spectrum is that of a late-type dwarf with Ca H and K emission.",
        "The ratio of X-ray to bolometric luminosity is near saturation.",
    ),
    "yso": (
        "An infrared excess shows a circumstellar disc.",
        "Spitzer colours make it a Class II object.",
        "Lithium absorption and accretion signatures confirm its youth.",
    ),
    "snr": (
        "A shell {arcsec} arcsec across is seen in the radio and in [S II].",
        "The shell is limb-brightened, with an age of some {kyr} thousand years.",
        "Radio polarisation confirms the shock-driven nature of the shell.",
    ),
    "cluster": (
        "A giant elliptical galaxy marks its centre.",
        "Weak lensing gives a mass of {mass} × 10^13 solar masses.",
        "Dozens of member galaxies have measured velocities.",
    ),
    "pulsar": (
        "Radio pulsations with a period of {period} ms were found in a deep search.",
        "Its spin-down luminosity is of order 10^{edot} erg/s.",
        "Gamma-ray pulsations have been seen with Fermi.",
    ),
    "lensed_qso": (
        "Hubble resolves {images} images around a foreground galaxy.",
        "Time delays of some {days} days between its images were measured.",
        "Its images share one redshift and flicker as microlensing makes them.",
    ),
    "tde": (
        "It was absent from earlier X-ray surveys and faded over {years} years.",
        "An optical flare on a blue continuum preceded the X-rays by months.",
        "The host is a quiescent galaxy without narrow-line activity.",
    ),
    "ulx_pulsar": (
        "Coherent pulsations at {spin:.1f} s show that the accretor is a neutron star.",
        "The pulsations come and go, and the spin period shortens from year to year.",
    ),
    "cv_magnetic": (
        "Its X-rays and optical light are modulated at {seconds} s, the spin of the white dwarf.",
        "Circular polarisation in the optical shows a field of some {mass} megagauss.",
        "Strong He II emission is typical of magnetic accretion.",
    ),
    "ob_star": (
        "The optical spectrum is that of an early type, O or B, with P Cygni profiles.",
        "The ratio of X-ray to bolometric luminosity is near 10^-7, as in single hot stars.",
        "The counterpart of magnitude {bright:.1f} is one of the brightest members.",
    ),
    "hot_gas": (
        "The emission is extended by {arcsec} arcsec and follows the stars.",
        "No point source dominates; the light is diffuse.",
        "Its radial profile is a beta model with a core of {arcsec} arcsec.",
    ),
    "msp": (
        "Radio timing gives a period of {few:.2f} ms and a companion of low mass.",
        "It was found in a radio search of the core and coincides with the X-ray source.",
        "Gamma-ray pulsations were folded with the radio ephemeris.",
    ),
    "magnetar": (
        "It spins once in {spin:.1f} s and slows down fast, which implies a field above 10^14 G.",
        "Bursts of hard X-rays triggered its discovery.",
        "No companion is seen, and rotation cannot power its light.",
    ),
}
_IDENTITY = (
    "We discuss {name}, {a_label}{where}.",
    "On the evidence so far {name} is {a_label}{where}.",
    "The X-ray source {name} is most likely {a_label}{where}.",
    "In the catalogues {name} appears as {a_label}{where}.",
    "{name} is {a_label}{where}.",
    "The source {name} has been identified with {a_label}{where}.",
    "{a_label_cap}{where}, catalogued in X-rays as {name}.",
    "Several authors classify {name} as {a_label}{where}.",
    "{name} is listed in the literature as {a_label}{where}.",
    "Known to observers as {alias}, {name} is {a_label}{where}.",
)
_MODEL_NAMES = {
    POWER_LAW: ("a power law", "an absorbed power law", "a simple power-law continuum"),
    BLACK_BODY: ("a black body", "thermal emission from a hot surface", "a soft thermal component"),
    BREMSSTRAHLUNG: ("thermal bremsstrahlung", "an optically thin bremsstrahlung continuum"),
    PLASMA: (
        "optically thin thermal plasma",
        "emission lines of a collisionally ionised plasma",
        "a thermal plasma model",
    ),
}
_MODEL_NAMES[DISK] = (
    "a multicolour disc",
    "thermal emission from an accretion disc",
    "a disc black body",
)
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
# Scales in words: everything below the limit, and how it is put. The phrases of a step share their
# vocabulary, as reviews do when they sort sources.
_HARDNESS_WORDS = (
    (-0.8, ("supersoft, glowing below 1 keV only", "extremely soft, with no photons above 2 keV")),
    (-0.5, ("very soft and thermal-looking", "soft, dominated by photons below 1.2 keV")),
    (-0.2, ("moderately soft", "somewhat soft, as unabsorbed sources are")),
    (0.1, ("neither soft nor hard", "of intermediate hardness", "of average X-ray colours")),
    (0.45, ("moderately hard", "somewhat hard", "harder than most")),
    (0.8, ("very hard and flat", "hard, dominated by photons above 2 keV")),
    (9.0, ("extremely hard, seen above 2 keV only", "among the hardest, with no soft photons")),
)
_ABSORPTION_WORDS = (
    (
        0.03,
        ("no absorption beyond a trace", "an unobscured, transparent line of sight"),
    ),
    (0.12, ("little absorption", "a thin foreground with weak absorption")),
    (0.5, ("moderate absorption", "a moderate column of gas and dust")),
    (2.0, ("strong absorption", "a dusty sightline whose gas removes the soft photons")),
    (10.0, ("heavy obscuration", "a buried emitter behind very heavy absorption")),
    (
        1e9,
        ("extreme, nearly Compton-thick obscuration", "a Compton-thick shroud around the source"),
    ),
)
_BRIGHTNESS_WORDS = (
    (-14.3, ("extremely faint, at the detection limit", "barely detected, one of the faintest")),
    (-13.8, ("very faint, with few photons", "a dim source that needs deep exposures")),
    (-13.4, ("faint", "rather dim")),
    (-13.0, ("of modest brightness", "moderately faint")),
    (-12.6, ("moderately bright", "fairly bright")),
    (-12.1, ("bright, with good photon statistics", "bright and easily detected")),
    (9.0, ("extremely bright, with superb statistics", "among the brightest X-ray sources known")),
)
_SILENT = (
    "No spectral analysis has been published; the papers give a position and a detection only.",
    "The literature is silent on its X-ray spectrum beyond the fact that it was detected.",
    "X-ray data were used for astrometry alone, and no fit is reported.",
    "Published work concentrates on the radio and optical, without spectral results in X-rays.",
)
_VARIABILITY = {
    "qso": ("It varies by tens of per cent over years.", "No fast variability is reported."),
    "seyfert1": (
        "The flux changes by a factor of two within days.",
        "Strong, fast variability accompanies a steady spectral shape.",
    ),
    "seyfert2": (
        "A strong iron K line near 6.4 keV is suggested.",
        "The obscured continuum is steady between visits.",
    ),
    "lmxb": (
        "It is variable between observations.",
        "Transitions between soft and hard states have been seen.",
    ),
    "hmxb": (
        "Outbursts of an order of magnitude recur.",
        "The flux flares on time scales of hours, as clumpy winds do.",
    ),
    "ulx": (
        "The flux varied by a factor of a few over the years.",
        "Its curvature at high energies suggests super-Eddington accretion.",
    ),
    "cv": ("The X-rays vanish in optical outburst.", "It flickers, as accreting dwarfs do."),
    "star": ("A flare was caught once.", "The corona is quiet outside a few flares."),
    "yso": (
        "Powerful flares with decay times of hours occur.",
        "The plasma heats up during flares, probably by reconnection in large loops.",
    ),
    "snr": (
        "Lines of oxygen, neon, magnesium and silicon are prominent.",
        "The line-rich emission is from shocked ejecta and swept-up gas.",
    ),
    "cluster": (
        "The temperature drops towards the centre.",
        "An iron line complex at 6.7 keV in the rest frame gives the metallicity.",
    ),
    "pulsar": (
        "The thermal light is pulsed with a low amplitude.",
        "The emission is steady, as expected of a cooling surface.",
    ),
    "lensed_qso": (
        "Microlensing makes single images change by tenths of a magnitude.",
        "The flux ratios of the images differ from those in the optical.",
    ),
    "tde": (
        "Between visits the flux fell by an order of magnitude.",
        "The light curve follows a power law of time close to t^-5/3.",
    ),
    "ulx_pulsar": (
        "It drops by a factor of ten or more for months, perhaps as the propeller sets in.",
        "Bright and faint states alternate over some sixty days.",
    ),
    "cv_magnetic": (
        "A fluorescent iron line at 6.4 keV stands beside those of the hot plasma.",
        "The modulation on the spin period is strongest at low energies.",
    ),
    "ob_star": (
        "The flux is steady, as expected for shocks spread through a wind.",
        "Lines of neon and magnesium are broad and blue-shifted.",
    ),
    "hot_gas": (
        "Lines of iron L dominate near 1 keV.",
        "The gas is cooler in the outskirts than in the centre.",
    ),
    "msp": (
        "The X-rays are modulated over the orbit, as a shock between the stars would be.",
        "The thermal light of the polar caps is steady.",
    ),
    "magnetar": (
        "Outbursts raise the flux a hundredfold, and it decays over months.",
        "Short bursts come in storms.",
    ),
}
_CONTEXT = {
    "survey": (
        "It lies in {host}, an extragalactic survey with deep optical and infrared imaging.",
        "The region belongs to {host}, observed to trace the growth of black holes.",
        "{host_cap} was surveyed to resolve the cosmic X-ray background, and this source with it.",
    ),
    "galaxy": (
        "It resides in {host}, a galaxy at {distance}.",
        "The host is {host} ({distance}), whose X-ray source population was studied as a whole.",
        "It is one of the point sources of {host}, at {distance}.",
        "{host}, at {distance}, was observed for its star formation and X-ray binaries.",
    ),
    "globular": (
        "It belongs to the globular cluster {host} at {distance}.",
        "The globular cluster {host}, {distance} away, hosts it near its core.",
        "Close encounters in the dense core of {host} explain such systems.",
    ),
    "nursery": (
        "It is a member of the star-forming region {host} at {distance}.",
        "The young association {host}, {distance} away, was observed to find its members.",
        "{host} is a nursery of low-mass and massive stars, {distance} from the Sun.",
    ),
    "cluster": (
        "It is seen towards the cluster of galaxies {host}.",
        "The field is that of {host}, observed for its hot gas and mass.",
        "{host} was imaged to study how clusters assemble.",
    ),
    "plane": (
        "It lies in {host}, close to the Galactic plane, at a distance near {distance}.",
        "The source is in {host}, part of a census of faint Galactic X-ray sources.",
        "{host_cap} was chosen as a window on the Milky Way's compact objects.",
    ),
}
_WHY = {
    "qso": (
        "Studies use it to trace the link between X-ray and ultraviolet light of quasars.",
        "It serves as a background light for absorption studies.",
    ),
    "seyfert1": (
        "Interest lies in the corona above the accretion disc.",
        "It was monitored to weigh its black hole.",
    ),
    "seyfert2": (
        "It matters for the census of hidden black holes.",
        "Work on it tests unified models of active nuclei.",
    ),
    "lmxb": (
        "It helps to build the luminosity function of old binaries.",
        "It was followed to learn about accretion on to neutron stars.",
    ),
    "hmxb": (
        "It traces recent star formation.",
        "Its orbit and pulsations constrain the evolution of massive binaries.",
    ),
    "ulx": (
        "The debate is between intermediate-mass black holes and super-Eddington accretion.",
        "It is a laboratory for accretion above the Eddington limit.",
    ),
    "cv": (
        "Its boundary layer tests how discs end on white dwarfs.",
        "It is part of the census of close white-dwarf binaries.",
    ),
    "star": (
        "It serves to study dynamos and coronal heating.",
        "Its activity bears on the habitability of planets around small stars.",
    ),
    "yso": (
        "X-rays from such stars ionise their discs and drive their evaporation.",
        "It was included in a survey of young stars and their discs.",
    ),
    "snr": (
        "It tells of the explosion and of the gas around it.",
        "Remnants like this enrich and heat the interstellar medium.",
    ),
    "cluster": (
        "Its hot gas and mass make it useful for cosmology.",
        "Feedback from the central galaxy was the aim of the observation.",
    ),
    "pulsar": (
        "Its surface temperature tests how neutron stars cool.",
        "Timing and X-rays together bear on the equation of state of dense matter.",
    ),
    "lensed_qso": (
        "Its time delays measure the Hubble constant.",
        "Microlensing of its images sizes the X-ray corona.",
    ),
    "tde": (
        "Such events light up black holes that are otherwise dark.",
        "It shows how an accretion disc forms within months.",
    ),
    "ulx_pulsar": (
        "It proves that neutron stars can shine far above their Eddington limit.",
        "Its magnetic field is debated between 10^12 and 10^14 G.",
    ),
    "cv_magnetic": (
        "It serves to weigh white dwarfs by the temperature of their shocks.",
        "Such systems dominate the hard Galactic ridge emission.",
    ),
    "ob_star": (
        "X-rays from its wind test how instabilities of line driving grow.",
        "It was looked at for signs of colliding winds.",
    ),
    "hot_gas": (
        "The amount of gas tells how supernovae and black holes heat galaxies.",
        "It was studied to weigh the dark halo.",
    ),
    "msp": (
        "Its polar caps bear on the radius of neutron stars.",
        "It helps to count the binaries that dense cores make.",
    ),
    "magnetar": (
        "It is a test case for matter in the strongest fields known.",
        "Its kin are suspected behind fast radio bursts.",
    ),
}
# How the work was done, and what it is not about: abstracts hold much that no spectrum shows.
_METHODS = (
    "Astrometry was tied to {survey} with a residual of {tenth:.1f} arcsec.",
    "A search of {survey} images within {tenth:.1f} arcsec yields {few} possible counterparts.",
    "The probability of a chance coincidence is put at {percent} per cent.",
    "Source properties were extracted with the standard pipeline and checked by eye.",
    "Simultaneous radio observations at {ghz} GHz gave an upper limit only.",
    "Photometry in {few} bands was used to model the spectral energy distribution.",
    "Spectroscopy with a {metres} m telescope was attempted under poor seeing.",
    "Archival plates going back {decades} decades show nothing unusual.",
    "A machine-learning classifier gives the adopted class a score of {score:.2f}.",
    "The authors caution that crowding may affect the photometry.",
    "Extinction was taken from dust maps and assumed to be foreground.",
    "Selection effects were treated with simulations of artificial sources.",
    "The sample is complete to about {percent} per cent at the flux limit.",
    "Follow-up with {survey} is under way.",
    "Results were compared with those from XMM-Newton, and agree within the errors.",
    "Swift monitored the position for {few} weeks.",
    "A Bayesian block analysis was run on the combined event list.",
    "No counterpart is listed in catalogues of gamma-ray sources.",
    "The mid-infrared colours place it away from the stellar locus.",
    "Distances come from {survey} where it has them and from the host otherwise.",
    "Earlier claims rest on a position that was wrong by {arcsec} arcsec.",
    "The referee's question about pile-up is answered in an appendix.",
    "Spectra were grouped, and models compared by likelihood ratios.",
    "Data from {few} epochs were stacked before detection.",
)
_SURVEYS = ("Gaia", "2MASS", "Pan-STARRS", "WISE", "SDSS", "Spitzer", "the VLA", "DECam", "UKIDSS")
FEWEST_WORDS = 60
_BACKED_BY = (
    "{author} et al. ({year}) discuss it under the title “{title}”.",
    "The main reference is {author} et al. ({year}).",
    "See {author} et al. ({year}) for the full analysis.",
    "Work on it goes back to {author} et al. ({year}).",
)


def write_paper(subject: Subject, class_name: str, source: str, host: str, random: Random) -> Paper:
    """Invent a paper.

    Args:
        subject: what it is about.
        class_name: key of `populations.CLASSES` of its (first) source.
        source: name of that source.
        host: name of its field or host.
        random: generator.
    """
    year = random.randrange(2001, 2025)
    label = _LABELS[class_name][0]
    article = _article(label)
    options = {
        "source": (
            "An X-ray view of the {label} {short}",
            "{short}: {article} {label} revisited",
            "The nature of {short}, {article} {label}",
            "Multi-wavelength observations of the {label} {short}",
        ),
        "field": (
            "A Chandra study of {host}",
            "X-ray point sources in {host}",
            "The X-ray population of {host}: catalogue and classification",
            "{host} in X-rays",
        ),
        "sample": (
            "A small sample of {label} systems seen with Chandra",
            "Spectral properties of selected {label} systems",
            "Comparing {label} spectra across environments",
        ),
        "survey": (
            "A serendipitous survey of X-ray sources. Paper {roman}",
            "A wide-area catalogue of Chandra counterparts, release {number}",
            "Machine classification of X-ray sources, data set {number}",
        ),
    }[subject.kind]
    title = _pick(
        random,
        options,
        label=label,
        article=article,
        short=source.removeprefix("2CXO "),
        host=host,
        roman=("I", "II", "III", "IV", "V")[subject.number % 5],
        number=subject.number % 90 + 1,
    )
    volume, page = 1 + subject.number // 9000, 1 + subject.number % 9000
    initial = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[random.randrange(26)]
    bibcode = f"{year}{JOURNAL}{volume:.>4d}.{page:.>4d}{initial}"
    return Paper(bibcode, title[0].upper() + title[1:], year)


def write_summary(
    facts: Facts,
    random: Random,
    *,
    stated_numbers: float,
    stated_words: float,
    silent: float,
    wrong: float,
) -> dict[str, str]:
    """The three sections of a source's summary.

    Args:
        facts: the truth about the source.
        random: generator of this source; what is stated has errors drawn from it.
        stated_numbers: chance that a measured quantity is stated as a number.
        stated_words: chance that a quantity is told in words.
        silent: chance that the spectral section says nothing about the spectrum.
        wrong: chance that the literature is mistaken about the source.

    Returns:
        Mapping with `identity`, `spectrum` and `context`.
    """
    if random.random() < wrong:
        facts = _mistaken(facts, random)
    identity = _identity(facts, random, 0.7 * stated_words)
    spectrum = _spectrum(facts, random, stated_numbers, stated_words, silent)
    context = _context(facts, random, 0.5 * stated_words)
    # One or none at random, and as many as a text needs to be one.
    methods = random.sample(range(len(_METHODS)), len(_METHODS))
    wanted = random.randrange(3)
    while wanted > 0 or sum(len(text.split()) for text in (identity, spectrum, context)) < (
        FEWEST_WORDS
    ):
        context = f"{context} {_method(_METHODS[methods.pop()], random)}"
        wanted -= 1
    return {"identity": identity, "spectrum": spectrum, "context": context}


def _method(sentence: str, random: Random) -> str:
    return sentence.format(
        survey=_SURVEYS[random.randrange(len(_SURVEYS))],
        tenth=random.uniform(0.1, 1.5),
        few=random.randrange(2, 9),
        percent=random.randrange(1, 95),
        ghz=(1.4, 3, 5.5, 9)[random.randrange(4)],
        metres=(2.5, 4, 6.5, 8, 10)[random.randrange(5)],
        decades=random.randrange(2, 10),
        score=random.uniform(0.5, 0.99),
        arcsec=random.randrange(2, 40),
    )


def _mistaken(facts: Facts, random: Random) -> Facts:
    """The facts as somebody had them who took another source for this one, or a poor fit."""
    return replace(
        facts,
        shape=facts.shape * exp(random.gauss(0.0, 0.35)),
        nh=facts.nh * exp(random.gauss(0.0, 1.5)),
        flux=facts.flux * exp(random.gauss(0.0, 1.2)),
        hardness=random.uniform(-0.9, 0.9),
    )


def _article(label: str) -> str:
    """`a` or `an`, by the sound: LMXB and HMXB are spelt out, ULX begins like `you`."""
    vowel = label[0] in "aeiouAEIO" or label.startswith(("LMXB", "HMXB"))
    return "an" if vowel else "a"


def _identity(facts: Facts, random: Random, portrait: float) -> str:
    label = _pick(random, _LABELS[facts.class_name])
    article = _article(label)
    where = ""
    if facts.redshift > 0.0 and random.random() < 0.75:
        digits = 3 if facts.redshift < 0.3 else 2
        where = f" at redshift {facts.redshift:.{digits}f}"
    elif facts.field_kind in ("galaxy", "globular", "nursery") and random.random() < 0.6:
        where = _pick(random, (" in {host}", " belonging to {host}", " of {host}"), host=facts.host)
    sentences = [
        _pick(
            random,
            _IDENTITY,
            name=facts.name,
            a_label=f"{article} {label}",
            a_label_cap=f"{article.capitalize()} {label}",
            where=where,
            alias=f"{facts.host.removeprefix('the ')} X-{facts.place + 1}",
        )
    ]
    if random.random() < 0.8:
        sentences.append(
            _pick(
                random,
                _EVIDENCE[facts.class_name],
                magnitude=random.uniform(17.0, 25.0),
                bright=random.uniform(7.0, 14.0),
                mass=random.randrange(2, 90),
                hours=random.uniform(1.3, 12.0),
                seconds=random.randrange(3, 900),
                arcsec=random.randrange(4, 60),
                kyr=random.randrange(1, 30),
                period=random.randrange(2, 400),
                edot=random.randrange(33, 38),
                images=(2, 4)[random.randrange(2)],
                days=random.randrange(5, 160),
                years=random.randrange(1, 9),
                spin=random.uniform(0.8, 11.0),
                few=random.uniform(1.6, 12.0),
            )
        )
    if random.random() < portrait:
        sentences.append(_portrait(facts, random))
    if random.random() < 0.15:
        sentences.append(
            _pick(
                random,
                (
                    "The identification is considered secure.",
                    "The classification remains tentative.",
                    "Chance alignment was ruled out at high confidence.",
                    "An alternative identification has not been excluded.",
                ),
            )
        )
    return " ".join(sentences)


def _spectrum(
    facts: Facts,
    random: Random,
    stated_numbers: float,
    stated_words: float,
    silent: float,
) -> str:
    if random.random() < silent:
        return _pick(random, _SILENT)
    kind = int(facts.first)
    model = _pick(random, _MODEL_NAMES[kind])
    opening = _pick(random, _SPECTRUM_OPENING, model=model)
    number = random.random() < stated_numbers
    sentences = [opening + (f" {_stated_shape(kind, facts.shape, random)}." if number else ".")]
    second = int(facts.second)
    if second >= 0 and facts.share2 > 0.1 and random.random() < 0.7:
        other = _pick(random, _MODEL_NAMES[second])
        stated = random.random() < 0.5
        shape = f" {_stated_shape(second, facts.shape2, random)}" if stated else ""
        sentences.append(
            _pick(
                random,
                (
                    "A second component, {other}{shape}, is needed.",
                    "Adding {other}{shape} improves the fit.",
                    "There is also evidence for {other}{shape}.",
                ),
                other=other,
                shape=shape,
            )
        )
    details: list[str] = []
    parts: tuple[tuple[float, Callable[[], str]], ...] = (
        (stated_words, lambda: _hardness(facts, random)),
        (stated_words, lambda: _absorption(facts, random, stated_numbers)),
        (stated_words, lambda: _brightness(facts, random, stated_numbers)),
        (0.25, lambda: _pick(random, _VARIABILITY[facts.class_name])),
        (0.3 if kind == PLASMA else 0.0, lambda: _metals(facts, random)),
    )
    for chance, write in parts:
        if random.random() < chance:
            details.append(write())
    return " ".join(
        sentences + [details[index] for index in random.sample(range(len(details)), len(details))]
    )


def _measured(value: float, error: float, random: Random) -> float:
    """A value as another observation would have it."""
    return value + error * random.gauss(0.0, 1.0)


def _stated_shape(kind: int, value: float, random: Random) -> str:
    relative = 10.0 ** random.uniform(-1.7, -0.8)
    if kind == POWER_LAW:
        error = max(0.03, 1.8 * relative)
        stated = _measured(value, error, random)
        digits = 1 if error > 0.1 else 2
        return _pick(
            random,
            (
                "with photon index {value:.{digits}f} ± {error:.{digits}f}",
                "of photon index Γ = {value:.{digits}f}",
                "with Γ ≈ {value:.1f}",
                "of slope {value:.{digits}f} ± {error:.{digits}f}",
            ),
            value=stated,
            error=error,
            digits=digits,
        )
    error = value * relative
    stated = max(0.02, _measured(value, error, random))
    digits = 0 if stated >= 10 else 1 if stated >= 1 else 2
    return _pick(
        random,
        (
            "with kT = {value:.{digits}f} ± {error:.{more}f} keV",
            "of temperature {value:.{digits}f} keV",
            "with kT ≈ {value:.{digits}f} keV",
            "at about {kelvin:.2g} million K",
        ),
        value=stated,
        error=error,
        digits=digits,
        more=digits + 1,
        kelvin=stated * KEV_IN_MK,
    )


def _word(value: float, scale: Sequence[tuple[float, Sequence[str]]], random: Random) -> str:
    words = next(words for limit, words in scale if value < limit)
    return _pick(random, words)


def _hardness(facts: Facts, random: Random) -> str:
    value = _measured(facts.hardness, 0.08, random)
    return _pick(
        random,
        (
            "The spectrum is {word}.",
            "Judged by its X-ray colours, it is {word}.",
            "In hardness it is {word}.",
            "Overall the source is {word}.",
            "Quantile analysis finds the spectrum {word}.",
            "Compared with its neighbours in the field, it is {word}.",
            "Hardness ratios show that it is {word}.",
        ),
        word=_word(value, _HARDNESS_WORDS, random),
    )


def _absorption(facts: Facts, random: Random, stated_numbers: float) -> str:
    error = 10.0 ** random.uniform(-1.2, -0.6)
    column = facts.nh * exp(_measured(0.0, error, random))
    if random.random() < stated_numbers:
        exponent = floor(log10(column * 1e22))
        return _pick(
            random,
            (
                "The column density is {mantissa:.1f} × 10^{exponent} cm^-2.",
                "It shows {word}, with N_H ≈ {mantissa:.1f}e{exponent} cm^-2.",
                "An absorbing column of about {mantissa:.0f}e{exponent} cm^-2 is required.",
            ),
            mantissa=column * 1e22 / 10.0**exponent,
            exponent=exponent,
            word=_word(column, _ABSORPTION_WORDS, random),
        )
    return _pick(
        random,
        ("There is {word}.", "The spectrum shows {word}.", "Fits require {word}."),
        word=_word(column, _ABSORPTION_WORDS, random),
    )


def _brightness(facts: Facts, random: Random, stated_numbers: float) -> str:
    # Other observations caught it at another time.
    flux = facts.flux * exp(_measured(0.0, 0.2, random))
    luminous = isfinite(facts.distance_mpc) and facts.field_kind != "cluster"
    if random.random() < stated_numbers:
        if luminous and random.random() < 0.4:
            luminosity = 4 * pi * (facts.distance_mpc * MPC_IN_CM) ** 2 * flux
            exponent = floor(log10(luminosity))
            return _pick(
                random,
                (
                    "The luminosity is {mantissa:.1f} × 10^{exponent} erg/s.",
                    "It radiates some {mantissa:.0f}e{exponent} erg/s and is {word} in X-rays.",
                ),
                mantissa=luminosity / 10.0**exponent,
                exponent=exponent,
                word=_word(log10(flux), _BRIGHTNESS_WORDS, random),
            )
        exponent = floor(log10(flux))
        return _pick(
            random,
            (
                "The 0.5-7 keV flux is {mantissa:.1f} × 10^{exponent} erg/cm^2/s.",
                "With {mantissa:.0f}e{exponent} erg/cm^2/s it is {word}.",
                "It is {word}, at {mantissa:.1f}e{exponent} erg/cm^2/s.",
            ),
            mantissa=flux / 10.0**exponent,
            exponent=exponent,
            word=_word(log10(flux), _BRIGHTNESS_WORDS, random),
        )
    return _pick(
        random,
        (
            "It is {word} in X-rays.",
            "The X-ray source is {word}.",
            "As an X-ray source it is {word}.",
        ),
        word=_word(log10(flux), _BRIGHTNESS_WORDS, random),
    )


def _portrait(facts: Facts, random: Random) -> str:
    """One sentence on how the source looks in X-rays, as introductions have it."""
    flux = log10(facts.flux) + _measured(0.0, 0.1, random)
    hardness = _measured(facts.hardness, 0.08, random)
    brightness = _word(flux, _BRIGHTNESS_WORDS, random)
    colour = _word(hardness, _HARDNESS_WORDS, random)
    return _pick(
        random,
        (
            "As X-ray sources go it is {brightness}; in colour it is {colour}.",
            "In X-rays it is {colour}. It is {brightness}.",
            "It stands out as {colour}, and is {brightness}.",
        ),
        brightness=brightness,
        colour=colour,
    )


def _remark(facts: Facts, random: Random) -> str:
    """Why it was easy or hard to study, or what lies in front of it."""
    if random.random() < 0.6:
        flux = log10(facts.flux) + _measured(0.0, 0.1, random)
        return _pick(
            random,
            (
                "It was {choice} for study, being {word}.",
                "Being {word}, it was {choice} for detailed work.",
            ),
            choice="a natural choice" if flux > -13.0 else "a difficult choice",
            word=_word(flux, _BRIGHTNESS_WORDS, random),
        )
    column = facts.nh * exp(_measured(0.0, 0.2, random))
    return _pick(
        random,
        ("Its surroundings mean {word}.", "One reason for interest is {word}."),
        word=_word(column, _ABSORPTION_WORDS, random),
    )


def _metals(facts: Facts, random: Random) -> str:
    value = max(0.05, _measured(facts.abundance, 0.15 * facts.abundance, random))
    return _pick(
        random,
        (
            "Metals are at {value:.1f} of the solar abundance.",
            "The abundance is {value:.2f} solar.",
            "An abundance of {value:.1f} solar is found.",
        ),
        value=value,
    )


def _context(facts: Facts, random: Random, remark: float) -> str:
    sentences = [
        _pick(
            random,
            _CONTEXT[facts.field_kind],
            host=facts.host,
            host_cap=facts.host[0].upper() + facts.host[1:],
            distance=_distance(facts.distance_mpc),
        )
    ]
    if random.random() < 0.8:
        sentences.append(_pick(random, _WHY[facts.class_name]))
    if random.random() < remark:
        sentences.append(_remark(facts, random))
    if facts.field_kind == "plane" and random.random() < 0.5:
        words = _word(facts.foreground_nh, _ABSORPTION_WORDS, random)
        sentences.append(f"The sightline through the Galaxy has {words}.")
    if random.random() < 0.6 and facts.papers:
        paper = facts.papers[random.randrange(len(facts.papers))]
        sentences.append(
            _pick(
                random,
                _BACKED_BY,
                author=_AUTHORS[random.randrange(len(_AUTHORS))],
                year=paper.year,
                title=paper.title,
            )
        )
    return " ".join(sentences)


def _distance(distance_mpc: float) -> str:
    if not isfinite(distance_mpc):
        return "an unknown distance"
    if distance_mpc >= 0.1:
        return f"{distance_mpc:.1f} Mpc"
    kiloparsec = distance_mpc * 1e3
    return f"{kiloparsec:.1f} kpc" if kiloparsec >= 1.0 else f"{kiloparsec * 1e3:.0f} pc"
