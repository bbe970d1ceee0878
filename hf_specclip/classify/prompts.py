"""What the classes of X-ray sources are called in prose, and sentences that name one.

Several names and several sentences stand for a class (Radford et al. 2021, section 3.1.4): their
mean in the shared space is steadier than any one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A sentence fills one section of a summary; `{name}` takes a name with its article, `{spectrum}`
# and `{context}` what is usual of the class. A template that asks for what is not known is left
# out.
TEMPLATES: tuple[Mapping[str, str], ...] = (
    {"identity": "The X-ray source is {name}."},
    {"identity": "It is identified as {name}.", "spectrum": "{spectrum}"},
    {
        "identity": "{Name} accounts for the X-ray emission.",
        "spectrum": "{spectrum}",
        "context": "{context}",
    },
)

# SIMBAD's object types, as catalogues and papers write them, and names in prose.
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
# What is usual of a class, from reviews of the field: the spectrum, and where and how it is found.
_USUAL: dict[str, tuple[str, str]] = {
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
_OTHER_SPELLINGS = {
    "seyfert1": "Seyfert_1", "sy1": "Seyfert_1", "seyfert2": "Seyfert_2", "sy2": "Seyfert_2",
    "lensedq_candidate": "LensedQ", "tde_candidate": "TDE", "cv": "CV*", "cataclyv*": "CV*",
    "psr": "Pulsar", "puls": "Pulsar", "ob-star": "OB*", "*": "Star", "xb": "XRB",
    "highmassxbin": "HMXB", "lowmassxbin": "LMXB", "g": "Galaxy", "gclstr": "ClG",
    "ism": "HotGas",
}  # fmt: skip


def class_names(kind: str) -> tuple[str, ...]:
    """How a class is called in prose, with the article; the label itself where it is not known.

    Example:
        >>> class_names("LMXB")[0]
        'a low-mass X-ray binary'
    """
    key = _known(kind)
    if key is not None:
        return _NAMES[key]
    words = kind.strip("*? ").replace("_", " ")
    if words.lower().startswith(("a ", "an ", "the ")):
        return (words,)
    return (f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}",)


def class_prompts(
    kind: str, templates: Sequence[Mapping[str, str]] = TEMPLATES
) -> list[dict[str, str]]:
    """Summaries that say what a source is, for each name and each template.

    Args:
        kind: class, such as `"LMXB"`, or words, such as `"a white dwarf in outburst"`.
        templates: see `TEMPLATES`.

    Raises:
        ValueError: for an empty class, or templates none of which says what it is.
    """
    if not kind.strip("*? "):
        raise ValueError("a class needs a name")
    spectrum, context = _USUAL.get(_known(kind) or "", ("", ""))
    prompts = []
    for template in templates:
        asked = " ".join(template.values())
        if ("{spectrum}" in asked and not spectrum) or ("{context}" in asked and not context):
            continue
        for name in class_names(kind):
            words = {
                "{name}": name,
                "{Name}": name[:1].upper() + name[1:],
                "{spectrum}": spectrum,
                "{context}": context,
            }
            prompts.append({section: _filled(text, words) for section, text in template.items()})
    if not any("{name}" in t or "{Name}" in t for each in templates for t in each.values()):
        raise ValueError("no template says {name}: the classes would not be told apart")
    if not prompts:
        raise ValueError(f"every template asks for what is usual of {kind!r}, which is not known")
    return prompts


def _filled(text: str, words: Mapping[str, str]) -> str:
    # Replaced and not formatted: a template may come from a file, and braces in `str.format` reach
    # into objects.
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text


def _known(kind: str) -> str | None:
    plain = kind.strip().lower()
    for name in _NAMES:
        if name.lower() == plain:
            return name
    return _OTHER_SPELLINGS.get(plain)


__all__ = ["TEMPLATES", "class_names", "class_prompts"]
