"""Injection test and percentiles by class: an odd class is detected, an ordinary one is not."""

import numpy as np
import pytest

from hf_specclip.outliers.rows import DETECTORS, OutlierRows
from specclip_training.studies.outlier_figures import (
    detection_figures,
    injection_test,
    percentiles_by_class,
)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(n, seed, odd):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(5).normal(size=(4, 12))
    kind = random.integers(0, 3, n)
    kind[:odd] = 3
    names = np.array(["a", "b", "c", "rare"], dtype=object)[kind]
    names[odd : odd + 6] = "plain"  # rare in name, but like the others
    return OutlierRows(
        spectrum=unit(centres[kind] + 0.3 * random.normal(size=(n, 12))),
        text=unit(centres[kind] + 0.3 * random.normal(size=(n, 12))),
        classes=names,
        groups=[f"{seed}-{i}" for i in range(n)],
    )


def test_a_class_far_from_the_others_is_detected_and_one_like_them_is_not():
    found = injection_test(
        rows(300, 0, 15), rows(300, 1, 15), ["rare", "plain", "absent"], n_bootstrap=60, n_trees=40
    )
    assert set(found) == {"rare", "plain", "together"}
    assert found["rare"]["n"] == 15
    assert found["rare"]["n_others"] == 279
    for name in ("combined", "isolation_forest", "spectrum_neighbours"):
        assert found["rare"]["detectors"][name]["auc"]["low"] > 0.95
        assert found["plain"]["detectors"][name]["auc"]["value"] < 0.85
    assert set(found["rare"]["detectors"]) == set(DETECTORS)


def test_rows_that_cannot_be_scored_come_last():
    scores = {"x": np.array([np.nan, 1.0, 2.0, 3.0]), "none": np.full(4, np.nan)}
    found = detection_figures(scores, np.array([True, False, False, False]), list("abcd"))
    assert list(found) == ["x"]
    assert found["x"]["auc"]["value"] == 0.0


def test_percentiles_by_class_are_medians_in_descending_order():
    percentile = np.r_[np.full(10, 90.0), np.linspace(0, 60, 11), [np.nan, 99.0]]
    classes = ["odd"] * 10 + ["plain"] * 11 + ["plain", "few"]
    found = percentiles_by_class(percentile, [*classes], np.arange(23) // 2, n_bootstrap=50)
    assert list(found) == ["odd", "plain"]
    assert found["plain"]["value"] == pytest.approx(30.0)
    assert found["plain"]["n"] == 11
    assert found["plain"]["low"] < 30 < found["plain"]["high"]
    assert found["odd"]["low"] == found["odd"]["high"] == 90.0
