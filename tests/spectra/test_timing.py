"""The catalogue's tests for variability."""

from math import factorial

import numpy as np
import pytest

from hf_specclip.spectra.timing import (
    N_TIMES,
    between_observations,
    gregory_loredo,
    variability_index,
    within_observation,
)


def test_two_bins_have_gregory_and_loredos_odds():
    """A short observation allows m = 2 and 3 only; the odds are written out by hand."""
    counts = np.zeros((1, N_TIMES), dtype=int)
    counts[0, [3, 40, 41, 60, 61, 70, 80, 81, 82, 90, 200, 239]] = 1
    n = counts.sum()
    odds = {}
    for m in (2, 3):
        width = N_TIMES // m
        phases = []
        for phase in range(width):
            bins = np.roll(counts[0], -phase).reshape(m, width).sum(axis=1)
            product = np.prod([float(factorial(k)) for k in bins])
            phases.append(factorial(m - 1) * m**n * product / factorial(n + m - 1))
        odds[m] = np.mean(phases)
    assert odds[2] > 0.61 * odds[3] > 0.61**2 * odds[2]  # both count
    total = (odds[2] + odds[3]) / 2
    found = within_observation(counts, np.array([150.0]))
    assert found["var_prob_b"][0] == pytest.approx(total / (1 + total), rel=1e-9)


def test_variable_sources_are_found_and_their_light_curve_is_theirs():
    rate = np.where(np.arange(N_TIMES) < 120, 1.0, 3.0)
    counts = np.random.default_rng(0).multinomial(1000, rate / rate.sum(), size=50)
    found = within_observation(counts, np.full(50, 3e4))
    assert (found["var_index_b"] >= 8).all()
    # Rates of 0.5 and 1.5 of the mean: a standard deviation of half of it.
    assert np.median(found["var_sigma_b"]) == pytest.approx(0.5 * 1000 / 3e4, rel=0.1)


@pytest.mark.parametrize("gaps", [False, True])
def test_constant_sources_and_gaps_are_rarely_called_variable(gaps):
    random = np.random.default_rng(0)
    live = random.uniform(0.2, 1.0, N_TIMES) * (np.arange(N_TIMES) % 60 < 40)
    live = live if gaps else np.ones(N_TIMES)
    for number in (20, 100, 1000):
        counts = random.multinomial(number, live / live.sum(), size=100)
        found = gregory_loredo(counts, np.full(100, 3e4), np.tile(live, (100, 1)) if gaps else None)
        assert (found.index >= 6).mean() < 0.05
        assert (found.index <= 2).mean() > 0.9
        assert np.median(found.probability) < 0.5
        np.testing.assert_allclose(found.mean, number / (3e4 * live.mean()), rtol=0.02)
    rate = live * np.where(np.arange(N_TIMES) < 120, 1.0, 3.0)
    counts = random.multinomial(1000, rate / rate.sum(), size=5)
    assert (gregory_loredo(counts, np.full(5, 3e4), np.tile(live, (5, 1))).index >= 8).all()


def test_no_gap_is_the_test_without_gaps():
    counts = np.random.default_rng(0).poisson(2.0, (3, N_TIMES))
    length = np.array([300.0, 1e4, 1e5])
    whole, live = gregory_loredo(counts, length), np.ones((3, N_TIMES))
    for name, values in vars(gregory_loredo(counts, length, live)).items():
        np.testing.assert_allclose(values, getattr(whole, name), rtol=1e-9)


def test_too_few_counts_have_no_light_curve():
    counts = np.zeros((2, N_TIMES), dtype=int)
    counts[1, :10] = 1
    found = within_observation(counts, np.full(2, 3e4))
    for values in found.values():
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


def test_index_is_the_catalogues_table():
    probability = np.array([0.5, 0.6, 0.8, 0.55, 0.62, 0.7, 0.95, 0.999, 1.0, 1.0, 1.0])
    odds = np.array([0.0, 0.2, 0.6, 0.1, 0.2, 0.4, 1.3, 3.0, 5.0, 12.0, 40.0])
    quiet = np.array([False, True, True] + [False] * 8)
    np.testing.assert_array_equal(variability_index(probability, odds, quiet), np.arange(11))


def test_between_observations_is_flat_for_constant_sources():
    random = np.random.default_rng(0)
    source = np.repeat(np.arange(800), 3)
    sensitivity = random.uniform(0.5, 2.0, len(source))
    behind = random.uniform(1.0, 20.0, len(source))
    counts = random.poisson(100 * sensitivity + behind)
    found = between_observations(source, counts, behind, sensitivity)[::3]
    assert np.quantile(found, 0.5) == pytest.approx(0.5, abs=0.06)
    assert (found > 0.95).mean() == pytest.approx(0.05, abs=0.03)
    counts[::3] *= 3
    assert (between_observations(source, counts, behind, sensitivity) > 0.999).all()
    assert np.isnan(between_observations(np.array([7]), *np.ones((3, 1)))).all()
