"""Bremsstrahlung: Gaunt factors against published tables and a second exact formula."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import k0e

from hf_specclip.spectra import emission as models

RYDBERG = 13.605693e-3  # keV


@pytest.mark.parametrize(
    ("log_u", "log_gamma2", "published"),
    [
        *((-2, -4, 3.00482763), (-2, -2, 3.01528880), (-2, -1, 2.94358340)),
        *((-1, -4, 1.81533622), (-1, -3, 1.83680562), (-1, -1, 1.92437732)),
        *((0, -4, 0.853186130), (0, -2, 0.969755215), (0, 0, 1.29372031)),
        *((1, -4, 0.310107855), (1, -3, 0.328284673), (1, -1, 0.589281750)),
        (2, -4, 0.100685414),
        # Between the nodes of the table, by Sommerfeld's formula (Menzel & Pekeris 1935).
        *((-0.53, -2.11, 1.410326), (0.71, -1.33, 0.644214), (0.9, 0.27, 1.082716)),
    ],
)
@pytest.mark.parametrize("charge", [1, 2])
def test_gaunt_factors_are_those_of_van_hoof(log_u, log_gamma2, published, charge):
    # van Hoof et al. 2014, MNRAS 444, 420: their table of the non-relativistic, averaged factor.
    kt = charge**2 * RYDBERG / 10.0**log_gamma2
    ours = models.gaunt_factor(kt * 10.0**log_u, kt, charge=charge)
    assert ours == pytest.approx(published, rel=1e-4)


def test_hot_gas_reaches_borns_limit():
    # √3/π exp(u/2) K₀(u/2).
    u = np.geomspace(0.01, 10.0, 7)
    born = np.sqrt(3.0) / np.pi * k0e(u / 2)
    np.testing.assert_allclose(models.gaunt_factor(1000.0 * u, 1000.0), born, rtol=0.012)
    # And is a third above it for the hydrogen of a 1 keV plasma in the tail.
    assert models.gaunt_factor(8.0, 1.0) > 1.2 * np.sqrt(3.0) / np.pi * k0e(4.0)


def test_gaunt_factors_go_on_beyond_the_table():
    # Towards low energies the factor grows by √3/π per e-fold, whatever the temperature.
    low = models.gaunt_factor([1e-6, 1e-5, 2e-4], 1.0)
    np.testing.assert_allclose(low[0] - low[1], np.sqrt(3.0) / np.pi * np.log(10.0), rtol=1e-9)
    assert low[1] > low[2]
    assert np.isfinite(models.gaunt_factor([1e-3, 10.0], [[1e-4], [1e5]])).all()


@pytest.mark.parametrize(
    ("kt", "energy", "xspec"),
    [
        (0.1, 0.5, 1.1283),
        (0.1, 1.0, 0.9271),
        (0.3, 0.5, 1.2946),
        (0.3, 2.0, 0.8312),
        (1.0, 0.5, 1.6772),
        (1.0, 4.0, 0.8337),
        (3.0, 1.0, 1.8120),
        (3.0, 7.0, 0.9261),
        (10.0, 2.0, 2.0554),
        (60.0, 0.5, 4.1517),
    ],
)
def test_bremsstrahlung_is_that_of_xspec(kt, energy, xspec):
    # g₁ + 0.34 g₂ of XSPEC's `bremss`, worked out from the polynomials of Kellogg, Baldwin & Koch
    # (1975) and below 0.14 keV from Kurucz's table of two decimals.
    narrow = models.bremsstrahlung([energy * 0.9999, energy * 1.0001], kt)[0] / (2e-4 * energy)
    expected = xspec * np.exp(-energy / kt) / (energy * np.sqrt(kt))
    assert narrow == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize(("kt", "redshift"), [(0.1, 0.0), (0.7, 0.3), (5.0, 0.0), (60.0, 2.0)])
def test_bins_hold_the_integral(kt, redshift):
    edges = np.array([0.3, 0.5, 0.51, 2.0, 8.0])

    def density(energy):
        e = energy * (1.0 + redshift)
        gaunt = models.gaunt_factor(e, kt) + 4 * 0.1 * models.gaunt_factor(e, kt, charge=2)
        return 3.0 * gaunt * np.exp(-e / kt) / (e * np.sqrt(kt))

    expected = [quad(density, *pair, epsrel=1e-10)[0] for pair in pairwise(edges)]
    flux = models.bremsstrahlung(edges, kt, 3.0, redshift=redshift, helium=0.1)
    np.testing.assert_allclose(flux, expected, rtol=3e-5)


@pytest.mark.parametrize("kt", [5.0, 10.0, 20.0, 40.0])
def test_hot_plasma_without_metals_is_bremsstrahlung(kt):
    # AtomDB's continuum and ours were worked out by different people from different formulae; what
    # is left is recombination (below 10 keV) and relativity. Anders & Grevesse's helium is 9.77 %.
    edges = np.array([0.5, 1.0, 2.0, 4.0, 7.0, 10.0])
    plasma = models.thermal_plasma(edges, kt, abundance=0.0)
    ours = models.bremsstrahlung(edges, kt, norm=3.02e-15 / 1e-14, helium=0.0977)
    np.testing.assert_allclose(plasma, ours, rtol=0.025)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.bremsstrahlung([1.0, 2.0], 1.0, helium=-0.1), "helium"),
        (lambda: models.gaunt_factor(0.0, 1.0), "energy"),
        (lambda: models.gaunt_factor(1.0, 1.0, charge=0.0), "charge"),
    ],
)
def test_impossible_parameters_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
