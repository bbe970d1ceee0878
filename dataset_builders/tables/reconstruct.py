"""Spectra of catalogue sources, reconstructed from counts in bands, fits and hardness ratios.

A reconstructed spectrum is not an observation: its counts in the three bands are those of the
catalogue or follow its hardness ratios, and the shape within a band is that of a model.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra.emission import absorbed, black_body, bremsstrahlung, phabs, power_law
from hf_specclip.spectra.rebin import energy_grid, overlap_fractions

from ..contract import ENERGY_RANGE, N_BINS
from ..simulation.instrument import (
    CHANNEL_EDGES,
    PHOTON_CENTRES,
    PHOTON_EDGES,
    load_epochs,
    photons_within,
)

NAMES = ("s", "m", "h")
# Effective energies of the bands in the catalogue, keV.
AREA_ENERGIES = {"s": 0.92, "m": 1.56, "h": 3.8}
# Grid of absorbed power laws for matching hardness ratios; columns in 1e20 cm⁻².
INDICES = np.arange(-1.0, 6.01, 0.1)
COLUMNS = np.concatenate([[0.0], np.geomspace(0.5, 2_000.0, 60)])
EXPOSURES = 2_000.0, 300_000.0  # s
_KEV = 1.602177e-9  # erg
_NH_UNIT = 1e2  # 1e22 cm⁻² (`phabs`) in 1e20 cm⁻² (catalogue)
_MODELS = {"powlaw": power_law, "bb": black_body, "brems": bremsstrahlung}


def bin_edges() -> np.ndarray:
    """Return the edges of the bins of a row, keV (N_BINS + 1,)."""
    return energy_grid(N_BINS, ENERGY_RANGE)


def area_at_bins(epoch: int) -> np.ndarray:
    """Return the effective area of a calibration epoch at the bin centres, cm² (N_BINS,)."""
    edges = bin_edges()
    centres = (edges[1:] + edges[:-1]) / 2
    return np.interp(centres, PHOTON_CENTRES, load_epochs()[epoch].area).astype(np.float32)


def band_of_bins() -> np.ndarray:
    """Return the band of each bin, (N_BINS,): 0, 1, 2 as `NAMES`, and 3 above 7 keV."""
    edges = bin_edges()
    centres = (edges[1:] + edges[:-1]) / 2
    return np.digitize(centres, [BANDS["m"][0], BANDS["h"][0], BANDS["h"][1]])


def fold_model(model: str, shape: np.ndarray, nh: np.ndarray, epoch: int) -> np.ndarray:
    """Fold absorbed models through the response of an epoch.

    Args:
        model: `powlaw`, `bb` or `brems`.
        shape: photon index or temperature (keV), (n,).
        nh: column density, 1e20 cm⁻², (n,).
        epoch: index into `load_epochs()`.

    Returns:
        Counts/s in the bins for unit norm, (n, N_BINS).
    """
    response = load_epochs()[epoch]
    fold = response.redistribution @ overlap_fractions(CHANNEL_EDGES, bin_edges())
    rates = np.zeros((len(shape), N_BINS))
    for start in range(0, len(shape), 256):
        rows = slice(start, start + 256)
        rates[rows] = (_photons(model, shape[rows], nh[rows]) * response.area) @ fold
    return rates


def _photons(model: str, shape: np.ndarray, nh: np.ndarray) -> np.ndarray:
    """Return photons/cm²/s on `PHOTON_EDGES` of absorbed models of unit norm, (n, 870)."""
    emission: Any = _MODELS[model]
    return absorbed(
        PHOTON_EDGES,
        lambda edges: emission(edges, shape),
        lambda edges: phabs(edges, nh / _NH_UNIT),
    )


def hardness_of(rates: np.ndarray, epoch: int) -> np.ndarray:
    """Return the catalogue's hardness ratios hm, hs, ms (n, 3) of expected counts (n, N_BINS)."""
    flux = np.maximum(band_sums(rates) / band_areas(epoch), 1e-300)
    s, m, h = flux.T
    return np.stack([(h - m) / (h + m), (h - s) / (h + s), (m - s) / (m + s)], axis=1)


def band_sums(values: np.ndarray) -> np.ndarray:
    """Sum bins (n, N_BINS) over the soft, medium and hard band, (n, 3)."""
    band = band_of_bins()
    return np.stack([values[:, band == number].sum(axis=1) for number in range(3)], axis=1)


def match_hardness(hardness: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the absorbed power laws with the nearest hardness ratios.

    Args:
        hardness: hm, hs, ms of the catalogue, (n, 3); nan is ignored.
        epoch: index into `load_epochs()`.

    Returns:
        Photon index and column density (1e20 cm⁻²), (n,) each.
    """
    indices, columns, expected = _power_laws(epoch)
    best = np.empty(len(hardness), np.int64)
    for start in range(0, len(hardness), 512):
        part = hardness[start : start + 512]
        distance = np.nansum((part[:, None] - expected[None]) ** 2, axis=2)
        best[start : start + 512] = distance.argmin(axis=1)
    return indices[best], columns[best]


def match_bands(net: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the absorbed power laws nearest to net counts (n, 3) in the three bands."""
    flux = np.maximum(net, 0.5) / band_areas(epoch)
    s, m, h = flux.T
    ratios = np.stack([(h - m) / (h + m), (h - s) / (h + s), (m - s) / (m + s)], axis=1)
    return match_hardness(ratios, epoch)


def background_shape(epoch: int) -> np.ndarray:
    """Return the shape of the background of an epoch in the bins, (N_BINS,)."""
    return load_epochs()[epoch].background @ overlap_fractions(CHANNEL_EDGES, bin_edges())


def deal_bands(counts: np.ndarray, shape: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Distribute the counts of the bands over their bins by multinomial draws.

    Args:
        counts: (n, 3) in the soft, medium and hard band; counts above 7 keV are Poisson draws
            scaled to the hard band.
        shape: expected counts, up to a factor per band, (n, N_BINS).
        random: generator.

    Returns:
        (n, N_BINS) int32.
    """
    band = band_of_bins()
    dealt = np.zeros(shape.shape, np.int32)
    for number in range(3):
        where = np.flatnonzero(band == number)
        part = np.maximum(shape[:, where], 0.0) + 1e-12 * (shape.max(axis=1, keepdims=True) + 1e-30)
        chances = part / part.sum(axis=1, keepdims=True)
        dealt[:, where] = random.multinomial(counts[:, number], chances)
    above, hard = np.flatnonzero(band == 3), shape[:, band == 2].sum(axis=1, keepdims=True)
    expected = counts[:, 2:3] * shape[:, above] / np.maximum(hard, 1e-30)
    dealt[:, above] = random.poisson(np.maximum(expected, 0.0))
    return dealt


def reconstruct_rows(
    rows: dict[str, np.ndarray], random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Reconstruct spectra of one epoch from counts in bands.

    Args:
        rows: `epoch` (one number for all), `counts` and `background` (n, 3), `scale` (n,), `model`
            (n,) of `powlaw`, `bb`, `brems` or `bands`, and `shape` and `nh` (n,) of the model.
        random: generator.

    Returns:
        `counts`, `background_counts` (n, N_BINS) int32 and `effective_area` (n, N_BINS), cm².
    """
    epoch = int(rows["epoch"])
    scaled_background = rows["scale"][:, None] * rows["background"]
    net = np.maximum(rows["counts"] - scaled_background, 0.0)
    shape, nh, model = rows["shape"].copy(), rows["nh"].copy(), rows["model"].copy()
    matched = model == "bands"
    shape[matched], nh[matched] = match_bands(net[matched], epoch)
    model[matched] = "powlaw"
    source = np.zeros((len(shape), N_BINS))
    for name in np.unique(model):
        mask = model == name
        source[mask] = fold_model(str(name), shape[mask], nh[mask], epoch)
    background = np.tile(background_shape(epoch), (len(shape), 1))
    total = _scaled(source, net) + _scaled(background, scaled_background)
    return {
        "counts": deal_bands(rows["counts"], total, random),
        "background_counts": deal_bands(rows["background"], background, random),
        "effective_area": np.tile(area_at_bins(epoch), (len(shape), 1)),
    }


def reconstruct_shapes(
    shape: tuple[np.ndarray, np.ndarray],
    random: np.random.Generator,
    *,
    epoch: int,
    counts: np.ndarray | int = 300,
    exposure: np.ndarray | float = 30_000.0,
) -> dict[str, np.ndarray]:
    """Reconstruct spectra without background from absorbed power laws.

    Args:
        shape: photon index and column density (1e20 cm⁻²), (n,) each.
        random: generator.
        epoch: index into `load_epochs()`.
        counts: expected counts at 0.5–8 keV, one or (n,).
        exposure: s, one or (n,).

    Returns:
        The columns of rows: `counts`, `background_counts`, `background_scale`, `exposure`,
        `effective_area`.
    """
    rates = fold_model("powlaw", *shape, epoch)
    expected = np.reshape(counts, (-1, 1)) * rates / rates.sum(axis=1, keepdims=True)
    n = len(rates)
    return {
        "counts": random.poisson(expected).astype(np.int32),
        "background_counts": np.zeros((n, N_BINS), np.int32),
        "background_scale": np.zeros(n, np.float32),
        "exposure": np.broadcast_to(np.asarray(exposure, np.float32), (n,)).copy(),
        "effective_area": np.tile(area_at_bins(epoch), (n, 1)),
    }


def reconstruct_fluxes(
    fluxes: np.ndarray, random: np.random.Generator, *, epoch: int, counts: int = 300
) -> dict[str, np.ndarray]:
    """Reconstruct spectra without background from energy fluxes in the three bands.

    Args:
        fluxes: erg/cm²/s in the soft, medium and hard band, (n, 3), positive.
        random: generator.
        epoch: index into `load_epochs()`.
        counts: expected counts at 0.5–8 keV, unless the exposure would be outside `EXPOSURES`.

    Returns:
        See `reconstruct_shapes`.
    """
    indices, columns, per_norm = _energy_fluxes()
    ratios = np.log(per_norm / per_norm[:, 1:2])[:, ::2]
    wanted = np.log(fluxes / fluxes[:, 1:2])[:, ::2]
    best = np.array([((row - ratios) ** 2).sum(axis=1).argmin() for row in wanted], np.int64)
    shape = indices[best], columns[best]
    norm = fluxes.sum(axis=1) / per_norm[best].sum(axis=1)
    rate = norm * fold_model("powlaw", *shape, epoch).sum(axis=1)
    exposure = np.clip(counts / rate, *EXPOSURES)
    rows = reconstruct_shapes(shape, random, epoch=epoch, counts=1, exposure=exposure)
    rates = fold_model("powlaw", *shape, epoch) * norm[:, None]
    rows["counts"] = random.poisson(rates * exposure[:, None]).astype(np.int32)
    return rows


def _scaled(shape: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Scale shapes (n, N_BINS) to the counts of the bands (n, 3), above 7 keV as the hard one."""
    factor = counts / np.maximum(band_sums(shape), 1e-30)
    return shape * np.concatenate([factor, factor[:, 2:]], axis=1)[:, band_of_bins()]


def band_areas(epoch: int) -> np.ndarray:
    """Return the effective area at the effective energy of each band, cm² (3,)."""
    area: Any = load_epochs()[epoch].area
    return np.interp([AREA_ENERGIES[name] for name in NAMES], PHOTON_CENTRES, area)


@cache
def _energy_fluxes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indices, columns and energy fluxes in the bands, erg/cm²/s for unit norm (k, 3)."""
    indices, columns = (grid.ravel() for grid in np.meshgrid(INDICES, COLUMNS, indexing="ij"))
    inside = [photons_within(name) for name in NAMES]
    fluxes = []
    for start in range(0, len(indices), 256):
        energy = PHOTON_CENTRES * _photons("powlaw", indices[start : start + 256],
                                           columns[start : start + 256])  # fmt: skip
        fluxes.append(np.stack([energy[:, band].sum(axis=1) for band in inside], axis=1))
    return indices, columns, _KEV * np.concatenate(fluxes)


@cache
def _power_laws(epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indices, columns and hardness ratios (k, 3) of the grid of power laws."""
    indices, columns = (grid.ravel() for grid in np.meshgrid(INDICES, COLUMNS, indexing="ij"))
    return indices, columns, hardness_of(fold_model("powlaw", indices, columns, epoch), epoch)


__all__ = [
    "area_at_bins",
    "band_areas",
    "band_sums",
    "bin_edges",
    "hardness_of",
    "match_bands",
    "match_hardness",
    "reconstruct_fluxes",
    "reconstruct_rows",
    "reconstruct_shapes",
]
