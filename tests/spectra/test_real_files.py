"""Every real Chandra set: against the headers (read by astropy) and against Sherpa."""

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hf_specclip.spectra import read_spectra, read_spectrum

REFERENCE = json.loads((Path(__file__).parent / "data" / "sherpa_reference.json").read_text())
SETS = sorted(REFERENCE["files"])


@pytest.fixture(params=SETS)
def real_set(request, real_data):
    path = real_data / "chandra_spectra" / request.param
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return request.param, path, read_spectrum(path)


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
    _, path, spectrum = real_set
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


def test_agrees_with_sherpa(real_set):
    """Exposure, counts, scaling, energies, area and a folded power law, to 1e-6."""
    name, _, spectrum = real_set
    sherpa = REFERENCE["files"][name]
    close = {"rtol": 1e-6, "atol": 0}
    assert spectrum.exposure == pytest.approx(sherpa["exposure"], rel=1e-9)
    assert spectrum.counts.sum() == sherpa["counts"]
    parts = np.split(spectrum.counts, range(50, 1024, 50))
    assert [int(part.sum()) for part in parts] == sherpa["counts_by_50"]
    if sherpa["background_counts"] is None:
        assert spectrum.background_counts is None
    else:
        assert spectrum.background_counts.sum() == sherpa["background_counts"]
    assert spectrum.background_scale == pytest.approx(sherpa["background_scale"], rel=1e-9)

    edges, energies = spectrum.energy_edges, spectrum.arf.energy_edges
    assert np.allclose(np.append(edges[:-1:50], edges[-1]), sherpa["channel_energies"], **close)
    assert np.allclose(np.append(energies[:-1:50], energies[-1]), sherpa["arf_energies"], **close)
    assert np.allclose(spectrum.arf.area[::50], sherpa["arf"], **close)
    assert spectrum.arf.area.sum() == pytest.approx(sherpa["arf_sum"], rel=1e-6)

    law = REFERENCE["power_law"]
    slope = 1 - law["gamma"]
    photons = law["norm"] * np.diff(energies**slope) / slope
    folded = spectrum.fold(photons)
    assert np.allclose(folded[::50], sherpa["folded"], rtol=1e-6, atol=1e-6 * folded.max() * 1e-3)
    assert folded.sum() == pytest.approx(sherpa["folded_sum"], rel=1e-6)
    moment = float(folded @ np.arange(folded.size))
    assert moment == pytest.approx(sherpa["folded_weighted_sum"], rel=1e-6)
    # The ways to fold agree with one another.
    assert np.allclose(spectrum.fold(np.stack([photons, 2 * photons]))[1], 2 * folded, **close)
    dense = photons * spectrum.arf.area @ spectrum.rmf.dense().astype(np.float64)
    assert np.allclose(dense, folded, rtol=1e-6, atol=1e-15)


def test_matrix_unpacked_as_astropy_would(real_set):
    """Rows here and there, group by group in plain Python."""
    _, _, spectrum = real_set
    dense = spectrum.rmf.dense()
    with fits.open(spectrum.rmf.path, memmap=False) as hdus:
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


def test_rebinned_conserves(real_set):
    _, _, spectrum = real_set
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


def test_importing_is_light():
    code = (
        "import sys, hf_specclip.spectra as s; s.XRaySpectrum; s.deal_counts; s.read_spectrum;"
        "s.plot_spectrum; print([m for m in ('torch', 'transformers', 'matplotlib', 'scipy')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
