"""Light curves of simulated sources."""

from math import log

import numpy as np
import pytest

from hf_specclip.spectra.timing import N_TIMES
from specclip_datasets.simulation.light_curves import N_OCTAVES, LightCurves


def light_curves(**values):
    columns = dict.fromkeys(LightCurves.__dataclass_fields__, 0.0) | {"flare_decay": 1.0}
    columns |= values
    arrays = np.broadcast_arrays(*(np.atleast_1d(value) for value in columns.values()))
    return LightCurves(*(array.astype(float) for array in arrays))


def noise(n, seed=0):
    return np.random.default_rng(seed).random((n, 2, N_OCTAVES))


def test_light_curves_have_a_mean_of_one_and_their_shapes():
    exposure = np.full(3, 3e4)
    curves = light_curves(
        scatter=[0.3, 0.0, 0.0],
        period=[0.0, 1.5e4, 0.0],
        pulsed=[0.0, 0.5, 0.0],
        flare=[0.0, 0.0, 8.0],
        flare_start=[0.0, 0.0, 0.5],
        flare_decay=[1.0, 1.0, 3e3],
    )
    rates = curves.rates(exposure, noise(3))
    np.testing.assert_allclose(rates.mean(axis=1), 1.0)
    assert (rates > 0).all()
    assert np.log(rates[1]).max() - np.log(rates[1]).min() == pytest.approx(log(3.0), rel=0.01)
    assert abs(np.fft.rfft(rates[1] - 1)).argmax() == 2
    assert rates[2].argmax() == N_TIMES // 2
    assert rates[2].max() / rates[2, 0] == pytest.approx(9.0, rel=0.03)
    # The boost is the mean over the quiescent rate.
    assert curves.flare_boost(exposure)[2] == pytest.approx(1 / rates[2, 0], rel=0.01)


def test_noise_has_its_scatter_and_fast_pulses_average_out():
    n = 300
    rates = light_curves(scatter=np.full(n, 0.2)).rates(np.full(n, 3e4), noise(n))
    assert np.log(rates).std(axis=1).mean() == pytest.approx(0.2, rel=0.1)
    fast = light_curves(period=0.1, pulsed=0.9).rates(np.array([3e4]), noise(1))
    np.testing.assert_allclose(fast, 1.0, atol=0.01)
