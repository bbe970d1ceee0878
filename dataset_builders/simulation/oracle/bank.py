"""Bank of sources over which the observer integrates.

First a pool of parameters, which are cheap, is drawn from the population, stratum by stratum (a
class in a kind of field). From it the bank is drawn, whose members cost a spectrum each: some as
the population has them, more of those that agree with what the texts state. Fluxes are drawn in the
same way. A member's weight is the population's chance over that of having been drawn (the balance
heuristic of Veach & Guibas 1995), so that every member serves every text of its stratum.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_specclip.models.variables_specclip import BANDS

from .. import instrument, populations
from ..detections import ERG_PER_KEV, HARDENING, REFERENCE_AREA, at_the_time
from ..knobs import Knobs, stream
from ..source_classes import CLASS_NAMES, CLASSES, FIELD_KINDS, FIELD_NAMES
from .prior import LOG_COUNTS, LOG_EXPOSURE, STEP, Prior
from .spectra import fold_all
from .text import TextTables

# Of the bank: drawn from the population as it is, and from strata alike.
_PLAIN, _EVEN = 0.2, 0.1
# Of the counts and exposures of a stratum that has texts: drawn from the population as it is.
_PLAIN_COUNTS = 0.2
_POOL = 40_000
_POOL_PER_TEXT = 2_000
_LARGEST_POOL = 160_000
# A small bank needs no large pool.
_LEAST_POOL, _POOL_PER_MEMBER = 2_000, 60
_CHUNK = 1_000
# Parameters of a pool that texts state, as `populations.Spectra` has them.
_STATED = ("shape", "nh", "redshift", "abundance")


@dataclass(frozen=True)
class Bank:
    """Bank of m sources, observed once each.

    Attributes:
        stratum: row of `Prior.strata`, (m).
        first_of: first member of each stratum, and m, (s + 1).
        observed: their parameters at the time of the observation (colours vary).
        log_prior: ln of each member's share of the population, (m); the shares add up to about one.
        log_flux: ln of the mean photon flux, 0.5–7 keV, (m).
        log_usual: ln of the exposure that is usual for the field, s, (m).
        log_chance: ln of the chance to be seen, over that of all sources, (m).
        log_boost: ln of what flares add to it meanwhile, (m).
        scatter: standard deviation of ln(flux) between observations, (m).
        rates: counts/s for 1 photon/cm²/s, `fold_all`, (6, b, m).
        truth: quantities that depend on the spectrum, (m): `log_ergs` (erg per photon), `hard_hm`,
            `hard_hs`, `hard_ms`.
        texts: for each stratum, the texts that state it.
        text_weights: for each stratum, p(member | text), rows add up to one, (t, members).
    """

    stratum: np.ndarray
    first_of: np.ndarray
    observed: populations.Spectra
    log_prior: np.ndarray
    log_flux: np.ndarray
    log_usual: np.ndarray
    log_chance: np.ndarray
    log_boost: np.ndarray
    scatter: np.ndarray
    rates: torch.Tensor
    truth: Mapping[str, np.ndarray]
    texts: tuple[np.ndarray, ...]
    text_weights: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.stratum)

    def members(self, stratum: int) -> slice:
        """Return the members of a stratum."""
        return slice(int(self.first_of[stratum]), int(self.first_of[stratum + 1]))

    def effective_numbers(self) -> np.ndarray:
        """Return for each text 1 / Σ p², the effective number of members; 0 without any."""
        result = np.zeros(sum(len(texts) for texts in self.texts))
        for texts, weights in zip(self.texts, self.text_weights, strict=True):
            squares = (weights**2).sum(axis=1)
            result[texts] = np.divide(1.0, squares, out=np.zeros(len(texts)), where=squares > 0.0)
        return result


def draw_bank(
    prior: Prior,
    texts: TextTables,
    size: int,
    *,
    knobs: Knobs,
    seed: int = 0,
    progress: bool = False,
) -> Bank:
    """Draw a bank for some texts.

    Args:
        prior: what holds before anything is read.
        texts: what they state; the bank is drawn where they point.
        size: number of members, about.
        knobs: of the universe.
        seed: of every draw.
        progress: show a bar.

    Raises:
        ValueError: when a text states a class in a kind of field where the prior knows none.
    """
    belongs = np.full(len(texts), -1)
    for row, (of_class, kind) in enumerate(prior.strata):
        belongs[(texts.class_index == of_class) & (texts.kind == kind)] = row
    if (belongs < 0).any():
        row = int(np.flatnonzero(belongs < 0)[0])
        raise ValueError(
            f"a text has a {CLASS_NAMES[texts.class_index[row]]} in a field of kind "
            f"{FIELD_NAMES[texts.kind[row]]}, where the population has none"
        )
    n_texts = max(len(texts), 1)

    def draw(row: int) -> dict[str, Any]:
        group = np.flatnonzero(belongs == row)
        plain = _PLAIN * prior.share[row] + _EVEN / len(prior.strata)
        pointed = (1.0 - _PLAIN - _EVEN) * len(group) / n_texts
        number = max(round(size * (plain + pointed)), 64)
        random = stream(seed, "oracle", row)
        return _stratum(prior, row, texts, group, number, plain / (plain + pointed), knobs, random)

    rows = range(len(prior.strata))
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as threads:
        bar = tqdm(
            threads.map(draw, rows),
            total=len(rows),
            desc="the observer's bank",
            unit="class",
            disable=not progress,
            delay=2,
            leave=False,
        )
        parts = list(bar)
    first_of = np.concatenate([[0], np.cumsum([len(part["log_prior"]) for part in parts])])
    names = ("log_prior", "log_flux", "log_usual", "log_chance", "log_boost", "scatter")
    return Bank(
        stratum=np.repeat(np.arange(len(parts)), np.diff(first_of)),
        first_of=first_of,
        observed=_join([part["observed"] for part in parts]),
        rates=torch.from_numpy(np.concatenate([part["rates"] for part in parts], axis=2)),
        truth={
            name: np.concatenate([part["truth"][name] for part in parts])
            for name in parts[0]["truth"]
        },
        texts=tuple(part["texts"] for part in parts),
        text_weights=tuple(part["weights"] for part in parts),
        **{name: np.concatenate([part[name] for part in parts]) for name in names},
    )


def true_colours(photons: np.ndarray) -> dict[str, np.ndarray]:
    """Return quantities of photon spectra (n, 870), see `Bank.truth`."""
    band = {name: photons[:, instrument.photons_within(name)].sum(axis=1) for name in BANDS}
    broad = instrument.photons_within("b")
    colours = {
        f"hard_{first}{second}": (band[first] - band[second]) / (band[first] + band[second])
        for first, second in ("hm", "hs", "ms")
    }
    ergs = photons[:, broad] @ instrument.PHOTON_CENTRES[broad] / band["b"] * ERG_PER_KEV
    return {"log_ergs": np.log(ergs), **colours}


def _stratum(
    prior: Prior,
    row: int,
    texts: TextTables,
    group: np.ndarray,
    number: int,
    plain: float,
    knobs: Knobs,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Draw the bank's members of one stratum.

    Args:
        prior: the population's.
        row: the stratum, of `prior.strata`.
        texts: all texts.
        group: indices of those that state this stratum, (t).
        number: of members.
        plain: share of the members that follow the population.
        knobs: of the universe.
        random: generator of all draws.
    """
    of_class, kind = prior.strata[row]
    source_class = CLASSES[CLASS_NAMES[of_class]]
    n_pool = min(
        _POOL + _POOL_PER_TEXT * len(group), _LARGEST_POOL, _LEAST_POOL + _POOL_PER_MEMBER * number
    )
    foreground = FIELD_KINDS[FIELD_NAMES[kind]].foreground_nh.draw(random, n_pool)
    pool = populations.draw_spectra(np.full(n_pool, of_class), foreground, random)
    if knobs.cutoffs:
        cutoff = populations.draw_cutoffs(np.full(n_pool, of_class), random)
        pool = replace(pool, cutoff=cutoff)
    favour = np.full(n_pool, plain if len(group) else 1.0)
    for start in range(0, len(group), 32):
        some = group[start : start + 32]
        agrees = _agreement(texts, some, pool)
        mean = agrees.mean(axis=1, keepdims=True)
        agrees /= np.where(mean > 0.0, mean, np.inf)
        lost = 1.0 - np.count_nonzero(mean) / len(some)
        share = (1.0 - plain) / len(group)
        favour += agrees.sum(axis=0) * share + lost * len(some) * share
    favour /= favour.sum()
    chosen = systematic_draws(favour, number, random)
    log_weight = -np.log(favour[chosen] * n_pool * number)
    spectra = pool.take(chosen)
    varies = source_class.variability > 0.0
    hardening = HARDENING * random.standard_normal(number) * varies
    observed = at_the_time(spectra, hardening)
    truth, rates = _photons(observed, knobs.absorption)
    log_counts, log_usual, log_ratio = _draw_counts(
        prior, row, texts, group, spectra, truth, random
    )
    log_prior = np.log(prior.share[row]) + log_weight + log_ratio
    flares = prior.flares[of_class]
    weights = np.zeros((len(group), number))
    if len(group):
        right, wrong = (
            _joint(texts, group, spectra, truth, (log_counts, log_usual), wrong=mistaken)
            for mistaken in (False, True)
        )
        weights = (1.0 - texts.mistaken) * right + texts.mistaken * wrong
        weights = weights * np.exp(log_prior - log_prior.max())
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0.0)
    return {
        "observed": observed,
        "log_prior": log_prior,
        "log_flux": log_counts - log_usual - np.log(REFERENCE_AREA),
        "log_usual": log_usual,
        "log_chance": np.log(np.interp(log_counts, LOG_COUNTS, prior.chance[row])),
        "log_boost": flares[random.integers(len(flares), size=number)],
        "scatter": np.full(number, source_class.variability * np.log(10.0)),
        "rates": rates,
        "truth": truth,
        "texts": group,
        "weights": weights.astype(np.float32),
    }


def _agreement(texts: TextTables, some: np.ndarray, pool: populations.Spectra) -> np.ndarray:
    """Return p(stated parameters | pool), hardness and flux left out, (t, n)."""
    result = texts.second_likelihood(some, pool.second, pool.share2)
    for name in _STATED:
        result *= texts.likelihood(name, some, getattr(pool, name), rough=True)
    result *= texts.likelihood("foreground_nh", some, pool.galactic_nh, rough=True)
    for row in np.flatnonzero(texts.stated["shape2"][some]):
        result[row] *= texts.likelihood("shape2", some[row : row + 1], pool.shape2, rough=True)[0]
    return result


def _joint(
    texts: TextTables,
    group: np.ndarray,
    spectra: populations.Spectra,
    truth: Mapping[str, np.ndarray],
    brightness: tuple[np.ndarray, np.ndarray],
    *,
    wrong: bool,
) -> np.ndarray:
    """Return p(all statements of a text | member), (t, m)."""
    result = texts.second_likelihood(group, spectra.second, spectra.share2).astype(np.float64)
    for name in (*_STATED, "shape2"):
        result *= texts.likelihood(name, group, getattr(spectra, name), wrong=wrong)
    result *= texts.likelihood("foreground_nh", group, spectra.galactic_nh)
    result *= _colours(texts, group, truth, wrong=wrong)
    log_counts, log_usual = brightness
    result *= texts.likelihood("photons", group, np.exp(log_counts), wrong=wrong)
    log_flux = log_counts - log_usual - np.log(REFERENCE_AREA) + truth["log_ergs"]
    result *= texts.likelihood("flux", group, np.exp(log_flux), wrong=wrong)
    return result


def _colours(
    texts: TextTables, group: np.ndarray, truth: Mapping[str, np.ndarray], *, wrong: bool = False
) -> np.ndarray:
    """Return p(colours as stated | members), (t, m)."""
    result = texts.likelihood("hardness", group, truth["hard_hs"], wrong=wrong)
    result *= texts.likelihood("medium_soft", group, truth["hard_ms"], wrong=wrong)
    return result


def _draw_counts(
    prior: Prior,
    row: int,
    texts: TextTables,
    group: np.ndarray,
    spectra: populations.Spectra,
    truth: Mapping[str, np.ndarray],
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the brightness of members, and the log ratio of its population density to that here.

    Brightness is ln(counts in a usual exposure) and ln(usual exposure), (m) each.

    A member follows the population or one of the texts that agree with its spectrum: first its
    counts by what the text says of them, then the exposure by what it says of the flux.
    """
    m = len(spectra.shape)
    counts, exposure = prior.counts[row], prior.exposure[row]
    # ln(flux) is ln(counts) + `bright` − ln(exposure); in whole steps, as the tables are.
    bright = truth["log_ergs"] - np.log(REFERENCE_AREA)
    lowest = np.floor(bright.min() / STEP) * STEP if m else 0.0
    step = np.rint((bright - lowest) / STEP).astype(int)
    base = lowest + LOG_COUNTS[0] - LOG_EXPOSURE[-1]
    width = len(LOG_COUNTS) + len(LOG_EXPOSURE) + int(step.max(initial=0)) + 1
    by_flux = texts.likelihood("flux", group, np.exp(base + STEP * np.arange(width)))
    chosen, fit = np.full(m, -1), np.zeros((0, m))
    if len(group):
        fit = _agreement(texts, group, spectra).astype(np.float64)
        fit *= _colours(texts, group, truth)
        total = fit.sum(axis=0)
        # Where no text agrees, all are as good.
        fit[:, total <= 1e-200] = 1.0
        fit *= (1.0 - _PLAIN_COUNTS) / fit.sum(axis=0)
        chosen = (np.cumsum(fit, axis=0) < random.random(m)).sum(axis=0)
        chosen[chosen >= len(group)] = -1
    photons = texts.likelihood("photons", group, np.exp(LOG_COUNTS)) * counts
    norm = photons.sum(axis=1, keepdims=True)
    photons = np.where(norm > 1e-30, photons / np.maximum(norm, 1e-30), counts)
    # Sum over exposures for each text and each step of ln(counts) + `bright`.
    last = len(LOG_EXPOSURE) - 1
    places = last - np.arange(len(LOG_EXPOSURE))
    reach = np.stack([by_flux[:, places + at] @ exposure for at in range(width - last)], axis=1)
    first, second = random.random((2, m))
    cell, usual = np.empty((2, m), dtype=int)
    for text in range(-1, len(group)):
        members = np.flatnonzero(chosen == text)
        if not len(members):
            continue
        edges = np.cumsum(counts if text < 0 else photons[text])
        here = np.searchsorted(edges, first[members] * edges[-1])
        cell[members] = here = np.minimum(here, len(LOG_COUNTS) - 1)
        if text < 0:
            weights = np.broadcast_to(exposure, (len(members), len(exposure)))
        else:
            weights = by_flux[text][places + (here + step[members])[:, None]] * exposure
            weights = np.where(weights.sum(axis=1, keepdims=True) > 1e-30, weights, exposure)
        edges = np.cumsum(weights, axis=1)
        usual[members] = (edges < (second[members] * edges[:, -1])[:, None]).sum(axis=1)
    usual = np.minimum(usual, last)
    ratio = np.full(m, _PLAIN_COUNTS if len(group) else 1.0)
    plain = np.maximum(counts[cell], 1e-300)
    for text in range(len(group)):
        total = reach[text][cell + step]
        by_exposure = by_flux[text][places[usual] + cell + step] / np.maximum(total, 1e-30)
        by_exposure = np.where(total > 1e-30, by_exposure, 1.0)
        ratio += fit[text] * photons[text][cell] / plain * by_exposure
    jitter = STEP * (random.random((2, m)) - 0.5)
    return LOG_COUNTS[cell] + jitter[0], LOG_EXPOSURE[usual] + jitter[1], -np.log(ratio)


def _photons(
    spectra: populations.Spectra, absorption: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return quantities of the spectra and their counts in each epoch."""
    truth, rates = [], []
    for start in range(0, len(spectra.shape), _CHUNK):
        some = np.arange(start, min(start + _CHUNK, len(spectra.shape)))
        photons = populations.photon_spectra(spectra.take(some), absorption)
        truth.append(true_colours(photons))
        rates.append(fold_all(photons))
    joined = {name: np.concatenate([chunk[name] for chunk in truth]) for name in truth[0]}
    return joined, np.concatenate(rates, axis=2)


def systematic_draws(chance: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """Draw indices with given probabilities, spread evenly."""
    edges = np.cumsum(chance)
    at = (np.arange(number) + random.random()) / number * edges[-1]
    return np.minimum(np.searchsorted(edges, at), len(chance) - 1)


def _join(parts: list[populations.Spectra]) -> populations.Spectra:
    return populations.Spectra(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )


__all__ = ["Bank", "draw_bank", "systematic_draws", "true_colours"]
