"""Every real Chandra set against the files as astropy reads them."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hf_specclip.spectra import read_spectra, read_spectrum

SETS = (
    "3c273/3c273.pi",
    "bubble/bubble.pi",
    "cdfs_179/179.pi",
    "csc_1575/acisf01575_001N001_r0085_pha3.fits.gz",
    "csc_4938/acisf04938_000N002_r0043_pha3.fits.gz",
    "obs1/obs1.pi",
    "obs4/obs4.pi",
    "source_back/source.pi",
    "source_back/back.pi",
)


@pytest.fixture(params=SETS)
def real_set(request, real_data):
    path = real_data / "chandra_spectra" / request.param
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return path, read_spectrum(path)


def _header_says(path: Path) -> dict:
    """The same numbers straight from the file, by astropy alone."""
    with fits.open(path, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if hdu.name == "SPECTRUM"]
        found = dict(tables[0].header)
        found["counts"] = np.array(tables[0].data["COUNTS"])
        background = tables[1] if len(tables) > 1 else None
        named = path.parent / str(found.get("BACKFILE", "none"))
        if background is None and named.is_file():
            background = fits.open(named, memmap=False)["SPECTRUM"]
        if background is not None:
            found["background"] = dict(background.header)
            found["background_counts"] = np.array(background.data["COUNTS"])
    return found


def test_agrees_with_the_header(real_set):
    path, spectrum = real_set
    said = _header_says(path)
    assert spectrum.exposure == said["EXPOSURE"]
    assert (spectrum.counts == said["counts"]).all()
    assert spectrum.telescope == "CHANDRA"
    assert spectrum.arf is not None
    assert spectrum.rmf is not None
    assert spectrum.notes == ()
    if "background" not in said:
        assert spectrum.background_counts is None
        return
    assert (spectrum.background_counts == said["background_counts"]).all()
    there = said["background"]
    names = ("EXPOSURE", "BACKSCAL", "AREASCAL")
    ratio = np.prod([float(said[name]) for name in names]) / np.prod(
        [float(there[name]) for name in names]
    )
    assert spectrum.background_scale == pytest.approx(ratio, rel=1e-12)


def test_response_is_what_astropy_reads(real_set):
    """Area, channels, and rows of the matrix here and there, group by group in plain Python."""
    _, spectrum = real_set
    dense = spectrum.rmf.dense()
    with fits.open(spectrum.arf.path, memmap=False) as hdus:
        assert np.allclose(spectrum.arf.area, hdus["SPECRESP"].data["SPECRESP"], rtol=1e-6)
        assert np.allclose(spectrum.arf.energy_edges[:-1], hdus["SPECRESP"].data["ENERG_LO"])
    with fits.open(spectrum.rmf.path, memmap=False) as hdus:
        assert np.allclose(spectrum.energy_edges[1:], hdus["EBOUNDS"].data["E_MAX"])
        table = next(hdu for hdu in hdus if hdu.name in ("MATRIX", "RSP_MATRIX")).data
        for row in range(0, len(table), 97):
            expected = np.zeros(dense.shape[1], dtype=np.float32)
            used = 0
            first, number = np.ravel(table["F_CHAN"][row]), np.ravel(table["N_CHAN"][row])
            for group in range(table["N_GRP"][row]):
                part = slice(first[group] - 1, first[group] - 1 + number[group])
                expected[part] += table["MATRIX"][row][used : used + number[group]]
                used += number[group]
            assert np.array_equal(dense[row], expected)
    photons = spectrum.arf.energy_edges[:-1] ** -1.7
    folded = photons * spectrum.arf.area @ dense.astype(np.float64)
    assert np.allclose(spectrum.fold(photons), folded, rtol=1e-6, atol=1e-12)


def test_rebinned_conserves(real_set):
    _, spectrum = real_set
    row = spectrum.rebinned()
    assert row["counts"].dtype == np.int32
    assert row["counts"].shape == row["background_counts"].shape == (400,)
    inner = (spectrum.energy_edges[:-1] >= 0.5) & (spectrum.energy_edges[1:] <= 8)
    outer = (spectrum.energy_edges[1:] > 0.5) & (spectrum.energy_edges[:-1] < 8)
    assert spectrum.counts[inner].sum() <= row["counts"].sum() <= spectrum.counts[outer].sum()
    area = row["effective_area"]
    assert area.dtype == np.float32
    assert 50 < area.max() < 1000  # cm², ACIS
    again = spectrum.rebinned()
    assert (again["counts"] == row["counts"]).all()
    everything = spectrum.rebinned(100, (0.0, 20.0))
    assert everything["counts"].sum() == spectrum.counts.sum()


def test_catalogue_identifiers(real_data):
    folder = real_data / "chandra_spectra" / "csc_1575"
    spectrum = read_spectrum(folder / "acisf01575_001N001_r0085_pha3.fits.gz")
    assert (spectrum.obsid, spectrum.obi, spectrum.region_id) == (1575, 1, 85)
    assert spectrum.ra == pytest.approx(10.630253454287)
    assert spectrum.dec == pytest.approx(41.327478706953)
    assert spectrum.exposure == pytest.approx(37664.157219191)
    assert spectrum.counts.sum() == 855
    assert spectrum.detector == "ACIS-67"


def test_every_file_is_read(real_data):
    """Backgrounds on their own too."""
    found = 0
    for path in sorted((real_data / "chandra_spectra").rglob("*")):
        if path.suffix == ".pi" or "_pha3" in path.name:
            (spectrum,) = read_spectra(path)
            assert spectrum.counts.sum() > 0
            found += 1
    assert found == 14


def test_a_spectrum_survives_pickling(real_data):
    spectrum = read_spectrum(real_data / "chandra_spectra" / "obs1" / "obs1.pi")
    data = pickle.dumps(spectrum)
    assert len(data) < 200_000  # the matrix is not in it before its first use
    assert np.array_equal(pickle.loads(data).rmf.row_sums, spectrum.rmf.row_sums)
