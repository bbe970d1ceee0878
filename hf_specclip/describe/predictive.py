"""Importance sampling of spectral parameters from predicted intervals and the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from ..spectra.fitting.models import TabulatedModel

# Normal deviates of the limits of 90 and 68 % intervals and of the estimate.
_DEVIATES = np.array([-1.645, -0.994, 0.0, 0.994, 1.645])
# Intervals predict the result of a fit to noisy counts; the true parameters scatter more.
_WIDENING, _MAX_DEVIATE = 1.5, 3.5
# Minimum half width of a 68 % interval, in the coordinate of the fit.
_MIN_WIDTH = 0.01
N_DRAWS, _ROUNDS, _MIN_EFFECTIVE = 256, 3, 24.0
# Above this number of counts, binomial tails use the normal approximation.
_NORMAL_COUNTS = 4000
# Number of quantiles of the samples over which binomial tails are averaged.
_QUANTILES = 32


class PredictiveDistribution:
    """Predictive distribution of a parameter, interpolated between the limits of its intervals.

    Args:
        ends: (5,) lower 90, lower 68, estimate, upper 68, upper 90 in the coordinate of the fit;
            nan for an unbounded limit.
    """

    def __init__(self, ends: np.ndarray) -> None:
        known = np.isfinite(ends)
        spread = np.nanmax(np.abs(ends - ends[2])) if known.any() else 1.0
        filled = np.where(known, ends, ends[2] + np.sign(_DEVIATES) * max(spread, 1.0))
        self.values = np.maximum.accumulate(filled)
        self.values += _MIN_WIDTH * _DEVIATES

    def at(self, deviates: np.ndarray) -> np.ndarray:
        """Return the values at normal deviates, extrapolated linearly beyond the outer limits."""
        z = np.clip(_WIDENING * deviates, -_MAX_DEVIATE * _WIDENING, _MAX_DEVIATE * _WIDENING)
        inner = np.interp(z, _DEVIATES, self.values)
        below = np.minimum(z - _DEVIATES[0], 0.0) * (self.values[2] - self.values[0]) / 1.645
        above = np.maximum(z - _DEVIATES[-1], 0.0) * (self.values[-1] - self.values[2]) / 1.645
        return inner + below + above


@dataclass(frozen=True)
class PosteriorSamples:
    """Equally weighted samples of the shape and column density of a model.

    Attributes:
        points: (S, 2) in the coordinates of the fit.
        evidence: logarithm of the evidence, the mean likelihood over the predictive distribution.
    """

    points: np.ndarray
    evidence: float


def sample_posterior(
    model: TabulatedModel,
    priors: tuple[PredictiveDistribution, PredictiveDistribution],
    counts: np.ndarray,
    background: np.ndarray,
    response: np.ndarray,
    random: np.random.Generator,
) -> PosteriorSamples:
    """Sample shape and column density, with predictive distributions as priors.

    Adaptive importance sampling in the normal deviates of the two parameters, in three rounds with
    a normal proposal around the weighted samples of the last.

    Args:
        model: model tabulated on the energies of the response.
        priors: predictive distributions of shape and column density.
        counts, background: counts and expected background in groups (g,).
        response: (m, g), cm².
        random: random generator.
    """
    mean, covariance = np.zeros(2), np.eye(2)
    for _ in range(_ROUNDS):
        root = np.linalg.cholesky(covariance)
        normal = random.standard_normal((N_DRAWS, 2))
        deviates = mean + normal @ root.T
        proposal = -0.5 * (normal**2).sum(axis=1) - np.log(np.diag(root)).sum()
        points = np.stack([p.at(z) for p, z in zip(priors, deviates.T, strict=True)], axis=1)
        points = np.clip(points, model.lower.numpy(), model.upper.numpy())
        target = _log_likelihood(model, points, counts, background, response)
        target = target - 0.5 * (deviates**2).sum(axis=1)
        log_weights = target - proposal
        weights = _tempered(log_weights)
        mean = weights @ deviates
        offset = deviates - mean
        covariance = 1.5 * (weights[:, None] * offset).T @ offset + 1e-5 * np.eye(2)
    resampled = random.choice(N_DRAWS, N_DRAWS, p=weights)
    highest = log_weights.max()
    evidence = float(highest + np.log(np.exp(log_weights - highest).mean()))
    return PosteriorSamples(points[resampled], evidence)


def _log_likelihood(
    model: TabulatedModel,
    points: np.ndarray,
    counts: np.ndarray,
    background: np.ndarray,
    response: np.ndarray,
) -> np.ndarray:
    """Return the multinomial log-likelihood of the groups (K,)."""
    photons, _ = model.photons(torch.from_numpy(points), slopes=False)
    source = np.maximum(photons[:, 0].numpy() @ response, 0.0)
    total = source.sum(axis=1, keepdims=True)
    factor = max(counts.sum() - background.sum(), 1.0) / np.maximum(total, 1e-300)
    expected = factor * source + background
    share = expected / expected.sum(axis=1, keepdims=True)
    return (counts * np.log(np.maximum(share, 1e-12))).sum(axis=1)


def _tempered(log_weights: np.ndarray) -> np.ndarray:
    """Return normalised weights, tempered by a power below 1 if the effective sample is small."""
    power = 1.0
    while True:
        weights = np.exp(power * (log_weights - log_weights.max()))
        weights /= weights.sum()
        if 1.0 / (weights**2).sum() >= _MIN_EFFECTIVE or power < 1e-4:
            return weights
        power *= 0.7


def binomial_tails(observed: int, total: int, shares: np.ndarray) -> tuple[float, float]:
    """Return P(n ≤ observed) and P(n ≥ observed) of a binomial, averaged over samples.

    Args:
        observed: number of successes.
        total: number of trials.
        shares: samples of the probability of success (S,).
    """
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    share = np.clip(np.quantile(shares, middles), 1e-12, 1 - 1e-12)
    if total > _NORMAL_COUNTS:
        mean, sigma = total * share, np.sqrt(total * share * (1 - share))
        normal = torch.special.ndtr
        lower = normal(torch.from_numpy((observed + 0.5 - mean) / sigma))
        upper = normal(torch.from_numpy((mean - observed + 0.5) / sigma))
        return float(lower.mean()), float(upper.mean())
    numbers = torch.arange(total + 1, dtype=torch.float64)
    binomial = torch.distributions.Binomial(total, torch.from_numpy(share)[:, None])
    mass = binomial.log_prob(numbers).exp().mean(dim=0)
    return float(mass[: observed + 1].sum()), float(mass[observed:].sum())
