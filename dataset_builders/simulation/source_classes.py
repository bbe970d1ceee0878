"""Classes of X-ray sources and kinds of pointings in the simulated sky.

The numbers (`source_classes.yaml`) are rounded from the literature named beside each class and from
the marginal distributions of the Chandra Source Catalog (medians and 16–84 % ranges); no catalogue
row is copied. A spectrum is one or two components, each behind its own cold absorber.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

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
    local_nh: bool = True  # True if it is behind the source's absorber, too


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
    # Mean excess brightness over the faintest sources of a field, dex; 0 for classes selected in
    # radio or optical light
    brightness: float = 0.0
    extended: bool = False  # True if Chandra resolves it (name with `X`, no variability)
    behaviour: Behaviour = Behaviour()  # how it varies within an observation


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
    hosted: bool = True  # True if all sources belong to one host
    depth: float = 1.0  # exposure over the typical one


def _read(record: type, values: Mapping[str, Any]) -> Any:
    """Return a record of the tables, with its distributions and nested records."""
    fields = dict(values)
    for name, value in values.items():
        if name in _NESTED:
            fields[name] = _read(_NESTED[name], value)
        elif name == "kind":
            fields[name] = COMPONENTS.index(value)
        elif isinstance(value, Mapping) and name != "classes":
            fields[name] = (LogNormal if "median" in value else Normal)(**value)
    return record(**fields)


_NESTED = {"first": Component, "second": Component, "behaviour": Behaviour}
_TABLES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CLASSES: Mapping[str, SourceClass] = {
    name: _read(SourceClass, values) for name, values in _TABLES["classes"].items()
}
FIELD_KINDS: Mapping[str, FieldKind] = {
    name: _read(FieldKind, values) for name, values in _TABLES["field_kinds"].items()
}
CLASS_NAMES, FIELD_NAMES = tuple(CLASSES), tuple(FIELD_KINDS)


def class_values(name: str) -> np.ndarray:
    """Return an attribute of every class, in the order of `CLASS_NAMES`."""
    return np.array([getattr(item, name) for item in CLASSES.values()])
