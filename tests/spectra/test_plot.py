"""Figure of a spectrum: rates, groups, errors, labels."""

import matplotlib

matplotlib.use("Agg")

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hf_specclip.spectra import XRaySpectrum, plot_spectrum
from hf_specclip.spectra.grouped_rates import group_starts, poisson_errors


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def spectrum():
    rng = np.random.default_rng(0)
    edges = 0.0146 * np.arange(1025)
    mean = 3 * np.exp(-edges[:-1] / 2)
    return XRaySpectrum(
        counts=rng.poisson(mean + 0.1),
        background_counts=rng.poisson(np.full(1024, 1.0)),
        background_backscal=10.0,
        energy_edges=edges,
        exposure=2e4,
        source_name="2CXO J004231.2+411938",
        telescope="CHANDRA",
        instrument="ACIS",
        obsid=1575,
    )


def _points(ax):
    container = ax.containers[0]
    line, _, (xbars, _) = container.lines
    sides = np.array([[segment[0][0], segment[1][0]] for segment in xbars.get_segments()])
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), sides


def test_rates_are_net_counts_per_second_and_kev(spectrum):
    ax = plot_spectrum(spectrum, group_counts=20)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    _, rates, sides = _points(ax)
    inside = (spectrum.energy_edges[:-1] >= 0.5) & (spectrum.energy_edges[1:] <= 8)
    net = (spectrum.counts - 0.1 * spectrum.background_counts)[inside].sum()
    found = (rates * np.diff(sides)[:, 0]).sum() * spectrum.exposure
    assert found == pytest.approx(net, rel=1e-9)
    observed = plot_spectrum(spectrum, group_counts=20, subtract_background=False)
    _, rates, sides = _points(observed)
    found = (rates * np.diff(sides)[:, 0]).sum() * spectrum.exposure
    assert found == pytest.approx(spectrum.counts[inside].sum(), rel=1e-9)


def test_grouping_is_for_display_only(spectrum):
    before = spectrum.counts.copy()
    few, many = (plot_spectrum(spectrum, group_counts=least) for least in (100, 10))
    assert len(_points(few)[0]) < len(_points(many)[0])
    assert (spectrum.counts == before).all()


def test_groups_reach_their_counts():
    rng = np.random.default_rng(1)
    for _ in range(50):
        counts = rng.poisson(rng.choice([0.05, 1, 5]), size=int(rng.integers(1, 300)))
        least = int(rng.integers(1, 40))
        starts = group_starts(counts, least)
        sums = np.add.reduceat(counts, starts)
        assert starts[0] == 0
        assert sums.sum() == counts.sum()
        assert len(starts) == 1 or (sums >= least).all()
        # No group could have ended earlier.
        for start, stop in itertools.pairwise(starts):
            assert counts[start : stop - 1].sum() < least


def test_errors_are_those_of_gehrels():
    """Table values of Gehrels (1986), 84.13 % limits; his approximations hold to about 1 %."""
    lower, upper = poisson_errors(np.array([0, 1, 5, 20, 100]))
    assert np.allclose(upper, [1.841, 2.300, 3.382, 5.546, 11.03], rtol=0.03)
    assert np.allclose(lower, [0, 0.827, 2.159, 4.434, 9.983], rtol=0.03)


def test_axes_title_and_legend(spectrum):
    ax = plot_spectrum(spectrum, model=np.full(1024, 1e-4))
    assert "keV" in ax.get_xlabel()
    assert "s$^{-1}$ keV$^{-1}$" in ax.get_ylabel()
    title = ax.get_title(loc="left")
    assert "ObsID 1575" in title
    assert "20 ks" in title
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["model", "2CXO J004231.2+411938, net", "background, scaled"]


def test_given_axes_are_used(spectrum):
    _, (left, right) = plt.subplots(1, 2)
    assert plot_spectrum(spectrum, right) is right
    assert not left.has_data()


def test_nothing_detected_is_an_upper_limit():
    empty = XRaySpectrum(counts=[0] * 10, energy_edges=np.linspace(0, 10, 11), exposure=10.0)
    ax = plot_spectrum(empty)
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "1σ upper limit" in said
    plt.gcf().canvas.draw()


def test_what_cannot_be_drawn(spectrum):
    with pytest.raises(ValueError, match="group_counts"):
        plot_spectrum(spectrum, group_counts=0)
    with pytest.raises(ValueError, match="no channel"):
        plot_spectrum(spectrum, energy_range=(100, 200))
    with pytest.raises(ValueError, match="model must have shape"):
        plot_spectrum(spectrum, model=[1.0, 2.0])


def test_names_are_drawn_as_they_are_and_begin_no_formula(spectrum):
    ax = plot_spectrum(spectrum.replace(source_name=r"$\frac{1}$ source"))
    ax.figure.canvas.draw()  # a formula that cannot be parsed would end here
    assert any(r"\$" in text.get_text() for text in ax.get_legend().get_texts())
