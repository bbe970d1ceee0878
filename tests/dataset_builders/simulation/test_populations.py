"""Absorption in the simulated spectra."""

import numpy as np
import pytest
from simulated_spectra import power_laws

from hf_specclip.spectra import emission as models
from specclip_datasets.simulation import instrument, populations, source_classes

EDGES, BAND = instrument.PHOTON_EDGES, np.s_[20:670]


def spectra(**changes):
    return power_laws(**{"nh": 2.0, "galactic_nh": 0.5, **changes})


def test_gas_absorbs_as_phabs():
    found = populations.photon_spectra(spectra(redshift=0.5))[0]
    gas = models.phabs(EDGES, 0.5) * models.phabs(EDGES, 1.5, redshift=0.5)
    expected = models.power_law(EDGES, 1.8) * gas
    expected /= expected[BAND].sum()
    difference = (found - expected).reshape(-1, 10).sum(axis=1)
    assert np.abs(difference).max() < 1e-3


def test_no_gas_lets_all_through_and_much_gas_nothing_soft():
    bare = populations.photon_spectra(spectra(nh=0.0, galactic_nh=0.0))[0]
    expected = models.power_law(EDGES, 1.8)
    np.testing.assert_allclose(bare, expected / expected[BAND].sum(), rtol=1e-9)
    thick = populations.photon_spectra(spectra(nh=source_classes.MOST_ABSORBED, galactic_nh=0.0))[0]
    assert thick[instrument.PHOTON_CENTRES < 3.0].sum() < 1e-6
    assert thick[BAND].sum() == pytest.approx(1.0)
