"""Coverage of the 68 % limits of fits, for the four models on simulated spectra.

The numbers that the slow tests print are those of the table in `hf_specclip.spectra.fitting.fit`.
"""

from __future__ import annotations

import numpy as np
import pytest
from known_spectra import ENERGIES, TRUTHS, absorbed_power_law, draw, fit, spectrum_of

from hf_specclip.spectra import emission as models
from hf_specclip.spectra import fit_spectrum
from hf_specclip.spectra.fitting.fit import CATALOGUE_MODELS

COLUMN = 0.5  # 1e22 cm⁻²


def inside(name, counts, statistic, n_spectra, seed=11):
    """Return True where the limits of shape and column hold the truth, (2, n), and the mean shift
    of the shape in units of its error.

    A limit that a bound leaves open holds everything on its side.
    """
    photons, shape = TRUTHS[name]
    flux = photons(ENERGIES, shape) * models.phabs(ENERGIES, COLUMN)
    source, region = draw(flux, counts, n_spectra, seed, background=counts / 20)
    table = fit(source, region, 0.1, models=[name], statistic=statistic, min_net_counts=50)
    assert table[f"{name}_converged"].all()
    column = f"{name}_{'gamma' if name == 'powlaw' else 'kt'}"
    held = []
    for parameter, truth in ((column, shape), (f"{name}_nh", 100 * COLUMN)):
        low = np.nan_to_num(table[f"{parameter}_lolim"], nan=-np.inf)
        high = np.nan_to_num(table[f"{parameter}_hilim"], nan=np.inf)
        held.append((low <= truth) & (truth <= high))
    error = (table[f"{column}_hilim"] - table[f"{column}_lolim"]) / 2
    return np.array(held), float(np.nanmedian((table[column] - shape) / error))


def test_limits_hold_the_truth_in_two_of_three_spectra():
    held = np.concatenate([inside(name, 200, "cstat", 40)[0] for name in CATALOGUE_MODELS], axis=1)
    # 320 pairs, of which the two of a spectrum are not independent: ± 3 %.
    assert held.mean() == pytest.approx(0.683, abs=0.07)
    assert held.mean(axis=1) == pytest.approx(0.683, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE_MODELS)
@pytest.mark.parametrize(
    ("statistic", "counts", "n_spectra"),
    [("cstat", 200, 1000), ("cstat", 1000, 400), ("chi2datavar", 200, 2000),
     ("chi2datavar", 1000, 2000)],
)  # fmt: skip
def test_limits_cover_the_truth_as_often_as_they_say(name, statistic, counts, n_spectra):
    held, shift = inside(name, counts, statistic, n_spectra)
    shape, column = held.mean(axis=1)
    print(f"{name} {statistic} {counts}: {shape:.3f}, N_H {column:.3f}; shape off {shift:+.2f} σ")
    assert shape == pytest.approx(0.683, abs=0.05)
    assert column == pytest.approx(0.683, abs=0.05)
    # Variances taken from the data bias χ² where counts are few.
    assert abs(shift) < (0.15 if statistic == "cstat" else 0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "background"), [(40, 20.0), (100, 5.0)])
def test_a_right_model_is_seldom_called_improbable(counts, background):
    """A probability below 5 % comes in 5 % of right fits, or in fewer."""
    source, region = draw(absorbed_power_law(), counts, 60, 7, background)
    spectra = [
        spectrum_of(counts=own, background_counts=other, background_backscal=10.0)
        for own, other in zip(source, region, strict=True)
    ]
    fits = [
        fit_spectrum(spectrum, ["powlaw"], bands=(), statistic="cstat").models["powlaw"]
        for spectrum in spectra
    ]
    probabilities = np.array([fit.probability for fit in fits if fit.converged])
    print(f"{counts} counts: {(probabilities < 0.05).mean():.3f} below 5 %, median "
          f"{np.median(probabilities):.2f}")  # fmt: skip
    assert len(probabilities) > 55
    assert (probabilities < 0.05).mean() < 0.12
    assert 0.3 < np.median(probabilities) < 0.75
