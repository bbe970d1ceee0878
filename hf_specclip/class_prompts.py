"""What the classes of X-ray sources are called in prose, and sentences that name one.

Several names and several sentences stand for a class (Radford et al. 2021, section 3.1.4): their
mean in the shared space is steadier than any one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A sentence fills one section of a summary; `{name}` takes a name with its article.
TEMPLATES: tuple[Mapping[str, str], ...] = (
    {"identity": "The X-ray source is {name}."},
    {"identity": "It is identified as {name}."},
    {"identity": "Chandra detects {name}."},
    {"identity": "Its optical counterpart and its X-ray colours make it {name}."},
    {"identity": "{Name} accounts for the X-ray emission."},
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
    plain = kind.strip()
    known = {name.lower(): name for name in _NAMES}
    key = known.get(plain.lower(), _OTHER_SPELLINGS.get(plain.lower()))
    if key is not None:
        return _NAMES[key]
    words = plain.strip("*? ").replace("_", " ")
    if words.lower().startswith(("a ", "an ", "the ")):
        return (words,)
    return (f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}",)


def class_prompts(
    kind: str, templates: Sequence[Mapping[str, str]] = TEMPLATES
) -> list[dict[str, str]]:
    """Summaries that say what a source is, for each name and each template.

    Args:
        kind: class, such as `"LMXB"`, or words, such as `"a white dwarf in outburst"`.
        templates: section -> sentence with `{name}` or `{Name}`.

    Raises:
        ValueError: for an empty class, or a template without a name.
    """
    if not kind.strip():
        raise ValueError("a class needs a name")
    prompts = []
    for template in templates:
        if not any("{name}" in text or "{Name}" in text for text in template.values()):
            raise ValueError(f"the template {dict(template)} has no {{name}} to fill in")
        for name in class_names(kind):
            filled = {
                # Replaced and not formatted: a template may come from a file, and braces in
                # `str.format` reach into objects.
                section: text.replace("{name}", name).replace("{Name}", name[:1].upper() + name[1:])
                for section, text in template.items()
            }
            prompts.append(filled)
    return prompts


__all__ = ["TEMPLATES", "class_names", "class_prompts"]
