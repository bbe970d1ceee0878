"""Spectra and variability from simulated event files."""

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from event_writer import DEC, RA, flare, periodic, write_events

from hf_specclip.cli.main import main
from hf_specclip.describe.measured import variability_lines
from hf_specclip.spectra import SpectrumFileError, read_spectrum
from hf_specclip.spectra.events.extract import extract_events
from hf_specclip.spectra.events.regions import parse_radius
from hf_specclip.spectra.events.variability import measure_variability
from hf_specclip.spectra.events.write import write_extraction
from hf_specclip.spectra.facts import spectrum_facts

SOURCE = SkyCoord(RA, DEC, unit="deg").spherical_offsets_by(30 * u.arcsec, -20 * u.arcsec)
AT = f"{SOURCE.ra.deg:.6f},{SOURCE.dec.deg:.6f}"
WHOLE = np.array([[0.0, 2e4]])


def draw(seed=0):
    return np.random.default_rng(seed)


def extract(path, radius=3.0, position=SOURCE):
    at = f"{position.ra.deg:.7f},{position.dec.deg:.7f}"
    return extract_events(path, at=at, radius=radius)


def events(tmp_path, times=None, **settings):
    times = draw().uniform(0, 2e4, 500) if times is None else times
    return write_events(tmp_path / "evt2.fits", times, **settings)


@pytest.mark.parametrize(
    ("camera", "channels", "first"), [("ACIS", 1024, 1), ("EPN", 4096, 0), ("XRT", 1024, 0)]
)
def test_spectrum_holds_every_event_once_with_the_headers_exposure(
    tmp_path, camera, channels, first
):
    path = events(tmp_path, camera=camera, radius=0.5)
    found = extract(path)
    assert write_extraction(found, tmp_path / "source.pha") == [tmp_path / "source.pha"]
    spectrum = read_spectrum(tmp_path / "source.pha")
    pi = fits.getdata(path, 1)["PI"]
    group = 5 if camera == "EPN" else 1
    expected = np.bincount((pi - first) // group, minlength=channels)
    np.testing.assert_array_equal(spectrum.counts, expected)
    assert spectrum.exposure == pytest.approx(0.98 * 2e4)
    assert spectrum.variability["counts"] == found.variability.counts == 500
    assert SkyCoord(spectrum.ra, spectrum.dec, unit="deg").separation(SOURCE) < 0.01 * u.arcsec
    header = fits.getheader(tmp_path / "source.pha", 1)
    assert (header["TLMIN1"], header["DETCHANS"]) == (first, channels)


def test_background_goes_with_its_area(tmp_path, capsys):
    path, output = events(tmp_path, background=3000), tmp_path / "out" / "source.pha"
    words = ["extract", str(path), "--at", AT, "--radius", "3", "--background", "annulus:5,20"]
    assert main([*words, "--json", "-o", str(output)]) == 0
    values = json.loads(capsys.readouterr().out)
    spectrum = read_spectrum(output)
    assert spectrum.counts.sum() == values["source"]["counts"] >= 500
    assert spectrum.background_counts.sum() == values["background"]["counts"]
    # 3,000 events over a disc of 100″, and 375 ″² of the annulus.
    assert values["background"]["counts"] == pytest.approx(3000 * 375 / 1e4, abs=35)
    assert spectrum.background_scale == pytest.approx(9 / 375)
    assert main([*words]) == 0
    text = capsys.readouterr().out
    assert "specextract of CIAO" in text
    assert "var_prob_b" in text
    assert "overlaps" not in text
    assert main([*words[:-1], "annulus:0.1,20"]) == 0
    assert "the background overlaps the source" in capsys.readouterr().out
    assert main([*words, "-o", str(path)]) == 1  # never over the event file
    assert fits.getheader(path, 1)["EXTNAME"] == "EVENTS"


def test_good_times_of_the_right_ccd_are_applied(tmp_path):
    times = np.arange(0.5, 2e4, 100.0)
    good = ((0.0, 5e3), (8e3, 2e4))
    path = events(tmp_path, times, good=good, other_good=((0, 100),), gti_zero=7.0)
    found = extract(path)
    assert found.source.counts.sum() == ((times < 5e3) | (times > 8e3)).sum() == 170
    assert found.source.exposure == pytest.approx(0.98 * 17e3)
    assert found.dropped["outside the good times"] == 30
    assert found.variability.columns["var_mean_b"] == pytest.approx(170 / (0.98 * 17e3), rel=0.01)
    assert found.variability.columns["var_index_b"] == 0
    assert found.variability.columns["kp_prob_b"] < 0.1  # even, but for the gap


def test_an_exposure_that_the_good_times_deny_is_not_taken(tmp_path):
    found = extract(events(tmp_path, LIVTIME7=9e3))
    assert found.source.exposure == pytest.approx(0.98 * 2e4)
    assert any("9,000.0 s" in note for note in found.notes)


def test_bad_patterns_flags_and_grades_are_left_out(tmp_path):
    for camera, column, bad in (("EPN", "PATTERN", 5), ("EPN", "FLAG", 1), ("ACIS", "GRADE", 7)):
        path = events(tmp_path, camera=camera)
        with fits.open(path, mode="update") as hdus:
            hdus[1].data[column][:40] = bad
        found = extract(path)
        assert found.source.counts.sum() == 460
        assert sum(found.dropped.values()) == 40


@pytest.mark.parametrize(
    "text",
    [
        '# Region file format: DS9 version 4.1\nglobal color=green\nfk5\ncircle({hms},3") # c\n',
        "icrs\ncircle({deg},0.05')",
        "physical;circle({xy},6.097561)",
        "circle({xy},6.097561)",
        'circle({hms},3")',
        'icrs\nannulus({deg},0",3")\n-circle({far},20")',
    ],
)
def test_regions_of_ds9_and_ciao_hold_the_same_events(tmp_path, text):
    path, region = events(tmp_path, background=2000), tmp_path / "src.reg"
    expected = extract(path)
    ring = expected.source.region.include[0]
    far = SOURCE.spherical_offsets_by(60 * u.arcsec, 0 * u.arcsec)
    region.write_text(
        text.format(
            hms=SOURCE.to_string("hmsdms", sep=":", precision=5).replace(" ", ","),
            deg=AT, xy=f"{ring.x:.4f},{ring.y:.4f}", far=f"{far.ra.deg},{far.dec.deg}",
        )
    )  # fmt: skip
    found = extract_events(path, region=region)
    assert found.source.counts.sum() == expected.source.counts.sum()
    assert found.source.region.area == pytest.approx(np.pi * (3 / 0.492) ** 2, rel=2e-3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image\ncircle(10,10,3)", "image"),
        ("fk5\nellipse(1,2,3,4,5)", "neither a circle"),
        ("fk5\ncircle(1,2,", "not understood"),
        ("circle(1,2,nan)", "radii"),
        ("", "holds no circle"),
    ],
)
def test_other_regions_are_refused(tmp_path, text, reason):
    path, region = events(tmp_path), tmp_path / "src.reg"
    region.write_text(text)
    with pytest.raises(ValueError, match=reason):
        extract_events(path, region=region)


@pytest.mark.parametrize("at", ["400,20", "150.1,95", "abc,def", "150.1,nan", "330.1,-60", "1 2"])
def test_positions_that_are_none_are_refused(tmp_path, at, capsys):
    assert main(["extract", str(events(tmp_path)), "--at", at, "--radius", "3"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_radii_have_units():
    for text in ("30", '30"', "0.5'", "30arcsec", "0.5 arcmin"):
        assert parse_radius(text).to_value("arcsec") == pytest.approx(30)
    for text in ("3px", "nan", ""):
        with pytest.raises(ValueError, match="not a radius: give arcsec"):
            parse_radius(text)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"drop": ("TIME",)}, "no column TIME"),
        ({"drop": ("GRADE",)}, "no column GRADE"),
        ({"INSTRUME": "HRC"}, "events of HRC"),
        ({"CONTENT": "EVT1"}, "level 1"),
        ({"READMODE": "CONTINUOUS"}, "not in an imaging mode"),
        ({"good": ((3e4, 4e4),)}, "none of 500 events"),
        ({"offset": (300.0, 0.0)}, "outside the field"),
        ({"offset": (40.0, -20.0)}, "no event in the circle"),
    ],
)
def test_a_file_that_cannot_answer_says_why(tmp_path, settings, reason):
    path = events(tmp_path, **settings)
    with pytest.raises(ValueError, match=reason):
        extract(path)


def test_unknown_sky_coordinates_are_said(tmp_path):
    path = events(tmp_path)
    with fits.open(path, mode="update") as hdus:
        number = hdus[1].columns.names.index("Y") + 1
        hdus[1].header[f"TCRVL{number}"] = 1e38
    with pytest.raises(SpectrumFileError, match="no tangent plane"):
        extract(path)
    with fits.open(path, mode="update") as hdus:
        del hdus[1].header[f"TCRVL{number}"]
    with pytest.raises(SpectrumFileError, match="sky coordinates are unknown"):
        extract(path)


def test_no_event_list_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no EVENTS"):
        extract(_spectrum(tmp_path))


def _spectrum(tmp_path):
    write_extraction(extract(events(tmp_path)), tmp_path / "source.pha")
    return tmp_path / "source.pha"


def test_probabilities_of_constant_sources_are_uniform():
    for good in (WHOLE, np.array([[0.0, 3e3], [9e3, 1e4], [1.5e4, 2e4]])):
        random, columns = draw(), []
        starts = np.append(0, np.diff(good, axis=1).cumsum())
        offsets = good[:, 0] - starts[:-1]
        for _ in range(60):
            live = random.uniform(0, starts[-1], 60)
            times = live + offsets[np.searchsorted(starts, live) - 1]
            columns.append(measure_variability(times, good).columns)
        for name in ("ks_prob_b", "kp_prob_b"):
            values = np.array([each[name] for each in columns])
            assert np.mean(values) == pytest.approx(0.5, abs=0.09)
            assert (values > 0.9).mean() == pytest.approx(0.1, abs=0.09)
        index = np.array([each["var_index_b"] for each in columns])
        assert (index >= 6).mean() < 0.08
        assert (index <= 2).mean() > 0.85


@pytest.mark.parametrize("source", [flare, periodic])
def test_variable_sources_are_found(source):
    for seed in range(5):
        columns = measure_variability(source(2e4, 400, draw(seed)), WHOLE).columns
        assert columns["var_index_b"] >= 8
        assert columns["kp_prob_b"] > (0.95 if source is flare else 0.5)
        assert columns["var_mean_b"] == pytest.approx(400 / 2e4, rel=0.01)
        assert columns["var_sigma_b"] > 0.3 * columns["var_mean_b"]


def test_dead_time_raises_rates_alone():
    times = flare(2e4, 400, draw())
    whole, part = (measure_variability(times, WHOLE, share).columns for share in (1.0, 0.8))
    for name, value in whole.items():
        rate = name in ("var_mean_b", "var_sigma_b")
        assert part[name] == pytest.approx(value / 0.8 if rate else value)


def test_few_events_have_no_test(tmp_path, capsys):
    path = events(tmp_path, np.arange(9) * 1e3)
    output = tmp_path / "few.pha"
    assert main(["extract", str(path), "--at", AT, "--radius", "3", "-o", str(output)]) == 0
    assert "too few" in capsys.readouterr().out
    assert read_spectrum(output).variability is None


def test_measured_variability_is_printed_with_its_events_and_length(tmp_path):
    lines = variability_lines(spectrum_facts(read_spectrum(_spectrum(tmp_path))))
    assert lines[0] == "variability of 500 events at 0.5–7 keV in 20,000 s, measured"
    assert "var_prob_b" in lines[1]
    assert "ks_prob_b" in lines[2]


def test_light_curve_is_drawn():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from hf_specclip.spectra.events.plot import plot_light_curve

    times, good = flare(2e4, 400, draw()), np.array([[0.0, 5e3], [8e3, 2e4]])
    measured = measure_variability(times[(times < 5e3) | (times > 8e3)], good)
    axes = plot_light_curve(measured, Figure().subplots())
    curve = next(line for line in axes.lines if "Gregory" in str(line.get_label()))
    rates = curve.get_ydata()
    assert np.isnan(rates).sum() == 36  # 3,000 s of 240 parts of 20,000 s
    assert curve.get_xdata()[np.nanargmax(rates)] == pytest.approx(13.0, abs=1.0)
