"""The input kind "flux": numbers that the telescope has been taken out of."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from test_feature_extraction import EDGES, hardness_by_hand, overlap

from hf_specclip import SpecCLIPFeatureExtractor, XRaySpectrum
from hf_specclip.models.spectrum_input_specclip import GLOBALS
from hf_specclip.spectra import EffectiveArea

CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
NAMES = GLOBALS["flux"]
# Areas as those of ACIS-S in 2001 and ACIS-I in 2016: contamination takes the low energies.
NEW = np.interp(CENTRES, [0.5, 1.0, 1.5, 2.0, 2.1, 4.0, 8.0], [205, 568, 707, 629, 365, 399, 34])
OLD = np.interp(CENTRES, [0.5, 1.0, 1.5, 2.0, 2.1, 4.0, 8.0], [7, 193, 462, 361, 224, 375, 48])


def columns(area, n=4, photons=1e-6, exposure=2e5, seed=0):
    """Poisson counts of a flat spectrum (photons/cm²/s in each bin) behind an area."""
    random = np.random.default_rng(seed)
    return {
        "counts": random.poisson(photons * area * exposure, (n, 400)).astype(np.int32),
        "exposure": np.full(n, exposure),
        "background_counts": random.poisson(0.5, (n, 400)).astype(np.int32),
        "background_scale": np.full(n, 0.05),
        "effective_area": np.tile(area, (n, 1)).astype(np.float32),
    }


def numbers(batch, kind="flux"):
    found = SpecCLIPFeatureExtractor(kind)(batch)["spectrum_globals"]
    return dict(zip(GLOBALS[kind], found.T, strict=True))


def by_hand(counts, exposure, background, scale, area):
    """Compute the docstring of the feature extractor in float64."""
    steps = np.geomspace(0.5, 8.0, 14)
    shares = np.array([overlap(*band) for band in pairwise(steps)])
    sensitivity = exposure * (shares @ area) / shares.sum(axis=1)
    n, b = shares @ counts, shares @ background
    flux, variance = (n - scale * b) / sensitivity, (n + scale**2 * b + 1) / sensitivity**2

    def total(weights):
        return math.sqrt(max(weights @ flux, 0) ** 2 + weights**2 @ variance)

    norm, mean = total(np.ones(13)), sensitivity.mean()
    wide = [overlap(*band, steps) for band in ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))]
    hardness = hardness_by_hand(*((w @ flux * mean, w**2 @ variance * mean**2) for w in wide))
    ratios = [f"hard_{pair}" for pair in ("hm", "hs", "ms")]
    names = [*ratios, *(f"{ratio}_error" for ratio in ratios)]
    return {
        "log_flux": math.log10(norm),
        "log_energy_flux": math.log10(total(np.sqrt(steps[1:] * steps[:-1]))),
        **{f"band_fraction_{k + 1}": flux[k] / norm for k in range(13)},
        **{f"band_fraction_error_{k + 1}": math.sqrt(variance[k]) / norm for k in range(13)},
        **dict(zip(names, hardness, strict=True)),
    }


@pytest.mark.parametrize("photons", [1e-9, 3e-7, 1e-4])
def test_numbers_are_what_the_docstring_says(photons):
    batch = columns(NEW, n=2, photons=photons, seed=3)
    found = numbers(batch)
    for row in range(2):
        names = ("counts", "exposure", "background_counts", "background_scale", "effective_area")
        expected = by_hand(*(np.float64(batch[name][row]) for name in names))
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, rel=2e-5, abs=2e-6), name
    assert set(NAMES) - set(expected) == {
        "log_counts", "log_net_counts", "log_background", "significance",
    }  # fmt: skip


def test_a_source_looks_the_same_through_any_area():
    new, old = numbers(columns(NEW, n=50, seed=1)), numbers(columns(OLD, n=50, seed=2))
    counted = [numbers(columns(area, n=50, seed=1), "physics") for area in (NEW, OLD)]
    for name in ("hard_hm", "hard_hs", "hard_ms"):
        # What counts alone say depends on the telescope; fluxes say what is there.
        assert abs(counted[0][name].mean() - counted[1][name].mean()) > 0.05, name
        assert new[name].mean() == pytest.approx(old[name].mean(), abs=0.02), name
    # 400 bins of 1e-6 photons/cm²/s.
    assert 10 ** new["log_flux"].mean() == pytest.approx(4e-4, rel=0.02)
    assert 10 ** old["log_flux"].mean() == pytest.approx(4e-4, rel=0.02)
    # Half of the photons lie below 4.25 keV, and their energies add up to as much each.
    assert 10 ** new["log_energy_flux"].mean() == pytest.approx(4e-4 * 4.25, rel=0.06)


def test_counts_channels_are_those_of_physics():
    batch = columns(NEW)
    flux = SpecCLIPFeatureExtractor("flux")(batch)["spectrum_values"]
    assert np.array_equal(flux, SpecCLIPFeatureExtractor("physics")(batch)["spectrum_values"])


def test_an_area_that_is_not_known_is_a_usual_one():
    batch = columns(NEW)
    extractor = SpecCLIPFeatureExtractor("flux")
    without = {name: values for name, values in batch.items() if name != "effective_area"}
    usual = extractor(without)["spectrum_globals"]
    unknown = {**batch, "effective_area": np.full((4, 400), np.nan, np.float32)}
    assert np.array_equal(extractor(unknown)["spectrum_globals"], usual)
    some = [{name: values[row] for name, values in batch.items()} for row in range(4)]
    some[2] = {**some[2], "effective_area": None}
    mixed = extractor(some)["spectrum_globals"]
    assert np.array_equal(mixed[2], usual[2])
    known = extractor(batch)["spectrum_globals"]
    assert np.array_equal(mixed[[0, 1, 3]], known[[0, 1, 3]])
    # Within a factor of two of the truth, for a telescope as it was in 2001.
    assert np.abs(usual[:, 0] - known[:, 0]).max() < 0.3


def test_along_another_axis_nothing_is_divided_by():
    counts = np.random.default_rng(0).poisson(3.0, (2, 40))
    extractor = SpecCLIPFeatureExtractor(
        "flux", n_bins=40, energy_range=(400.0, 800.0), axis=("wavelength", "nm"),
        bands=((400, 500), (500, 600), (600, 800)), windows=(20, 30),
    )  # fmt: skip
    found = extractor(counts, exposure=[10.0, 10.0])["spectrum_globals"]
    np.testing.assert_allclose(10 ** found[:, 0], counts.sum(axis=1) / 10, rtol=0.02)


def test_all_is_finite_without_counts_and_behind_no_area():
    area = NEW.copy()
    area[:120] = 0.0
    batch = columns(area)
    batch["counts"][0] = 0
    batch["background_counts"][0] = 0
    batch["counts"][1] = 5
    found = SpecCLIPFeatureExtractor("flux")(batch)["spectrum_globals"]
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("area", "message"),
    [
        (np.full((4, 300), 1.0), r"effective_area has the shape \(4, 300\)"),
        (np.where(np.arange(400) == 7, -1.0, NEW)[None].repeat(4, 0), r"effective_area\[7\] = -1"),
        (np.where(np.arange(400) == 7, np.nan, NEW)[None].repeat(4, 0), "nan is not finite"),
        (np.zeros((4, 400)), r"row 0: effective_area\[0\] = 0 in all bins"),
    ],
)
def test_areas_that_cannot_be(area, message):
    with pytest.raises(ValueError, match=message):
        SpecCLIPFeatureExtractor("flux")({**columns(NEW), "effective_area": area})


def test_spectra_of_other_instruments_and_without_area_are_not_taken_in_silence():
    counts = np.ones(400, int)
    acis = XRaySpectrum(counts=counts, energy_edges=EDGES, exposure=1e4, telescope="CHANDRA")
    extract = SpecCLIPFeatureExtractor("flux")
    with pytest.warns(UserWarning, match="no effective area"):
        extract(acis)
    area = EffectiveArea(energy_edges=EDGES, area=NEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(acis.replace(arf=area))
    with pytest.warns(UserWarning, match="XMM EPN"):
        extract(acis.replace(arf=area, telescope="XMM", instrument="EPN"))
    with pytest.raises(ValueError, match="HRC-I has no energy resolution"):
        extract(acis.replace(arf=area, detector="HRC-I"))
