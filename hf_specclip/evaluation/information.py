"""Information gain of predicted distributions over the population."""

from __future__ import annotations

import numpy as np

# Smallest share of the population, on either side of a value, over which a density is taken, and
# the weight of the population itself in it: a certain prediction that is wrong costs no more than
# ln 50.
_HALF_WIDTH, _PRIOR_WEIGHT = 0.01, 0.02


def information_gain(
    quantiles: np.ndarray, levels: np.ndarray, truth: np.ndarray, population: np.ndarray
) -> np.ndarray:
    """Compute the logarithm of the predicted over the population's density at each true value.

    Densities are taken over the rank in the population, where its own density is 1, so that the
    gain does not depend on the scale of the variable and repeated values are no trouble. Between
    predicted quantiles the density is constant.

    Args:
        quantiles: (n, q) predicted quantiles, rising; nan for an open end.
        levels: (q,) their levels, rising, one of them 0.5.
        truth: (n,) true values, nan where unknown.
        population: known values that stand for the population, nan where unknown.

    Returns:
        (n,) nats, nan where the truth is unknown; 0 for a prediction that is the population.
    """
    ordered = np.sort(population[np.isfinite(population)])
    levels = np.asarray(levels, np.float64)
    if not len(ordered):
        return np.full(len(truth), np.nan)

    def rank(values: np.ndarray, side: str) -> np.ndarray:
        return np.searchsorted(ordered, values, side=side) / len(ordered)  # type: ignore[call-overload]

    low, high = rank(quantiles, "left"), rank(quantiles, "right")
    knots = np.where(levels < 0.5, low, np.where(levels > 0.5, high, (low + high) / 2))
    knots = np.where(np.isfinite(quantiles), knots, np.where(levels < 0.5, 0.0, 1.0))
    knots = np.maximum.accumulate(knots, axis=1)
    left = np.clip(rank(truth, "left") - _HALF_WIDTH, 0.0, 1.0)
    right = np.clip(rank(truth, "right") + _HALF_WIDTH, 0.0, 1.0)
    gain = np.full(len(truth), np.nan)
    shares = np.concatenate([[0.0], levels, [1.0]])
    for row in np.flatnonzero(np.isfinite(truth)):
        # A knot is as wide as nothing in rank: a sliver keeps the distribution a function.
        places = np.concatenate([[-1e-9], knots[row], [1.0 + 1e-9]])
        places = places + 1e-9 * np.arange(len(places))
        below, above = np.interp([left[row], right[row]], places, shares)
        density = (above - below) / (right[row] - left[row])
        gain[row] = np.log((1 - _PRIOR_WEIGHT) * density + _PRIOR_WEIGHT)
    return gain


__all__ = ["information_gain"]
