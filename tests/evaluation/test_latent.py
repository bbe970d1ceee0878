"""Correlations of a latent space, on planted structure and on noise."""

import json
import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from hf_specclip.evaluation.latent import correlate


def planted(n=400, k=16, seed=0):
    """Points whose dimension 5 carries `known`; `noise` is carried by none."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, k))
    known = -points[:, 5] + 0.5 * random.normal(size=n)
    known[::7] = np.nan
    variables = {"known": known, "noise": random.normal(size=n), "absent": np.full(n, np.nan)}
    return points, variables, np.arange(n) // 2


def test_coefficients_are_those_of_scipy_over_the_known_rows():
    points, variables, groups = planted()
    found = correlate(points, variables, groups, n_bootstrap=20)
    rows = np.isfinite(variables["known"])
    expected = [pearsonr(points[rows, d], variables["known"][rows]).statistic for d in range(16)]
    np.testing.assert_allclose(found.rho[0], expected, atol=1e-12)
    assert found.n.tolist() == [int(rows.sum()), 400, 0]


def test_what_was_planted_is_found_and_what_was_not_is_at_chance():
    points, variables, groups = planted()
    found = correlate(points, variables, groups, n_bootstrap=300)
    assert found.best[0] == 5
    assert found.rho[0, 5] < 0
    assert found.low[0] > 0.8 > found.null[0]
    assert found.low[0] < found.strength[0] < found.high[0]
    # The best of 16 dimensions over noise lies below what chance gives in 95 % of all cases.
    assert found.strength[1] < 1.3 * found.null[1]
    assert found.null[1] < 0.2
    assert found.best[2] == -1
    assert math.isnan(found.strength[2])
    assert found.mean["value"] == pytest.approx(np.nanmean(found.strength))
    json.dumps(found.to_dict(), allow_nan=False)


def test_chance_is_held_in_nineteen_of_twenty_cases_for_whole_groups_of_like_rows():
    """Rows of one group are all but copies: 40 things were measured, not 400."""
    above, by_rows = [], []
    for seed in range(30):
        random = np.random.default_rng([seed, 9])
        groups = np.repeat(np.arange(40), 10)
        points = random.normal(size=(40, 8))[groups] + 0.05 * random.normal(size=(400, 8))
        noise = {"y": random.normal(size=40)[groups]}
        found = correlate(points, noise, groups, n_bootstrap=2, n_permutations=100)
        above.append(bool(found.strength[0] > found.null[0]))
        alone = correlate(points, noise, np.arange(400), n_bootstrap=2, n_permutations=20)
        by_rows.append(bool(alone.strength[0] > alone.null[0]))
    assert np.mean(above) < 0.15
    assert np.mean(by_rows) > 0.8  # the same without groups would call all of it significant


def test_dimensions_and_variables_that_do_not_vary():
    points, variables, groups = planted()
    points[:, 3] = 0.1
    variables["flat"] = np.full(len(points), 0.3)
    found = correlate(points, variables, groups, n_bootstrap=20)
    assert np.isnan(found.rho[0, 3])
    assert found.best[3] == -1
    assert np.isfinite(found.mean["value"])


def test_wrong_input_is_refused_with_a_word_on_it():
    points, variables, groups = planted(n=40)
    with pytest.raises(ValueError, match="as many groups"):
        correlate(points, variables, groups[:-1])
    with pytest.raises(ValueError, match="variable known must have"):
        correlate(points[:-2], variables, groups[:-2])
    points[3, 1] = np.nan
    with pytest.raises(ValueError, match="point 3"):
        correlate(points, variables, groups)
