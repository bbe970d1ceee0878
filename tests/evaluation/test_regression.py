"""Errors, gains and coverage, against numbers worked out by hand and by scipy."""

import json

import numpy as np
import pytest

from hf_specclip.evaluation import evaluate_coverage, evaluate_regression

NAMES = ["a", "b"]


def cases(n=200, seed=0):
    random = np.random.default_rng(seed)
    truth = random.normal(size=(n, 2)) * [1.0, 100.0]
    truth[random.random((n, 2)) < 0.2] = np.nan
    noise, other = (random.normal(size=(n, 2)) * [1.0, 100.0] for _ in range(2))
    return truth, np.nan_to_num(truth) + 0.5 * noise, np.nan_to_num(truth) + other


def test_errors_and_gains_by_hand():
    truth = np.array([[0.0, 1.0], [2.0, np.nan], [4.0, 3.0]])
    said = np.array([[1.0, 1.0], [2.0, 50.0], [3.0, 5.0]])
    base = np.array([[2.0, 2.0], [4.0, 0.0], [6.0, 0.0]])
    found = evaluate_regression(
        said, truth, variables=NAMES, baseline=base, guess=[2.0, 2.0], n_bootstrap=20
    )
    a, b = (found["variables"][name] for name in NAMES)
    assert (a["n"], b["n"]) == (3, 2)
    assert a["mae"]["value"] == pytest.approx(2 / 3)
    assert b["mae"]["value"] == pytest.approx(1.0)
    assert a["baseline"] == pytest.approx(2.0)
    assert b["guess"] == pytest.approx(1.0)
    assert a["gain"]["value"] == pytest.approx(1 - (2 / 3) / 2)
    assert b["gain"]["value"] == pytest.approx(1 - 1 / 2)
    assert found["mean_gain"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["mean_gain_over_guess"]["value"] == pytest.approx((1 / 2 + 0) / 2)
    json.dumps(found, allow_nan=False)


def test_rank_correlation_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    truth, said, _ = cases()
    said = np.round(said, 1)  # with ties
    found = evaluate_regression(said, truth, variables=NAMES, n_bootstrap=2)
    for column, name in enumerate(NAMES):
        known = np.isfinite(truth[:, column])
        expected = stats.spearmanr(said[known, column], truth[known, column]).statistic
        assert found["variables"][name]["spearman"] == pytest.approx(expected)


def test_groups_widen_the_interval():
    truth, said, _ = cases(50)
    many = [np.repeat(x, 8, axis=0) for x in (said, truth)]
    rows = evaluate_regression(*many, variables=NAMES)["variables"]["a"]["mae"]
    groups = evaluate_regression(*many, np.repeat(np.arange(50), 8), variables=NAMES)
    grouped = groups["variables"]["a"]["mae"]
    assert grouped["value"] == rows["value"]
    assert grouped["high"] - grouped["low"] > 2 * (rows["high"] - rows["low"])


def test_a_variable_known_nowhere_has_no_figures():
    truth, said, base = cases()
    truth[:, 1] = np.nan
    found = evaluate_regression(said, truth, variables=NAMES, baseline=base, n_bootstrap=20)
    assert found["variables"]["b"] == {"n": 0}
    assert found["mean_gain"]["value"] == found["variables"]["a"]["gain"]["value"]


def test_what_cannot_be_measured_is_refused():
    truth, said, base = cases()
    row = np.flatnonzero(np.isfinite(truth[:, 1]))[0]
    said[row, 1] = np.nan
    with pytest.raises(ValueError, match=f"predictions of b is not finite in row {row}"):
        evaluate_regression(said, truth, variables=NAMES)
    with pytest.raises(ValueError, match="one column for each"):
        evaluate_regression(said, truth, variables=["a"])
    with pytest.raises(ValueError, match="baseline have shape"):
        evaluate_regression(base, truth, variables=NAMES, baseline=base[:-1])
    with pytest.raises(ValueError, match="one label for each row"):
        evaluate_regression(base, truth, [1, 2], variables=NAMES)
    with pytest.raises(ValueError, match="above its upper end"):
        evaluate_coverage(base + 1, base, truth, variables=NAMES, nominal=0.9)


def test_coverage_by_hand_and_by_subset():
    truth = np.array([[0.0, 0.0], [1.0, np.nan], [2.0, 9.0], [3.0, 0.0]])
    low, high = np.zeros_like(truth), np.full_like(truth, 2.0)
    found = evaluate_coverage(
        low, high, truth, variables=NAMES, nominal=0.68, n_bootstrap=50,
        by={"first": np.array([True, True, False, False]), "none": np.zeros(4, bool)},
    )  # fmt: skip
    assert found["overall"]["value"] == pytest.approx(5 / 7)
    assert found["overall"]["n"] == 7
    assert found["variables"]["a"]["value"] == pytest.approx(3 / 4)
    assert found["variables"]["b"]["value"] == pytest.approx(2 / 3)
    assert found["by"]["first"]["value"] == 1.0
    assert found["by"]["none"] is None


def test_coverage_says_whether_it_holds():
    random = np.random.default_rng(0)
    truth = random.uniform(size=(2000, 1))
    low = np.zeros_like(truth)
    for upper, holds in ((0.9, True), (0.8, False), (0.99, False)):
        found = evaluate_coverage(
            low, np.full_like(truth, upper), truth, variables=["a"], nominal=0.9, n_bootstrap=100
        )
        assert found["overall"]["holds"] is holds, upper
