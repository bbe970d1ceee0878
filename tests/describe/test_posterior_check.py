"""Posterior-predictive check: clean spectra pass, an unmodelled line and a wrong model do not."""

import numpy as np
import pytest

from hf_specclip import XRaySpectrum
from hf_specclip.describe.description import Variable
from hf_specclip.describe.posterior_check import check_description
from hf_specclip.describe.predictive import binomial_tails
from hf_specclip.spectra import emission
from hf_specclip.spectra.response import EffectiveArea, RedistributionMatrix

ENERGIES, CHANNELS = np.linspace(0.3, 9.5, 461), np.linspace(0.3, 9.5, 631)
CENTRES = (ENERGIES[1:] + ENERGIES[:-1]) / 2
AREA = EffectiveArea(energy_edges=ENERGIES, area=600 * np.exp(-((CENTRES - 2) ** 2) / 18))


def response():
    sigma = 0.06 + 0.002 * CENTRES[:, None]
    middle = (CHANNELS[1:] + CHANNELS[:-1]) / 2
    matrix = np.exp(-(((middle - CENTRES[:, None]) / sigma) ** 2) / 2)
    return RedistributionMatrix(ENERGIES, CHANNELS, matrix / matrix.sum(axis=1, keepdims=True))


RMF = response()


def spectrum(photons, counts=3000, seed=1):
    empty = XRaySpectrum(
        counts=np.zeros(630, int), energy_edges=CHANNELS, exposure=1e4, arf=AREA, rmf=RMF,
        source_name="test",
    )  # fmt: skip
    rate = empty.fold(photons)
    drawn = np.random.default_rng(seed).poisson(rate / rate.sum() * counts)
    return empty.replace(counts=drawn)


def inferred(gamma=1.8, column=20.0):
    def variable(name, value, spread):
        ends = (value - spread, value + spread, value - 1.7 * spread, value + 1.7 * spread)
        return Variable(name, value, *ends, unit="", log_scale=False)

    return (variable("powlaw_gamma", gamma, 0.08), variable("powlaw_nh", column, 4.0))


def power_law(gamma=1.8, column=0.2):
    return emission.power_law(ENERGIES, gamma) * emission.phabs(ENERGIES, column)


def test_a_good_description_explains_the_counts():
    check = check_description(spectrum(power_law()), inferred())
    assert check.model == "powlaw"
    assert check.p_value > 0.05
    assert check.unexplained == ()
    assert ": consistent with the counts" in check.lines_of_text()[0]
    assert "too few counts to detect a gain shift" in check.lines_of_text()[-1]


def test_an_unmodelled_line_is_found_and_named():
    photons = power_law()
    photons[np.argmin(np.abs(CENTRES - 6.4))] += (
        0.3 * photons[np.argmin(np.abs(CENTRES - 6.2))] / (ENERGIES[1] - ENERGIES[0])
    )
    check = check_description(spectrum(photons), inferred())
    assert check.unexplained[0].low < 6.4 < check.unexplained[0].high
    assert check.unexplained[0].name == "neutral Fe Kα"
    assert "unexplained at 6." in check.lines_of_text()[1]


def test_a_description_of_another_spectrum_does_not_explain_the_counts():
    check = check_description(spectrum(power_law(gamma=3.0)), inferred())
    assert check.p_value < 0.01
    assert check.unexplained


def test_few_counts_and_absent_areas_are_not_checked():
    assert check_description(spectrum(power_law(), counts=100), inferred()) is None
    bare = spectrum(power_law()).replace(arf=None)
    assert check_description(bare, inferred()) is None
    assert check_description(spectrum(power_law()), ()) is None


def test_binomial_tails_agree_with_sums_by_hand():
    lower, upper = binomial_tails(1, 2, np.array([0.5, 0.5]))
    assert lower == pytest.approx(0.75)
    assert upper == pytest.approx(0.75)
    exact, approximate = binomial_tails(450, 4000, np.array([0.1]))[1], 0.0047
    assert exact == pytest.approx(approximate, rel=0.1)
