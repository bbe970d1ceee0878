"""Areas, matrices and spectra made in memory."""

import numpy as np
import pytest
from astropy import units as u

from hf_specclip.spectra import (
    EffectiveArea,
    RedistributionMatrix,
    XRaySpectrum,
)
from hf_specclip.spectra.response import SparseRows

ENERGIES = np.linspace(0.3, 9.0, 88)
CHANNELS = 0.0146 * np.arange(1025)


def gaussian_matrix() -> np.ndarray:
    centre = (ENERGIES[:-1] + ENERGIES[1:])[:, None] / 2
    middle = (CHANNELS[:-1] + CHANNELS[1:]) / 2
    dense = np.exp(-0.5 * ((middle - centre) / 0.05) ** 2)
    return dense / dense.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def rmf():
    return RedistributionMatrix(ENERGIES, CHANNELS, gaussian_matrix())


@pytest.fixture(scope="module")
def arf():
    area = 400 * np.exp(-((ENERGIES[:-1] - 1.5) ** 2))
    return EffectiveArea(energy_edges=ENERGIES, area=area)


def test_fold_is_the_matrix_product(rmf, arf):
    photons = np.random.default_rng(0).random((3, 4, 87))
    expected = photons * arf.area @ gaussian_matrix()
    assert np.allclose(rmf.fold(photons, arf), expected, rtol=1e-6)
    assert np.allclose(rmf.fold(photons[1, 2], arf), expected[1, 2], rtol=1e-6)
    assert np.allclose(rmf.fold(np.ones(87)).sum(), 87)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(87,), (4, 87)])
def test_fold_into_what_is_there(rmf, arf, dtype, shape):
    photons = np.random.default_rng(0).random(shape).astype(dtype)
    out = np.full((*shape[:-1], 1024), np.nan, dtype=dtype)
    assert rmf.fold(photons, arf, out) is out
    assert np.array_equal(out, rmf.fold(photons, arf))
    with pytest.raises(ValueError, match="out must be"):
        rmf.fold(photons, arf, out[..., :-1])
    with pytest.raises(ValueError, match="out must be"):
        rmf.fold(photons, arf, out.astype(np.float16))


def test_fold_refuses_other_energies(rmf):
    with pytest.raises(ValueError, match="87 energies"):
        rmf.fold(np.ones(88))
    with pytest.raises(ValueError, match="87 energies"):
        rmf.fold(1.0)


def test_large_matrices_go_in_blocks(rmf, monkeypatch):
    monkeypatch.setattr("hf_specclip.spectra.response._DENSE_BYTES", 8 * 8 * 1024 * 10)
    assert np.allclose(rmf.fold(np.ones((2, 87)))[0], rmf.fold(np.ones(87)), rtol=1e-6)
    area = np.linspace(1, 2, 87)
    arf = EffectiveArea(energy_edges=ENERGIES, area=area)
    assert np.allclose(rmf.fold(np.ones((2, 87)), arf)[0], rmf.fold(area), rtol=1e-6)
    with pytest.raises(ValueError, match="too many for a dense matrix"):
        rmf.dense()


def test_area_between_and_beyond_bins(arf):
    centres = (ENERGIES[1:] + ENERGIES[:-1]) / 2
    assert np.allclose(arf.at(centres), arf.area)
    assert arf.at([0.1, 20.0]).tolist() == [0, 0]
    assert arf.at(ENERGIES[0]) == arf.area[0]


def test_area_on_other_bins_keeps_its_integral(arf):
    wide = ENERGIES[::3]
    assert np.allclose(
        (arf.on(wide) * np.diff(wide)).sum(), (arf.area * np.diff(ENERGIES))[:87].sum()
    )


def test_quantities_are_converted():
    area = EffectiveArea(energy_edges=[500, 1000] * u.eV, area=[0.04] * u.m**2)
    assert area.energy_edges.tolist() == [0.5, 1.0]
    assert area.area == pytest.approx([400])
    spectrum = XRaySpectrum(
        counts=[1], energy_edges=[500, 1000] * u.eV, exposure=2 * u.ks, background_counts=[1],
        background_exposure=1 * u.hour,
    )  # fmt: skip
    assert spectrum.exposure == 2000
    assert spectrum.background_scale == pytest.approx(2000 / 3600)
    with pytest.raises(u.UnitConversionError):
        XRaySpectrum(counts=[1], energy_edges=[0, 1] * u.m, exposure=1)


@pytest.mark.parametrize(
    "area", [[1.0, 2.0], [-1.0], [np.nan], [np.inf], [[1.0]]], ids=lambda value: str(value)
)
def test_areas_that_are_none(area):
    with pytest.raises(ValueError, match="area"):
        EffectiveArea(energy_edges=[1, 2], area=area)


def test_matrices_that_are_none():
    with pytest.raises(ValueError, match="shape"):
        RedistributionMatrix([1, 2, 3], [1, 2], np.ones((1, 1)))
    with pytest.raises(ValueError, match="elements"):
        RedistributionMatrix([1, 2], [1, 2], -np.ones((1, 1)))
    for row, column in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        index = (np.array([each], np.int32) for each in (row, column))
        with pytest.raises(ValueError, match="of the matrix must be from 0 to 0"):
            RedistributionMatrix([1, 2], [1, 2], SparseRows(*index, np.ones(1, np.float32)))
    with pytest.raises(ValueError, match="energy_edges"):
        RedistributionMatrix([2, 1], [1, 2], np.ones((1, 1)))
    with pytest.raises(ValueError, match="no effective area"):
        _ = RedistributionMatrix([1, 2], [1, 2], np.ones((1, 1))).effective_area


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": [1, -1]}, "negative"),
        ({"counts": [1, 0.5]}, "whole"),
        ({"counts": [1, np.nan]}, "finite"),
        ({"counts": []}, "shape"),
        ({"counts": ["a", "b"]}, "numbers"),
        ({"counts": [2**31, 1]}, "add up"),
        ({"energy_edges": [1, 2]}, "3 energy_edges"),
        ({"energy_edges": [1, 3, 2]}, "ascending"),
        ({"energy_edges": [-1, 1, 2]}, "negative"),
        ({"energy_edges": [1, np.nan, 2]}, "finite"),
        ({"exposure": 0}, "exposure"),
        ({"exposure": np.inf}, "exposure"),
        ({"backscal": -1}, "backscal"),
        ({"areascal": [1, 2, 3]}, "areascal"),
        ({"background_counts": [1]}, "background_counts"),
        ({"background_exposure": 5.0}, "without background_counts"),
        ({"quality": [1]}, "quality"),
    ],
)
def test_spectra_that_are_none(changes, message):
    good = {"counts": [1, 2], "energy_edges": [0.5, 1, 2], "exposure": 10.0}
    XRaySpectrum(**good)
    with pytest.raises(ValueError, match=message):
        XRaySpectrum(**{**good, **changes})


def test_a_spectrum_cannot_be_changed():
    counts = np.array([1, 2])
    spectrum = XRaySpectrum(counts=counts, energy_edges=[0.5, 1, 2], exposure=10.0)
    counts[0] = 99
    assert spectrum.counts[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        spectrum.counts[0] = 5
    with pytest.raises(AttributeError):
        spectrum.exposure = 5
    assert spectrum.replace(exposure=20.0).exposure == 20


def test_no_background_is_zero_and_scale_zero():
    row = XRaySpectrum(counts=[1, 2], energy_edges=[0.5, 1, 2], exposure=10.0).rebinned(10)
    assert row["background_scale"] == 0
    assert row["background_counts"].tolist() == [0] * 10
    assert row["source_name"] is row["obsid"] is row["effective_area"] is None


def test_draws_belong_to_the_detection():
    """Source and background, and spectra without a name, do not share their draws."""
    counts = np.full(600, 7)
    common = {"energy_edges": 0.0146 * np.arange(601), "exposure": 1.0}
    one = XRaySpectrum(counts=counts, background_counts=counts, obsid=1, region_id=2, **common)
    row = one.rebinned()
    assert (row["counts"] != row["background_counts"]).any()
    other = one.replace(region_id=3).rebinned()
    assert (row["counts"] != other["counts"]).any()
    nameless = XRaySpectrum(counts=counts, **common)
    changed = counts.copy()
    changed[0] = 8
    assert nameless.seed != XRaySpectrum(counts=changed, **common).seed
    assert nameless.seed == XRaySpectrum(counts=counts, **common).seed
