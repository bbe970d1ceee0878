"""Families of classes, and the probability at which one stands out."""

import numpy as np
import pytest

from hf_specclip import ZeroShotClasses
from hf_specclip.classify.families import (
    family_matrix,
    family_name,
    fit_least_probability,
    group_by_family,
)
from hf_specclip.classify.zero_shot import fit_temperature


def test_probabilities_are_summed_by_family_largest_first():
    families = group_by_family({"QSO": 0.3, "Star": 0.4, "Seyfert_2": 0.2, "a new kind": 0.1})
    assert [f.name for f in families] == [
        "active galactic nucleus", family_name("Star"), "a new kind"
    ]  # fmt: skip
    assert families[0].probability == pytest.approx(0.5)
    assert families[0].classes == {"QSO": 0.3, "Seyfert_2": 0.2}
    names, matrix = family_matrix(["QSO", "Star", "Seyfert_2"])
    np.testing.assert_array_equal(matrix, [[1, 0], [0, 1], [1, 0]])
    assert names[0] == "active galactic nucleus"


def test_below_the_least_probability_the_largest_family_is_mostly_wrong():
    random = np.random.default_rng(0)
    confidence = random.uniform(0, 1, 4000)
    right = random.uniform(size=4000) < np.where(confidence < 0.4, 0.2, 0.8)
    assert fit_least_probability(confidence, right) == pytest.approx(0.4, abs=0.02)
    assert fit_least_probability(confidence, np.ones(4000, bool)) == 0
    assert fit_least_probability(confidence, np.zeros(4000, bool)) == 1


def test_a_fit_calibrates_and_is_saved(tmp_path):
    random = np.random.default_rng(1)
    labels = ["QSO", "Seyfert_1", "Star", "SNR"]
    classes = ZeroShotClasses(labels, np.eye(4), 1.0)
    truth = random.integers(4, size=300)
    points = np.eye(4)[truth] + random.normal(0, 0.8, (300, 4))
    classes.fit(points, [labels[i] for i in truth])
    assert classes.temperature == fit_temperature(classes.similarities(points), truth)
    assert 0 <= classes.least_probability < 1
    classes.save_pretrained(tmp_path)
    again = ZeroShotClasses.from_pretrained(tmp_path)
    assert again.least_probability == classes.least_probability
    names, shares = again.family_probabilities(points)
    assert shares.shape == (300, len(names)) == (300, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
