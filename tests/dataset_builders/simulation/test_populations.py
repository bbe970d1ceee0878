"""Physics that the simulation has on request: other gas, and power laws that are cut off."""

from functools import partial

import numpy as np
import pytest
from simulated_spectra import power_laws

from hf_specclip.spectra import emission as models
from specclip_datasets.simulation import instrument, populations, source_classes
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs

EDGES, BAND = instrument.PHOTON_EDGES, np.s_[20:670]


def spectra(**changes):
    return power_laws(**{"nh": 2.0, "galactic_nh": 0.5, **changes})


@pytest.mark.parametrize(
    ("absorption", "cross_section"), [("phabs", "phabs_angr"), ("tbabs", "tbabs_wilm")]
)
def test_gas_absorbs_as_the_model_of_its_name(absorption, cross_section):
    gas = partial(models.phabs, cross_section=cross_section)
    found = populations.photon_spectra(spectra(redshift=0.5), absorption)[0]
    expected = models.power_law(EDGES, 1.8) * gas(EDGES, 0.5) * gas(EDGES, 1.5, redshift=0.5)
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


def test_cut_off_power_laws_are_the_models():
    found = populations.photon_spectra(spectra(cutoff=6.0, shape=1.0))[0]
    expected = models.cutoff_power_law(EDGES, 1.0, 6.0) * models.phabs(EDGES, 2.0)
    expected /= expected[BAND].sum()
    assert np.abs((found - expected).reshape(-1, 10).sum(axis=1)).max() < 1e-3
    far, none = (populations.photon_spectra(spectra(cutoff=value)) for value in (1e9, np.inf))
    np.testing.assert_allclose(far, none, rtol=1e-6)


def test_options_change_only_what_they_say():
    plain, cut, other = (
        Universe(Knobs(pairs=60, seed=6, fits=False, **options))
        for options in ({}, {"cutoffs": True}, {"absorption": "tbabs"})
    )
    for universe in (cut, other):
        for name in ("flux", "class_index"):
            np.testing.assert_array_equal(
                getattr(universe.sources, name), getattr(plain.sources, name)
            )
        np.testing.assert_array_equal(universe.sources.spectra.nh, plain.sources.spectra.nh)
    assert np.isinf(plain.sources.spectra.cutoff).all()
    has = np.isfinite(cut.sources.spectra.cutoff)
    labels = np.array(source_classes.CLASS_NAMES)[cut.sources.class_index]
    assert has.any()
    np.testing.assert_array_equal(has, np.isin(labels, ["hmxb", "ulx", "ulx_pulsar"]))
    rows = [universe.rows(np.arange(60)) for universe in (plain, cut, other)]
    counts = [np.array(table["counts"].to_pylist()) for table in rows]
    changed = (counts[1] != counts[0]).any(axis=1)
    np.testing.assert_array_equal(changed, has[plain.detections.source])
    assert (counts[2] != counts[0]).any()


def test_unknown_gas_is_refused():
    with pytest.raises(ValueError, match="phabs or tbabs"):
        Knobs(absorption="wabs")
