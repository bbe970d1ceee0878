"""Phrases for each class of sources: labels, evidence, behaviour, motive.

Evidence, behaviour and motive follow from the class alone: they state nothing else about a source.
"""

from __future__ import annotations

CLASS_LABELS = {
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
EVIDENCE = {
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
BEHAVIOUR = {
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
MOTIVE = {
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
__all__ = ["BEHAVIOUR", "CLASS_LABELS", "EVIDENCE", "MOTIVE"]
