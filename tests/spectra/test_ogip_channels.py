"""Channels of spectra and responses, and their energies."""

import numpy as np
import pytest
from ogip_writer import (
    COUNTS,
    ebounds_hdu,
    matrix,
    matrix_hdu,
    read_alone,
    read_source,
    spectrum_hdu,
    write,
)

from hf_specclip.spectra import SpectrumFileError, read_rmf, read_spectrum

# Reading is silent: what was made up for goes to the notes.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("first", [0, 1, 5])
def test_first_channel(tmp_path, first):
    """0 for Swift and XMM, 1 for Chandra."""
    write(tmp_path / "src.rmf", matrix_hdu(first=first, tlmin=first), ebounds_hdu(first=first))
    spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(first=first)))
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert spectrum.channels.tolist() == list(range(first, first + 8))
    assert np.allclose(spectrum.rmf.dense(), matrix())


GARBAGE = np.array([-1, 7, 7, 300, 2, 0, 5, 5], np.int16)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("tlmin", "channel", "limit"),
    [(True, None, False), (True, np.zeros(8, np.int16), False), (True, GARBAGE, False),
     (False, None, False), (False, np.zeros(8, np.int16), False), (False, GARBAGE, True)],
)  # fmt: skip
def test_first_channel_of_a_response(tmp_path, first, tlmin, channel, limit):
    """TLMIN, the channels of EBOUNDS, or else a channel 0 among the groups tells."""
    ebounds = ebounds_hdu(first=first, channel=channel, tlmin=first if limit else None)
    hdu = matrix_hdu(first=first, tlmin=first if tlmin else None)
    rmf = read_rmf(write(tmp_path / "a.rmf", hdu, ebounds))
    assert rmf.channels[0] == first
    assert np.allclose(rmf.dense(), matrix())


def test_tlmin_above_the_first_channel(tmp_path):
    path = write(tmp_path / "a.rmf", matrix_hdu(first=0, tlmin=1), ebounds_hdu(first=0))
    assert np.allclose(read_rmf(path).dense(), matrix())


def test_fewer_channels_than_the_response(tmp_path):
    """OGIP lets a spectrum leave out channels without counts."""
    spectrum = read_source(tmp_path, COUNTS[2:5], first=3)
    assert spectrum.counts.tolist() == [0, 0, 10, 7, 2, 0, 0, 0]
    spectrum = read_source(tmp_path, [4, 5, 6], columns={"CHANNEL": [2, 5, 8]})
    assert spectrum.counts.tolist() == [0, 4, 0, 0, 5, 0, 0, 6]


def test_channels_off_by_one_between_spectrum_and_response(tmp_path):
    spectrum = read_source(tmp_path, first=0)
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert "0…7 taken as 1…8" in spectrum.notes[0]


def test_channels_of_another_detector(tmp_path):
    with pytest.raises(SpectrumFileError, match=r"20 channels 1…20 do not fit .* 8 .*rmf="):
        read_source(tmp_path, np.ones(20, dtype=int))


@pytest.mark.parametrize("options", [{"columns": {"CHANNEL": [0] * 8}}, {"drop": ["CHANNEL"]}])
def test_pha_channels_nobody_filled(tmp_path, options):
    assert read_source(tmp_path, **options).counts.tolist() == COUNTS.tolist()


def test_acis_without_rmf_gets_nominal_energies(tmp_path):
    spectrum = read_alone(tmp_path, np.ones(1024, dtype=int))
    assert np.allclose(spectrum.energy_edges, 0.0146 * np.arange(1025))
    assert "14.6 eV" in spectrum.energy_from
    assert spectrum.rebinned()["effective_area"] is None


@pytest.mark.parametrize(
    "header",
    [{"TELESCOP": "SWIFT"}, {"INSTRUME": "HRC"}, {"DETNAM": "HRC-I"}, {"CHANTYPE": "PHA"},
     {"DETCHANS": 8192}, {"GRATING": "HETG", "TG_M": -1, "TG_PART": 1}],
)  # fmt: skip
def test_without_energies_counts_are_read_and_energies_refused(tmp_path, header):
    """Nominal energies are those of the 1,024 PI channels of ACIS images alone."""
    write(tmp_path / "b.pha", spectrum_hdu(COUNTS * 4, header={"BACKSCAL": 8.0}))
    spectrum = read_alone(tmp_path, BACKFILE="b.pha", RESPFILE="x.rmf", **header)
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert (spectrum.exposure, spectrum.background_scale) == (1000.0, 0.25)
    assert spectrum.energy_edges is None
    for needs_energies in (spectrum.rebinned, lambda: spectrum.channel_edges):
        reason = "HRC.* has no energy resolution" if "HRC" in str(header) else "x.rmf.*give rmf="
        with pytest.raises(SpectrumFileError, match=rf"a.pha, keyword .*{reason}"):
            needs_energies()


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("two", [True, False])
def test_energies_of_a_dispersed_spectrum_are_its_wavelengths(tmp_path, two, descending):
    """HETG, PHA I or a row of a PHA II: E = h c / λ, 12.398 keV Å; ACIS has no say."""
    edges = np.linspace(1.0, 21.48, 8193)
    low, high, counts = edges[:-1], edges[1:], np.zeros(8192, int)
    counts[[10, 4000, 8000]] = 7, 11, 3  # at 1.027, 11.001 and 21.001 Å
    if descending:
        low, high, counts = low[::-1], high[::-1], counts[::-1]
    columns = {"BIN_LO": low, "BIN_HI": high}
    header = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "GRATING": "HETG"}
    if two:
        columns = {name: values[None] for name, values in columns.items()} | {
            "TG_M": np.array([-1], np.int16), "TG_PART": np.array([2], np.int16)
        }  # fmt: skip
        counts = counts[None]
    else:
        header |= {"TG_M": -1, "TG_PART": 2}
    hdu = spectrum_hdu(counts, columns=columns, header=header)
    spectrum = read_spectrum(write(tmp_path / "a.pha", hdu))
    edges = spectrum.energy_edges
    photons = np.repeat((edges[:-1] + edges[1:]) / 2, spectrum.counts)
    expected = 12.39842 / np.repeat([21.0012, 11.0012, 1.0263], [3, 11, 7])
    assert np.allclose(photons, expected, rtol=2e-4)
    assert spectrum.order == "MEG -1"
    assert spectrum.camera.dispersed
    assert not spectrum.camera.imaging_ccd
    # All but the photons beyond 8 keV lie in the band of the model.
    assert spectrum.rebinned()["counts"].sum() == 14
