"""Posterior of each variable given a spectrum, its text, or both.

Members of the bank drawn from each posterior carry the value that a noise-free measurement would
give. Fits are dear, so not all drawn members are fitted: more surely those that many rows drew, and
a member's weight is one over the chance that it was.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from .. import instrument, populations
from .bank import Bank
from .dataset import KnownRows
from .observer import Observation
from .spectra import Spectra, amplitudes, band_bins, bin_centres
from .truth import COLOURS, FITTED, asimov_fits, expected_significance, has_fit

GIVEN = ("spectrum", "text", "both")
# Members that are fitted.
FITS = 5000
_NODES = 24
_CHUNK = 500


def estimate(
    known: KnownRows,
    spectra: Spectra,
    bank: Bank,
    observation: Observation,
    truth: Mapping[str, np.ndarray],
    *,
    fits: int = FITS,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Estimate the variables of rows.

    Args:
        known: the rows.
        spectra: what was observed.
        bank: sources.
        observation: with draws from its posteriors.
        truth: of the rows, see `known_truth`.
        fits: members to fit.
        seed: of draws.

    Returns:
        Posterior medians by what is given (`GIVEN`), then by variable, (n); nan where there is
        none.
    """
    n, draws = observation.from_spectrum.shape
    random = np.random.default_rng(seed)
    drawn = {
        "spectrum": observation.from_spectrum,
        "text": _from_text(bank, known.text_of_spectrum, draws, random),
        "both": observation.from_both,
    }
    fitted, chance = _fit_members(known, bank, drawn, fits, random)
    medians: dict[str, dict[str, np.ndarray]] = {}
    for given, members in drawn.items():
        values = {name: bank.truth[name][members] for name in COLOURS}
        weights = {name: np.ones((n, draws)) for name in COLOURS}
        for name, column in fitted.items():
            there = np.isfinite(column[members])
            values[name] = np.where(there, column[members], 0.0)
            weights[name] = np.where(there, 1.0 / chance[members], 0.0)
            # Nothing is compared where the catalogue has no fit.
            weights[name][~np.isfinite(truth[name])] = 0.0
        values["flux_significance_b"] = _significance(
            known, spectra, bank, members, given != "text", random
        )
        weights["flux_significance_b"] = np.ones((n, draws))
        medians[given] = {name: _median(values[name], weights[name]) for name in values}
    return medians


def _from_text(
    bank: Bank, text_of_spectrum: np.ndarray, draws: int, random: np.random.Generator
) -> np.ndarray:
    """Draw members from p(source | text), (n, k)."""
    result = np.zeros((len(text_of_spectrum), draws), dtype=np.int64)
    for text in np.unique(text_of_spectrum):
        edges = np.cumsum(bank.weights_of(int(text)), dtype=np.float64)
        rows = np.flatnonzero(text_of_spectrum == text)
        at = np.searchsorted(edges, random.random((len(rows), draws)) * edges[-1])
        result[rows] = np.minimum(at, len(edges) - 1)
    return result


def _fit_members(
    known: KnownRows,
    bank: Bank,
    drawn: Mapping[str, np.ndarray],
    number: int,
    random: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Fit parameters of some members, nan for the others (m); and the inclusion probability (m)."""
    rows = has_fit(known.table)
    uses = np.zeros(len(bank))
    for members in drawn.values():
        uses += np.bincount(members[rows].ravel(), minlength=len(bank))
    chance = _inclusion(uses, number)
    chosen = np.flatnonzero(random.random(len(bank)) < chance)
    columns = {name: np.full(len(bank), np.nan) for name in FITTED}
    epochs = known.universe.detections.response[known.detections]
    response = random.choice(epochs, size=len(chosen))
    for start in range(0, len(chosen), _CHUNK):
        some = slice(start, start + _CHUNK)
        members, theta = chosen[some], np.zeros(len(chosen[some]))
        photons = populations.photon_spectra(bank.observed.take(members))
        source = instrument.fold(photons, response[some], theta)
        for name, values in asimov_fits(source, response[some], theta).items():
            columns[name][members] = values
    return columns, np.maximum(chance, 1e-12)


def _inclusion(uses: np.ndarray, number: int) -> np.ndarray:
    """Return probabilities proportional to uses, at most one, that add up to a number."""
    if np.count_nonzero(uses) <= number:
        return (uses > 0).astype(float)
    low, high = 0.0, float(number)
    for _ in range(60):
        middle = (low + high) / 2
        if np.minimum(middle * uses, 1.0).sum() > number:
            high = middle
        else:
            low = middle
    return np.minimum(high * uses, 1.0)


def _significance(
    known: KnownRows,
    spectra: Spectra,
    bank: Bank,
    members: np.ndarray,
    seen: bool,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the flux significance of each drawn member under each row's conditions, (n, k)."""
    n, draws = members.shape
    scale = known.universe.detections.background_scale[known.detections]
    inside = band_bins()
    result = np.empty((n, draws))
    for row in range(n):
        some = members[row]
        rates = bank.rates[spectra.epoch[row]][:, some]
        middle = torch.from_numpy((bank.log_flux + bank.log_boost)[some].astype(np.float32))
        width = torch.from_numpy(bank.scatter[some].astype(np.float32))
        if seen:
            middle, width = amplitudes(spectra, row, rates, middle, width)
        log_flux = middle.numpy() + width.numpy() * random.standard_normal(draws)
        if not seen:
            log_flux = np.maximum(log_flux, spectra.least_log_flux[row])
        dimming = instrument.vignetting(spectra.theta[row : row + 1], bin_centres())[0]
        counts = (dimming * inside * spectra.exposure[row]) @ rates.numpy() * np.exp(log_flux)
        behind = np.full(_NODES, float(spectra.background[row] @ inside))
        grid = np.geomspace(max(counts.min(), 0.5), max(counts.max(), 1.0), _NODES)
        table = expected_significance(grid, behind, np.full(_NODES, scale[row]))
        result[row] = np.interp(counts, grid, table)
    return result


def _median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median of rows (n, k); nan without any weight."""
    total = weights.sum(axis=1)
    none = total <= 0.0
    share = weights / np.where(none, 1.0, total)[:, None]
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    reached = np.cumsum(np.take_along_axis(share, order, axis=1), axis=1)
    place = np.minimum((reached < 0.5 - 1e-9).sum(axis=1), values.shape[1] - 1)
    return np.where(none, np.nan, ordered[np.arange(len(values)), place])


__all__ = ["FITS", "GIVEN", "estimate"]
