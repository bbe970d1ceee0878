"""Counts that were not counted: models of backgrounds, and spectra after a subtraction."""

import numpy as np
import pytest
import torch
from astropy.io import fits
from known_spectra import absorbed_power_law, expected, spectrum_of
from ogip_writer import COUNTS, read_source, spectrum_hdu, write, write_set

from hf_specclip.spectra import SpectrumFileError, read_spectrum
from hf_specclip.spectra.facts import spectrum_facts
from hf_specclip.spectra.fitting.noticed import NoticedCounts, arrays_of
from hf_specclip.spectra.fitting.spectrum_fit import fit_spectrum
from hf_specclip.spectra.grouped_rates import group_rates

MODEL = COUNTS * 0.37
BAND = (0.4, 8.4)


def write_model(folder, where, errors=None):
    """Write a set whose background is a model of `MODEL` counts in four times the aperture."""
    write_set(folder)
    header, columns = {"BACKSCAL": 8.0, "POISSERR": False}, {}
    if where == "strips":
        strips = {"BACKGROUND_UP": MODEL[None], "BACKSCUP": np.array([8.0])}
        return write(folder / "src.pha", spectrum_hdu(COUNTS[None], columns=strips))
    if where == "RATE":
        columns["RATE"] = MODEL / 1000.0
    if errors is not None:
        columns["STAT_ERR"] = errors / (1000.0 if where == "RATE" else 1.0)
    drop = ["COUNTS"] if where == "RATE" else []
    hdu = spectrum_hdu(MODEL, columns=columns, drop=drop, header=header)
    write(folder / "src_bg.pha", hdu)
    return folder / "src.pha"


@pytest.mark.parametrize("where", ["COUNTS", "RATE", "strips"])
def test_a_model_background_is_read_as_expected_counts(tmp_path, where):
    """HXMT's models are fractions of counts: the mean of the background, not a draw of it."""
    spectrum = read_spectrum(write_model(tmp_path, where, errors=0.1 * MODEL))
    assert np.allclose(spectrum.background_counts, MODEL)
    assert spectrum.background_scale == pytest.approx(0.25)
    error = np.sqrt(MODEL) if where == "strips" else 0.1 * MODEL  # strips are observed
    assert np.allclose(spectrum.background_error, error)
    assert "used as expected counts" in spectrum.notes[-1]
    facts = spectrum_facts(spectrum)
    assert facts["background_scale"] == pytest.approx(0.25)
    assert facts["background_total_counts"] == pytest.approx(MODEL.sum())
    # The last channel ends at 8.4 keV, half of it beyond the band; counts are dealt to the band.
    inside = np.append(np.ones(7), 0.6)
    net = facts["counts_0.5_8kev"] - 0.25 * inside @ MODEL
    assert facts["net_counts_0.5_8kev"] == pytest.approx(net, abs=0.02)


def test_a_negative_background_is_left_out_with_a_note(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "src_bg.pha", spectrum_hdu(MODEL - 1.0))
    spectrum = read_spectrum(tmp_path / "src.pha")
    assert spectrum.background_counts is None
    assert spectrum.notes[-1].startswith("background of src_bg.pha left out, no counts: COUNTS is")
    with fits.open(tmp_path / "src_bg.pha", mode="update", checksum=False) as hdus:
        hdus[1].header["DATASUM"] = "1"
    assert "src_bg.pha: DATASUM of HDU 1" in read_spectrum(tmp_path / "src.pha").notes[-1]
    with pytest.raises(SpectrumFileError, match=r"src_bg.pha, .*COUNTS is -1 in row 0"):
        read_spectrum(tmp_path / "src.pha", strict=True)


@pytest.mark.parametrize("error", [0.0, 0.3])
def test_expected_counts_are_subtracted_with_their_own_error(tmp_path, error):
    spectrum = read_spectrum(write_model(tmp_path, "COUNTS", errors=error * MODEL))
    noticed = NoticedCounts(**arrays_of([spectrum]), energy_range=BAND, group_counts=5)
    groups, _, rate, errors = noticed.rates(0, spectrum.channel_edges)
    parts = [slice(*ends) for ends in zip(groups.starts[0], groups.stops[0], strict=True)]
    widths = np.array([part.stop - part.start for part in parts])  # 1 keV a channel
    net = [COUNTS[part].sum() - 0.25 * MODEL[part].sum() for part in parts]
    variance = [COUNTS[p].sum() + (0.25 * error) ** 2 * (MODEL[p] ** 2).sum() for p in parts]
    assert rate * 1000 * widths == pytest.approx(net)
    assert errors * 1000 * widths == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_the_c_statistic_adds_expected_counts_to_the_model(tmp_path):
    """Cash (1979) with a background that is known: 2 Σ m + b − S + S ln S / (m + b)."""
    spectrum = read_spectrum(write_model(tmp_path, "COUNTS"))
    noticed = NoticedCounts(
        **arrays_of([spectrum]), statistic="cstat", energy_range=BAND, group_counts=1
    )
    folding = noticed.folding(1)
    batch = noticed.batch(folding, np.array([0]), (folding.components, folding.below))
    source, behind = noticed.groups.sum(COUNTS[None]), noticed.groups.sum(0.25 * MODEL[None])
    model = source + 0.5
    mean = model + behind
    hand = 2 * (mean - source + source * np.log(np.maximum(source, 1e-300) / mean)).sum()
    value = batch.statistic.terms(torch.from_numpy(model)[None])[0]
    assert float(value) == pytest.approx(hand, rel=1e-5)


def test_a_model_background_in_the_bins_of_the_contract(tmp_path):
    """Whole numbers: those of a region whose Poisson error is that of the model."""
    spectrum = read_spectrum(write_model(tmp_path, "COUNTS", errors=np.sqrt(MODEL) / 30))
    row = spectrum.rebinned(8, BAND)
    assert row["background_counts"].dtype == np.int32
    expectation = row["background_counts"] * row["background_scale"]
    assert expectation == pytest.approx(0.25 * MODEL, abs=0.25 / 900)
    variance = row["background_counts"].sum() * row["background_scale"] ** 2
    assert variance == pytest.approx(0.25**2 * MODEL.sum() / 900, rel=1e-2)


NET = np.array([-1.5, 2.25, 10.5, 7.0, -0.5, 1.0, 0.0, 5.0])
ERRORS = np.full(8, 1.5)


@pytest.mark.parametrize("rate", [False, True])
def test_net_spectra_are_read_with_the_errors_given(tmp_path, rate):
    header = {"HDUCLAS2": "NET", "POISSERR": False, "BACKFILE": "src_bg.pha"}
    columns = {"STAT_ERR": ERRORS / (1000.0 if rate else 1.0), "SYS_ERR": np.full(8, 0.05)}
    if rate:
        columns["RATE"] = NET / 1000.0
    drop = ["COUNTS"] if rate else []
    spectrum = read_source(tmp_path, NET, columns=columns, drop=drop, header=header)
    assert np.allclose(spectrum.counts, NET)
    assert np.allclose(spectrum.stat_error, ERRORS)
    assert np.allclose(spectrum.systematic_error, 0.05)
    assert (spectrum.background_counts, spectrum.background_scale) == (None, 0)
    assert "HDUCLAS2 = NET" in spectrum.notes[0]
    assert not spectrum.are_poisson
    facts = spectrum_facts(spectrum)
    inside = np.append(np.append(0.9, np.ones(6)), 0.6)
    assert facts["net_counts_0.5_8kev"] == pytest.approx(inside @ NET)
    assert facts["net_counts_error_0.5_8kev"] == pytest.approx(np.sqrt(inside @ ERRORS**2))
    with pytest.raises(SpectrumFileError, match=r"src.pha: .*not integers.*before background"):
        spectrum.rebinned()
    rates = group_rates(spectrum, energy_range=BAND, group_counts=100)
    assert rates.rate == pytest.approx([NET.sum() / 1000 / 8])
    assert rates.errors[0] == pytest.approx([np.sqrt(8) * 1.5 / 1000 / 8])


@pytest.mark.parametrize("damage", [-1.0, np.nan, 1e300])
@pytest.mark.parametrize("header", [{"HDUCLAS2": "NET"}, {"HDUCLAS2": "BKG"}, {"POISSERR": False}])
def test_errors_beyond_reason_are_refused(tmp_path, damage, header):
    errors = {"STAT_ERR": np.where(COUNTS == 7, damage, np.sqrt(COUNTS))}
    with pytest.raises(SpectrumFileError, match="column STAT_ERR: must be errors of the counts"):
        read_source(tmp_path, columns=errors, header=header)


def test_counts_far_below_zero_are_refused(tmp_path):
    counts = np.where(COUNTS == 7, -2e9, COUNTS)
    with pytest.raises(
        SpectrumFileError, match=r"COUNTS: is -2e\+09 in row \d, over 10 errors below"
    ):
        read_source(tmp_path, counts, columns={"STAT_ERR": ERRORS}, header={"HDUCLAS2": "NET"})


def test_net_counts_without_errors_have_none(tmp_path):
    """Whole numbers, too, are no Poisson counts once a background is subtracted from them."""
    facts = spectrum_facts(read_spectrum(write_set(tmp_path, HDUCLAS2="NET")))
    assert np.isnan(facts["net_counts_error_0.5_8kev"])


@pytest.mark.parametrize("header", [{}, {"POISSERR": False}, {"HDUCLAS2": "BKG"}])
def test_fractions_without_errors_of_their_own_are_no_counts(tmp_path, header):
    with pytest.raises(SpectrumFileError, match=r"COUNTS is -1.5 in row 0, negative"):
        read_source(tmp_path, NET, header=header)


def test_net_counts_are_fitted_by_chi_square_alone():
    mean = expected(absorbed_power_law(), 20_000)
    errors = np.sqrt(2.0 * mean + 5.0)
    counts = mean + errors * np.random.default_rng(3).standard_normal(mean.size)
    spectrum = spectrum_of(counts=counts, stat_error=errors, hduclas2="NET")
    result = fit_spectrum(spectrum, ["powlaw"])
    assert result.statistic == "chi2datavar"
    fit = result.models["powlaw"]
    gamma = fit.parameters["gamma"]
    assert abs(gamma.value - 1.8) < 2.5 * (gamma.high - gamma.low) / 2
    assert 0.8 < fit.reduced < 1.25
    with pytest.raises(ValueError, match=r"net counts are not Poisson, as the C-statistic needs"):
        fit_spectrum(spectrum, ["powlaw"], statistic="cstat")
    empty = spectrum.replace(stat_error=np.zeros_like(errors))  # a column that nobody filled
    with pytest.raises(ValueError, match="STAT_ERR is not positive"):
        fit_spectrum(empty, ["powlaw"])
