"""Linear probes, the area under the ROC curve and the recall among the top."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.latent_probes import (
    ProbeError,
    balanced_accuracy,
    class_probe,
    explained_variance,
    value_probe,
)
from hf_specclip.evaluation.roc import roc_auc, weighted_figure


def rows(n, seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, 6))
    classes = np.array(["a", "b", "c"], dtype=object)[np.argmax(points[:, :3], axis=1)]
    classes[:5] = None
    return points, classes, points[:, 1] ** 2 + 0.1 * random.normal(size=n), np.arange(n) // 3


def test_class_is_read_and_shuffled_classes_are_not():
    train, names, _, _ = rows(600, 0)
    points, classes, _, groups = rows(400, 1)
    found = class_probe(train, names, points, classes, groups, n_bootstrap=200)
    assert found["accuracy"]["low"] > 0.85
    assert found["balanced_accuracy"]["chance"] == pytest.approx(1 / 3)
    assert found["n"] == 395
    shuffled = np.random.default_rng(2).permutation(names)
    lost = class_probe(train, shuffled, points, classes, groups, n_bootstrap=200)
    figure = lost["balanced_accuracy"]
    assert figure["low"] - 0.05 < figure["chance"] < figure["high"] + 0.05


def test_a_class_never_seen_counts_as_a_miss():
    train, names, _, _ = rows(600, 0)
    points, classes, _, groups = rows(400, 1)
    classes[classes == "c"] = "new"
    found = class_probe(train, names, points, classes, groups, n_bootstrap=20)
    assert found["recall"]["new"] == 0.0
    assert found["n_classes"] == 3
    assert found["balanced_accuracy"]["value"] < 2 / 3


def test_balanced_accuracy_is_that_of_scikit_learn_in_every_draw():
    random = np.random.default_rng(0)
    truth = random.choice(["a", "b", "c"], 90)
    guess = random.choice(["a", "b", "c"], 90)
    weights = random.integers(0, 3, size=(5, 90))
    numbers, guesses = random.normal(size=(2, 90))
    balanced = balanced_accuracy(guess == truth, truth, ["a", "b", "c"])(weights)
    explained = explained_variance(numbers, numbers - guesses)(weights)
    for row, w in enumerate(weights):
        repeated = np.repeat(np.arange(90), w)
        expected = balanced_accuracy_score(truth[repeated], guess[repeated])
        assert balanced[row] == pytest.approx(expected)
        assert explained[row] == pytest.approx(r2_score(numbers[repeated], guesses[repeated]))


def test_a_linear_value_is_predicted_and_noise_is_not():
    random = np.random.default_rng(4)
    train, points = random.normal(size=(600, 6)), random.normal(size=(300, 6))
    values, truth = train @ np.arange(6.0), points @ np.arange(6.0)
    values[::9] = np.nan
    groups = np.arange(300) // 3
    probe = value_probe(train, values, points, truth, groups, n_bootstrap=50)
    assert probe["n_train"] == 533
    assert probe["low"] > 0.95
    assert value_probe(train, values, points, truth, groups, n_bootstrap=50) == probe
    shuffled = random.permutation(values)
    assert value_probe(train, shuffled, points, truth, groups, n_bootstrap=50)["value"] < 0.05


def test_too_little_to_learn_from_is_said():
    train, _, _, _ = rows(60, 0)
    points, classes, truth, groups = rows(60, 1)
    with pytest.raises(ProbeError, match="too few"):
        class_probe(train, [None] * 60, points, classes, groups)
    with pytest.raises(ProbeError, match="all the same"):
        value_probe(train, np.zeros(60), points, truth, groups)


def test_auc_is_that_of_every_draw_written_out():
    random = np.random.default_rng(3)
    scores = random.integers(0, 9, 120).astype(float)  # many ties
    positive = random.random(120) < 0.2
    groups = np.arange(120) // 4
    bootstrap = GroupBootstrap(groups, 60, 5)
    areas = []
    for weights in bootstrap.row_weights():
        for w in weights:
            repeated = np.repeat(np.arange(120), w)
            areas.append(roc_auc_score(positive[repeated], scores[repeated]))
    found = roc_auc(scores, positive, bootstrap)
    assert found["value"] == pytest.approx(roc_auc_score(positive, scores))
    assert (found["low"], found["high"]) == pytest.approx(np.quantile(areas, [0.025, 0.975]))


def test_auc_of_nothing_to_tell_apart():
    with pytest.raises(ValueError, match="positive and negative"):
        roc_auc(np.arange(4.0), np.zeros(4, bool))
    with pytest.raises(ValueError, match="score 1"):
        roc_auc(np.array([0.0, np.nan]), np.array([True, False]))
    one = weighted_figure(lambda w: w.sum(axis=1), 3, GroupBootstrap([1, 1, 1], 5))
    assert one["value"] == 3
    assert np.isnan(one["low"])
