"""Names of the classes of X-ray sources in prose, and their typical spectrum and environment."""

from __future__ import annotations

# SIMBAD object type -> names in prose, with the article.
_NAMES: dict[str, tuple[str, ...]] = {
    "QSO": ("a quasar", "a luminous broad-line quasar", "a quasi-stellar object"),
    "LensedQ": (
        "a gravitationally lensed quasar", "a multiply imaged quasar", "a lensed quasar"
    ),
    "AGN": ("an active galactic nucleus", "an AGN", "an active galaxy"),
    "Seyfert_1": ("a Seyfert 1 galaxy", "a type 1 AGN", "a broad-line active nucleus"),
    "Seyfert_2": (
        "a Seyfert 2 galaxy", "a type 2 AGN", "an obscured active nucleus with narrow lines"
    ),
    "Blazar": ("a blazar", "a radio-loud active nucleus with a jet"),
    "BLLac": ("a BL Lac object", "a blazar"),
    "TDE": ("a tidal disruption event", "a star torn apart by a massive black hole"),
    "XRB": ("an X-ray binary", "an accreting compact object in a binary"),
    "LMXB": (
        "a low-mass X-ray binary", "an accreting neutron star with a low-mass companion", "an LMXB"
    ),
    "HMXB": (
        "a high-mass X-ray binary", "a neutron star accreting from a massive companion", "an HMXB"
    ),
    "ULX": ("an ultraluminous X-ray source", "an off-nuclear ultraluminous source", "a ULX"),
    "ULX_pulsar": (
        "a pulsating ultraluminous X-ray source", "an ultraluminous X-ray pulsar", "a ULX pulsar"
    ),
    "CV*": ("a cataclysmic variable", "an accreting white dwarf", "a dwarf nova"),
    "MagCV": (
        "a magnetic cataclysmic variable", "an intermediate polar", "a polar"
    ),
    "Star": ("an active star", "a coronally active late-type star", "a nearby M dwarf"),
    "OB*": ("a massive early-type star", "an OB star", "a hot star with a strong wind"),
    "WR*": ("a Wolf-Rayet star", "a massive star with a dense wind"),
    "YSO": ("a young stellar object", "a T Tauri star", "a pre-main-sequence star"),
    "SNR": ("a supernova remnant", "the remnant of a supernova"),
    "SN*": ("a supernova",),
    "HotGas": (
        "hot interstellar gas of a galaxy", "diffuse hot gas", "the hot halo of a galaxy"
    ),
    "ClG": ("a cluster of galaxies", "a galaxy cluster with hot intracluster gas"),
    "GrG": ("a group of galaxies",),
    "Galaxy": ("a galaxy",),
    "GlCl": ("a globular cluster",),
    "Pulsar": ("a rotation-powered pulsar", "a young isolated pulsar", "an isolated neutron star"),
    "MSP": ("a millisecond pulsar", "a recycled pulsar"),
    "Magnetar": ("a magnetar", "an anomalous X-ray pulsar", "a soft gamma repeater"),
    "NS": ("a neutron star", "an isolated neutron star"),
    "BH": ("a black hole", "an accreting black hole"),
}  # fmt: skip
# Typical spectrum and environment of a class, from reviews of the field.
_TYPICAL: dict[str, tuple[str, str]] = {
    "QSO": (
        "Its X-ray spectrum is an unabsorbed power law with a photon index of 1.9.",
        "It was found in a deep extragalactic survey.",
    ),
    "LensedQ": (
        "Its X-ray spectrum is a power law with a photon index of 1.9 and hardly any absorption.",
        "Its images are lensed by a foreground galaxy.",
    ),
    "AGN": (
        "Its X-ray spectrum is a power law with a photon index of 1.8 and moderate absorption.",
        "It lies in the nucleus of its host galaxy.",
    ),
    "Seyfert_1": (
        "Its X-ray spectrum is a power law with a photon index of 1.8, little absorption, a "
        "soft excess and an iron line.",
        "It lies in the nucleus of its host galaxy and is variable.",
    ),
    "Seyfert_2": (
        "Its X-ray spectrum is a hard power law with a photon index of 1.8, heavily absorbed "
        "with N_H = 1e23 cm^-2, and an iron line.",
        "It lies in the nucleus of its host galaxy.",
    ),
    "TDE": (
        "Its X-ray spectrum is very soft, a black body with kT = 0.1 keV.",
        "The transient flared in the nucleus of its host galaxy and faded.",
    ),
    "LMXB": (
        "Its X-ray spectrum is a power law with a photon index of 1.7 or a disc black body, "
        "with little absorption.",
        "It belongs to an early-type galaxy or a globular cluster and is variable.",
    ),
    "HMXB": (
        "Its X-ray spectrum is a hard power law with a photon index of 1.1 and strong absorption.",
        "It belongs to a star-forming galaxy and is variable.",
    ),
    "ULX": (
        "Its X-ray spectrum is a power law with a photon index of 2.0 or a disc black body, at "
        "a luminosity of 3e39 erg/s.",
        "It lies off the nucleus of a star-forming galaxy.",
    ),
    "ULX_pulsar": (
        "Its X-ray spectrum is a hard power law with a photon index of 1.3 and a cutoff, at a "
        "luminosity of 5e39 erg/s.",
        "Coherent pulsations show an accreting neutron star. It lies off the nucleus of a "
        "star-forming galaxy.",
    ),
    "CV*": (
        "Its X-ray spectrum is that of an optically thin plasma, bremsstrahlung with kT = 8 "
        "keV, with little absorption.",
        "It is variable on the orbital period.",
    ),
    "MagCV": (
        "Its X-ray spectrum is hard, bremsstrahlung with kT = 20 keV, a partially covering "
        "absorber and an iron line.",
        "It is modulated on the spin period of the white dwarf and lies in the Galactic plane.",
    ),
    "Star": (
        "Its X-ray spectrum is soft, a thermal plasma with kT = 0.8 keV, unabsorbed.",
        "Its corona flares.",
    ),
    "OB*": (
        "Its X-ray spectrum is soft, a thermal plasma with kT = 0.6 keV and moderate absorption.",
        "It belongs to a star-forming region and is steady.",
    ),
    "YSO": (
        "Its X-ray spectrum is a thermal plasma with kT = 2.5 keV and strong absorption.",
        "It belongs to a star-forming region and flares.",
    ),
    "SNR": (
        "Its X-ray spectrum is soft and rich in lines, a thermal plasma with kT = 0.6 keV.",
        "It is extended and steady.",
    ),
    "HotGas": (
        "Its X-ray spectrum is soft, a thermal plasma with kT = 0.5 keV.",
        "The diffuse emission of the galaxy is extended and steady.",
    ),
    "ClG": (
        "Its X-ray spectrum is a thermal plasma with kT = 4 keV and an abundance of 0.3 solar.",
        "The intracluster gas is extended and steady.",
    ),
    "Pulsar": (
        "Its X-ray spectrum is a non-thermal power law with a photon index of 1.5 and a black "
        "body.",
        "It is steady, spins down, and lies in the Galactic plane.",
    ),
    "MSP": (
        "Its X-ray spectrum is soft, a black body with kT = 0.2 keV.",
        "It belongs to a globular cluster and is steady.",
    ),
    "Magnetar": (
        "Its X-ray spectrum is a black body with kT = 0.5 keV and a steep power law, strongly "
        "absorbed.",
        "It bursts, pulsates, and lies in the Galactic plane.",
    ),
}
_ALIASES = {
    "seyfert1": "Seyfert_1", "sy1": "Seyfert_1", "seyfert2": "Seyfert_2", "sy2": "Seyfert_2",
    "lensedq_candidate": "LensedQ", "tde_candidate": "TDE", "cv": "CV*", "cataclyv*": "CV*",
    "psr": "Pulsar", "puls": "Pulsar", "ob-star": "OB*", "*": "Star", "xb": "XRB",
    "highmassxbin": "HMXB", "lowmassxbin": "LMXB", "g": "Galaxy", "gclstr": "ClG",
    "ism": "HotGas",
}  # fmt: skip


def class_names(label: str) -> tuple[str, ...]:
    """Return the names of a class in prose, with the article; the label itself if it is unknown.

    Examples:
        >>> class_names("LMXB")[0]
        'a low-mass X-ray binary'
    """
    key = _find(label)
    if key is not None:
        return _NAMES[key]
    words = label.strip("*? ").replace("_", " ")
    if words.lower().startswith(("a ", "an ", "the ")):
        return (words,)
    return (f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}",)


def typical_of(label: str) -> tuple[str, str]:
    """Return sentences on the typical spectrum and environment of a class; empty if unknown."""
    return _TYPICAL.get(_find(label) or "", ("", ""))


def _find(label: str) -> str | None:
    plain = label.strip().lower()
    for name in _NAMES:
        if name.lower() == plain:
            return name
    return _ALIASES.get(plain)


__all__ = ["class_names", "typical_of"]
