"""Absorption: limits, published cross-sections, redshift, covering, and products inside bins."""

import numpy as np
import pytest

from hf_specclip.spectra import emission as models

EDGES = np.linspace(0.5, 8.0, 401)


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


def midpoints(density, edges, n=4000):
    """Integral over each bin by very many midpoints: tables with kinks are no work for `quad`."""
    shares = (np.arange(n) + 0.5) / n
    widths = np.diff(edges)
    energies = edges[:-1, None] + widths[:, None] * shares
    return density(energies).mean(axis=1) * widths


@pytest.mark.parametrize(("column", "redshift"), [(0.03, 0.0), (1.0, 0.0), (3.0, 0.7), (20.0, 4.0)])
def test_bins_hold_the_mean_transmission(column, redshift):
    # Carbon's, oxygen's, iron's and the other edges lie inside these bins.
    edges = np.array([0.2, 0.3, 0.45, 0.55, 0.7, 0.72, 0.9, 2.0, 6.0, 7.5, 10.0])
    expected = midpoints(
        lambda e: np.exp(-column * models.photoelectric_cross_section(e * (1.0 + redshift))), edges
    )
    flux = models.phabs(edges, column, redshift=redshift)
    np.testing.assert_allclose(flux, expected / np.diff(edges), rtol=1e-4)


def test_gas_at_a_redshift_absorbs_where_it_is():
    np.testing.assert_allclose(
        models.phabs(EDGES, 2.0, redshift=1.5), models.phabs(EDGES * 2.5, 2.0), rtol=2e-4
    )
    each = models.phabs(EDGES, [2.0, 1.0], redshift=[1.5, 0.0])
    np.testing.assert_allclose(each[1], models.phabs(EDGES, 1.0), rtol=1e-12)
    # Hydrogen's gas at z = 1 hides a source less than the same gas here.
    assert (models.phabs(EDGES, 1.0, redshift=1.0) > models.phabs(EDGES, 1.0)).all()


def test_interstellar_gas_has_fewer_metals():
    # As much absorption as from 1.4 times the column at 1 keV (0.65 to 0.75 between oxygen's and
    # iron's edges).
    ratio = models.photoelectric_cross_section([0.6, 1.0, 5.0], "tbabs_wilm")
    ratio /= models.photoelectric_cross_section([0.6, 1.0, 5.0])
    np.testing.assert_allclose(ratio, [0.747, 0.694, 0.652], rtol=0.01)


# Per hydrogen atom, 1e-22 cm², away from the edges of the elements that matter. Atoms of Verner &
# Yakovlev (1995, A&AS 109, 125) with helium of Verner et al. (1996, ApJ 465, 487) and abundances of
# Anders & Grevesse; with helium of Yan et al. (1998) and abundances of Wilms et al. (2000); fits of
# Balucinska-Church & McCammon (1992, ApJ 400, 699).
ENERGIES = (0.35, 0.47, 0.6, 0.8, 0.95, 1.2, 1.45, 1.7, 2.2, 2.8, 3.6, 5.0, 6.5, 7.7, 9.5)
VERNER = (18.24, 8.212, 7.386, 3.926, 2.862, 1.542, 0.9796, 0.6349, 0.3395, 0.1837, 0.09216,
          0.03663, 0.0172, 0.02338, 0.01346)  # fmt: skip
WILMS = (17.11, 7.472, 5.55, 2.792, 2.0, 1.062, 0.6668, 0.4296, 0.2229, 0.1208, 0.06032, 0.02385,
         0.01116, 0.01419, 0.00815)  # fmt: skip
BALUCINSKA_CHURCH = (18.88, 8.528, 7.816, 4.124, 2.971, 1.588, 1.008, 0.6526, 0.3486, 0.1884,
                     0.09413, 0.03702, 0.01722, 0.0232, 0.01342)  # fmt: skip


def test_cross_sections_are_those_of_verner():
    sigma = models.photoelectric_cross_section(ENERGIES)
    np.testing.assert_allclose(sigma, VERNER, rtol=3e-3)


def test_interstellar_gas_is_made_of_the_atoms_of_verner():
    """The rest of `tbabs` is molecular hydrogen (soft) and grains (oxygen)."""
    ratio = models.photoelectric_cross_section(ENERGIES, "tbabs_wilm") / WILMS
    np.testing.assert_allclose(ratio[:2], 1.012, rtol=4e-3)
    np.testing.assert_allclose(ratio[2:], 1.0, rtol=7e-3)


def test_cross_sections_are_near_those_of_balucinska_church():
    ratio = models.photoelectric_cross_section(ENERGIES) / BALUCINSKA_CHURCH
    assert ratio.min() > 0.93
    assert ratio.max() < 1.02
    assert np.median(ratio) == pytest.approx(0.973, abs=0.005)


@pytest.mark.parametrize(
    ("element", "edge", "jump"),
    [("C", 0.291, 1.1), ("O", 0.538, 1.7), ("Fe L", 0.724, 1.1), ("Ne", 0.870, 1.08),
     ("Mg", 1.308, 1.04), ("Si", 1.844, 1.07), ("S", 2.479, 1.04), ("Fe K", 7.124, 2.1)],
)  # fmt: skip
def test_edges_lie_where_the_elements_have_them(element, edge, jump):
    below, above = models.photoelectric_cross_section([edge - 0.015, edge + 0.015])
    # Without an edge the cross-section falls as E^(−3) or a little less.
    smooth = ((edge + 0.015) / (edge - 0.015)) ** -2.6
    assert above / below / smooth == pytest.approx(jump, rel=0.08), element


def test_beyond_the_table_the_cross_section_goes_on():
    near, far = models.photoelectric_cross_section([15.0, 30.0])
    assert -3.5 < np.log(far / near) / np.log(2.0) < -2.5
    assert models.photoelectric_cross_section(0.05) > models.photoelectric_cross_section(0.1)


SOURCES = {
    "power law": (lambda e: models.power_law(e, 1.8), lambda e: e**-1.8),
    "soft black body": (
        lambda e: models.black_body(e, 0.1),
        lambda e: 8.0525e4 * e**2 / np.expm1(e / 0.1),
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("column", "redshift"), [(0.05, 0.0), (0.5, 0.0), (2.0, 0.0), (9.0, 1.3)])
@pytest.mark.parametrize("edges", [EDGES, np.array([0.5, 1.2, 2.0, 7.0])], ids=["19 eV", "bands"])
def test_absorbed_is_right_inside_the_bins(source, column, redshift, edges):
    model, density = SOURCES[source]

    def behind_gas(energy):
        sigma = models.photoelectric_cross_section(energy * (1.0 + redshift))
        return density(energy) * np.exp(-column * sigma)

    flux = models.absorbed(edges, model, lambda e: models.phabs(e, column, redshift=redshift))
    expected = midpoints(behind_gas, edges)
    error = np.abs(flux / expected - 1.0)
    oxygen = (edges[:-1] < 0.538) & (edges[1:] > 0.538) & (len(edges) > 100)
    assert error[~oxygen].max() < 1e-3
    assert error.max() < 6e-3


@pytest.mark.parametrize(
    ("source", "column", "off"), [("soft black body", 2.0, 0.04), ("power law", 0.5, 0.002)]
)
def test_bin_values_multiplied_are_off_by_what_the_docstring_says(source, column, off):
    model, _ = SOURCES[source]
    right = models.absorbed(EDGES, model, lambda e: models.phabs(e, column))
    product = model(EDGES) * models.phabs(EDGES, column)
    assert np.abs(product / right - 1.0).max() == pytest.approx(off, rel=0.25)


def test_absorbed_takes_sums_and_batches():
    flux = models.absorbed(
        EDGES,
        lambda e: models.power_law(e, [1.5, 2.0], 1e-3) + models.black_body(e, 0.3, 1e-4),
        lambda e: models.phabs(e, 0.03) * models.phabs(e, [[1.0], [5.0], [9.0]], redshift=0.2),
    )
    assert flux.shape == (3, 2, 400)
    assert (np.diff(flux.sum(axis=-1), axis=0) < 0.0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.phabs(EDGES, -1.0), "nh_1e22"),
        (lambda: models.phabs(EDGES, np.nan), "nh_1e22"),
        (lambda: models.phabs(EDGES, 1.0, cross_section="wabs"), "phabs_angr"),
        (lambda: models.phabs(EDGES, 1.0, redshift=-2.0), "redshift"),
        (lambda: models.photoelectric_cross_section(1.0, "wabs"), "tbabs_wilm"),
    ],
)
def test_impossible_parameters_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
