"""`specclip fit`: several files at once, one of them bad."""

import argparse
import json

import pytest
from astropy import units as u
from astropy.table import Table

from hf_specclip.cli.fit import add_command


@pytest.fixture
def specclip():
    """Runs the command with arguments; gives its exit status."""
    parser = argparse.ArgumentParser("specclip")
    add_command(parser.add_subparsers())

    def run(*words) -> int:
        arguments = parser.parse_args(["fit", *(str(word) for word in words)])
        return arguments.run(arguments)

    return run


@pytest.fixture
def spectra(real_data):
    return real_data / "chandra_spectra"


def test_good_files_are_fitted_and_the_bad_one_named(specclip, spectra, tmp_path, capsys):
    bad = tmp_path / "bad.pha"
    bad.write_text("not a spectrum")
    good, faint = spectra / "3c273" / "3c273.pi", spectra / "obs1" / "obs1.pi"
    assert specclip("--json", "--model", "powlaw,bb", "--", good, bad, faint) == 1
    output = capsys.readouterr()
    first, second = json.loads(output.out)
    assert "bad.pha" in output.err
    assert first["file"] == str(good)
    assert first["powlaw_gamma_lolim"] < first["powlaw_gamma"] < first["powlaw_gamma_hilim"]
    assert first["bb_nh_lolim"] is None
    assert first["powlaw_flux_0.5_7kev_lolim"] < first["powlaw_flux_0.5_7kev"]
    assert (first["statistic"], second["statistic"]) == ("chi2datavar", "cstat")
    assert second["powlaw_gamma"] is not None


def test_text_gives_values_with_units_and_limits(specclip, spectra, capsys):
    assert specclip(spectra / "3c273" / "3c273.pi", "--model", "powlaw,bb") == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    power_law, black_body = (line for line in lines if "χ²/dof" in line)
    assert power_law.split()[:5] == ["power", "law", "Γ", "1.96", "(1.86"]
    assert "χ²/dof 41.5/34" in power_law
    assert "N_H 0 (up to 0.38" in black_body
    assert "keV" in black_body
    assert "flux 0.5–7 keV 7.68e-13 (7.35e-13 – 8.01e-13) erg/cm²/s" in lines[2]
    assert lines[-1].split() == ["!", "nh", "is", "at", "its", "lower", "bound,", "0"]


def test_a_table_and_a_figure_of_a_sum_with_a_held_column(specclip, spectra, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    table_file, image = tmp_path / "fits.ecsv", tmp_path / "fit.svg"
    words = ("--model", "bb+powlaw", "--nh", "1.8e20", "--redshift", "0.158", "--band", 2, 10)
    data = spectra / "3c273" / "3c273.pi"
    assert specclip(data, *words, "-o", table_file, "--plot", image) == 0
    assert "N_H 1.8 ×1e20 cm⁻² (fixed)" in capsys.readouterr().out
    [row] = Table.read(table_file)
    columns = Table.read(table_file).columns
    assert columns["bb+powlaw_bb_kt"].unit == u.keV
    assert columns["bb+powlaw_unabsorbed_flux_2_10kev_hilim"].unit == u.erg / u.cm**2 / u.s
    assert row["bb+powlaw_nh"] == 1.8
    assert row["bb+powlaw_dof"] == row["groups"] - 4
    assert image.stat().st_size > 10_000


def test_a_table_holds_spectra_too_faint_to_fit(specclip, spectra, tmp_path):
    faint, good = spectra / "obs1" / "obs1.pi", spectra / "3c273" / "3c273.pi"
    words = ("--model", "bb", "--min-counts", 100, "-o", tmp_path / "fits.ecsv")
    assert specclip(faint, good, *words) == 0
    flux = Table.read(tmp_path / "fits.ecsv")["bb_flux_0.5_7kev"]
    assert flux.mask.tolist() == [True, False]


def test_a_spectrum_without_response_is_named_and_the_mend_told(
    specclip, spectra, tmp_path, capsys
):
    alone = tmp_path / "alone.pi"
    alone.write_bytes((spectra / "cdfs_179" / "179.pi").read_bytes())
    assert specclip(alone) == 1
    error = capsys.readouterr().err
    assert "alone.pi" in error
    assert "rmf" in error.lower()


def test_choices_are_told(specclip, capsys):
    with pytest.raises(SystemExit):
        specclip("x.pha", "--model", "vapec")
    assert "powlaw" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        specclip("x.pha", "--nh", "0.018")
    assert "such as 2.5e20" in capsys.readouterr().err
