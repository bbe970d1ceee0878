"""Posterior-predictive check of inferred variables against the observed counts.

Shape and column density of the four models of the catalogue are sampled from their predicted
intervals, weighted by the likelihood of the counts, and folded through the response. The p-value
compares the Poisson deviance of the counts with replicated spectra. The fraction of counts in a
band, or in a line-wide window relative to its neighbourhood, is compared with the samples by
binomial tails (Gelman, Meng & Stern 1996, Statistica Sinica 6, 733; Protassov et al. 2002, ApJ 571,
545). The normalisation is fixed to the total counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..formatting import format_number
from ..spectra.fitting.models import MODELS, TabulatedModel, column_to_internal
from ..spectra.rebin import energy_grid, overlap_fractions
from .measured import MODEL_TITLES
from .predictive import PredictiveDistribution, binomial_tails, sample_posterior

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

LEAST_COUNTS = 200
# With fewer counts, a gain shift of 3 % is rarely detected (`specclip_training.posterior_checks`).
GAIN_COUNTS = 10_000
N_BINS, ENERGY_RANGE = 400, (0.5, 8.0)
_GRID = energy_grid(N_BINS, ENERGY_RANGE)
_CENTRES = (_GRID[1:] + _GRID[:-1]) / 2
BANDS = ((0.5, 0.8), (0.8, 1.2), (1.2, 2.0), (2.0, 3.5), (3.5, 5.0), (5.0, 7.0))
# Prominent emission lines of X-ray sources, keV.
LINES = {
    "O VIII": 0.654, "Fe L": 0.9, "Ne X": 1.022, "Mg XI": 1.343, "Si XIII": 1.854, "S XV": 2.451,
    "Ar XVII": 3.13, "Ca XIX": 3.89, "neutral Fe Kα": 6.404, "Fe XXV": 6.68, "Fe XXVI": 6.966,
}  # fmt: skip
# Matrix (400, g) of the groups of bins for the deviance, 0.1 keV wide.
_NUMBERS = ((_CENTRES - _GRID[0]) / 0.1).astype(int)
_GROUPS = np.eye(_NUMBERS[-1] + 1)[_NUMBERS]
# Inner limit of the neighbourhood of a line, in half widths of its window, and outer limits, in
# units of the line energy; maximum half width of a window, in bins.
_GAP, _NEIGHBOURHOOD, _MAX_HALF_WIDTH = 1.8, (0.72, 1.3), 40
# Maximum distance of a window from a known line that it is named after, keV.
_LINE_TOLERANCE = 0.05
# False-alarm probability, for the spectrum, for all bands, and for all lines.
_ALARM = 0.01
_FALLBACK = "aciss_2007.8"


@dataclass(frozen=True)
class Departure:
    """Observed and expected counts in an energy range.

    Attributes:
        low, high: keV.
        observed: observed counts, including background.
        expected: mean of the posterior predictive.
        p_value: two-sided for a band, one-sided (excess) for a line.
        name: name of a known line in the range, or None.
        energy: energy of the line, keV; None for a band.
    """

    low: float
    high: float
    observed: int
    expected: float
    p_value: float
    name: str | None = None
    energy: float | None = None


@dataclass(frozen=True)
class PosteriorCheck:
    """Agreement of inferred variables with the counts.

    Attributes:
        model: model of the catalogue with the highest evidence.
        counts: total counts.
        p_value: posterior-predictive p-value of the deviance.
        bands: results for all `BANDS`.
        lines: results for all scanned energies.
        unexplained: significant bands and lines, most significant first.
    """

    model: str
    counts: int
    p_value: float
    bands: tuple[Departure, ...]
    lines: tuple[Departure, ...]
    unexplained: tuple[Departure, ...]

    def lines_of_text(self) -> list[str]:
        """Format the result and the unexplained energy ranges."""
        title = f"{MODEL_TITLES[self.model]} within the inferred intervals"
        verdict = "consistent" if self.p_value >= _ALARM else "inconsistent"
        lines = [f"{title}: {verdict} with the counts (p = {_p(self.p_value)})"]
        for each in self.unexplained:
            near = f", near {each.name}" if each.name else ""
            lines.append(
                f"unexplained at {each.low:.2g}–{each.high:.2g} keV: {each.observed:,} counts, "
                f"{format_number(each.expected)} expected (p = {_p(each.p_value)}{near})"
            )
        if self.counts < GAIN_COUNTS:
            lines.append("too few counts to detect a gain shift of 3 %")
        return lines


def check_description(spectrum: XRaySpectrum, variables: Sequence[Any]) -> PosteriorCheck | None:
    """Compare inferred variables with the spectrum they were inferred from.

    Args:
        spectrum: spectrum with an effective area; the energy resolution of ACIS-S is assumed
            without a redistribution matrix.
        variables: inferred variables (`Variable` of a description).

    Returns:
        None with `LEAST_COUNTS` or fewer, without an effective area, or without the shape and
        column density of a model.
    """
    columns = spectrum.rebinned(N_BINS, ENERGY_RANGE)
    if columns["counts"].sum() <= LEAST_COUNTS or columns["effective_area"] is None:
        return None
    edges, response = _response_of(spectrum)
    intervals = {variable.name: variable for variable in variables}
    return check_counts(columns, edges, response, intervals, seed=spectrum.seed)


def check_counts(
    columns: dict[str, Any],
    energy_edges: np.ndarray,
    response: np.ndarray,
    variables: dict[str, Any],
    *,
    seed: int = 0,
) -> PosteriorCheck | None:
    """Compare inferred variables with counts on the grid of the data contract.

    Args:
        columns: `counts`, `background_counts` (400,) and `background_scale`.
        energy_edges: energy edges of the response (m + 1,), keV.
        response: (m, 400), cm².
        variables: name -> object with `value`, `lower_68`, `upper_68`, `lower_90`, `upper_90`.
        seed: seed of the samples.
    """
    counts = np.asarray(columns["counts"], np.int64)
    background = _smooth_background(columns)
    draws = []
    random = np.random.default_rng([seed % 2**32, 29])
    grouped = counts @ _GROUPS, background @ _GROUPS, response @ _GROUPS
    for name in MODELS:
        shape, column = (variables.get(f"{name}_{p}") for p in (MODELS[name].shape_name, "nh"))
        if shape is None or column is None:
            continue
        model = _tabulated(name, energy_edges.tobytes())
        priors = _prior(name, shape), _prior(None, column)
        draws.append((name, model, sample_posterior(model, priors, *grouped, random)))
    if not draws:
        return None
    best, model, drawn = max(draws, key=lambda each: each[2].evidence)
    photons, _ = model.photons(torch.from_numpy(drawn.points), slopes=False)
    expected = _normalise_to_counts(photons[:, 0].numpy() @ response, background, counts.sum())
    bands = tuple(_band(counts, expected, band) for band in BANDS)
    scanned = np.array(line_energies())
    scanned = scanned[(energy_edges[0] <= scanned) & (scanned < energy_edges[-1])]
    rows = np.searchsorted(energy_edges, scanned, side="right") - 1
    lines = tuple(
        _line(counts, expected, energy, response[row])
        for energy, row in zip(scanned, rows, strict=True)
    )
    return PosteriorCheck(
        model=best,
        counts=int(counts.sum()),
        p_value=_deviance_p_value(grouped[0], expected @ _GROUPS, random),
        bands=bands,
        lines=lines,
        unexplained=_unexplained(bands, lines),
    )


@cache
def line_energies() -> tuple[float, ...]:
    """Return the scanned line energies, half a resolution element apart, and known lines, keV."""
    energies, energy = [], 0.62
    while energy < 7.3:
        energies.append(energy)
        energy += 0.5 * float(_resolution(energy))
    return tuple(sorted({*(round(e, 3) for e in energies), *LINES.values()}))


@cache
def _resolution_table() -> tuple[np.ndarray, np.ndarray]:
    path = resources.files("hf_specclip.spectra") / "tables" / "acis_resolution.csv"
    with path.open("r", encoding="ascii") as file:
        table = np.genfromtxt(file, delimiter=",", names=True, deletechars="")
    return table["energy_kev"], table[f"{_FALLBACK}_fwhm_kev"]


def _resolution(energy: Any) -> Any:
    """Return the energy resolution (FWHM) of ACIS-S, keV."""
    return np.interp(energy, *_resolution_table())


def _response_of(spectrum: XRaySpectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return energy edges (m + 1,) and response (m, 400) in cm²."""
    rmf = spectrum.rmf
    if rmf is None:
        return nominal_response(spectrum, _GRID)
    low, high = np.searchsorted(rmf.energy_edges, (0.25, 10.0))
    rows = slice(max(int(low) - 1, 0), int(high))
    edges = np.maximum(rmf.energy_edges[rows.start : rows.stop + 1], 1e-3)
    matrix: np.ndarray = rmf.dense()[rows] * np.asarray(spectrum.areascal, np.float32)
    if spectrum.arf is not None:
        matrix = matrix * spectrum.arf.on(rmf.energy_edges)[rows, None]
    shares = overlap_fractions(spectrum.channel_edges, _GRID) * spectrum.good[:, None]
    return edges[: len(matrix) + 1], matrix.astype(np.float64) @ shares


def nominal_response(spectrum: XRaySpectrum, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the response for an effective area and the energy resolution of ACIS-S.

    Args:
        spectrum: spectrum with an effective area.
        grid: edges of the bins (n + 1,), keV.

    Returns:
        Energy edges (m + 1,) keV and response (m, n) cm².
    """
    assert spectrum.arf is not None
    edges = np.linspace(0.3, 9.0, 581)
    centres = (edges[1:] + edges[:-1]) / 2
    area = spectrum.arf.at(np.clip(centres, grid[0] + 0.01, grid[-1] - 0.01))
    sigma = torch.from_numpy(_resolution(centres) / 2.3548)[:, None]
    below = torch.special.ndtr((torch.tensor(grid) - torch.from_numpy(centres)[:, None]) / sigma)
    return edges, area[:, None] * np.diff(below.numpy(), axis=1) * spectrum.good_share(grid)


@lru_cache(maxsize=16)
def _tabulated(name: str, edges: bytes) -> TabulatedModel:
    return TabulatedModel(MODELS[name], np.frombuffer(edges))


def _prior(model: str | None, variable: Any) -> PredictiveDistribution:
    """Return the predictive distribution of the shape of a model, or of the column density
    (1e20 cm⁻²) if None, in the coordinate of the fit."""
    ends = (variable.lower_90, variable.lower_68, variable.value, variable.upper_68,
            variable.upper_90)  # fmt: skip
    values = np.array([np.nan if end is None else end for end in ends], np.float64)
    if model is None:
        return PredictiveDistribution(column_to_internal(np.maximum(values, 0.0) / 100.0))
    return PredictiveDistribution(MODELS[model].to_internal(np.clip(values, *MODELS[model].bounds)))


def _smooth_background(columns: dict[str, Any]) -> np.ndarray:
    """Return the expected background in the aperture (400,), averaged over 0.4 keV."""
    region = np.asarray(columns["background_counts"], np.float64)
    kernel = np.ones(max(round(0.4 / (_GRID[1] - _GRID[0])), 1))
    inside = np.convolve(np.ones_like(region), kernel, "same")
    return np.convolve(region, kernel, "same") / inside * float(columns["background_scale"] or 0.0)


def _normalise_to_counts(source: np.ndarray, background: np.ndarray, total: int) -> np.ndarray:
    """Add the background to samples (S, n), normalised to the total counts."""
    factor = max(total - background.sum(), 1.0) / source.sum(axis=1, keepdims=True)
    expected = factor * source + background
    return expected * (total / expected.sum(axis=1, keepdims=True))


def _deviance_p_value(
    counts: np.ndarray, expected: np.ndarray, random: np.random.Generator
) -> float:
    """Return the posterior-predictive p-value of the Poisson deviance of the groups."""
    total = int(counts.sum())
    probabilities = expected / expected.sum(axis=1, keepdims=True)
    replicated = random.multinomial(total, probabilities)
    exceeds = _deviance(replicated, expected) >= _deviance(counts[None], expected)
    return float((1 + exceeds.sum()) / (1 + len(expected)))


def _deviance(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    safe = np.maximum(expected, 1e-9)
    terms = safe - counts + np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / safe), 0.0)
    return 2.0 * terms.sum(axis=1)


def _band(counts: np.ndarray, expected: np.ndarray, band: tuple[float, float]) -> Departure:
    inside = _inside(*band)
    total, observed = int(counts.sum()), int(counts[inside].sum())
    share = expected[:, inside].sum(axis=1) / expected.sum(axis=1)
    lower, upper = binomial_tails(observed, total, share)
    return Departure(*band, observed, float(share.mean() * total), min(1.0, 2 * min(lower, upper)))


def _line(
    counts: np.ndarray, expected: np.ndarray, energy: float, profile: np.ndarray
) -> Departure:
    """Compare the counts in a line window, relative to its neighbourhood, with the samples.

    Args:
        counts: (400,).
        expected: (S, 400).
        energy: energy of the line, keV.
        profile: response to photons of this energy (400,).
    """
    first, last = _line_window(profile, expected.mean(axis=0))
    half = (last - first) / 2
    window = np.zeros(len(counts), bool)
    window[first:last] = True
    near = _inside(_NEIGHBOURHOOD[0] * energy, _NEIGHBOURHOOD[1] * energy)
    gap = round(_GAP * half - half)
    near[max(first - gap, 0) : last + gap] = False
    observed, n_near = int(counts[window].sum()), int(counts[near].sum())
    inside = expected[:, window].sum(axis=1)
    share = inside / np.maximum(inside + expected[:, near].sum(axis=1), 1e-12)
    _, upper = binomial_tails(observed, observed + n_near, share)
    mean = float(np.mean(share / np.maximum(1 - share, 1e-12)) * n_near)
    name = next((n for n, e in LINES.items() if abs(e - energy) < _LINE_TOLERANCE), None)
    ends = float(_GRID[first]), float(_GRID[last])
    return Departure(*ends, observed, mean, upper, name, energy)


def _line_window(profile: np.ndarray, continuum: np.ndarray) -> tuple[int, int]:
    """Return the slice of bins around the peak with the highest signal-to-noise ratio of a line."""
    peak = int(profile.argmax())
    halves = np.arange(1, _MAX_HALF_WIDTH)
    first, last = np.maximum(peak - halves, 0), np.minimum(peak + halves + 1, len(profile))
    line, noise = (np.concatenate([[0.0], values.cumsum()]) for values in (profile, continuum))
    ratio = (line[last] - line[first]) / np.sqrt(np.maximum(noise[last] - noise[first], 1e-9))
    best = int(ratio.argmax())
    return int(first[best]), int(last[best])


def _unexplained(
    bands: tuple[Departure, ...], lines: tuple[Departure, ...]
) -> tuple[Departure, ...]:
    """Select significant bands and lines (Bonferroni-corrected), without overlapping lines."""
    selected_bands = [band for band in bands if band.p_value < _ALARM / len(bands)]
    selected: list[Departure] = []
    for line in sorted(lines, key=lambda line: line.p_value):
        n_trials = len(LINES) if line.name else len(lines)
        is_apart = all(line.high < other.low or line.low > other.high for other in selected)
        if line.p_value < _ALARM / n_trials and is_apart:
            selected.append(line)
    return tuple(sorted(selected_bands + selected[:3], key=lambda departure: departure.p_value))


def _inside(low: float, high: float) -> np.ndarray:
    return (low <= _CENTRES) & (high > _CENTRES)


def _p(value: float) -> str:
    return format_number(value, 2) if value >= 1e-12 else "< 1e-12"
