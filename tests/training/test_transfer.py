"""Measures on real rows, of estimates and answers that are known."""

import numpy as np
import pytest

from specclip_datasets.splits import hash_splits
from specclip_training.studies.transfer import JUDGED, Estimates, RealRows, measure_variables
from specclip_training.studies.transfer_classes import is_judged, kind_of, measure_answers, summed


@pytest.fixture
def rows():
    random, n = np.random.default_rng(0), 600
    groups = np.array([f"g{i % 90}" for i in range(n)], dtype=object)
    spectra = {"counts": np.full((n, 400), 1), "background_counts": np.zeros((n, 400), int),
               "background_scale": np.zeros(n)}  # fmt: skip
    targets = {name: random.normal(size=n) for name in JUDGED}
    return RealRows(spectra, targets, groups, groups, groups)


def test_goals_are_met_by_the_truth_and_missed_by_a_bias(rows):
    test = np.flatnonzero(rows.is_test)
    truth = {name: rows.targets[name][test] for name in JUDGED}
    shifted = {name: values + 0.2 for name, values in truth.items()}
    ends = {level: tuple({n: v + step for n, v in truth.items()} for step in (-1, 1))
            for level in (68, 90)}  # fmt: skip
    measured = measure_variables(
        {"model": Estimates(truth, ends), "other": Estimates(shifted, {})}, rows, 20
    )
    goals = measured["goals"]
    assert goals["bias"]["met"]
    assert goals["mean_error"]["value"] == pytest.approx(0)
    assert goals["coverage_90"] == {"value": 1.0, "met": False}
    other = measured["methods"]["other"]["variables"]["hard_hm"]
    assert other["median_bias"] == pytest.approx(0.2)
    assert measured["rows"] == len(test)


def test_splits_by_hash_depend_on_the_name_alone():
    names = [f"g{i}" for i in range(4000)]
    splits = hash_splits(names)
    assert (splits[::-1] == hash_splits(names[::-1])).all()
    assert abs((splits == "test").mean() - 0.15) < 0.03
    assert 0.4 < np.mean([is_judged(name) for name in names]) < 0.6


def test_answers_are_balanced_over_the_classes():
    truth = np.array(["a"] * 8 + ["b"] * 2, dtype=object)
    scores = np.tile([0.9, 0.1], (10, 1))
    measured = measure_answers(scores, ["a", "b"], truth, 50)
    assert measured["accuracy"] == measured["majority"] == 0.8
    assert measured["balanced_accuracy"]["value"] == 0.5
    assert measured["right"] == {"a": 1.0, "b": 0.0}
    assert kind_of("Seyfert_1") == kind_of("QSO") == "AGN"
    np.testing.assert_allclose(summed(scores, ["x", "y"], ["k", "k"]), 1.0)
