"""Aperture posteriors against direct sampling and closed forms."""

import numpy as np
import pytest

from specclip_datasets.simulation.photometry import Band, flux_significance, hardness_ratio


def band(counts, background, scale, flux_per_count=1.0):
    columns = np.broadcast_arrays(counts, background, scale, flux_per_count)
    return Band(*(np.atleast_1d(column).astype(float) for column in columns))


def sampled(one, random, n=200_000):
    """Draws of a band's flux: prior flat in source and background, thinned by the likelihood."""
    counts, region, scale, factor = (values[0] for values in vars(one).values())
    grid = np.linspace(0.0, counts + 8 * np.sqrt(counts + 1) + 8, 2000)[1:]
    behind = random.gamma(region + 1.0, scale, 2000)
    top = counts * np.log(max(counts, 0.5)) - counts
    density = np.array(
        [np.exp(counts * np.log(x + behind) - x - behind - top).mean() for x in grid]
    )
    cumulative = np.cumsum(density)
    return factor * np.interp(random.random(n), cumulative / cumulative[-1], grid)


@pytest.mark.parametrize(
    ("hard", "soft"),
    [
        ((20, 50, 0.05, 1.0), (10, 40, 0.05, 1.5)),
        ((0, 20, 0.05, 1.0), (15, 30, 0.05, 1.0)),
        ((3, 10, 0.1, 2.0), (0, 10, 0.1, 1.0)),
        ((400, 100, 0.1, 1.0), (6, 30, 0.1, 1.0)),
        ((1000, 100, 0.1, 1.0), (900, 10, 0.05, 1.0)),
        ((30, 500, 0.05, 1.0), (40, 600, 0.05, 1.0)),
    ],
)
def test_limits_are_the_smallest_interval_of_the_posterior(hard, soft):
    random = np.random.default_rng(1)
    x, y = sampled(band(*hard), random), sampled(band(*soft), random)
    draws = np.sort((x - y) / (x + y))
    held = int(0.6827 * len(draws))
    best = np.argmin(draws[held:] - draws[:-held])
    mode, low, high = (float(v[0]) for v in hardness_ratio(band(*hard), band(*soft)))
    width = draws[best + held] - draws[best]
    assert low == pytest.approx(draws[best], abs=0.04 * width)
    assert high == pytest.approx(draws[best + held], abs=0.04 * width)
    assert low <= mode <= high


def test_ratios_are_antisymmetric_and_centred():
    counts = np.array([3.0, 30.0, 300.0, 3000.0])
    mode, low, high = hardness_ratio(band(counts, 20, 0.05), band(2 * counts, 20, 0.05))
    back, back_low, back_high = hardness_ratio(band(2 * counts, 20, 0.05), band(counts, 20, 0.05))
    np.testing.assert_allclose(mode, -back, atol=2e-3)
    np.testing.assert_allclose(low, -back_high, atol=2e-3)
    np.testing.assert_allclose(high, -back_low, atol=2e-3)
    assert mode[-1] == pytest.approx(-1 / 3, abs=0.005)
    # Many counts: 2 √(x y (x + y)) / (x + y)² / … → the propagated error.
    x, y = 2998.95, 5998.95
    sigma = 2 * np.sqrt(x * y**2 + y * x**2) / (x + y) ** 2
    assert (high[-1] - low[-1]) / 2 == pytest.approx(sigma, rel=0.03)


def test_no_counts_have_no_ratio_and_no_significance():
    mode, low, high = hardness_ratio(band(0, 20, 0.05), band(0, 20, 0.05))
    assert np.isnan([mode, low, high]).all()
    assert flux_significance(band(0, 20, 0.05))[0] == 0.0


def test_significance_goes_with_the_root_of_the_counts():
    # The catalogue's limits are 7 % wider than those of the posterior.
    significance = 1.07 * flux_significance(band(np.array([100.0, 2500.0]), 0, 0.05))
    np.testing.assert_allclose(significance, [10.0, 50.0], rtol=0.02)
    clean, dirty = flux_significance(band(100, np.array([0.0, 1000.0]), 0.05))
    assert dirty == pytest.approx(50 / np.sqrt(100 + 1000 * 0.05**2) / 1.07, rel=0.05)
    assert clean > dirty


def test_limits_cover():
    random = np.random.default_rng(0)
    n = 1500
    hard = band(random.poisson(12 + 2, n), random.poisson(40, n), 0.05)
    soft = band(random.poisson(30 + 2, n), random.poisson(40, n), 0.05)
    _, low, high = hardness_ratio(hard, soft)
    truth = (12 - 30) / 42
    assert ((low < truth) & (truth < high)).mean() == pytest.approx(0.683, abs=0.04)
