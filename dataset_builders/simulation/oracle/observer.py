"""Ideal observer of the simulated universe.

It knows how the universe was made, and reads from each text everything that is stated in it; it
does not know the truth of any source. Whoever ranks the texts for a spectrum by

    p(spectrum i | text t) = ∫ p(i | θ) p(θ | t) dθ,

the likelihood of the spectrum under the sources that the text allows, cannot be beaten by anyone
who has the spectrum, its background, exposure and response, and the text. The integral is a sum
over a bank of sources. Text and spectrum share the source and not the moment:
fluxes and colours change in between as the class does.

What it leaves aside: names (of hosts, fields, sources), the place in the field, other detections of
the source, arrival times; the exact redshift within a blur smaller than the detector's; colours of
single members follow the moment, not the mean. Exposure counts as evidence on the field and on the
flux, since count rate and counts, which every model sees, give it away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from .bank import Bank
from .prior import Prior
from .spectra import Spectra, log_likelihoods

# Below e^−700 of the best member, sums are taken in a gentler power: the order is kept.
_GENTLE = 0.02
# Members that speak for a spectrum at least. Where fewer do, the bank is too coarse for the
# likelihood, and a power of it, as smooth as the bank is, ranks better.
_ENOUGH, _SMOOTHER, _STEPS = 15.0, 0.8, 25
# Spectra that are compared at once.
_TOGETHER = 32


@dataclass(frozen=True)
class Observation:
    """The observer's comparison of n spectra and t texts."""

    scores: np.ndarray  # ln p(spectrum | text) − ln p(spectrum), (n, t) float64
    # The same with every other member of the bank, for the effect of doubling the bank
    half_scores: np.ndarray
    # Members of the bank that speak for each spectrum, 1 / Σ p², before the likelihood is smoothed,
    # (n)
    effective: np.ndarray


@torch.no_grad()
def observe(
    prior: Prior,
    bank: Bank,
    spectra: Spectra,
    *,
    progress: bool = False,
) -> Observation:
    """Compare spectra with the texts of a bank, which was drawn with a prior."""
    n = len(spectra)
    scores = np.full((n, bank.n_texts), -np.inf)
    half_scores = scores.copy()
    effective = np.empty(n)
    bar = tqdm(
        total=n,
        desc="the ideal observer",
        unit="spectrum",
        disable=not progress,
        delay=2,
        leave=False,
    )
    for start in range(0, n, _TOGETHER):
        some = slice(start, min(start + _TOGETHER, n))
        rows = np.arange(some.start, some.stop)
        likelihood = _likelihoods(prior, bank, spectra, rows)
        log_prior = torch.from_numpy(bank.log_prior)[:, None]
        effective[some] = _smooth(likelihood, log_prior)
        posterior = likelihood + log_prior
        evidence = torch.logsumexp(posterior, 0)
        half_evidence = torch.logsumexp(posterior[::2], 0) + np.log(2.0)
        _score(bank, likelihood, scores[some].T, half_scores[some].T)
        scores[some] -= evidence.numpy()[:, None]
        half_scores[some] -= half_evidence.numpy()[:, None]
        bar.update(len(rows))
    bar.close()
    scores, half_scores = (np.nan_to_num(each, neginf=-1e30) for each in (scores, half_scores))
    return Observation(scores, half_scores, effective)


def _likelihoods(prior: Prior, bank: Bank, spectra: Spectra, rows: np.ndarray) -> torch.Tensor:
    """Return ln p(spectrum, its exposure | member), up to a constant of each spectrum, (m, k)."""
    log_flux = torch.from_numpy((bank.log_flux + bank.log_boost).astype(np.float32))
    scatter = torch.from_numpy(bank.scatter.astype(np.float32))
    result = torch.empty((len(bank), len(rows)), dtype=torch.float64)
    for column, row in enumerate(rows):
        rates = bank.rates[spectra.epoch[row]]
        likelihood = log_likelihoods(spectra, int(row), rates, log_flux, scatter)
        visit = prior.visit_density(float(spectra.exposure[row]), bank.log_usual)
        visit = torch.from_numpy(np.log(np.maximum(visit, 1e-30)) - bank.log_chance)
        result[:, column] = likelihood.double() + visit
    return result


def _smooth(likelihood: torch.Tensor, log_prior: torch.Tensor) -> np.ndarray:
    """Take a power of each column of a likelihood (m, k), in place, that leaves `_ENOUGH` members.

    Returns:
        Members that spoke for each spectrum before, (k).
    """
    effective = _effective(likelihood + log_prior)
    coarse = torch.nonzero(effective < _ENOUGH).ravel()
    for _ in range(_STEPS):
        if not len(coarse):
            break
        likelihood[:, coarse] *= _SMOOTHER
        fine = _effective(likelihood[:, coarse] + log_prior) >= _ENOUGH
        coarse = coarse[~fine]
    return effective.numpy()


def _effective(log_weights: torch.Tensor) -> torch.Tensor:
    """Return 1 / Σ p² of each column of unnormalised ln p (m, k), (k)."""
    return 1.0 / torch.softmax(log_weights, 0).square().sum(dim=0)


def _score(
    bank: Bank, likelihood: torch.Tensor, scores: np.ndarray, half_scores: np.ndarray
) -> None:
    """Add ln p(spectrum | text) to scores (t, k), in place, and the same by every other member.

    The likelihood is ln p(spectrum | member), (m, k); scores are −∞ at first.
    """
    half_weight = np.zeros(len(scores))
    for row, (texts, table) in enumerate(zip(bank.texts, bank.text_weights, strict=True)):
        if not len(texts):
            continue
        here = likelihood[bank.members(row)]
        for part in (0, 1):
            weights = torch.from_numpy(table[:, part::2]).double()
            found = _log_mean(weights, here[part::2])
            scores[texts] = np.logaddexp(scores[texts], found)
            if part == 0:
                half_scores[texts] = np.logaddexp(half_scores[texts], found)
                half_weight[texts] += weights.sum(dim=1).numpy()
    half_scores -= np.log(np.maximum(half_weight, 1e-300))[:, None]


def _log_mean(weights: torch.Tensor, log_values: torch.Tensor) -> np.ndarray:
    """Return ln Σ w exp(v) for each row of weights (t, m) and column of values (m, k), (t, k)."""
    top = log_values.max(dim=0).values
    values = log_values - top
    total = weights @ values.exp()
    result = total.log()
    lost = total <= 1e-290
    rows = torch.nonzero(lost.any(dim=1)).ravel()
    if len(rows):
        gentle = (weights[rows] @ (_GENTLE * values).exp()).log() / _GENTLE
        result[rows] = torch.where(lost[rows], gentle, result[rows])
    return (result + top).numpy()
