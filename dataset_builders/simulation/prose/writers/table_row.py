"""Writer that puts a catalogue row into words: columns with their values, few sentences."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

from ...source_classes import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW
from ..facts import Facts
from ..grammar import capitalized
from ..reporter import LINEAR, LOG, LabelTable, Reporter, WordScale
from ..writer import Writer

_CLASSES = LabelTable(
    "class",
    {
        "qso": ("QSO", "quasar", "QSO (<spectroscopic|BLAGN>)", "BLAGN (QSO)", "type-1 QSO"),
        "qso|seyfert1|seyfert2|lensed_qso": ("AGN", "AGN<?| candidate>", "background AGN"),
        "qso|seyfert1": ("BLAGN", "AGN1", "type 1 AGN"),
        "seyfert1": ("Sy1", "Seyfert 1", "Sy 1.<2|5>", "S1"),
        "seyfert2": ("Sy2", "Seyfert 2", "NLAGN", "AGN2", "type 2 AGN", "Sy 1.9-2"),
        "lensed_qso": ("LensedQ", "lensed QSO", "grav. lens (QSO)", "quadruple lens"),
        "lmxb": ("LMXB", "LMXB<?|/qLMXB>", "low-mass XRB", "LXB"),
        "lmxb|hmxb": ("XRB", "X-ray binary", "XRB candidate"),
        "hmxb": ("HMXB", "HXB", "HMXB<|/Be>", "Be/XRB", "HMXB (pulsar)"),
        "ulx|ulx_pulsar": ("ULX", "ULX <candidate|cand>"),
        "ulx_pulsar": ("PULX", "ULX pulsar", "ULXP"),
        "cv|cv_magnetic": ("CV", "CV?", "CV candidate"),
        "cv": ("dwarf nova", "CV (non-magnetic)", "DN", "CV, nova-like"),
        "cv_magnetic": ("IP", "polar", "mCV", "magnetic CV", "CV (DQ Her)", "CV (AM Her)"),
        "star": ("Star", "star (dM)", "active star", "RS CVn", "coronal source", "dMe star"),
        "star|yso|ob_star": ("star", "stellar", "foreground star or member"),
        "yso": ("YSO", "TTS", "CTTS", "WTTS", "PMS star", "YSO (Class II)", "YSO Class III"),
        "ob_star": ("OB*", "O star", "B star", "early-type star", "O/B supergiant"),
        "snr": ("SNR", "SNR<?| candidate>", "supernova remnant"),
        "snr|hot_gas|cluster": ("ext", "extended", "diffuse source"),
        "cluster": ("ClG", "galaxy cluster", "cluster (ICM)", "GClstr"),
        "hot_gas": ("HotGas", "hot ISM", "diffuse gas", "galaxy halo (gas)"),
        "pulsar": ("PSR", "pulsar", "pulsar/PWN", "RPP"),
        "pulsar|msp|magnetar": ("NS", "neutron star"),
        "msp": ("MSP", "MSP (binary)", "millisecond PSR", "redback"),
        "magnetar": ("magnetar", "AXP", "SGR", "AXP/SGR"),
        "tde": ("TDE", "TDE candidate", "nuclear transient (TDE)"),
    },
)
_CLASS_FORMS = (
    "<class|type|source type|Class|classification> <|= |: |is >{c}",
    "<class|type> {c}",
    "<adopted|assigned> class {c}",
    "{c}",
)
_CLASS_WORDS = (
    "<the class|a class|the type|a classification> “{c}”",
    "{c} as its <class|type|classification>",
    "the entry {c} <in the class column|under type>",
)
_MODEL_NAMES = LabelTable(
    "model",
    {
        "power_law": (
            "PL",
            "powerlaw",
            "pow",
            "power law",
            "tbabs*pow",
            "phabs*powerlaw",
            "wabs*po",
        ),
        "black_body": ("BB", "bbody", "blackbody", "phabs*bb", "bbodyrad"),
        "bremsstrahlung": ("brems", "bremss", "TB", "phabs*bremss", "thermal bremsstrahlung"),
        "plasma": ("apec", "APEC", "mekal", "vapec", "1T plasma", "tbabs*apec", "thermal plasma"),
        "disk": ("diskbb", "MCD", "disk blackbody"),
    },
)
_SECONDS = {
    POWER_LAW: ("+PL", "+ powerlaw tail", "plus a power law"),
    BLACK_BODY: ("+BB", "+ bbody", "plus a blackbody"),
    PLASMA: ("+apec", "+ a second apec", "(2T)"),
    DISK: ("+diskbb", "+ MCD", "plus diskbb"),
    BREMSSTRAHLUNG: ("+brems",),
}
_COLOUR = WordScale(
    (
        (-0.75, "<colour|quantile> class SSS"),
        (-0.4, "<colour|quantile> class soft"),
        (0.05, "<colour|quantile> class medium"),
        (0.4, "<colour|quantile> class hard"),
        (inf, "<colour|quantile> class <absorbed/hard|very hard>"),
    )
)
_BRIGHT_FLAG = WordScale(
    (
        (3e-15, "flux flag <F0|lowest bin>"),
        (2e-14, "flux flag <F1|low>"),
        (1e-13, "flux flag <F2|mid>"),
        (1e-12, "flux flag <F3|high>"),
        (inf, "flux flag <F4|top>"),
    )
)
_COUNT_FLAG = WordScale(
    (
        (150.0, "quality <C|poor (few counts)>"),
        (600.0, "quality <B|fair>"),
        (3000.0, "quality <A|good>"),
        (inf, "quality <A+|excellent>"),
    )
)
# Frames for items as they stand in the table, and for items in words.
_IDENTITY = (
    r"{name}<:|,| -\>> {items}.",
    "<Source|Src|No.|Entry|Row> {number}<| ({name})>: {items}.",
    "ID {number}, {name}; {items}.",
    "{Items}<; {name}| ({name}, row {number})>.",
    "{Items}.",
)
_IDENTITY_WORDS = (
    "<This row|The entry|The table line> for {name} <has|lists|gives> {items}.",
    "<In the catalogue|In the table>, source {number} <has|carries|appears with> {items}.",
    "{name}, <number|row> {number} of its field, <is given|carries|has> {items}.",
    "<The compilers|The authors of the table> give {name} {items}.",
    "For this source <the table has|we read|are listed> {items}.",
)
_SPECTRUM = (
    "<Fit|Spectral fit|X-ray spectral columns|Best fit|Values>: {items}.",
    "{Items}.",
    "<Xspec|Sherpa> <results|output>: {items}.",
)
_SPECTRUM_WORDS = (
    "<The fit columns|The spectral columns|The columns on the spectrum> <give|list|hold> {items}.",
    "<In the spectral table|In table 3|In the table of fits> <one reads|there is|stands> {items}.",
    "<The fit|Its tabulated fit|The automated fit> has {items}.",
    "The <catalogue|pipeline> <fit|model> <comes|ends> with {items}.",
)
_PHOTOMETRY = (
    "<Photometry|Fluxes and colours|Aperture photometry>: {items}.",
    "{Items}.",
    "<Further|Other> columns: {items}.",
)
_PHOTOMETRY_WORDS = (
    "<The photometric columns|The columns of aperture photometry> <give|list|hold> {items}.",
    "It was <measured|recorded> with {items}.",
    "The <listed|tabulated|catalogued> values are {items}.",
    "<Detected|Catalogued> with {items}.",
)
_CONTEXT = (
    "<Notes|Remarks|Comment|Flags>: {items}.",
    "{Items}.",
    "<Remarks in the table|Last columns|Footnote>: {items}.",
)
_HOSTS = {
    "survey": ("field {host}", "extragalactic survey field", "region: {host}", "deep field"),
    "galaxy": ("host {host}", "host galaxy {host}", "in {host} (galaxy)", "nearby galaxy"),
    "globular": ("GC {host}", "cluster {host} (globular)", "globular cluster", "GlobCl {host}"),
    "nursery": ("region {host} (SFR)", "star-forming region", "SFR {host}", "young cluster"),
    "cluster": ("field of {host} (ClG)", "galaxy cluster field", "target {host}, cluster"),
    "plane": ("Galactic plane", r"low \|b\|", "{host}", "GP survey field"),
}
# Beside a luminosity: which distance it takes.
_SCALES_OF_HOSTS = {
    "galaxy": (" (host distance)", " at the galaxy's distance"),
    "globular": (" (cluster distance)", " at the globular's distance"),
    "nursery": (" (association distance)", " at the SFR's distance"),
    "plane": (" (Galactic)", " (plane source)"),
}
_INDICES = (
    "Gamma = {v}",
    "Gamma = {v}+/-{e:.{d}f}",
    "Γ {v}(±{e:.{d}f})",
    "PhoIndex {v}",
    "photon index {v} (+{e:.{d}f} -{e:.{d}f})",
)
_INDEX_WORDS = (
    "a photon index of {v}",
    "a photon index of {v} <with an error of|plus or minus> {e:.{d}f}",
    "an index of {v}",
    "a slope of {v}",
)
_TEMPERATURES = (
    "kT = {v} keV",
    "kT = {v}+/-{e:.{d}f} keV",
    "kT {v} (±{e:.{d}f}) keV",
    "kT(keV) {v}",
    "temperature {v} keV",
)
_TEMPERATURE_WORDS = (
    "a temperature of {v} keV",
    "a temperature of {v} <with an error of|plus or minus> {e:.{d}f} keV",
    "a kT of {v} keV",
)
_COLUMNS = (
    "NH = {v}e22",
    "N_H {v} x 10^22 cm-2",
    "nH = {v} (10^22 cm^-2)",
    "nH={v}e22 cm-2",
)
_COLUMN_WORDS = (
    "<a column|an absorbing column|a hydrogen column> of {v}e22 cm^-2",
    "an N_H of {v} x 10^22 <per square centimetre|cm^-2>",
)
_FLUXES = (
    "F(0.5-7) = {m}e{e} erg/cm2/s",
    "flux {m}E{e} erg/s/cm^2",
    "fx {m}e{e} cgs",
    "F_X = {m} x 10^{e} erg cm-2 s-1",
    "flux_aper_b {m}e{e}",
)
_FLUX_WORDS = (
    "a <|broad-band |mean >flux of {m}e{e} erg/cm^2/s",
    "an energy flux of {m} x 10^{e} erg cm^-2 s^-1",
)
_HARDNESSES = ("HR = {v}", "HR(H-S) {v}", "hard_hs {v}", "hardness ratio {v}", "HR={v}+/-{e:.2f}")
_HARDNESS_WORDS = (
    "a <|hard-to-soft >hardness ratio of {v}",
    "a hardness ratio (hard against soft) of {v}",
)
_MEDIUMS = ("HR1 = {v} (M-S)", "hard_ms {v}", "(M-S)/(M+S) = {v}", "soft colour {v}")
_MEDIUM_WORDS = (
    "a <medium-to-soft|soft> <ratio|colour> of {v}",
    "a medium-against-soft ratio of {v}",
)
_COUNTS = (
    "{v} net counts <in a standard exposure|(typical exposure)>",
    "<typical|standard> net counts {v}",
    "{v} <cts|counts>/visit",
)
_COUNT_WORDS = (
    "{v} <counts|net counts|source counts> <in an exposure of the usual length|per visit>",
    "some {v} <net |>counts <each time|in a typical exposure>",
)
_PLAIN = (
    "offset <to|from> <Gaia|2MASS|the optical match> {tenth:.2f} arcsec",
    '{n} <counterparts|matches> within {tenth:.1f}"',
    "R = {mag:.1f}",
    "K = {mag:.1f} mag",
    "no <radio|optical|IR> counterpart",
    "<flag|conf. flag> {n}",
    "detected in {n} <obs|ObsIDs|observations>",
    "P_match = 0.{per:02d}",
    "ref. {n}<, {m}|>",
    "<see|cf.> note {letter}",
    "<pileup|pile-up> <none|negligible>",
    'position error {tenth:.2f}"',
    "edge flag 0",
)
_KEV_IN_MK = 11.6045
# Upper limits on columns that are stated, 1e22 cm⁻².
_COLUMN_LIMITS = (0.03, 0.1, 0.3, 1.0, 3.0)


def write(facts: Facts, reporter: Reporter) -> dict[str, str]:
    """Write one to four sentences of columns, as symbols or in words."""
    words = reporter.chance(0.5)
    texts = {"identity": _identity(facts, reporter, words)}
    if reporter.chance(0.85):
        texts["spectrum"] = _fit(facts, reporter, words)
    if reporter.chance(0.75 if "spectrum" in texts else 1.0):
        items = _photometry(facts, reporter, words)
        text = _sentence(_PHOTOMETRY_WORDS if words else _PHOTOMETRY, items, reporter)
        texts["spectrum"] = f"{texts.get('spectrum', '')} {text}".strip()
    if reporter.chance(0.55):
        texts["context"] = _sentence(_CONTEXT, _notes(facts, reporter), reporter)
    return texts


def _identity(facts: Facts, reporter: Reporter, words: bool) -> str:
    items = []
    if reporter.chance(0.9):
        label = _CLASSES.pick(facts, reporter)
        items.append(reporter.pick(_CLASS_WORDS if words else _CLASS_FORMS, c=label))
    if facts.redshift > 0.0 and reporter.chance(0.7):
        found = reporter.measure("redshift", facts.redshift, 5e-4)
        z = reporter.decimal(found, 2 + reporter.random.randrange(2))
        forms = ("z = {z}", "z_spec={z}", "redshift {z}", "z {z}")
        items.append(
            reporter.pick(("a <|spectroscopic >redshift of {z}",) if words else forms, z=z)
        )
    if not items or reporter.chance(0.3):
        items.append(_plain(reporter))
    frames = _IDENTITY_WORDS if words else _IDENTITY
    return _sentence(frames, reporter.shuffled(items), reporter, facts)


def _fit(facts: Facts, reporter: Reporter, words: bool) -> str:
    kind = int(facts.first)
    model = _MODEL_NAMES.pick(facts, reporter)
    if reporter.tells_second(facts, 0.5):
        model = f"{model} {reporter.pick(_SECONDS[int(facts.second)])}"
    forms = ("<model|Model|mod.> {m}", "{m}", "{m} <fit|model>")
    items = [reporter.pick(("the model {m}", "{m} as the model") if words else forms, m=model)]
    more = []
    if reporter.chance(0.85):
        more.append(_shape(kind, facts, reporter, words))
    if reporter.chance(0.75):
        more.append(_column(facts, reporter, words))
    if kind == PLASMA and reporter.chance(0.35):
        found = reporter.measure("abundance", facts.abundance, 0.25, LOG)
        value = reporter.decimal(found, 2)
        forms = ("Z = {v} solar", "abundance {v} solar", "Z/Zsun {v}")
        more.append(reporter.pick(("a metallicity of {v} solar",) if words else forms, v=value))
    if reporter.chance(0.35):
        more.append(
            reporter.pick(
                ("chi2/dof = {a}/{b}", "C-stat {a} (<dof|bins> {b})", "red. chi2 {c:.2f}"),
                a=reporter.random.randrange(20, 180),
                b=reporter.random.randrange(20, 180),
                c=reporter.random.uniform(0.7, 1.4),
            )
        )
    return _sentence(
        _SPECTRUM_WORDS if words else _SPECTRUM, [*items, *reporter.shuffled(more)], reporter
    )


def _shape(kind: int, facts: Facts, reporter: Reporter, words: bool) -> str:
    random = reporter.random
    if kind == POWER_LAW:
        found = reporter.measure("shape", facts.shape, random.uniform(0.06, 0.35), LINEAR)
        digits = 2 if found.error < 0.2 else 1
        return reporter.pick(
            _INDEX_WORDS if words else _INDICES,
            v=reporter.decimal(found, digits),
            e=found.error,
            d=digits,
        )
    found = reporter.measure("shape", facts.shape, random.uniform(0.06, 0.25), LOG)
    error = found.value * found.error
    if reporter.chance(0.15):
        value = reporter.plain(found, 2, 1.0 / _KEV_IN_MK)
        return f"a temperature of {value} million kelvin" if words else f"T = {value} MK"
    digits = 1 if found.value >= 3.0 else 2
    return reporter.pick(
        _TEMPERATURE_WORDS if words else _TEMPERATURES,
        v=reporter.decimal(found, digits),
        e=max(error, 10.0**-digits),
        d=digits,
    )


def _column(facts: Facts, reporter: Reporter, words: bool) -> str:
    found = reporter.measure("nh", facts.nh, reporter.random.uniform(0.12, 0.4), LOG)
    form = reporter.random.random()
    if form < 0.2:
        return f"log NH = {reporter.logarithm(found, 2, 1e-22)}"
    if form < 0.35:
        limit = next((step for step in _COLUMN_LIMITS if found.value < step), 0.0)
        if limit:
            reporter.limit(found, limit, upper=True)
            return reporter.pick((r"NH \< {v:g}e22 cm-2", r"N_H \< {v:g} x 10^22 cm^-2"), v=limit)
    if form < 0.6:
        value = reporter.plain(found, 2, 1e-2)
        return reporter.pick(("nH {v}e20 cm^-2", "N_H = {v} x 10^20 cm^-2"), v=value)
    return reporter.pick(_COLUMN_WORDS if words else _COLUMNS, v=reporter.plain(found, 2))


def _photometry(facts: Facts, reporter: Reporter, words: bool) -> list[str]:
    columns: tuple[tuple[float, Callable[[Facts, Reporter, bool], str]], ...] = (
        (0.6, _counts),
        (0.75, _flux),
        (0.5, _hardness),
        (0.25, _medium),
        (0.2, _colour),
    )
    items = [write(facts, reporter, words) for chance, write in columns if reporter.chance(chance)]
    return reporter.shuffled(items or [_flux(facts, reporter, words)])


def _colour(facts: Facts, reporter: Reporter, words: bool) -> str:
    word = reporter.word(reporter.measure("hardness", facts.hardness, 0.07), _COLOUR)
    return f"the {word}" if words else word


def _counts(facts: Facts, reporter: Reporter, words: bool) -> str:
    found = reporter.measure("photons", facts.photons, 0.25, LOG)
    if reporter.chance(0.25):
        word = reporter.word(found, _COUNT_FLAG)
        return f"the {word}" if words else word
    return reporter.pick(_COUNT_WORDS if words else _COUNTS, v=reporter.plain(found, 2))


def _flux(facts: Facts, reporter: Reporter, words: bool) -> str:
    flux = reporter.measure("flux", facts.flux, 0.3, LOG)
    if facts.is_at_known_distance and reporter.chance(0.4):
        reporter.label("host", facts.field_kind)
        found = reporter.again(flux, "luminosity", flux.value * facts.luminosity / facts.flux)
        place = reporter.pick(_SCALES_OF_HOSTS[facts.field_kind])
        if reporter.chance(0.6):
            value = reporter.logarithm(found, 1 + reporter.random.randrange(2))
            return reporter.pick(("log L_X = {v}{p}", "log Lx {v} erg/s{p}"), v=value, p=place)
        mantissa, exponent = reporter.significant(found, 2)
        return reporter.pick(
            ("L_X = {m}e{e} erg/s{p}", "Lx {m}E{e}{p}"), m=mantissa, e=exponent, p=place
        )
    form = reporter.random.random()
    if form < 0.15:
        return f"{'the ' * words}{reporter.word(flux, _BRIGHT_FLAG)}"
    if form < 0.35:
        value = reporter.logarithm(flux, 2)
        forms = ("log F_X = {v}", "log flux {v} (cgs)", "log fx {v}")
        return reporter.pick(("a logarithmic flux of {v}",) if words else forms, v=value)
    mantissa, exponent = reporter.significant(flux, 2 + reporter.random.randrange(2))
    return reporter.pick(_FLUX_WORDS if words else _FLUXES, m=mantissa, e=exponent)


def _hardness(facts: Facts, reporter: Reporter, words: bool) -> str:
    found = reporter.measure("hardness", facts.hardness, reporter.random.uniform(0.03, 0.1))
    return reporter.pick(
        _HARDNESS_WORDS if words else _HARDNESSES,
        v=reporter.decimal(found, 2),
        e=found.error,
    )


def _medium(facts: Facts, reporter: Reporter, words: bool) -> str:
    found = reporter.measure("medium_soft", facts.medium_soft, reporter.random.uniform(0.03, 0.1))
    return reporter.pick(
        _MEDIUM_WORDS if words else _MEDIUMS,
        v=reporter.decimal(found, 2),
    )


def _notes(facts: Facts, reporter: Reporter) -> list[str]:
    items = [_plain(reporter) for _ in range(1 + reporter.random.randrange(2))]
    if reporter.chance(0.65):
        reporter.label("host", facts.field_kind)
        place = reporter.pick(_HOSTS[facts.field_kind], host=facts.host.removeprefix("the "))
        common = facts.field_kind in _SCALES_OF_HOSTS and isfinite(facts.distance_mpc)
        if common and reporter.chance(0.4):
            found = reporter.measure("distance_mpc", facts.distance_mpc, 0.07, LOG)
            unit, name = (1.0, "Mpc") if found.value >= 0.1 else (1e-3, "kpc")
            place = f"{place}, d = {reporter.plain(found, 2, unit)} {name}"
        items.append(place)
    if facts.field_kind == "plane" and reporter.chance(0.3):
        found = reporter.measure("foreground_nh", facts.foreground_nh, 0.15, LOG)
        items.append(f"NH(Gal) {reporter.plain(found, 2, 1e-2)}e20")
    return reporter.shuffled(items)


def _plain(reporter: Reporter) -> str:
    """Write a column that tells nothing of the spectrum or the class."""
    random = reporter.random
    return reporter.pick(
        _PLAIN,
        tenth=random.uniform(0.1, 1.4),
        n=random.randrange(1, 9),
        m=random.randrange(9, 20),
        mag=random.uniform(11.0, 24.0),
        per=random.randrange(1, 99),
        letter="abcdefgh"[random.randrange(8)],
    )


def _sentence(
    frames: tuple[str, ...], items: list[str], reporter: Reporter, facts: Facts | None = None
) -> str:
    joint = (", ", "; ", ", ")[reporter.random.randrange(3)]
    text = joint.join(items)
    if len(items) > 1 and reporter.chance(0.3):
        text = f"{joint.join(items[:-1])}{' and ' if joint == ', ' else '; '}{items[-1]}"
    return reporter.pick(
        frames,
        items=text,
        Items=capitalized(text),
        name="" if facts is None else facts.name,
        number=0 if facts is None else facts.place + 1,
    )


WRITER = Writer("table_row", write)

__all__ = ["WRITER"]
