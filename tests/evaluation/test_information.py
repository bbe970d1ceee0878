"""Information gain of predicted distributions over the population."""

import numpy as np
import pytest
from scipy.stats import norm

from hf_specclip.evaluation.information import information_gain

LEVELS = np.array([0.05, 0.16, 0.5, 0.84, 0.95])


def test_a_narrower_right_prediction_gains_and_the_population_gains_nothing():
    random = np.random.default_rng(0)
    population = random.normal(size=20_000)
    truth = random.normal(size=4_000)
    as_population = np.tile(norm.ppf(LEVELS), (len(truth), 1))
    assert information_gain(as_population, LEVELS, truth, population).mean() == pytest.approx(
        0.0, abs=0.05
    )
    # A measurement with a tenth of the population's scatter says about ln 10 nats.
    centre = truth + 0.1 * random.normal(size=len(truth))
    narrow = centre[:, None] + 0.1 * norm.ppf(LEVELS)
    gain = information_gain(narrow, LEVELS, truth, population).mean()
    assert gain == pytest.approx(np.log(10.0), abs=0.4)
    wrong = information_gain(narrow + 1.0, LEVELS, truth, population).mean()
    assert wrong < 0
    assert np.isnan(information_gain(narrow[:1], LEVELS, np.array([np.nan]), population)).all()
