"""The ideal observer: likelihoods, banks, rankings of small universes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from hf_specclip.evaluation import score_ranks
from specclip_datasets.simulation import instrument, populations, source_classes
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs
from specclip_datasets.simulation.oracle.bank import draw_bank
from specclip_datasets.simulation.oracle.observer import observe
from specclip_datasets.simulation.oracle.prior import count_prior
from specclip_datasets.simulation.oracle.spectra import (
    Spectra,
    background_shapes,
    bin_centres,
    fold_all,
    log_likelihoods,
    observed_spectra,
)
from specclip_datasets.simulation.oracle.study import read_texts
from specclip_datasets.simulation.prose import Statement, Summary

N = 160


@pytest.fixture(scope="module")
def universe():
    return Universe(Knobs(pairs=N, seed=11, fits=False))


@pytest.fixture(scope="module")
def prior(universe):
    return count_prior(universe.knobs, n_fields=12_000)


@pytest.fixture(scope="module")
def seen(universe):
    """Spectra of all rows, their sources, and the text of each."""
    observed = universe.observe(np.arange(N))
    spectra = spectra_of(universe, observed.counts, observed.background)
    sources, text = np.unique(universe.detections.source, return_inverse=True)
    return spectra, sources, text, observed


def spectra_of(universe, counts, background):
    """Counts of all rows as the observer takes them."""
    rows = universe.detections
    return observed_spectra(
        counts, background, rows.background_scale, rows.exposure, rows.response, rows.theta
    )


def bank_for(universe, prior, summaries, members):
    return draw_bank(prior, read_texts(universe, summaries), members)


def summary_of(*statements):
    """A text that makes these statements, by a writer who is never mistaken."""
    return Summary({}, statements, "somebody", 0.0)


def median_rank(scores, text):
    ranks = score_ranks(scores, text)["spectrum_to_text"]
    return float(np.median(ranks.expected)) / scores.shape[1]


@pytest.fixture(scope="module")
def observed(universe, prior, seen):
    spectra, sources, _, _ = seen
    bank = bank_for(universe, prior, universe.write_summaries(sources), 6000)
    return observe(prior, bank, spectra)


def tiny_models(n=60, seed=0):
    random = np.random.default_rng(seed)
    spectra = populations.draw_spectra(random.integers(20, size=n), np.full(n, 0.05), random)
    return torch.from_numpy(fold_all(populations.photon_spectra(spectra)))


def one_spectrum(rates, counts, background, seed=0):
    """A spectrum of a model, with `counts` from the source and `background` behind it."""
    random = np.random.default_rng(seed)
    theta, exposure, epoch = 5.0, 2e4, 1
    shape = rates[epoch, :, 3].numpy() * instrument.vignetting(np.array([theta]), bin_centres())[0]
    flux = counts / shape.sum() / exposure
    behind = background_shapes()[epoch]
    behind = background * behind / behind.sum()
    drawn = random.poisson(flux * exposure * shape + behind)
    rows = (row[None].astype(np.float32) for row in (drawn, behind))
    about = (np.array([value]) for value in (exposure, epoch, theta))
    return Spectra(*rows, *about), float(np.log(flux))


@pytest.mark.parametrize(
    ("counts", "background", "scatter"),
    [
        (40, 2, 0.0),
        (40, 30, 0.0),
        (300, 30, 0.0),
        (3000, 100, 0.0),
        (120, 20, 0.07),
        (120, 20, 0.3),
        (120, 20, 0.6),
    ],
)
def test_likelihood_is_poisson_with_the_scatter_of_the_flux_integrated_out(
    counts, background, scatter
):
    rates = tiny_models()
    spectrum, log_flux = one_spectrum(rates, counts, background)
    n = rates.shape[2]
    start = log_flux + (np.full(n, 0.3) if scatter else np.linspace(-0.2, 0.2, n))
    brightness = torch.from_numpy(start.astype(np.float32)), torch.full((n,), scatter)
    found = log_likelihoods(spectrum, 0, rates[1], *brightness, detected=False).numpy()
    dimming = instrument.vignetting(spectrum.theta, bin_centres())[0] * spectrum.exposure[0]
    normal = np.linspace(-7, 7, 2001) if scatter else np.zeros(1)
    weight = -0.5 * normal**2
    weight -= logsumexp(weight)
    exact = np.empty(n)
    for model in range(n):
        flux = np.exp(start[model] + scatter * normal)
        mean = flux[:, None] * rates[1, :, model].numpy() * dimming + spectrum.background[0]
        exact[model] = logsumexp((spectrum.counts[0] * np.log(mean) - mean).sum(axis=1) + weight)
    likely = exact > exact.max() - 10.0
    np.testing.assert_allclose((found - exact)[likely], 0.0, atol=0.1 if scatter else 0.2)


def test_observer_is_far_better_than_chance_and_than_neighbours_in_hardness(
    universe, seen, observed
):
    spectra, sources, text, _ = seen
    best = median_rank(observed.scores, text)
    energy = bin_centres()
    hard = spectra.counts[:, energy > 2.0].sum(axis=1)
    soft = spectra.counts[:, energy < 1.2].sum(axis=1)
    measured = (hard - soft) / (hard + soft)
    told = np.array([facts.hardness for facts in universe.facts(sources)])
    simple = median_rank(-np.abs(measured[:, None] - told), text)
    assert best < 0.06
    assert best < 0.5 * simple < 0.5


def test_without_statements_nothing_is_known(universe, prior, seen):
    """Texts that all say the same cannot be told apart: ranks are at chance."""
    spectra, sources, text, _ = seen
    same = summary_of(Statement("class", label="lmxb"), Statement("host", label="galaxy"))
    bank = bank_for(universe, prior, [same] * len(sources), 1500)
    scores = observe(prior, bank, spectra).scores
    ranks = score_ranks(scores, text)["spectrum_to_text"]
    # Sums may differ in the last digit.
    np.testing.assert_allclose(ranks.expected, (len(sources) + 1) / 2, rtol=0.15)


def test_an_open_text_is_the_mean_over_the_classes_that_it_allows(universe, prior, seen):
    """p(spectrum | a or b) is the mean of p(spectrum | a) and p(spectrum | b) by their shares."""
    spectra, *_ = seen
    host = Statement("host", label="galaxy")
    labels = ("lmxb", "snr", "lmxb|snr")
    texts = [summary_of(Statement("class", label=label), host) for label in labels]
    bank = bank_for(universe, prior, [*texts, summary_of(host), summary_of()], 6000)
    scores = observe(prior, bank, spectra).scores
    galaxy = source_classes.FIELD_NAMES.index("galaxy")
    share = np.array(
        [
            np.exp(bank.log_prior[bank.members(prior.strata.tolist().index([name, galaxy]))]).sum()
            for name in map(source_classes.CLASS_NAMES.index, ("lmxb", "snr"))
        ]
    )
    mean = logsumexp(scores[:, :2], axis=1, b=share / share.sum())
    np.testing.assert_allclose(scores[:, 2], mean, atol=1e-3)
    # Who says nothing points to the whole population, of which the weights add up to about one.
    np.testing.assert_allclose(scores[:, 4], -np.log(np.exp(bank.log_prior).sum()), atol=1e-3)
    assert (bank.effective_numbers()[4] > bank.effective_numbers()[:4]).all()


def test_confidence_in_open_texts_is_justified(universe, prior, seen):
    """Of the texts that get a probability of p for a spectrum, a share of p is right."""
    spectra, sources, text, _ = seen
    summaries = []
    for number, summary in enumerate(universe.write_summaries(sources)):
        dropped = [("class", "host"), ("host",), ("class", "host", "model", "shape", "shape2"), ()]
        said = [one for one in summary.statements if one.quantity not in dropped[number % 4]]
        summaries.append(replace(summary, statements=tuple(said)))
    bank = bank_for(universe, prior, summaries, 6000)
    observation = observe(prior, bank, spectra)
    # Few members agree with the brightest spectra: there the sum is too coarse to be tested.
    fine = observation.effective > 15
    scores = observation.scores[fine]
    chance = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    right = text[fine, None] == np.arange(len(sources))
    for low, high in ((0.005, 0.03), (0.03, 0.1), (0.1, 0.4)):
        some = (chance >= low) & (chance < high)
        error = np.sqrt(chance[some].sum()) / some.sum()
        assert right[some].mean() == pytest.approx(chance[some].mean(), abs=3 * error)
