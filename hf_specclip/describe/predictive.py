"""Draws of spectral shapes from predicted intervals, weighed by the likelihood of the counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from ..spectra.fitting.models import TabulatedModel

# Normal deviates of the ends of 68 and 90 % intervals, and of the estimate.
_DEVIATES = np.array([-1.645, -0.994, 0.0, 0.994, 1.645])
# The intervals are of a fit to noisy counts: the shape behind it may lie a little further out.
_WIDENING, _FURTHEST = 1.5, 3.5
# No interval is taken to be narrower than this, in the coordinate of the fit.
_NARROWEST = 0.01
N_DRAWS, _ROUNDS, _LEAST_EFFECTIVE = 256, 3, 24.0
# From this many counts on, binomial tails are those of the normal approximation.
_MANY = 4000
# Quantiles that stand for the draws in a tail.
_SHARES = 32


class Predictive:
    """Predicted distribution of one parameter: linear between the ends of its intervals.

    Args:
        ends: (5,) lower 90, lower 68, estimate, upper 68, upper 90 in the coordinate of the fit;
            nan for an open end.
    """

    def __init__(self, ends: np.ndarray) -> None:
        known = np.isfinite(ends)
        spread = np.nanmax(np.abs(ends - ends[2])) if known.any() else 1.0
        filled = np.where(known, ends, ends[2] + np.sign(_DEVIATES) * max(spread, 1.0))
        self.values = np.maximum.accumulate(filled)
        self.values += _NARROWEST * _DEVIATES

    def at(self, deviates: np.ndarray) -> np.ndarray:
        """Return the values at normal deviates, linear beyond the outer ends."""
        z = np.clip(_WIDENING * deviates, -_FURTHEST * _WIDENING, _FURTHEST * _WIDENING)
        inner = np.interp(z, _DEVIATES, self.values)
        below = np.minimum(z - _DEVIATES[0], 0.0) * (self.values[2] - self.values[0]) / 1.645
        above = np.maximum(z - _DEVIATES[-1], 0.0) * (self.values[-1] - self.values[2]) / 1.645
        return inner + below + above


@dataclass(frozen=True)
class DrawnShapes:
    """Draws of a model's shape and column density, equally weighed.

    Attributes:
        points: (S, 2) in the coordinates of the fit.
        evidence: logarithm of the mean likelihood over the predicted distribution.
    """

    points: np.ndarray
    evidence: float


def sample_shapes(
    model: TabulatedModel,
    priors: tuple[Predictive, Predictive],
    counts: np.ndarray,
    background: np.ndarray,
    response: np.ndarray,
    random: np.random.Generator,
) -> DrawnShapes:
    """Draw shapes from the predicted distributions, weighed by the likelihood of the counts.

    Adaptive importance sampling in the normal deviates of the two parameters: three rounds, each
    from a normal distribution around the better half of the last.

    Args:
        model: tabulated on the energies of the response.
        priors: of the shape and of the column density.
        counts, background: (g,) counts and expected background in groups.
        response: (m, g) cm².
        random: generator.
    """
    mean, covariance = np.zeros(2), np.eye(2)
    for _ in range(_ROUNDS):
        root = np.linalg.cholesky(covariance)
        normal = random.standard_normal((N_DRAWS, 2))
        deviates = mean + normal @ root.T
        proposal = -0.5 * (normal**2).sum(axis=1) - np.log(np.diag(root)).sum()
        points = _points(model, priors, deviates)
        target = _log_likelihood(model, points, counts, background, response)
        target = target - 0.5 * (deviates**2).sum(axis=1)
        log_weights = target - proposal
        weights = _tempered(log_weights)
        mean = weights @ deviates
        offset = deviates - mean
        covariance = 1.5 * (weights[:, None] * offset).T @ offset + 1e-5 * np.eye(2)
    indices = random.choice(N_DRAWS, N_DRAWS, p=weights)
    highest = log_weights.max()
    evidence = float(highest + np.log(np.exp(log_weights - highest).mean()))
    return DrawnShapes(points[indices], evidence)


def _points(
    model: TabulatedModel, priors: tuple[Predictive, Predictive], deviates: np.ndarray
) -> np.ndarray:
    points = np.stack([prior.at(z) for prior, z in zip(priors, deviates.T, strict=True)], axis=1)
    return np.clip(points, model.lower.numpy(), model.upper.numpy())


def _log_likelihood(
    model: TabulatedModel,
    points: np.ndarray,
    counts: np.ndarray,
    background: np.ndarray,
    response: np.ndarray,
) -> np.ndarray:
    """Return the multinomial log-likelihood (K,) of the groups at the data's normalisation."""
    photons, _ = model.photons(torch.from_numpy(points), slopes=False)
    source = np.maximum(photons[:, 0].numpy() @ response, 0.0)
    total = source.sum(axis=1, keepdims=True)
    factor = max(counts.sum() - background.sum(), 1.0) / np.maximum(total, 1e-300)
    expected = factor * source + background
    share = expected / expected.sum(axis=1, keepdims=True)
    return (counts * np.log(np.maximum(share, 1e-12))).sum(axis=1)


def _tempered(log_weights: np.ndarray) -> np.ndarray:
    """Return the weights to the largest power of at most 1 by which enough draws count."""
    power = 1.0
    while True:
        weights = np.exp(power * (log_weights - log_weights.max()))
        weights /= weights.sum()
        if 1.0 / (weights**2).sum() >= _LEAST_EFFECTIVE or power < 1e-4:
            return weights
        power *= 0.7


def binomial_tails(observed: int, total: int, shares: np.ndarray) -> tuple[float, float]:
    """Return the chance of at most, and of at least, so many of the counts, averaged over draws.

    Args:
        observed: counts.
        total: counts they are among.
        shares: (S,) probability of each, by draw.
    """
    middles = (np.arange(_SHARES) + 0.5) / _SHARES
    share = np.clip(np.quantile(shares, middles), 1e-12, 1 - 1e-12)
    if total > _MANY:
        mean, sigma = total * share, np.sqrt(total * share * (1 - share))
        normal = torch.special.ndtr
        lower = normal(torch.from_numpy((observed + 0.5 - mean) / sigma))
        upper = normal(torch.from_numpy((mean - observed + 0.5) / sigma))
        return float(lower.mean()), float(upper.mean())
    numbers = torch.arange(total + 1, dtype=torch.float64)
    choose = torch.lgamma(torch.tensor(total + 1.0, dtype=torch.float64))
    choose = choose - torch.lgamma(numbers + 1) - torch.lgamma(total - numbers + 1)
    p = torch.from_numpy(share)[:, None]
    mass = torch.exp(choose + numbers * p.log() + (total - numbers) * torch.log1p(-p)).mean(dim=0)
    return float(mass[: observed + 1].sum()), float(mass[observed:].sum())


__all__ = ["DrawnShapes", "Predictive", "binomial_tails", "sample_shapes"]
