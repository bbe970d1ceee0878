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

from .bank import Bank, systematic_draws
from .prior import Prior
from .spectra import Spectra, log_likelihoods

# Below e^−700 of the best member, sums are taken in a gentler power: the order is kept.
_GENTLE = 0.02


@dataclass(frozen=True)
class Observation:
    """The observer's comparison of n spectra and t texts.

    Attributes:
        scores: ln p(spectrum | text) − ln p(spectrum), (n, t) float64.
        half_scores: the same by every other member of the bank: what doubling the bank changes.
        effective: members of the bank that speak for each spectrum, 1 / Σ p², (n).
        from_spectrum: members drawn from the posterior given the spectrum, (n, k).
        from_both: the same given the spectrum and its own text, (n, k).
    """

    scores: np.ndarray
    half_scores: np.ndarray
    effective: np.ndarray
    from_spectrum: np.ndarray
    from_both: np.ndarray


@torch.no_grad()
def observe(
    prior: Prior,
    bank: Bank,
    spectra: Spectra,
    text_of_spectrum: np.ndarray | None = None,
    *,
    draws: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Observation:
    """Compare spectra with the texts of a bank.

    Args:
        prior: that the bank was drawn with.
        bank: sources.
        spectra: observed ones.
        text_of_spectrum: the text of each, for `from_both`, (n).
        draws: members drawn from each posterior.
        seed: of those draws.
        progress: show a bar.
    """
    n = len(spectra)
    n_texts = sum(len(texts) for texts in bank.texts)
    scores, half_scores = np.full((2, n, n_texts), -np.inf)
    effective = np.empty(n)
    drawn = np.zeros((2, n, draws), dtype=np.int64)
    random = np.random.default_rng(seed)
    log_prior = torch.from_numpy(bank.log_prior)
    log_flux = torch.from_numpy((bank.log_flux + bank.log_boost).astype(np.float32))
    scatter = torch.from_numpy(bank.scatter.astype(np.float32))
    weights = [torch.from_numpy(table).double() for table in bank.text_weights]
    halves = [table[:, ::2] for table in weights]
    halves = [table / table.sum(dim=1, keepdim=True).clamp(min=1e-300) for table in halves]
    members = [bank.members(row) for row in range(len(prior.strata))]
    home = np.full(n_texts, -1)
    for row, texts in enumerate(bank.texts):
        home[texts] = row
    for row in tqdm(
        range(n),
        desc="the ideal observer",
        unit="spectrum",
        disable=not progress,
        delay=2,
        leave=False,
    ):
        rates = bank.rates[spectra.epoch[row]]
        likelihood = log_likelihoods(spectra, row, rates, log_flux, scatter).double()
        visit = prior.visit_density(float(spectra.exposure[row]), bank.log_usual)
        likelihood += torch.from_numpy(np.log(np.maximum(visit, 1e-30)) - bank.log_chance)
        posterior = likelihood + log_prior
        evidence = float(torch.logsumexp(posterior, 0))
        posterior = (posterior - evidence).exp_()
        effective[row] = 1.0 / float(posterior.square().sum())
        half_evidence = float(torch.logsumexp((likelihood + log_prior)[::2], 0)) + np.log(2.0)
        for of_stratum, texts, full, half in zip(members, bank.texts, weights, halves, strict=True):
            if len(texts):
                here = likelihood[of_stratum]
                scores[row, texts] = _log_mean(full, here) - evidence
                half_scores[row, texts] = _log_mean(half, here[::2]) - half_evidence
        if draws:
            drawn[0, row] = systematic_draws(posterior.numpy(), draws, random)
            if text_of_spectrum is not None:
                text = int(text_of_spectrum[row])
                stratum = home[text]
                place = int(np.searchsorted(bank.texts[stratum], text))
                here = likelihood[members[stratum]]
                both = weights[stratum][place] * (here - here.max()).exp()
                if float(both.sum()) <= 0.0:
                    both = weights[stratum][place] + 1e-300
                drawn[1, row] = members[stratum].start + systematic_draws(
                    both.numpy(), draws, random
                )
    scores, half_scores = (np.nan_to_num(each, neginf=-1e30) for each in (scores, half_scores))
    return Observation(scores, half_scores, effective, *drawn)


def _log_mean(weights: torch.Tensor, log_values: torch.Tensor) -> np.ndarray:
    """Return ln Σ w exp(v) for each row of weights (t, m), (t)."""
    top = log_values.max()
    values = log_values - top
    total = weights @ values.exp()
    result = total.log()
    lost = torch.nonzero(total <= 1e-290).ravel()
    if len(lost):
        result[lost] = (weights[lost] @ (_GENTLE * values).exp()).log() / _GENTLE
    return (result + top).numpy()


__all__ = ["Observation", "observe"]
