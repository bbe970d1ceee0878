"""Text embedder of gradings and terms of X-ray astronomy.

"Moderately faint" and "very bright" lie close together in a sentence embedding, and so do the names
of most kinds of source. Here gradings become places on a scale and terms become flags. The lists
hold the usage of the field, not that of any data set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..sentences import split_sentences
from .base import check_texts

# Places on each scale of the words that need no other to say it. 1 stands for the plain word.
_SCALES: dict[str, dict[str, float]] = {
    "brightness": {
        r"barely (?:detected|visible|seen)|(?:at|near|close to) the detection limit": -2.0,
        r"few (?:photons|counts)|low count": -1.5,
        r"faintest|dimmest|weakest": -2.0,
        r"faint|dim|weak (?:source|emission|x-ray)|inconspicuous": -1.0,
        r"(?:modest|average|intermediate|moderate) (?:brightness|flux|count rate)": -0.2,
        r"bright|easily detected|well detected|strong source|prominent source|luminous source": 1.0,
        r"(?:good|high|excellent|superb|ample) (?:photon |counting )?statistics|many photons": 1.5,
        r"brightest|dominates the (?:field|emission)": 2.0,
    },
    "hardness": {
        r"softest|supersoft|ultrasoft|super-soft": -2.0,
        r"softer than (?:most|average|usual)": -0.8,
        r"soft|steep": -1.0,
        r"(?:intermediate|average|typical|neutral|moderate|ordinary) (?:x-ray )?"
        r"(?:hardness|colou?rs?)|neither (?:soft nor hard|hard nor soft)": 0.0,
        r"harder than (?:most|average|usual)": 0.8,
        r"hard|flat spectrum": 1.0,
        r"hardest": 2.0,
    },
    "absorption": {
        r"unabsorbed|unobscured|transparent|absorption-free": -2.0,
        r"(?:no|without|negligible|hardly any) (?:intrinsic |significant |excess |local )?"
        r"(?:absorption|absorber|obscuration|extinction)": -2.0,
        r"(?:little|weak|low|mild|slight|thin|small) (?:absorption|absorbing|column|obscuration"
        r"|foreground)|low (?:column|extinction)": -1.0,
        r"(?:moderate|modest|intermediate|some) (?:absorption|absorbing|column|obscuration"
        r"|extinction)|moderately (?:absorbed|obscured)": 0.0,
        r"(?:strong|high|substantial|considerable|large) (?:absorption|absorbing|column|obscuration"
        r"|extinction)|strongly absorbed|dusty|dust-enshrouded|highly absorbed": 1.0,
        r"(?:heavy|very strong|severe|thick) (?:absorption|absorbing|column|obscuration|extinction)"
        r"|heavily (?:absorbed|obscured)|buried|deeply embedded": 2.0,
        r"compton[- ]thick|(?:extreme|enormous) (?:absorption|column|obscuration)": 3.0,
    },
}
# What a word before a grading makes of it; the first that fits counts.
_DEGREES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(rf"\b(?:{words})(?:[\s,]+\w+)?[\s,]+$"), factor)
    for words, factor in (
        (r"not|neither|hardly|no longer", -0.5),
        (r"extremely|exceptionally|exceedingly|extraordinarily|extreme", 2.0),
        (r"very|strongly|highly|remarkably|unusually|quite|notably|particularly", 1.5),
        (r"moderately|mildly|slightly|somewhat|rather|fairly|relatively|a little|modestly", 0.5),
    )
)
_GRADINGS = {
    name: tuple(
        (re.compile(rf"\b(?:{words})\b"), place)
        # Longer phrases first: a word inside one is not read again.
        for words, place in sorted(scale.items(), key=lambda item: -len(item[0]))
    )
    for name, scale in _SCALES.items()
}
# Centres of the steps into which a place is also told, for scales that are not even.
_STEPS = np.array([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0], dtype=np.float32)

_TERMS = {
    # kinds of source
    "quasar": r"quasars?|qsos?|quasi-stellar",
    "agn": r"agns?|active (?:galactic )?nucle(?:us|i)|active galax(?:y|ies)",
    "type 1": r"seyfert 1|type[- ]1|type[- ]i\b|broad[- ]line|sy ?1",
    "type 2": r"seyfert 2|type[- ]2|type[- ]ii\b|narrow[- ]line|sy ?2",
    "lens": r"lens(?:ed|ing)?|multiply imaged",
    "blazar": r"blazars?|bl lac\w*|radio[- ]loud",
    "tidal disruption": r"tidal disruption|tdes?|nuclear transient",
    "x-ray binary": r"x-ray binar(?:y|ies)|xrbs?|accret\w+ (?:binary|compact object)",
    "low-mass": r"low-mass|lmxbs?",
    "high-mass": r"high-mass|hmxbs?|be/x-ray|supergiant|wind-fed|ob companion",
    "ultraluminous": r"ultraluminous|ulxs?|super-eddington",
    "neutron star": r"neutron stars?",
    "black hole": r"black holes?",
    "pulsations": r"pulsat\w+|pulsed|coherent|spin(?:s|ning)?",
    "white dwarf": r"white dwarfs?",
    "cataclysmic": r"cataclysmic|cvs?|dwarf nova\w*|novae?|nova-like",
    "magnetic": r"(?:intermediate )?polars?|magnetic|magnetised|magnetized",
    "active star": r"(?:active|flare|late-type|nearby) (?:\w+ )?(?:star|dwarf)\w*|coron(?:a|al\w*)"
    r"|chromospher\w+|[mk] dwarfs?",
    "massive star": r"(?:ob|o-type|b-type|massive|hot|wolf-rayet|o|b) stars?|early[- ]type",
    "young star": r"young stellar|ysos?|t tauri|proto-?stars?|pre-main-sequence|class i{1,3}\b",
    "remnant": r"supernova remnants?|snrs?|remnants?|shell(?:-type)?",
    "supernova": r"supernovae?|sne?",
    "pulsar": r"pulsars?|rotation-powered|isolated neutron star|spin-down",
    "recycled": r"millisecond|recycled|msps?",
    "magnetar": r"magnetars?|anomalous x-ray pulsars?|soft gamma repeaters?|axps?|sgrs?",
    "cluster of galaxies": r"clusters? of galaxies|galaxy (?:cluster|group)s?|intracluster"
    r"|cool[- ]core",
    "hot gas": r"hot (?:gas|interstellar|halo)|diffuse|interstellar medium|halo of|corona of",
    "galaxy": r"galax(?:y|ies)",
    "extended": r"extended|diffuse|resolved|nebula",
    # models
    "power law": r"power[- ]?laws?",
    "black body": r"black[- ]?bod(?:y|ies)",
    "disc": r"multicolou?r (?:black ?body|disc|disk)|diskbb|dis[ck]s?",
    "bremsstrahlung": r"bremsstrahlung|free-free",
    "plasma": r"plasmas?|apec|v?mekal|raymond-smith|collisional\w*|optically thin",
    "thermal": r"thermal",
    "non-thermal": r"non-?thermal|synchrotron|comptoni[sz]\w+",
    "second component": r"(?:second|additional|another|two|extra)[- ]?"
    r"(?:thermal |spectral )?(?:components?|temperature)|soft excess|two-temperature|adding",
    "iron": r"iron|fe k\w*|6\.[4-9] kev",
    "lines": r"lines?|line-rich",
    "partial covering": r"partial(?:ly)? cover\w+|covering",
    "no spectrum": r"no (?:spectral|x-ray spectr\w+|fit)|silent|without spectral|not been analysed",
    # behaviour
    "variable": r"variab\w+|varie[sd]|vary|var(?:ies|ying)|flicker\w*|chang(?:es|ed)",
    "flares": r"flar\w+|outbursts?|bursts?|transient|erupt\w+",
    "steady": r"steady|constant|persistent|stable|no (?:fast |significant )?variab\w+",
    "fading": r"fad\w+|declin\w+|decay\w*|dimmed",
    "periodic": r"period\w*|orbit\w*|eclips\w+|modulat\w+",
    # places
    "globular cluster": r"globular",
    "star formation": r"star[- ]form\w+|molecular cloud|association|nursery|hii region",
    "deep survey": r"deep (?:field|survey)|extragalactic survey|cosmic x-ray background",
    "galactic plane": r"galactic (?:plane|centre|center|bulge|source)|plane field|milky way",
    "host": r"hosts?|host galaxy|belong(?:s|ing) to|resides? in",
    "nucleus": r"nucle(?:us|ar|i)|core",
    "off-nuclear": r"off-nuclear|off-centre|off-center",
}
_FLAGS = {name: re.compile(rf"\b(?:{words})(?!\w)") for name, words in _TERMS.items()}
TERMS = tuple(_TERMS)
SCALES = tuple(_SCALES)


def find_gradings(text: str) -> dict[str, list[float]]:
    """Find the places on each of `SCALES` that a text puts its source at, in the order of the text.

    Args:
        text: prose.

    Returns:
        For each scale found its places: 1 is bright, hard or strongly absorbed, −1 the opposite,
        and a degree ("very", "somewhat") stretches or shrinks it, to at most 3.

    Examples:
        >>> find_gradings("A very faint source whose spectrum is somewhat hard.")
        {'brightness': [-1.5], 'hardness': [0.5]}
    """
    found: dict[str, list[tuple[int, float]]] = {}
    offset = 0
    for sentence in split_sentences(text.lower()):
        for name, gradings in _GRADINGS.items():
            left = sentence
            for pattern, place in gradings:
                for match in list(pattern.finditer(left)):
                    before = sentence[: match.start()]
                    factor = next((f for p, f in _DEGREES if p.search(before)), 1.0)
                    graded = max(-3.0, min(3.0, place * (factor if abs(place) == 1.0 else 1.0)))
                    found.setdefault(name, []).append((offset + match.start(), graded))
                    blank = " " * (match.end() - match.start())
                    left = left[: match.start()] + blank + left[match.end() :]
        offset += len(sentence) + 1
    return {name: [place for _, place in sorted(found[name])] for name in SCALES if name in found}


class TermEmbedder:
    """Gradings and terms as a vector: for each scale whether it is used, the mean place, and the
    steps that were named; for each term whether it occurs.
    """

    name = "terms-1"
    dimension = len(SCALES) * (2 + len(_STEPS)) + len(TERMS)

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            scales = vectors[row, : -len(TERMS)].reshape(len(SCALES), -1)
            for name, places in find_gradings(text).items():
                scale = scales[SCALES.index(name)]
                scale[:2] = 1.0, float(np.mean(places))
                for place in places:
                    scale[2 + int(np.abs(_STEPS - place).argmin())] = 1.0
            lower = " ".join(text.lower().split())
            vectors[row, -len(TERMS) :] = [bool(flag.search(lower)) for flag in _FLAGS.values()]
        return vectors


__all__ = ["SCALES", "TERMS", "TermEmbedder", "find_gradings"]
