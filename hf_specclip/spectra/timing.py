"""The Chandra Source Catalog's measures of variability, for event lists and simulated counts alike.

Within an observation the catalogue compares a constant rate with rates in m equal bins, for many m
and all phases (Gregory & Loredo 1992, ApJ 398, 146), and sorts the odds into an index from 0 to 10
(Evans et al. 2010, ApJS 189, 37, table 9); and it compares arrival times with uniform ones (the
tests of Kolmogorov and Smirnov, and of Kuiper). Between observations it compares one flux for all
with a flux for each.

The odds for m bins are averaged from 2 to the largest m whose odds reach those of the best over √e,
as the catalogue's tool does; the light curve is the mean over m (1 for a constant rate) and phase,
weighted by their odds. Approximations: times are binned to 1/240 of the observation, so that m runs
over the divisors of 240, each standing for the numbers up to the next, and over multiples of 240
with the mean odds over all finer times; phases wrap around the end; errors of the light curve are
σ² = rate · m̄ / T.

Gaps: a bin that holds the share g of the live time has g of the counts of a constant source
(Gregory & Loredo 1992, appendix B). Its prior, flat for equal bins, is a Dirichlet of parameters
M g, where M = 1 / Σ g² is the number of bins that were exposed: bins in a gap do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import erfc, exp, lgamma, log, sqrt

import numpy as np

# Bins of a light curve; 240 has many divisors.
N_TIMES = 240
_DIVISORS = tuple(m for m in range(2, N_TIMES + 1) if N_TIMES % m == 0)
# Numbers of bins above `N_TIMES`, as multiples of it.
_FINER = (2, 3, 4, 6, 8, 12)
_NUMBERS = (*_DIVISORS, *(N_TIMES * finer for finer in _FINER))
# The catalogue's bins are never shorter than this, s.
_SHORTEST_BIN = 50.0
# Fewer counts than this have no light curve.
LEAST_COUNTS = 10

_log_gamma = np.vectorize(lgamma, otypes=[float])


@dataclass(frozen=True, eq=False)
class GregoryLoredo:
    """The test of Gregory and Loredo on n observations.

    Attributes:
        probability: of a variable rate, (n).
        index: the catalogue's, 0 to 10, (n).
        rates, errors: light curve and its 1 σ errors in equal parts of the observation, counts/s,
            (n, N_TIMES); nan in gaps.
        mean, sigma: mean and standard deviation of the light curve over the live time, counts/s,
            (n).
    """

    probability: np.ndarray
    index: np.ndarray
    rates: np.ndarray
    errors: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


def within_observation(counts: np.ndarray, exposure: np.ndarray) -> dict[str, np.ndarray]:
    """Apply the catalogue's test for variability within an observation.

    Args:
        counts: in equal parts of each observation, (n, N_TIMES).
        exposure: s, (n).

    Returns:
        `var_prob_b`, `var_index_b` and `var_sigma_b` (counts/s), (n) each; nan with fewer than
        `LEAST_COUNTS` counts.
    """
    found, known = gregory_loredo(counts, exposure), counts.sum(axis=1) >= LEAST_COUNTS
    columns = {
        "var_prob_b": found.probability,
        "var_index_b": found.index,
        "var_sigma_b": found.sigma,
    }
    return {name: np.where(known, values, np.nan) for name, values in columns.items()}


def gregory_loredo(
    counts: np.ndarray, length: np.ndarray, live: np.ndarray | None = None
) -> GregoryLoredo:
    """Compare a constant rate with rates in equal bins.

    Args:
        counts: in equal parts of each observation, (n, N_TIMES).
        length: of each observation with its gaps, s, (n).
        live: fraction of each part that was exposed, 0 to 1, (n, N_TIMES), above 0 where there are
            counts; None for observations without gaps.
    """
    number, sums = counts.sum(axis=1), _window_sums(counts)
    live_sums = None if live is None else _window_sums(live)
    odds = _log_odds(sums, number, live_sums)
    numbers = np.array(_NUMBERS)
    of_number = np.stack([np.logaddexp.reduce(by_phase, axis=1) for by_phase in odds], axis=1)
    of_number[numbers > np.clip(length / _SHORTEST_BIN, 2.0, _NUMBERS[-1])[:, None]] = -np.inf
    fit = of_number >= of_number.max(axis=1, keepdims=True) - 0.5
    last = len(numbers) - 1 - fit[:, ::-1].argmax(axis=1)
    # Each number stands for all up to the next, the last one for itself.
    stands = np.where(np.arange(len(numbers)) < last[:, None], np.append(np.diff(numbers), 1), 1.0)
    stands[np.arange(len(numbers)) > last[:, None]] = 0.0
    with np.errstate(divide="ignore"):
        prior = np.log(stands / (numbers[last] - 1.0)[:, None])
    odds = [by_phase + prior[:, [place]] for place, by_phase in enumerate(odds)]
    total = np.logaddexp.reduce(of_number + prior, axis=1)
    # The weights, with that of a constant rate, add up to one.
    everything = np.logaddexp(0.0, total)
    probability = np.exp(total - everything)
    weights = [np.exp(by_phase - everything[:, None]) for by_phase in odds]
    curve, bins = _light_curve(sums, number, weights, probability, live_sums)

    def average(values: np.ndarray) -> np.ndarray:
        return values.mean(axis=1) if live is None else np.average(values, axis=1, weights=live)

    exposure = length if live is None else length * live.mean(axis=1)
    curve *= (number / exposure)[:, None]
    mean = average(curve)
    error = np.sqrt(curve * (bins / length)[:, None])
    if live is not None:
        with np.errstate(divide="ignore"):
            error /= np.sqrt(live)
    away = np.abs(curve - mean[:, None]) / np.maximum(error, 1e-30)
    quiet = (average(away < 3.0) > 0.997) & (away < 5.0).all(axis=1)
    sigma = np.sqrt(average((curve - mean[:, None]) ** 2))
    if live is not None:
        curve, error = (np.where(live > 0.0, values, np.nan) for values in (curve, error))
    index = variability_index(probability, total / np.log(10.0), quiet)
    return GregoryLoredo(probability, index, curve, error, mean, sigma)


def _window_sums(values: np.ndarray) -> np.ndarray:
    """Return running sums of values (n, N_TIMES), the end wrapped around, (n, 2 N_TIMES + 1)."""
    whole = np.issubdtype(values.dtype, np.integer)
    sums = np.zeros((len(values), 2 * N_TIMES + 1), dtype=np.int64 if whole else np.float64)
    np.cumsum(np.concatenate([values, values], axis=1), axis=1, out=sums[:, 1:])
    return sums


def _windows(sums: np.ndarray, m: int) -> np.ndarray:
    """Return the sums over a bin from each time on, (n, N_TIMES); over a time for finer bins."""
    width = max(1, N_TIMES // m)
    return sums[:, width : width + N_TIMES] - sums[:, :N_TIMES]


def _exposed(live_sums: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each window's share of the live time (n, N_TIMES), and the number of bins that were
    exposed, by phase, (n, phases)."""
    share = _windows(live_sums, m) / live_sums[:, [N_TIMES]]
    finer = max(1, m // N_TIMES)
    by_phase = share.reshape(len(share), min(m, N_TIMES), -1)
    return share, finer / (by_phase**2).sum(axis=1)


def _log_odds(
    sums: np.ndarray, number: np.ndarray, live_sums: np.ndarray | None
) -> list[np.ndarray]:
    """Return ln of the odds of each of `_NUMBERS` of bins, by phase, (n, phases) each.

    Events are uniform within each of the `N_TIMES` bins: with f finer bins in it, its k events
    contribute (k + f − 1)! / ((f − 1)! fᵏ) on average.
    """
    if live_sums is not None:
        return list(_log_odds_of_gaps(sums, number, live_sums))
    # ln k! for k from 0 on.
    largest = int(number.max(initial=0)) + _NUMBERS[-1]
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])
    odds = []
    for m in _NUMBERS:
        constant = factorial[m - 1] + number * np.log(m) - factorial[number + m - 1]
        window = _windows(sums, m)
        if m > N_TIMES:
            finer = m // N_TIMES
            inside = factorial.take(window + finer - 1).sum(axis=1)
            inside -= N_TIMES * factorial[finer - 1] + number * np.log(finer)
            odds.append((inside + constant)[:, None])
            continue
        width = N_TIMES // m
        by_phase = factorial.take(window).reshape(-1, m, width).sum(axis=1)
        odds.append(by_phase + (constant - np.log(width))[:, None])
    return odds


def _log_odds_of_gaps(
    sums: np.ndarray, number: np.ndarray, live_sums: np.ndarray
) -> Iterator[np.ndarray]:
    """Give the same for observations with gaps."""
    for m in _NUMBERS:
        share, exposed = _exposed(live_sums, m)
        phases = exposed.shape[1]
        window, prior = _windows(sums, m), share * np.tile(exposed, N_TIMES // phases)
        terms, some = np.zeros(window.shape), window > 0
        k = window[some]
        terms[some] = (
            _log_gamma(k + prior[some]) - _log_gamma(prior[some]) - k * np.log(share[some])
        )
        by_phase = terms.reshape(len(terms), -1, phases).sum(axis=1) - np.log(phases)
        yield by_phase + _log_gamma(exposed) - _log_gamma(number[:, None] + exposed)


def _light_curve(
    sums: np.ndarray,
    number: np.ndarray,
    weights: list[np.ndarray],
    probability: np.ndarray,
    live_sums: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return relative rates (n, N_TIMES), and the mean number of bins (n).

    `weights` (n, phases) are of each of `_NUMBERS` of bins by phase, `sums` and `live_sums` those
    of `_window_sums` of counts and exposed fractions (None without gaps).
    """
    n = len(number)
    curve, bins = np.repeat((1.0 - probability)[:, None], N_TIMES, axis=1), 1.0 - probability
    for m, weight in zip(_NUMBERS, weights, strict=True):
        bins += m * weight.sum(axis=1)
        scale = (m / (number + m))[:, None]
        window, width = _windows(sums, m), max(1, N_TIMES // m)
        tiled = np.tile(weight, N_TIMES // width)
        if live_sums is not None:
            share, exposed = _exposed(live_sums, m)
            exposed = np.tile(exposed, N_TIMES // width)
            rate = np.divide(window, share, out=np.zeros(share.shape), where=share > 0.0)
            rate = (rate + exposed) / (number[:, None] + exposed) * tiled
        elif m > N_TIMES:
            rate = (window * (N_TIMES / m) + 1.0) * weight * scale
        else:
            rate = (window + 1.0) * tiled * scale
        if m > N_TIMES:
            curve += rate
            continue
        # The rate at a time comes from the one bin of each phase that holds it.
        ends = np.zeros((n, N_TIMES + width))
        wrapped = np.concatenate([rate[:, N_TIMES - width + 1 :], rate], axis=1)
        np.cumsum(wrapped, axis=1, out=ends[:, 1:])
        curve += ends[:, width:] - ends[:, :N_TIMES]
    return curve, bins


def uniformity(phases: np.ndarray) -> tuple[float, float]:
    """Return the probabilities of variability by the tests of Kolmogorov and Smirnov, and Kuiper.

    Args:
        phases: share of the live time before each event, 0 to 1, (k).

    Returns:
        `ks_prob` and `kp_prob`: 1 less the probability that uniform times depart as far (Stephens
        1970, J. R. Stat. Soc. B 32, 115).
    """
    n, ordered = len(phases), np.sort(phases)
    above = float((np.arange(1, n + 1) / n - ordered).max())
    below = float((ordered - np.arange(n) / n).max())
    root, k = sqrt(n), np.arange(1, 101)
    largest = (root + 0.12 + 0.11 / root) * max(above, below)
    both = (root + 0.155 + 0.24 / root) * (above + below)
    # Below these the series converge slowly, and are 1 to six figures.
    smirnov = 2.0 * ((-1.0) ** (k - 1) * np.exp(-2.0 * (k * largest) ** 2)).sum()
    smirnov = 1.0 if largest < 0.25 else smirnov
    kuiper = 2.0 * ((4.0 * (k * both) ** 2 - 1.0) * np.exp(-2.0 * (k * both) ** 2)).sum()
    kuiper = 1.0 if both < 0.4 else kuiper
    return float(np.clip(1.0 - smirnov, 0.0, 1.0)), float(np.clip(1.0 - kuiper, 0.0, 1.0))


def variability_index(
    probability: np.ndarray, log_odds: np.ndarray, quiet: np.ndarray
) -> np.ndarray:
    """Return the catalogue's index, 0 to 10 (Evans et al. 2010, table 9).

    Args:
        probability: of variability, (n).
        log_odds: decimal logarithm of the odds, (n).
        quiet: whether the light curve stays within 3 σ of its mean for 99.7 % of the time, and
            within 5 σ always, (n).
    """
    index = np.select(
        [probability <= 0.5, probability < 2 / 3, probability < 0.9],
        [0, np.where(quiet, 1, np.where(probability < 0.6, 3, 4)), np.where(quiet, 2, 5)],
        6 + np.searchsorted([2.0, 4.0, 10.0, 30.0], log_odds, side="right"),
    )
    return index.astype(float)


def between_observations(
    source: np.ndarray, counts: np.ndarray, background: np.ndarray, sensitivity: np.ndarray
) -> np.ndarray:
    """Return the probability that a source varied between observations, for each of its rows.

    Twice the logarithm of the likelihood ratio between a flux for each observation and one for all
    follows χ² with one degree of freedom less than there are observations. The likelihood is
    Poisson's, with the background known.

    Args:
        source: index of the source, (n).
        counts: in the aperture, (n).
        background: expected of them, (n).
        sensitivity: counts for one unit of flux, (n).

    Returns:
        (n), nan for sources with a single observation.
    """
    _, owner, number = np.unique(source, return_inverse=True, return_counts=True)
    together = np.bincount(owner, sensitivity)
    behind = np.maximum(background, 1e-6)
    net = np.maximum(counts - background, 0.0)
    flux = np.maximum(np.bincount(owner, net), 0.5) / together
    # Expectation–maximisation: each step raises the likelihood; the background is a small part.
    for _ in range(60):
        expected = flux[owner] * sensitivity
        flux = np.bincount(owner, counts * expected / (expected + behind)) / together

    def log_likelihood(expected: np.ndarray) -> np.ndarray:
        return counts * np.log(expected + behind) - expected

    gain = log_likelihood(net) - log_likelihood(flux[owner] * sensitivity)
    ratio = np.maximum(2.0 * np.bincount(owner, gain), 0.0)
    probability = [
        chi_square_cdf(value, k - 1) if k > 1 else np.nan
        for value, k in zip(ratio, number, strict=True)
    ]
    return np.array(probability)[owner]


def chi_square_cdf(value: float, degrees: int) -> float:
    """Return the probability that χ² with some degrees of freedom is below a value."""
    half = value / 2.0
    if half <= 0.0:
        return 0.0
    odd = degrees % 2
    powers = [k - 0.5 * odd for k in range(odd, degrees // 2 + odd)]
    tail = sum(exp(power * log(half) - half - lgamma(power + 1.0)) for power in powers)
    return min(1.0, max(0.0, 1.0 - tail - odd * erfc(sqrt(half))))
