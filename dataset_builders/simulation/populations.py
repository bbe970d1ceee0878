"""Who lives in the simulated sky: classes of X-ray sources and how their spectra are spread.

The numbers are rounded from the literature named beside each class and from the marginal
distributions of the Chandra Source Catalog (medians and 16–84 % ranges); no catalogue row is
copied. A spectrum is one or two components, each behind its own cold absorber.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from hf_specclip.spectra import models

from .instrument import PHOTON_CENTRES, PHOTON_EDGES
from .timing import LightCurves

# Components of a spectrum; the index is what `Spectra.first` and `.second` hold.
COMPONENTS = ("power_law", "black_body", "bremsstrahlung", "plasma")
POWER_LAW, BLACK_BODY, BREMSSTRAHLUNG, PLASMA = range(4)
NONE = -1
BROAD_BAND = (0.5, 7.0)
# Thomson-thick columns do not block the band entirely; beyond this the tables say nothing new.
MOST_ABSORBED = 200.0


@dataclass(frozen=True)
class Normal:
    """Normal distribution, cut at `low` and `high`."""

    mean: float
    sigma: float
    low: float = -np.inf
    high: float = np.inf

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        return np.clip(random.normal(self.mean, self.sigma, n), self.low, self.high)


@dataclass(frozen=True)
class LogNormal:
    """Log-normal distribution: median, and standard deviation in dex; cut at `low`, `high`."""

    median: float
    dex: float
    low: float = 0.0
    high: float = np.inf

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        values = self.median * 10.0 ** random.normal(0.0, self.dex, n)
        return np.clip(values, self.low, self.high)


Distribution = Normal | LogNormal


@dataclass(frozen=True)
class Component:
    """One component of a class's spectra.

    Attributes:
        kind: index into `COMPONENTS`.
        shape: photon index, or temperature in keV.
        chance: share of the sources that have it (1 for the first component).
        share: share of the unabsorbed 0.5–7 keV photons in it (second component only).
        local_nh: whether the source's own absorber lies in front of it, too.
    """

    kind: int
    shape: Distribution
    chance: float = 1.0
    share: Distribution = Normal(0.0, 0.0)
    local_nh: bool = True


@dataclass(frozen=True)
class Behaviour:
    """How sources of a class vary within an observation.

    Attributes:
        scatter: standard deviation of ln(rate) of red noise over an observation of 30 ks.
        period: s, of a modulation; None for classes without.
        periodic: share of the sources that are modulated.
        pulsed: amplitude of the modulation, 0 to 1.
        flares: mean number in 100 ks.
        flare: height over the quiescent rate.
        flare_decay: exponential time, s.
    """

    scatter: LogNormal = LogNormal(0.02, 0.2, high=0.2)
    period: LogNormal | None = None
    periodic: float = 0.0
    pulsed: Normal = Normal(0.3, 0.15, 0.05, 0.9)
    flares: float = 0.0
    flare: LogNormal = LogNormal(2.0, 0.4, high=60.0)
    flare_decay: LogNormal = LogNormal(4e3, 0.25, 300.0, 40e3)


@dataclass(frozen=True)
class SourceClass:
    """A class of sources.

    Attributes:
        label: SIMBAD-style class, the contract's `source_class`.
        first: main component.
        second: further component, or None.
        local_nh: column of the source's own absorber, 1e22 cm⁻².
        redshift: of the source; 0 for Galactic and nearby ones.
        abundance: of the metals, Anders & Grevesse.
        variability: scatter of the flux between observations, dex.
        brightness: how much brighter than the faintest of a field its members are, dex: what
            is known in radio or optical light first is bright or faint in X-rays as it may.
        extended: whether Chandra resolves it (an `X` ends its name; it does not vary).
        behaviour: how it varies within an observation.
    """

    label: str
    first: Component
    second: Component | None
    local_nh: Distribution
    redshift: Distribution = Normal(0.0, 0.0)
    abundance: Distribution = Normal(1.0, 0.0)
    variability: float = 0.1
    brightness: float = 0.0
    extended: bool = False
    behaviour: Behaviour = Behaviour()


CLASSES: Mapping[str, SourceClass] = {
    # Vignali et al. 2005; Just et al. 2007; CSC QSOs: Γ 1.93 (1.72–2.24), N_H 5 (0–14) e20.
    "qso": SourceClass(
        "QSO",
        Component(POWER_LAW, Normal(1.95, 0.2, 1.2, 3.0)),
        None,
        LogNormal(0.01, 0.5, high=1.0),
        redshift=LogNormal(1.1, 0.22, 0.2, 4.0),
        variability=0.12,
        brightness=0.0,
        behaviour=Behaviour(LogNormal(0.03, 0.25, high=0.3)),
    ),
    # Nandra & Pounds 1994; Gierliński & Done 2004 (soft excess of kT 0.1–0.15 keV).
    "seyfert1": SourceClass(
        "Seyfert_1",
        Component(POWER_LAW, Normal(1.8, 0.2, 1.1, 2.8)),
        Component(BLACK_BODY, Normal(0.12, 0.02, 0.07), 0.5, Normal(0.3, 0.1, 0.05, 0.6)),
        LogNormal(0.02, 0.5, high=1.0),
        redshift=LogNormal(0.06, 0.35, 0.003, 0.5),
        variability=0.2,
        brightness=0.6,
        behaviour=Behaviour(LogNormal(0.12, 0.3, high=0.6)),
    ),
    # Risaliti et al. 1999 (columns); Noguchi et al. 2010 (scattered light of 0.3–10 %).
    "seyfert2": SourceClass(
        "Seyfert_2",
        Component(POWER_LAW, Normal(1.8, 0.2, 1.1, 2.6)),
        Component(
            POWER_LAW,
            Normal(2.3, 0.3, 1.6, 3.5),
            0.9,
            LogNormal(0.02, 0.35, 0.002, 0.15),
            local_nh=False,
        ),
        LogNormal(10.0, 0.55, 0.8, 120.0),
        redshift=LogNormal(0.04, 0.35, 0.003, 0.3),
        variability=0.12,
        brightness=0.2,
        behaviour=Behaviour(LogNormal(0.05, 0.3, high=0.4)),
    ),
    # Lin et al. 2009; Irwin et al. 2003 (nearby galaxies: Γ ≈ 1.6).
    "lmxb": SourceClass(
        "LMXB",
        Component(POWER_LAW, Normal(1.65, 0.2, 1.1, 2.6)),
        Component(BLACK_BODY, Normal(0.9, 0.3, 0.3, 2.0), 0.4, Normal(0.35, 0.15, 0.05, 0.8)),
        LogNormal(0.05, 0.5, high=5.0),
        variability=0.25,
        brightness=0.15,
        behaviour=Behaviour(LogNormal(0.06, 0.35, high=0.6), LogNormal(15e3, 0.3, 2.5e3), 0.15),
    ),
    # White, Swank & Holt 1983; Walter et al. 2015: hard and absorbed at the source.
    "hmxb": SourceClass(
        "HMXB",
        Component(POWER_LAW, Normal(1.0, 0.3, 0.2, 2.0)),
        None,
        LogNormal(0.9, 0.6, 0.02, 60.0),
        variability=0.35,
        brightness=0.2,
        behaviour=Behaviour(LogNormal(0.15, 0.3, high=0.8), LogNormal(300.0, 0.6, 1.0, 2e4), 0.6),
    ),
    # Swartz et al. 2004; Kaaret, Feng & Roberts 2017: a cool disc beside a steep continuum.
    "ulx": SourceClass(
        "ULX",
        Component(POWER_LAW, Normal(2.0, 0.35, 1.2, 3.3)),
        Component(BLACK_BODY, Normal(0.22, 0.06, 0.1, 0.5), 0.6, Normal(0.35, 0.15, 0.05, 0.8)),
        LogNormal(0.2, 0.35, 0.01, 3.0),
        variability=0.2,
        brightness=0.5,
        behaviour=Behaviour(LogNormal(0.05, 0.35, high=0.6)),
    ),
    # Mukai 2017: shock-heated columns and boundary layers of 5–30 keV.
    "cv": SourceClass(
        "CV*",
        Component(BREMSSTRAHLUNG, LogNormal(11.0, 0.3, 2.0, 60.0)),
        None,
        LogNormal(0.06, 0.5, high=3.0),
        variability=0.2,
        brightness=0.0,
        behaviour=Behaviour(LogNormal(0.08, 0.3, high=0.6), LogNormal(3e3, 0.5, 200.0, 4e4), 0.4),
    ),
    # Güdel & Nazé 2009: two temperatures, metals below the Sun's.
    "star": SourceClass(
        "Star",
        Component(PLASMA, LogNormal(0.75, 0.13, 0.25, 2.0)),
        Component(PLASMA, LogNormal(0.28, 0.1, 0.1, 0.6), 0.7, Normal(0.35, 0.15, 0.05, 0.8)),
        LogNormal(0.01, 0.4, high=0.3),
        abundance=LogNormal(0.3, 0.2, 0.05, 1.5),
        variability=0.2,
        brightness=0.1,
        behaviour=Behaviour(LogNormal(0.06, 0.3, high=0.5), flares=0.9),
    ),
    # Preibisch et al. 2005; CSC YSOs: Γ 2.8, N_H 60 (16–108) e20.
    "yso": SourceClass(
        "YSO",
        Component(PLASMA, LogNormal(2.6, 0.2, 1.0, 10.0)),
        Component(PLASMA, LogNormal(0.8, 0.1, 0.3, 1.5), 0.6, Normal(0.4, 0.15, 0.05, 0.8)),
        LogNormal(0.7, 0.45, 0.02, 20.0),
        abundance=LogNormal(0.3, 0.15, 0.1, 1.0),
        variability=0.3,
        brightness=0.0,
        behaviour=Behaviour(
            LogNormal(0.08, 0.3, high=0.5),
            flares=0.35,
            flare=LogNormal(4.0, 0.4, high=100.0),
            flare_decay=LogNormal(8e3, 0.3, 1e3, 6e4),
        ),
    ),
    # Long 2017; Maggi et al. 2016 (kT 0.2–0.9 keV).
    "snr": SourceClass(
        "SNR",
        Component(PLASMA, LogNormal(0.5, 0.17, 0.15, 2.0)),
        None,
        LogNormal(0.15, 0.4, 0.01, 3.0),
        abundance=LogNormal(0.8, 0.25, 0.2, 4.0),
        variability=0.0,
        brightness=0.6,
        extended=True,
    ),
    # Vikhlinin et al. 2006: 2–10 keV, a third of the Sun's metals.
    "cluster": SourceClass(
        "ClG",
        Component(PLASMA, LogNormal(4.2, 0.2, 1.0, 14.0)),
        None,
        LogNormal(0.005, 0.3, high=0.1),
        redshift=LogNormal(0.2, 0.3, 0.03, 1.2),
        abundance=Normal(0.33, 0.08, 0.1, 0.8),
        variability=0.0,
        brightness=1.0,
        extended=True,
    ),
    # Becker 2009: surface of 0.1–0.25 keV and a magnetospheric power law.
    "pulsar": SourceClass(
        "Pulsar",
        Component(BLACK_BODY, LogNormal(0.17, 0.1, 0.08, 0.4)),
        Component(POWER_LAW, Normal(1.6, 0.25, 0.9, 2.4), 0.7, Normal(0.35, 0.2, 0.05, 0.9)),
        LogNormal(0.05, 0.4, high=2.0),
        variability=0.03,
        brightness=0.3,
        behaviour=Behaviour(LogNormal(0.01, 0.2), LogNormal(0.15, 0.5, 1e-3, 12.0), 0.8),
    ),
}
CLASS_NAMES = tuple(CLASSES)


@dataclass(frozen=True)
class FieldKind:
    """A kind of pointing.

    Attributes:
        weight: how often it is chosen.
        classes: mix of the sources' classes.
        target: class of the source in the middle, None for one like the others.
        mean_sources: sources with literature, besides the first.
        foreground_nh: Galactic column, 1e22 cm⁻².
        distance_mpc: distance of the host, None where the sources have none in common.
        hosted: whether all sources belong to one host.
        depth: exposure over the typical one.
    """

    weight: float
    classes: Mapping[str, float]
    target: str | None
    mean_sources: float
    foreground_nh: Distribution
    distance_mpc: Distribution | None
    hosted: bool
    depth: float


FIELD_KINDS: Mapping[str, FieldKind] = {
    "survey": FieldKind(
        0.30,
        {"qso": 0.45, "seyfert1": 0.22, "seyfert2": 0.25, "star": 0.08},
        None,
        0.8,
        LogNormal(0.025, 0.2, 0.006, 0.3),
        None,
        False,
        1.7,
    ),
    "galaxy": FieldKind(
        0.26,
        {"lmxb": 0.36, "hmxb": 0.18, "ulx": 0.22, "snr": 0.18, "seyfert1": 0.06},
        None,
        1.6,
        LogNormal(0.04, 0.25, 0.01, 0.5),
        LogNormal(9.0, 0.4, 0.7, 40.0),
        True,
        0.8,
    ),
    "globular": FieldKind(
        0.10,
        {"cv": 0.45, "lmxb": 0.2, "pulsar": 0.25, "star": 0.1},
        None,
        1.4,
        LogNormal(0.15, 0.35, 0.01, 2.0),
        LogNormal(0.006, 0.2, 0.002, 0.02),
        True,
        1.0,
    ),
    "nursery": FieldKind(
        0.10,
        {"yso": 0.85, "star": 0.15},
        None,
        1.8,
        LogNormal(0.1, 0.25, 0.02, 1.0),
        LogNormal(0.0008, 0.3, 0.00013, 0.003),
        True,
        1.5,
    ),
    "cluster": FieldKind(
        0.10,
        {"qso": 0.4, "seyfert1": 0.35, "seyfert2": 0.25},
        "cluster",
        0.6,
        LogNormal(0.035, 0.2, 0.01, 0.2),
        None,
        True,
        0.7,
    ),
    "plane": FieldKind(
        0.14,
        {"cv": 0.22, "lmxb": 0.16, "hmxb": 0.2, "pulsar": 0.2, "star": 0.12, "snr": 0.1},
        None,
        0.4,
        LogNormal(0.5, 0.4, 0.02, 5.0),
        LogNormal(0.003, 0.3, 0.0003, 0.012),
        False,
        0.5,
    ),
}
FIELD_NAMES = tuple(FIELD_KINDS)


@dataclass(frozen=True)
class Spectra:
    """Parameters of many spectra, each an array (n,).

    Attributes:
        first, second: index into `COMPONENTS`, −1 where there is no second.
        shape, shape2: photon index, or temperature in keV.
        share2: share of the unabsorbed 0.5–7 keV photons in the second.
        nh, nh2: column in front of each, 1e22 cm⁻².
        abundance: metals of a plasma.
        redshift: of a plasma (a power law looks the same at any).
    """

    first: np.ndarray
    second: np.ndarray
    shape: np.ndarray
    shape2: np.ndarray
    share2: np.ndarray
    nh: np.ndarray
    nh2: np.ndarray
    abundance: np.ndarray
    redshift: np.ndarray

    def take(self, rows: np.ndarray) -> Spectra:
        """The spectra of some rows, in their order."""
        return Spectra(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def draw_spectra(
    class_index: np.ndarray, foreground_nh: np.ndarray, random: np.random.Generator
) -> Spectra:
    """Draw the parameters of sources from their classes' distributions.

    Args:
        class_index: index into `CLASS_NAMES`, (n).
        foreground_nh: Galactic column, 1e22 cm⁻², (n).
        random: generator; the draws depend on it and on the order of the sources.
    """
    n = len(class_index)
    values = {item.name: np.zeros(n) for item in fields(Spectra)}
    values["first"], values["second"] = np.zeros(n, dtype=int), np.full(n, NONE)
    values["abundance"][:] = 1.0
    for index, name in enumerate(CLASS_NAMES):
        kind = CLASSES[name]
        rows = np.flatnonzero(class_index == index)
        m = len(rows)
        local = kind.local_nh.draw(random, m)
        values["first"][rows] = kind.first.kind
        values["shape"][rows] = kind.first.shape.draw(random, m)
        values["nh"][rows] = foreground_nh[rows] + local
        values["abundance"][rows] = kind.abundance.draw(random, m)
        values["redshift"][rows] = kind.redshift.draw(random, m)
        if kind.second is not None:
            has = random.random(m) < kind.second.chance
            values["second"][rows] = np.where(has, kind.second.kind, NONE)
            values["shape2"][rows] = kind.second.shape.draw(random, m)
            values["share2"][rows] = np.where(has, kind.second.share.draw(random, m), 0.0)
            behind = local if kind.second.local_nh else 0.0
            values["nh2"][rows] = foreground_nh[rows] + behind
    for name in ("nh", "nh2"):
        values[name] = np.minimum(values[name], MOST_ABSORBED)
    return Spectra(**values)


def draw_light_curves(
    class_index: np.ndarray, source: np.ndarray, exposure: np.ndarray, random: np.random.Generator
) -> LightCurves:
    """Draw how sources behave in their observations.

    Args:
        class_index: of each source, index into `CLASS_NAMES`, (m).
        source: observed, index into `class_index`, (n).
        exposure: of each observation, s, (n).
        random: generator; the draws depend on it and on the order of sources and observations.
    """
    m, n = len(class_index), len(source)
    of_source = {"scatter": np.zeros(m), "period": np.zeros(m), "pulsed": np.zeros(m)}
    values = {item.name: np.zeros(n) for item in fields(LightCurves)}
    values["phase"], values["flare_start"] = random.random(n), random.random(n)
    values["flare_decay"][:] = 1.0
    chance = random.random(n)
    for index, name in enumerate(CLASS_NAMES):
        kind = CLASSES[name].behaviour
        if CLASSES[name].extended:
            continue
        rows = np.flatnonzero(class_index == index)
        of_source["scatter"][rows] = kind.scatter.draw(random, len(rows))
        if kind.period is not None:
            has = random.random(len(rows)) < kind.periodic
            of_source["period"][rows] = np.where(has, kind.period.draw(random, len(rows)), 0.0)
            of_source["pulsed"][rows] = np.where(has, kind.pulsed.draw(random, len(rows)), 0.0)
        rows = np.flatnonzero(class_index[source] == index)
        flares = chance[rows] < -np.expm1(-kind.flares * exposure[rows] / 1e5)
        values["flare"][rows] = np.where(flares, kind.flare.draw(random, len(rows)), 0.0)
        values["flare_decay"][rows] = kind.flare_decay.draw(random, len(rows))
    for name, column in of_source.items():
        values[name] = column[source]
    # Red noise: longer observations see more of it.
    longer = (exposure / 30e3) ** 0.3
    values["scatter"] *= longer * np.exp(0.4 * random.standard_normal(n))
    return LightCurves(**values)


def photon_spectra(spectra: Spectra) -> np.ndarray:
    """Spectra as they arrive, for one absorbed photon/cm²/s in 0.5–7 keV.

    Args:
        spectra: parameters of n spectra.

    Returns:
        Photons/cm²/s on `instrument.PHOTON_EDGES`, (n, 870).
    """
    band = (BROAD_BAND[0] < PHOTON_CENTRES) & (BROAD_BAND[1] > PHOTON_CENTRES)
    total = np.zeros((len(spectra.first), len(PHOTON_CENTRES)))
    for component, shape, column, share in (
        (spectra.first, spectra.shape, spectra.nh, 1.0 - spectra.share2),
        (spectra.second, spectra.shape2, spectra.nh2, spectra.share2),
    ):
        for kind in range(len(COMPONENTS)):
            rows = np.flatnonzero(component == kind)
            if not len(rows):
                continue
            photons = _component(kind, shape[rows], spectra.abundance[rows], spectra.redshift[rows])
            photons *= (share[rows] / photons[:, band].sum(axis=1))[:, None]
            total[rows] += photons * _transmission(column[rows])
    return total / total[:, band].sum(axis=1, keepdims=True)


def _component(
    kind: int, shape: np.ndarray, abundance: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    if kind == POWER_LAW:
        return models.power_law(PHOTON_EDGES, shape)
    if kind == PLASMA:
        return models.thermal_plasma(PHOTON_EDGES, shape, abundance, redshift)
    # Between temperatures 1 % apart the spectra are straight lines to better than 0.1 %, and two
    # rows of a table cost a tenth of the model.
    log_kt, table = _continua(kind)
    place = np.clip((np.log(shape) - log_kt[0]) / (log_kt[1] - log_kt[0]), 0.0, len(log_kt) - 1.001)
    lower = place.astype(int)
    weight = (place - lower)[:, None]
    return (1.0 - weight) * table[lower] + weight * table[lower + 1]


@cache
def _continua(kind: int) -> tuple[np.ndarray, np.ndarray]:
    """ln kT (k), and the photons of a continuum at each, (k, 870)."""
    low, high = {BLACK_BODY: (0.03, 5.0), BREMSSTRAHLUNG: (0.1, 120.0)}[kind]
    log_kt = np.linspace(np.log(low), np.log(high), int(np.log(high / low) / 0.01) + 1)
    model = {BLACK_BODY: models.black_body, BREMSSTRAHLUNG: models.bremsstrahlung}[kind]
    return log_kt, model(PHOTON_EDGES, np.exp(log_kt))


def _transmission(column: np.ndarray) -> np.ndarray:
    """What gas of each column (1e22 cm⁻²) lets through, at the middle of each bin: 10 eV are few
    enough for that (0.2 % off where half of the photons at 0.5 keV are stopped)."""
    return np.exp(-column[:, None] * _cross_section())


@cache
def _cross_section() -> np.ndarray:
    return models.photoelectric_cross_section(PHOTON_CENTRES)
