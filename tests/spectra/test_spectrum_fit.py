"""Fits as an observer asks for them: fluxes, sums, held columns, redshifts, statistic, warnings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from astropy import units as u
from known_spectra import ENERGIES, NOTICED, RESPONSE, absorbed_power_law, draw, spectrum_of

from hf_specclip.spectra import emission as models
from hf_specclip.spectra import fit_spectra, fit_spectrum
from hf_specclip.spectra.fitting.engine import PoissonDeviance
from hf_specclip.spectra.fitting.groups import group_channels

ERG = u.keV.to(u.erg)


def energy_flux(photons, low, high):
    """The integral of a model over a band, by a rule of its own, erg/cm²/s."""
    edges = np.linspace(low, high, 4_001)
    return ERG * ((edges[1:] + edges[:-1]) / 2 * photons(edges)).sum()


def test_fluxes_are_those_of_the_truth_observed_and_unabsorbed():
    def source(edges):
        return 1e-3 * models.power_law(edges, 1.8)

    spectrum = spectrum_of(source(ENERGIES) * models.phabs(ENERGIES, 0.5), exposure=5e6)
    bands = [(0.5, 7.0), (2.0, 10.0)]
    fit = fit_spectrum(spectrum, ["powlaw"], bands=bands).models["powlaw"]
    for flux, band in zip(fit.fluxes, bands, strict=True):
        seen = energy_flux(lambda e: source(e) * models.phabs(e, 0.5), *band)
        assert flux.band == band
        assert flux.observed.value == pytest.approx(seen, rel=2e-3)
        assert flux.unabsorbed.value == pytest.approx(energy_flux(source, *band), rel=5e-3)
        assert flux.observed.low < flux.observed.value < flux.observed.high
        assert u.Unit(flux.observed.unit).is_equivalent(u.W / u.m**2)
    ampl = fit.parameters["ampl"]
    assert ampl.low < 1e-3 < ampl.high
    np.testing.assert_allclose(
        fit.photons(ENERGIES), source(ENERGIES) * models.phabs(ENERGIES, 0.5), rtol=1e-2, atol=1e-6
    )


def test_flux_limits_are_where_the_lowest_chi2_at_that_flux_has_risen_by_one():
    counts, _ = draw(absorbed_power_law(), 500, 1, seed=3)
    result = fit_spectrum(spectrum_of(counts=counts[0]), ["powlaw"], nh=0.2e22 * u.cm**-2)
    fit = result.models["powlaw"]
    groups = group_channels(counts[:, NOTICED], 16)
    source = groups.sum(counts[:, NOTICED])[0]

    def lowest(flux):
        """χ² over all indices, each with the normalisation that gives this flux."""
        best = np.inf
        for index in np.linspace(1.4, 2.2, 81):
            unit = energy_flux(lambda e, i=index: models.power_law(e, i), 0.5, 7.0)
            folded = models.power_law(ENERGIES, index) * models.phabs(ENERGIES, 0.2) @ RESPONSE
            model = groups.sum(flux / unit * 1e4 * folded[None, NOTICED])[0]
            best = min(best, ((source - model) ** 2 / source).sum())
        return best

    unabsorbed = fit.fluxes[0].unabsorbed
    assert fit.parameters["nh"].fixed
    assert fit.parameters["nh"].value == pytest.approx(20.0)
    assert fit.dof == groups.number[0] - 2
    assert lowest(unabsorbed.value) == pytest.approx(fit.statistic, abs=0.02)
    for end in (unabsorbed.low, unabsorbed.high):
        assert lowest(end) - fit.statistic == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("statistic", ["chi2datavar", "cstat"])
def test_a_sum_gives_the_parameters_of_both_components(statistic):
    photons = models.phabs(ENERGIES, 0.2) * (
        models.thermal_plasma(ENERGIES, 0.6, norm=1e-3) + models.power_law(ENERGIES, 1.7, 5e-4)
    )
    result = fit_spectrum(
        spectrum_of(photons, exposure=3e6), ["apec+powlaw"], statistic=statistic, bands=()
    )
    values = {name: p.value for name, p in result.models["apec+powlaw"].parameters.items()}
    truth = {
        "apec_kt": 0.6, "powlaw_gamma": 1.7, "nh": 20.0, "apec_norm": 1e-3, "powlaw_ampl": 5e-4,
    }  # fmt: skip
    assert list(values) == list(truth)
    assert values == pytest.approx(truth, rel=0.03)
    columns = result.columns()
    assert columns["apec+powlaw_apec_kt_lolim"] < 0.6 < columns["apec+powlaw_apec_kt_hilim"]
    assert "apec+powlaw_nh_hilim" in columns
    assert set(result.units()) <= set(columns)


def test_a_redshift_moves_the_source_and_not_the_gas():
    photons = models.phabs(ENERGIES, 0.2) * models.thermal_plasma(
        ENERGIES, 2.0, norm=1e-3, redshift=0.5
    )
    spectrum = spectrum_of(photons, exposure=3e6)
    fit = fit_spectrum(spectrum, ["apec"], redshift=0.5, bands=()).models["apec"]
    assert fit.parameters["kt"].value == pytest.approx(2.0, rel=5e-3)
    assert fit.parameters["norm"].value == pytest.approx(1e-3, rel=1e-2)
    assert fit.parameters["nh"].value == pytest.approx(20.0, rel=2e-2)


def test_the_statistic_follows_the_counts():
    bright, faint = (draw(absorbed_power_law(), n, 1, seed=2)[0][0] for n in (400, 60))
    spectrum = spectrum_of(counts=bright)
    result = fit_spectrum(spectrum, ["powlaw"], bands=())
    assert result == fit_spectrum(spectrum, ["powlaw"], statistic="chi2datavar", bands=())
    assert result.columns() == fit_spectra(spectrum, ["powlaw"])[0].columns()
    few = fit_spectrum(spectrum_of(counts=faint), ["powlaw"], bands=())
    assert (few.statistic, few.group_counts) == ("cstat", 5)
    assert few.models["powlaw"].converged
    assert fit_spectrum(spectrum, ["powlaw"], group_counts=5, bands=()).statistic == "cstat"


def test_bounds_and_hopeless_fits_are_named():
    lines = np.zeros(len(ENERGIES) - 1)
    lines[[40, 120, 200]] = 1e-3
    result = fit_spectrum(spectrum_of(lines, exposure=1e5), ["bb", "powlaw"], bands=())
    assert "no model explains this spectrum" in result.warnings[0]
    hard = fit_spectrum(spectrum_of(models.power_law(ENERGIES, -1.0, 1e-3)), ["brems"], bands=())
    assert "kt is at its upper bound, 100" in hard.models["brems"].warnings
    idle = fit_spectrum(
        spectrum_of(models.power_law(ENERGIES, 1.8, 1e-2)), ["powlaw+bb"], nh=0.0, bands=()
    )
    assert idle.models["powlaw+bb"].parameters["bb_ampl"].low is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["vapec"]}, "model 'vapec' is unknown"),
        ({"models": ["bb+bb+bb"]}, "give one or two"),
        ({"nh": -1.0}, "nh must be"),
        ({"redshift": -2.0}, "redshift must be above -1"),
        ({"bands": [(2.0, 1.0)]}, "a band must rise"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit_spectrum(spectrum_of(counts=np.ones(400, int)), **options)


@pytest.mark.parametrize("statistic", ["chi2datavar", "cstat"])
def test_bad_channels_of_source_and_background_enter_no_fit(statistic):
    """Garbage in channels of quality 1 and 5 leaves the parameters of the truth."""
    counts = np.rint(1e-3 * absorbed_power_law(1.8, 0.3) @ RESPONSE * 5e6).astype(int)
    region, flags, behind = np.full(400, 50), np.zeros(400, int), np.zeros(400, int)
    counts += 5  # what the region gives in the aperture
    for quality, part in ((1, slice(60, 75)), (5, slice(200, 230))):
        counts[part], flags[part] = 10 * counts.max(), quality
    region[100:130], behind[100:130] = 10**6, 5
    spectrum = spectrum_of(
        counts=counts, exposure=5e6, quality=flags, background_quality=behind,
        background_counts=region, background_backscal=10.0,
    )  # fmt: skip
    fit = fit_spectra(spectrum, ["powlaw"], statistic=statistic)[0].models["powlaw"]
    assert fit.parameters["gamma"].value == pytest.approx(1.8, rel=2e-3)
    assert fit.parameters["nh"].value == pytest.approx(30.0, rel=1e-2)
    assert fit.reduced < 0.1


@pytest.mark.parametrize("statistic", ["chi2datavar", "cstat"])
def test_background_scale_that_changes_inside_a_group(statistic):
    """Neighbours of scale 0.02 and 0.2 give 4 counts each in the aperture: Σ scale · counts."""
    scale = np.where(np.arange(400) % 2, 0.02, 0.2)
    flux = 1e-3 * absorbed_power_law(1.8, 0.3)
    counts = np.rint(flux @ RESPONSE * 1e5 + 4).astype(int)
    spectrum = spectrum_of(
        counts=counts, exposure=1e5, background_counts=np.rint(4 / scale).astype(int),
        backscal=scale,
    )  # fmt: skip
    fit = fit_spectra(spectrum, ["powlaw"], statistic=statistic, group_counts=40)[0]
    assert fit.models["powlaw"].parameters["gamma"].value == pytest.approx(1.8, abs=0.02)


def test_chi2_takes_the_errors_that_are_given():
    """Errors twice those of the data: limits twice as far. Systematic ones add in quadrature."""
    spectrum = spectrum_of(1e-3 * absorbed_power_law(1.8, 0.3), exposure=1e5)
    counts = spectrum.counts

    def width(spectrum):
        gamma = fit_spectra(spectrum, ["powlaw"])[0].models["powlaw"].parameters["gamma"]
        return gamma.high - gamma.low

    plain = width(spectrum)
    net = spectrum.replace(stat_error=2 * np.sqrt(counts), hduclas2="NET")
    assert width(net) == pytest.approx(2 * plain, rel=0.02)
    # Where √N of every channel is its own systematic error, too, variances double.
    both = spectrum.replace(systematic_error=1 / np.sqrt(np.maximum(counts, 1)))
    assert width(both) == pytest.approx(np.sqrt(2) * plain, rel=0.02)
    with pytest.raises(ValueError, match=r"not Poisson.*chi2datavar"):
        fit_spectra(net, statistic="cstat")
    assert fit_spectrum(net, ["powlaw"], bands=()).statistic == "chi2datavar"
    with pytest.raises(ValueError, match="STAT_ERR"):
        fit_spectra(net.replace(stat_error=None))


def test_a_detector_without_energies_is_not_fitted():
    with pytest.raises(ValueError, match="HRC has no energy resolution"):
        fit_spectra(spectrum_of(counts=np.ones(400, int), telescope="CHANDRA", instrument="HRC"))


def test_the_expected_c_statistic_is_that_of_poisson_counts():
    """Kaastra (2017), equations 5 to 7: the sums over all counts k that a mean may give."""
    means = np.repeat([0.3, 2.0, 20.0], 40)
    k = np.arange(1, 100)[:, None]
    log_factorial = np.cumsum(np.log(k), axis=0)
    weight = np.exp(k * np.log(means) - means - log_factorial)
    terms = 2 * (means - k + k * np.log(k / means))
    mean = np.exp(-means) * 2 * means + (weight * terms).sum(axis=0)
    square = np.exp(-means) * (2 * means) ** 2 + (weight * terms**2).sum(axis=0)
    zero = torch.zeros(1, means.size, dtype=torch.float64)
    found = PoissonDeviance(zero, zero, zero).expected(torch.from_numpy(means))
    variance = (square - mean**2).sum()
    assert found[0] == pytest.approx(mean.sum(), abs=0.2 * np.sqrt(variance))
    assert found[1] == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("background", [0.0, 20.0])
def test_few_counts_that_no_model_explains_are_said(background):
    """W and C tell it too, although χ² has too few counts to."""
    lines = np.where(np.abs((ENERGIES[1:] + ENERGIES[:-1]) / 2 - 3.0) < 0.1, 1e-5, 1e-9)
    for photons, warned in ((absorbed_power_law(), False), (lines, True)):
        counts, region = draw(photons, 80, 1, seed=5, background=background)
        behind = {"background_counts": region[0], "background_backscal": 10.0}
        spectrum = spectrum_of(counts=counts[0], **(behind if background else {}))
        result = fit_spectrum(spectrum, ["powlaw", "bb"], bands=())
        assert result.statistic == "cstat"
        assert bool(result.warnings) is warned
        fit = result.models["powlaw"]
        mean, deviation = fit.expected
        assert (fit.statistic > mean + 3 * deviation) is warned
