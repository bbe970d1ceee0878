"""Fits of simulated spectra: where there are any, and that they find what was put in."""

import numpy as np
import pytest
from simulated_truth import power_laws

from specclip_datasets.simulation import instrument, populations, spectral_fits
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs


def simulated(n, counts, photon_index, column, random):
    """Channels of n absorbed power laws on ACIS-S, and of their background regions."""
    spectra = power_laws(n, shape=photon_index, nh=column, galactic_nh=column)
    epoch, theta, exposure = np.zeros(n, dtype=int), np.full(n, 2.0), np.full(n, 3e4)
    rate = instrument.fold(populations.photon_spectra(spectra), epoch, theta)
    expected = rate * counts / rate[:, instrument.channels_within("b")].sum(axis=1)[:, None]
    behind = instrument.background_rates(epoch, theta, np.full(n, 3.0)) * exposure[:, None]
    scale = np.full(n, 0.05)
    channels = random.poisson(expected + behind)
    return channels, random.poisson(behind / 0.05), scale, exposure, epoch, theta


def test_fits_find_the_power_law_that_was_put_in():
    random = np.random.default_rng(3)
    found = spectral_fits.fit_columns(*simulated(40, 5000.0, 1.8, 0.5, random))
    for name, truth in (("powlaw_gamma", 1.8), ("powlaw_nh", 50.0)):
        values = found[name]
        error = (found[f"{name}_hilim"] - found[f"{name}_lolim"]) / 2
        pull = (values - truth) / error
        assert abs(pull.mean()) < 1.0  # χ² with the data's variance is biased by a part of σ
        assert pull.std() == pytest.approx(1.0, abs=0.35)
    # Cramér–Rao: σ_Γ = 3.3/√N at N_H = 5e21 on ACIS-S.
    assert found["powlaw_gamma"].std() == pytest.approx(3.3 / np.sqrt(5000), rel=0.4)
    assert np.median(found["powlaw_stat"]) == pytest.approx(1.0, abs=0.1)
    assert np.median(found["bb_stat"]) > 1.5


def test_faint_spectra_are_not_fitted():
    random = np.random.default_rng(0)
    found = spectral_fits.fit_columns(*simulated(5, 60.0, 1.8, 0.5, random))
    assert set(found) == set(spectral_fits.COLUMNS)
    assert all(np.isnan(values).all() for values in found.values())


def test_rows_are_fitted_where_they_have_the_counts():
    universe = Universe(Knobs(pairs=60, seed=7))
    rows = universe.rows(np.arange(60))
    counts, background = (
        np.array(rows[name].to_pylist())[:, :346].sum(axis=1)
        for name in ("counts", "background_counts")
    )
    net = counts - background * rows["background_scale"].to_numpy()
    fitted = ~np.isnan(rows["powlaw_gamma"].to_numpy(zero_copy_only=False))
    assert fitted.any()
    # A count at the end of the band may be dealt to either side.
    assert fitted[net > 155].mean() > 0.9
    assert not fitted[net < 145].any()
