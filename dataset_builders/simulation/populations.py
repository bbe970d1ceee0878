"""Spectra and light curves of the simulated populations.

A spectrum is one or two components, each behind its own cold absorber.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from hf_specclip.spectra import emission as models

from .instrument import PHOTON_CENTRES, PHOTON_EDGES, photons_within
from .light_curves import LightCurves, Rows
from .source_classes import (
    BLACK_BODY,
    BREMSSTRAHLUNG,
    CLASS_NAMES,
    CLASSES,
    COMPONENTS,
    DISK,
    HIGHEST_ENERGY,
    MOST_ABSORBED,
    NONE,
    PLASMA,
    POWER_LAW,
)


@dataclass(frozen=True)
class Spectra(Rows):
    """Parameters of many spectra, each an array (n,)."""

    # first, second: index into `COMPONENTS`, −1 where there is no second
    first: np.ndarray
    second: np.ndarray
    # shape, shape2: photon index, or temperature in keV
    shape: np.ndarray
    shape2: np.ndarray
    share2: np.ndarray  # share of the unabsorbed 0.5–7 keV photons in the second
    # nh, nh2: column in front of each, Galactic and local, 1e22 cm⁻²
    nh: np.ndarray
    nh2: np.ndarray
    galactic_nh: np.ndarray  # the part of them at redshift 0
    covering: np.ndarray  # share of the first that the local part covers
    abundance: np.ndarray  # metals of a plasma
    # Of a plasma, of the line and of the local absorber (the temperatures of other components, and
    # a power law, are as observed)
    redshift: np.ndarray
    line: np.ndarray  # equivalent width of Fe K at 6.4 keV in the source's frame, keV


def draw_spectra(
    class_index: np.ndarray, foreground_nh: np.ndarray, random: np.random.Generator
) -> Spectra:
    """Draw the parameters of sources from the distributions of their classes.

    Args:
        class_index: index into `CLASS_NAMES`, (n).
        foreground_nh: Galactic column, 1e22 cm⁻², (n).
        random: generator; draws depend on the order of the sources.
    """
    n = len(class_index)
    values = {item.name: np.zeros(n) for item in fields(Spectra)}
    values["first"], values["second"] = np.zeros(n, dtype=int), np.full(n, NONE)
    values["abundance"][:] = 1.0
    values["galactic_nh"] = np.minimum(foreground_nh, MOST_ABSORBED)
    for index, name in enumerate(CLASS_NAMES):
        kind = CLASSES[name]
        rows = np.flatnonzero(class_index == index)
        m = len(rows)
        local = kind.local_nh.draw(random, m)
        values["first"][rows] = kind.first.kind
        values["shape"][rows] = kind.first.shape.draw(random, m)
        values["nh"][rows] = foreground_nh[rows] + local
        for drawn in ("abundance", "redshift", "covering", "line"):
            values[drawn][rows] = getattr(kind, drawn).draw(random, m)
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
    """Draw the light curves of sources in observations.

    Args:
        class_index: index into `CLASS_NAMES` of each source, (m).
        source: index into `class_index`, (n).
        exposure: s, (n).
        random: generator; draws depend on the order of sources and observations.
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
    """Return photons/cm²/s on `instrument.PHOTON_EDGES`, (n, 870), of spectra with one absorbed
    photon/cm²/s in 0.5–7 keV.
    """
    band = photons_within("b")
    total = np.zeros((len(spectra.first), len(PHOTON_CENTRES)))
    everything = np.ones(len(spectra.first))
    for component, shape, column, share, covering in (
        (spectra.first, spectra.shape, spectra.nh, 1.0 - spectra.share2, spectra.covering),
        (spectra.second, spectra.shape2, spectra.nh2, spectra.share2, everything),
    ):
        local = np.maximum(column - spectra.galactic_nh, 0.0)
        for kind in range(len(COMPONENTS)):
            rows = np.flatnonzero(component == kind)
            if not len(rows):
                continue
            photons = _component(kind, shape[rows], spectra.abundance[rows], spectra.redshift[rows])
            photons *= (share[rows] / photons[:, band].sum(axis=1))[:, None]
            if component is spectra.first:
                _add_line(photons, spectra.line[rows], spectra.redshift[rows])
            through = _transmission(local[rows], spectra.redshift[rows])
            part = covering[rows] < 1.0
            through[part] = 1.0 + covering[rows][part, None] * (through[part] - 1.0)
            total[rows] += photons * through
    total *= _transmission(spectra.galactic_nh, np.zeros(len(total)))
    return total / total[:, band].sum(axis=1, keepdims=True)


def _add_line(photons: np.ndarray, width: np.ndarray, redshift: np.ndarray) -> None:
    """Add Fe K, narrower than the detector resolves, to a continuum (n, 870)."""
    energy = 6.4 / (1.0 + redshift)
    step = PHOTON_EDGES[1] - PHOTON_EDGES[0]
    rows = np.flatnonzero(width > 0.0)
    place = ((energy[rows] - PHOTON_EDGES[0]) / step).astype(int)
    # Equivalent widths are those in the source's frame; observed ones are smaller by 1 + z.
    photons[rows, place] += photons[rows, place] / step * width[rows] / (1.0 + redshift[rows])


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
    """Return ln kT (k), and the photons of a continuum at each, (k, 870)."""
    low, high = {BLACK_BODY: (0.03, 5.0), BREMSSTRAHLUNG: (0.1, 120.0), DISK: (0.05, 5.0)}[kind]
    log_kt = np.linspace(np.log(low), np.log(high), int(np.log(high / low) / 0.01) + 1)
    model = {
        BLACK_BODY: models.black_body,
        BREMSSTRAHLUNG: models.bremsstrahlung,
        DISK: models.disk_black_body,
    }[kind]
    return log_kt, model(PHOTON_EDGES, np.exp(log_kt))


def _transmission(column: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return the transmission of gas (1e22 cm⁻², at a redshift), at the middle of each bin, (n,
    870).

    Bins of 10 eV are narrow enough for that: 0.2 % off where half of the photons at 0.5 keV stop.
    """
    grid, sigma = _cross_section()
    result = np.empty((len(column), len(PHOTON_CENTRES)))
    near = redshift < 1e-3
    result[near] = np.exp(-column[near, None] * sigma[: len(PHOTON_CENTRES)])
    # A grid of 10 eV reaches up to where the highest redshift moves it.
    energies = PHOTON_CENTRES * (1.0 + redshift[~near, None])
    place = np.minimum((energies - grid[0]) / (grid[1] - grid[0]), len(grid) - 1.001)
    lower = place.astype(int)
    part = place - lower
    moved = (1.0 - part) * sigma[lower] + part * sigma[lower + 1]
    result[~near] = np.exp(-column[~near, None] * moved)
    return result


@cache
def _cross_section() -> tuple[np.ndarray, np.ndarray]:
    """Return energies from the first photon's on, 10 eV apart, and the cross-sections there."""
    step = PHOTON_EDGES[1] - PHOTON_EDGES[0]
    grid = PHOTON_CENTRES[0] + step * np.arange(int(HIGHEST_ENERGY / step))
    return grid, models.photoelectric_cross_section(grid)
