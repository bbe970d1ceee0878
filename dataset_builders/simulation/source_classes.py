"""Classes of X-ray sources and kinds of pointings in the simulated sky. One file: two tables.

The numbers are rounded from the literature named beside each class and from the marginal
distributions of the Chandra Source Catalog (medians and 16–84 % ranges); no catalogue row is
copied. A spectrum is one or two components, each behind its own cold absorber.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Components of a spectrum; the index is what `Spectra.first` and `.second` hold.
COMPONENTS = ("power_law", "black_body", "bremsstrahlung", "plasma", "disk")
POWER_LAW, BLACK_BODY, BREMSSTRAHLUNG, PLASMA, DISK = range(5)
NONE = -1
# Thomson-thick columns do not block the band entirely; beyond this the tables say nothing new.
MOST_ABSORBED = 200.0
# In the frame of the farthest source, keV; gas lets everything through there.
HIGHEST_ENERGY = 45.0


@dataclass(frozen=True)
class Normal:
    """Normal distribution, cut at `low` and `high`."""

    mean: float
    sigma: float
    low: float = -np.inf
    high: float = np.inf

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        """Draw n values."""
        return np.clip(random.normal(self.mean, self.sigma, n), self.low, self.high)


@dataclass(frozen=True)
class LogNormal:
    """Log-normal distribution: median, and standard deviation in dex; cut at `low`, `high`."""

    median: float
    dex: float
    low: float = 0.0
    high: float = np.inf

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        """Draw n values."""
        values = self.median * 10.0 ** random.normal(0.0, self.dex, n)
        return np.clip(values, self.low, self.high)


Distribution = Normal | LogNormal


@dataclass(frozen=True)
class Component:
    """Component of a class's spectra."""

    kind: int  # index into `COMPONENTS`
    shape: Distribution  # photon index, or temperature in keV
    chance: float = 1.0  # share of the sources that have it (1 for the first component)
    # Share of the unabsorbed 0.5–7 keV photons in it (second component only)
    share: Distribution = Normal(0.0, 0.0)
    local_nh: bool = True  # whether the source's own absorber lies in front of it, too


@dataclass(frozen=True)
class Behaviour:
    """Variability of a class within an observation."""

    # Standard deviation of ln(rate) of red noise over an observation of 30 ks
    scatter: LogNormal = LogNormal(0.02, 0.2, high=0.2)
    period: LogNormal | None = None  # s, of a modulation; None for classes without
    periodic: float = 0.0  # share of the sources that are modulated
    pulsed: Normal = Normal(0.3, 0.15, 0.05, 0.9)  # amplitude of the modulation, 0 to 1
    flares: float = 0.0  # mean number in 100 ks
    flare: LogNormal = LogNormal(2.0, 0.4, high=60.0)  # height over the quiescent rate
    flare_decay: LogNormal = LogNormal(4e3, 0.25, 300.0, 40e3)  # exponential time, s


@dataclass(frozen=True)
class SourceClass:
    """Class of sources."""

    label: str  # SIMBAD-style class, the contract's `source_class`
    first: Component  # main component
    second: Component | None = None  # further component, or None
    # Column of the source's own absorber, at its redshift, 1e22 cm⁻²
    local_nh: Distribution = Normal(0.0, 0.0)
    redshift: Distribution = Normal(0.0, 0.0)  # of the source; 0 for Galactic and nearby ones
    abundance: Distribution = Normal(1.0, 0.0)  # of the metals, Anders & Grevesse
    # Share of the main component that the local absorber covers
    covering: Distribution = Normal(1.0, 0.0)
    line: Distribution = Normal(0.0, 0.0)  # equivalent width of the Fe K line at 6.4 keV, keV
    variability: float = 0.1  # scatter of the flux between observations, dex
    # How much brighter than the faintest of a field its members are, dex: what is known in radio or
    # optical light first is bright or faint in X-rays as it may
    brightness: float = 0.0
    extended: bool = False  # whether Chandra resolves it (an `X` ends its name; it does not vary)
    behaviour: Behaviour = Behaviour()  # how it varies within an observation


# Sources of the numbers stand beside each class: medians and scatter as they give them, rounded.
# The scatter within an observation is that of usual ones, 10 to 50 ks: of the catalogue's sources
# with thousands of counts, few are variable in them.
CLASSES: Mapping[str, SourceClass] = {
    # Just et al. 2007 (Γ 1.92 ± 0.2); variability: Paolillo et al. 2004, Gibson & Brandt 2012.
    "qso": SourceClass(
        "QSO",
        Component(POWER_LAW, Normal(1.9, 0.22, 1.1, 3.0)),
        local_nh=LogNormal(0.05, 0.7, high=20.0),
        redshift=LogNormal(1.1, 0.22, 0.2, 4.0),
        variability=0.12,
        behaviour=Behaviour(LogNormal(0.015, 0.25, high=0.3)),
    ),
    # Chartas et al. 2002, Pooley et al. 2007: quasars, with microlensing of tenths of a magnitude.
    "lensed_qso": SourceClass(
        "LensedQ",
        Component(POWER_LAW, Normal(1.85, 0.2, 1.2, 2.6)),
        local_nh=LogNormal(0.05, 0.6, high=5.0),
        redshift=LogNormal(1.7, 0.15, 0.6, 4.0),
        variability=0.16,
        brightness=0.5,
        behaviour=Behaviour(LogNormal(0.015, 0.25, high=0.3)),
    ),
    # Nandra & Pounds 1994; Gierliński & Done 2004 (soft excess of kT 0.1–0.15 keV); little gas
    # beyond the Galaxy's: Winter et al. 2009; Fe K of 80 eV: Bianchi et al. 2007; variability:
    # González-Martín & Vaughan 2012.
    "seyfert1": SourceClass(
        "Seyfert_1",
        Component(POWER_LAW, Normal(1.8, 0.2, 1.0, 2.8)),
        Component(BLACK_BODY, Normal(0.12, 0.02, 0.07), 0.45, Normal(0.15, 0.07, 0.03, 0.4)),
        local_nh=LogNormal(0.02, 0.5, high=20.0),
        redshift=LogNormal(0.06, 0.35, 0.003, 0.5),
        line=LogNormal(0.08, 0.2, high=0.3),
        variability=0.2,
        brightness=0.4,
        behaviour=Behaviour(LogNormal(0.05, 0.3, high=0.6)),
    ),
    # Risaliti et al. 1999, Ricci et al. 2017 (columns from 1e21 to beyond 1e24); Noguchi et al.
    # 2010 (scattered light of 0.3–10 %), and as much again of the gas around: Turner et al. 1997,
    # Guainazzi & Bianchi 2007; Guainazzi et al. 2005 (Fe K).
    "seyfert2": SourceClass(
        "Seyfert_2",
        Component(POWER_LAW, Normal(1.8, 0.2, 1.1, 2.6)),
        Component(
            POWER_LAW,
            Normal(2.3, 0.3, 1.6, 3.5),
            0.77,
            LogNormal(0.125, 0.5, 0.002, 0.5),
            local_nh=False,
        ),
        local_nh=LogNormal(7.0, 0.7, 0.1, 120.0),
        redshift=LogNormal(0.06, 0.45, 0.003, 1.0),
        line=LogNormal(0.2, 0.3, high=1.5),
        variability=0.12,
        behaviour=Behaviour(LogNormal(0.025, 0.3, high=0.4)),
    ),
    # Auchettl et al. 2017, Saxton et al. 2020: soft thermal light that fades over years.
    "tde": SourceClass(
        "TDE",
        Component(BLACK_BODY, LogNormal(0.075, 0.1, 0.045, 0.15)),
        Component(POWER_LAW, Normal(2.6, 0.5, 1.6, 4.0), 0.6, Normal(0.1, 0.06, 0.01, 0.4)),
        local_nh=LogNormal(0.03, 0.4, high=0.5),
        redshift=LogNormal(0.07, 0.3, 0.01, 0.4),
        variability=0.6,
        brightness=0.1,
        behaviour=Behaviour(LogNormal(0.04, 0.3, high=0.5)),
    ),
    # Irwin et al. 2003 (nearby galaxies: Γ 1.6, or a disc of 1–2 keV); Lin et al. 2009.
    "lmxb": SourceClass(
        "LMXB",
        Component(POWER_LAW, Normal(1.68, 0.26, 1.0, 2.8)),
        Component(DISK, LogNormal(1.0, 0.15, 0.3, 2.5), 0.4, Normal(0.4, 0.2, 0.05, 0.9)),
        local_nh=LogNormal(0.05, 0.45, high=8.0),
        variability=0.25,
        brightness=0.15,
        behaviour=Behaviour(
            LogNormal(0.03, 0.35, high=0.6), LogNormal(15e3, 0.3, 2.5e3, 9e4), 0.15
        ),
    ),
    # White, Swank & Holt 1983; Walter et al. 2015: hard, absorbed at the source, with Fe K; periods
    # of 1–1000 s: Corbet 1986; cut-offs: Coburn et al. 2002.
    "hmxb": SourceClass(
        "HMXB",
        Component(POWER_LAW, Normal(1.2, 0.25, 0.1, 2.2)),
        local_nh=LogNormal(0.3, 0.4, 0.02, 60.0),
        line=LogNormal(0.06, 0.35, high=1.0),
        variability=0.35,
        brightness=0.2,
        behaviour=Behaviour(LogNormal(0.075, 0.3, high=0.8), LogNormal(300.0, 0.6, 1.0, 2e4), 0.6),
    ),
    # Swartz et al. 2004; Kaaret, Feng & Roberts 2017: a cool disc beside a steep continuum, which
    # turns over at some keV (Gladstone et al. 2009).
    "ulx": SourceClass(
        "ULX",
        Component(POWER_LAW, Normal(1.95, 0.4, 1.0, 3.3)),
        Component(DISK, LogNormal(0.25, 0.12, 0.1, 0.6), 0.5, Normal(0.3, 0.15, 0.05, 0.8)),
        local_nh=LogNormal(0.2, 0.4, 0.01, 4.0),
        variability=0.2,
        brightness=0.5,
        behaviour=Behaviour(LogNormal(0.025, 0.35, high=0.6)),
    ),
    # Bachetti et al. 2014, Pintore et al. 2017, Walton et al. 2018: harder, seconds of period, and
    # changes of a factor of ten.
    "ulx_pulsar": SourceClass(
        "ULX_pulsar",
        Component(POWER_LAW, Normal(1.15, 0.2, 0.6, 1.7)),
        Component(DISK, LogNormal(0.35, 0.12, 0.15, 0.8), 0.6, Normal(0.2, 0.1, 0.05, 0.6)),
        local_nh=LogNormal(0.25, 0.4, 0.01, 4.0),
        variability=0.45,
        brightness=0.6,
        behaviour=Behaviour(LogNormal(0.04, 0.3, high=0.6), LogNormal(2.0, 0.4, 0.4, 40.0), 1.0),
    ),
    # Ezuka & Ishida 1999, Mukai 2017: tall shocks of 10–40 keV behind gas that covers a part, with
    # Fe K of 150 eV; spin periods of 200–8000 s.
    "cv_magnetic": SourceClass(
        "MagCV",
        Component(BREMSSTRAHLUNG, LogNormal(20.0, 0.22, 6.0, 60.0)),
        local_nh=LogNormal(3.0, 0.4, 0.05, 40.0),
        covering=Normal(0.5, 0.15, 0.1, 0.95),
        line=LogNormal(0.14, 0.2, high=0.5),
        variability=0.2,
        behaviour=Behaviour(
            LogNormal(0.04, 0.3, high=0.6),
            LogNormal(1500.0, 0.45, 200.0, 3e4),
            0.8,
            Normal(0.35, 0.15, 0.05, 0.9),
        ),
    ),
    # Byckling et al. 2010, Pandel et al. 2005: cooling plasma whose mean is 3–10 keV.
    "cv": SourceClass(
        "CV*",
        Component(PLASMA, LogNormal(6.0, 0.25, 1.5, 25.0)),
        local_nh=LogNormal(0.06, 0.5, high=3.0),
        abundance=LogNormal(0.8, 0.15, 0.2, 2.0),
        variability=0.2,
        behaviour=Behaviour(LogNormal(0.06, 0.3, high=0.7), LogNormal(12e3, 0.3, 4e3, 6e4), 0.25),
    ),
    # Güdel 2004, Güdel & Nazé 2009: two temperatures, metals below the Sun's; flares of hours.
    "star": SourceClass(
        "Star",
        Component(PLASMA, LogNormal(0.85, 0.15, 0.25, 2.5)),
        Component(PLASMA, LogNormal(0.3, 0.1, 0.1, 0.6), 0.6, Normal(0.3, 0.15, 0.05, 0.8)),
        local_nh=LogNormal(0.01, 0.4, high=0.3),
        abundance=LogNormal(0.3, 0.2, 0.05, 1.5),
        variability=0.2,
        behaviour=Behaviour(LogNormal(0.03, 0.3, high=0.5), flares=0.9),
    ),
    # Getman et al. 2005, Preibisch et al. 2005 (nearly all bright ones have two temperatures): most
    # are revealed, behind a magnitude or two of extinction (Da Rio et al. 2010), a part is deep in
    # its cloud; flares: Wolk et al. 2005, Getman et al. 2008.
    "yso": SourceClass(
        "YSO",
        Component(PLASMA, LogNormal(2.0, 0.3, 0.6, 10.0)),
        Component(PLASMA, LogNormal(0.8, 0.1, 0.3, 1.5), 0.85, Normal(0.5, 0.25, 0.03, 0.95)),
        local_nh=LogNormal(0.18, 0.9, high=20.0),
        abundance=LogNormal(0.3, 0.15, 0.1, 1.0),
        variability=0.3,
        behaviour=Behaviour(
            LogNormal(0.04, 0.3, high=0.5),
            flares=0.35,
            flare=LogNormal(4.0, 0.4, high=100.0),
            flare_decay=LogNormal(8e3, 0.3, 1e3, 6e4),
        ),
    ),
    # Nazé 2009, Rauw et al. 2015: shocks in winds, 0.3–0.7 keV, steady, and hotter ones where winds
    # collide or are confined, behind the dust of their associations.
    "ob_star": SourceClass(
        "OB*",
        Component(PLASMA, LogNormal(0.6, 0.1, 0.2, 1.5)),
        Component(PLASMA, LogNormal(2.2, 0.15, 1.0, 4.0), 0.6, Normal(0.35, 0.15, 0.05, 0.7)),
        local_nh=LogNormal(0.7, 0.3, 0.1, 4.0),
        abundance=Normal(1.0, 0.15, 0.5, 1.5),
        variability=0.05,
        brightness=0.2,
        behaviour=Behaviour(LogNormal(0.01, 0.2, high=0.1)),
    ),
    # Long 2017; Maggi et al. 2016 (kT 0.2–0.9 keV).
    "snr": SourceClass(
        "SNR",
        Component(PLASMA, LogNormal(0.55, 0.17, 0.15, 2.0)),
        local_nh=LogNormal(0.2, 0.4, 0.01, 3.0),
        abundance=LogNormal(0.8, 0.25, 0.2, 4.0),
        variability=0.0,
        brightness=0.2,
        extended=True,
    ),
    # Boroson, Kim & Fabbiano 2011; Mineo et al. 2012: 0.2–1.2 keV.
    "hot_gas": SourceClass(
        "HotGas",
        Component(PLASMA, LogNormal(0.6, 0.17, 0.2, 1.5)),
        Component(POWER_LAW, Normal(1.6, 0.1, 1.2, 2.0), 0.7, Normal(0.3, 0.15, 0.05, 0.7)),
        local_nh=LogNormal(0.01, 0.3, high=0.2),
        abundance=LogNormal(0.5, 0.25, 0.1, 2.0),
        variability=0.0,
        brightness=0.3,
        extended=True,
    ),
    # Vikhlinin et al. 2006: 2–10 keV, a third of the Sun's metals.
    "cluster": SourceClass(
        "ClG",
        Component(PLASMA, LogNormal(4.2, 0.2, 1.0, 14.0)),
        local_nh=LogNormal(0.005, 0.3, high=0.1),
        redshift=LogNormal(0.2, 0.3, 0.03, 1.2),
        abundance=Normal(0.33, 0.08, 0.1, 0.8),
        variability=0.0,
        brightness=0.9,
        extended=True,
    ),
    # Becker 2009: surface of 0.1–0.25 keV and a magnetospheric power law; nebulae: Kargaltsev &
    # Pavlov 2008 (Γ 1–2).
    "pulsar": SourceClass(
        "Pulsar",
        Component(POWER_LAW, Normal(1.55, 0.25, 0.8, 2.4)),
        Component(BLACK_BODY, LogNormal(0.16, 0.1, 0.08, 0.4), 0.55, Normal(0.45, 0.2, 0.05, 0.9)),
        local_nh=LogNormal(0.1, 0.4, high=2.0),
        variability=0.03,
        brightness=0.3,
        behaviour=Behaviour(LogNormal(0.01, 0.2, high=0.1), LogNormal(0.15, 0.4, 0.03, 5.0), 0.8),
    ),
    # Bogdanov et al. 2006, Heinke et al. 2006: polar caps of 0.1–0.25 keV, or an intrabinary shock
    # of Γ 1–1.5.
    "msp": SourceClass(
        "MSP",
        Component(BLACK_BODY, LogNormal(0.18, 0.1, 0.1, 0.35)),
        Component(POWER_LAW, Normal(1.3, 0.25, 0.8, 2.0), 0.5, Normal(0.4, 0.2, 0.05, 0.9)),
        local_nh=LogNormal(0.02, 0.4, high=0.5),
        variability=0.03,
        behaviour=Behaviour(LogNormal(0.02, 0.2, high=0.2), LogNormal(20e3, 0.3, 5e3, 9e4), 0.2),
    ),
    # Olausen & Kaspi 2014: kT 0.3–0.6 keV and a steep tail behind 1e22 cm⁻² and more; outbursts.
    "magnetar": SourceClass(
        "Magnetar",
        Component(BLACK_BODY, LogNormal(0.45, 0.1, 0.25, 0.9)),
        Component(POWER_LAW, Normal(2.8, 0.5, 1.5, 4.2), 0.7, Normal(0.4, 0.15, 0.05, 0.8)),
        local_nh=LogNormal(1.2, 0.3, 0.1, 10.0),
        variability=0.4,
        brightness=0.7,
        behaviour=Behaviour(
            LogNormal(0.015, 0.3, high=0.3),
            LogNormal(6.0, 0.2, 2.0, 12.0),
            1.0,
            flares=0.1,
            flare=LogNormal(3.0, 0.3, high=50.0),
            flare_decay=LogNormal(500.0, 0.3, 100.0, 5e3),
        ),
    ),
}
CLASS_NAMES = tuple(CLASSES)


def class_values(name: str) -> np.ndarray:
    """Return an attribute of every class, in the order of `CLASS_NAMES`."""
    return np.array([getattr(item, name) for item in CLASSES.values()])


@dataclass(frozen=True)
class FieldKind:
    """Kind of pointing."""

    weight: float  # how often it is chosen
    classes: Mapping[str, float]  # mix of the sources' classes
    mean_sources: float  # sources with literature, besides the first
    foreground_nh: Distribution  # Galactic column, 1e22 cm⁻²
    target: str | None = None  # class of the source in the middle, None for one like the others
    # Distance of the host, None where the sources have none in common
    distance_mpc: Distribution | None = None
    hosted: bool = True  # whether all sources belong to one host
    depth: float = 1.0  # exposure over the typical one


FIELD_KINDS: Mapping[str, FieldKind] = {
    "survey": FieldKind(
        0.24,
        {
            "qso": 0.46,
            "seyfert1": 0.22,
            "seyfert2": 0.20,
            "lensed_qso": 0.04,
            "star": 0.06,
            "tde": 0.02,
        },
        mean_sources=0.8,
        # Latitudes of 20 to 70°: HI4PI Collaboration 2016.
        foreground_nh=LogNormal(0.03, 0.3, 0.006, 0.6),
        hosted=False,
        depth=1.7,
    ),
    "galaxy": FieldKind(
        0.30,
        {
            "lmxb": 0.48,
            "hmxb": 0.195,
            "ulx": 0.13,
            "ulx_pulsar": 0.05,
            "snr": 0.035,
            "hot_gas": 0.03,
            "seyfert1": 0.04,
            "seyfert2": 0.03,
            "tde": 0.01,
        },
        mean_sources=1.6,
        foreground_nh=LogNormal(0.05, 0.35, 0.01, 1.0),
        distance_mpc=LogNormal(9.0, 0.4, 0.7, 40.0),
        depth=0.8,
    ),
    "globular": FieldKind(
        0.13,
        {"cv": 0.28, "cv_magnetic": 0.12, "lmxb": 0.40, "msp": 0.12, "star": 0.08},
        mean_sources=1.4,
        foreground_nh=LogNormal(0.14, 0.35, 0.01, 2.0),
        distance_mpc=LogNormal(0.006, 0.2, 0.002, 0.02),
    ),
    "nursery": FieldKind(
        0.10,
        {"yso": 0.88, "ob_star": 0.06, "star": 0.06},
        mean_sources=1.8,
        foreground_nh=LogNormal(0.065, 0.4, 0.01, 1.0),
        distance_mpc=LogNormal(0.0008, 0.3, 0.00013, 0.003),
        depth=1.5,
    ),
    "cluster": FieldKind(
        0.06,
        {"qso": 0.35, "seyfert1": 0.25, "seyfert2": 0.3, "lensed_qso": 0.1},
        mean_sources=0.6,
        foreground_nh=LogNormal(0.05, 0.3, 0.01, 0.2),
        target="cluster",
        depth=0.7,
    ),
    "plane": FieldKind(
        0.17,
        {
            "cv": 0.08,
            "cv_magnetic": 0.16,
            "lmxb": 0.20,
            "hmxb": 0.16,
            "pulsar": 0.16,
            "magnetar": 0.09,
            "star": 0.05,
            "snr": 0.03,
            "ob_star": 0.03,
        },
        mean_sources=0.4,
        # To the far side and the centre: 1e22 cm⁻² and more (HI4PI Collaboration 2016; Predehl &
        # Schmitt 1995).
        foreground_nh=LogNormal(0.5, 0.5, 0.02, 8.0),
        distance_mpc=LogNormal(0.003, 0.3, 0.0003, 0.012),
        hosted=False,
        depth=0.5,
    ),
}
FIELD_NAMES = tuple(FIELD_KINDS)
