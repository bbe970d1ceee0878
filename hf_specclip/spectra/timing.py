"""Variability of sources, and the catalogue's measures of it: light curves, event times, tests.

Within an observation the catalogue compares a constant rate with rates in m equal bins, for many m
and all phases (Gregory & Loredo 1992, ApJ 398, 146), and sorts the odds into an index from 0 to 10
(Evans et al. 2010, ApJS 189, 37, table 9). Between observations it compares one flux for all with a
flux for each.

The odds for m bins are averaged from 2 to the largest m whose odds reach those of the best over √e,
as the catalogue's tool does; the light curve is the mean over m (1 for a constant rate) and phase,
weighted by their odds. What is approximate: times are kept to 1/240 of the observation, so that m
runs over the divisors of 240, each standing for the numbers up to the next, and over multiples of
240 with the mean of the odds of all finer times; phases wrap around the end; there are no gaps,
dither or dead time; errors of the light curve are σ² = rate · m̄ / T.
"""

from __future__ import annotations

from math import erfc, exp, lgamma, log, sqrt

import numpy as np

# Bins of a light curve; 240 has many divisors.
N_TIMES = 240
_DIVISORS = tuple(m for m in range(2, N_TIMES + 1) if N_TIMES % m == 0)
# Bins finer than the times kept: `N_TIMES` times as many.
_FINER = (2, 3, 4, 6, 8, 12)
_NUMBERS = (*_DIVISORS, *(N_TIMES * finer for finer in _FINER))
# The catalogue's bins are never shorter than this, s.
_SHORTEST_BIN = 50.0
# Fewer counts than this have no light curve.
LEAST_COUNTS = 10


def within_observation(counts: np.ndarray, exposure: np.ndarray) -> dict[str, np.ndarray]:
    """Apply the catalogue's test for variability within an observation.

    Args:
        counts: in equal parts of each observation, (n, N_TIMES).
        exposure: s, (n).

    Returns:
        `var_prob_b`, `var_index_b` and `var_sigma_b` (counts/s), (n) each; nan with fewer than
        `LEAST_COUNTS` counts.
    """
    number, sums = counts.sum(axis=1), _window_sums(counts)
    odds = _log_odds(sums, number)
    numbers = np.array(_NUMBERS)
    of_number = np.stack([np.logaddexp.reduce(by_phase, axis=1) for by_phase in odds], axis=1)
    of_number[numbers > np.clip(exposure / _SHORTEST_BIN, 2.0, _NUMBERS[-1])[:, None]] = -np.inf
    fit = of_number >= of_number.max(axis=1, keepdims=True) - 0.5
    last = len(numbers) - 1 - fit[:, ::-1].argmax(axis=1)
    # A number stands for those up to the next, the last one for itself.
    stands = np.where(np.arange(len(numbers)) < last[:, None], np.append(np.diff(numbers), 1), 1.0)
    stands[np.arange(len(numbers)) > last[:, None]] = 0.0
    with np.errstate(divide="ignore"):
        prior = np.log(stands / (numbers[last] - 1.0)[:, None])
    odds = [by_phase + prior[:, [place]] for place, by_phase in enumerate(odds)]
    total = np.logaddexp.reduce(of_number + prior, axis=1)
    # All weights add up to one, with that of a constant rate.
    everything = np.logaddexp(0.0, total)
    probability = np.exp(total - everything)
    curve, bins = _light_curve(
        sums, number, [np.exp(by_phase - everything[:, None]) for by_phase in odds], probability
    )

    curve *= (number / exposure)[:, None]
    level = curve.mean(axis=1, keepdims=True)
    error = np.sqrt(curve * (bins / exposure)[:, None])
    away = np.abs(curve - level) / np.maximum(error, 1e-30)
    quiet = ((away < 3.0).mean(axis=1) > 0.997) & (away < 5.0).all(axis=1)
    known = number >= LEAST_COUNTS
    columns = {
        "var_prob_b": probability,
        "var_index_b": variability_index(probability, total / np.log(10.0), quiet),
        "var_sigma_b": curve.std(axis=1),
    }
    return {name: np.where(known, values, np.nan) for name, values in columns.items()}


def _window_sums(counts: np.ndarray) -> np.ndarray:
    """Return running sums of counts (n, N_TIMES), the end wrapped around, (n, 2 N_TIMES + 1)."""
    sums = np.zeros((len(counts), 2 * N_TIMES + 1), dtype=np.int64)
    np.cumsum(np.concatenate([counts, counts], axis=1), axis=1, out=sums[:, 1:])
    return sums


def _log_odds(sums: np.ndarray, number: np.ndarray) -> list[np.ndarray]:
    """Return ln of the odds of each of `_NUMBERS` of bins, by phase, (n, phases) each.

    Within a time that is kept events fall evenly: the mean odds of f bins in it have
    (k + f − 1)! / ((f − 1)! fᵏ) for its k events.
    """
    factorial = _log_factorial(int(number.max(initial=0)) + _NUMBERS[-1])
    odds = []
    for m in _NUMBERS:
        constant = factorial[m - 1] + number * np.log(m) - factorial[number + m - 1]
        if m > N_TIMES:
            finer, counts = m // N_TIMES, np.diff(sums[:, : N_TIMES + 1], axis=1)
            inside = factorial.take(counts + finer - 1).sum(axis=1)
            inside -= N_TIMES * factorial[finer - 1] + number * np.log(finer)
            odds.append((inside + constant)[:, None])
            continue
        width = N_TIMES // m
        window = sums[:, width : width + N_TIMES] - sums[:, :N_TIMES]
        by_phase = factorial.take(window).reshape(-1, m, width).sum(axis=1)
        odds.append(by_phase + (constant - np.log(width))[:, None])
    return odds


def _light_curve(
    sums: np.ndarray, number: np.ndarray, weights: list[np.ndarray], probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return relative rates (n, N_TIMES), and the mean number of bins (n).

    Args:
        sums: of the counts, `_window_sums`.
        number: of counts, (n).
        weights: of each of `_NUMBERS` of bins, by phase, (n, phases) each.
        probability: of variability, (n).
    """
    n = len(number)
    curve, bins = np.repeat((1.0 - probability)[:, None], N_TIMES, axis=1), 1.0 - probability
    for m, weight in zip(_NUMBERS, weights, strict=True):
        bins += m * weight.sum(axis=1)
        scale = (m / (number + m))[:, None]
        if m > N_TIMES:
            counts = np.diff(sums[:, : N_TIMES + 1], axis=1)
            curve += (counts * (N_TIMES / m) + 1.0) * weight * scale
            continue
        width = N_TIMES // m
        window = sums[:, width : width + N_TIMES] - sums[:, :N_TIMES]
        # The rate at a time comes from the one bin of each phase that holds it.
        rate = (window + 1.0) * np.tile(weight, m) * scale
        ends = np.zeros((n, N_TIMES + width))
        wrapped = np.concatenate([rate[:, N_TIMES - width + 1 :], rate], axis=1)
        np.cumsum(wrapped, axis=1, out=ends[:, 1:])
        curve += ends[:, width:] - ends[:, :N_TIMES]
    return curve, bins


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
    """Return the probability that χ² is below a value, in closed form.

    Args:
        value: 0 or more.
        degrees: of freedom, 1 or more.
    """
    half = value / 2.0
    if half <= 0.0:
        return 0.0
    odd = degrees % 2
    powers = [k - 0.5 * odd for k in range(odd, degrees // 2 + odd)]
    tail = sum(exp(power * log(half) - half - lgamma(power + 1.0)) for power in powers)
    return min(1.0, max(0.0, 1.0 - tail - odd * erfc(sqrt(half))))


def _log_factorial(largest: int) -> np.ndarray:
    """Return ln k! for k from 0 to `largest`."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])
