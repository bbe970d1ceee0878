"""`specclip fit`: several files at once, one of them bad."""

import argparse
import json

import pytest

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
    assert specclip("--json", "--models", "powlaw,bb", "--", good, bad, faint) == 1
    output = capsys.readouterr()
    first, second = json.loads(output.out)
    assert "bad.pha" in output.err
    assert first["file"] == str(good)
    assert first["powlaw_gamma_lolim"] < first["powlaw_gamma"] < first["powlaw_gamma_hilim"]
    assert first["bb_nh_lolim"] is None
    assert second["powlaw_gamma"] is None
    assert "not more than 150" in second["powlaw_reason"]


def test_text_gives_values_with_units_and_limits(specclip, spectra, capsys):
    assert specclip(spectra / "3c273" / "3c273.pi", "--models", "powlaw,bb") == 0
    power_law, black_body = capsys.readouterr().out.splitlines()[2:]
    assert power_law.split()[:5] == ["power", "law", "Γ", "1.96", "(1.86"]
    assert "χ²/dof 41.5/34" in power_law
    assert "N_H 0 (up to 0.38" in black_body
    assert "keV" in black_body


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
        specclip("x.pha", "--models", "vapec")
    assert "powlaw" in capsys.readouterr().err
