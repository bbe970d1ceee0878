"""Emission models against closed forms, quadrature, published constants and astropy's units."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from astropy import constants, units
from scipy import integrate, special

from hf_specclip.spectra import emission as models

EDGES = np.linspace(0.5, 8.0, 401)
COARSE = np.array([0.5, 0.9, 2.0, 7.0, 8.0])


def quadrature(density, low, high):
    """Integral over a bin, in ln E, without any of the code under test."""
    grid = np.linspace(np.log(low), np.log(high), 4001)
    return integrate.simpson(density(np.exp(grid)) * np.exp(grid), x=grid)


Z = [0.0, 0.1, 0.5, 3.0]
PARAMETERS = {
    "power_law": ([0.3, 1.0, 1.7, 9.0],),
    "cutoff_power_law": ([0.3, 1.0, 1.7, -1.0], [1.0, 5.0, 300.0, 0.5]),
    "black_body": ([0.06, 0.3, 1.0, 5.0],),
    "disk_black_body": ([0.06, 0.3, 1.0, 5.0],),
    "bremsstrahlung": ([0.1, 1.0, 5.0, 60.0],),
    "thermal_plasma": ([0.06, 0.5, 2.0, 60.0], [0.0, 0.3, 1.0, 2.0]),
}


def call(name, edges, row=slice(None), norm=2.0, **options):
    """Photons of a model with its parameters above, or those of one row."""
    parameters = [np.array(values)[row] for values in PARAMETERS[name]]
    return getattr(models, name)(edges, *parameters, norm=norm, **options)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("redshift", [0.0, Z])
def test_photons_are_conserved_on_any_grid(name, redshift):
    random = np.random.default_rng(5)
    whole = call(name, np.array([0.5, 8.0]), redshift=redshift)
    assert whole.shape == (4, 1)
    inner = [np.sort(random.uniform(0.5, 8.0, n)) for n in (1, 7, 300)]
    for edges in (EDGES, COARSE, *(np.concatenate([[0.5], grid, [8.0]]) for grid in inner)):
        flux = call(name, edges, redshift=redshift)
        assert (flux >= 0.0).all()
        # A soft tail behind the peak (kT of 60 eV at z = 3) is what the rules are worst at.
        np.testing.assert_allclose(flux.sum(axis=1), whole[:, 0], rtol=2e-6, atol=1e-30)
        np.testing.assert_allclose(flux[:3].sum(axis=1), whole[:3, 0], rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_redshift_moves_bins_and_slows_photons(name):
    there = call(name, EDGES * 1.25) / 1.25
    here = call(name, EDGES, redshift=0.25)
    np.testing.assert_allclose(here, there, rtol=2e-6, atol=1e-25)
    batch = call(name, EDGES, redshift=[0.0, 0.25, 0.25, 1.0])
    np.testing.assert_allclose(batch[1:3], here[1:3], rtol=1e-12)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_batch_is_its_rows(name):
    single = call(name, EDGES, row=2)
    assert single.shape == (400,)
    # To the bit, or a simulation would depend on how its rows are shared out.
    np.testing.assert_array_equal(call(name, EDGES)[2], single)


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_norm_means_no_photons_and_norms_scale(name):
    none, one, both = call(name, EDGES, row=2, norm=[0.0, 1.0, 1e-5])
    np.testing.assert_array_equal(none, 0.0)
    np.testing.assert_allclose(both, 1e-5 * one, rtol=1e-14)
    assert one.sum() > 0.0


@pytest.mark.parametrize("name", PARAMETERS)
def test_memory_is_bounded_by_the_result(name):
    edges = np.linspace(0.5, 8.0, 1001)
    redshift = np.full((1000, 4), 0.1)
    call(name, EDGES)
    tracemalloc.start()
    result = call(name, edges, redshift=redshift)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.shape == (1000, 4, 1000)
    # The result, one copy scaled by its norm, and the rows being worked on.
    assert peak < 2 * result.nbytes + 60e6


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


@pytest.mark.parametrize(("index", "cutoff"), [(1.7, 5.0), (-1.0, 0.5), (0.3, 30.0), (3.0, 1.0)])
def test_cutoff_power_law_is_its_integral(index, cutoff):
    expected = [
        2.0 * integrate.quad(lambda e: e**-index * np.exp(-e / cutoff), *pair, epsrel=1e-11)[0]
        for pair in pairwise(COARSE)
    ]
    flux = models.cutoff_power_law(COARSE, index, cutoff, 2.0)
    np.testing.assert_allclose(flux, expected, rtol=1e-6)
    # And through the incomplete gamma function from 0 to 1 keV where it converges.
    if index < 1.0:
        s = 1.0 - index
        below = cutoff**s * special.gamma(s) * special.gammainc(s, 1.0 / cutoff)
        from_0 = models.cutoff_power_law([1e-9, 1.0], index, cutoff)[0]
        assert from_0 == pytest.approx(below, rel=1e-5)


def test_a_cutoff_far_away_cuts_nothing():
    np.testing.assert_allclose(
        models.cutoff_power_law(EDGES, 1.7, 1e9), models.power_law(EDGES, 1.7), rtol=1e-7
    )


@pytest.mark.parametrize(
    ("kt", "energy", "xspec"),
    [
        (0.1, 0.5, 1.2872760e-06),
        (0.5, 2.0, 7.5746781e-05),
        (1.0, 1.0, 4.1472997e-03),
        (1.0, 8.0, 9.1084511e-06),
        (2.0, 0.5, 5.2411079e-02),
    ],
)
def test_disc_is_that_of_xspec(kt, energy, xspec):
    # Photons/cm²/s/keV from the interpolation formula of XSPEC's `diskbb`, whose constant is 8e-4
    # above today's.
    narrow = models.disk_black_body([energy * 0.9999, energy * 1.0001], kt)[0] / (2e-4 * energy)
    assert narrow * 1.00075 == pytest.approx(xspec, rel=1e-4)


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


@pytest.mark.parametrize(
    ("log_t", "published", "tolerance"),
    [(6.8, -22.3324, 0.05), (7.0, -22.3758, 0.15), (7.2, -22.5331, 0.05), (7.4, -22.6215, 0.05),
     (7.6, -22.5907, 0.05), (7.8, -22.5275, 0.05)],
)  # fmt: skip
def test_plasma_has_the_cooling_of_published_tables(log_t, published, tolerance):
    # Schure et al. 2009 (A&A 508, 751; SPEX, Anders & Grevesse), their elements summed, log Λ per
    # n_H² with n_e = 1.2 n_H. AtomDB's iron L lines are newer: they stand out at 10⁷ K. A unit norm
    # is ∫ n_e n_H dV = 4π D² 1e14; 4 to 9 % of the energy lie beyond the table, in the continuum.
    kt = (10.0**log_t * units.K * constants.k_B).to_value(units.keV)

    def energy(model, edges):
        return (model * np.sqrt(edges[1:] * edges[:-1])).sum() * units.keV.to(units.erg)

    inside = np.linspace(0.1, 12.0, 1191)
    total = energy(models.thermal_plasma(inside, kt), inside)
    for edges in (np.geomspace(1e-4, 0.1, 100), np.geomspace(12.0, 12.0 + 30 * kt, 100)):
        total += energy(models.bremsstrahlung(edges, kt, 0.302, helium=0.0977), edges)
    assert 1.2 * total / 1e14 == pytest.approx(10.0**published, rel=tolerance)


@pytest.mark.parametrize(
    ("attempt", "message"),
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
        (lambda: models.thermal_plasma(EDGES, 1.0, np.inf), "abundance"),
        (lambda: models.power_law(EDGES, np.nan), "photon_index"),
        (lambda: models.power_law(EDGES, 2.0, redshift=[0.0, -1.5]), "redshift"),
        (lambda: models.cutoff_power_law(EDGES, 2.0, 0.0), "cutoff"),
        (lambda: models.disk_black_body(EDGES, np.inf), "kt"),
    ],
)
def test_impossible_parameters_are_refused(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()
