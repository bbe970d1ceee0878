"""Spectral models against closed forms, published constants and astropy's units."""

from itertools import pairwise

import numpy as np
import pytest
from astropy import constants, units

from hf_specclip.spectra import models

EDGES = np.linspace(0.5, 8.0, 401)
COARSE = np.array([0.5, 0.9, 2.0, 7.0, 8.0])


def quadrature(density, low, high, n=4001):
    """Simpson's rule in ln E, without any of the code under test."""
    grid = np.linspace(np.log(low), np.log(high), n)
    values = density(np.exp(grid)) * np.exp(grid)
    weights = np.ones(n)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    return (values * weights).sum() * (grid[1] - grid[0]) / 3.0


MODELS = {
    "power_law": lambda edges: models.power_law(edges, [0.3, 1.0, 1.7, 9.0], 2.0),
    "black_body": lambda edges: models.black_body(edges, [0.06, 0.3, 1.0, 5.0], 2.0),
    "bremsstrahlung": lambda edges: models.bremsstrahlung(edges, [0.1, 1.0, 5.0, 60.0], 2.0),
    "thermal_plasma": lambda edges: models.thermal_plasma(
        edges, [0.06, 0.5, 2.0, 60.0], [0.0, 0.3, 1.0, 2.0], [0.0, 0.1, 0.5, 0.0], 2.0
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_photons_are_conserved_on_any_grid(name):
    fine, coarse = MODELS[name](EDGES), MODELS[name](np.array([0.5, 8.0]))
    assert fine.shape == (4, 400)
    np.testing.assert_allclose(fine.sum(axis=1), coarse[:, 0], rtol=1e-7)
    uneven = MODELS[name](COARSE)
    np.testing.assert_allclose(uneven.sum(axis=1), coarse[:, 0], rtol=1e-7)
    assert (fine >= 0.0).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_its_rows(name):
    whole = MODELS[name](EDGES)
    single = {
        "power_law": models.power_law(EDGES, 1.7, 2.0),
        "black_body": models.black_body(EDGES, 1.0, 2.0),
        "bremsstrahlung": models.bremsstrahlung(EDGES, 5.0, 2.0),
        "thermal_plasma": models.thermal_plasma(EDGES, 2.0, 1.0, 0.5, 2.0),
    }[name]
    assert single.shape == (400,)
    np.testing.assert_allclose(whole[2], single, rtol=1e-12)


def test_parameters_of_any_shape_broadcast():
    flux = models.power_law(EDGES, np.array([[1.0], [2.0]]), np.array([1.0, 2.0, 3.0]))
    assert flux.shape == (2, 3, 400)
    np.testing.assert_allclose(flux[1, 2], 3.0 * models.power_law(EDGES, 2.0))


@pytest.mark.parametrize("index", [-1.0, 0.0, 1.0 - 1e-9, 1.0, 1.0 + 1e-6, 1.7, 2.0, 8.6])
def test_power_law_is_its_integral(index):
    flux = models.power_law(COARSE, index)
    expected = [quadrature(lambda e: e**-index, *pair) for pair in pairwise(COARSE)]
    np.testing.assert_allclose(flux, expected, rtol=1e-9)
    assert models.power_law([1.0, np.e], 1.0)[0] == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("kt", [0.05, 0.17, 1.0, 8.0])
def test_black_body_is_its_integral(kt):
    edges = np.array([1e-3, 0.1, 0.5, 2.0, 8.0, 12.0])
    expected = [
        quadrature(lambda e: 8.0525 * e**2 / kt**4 / np.expm1(e / kt), *pair)
        for pair in pairwise(edges)
    ]
    np.testing.assert_allclose(models.black_body(edges, kt), expected, rtol=1e-8)


def test_black_body_radiates_its_luminosity():
    # Norm 1 is 1e39 erg/s at 10 kpc, whatever the temperature.
    edges = np.geomspace(1e-3, 100.0, 4000)
    photons = models.black_body(edges, [0.3, 1.5]) / units.cm**2 / units.s
    energy = np.sqrt(edges[1:] * edges[:-1]) * units.keV
    flux = (photons * energy).sum(axis=-1)
    expected = 1e39 * units.erg / units.s / (4 * np.pi * (10 * units.kpc) ** 2)
    np.testing.assert_allclose(
        flux.to_value(units.erg / units.cm**2 / units.s), expected.cgs.value, rtol=4e-3
    )


def test_black_body_follows_planck_from_first_principles():
    # A sphere's photon flux is π B / (hν) (R/D)², and its luminosity 4π R² σ T⁴.
    kt = 0.4 * units.keV
    energy = 1.3 * units.keV
    temperature = (kt / constants.k_B).to(units.K)
    luminosity = 1e39 * units.erg / units.s
    radius2 = luminosity / (4 * np.pi * constants.sigma_sb * temperature**4)
    intensity = (
        2 * energy**2 / (constants.h**3 * constants.c**2) / np.expm1((energy / kt).to_value(""))
    )
    flux = (np.pi * intensity * radius2 / (10 * units.kpc) ** 2).to(
        1 / units.cm**2 / units.s / units.keV
    )
    narrow = models.black_body([1.2999, 1.3001], kt.value)[0] / 2e-4
    # The constant is XSPEC's, 0.25 % above today's.
    assert narrow == pytest.approx(flux.value, rel=4e-3)


def test_gaunt_factor_is_that_of_born():
    # √3/π exp(y) K₀(y) with y = E / 2kT; K₀ from Abramowitz & Stegun 1964, table 9.8.
    for half, bessel in ((0.1, 2.4270690), (1.0, 0.4210244), (2.0, 0.1138939), (5.0, 0.0036910983)):
        expected = np.sqrt(3.0) / np.pi * np.exp(half) * bessel
        assert models.gaunt_factor(2 * half, 1.0) == pytest.approx(expected, rel=1e-6)


def test_bremsstrahlung_is_its_emissivity_from_first_principles():
    # Rybicki & Lightman 1979, 5.14: 2⁵πe⁶/(3mc³) √(2π/3km) T^(−1/2) n² exp(−hν/kT) g, per Hz.
    kt, energy = 3.0 * units.keV, 2.0 * units.keV
    charge2 = (constants.e.si**2 / (4 * np.pi * constants.eps0)).to(units.erg * units.cm)
    mass = constants.m_e
    emissivity = (
        2**5
        * np.pi
        * charge2**3
        / (3 * mass * constants.c**3)
        * np.sqrt(2 * np.pi / (3 * mass))
        / np.sqrt(kt)
        * np.exp(-(energy / kt).to_value(""))
        * models.gaunt_factor(energy.value, kt.value)
        / units.cm**6
    )
    photons = (emissivity / constants.h / energy).to(1 / units.cm**3 / units.s / units.keV)
    # The norm holds 3.02e-15 ∫ n² dV / 4πD².
    narrow = models.bremsstrahlung([1.9999, 2.0001], 3.0)[0] / 2e-4
    assert photons.value / 3.02e-15 == pytest.approx(narrow, rel=5e-3)


def test_plasma_interpolates_between_its_temperatures():
    grid = models.plasma_temperatures()
    assert len(grid) == 32
    at = models.thermal_plasma(EDGES, grid[10:12])
    between = models.thermal_plasma(EDGES, np.sqrt(grid[10] * grid[11]))
    np.testing.assert_allclose(between, at.mean(axis=0), rtol=1e-9)


def test_plasma_metals_add_to_hydrogen_and_helium():
    none, one, three = models.thermal_plasma(EDGES, 0.7, [0.0, 1.0, 3.0])
    np.testing.assert_allclose(three - none, 3.0 * (one - none), rtol=1e-9, atol=1e-12)
    assert one.sum() > 2.0 * none.sum()


def test_plasma_shows_iron_where_it_belongs():
    edges = np.arange(6.0, 7.5, 0.05)
    flux = models.thermal_plasma(edges, 4.0)
    peak = edges[np.argmax(flux)]
    assert 6.6 <= peak <= 6.75
    moved = models.thermal_plasma(edges / 1.5, 4.0, redshift=0.5)
    # Every photon arrives with its energy, and its rate, divided by 1 + z.
    np.testing.assert_allclose(moved, flux / 1.5, rtol=1e-8)


def test_plasma_has_the_cooling_of_published_tables():
    # Λ(1 keV, 0.5–2 keV, solar): n_e n_H Λ with Λ ≈ 1.2–1.5e-23 erg cm³/s in Raymond–Smith and
    # MEKAL plots; a unit norm is ∫ n_e n_H dV = 4π D² 1e14.
    edges = np.linspace(0.5, 2.0, 1501)
    energy = (edges[1:] + edges[:-1]) / 2 * units.keV.to(units.erg)
    cooling = (models.thermal_plasma(edges, 1.0) * energy).sum() / 1e14
    assert 1e-23 < cooling < 3e-23


def test_no_absorber_lets_all_through_and_a_thick_one_none():
    clear, thin, thick = models.phabs(EDGES, [0.0, 1e-6, 1e4])
    np.testing.assert_array_equal(clear, 1.0)
    np.testing.assert_allclose(thin, 1.0, atol=1e-4)
    assert thick.max() < 1e-20


def test_absorption_is_exponential_in_the_column():
    edges = np.array([1.0, 1.0001])
    sigma = models.photoelectric_cross_section(1.00005)
    one, ten = models.phabs(edges, [0.1, 1.0])
    assert one[0] == pytest.approx(np.exp(-0.1 * sigma), rel=1e-6)
    assert ten[0] == pytest.approx(one[0] ** 10, rel=1e-6)


def test_cross_sections_are_published_ones():
    # Balucinska-Church & McCammon 1992 with Anders & Grevesse: 2.4–2.5e-22 cm² at 1 keV,
    # Morrison & McCammon 1983 (the same within 5 %): 2.42e-22.
    column = (models.photoelectric_cross_section(1.0) * 1e-22) * units.cm**2
    assert column.to_value(units.cm**2) == pytest.approx(2.42e-22, rel=0.05)
    # Fewer metals in Wilms et al. 2000: about a quarter less at 1 keV.
    wilms = models.photoelectric_cross_section(1.0, "tbabs_wilm")
    assert 0.6 < wilms / models.photoelectric_cross_section(1.0) < 0.95
    slope = np.log(
        models.photoelectric_cross_section(30.0) / models.photoelectric_cross_section(15.0)
    ) / np.log(2.0)
    assert -3.5 < slope < -2.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.power_law([1.0], 2.0), "two finite energies"),
        (lambda: models.power_law([0.0, 1.0], 2.0), "above 0"),
        (lambda: models.power_law([1.0, 0.5], 2.0), "rise"),
        (lambda: models.black_body(EDGES, 0.0), "kt"),
        (lambda: models.bremsstrahlung(EDGES, [1.0, -1.0]), "kt"),
        (lambda: models.thermal_plasma(EDGES, 100.0), "68"),
        (lambda: models.thermal_plasma(EDGES, np.nan), "table"),
        (lambda: models.thermal_plasma(EDGES, 1.0, -0.1), "abundance"),
        (lambda: models.thermal_plasma(EDGES, 1.0, 1.0, -1.0), "redshift"),
        (lambda: models.phabs(EDGES, -1.0), "nh_1e22"),
        (lambda: models.phabs(EDGES, 1.0, cross_section="wabs"), "phabs_angr"),
    ],
)
def test_impossible_parameters_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
