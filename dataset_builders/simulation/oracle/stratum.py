"""Draws of sources of one stratum, a class in a kind of field.

First a pool of parameters, which are cheap, is drawn from the population. From it the members are
drawn, more of those that agree with what the texts state; then their brightness in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import instrument, populations
from ..detections import ERG_PER_KEV, HARDENING, REFERENCE_AREA, at_the_time
from ..knobs import stream
from ..source_classes import CLASS_NAMES, CLASSES, FIELD_KINDS, FIELD_NAMES
from .prior import LOG_COUNTS, LOG_EXPOSURE, STEP, Prior
from .spectra import fold_all
from .text import TextTables

# Of the counts and exposures of a stratum that has texts: drawn from the population as it is.
_PLAIN_COUNTS = 0.2
_POOL = 40_000
_POOL_PER_TEXT = 2_000
_LARGEST_POOL = 160_000
# Of the members for a text: by the population's shares of the strata that it allows; the others by
# a first look at how well each stratum agrees with it. Shares below the least get none.
_BLIND, _LEAST_SHARE = 0.2, 0.02
_PILOT = 1_500
# Texts that are weighed together.
_TOGETHER = 32
# A small bank needs no large pool.
_LEAST_POOL, _POOL_PER_MEMBER = 2_000, 60
_CHUNK = 1_000
# Parameters of a pool that texts state, and their names in `populations.Spectra`.
_STATED = {
    **{name: name for name in ("shape", "shape2", "nh", "redshift", "abundance")},
    "foreground_nh": "galactic_nh",
}
# Colours that texts state, and their names in `true_colours`.
_COLOURS = {"hardness": "hard_hs", "medium_soft": "hard_ms"}


@dataclass(frozen=True)
class Target:
    """Stratum, and the texts that its members are drawn for."""

    prior: Prior  # the population's
    row: int  # the stratum, of `prior.strata`
    texts: TextTables  # all texts
    allowed: np.ndarray  # p(statements about the stratum itself | stratum) of each text, (t)
    aim: np.ndarray  # share of each text's members that belong here, (t)
    plain: float  # share of the members that follow the population

    @property
    def stratum(self) -> np.ndarray:
        """Class and kind of field."""
        return self.prior.strata[self.row]

    @property
    def aimed(self) -> np.ndarray:
        """Texts that members are drawn for, (a)."""
        return np.flatnonzero(self.aim)


def _draw_pool(
    stratum: np.ndarray, number: int, random: np.random.Generator
) -> populations.Spectra:
    """Draw parameters of a stratum from the population."""
    of_class = np.full(number, stratum[0])
    foreground = FIELD_KINDS[FIELD_NAMES[stratum[1]]].foreground_nh.draw(random, number)
    return populations.draw_spectra(of_class, foreground, random)


def aim_at_strata(prior: Prior, texts: TextTables, allowed: np.ndarray, seed: int) -> np.ndarray:
    """Return the share of each text's members in each stratum, (t, s): about p(stratum | text)."""
    blind = allowed * prior.share
    blind /= blind.sum(axis=1, keepdims=True)
    fit = np.zeros_like(blind)
    several = np.count_nonzero(allowed, axis=1) > 1
    for row, stratum in enumerate(prior.strata):
        some = np.flatnonzero(several & (allowed[:, row] > 0.0))
        pool = _draw_pool(stratum, _PILOT, stream(seed, "oracle pilot", row))
        for group in _groups(some):
            fit[group, row] = _agreement(texts, group, pool, stratum).mean(axis=1)
    fit *= blind
    total = fit.sum(axis=1, keepdims=True)
    aim = np.where(total > 0.0, fit / np.where(total > 0.0, total, 1.0), blind)
    aim = _BLIND * blind + (1.0 - _BLIND) * aim
    aim[aim < np.minimum(_LEAST_SHARE, aim.max(axis=1, keepdims=True))] = 0.0
    return aim / aim.sum(axis=1, keepdims=True)


def draw_stratum(target: Target, number: int, random: np.random.Generator) -> dict[str, Any]:
    """Draw members of the bank from one stratum."""
    prior, row = target.prior, target.row
    source_class = CLASSES[CLASS_NAMES[target.stratum[0]]]
    n_pool = min(
        _POOL + _POOL_PER_TEXT * len(target.aimed),
        _LARGEST_POOL,
        _LEAST_POOL + _POOL_PER_MEMBER * number,
    )
    pool = _draw_pool(target.stratum, n_pool, random)
    favour, pull = _favour(target, pool)
    chosen = systematic_draws(favour, number, random)
    log_weight = -np.log(favour[chosen] * n_pool * number)
    spectra = pool.take(chosen)
    hardening = HARDENING * random.standard_normal(number) * (source_class.variability > 0.0)
    truth, rates = _photons(at_the_time(spectra, hardening))
    log_counts, log_usual, log_ratio = _draw_counts(target, pull, spectra, truth, random)
    log_prior = np.log(prior.share[row]) + log_weight + log_ratio
    flares = prior.flares[target.stratum[0]]
    weights, log_total = _weigh(target, spectra, truth, (log_counts, log_usual), log_prior)
    return {
        "log_prior": log_prior,
        "log_flux": log_counts - log_usual - np.log(REFERENCE_AREA),
        "log_usual": log_usual,
        "log_chance": np.log(np.interp(log_counts, LOG_COUNTS, prior.chance[row])),
        "log_boost": flares[random.integers(len(flares), size=number)],
        "scatter": np.full(number, source_class.variability * np.log(10.0)),
        "rates": rates,
        "texts": np.flatnonzero(target.allowed),
        "weights": weights,
        "log_total": log_total,
    }


def _favour(target: Target, pool: populations.Spectra) -> tuple[np.ndarray, np.ndarray]:
    """Return chances to draw each of a pool, (n), and factors on the texts' agreement, (a), that
    give each text its share of the members.
    """
    n = len(pool.shape)
    favour = np.full(n, target.plain if len(target.aimed) else 1.0)
    share = (1.0 - target.plain) * target.aim / max(target.aim.sum(), 1e-300)
    pull = np.zeros(len(target.aim))
    for group in _groups(target.aimed):
        agrees = _agreement(target.texts, group, pool, target.stratum)
        mean = agrees.mean(axis=1, dtype=np.float64)
        found = mean > 0.0
        pull[group[found]] = share[group[found]] / mean[found]
        favour += pull[group] @ agrees + share[group[~found]].sum()
    return favour / favour.sum(), pull[target.aimed]


def _agreement(
    texts: TextTables, some: np.ndarray, pool: populations.Spectra, stratum: np.ndarray
) -> np.ndarray:
    """Return p(stated parameters | pool), hardness and flux left out, (k, n)."""
    result = texts.second_likelihood(some, pool.second, pool.share2)
    for name, attribute in _STATED.items():
        told = np.flatnonzero(texts.stated[name][some])
        if len(told):
            truth = getattr(pool, attribute)
            result[told] *= texts.likelihood(name, some[told], truth, stratum, rough=True)
    return result


def _weigh(
    target: Target,
    spectra: populations.Spectra,
    truth: Mapping[str, np.ndarray],
    brightness: tuple[np.ndarray, np.ndarray],
    log_prior: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return p(member | text) of the texts that allow a stratum, (t, m) float32.

    Rows add up to one; also returned is ln of the factor by which they were divided, (t).
    """
    texts = target.texts
    allowed = np.flatnonzero(target.allowed)
    log_counts, log_usual = brightness
    log_flux = log_counts - log_usual - np.log(REFERENCE_AREA) + truth["log_ergs"]
    quantities = {name: getattr(spectra, attribute) for name, attribute in _STATED.items()}
    quantities |= {name: truth[key] for name, key in _COLOURS.items()}
    quantities |= {"photons": np.exp(log_counts), "flux": np.exp(log_flux)}
    weights = np.empty((len(allowed), len(log_prior)), dtype=np.float32)
    log_total = np.empty(len(allowed))
    population = np.exp(log_prior - log_prior.max())
    for start in range(0, len(allowed), _TOGETHER):
        group = allowed[start : start + _TOGETHER]
        right = texts.second_likelihood(group, spectra.second, spectra.share2).astype(np.float64)
        wrong = right.copy()
        for name, values in quantities.items():
            told = np.flatnonzero(texts.stated[name][group])
            if not len(told):
                continue
            said = texts.likelihood(name, group[told], values, target.stratum)
            right[told] *= said
            if name in texts.wrong:
                said = texts.likelihood(name, group[told], values, target.stratum, wrong=True)
            wrong[told] *= said
        mistaken = texts.mistaken[group, None]
        joint = ((1.0 - mistaken) * right + mistaken * wrong) * population
        total = joint.sum(axis=1)
        weights[start : start + len(group)] = joint / np.maximum(total, 1e-300)[:, None]
        log_total[start : start + len(group)] = np.log(np.maximum(total, 1e-300))
    return weights, log_total + log_prior.max() + np.log(target.allowed[allowed])


def _groups(texts: np.ndarray) -> list[np.ndarray]:
    """Return texts in groups that are weighed together."""
    return [texts[start : start + _TOGETHER] for start in range(0, len(texts), _TOGETHER)]


def _draw_counts(
    target: Target,
    pull: np.ndarray,
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
    texts, group, stratum = target.texts, target.aimed, target.stratum
    counts, exposure = target.prior.counts[target.row], target.prior.exposure[target.row]
    # ln(flux) is ln(counts) + `bright` − ln(exposure); in whole steps, as the tables are.
    bright = truth["log_ergs"] - np.log(REFERENCE_AREA)
    lowest = np.floor(bright.min() / STEP) * STEP if m else 0.0
    step = np.rint((bright - lowest) / STEP).astype(int)
    base = lowest + LOG_COUNTS[0] - LOG_EXPOSURE[-1]
    width = len(LOG_COUNTS) + len(LOG_EXPOSURE) + int(step.max(initial=0)) + 1
    flux = np.exp(base + STEP * np.arange(width))
    by_flux = texts.likelihood("flux", group, flux, stratum).astype(np.float64)
    chosen, fit = np.full(m, -1), np.zeros((0, m))
    if len(group):
        fit = _agreement(texts, group, spectra, stratum).astype(np.float64)
        for name, key in _COLOURS.items():
            fit *= texts.likelihood(name, group, truth[key], stratum)
        fit *= pull[:, None]
        total = fit.sum(axis=0)
        # Where no text agrees, all are as good.
        fit[:, total <= 1e-200] = 1.0
        fit *= (1.0 - _PLAIN_COUNTS) / fit.sum(axis=0)
        chosen = (np.cumsum(fit, axis=0) < random.random(m)).sum(axis=0)
        chosen[chosen >= len(group)] = -1
    photons = texts.likelihood("photons", group, np.exp(LOG_COUNTS), stratum) * counts
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


def _photons(spectra: populations.Spectra) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return quantities of the spectra and their counts in each epoch."""
    truth, rates = [], []
    for start in range(0, len(spectra.shape), _CHUNK):
        some = np.arange(start, min(start + _CHUNK, len(spectra.shape)))
        photons = populations.photon_spectra(spectra.take(some))
        truth.append(true_colours(photons))
        rates.append(fold_all(photons))
    joined = {name: np.concatenate([chunk[name] for chunk in truth]) for name in truth[0]}
    return joined, np.concatenate(rates, axis=2)


def systematic_draws(chance: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """Draw indices with given probabilities, spread evenly."""
    edges = np.cumsum(chance)
    at = (np.arange(number) + random.random()) / number * edges[-1]
    return np.minimum(np.searchsorted(edges, at), len(chance) - 1)


def true_colours(photons: np.ndarray) -> dict[str, np.ndarray]:
    """Return `log_ergs` (erg per photon) and the hardness ratios of photon spectra (n, 870)."""
    broad = instrument.photons_within("b")
    ergs = photons[:, broad] @ instrument.PHOTON_CENTRES[broad] / photons[:, broad].sum(axis=1)
    return {"log_ergs": np.log(ergs * ERG_PER_KEV), **instrument.hardness_ratios(photons)}
