"""Responses as archives have them: matrices, areas and their energies."""

import numpy as np
import pytest
from astropy.io import fits
from ogip_writer import (
    AREA,
    CHANNEL_EDGES,
    COUNTS,
    ENERGY_EDGES,
    GROUPS,
    arf_hdu,
    assert_is_the_set,
    ebounds_hdu,
    matrix,
    matrix_hdu,
    rmf_of,
    spectrum_hdu,
    write,
    write_set,
)

from hf_specclip.spectra import SpectrumFileError, read_arf, read_rmf, read_spectrum

# Reading is silent: what was made up for goes to the notes.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("name", ["MATRIX", "RSP_MATRIX", "SPECRESP MATRIX"])
def test_names_of_the_matrix(tmp_path, name):
    hdu = matrix_hdu(name=name)
    for key in ("HDUCLAS1", "HDUCLAS2", "HDUCLAS3"):
        del hdu.header[key]
    assert np.allclose(read_rmf(write(tmp_path / "a.rmf", hdu, ebounds_hdu())).dense(), matrix())


@pytest.mark.parametrize("kind", ["variable", "fixed", "scalar"])
def test_group_arrays(tmp_path, kind):
    """F_CHAN, N_CHAN, MATRIX of variable length, padded with zeros, or one group a row."""
    groups = [row[:1] for row in GROUPS] if kind == "scalar" else GROUPS
    rmf = rmf_of(tmp_path, groups, kind=kind)
    assert np.allclose(rmf.dense(), matrix(groups))
    assert np.allclose(rmf.row_sums, matrix(groups).sum(axis=1))


def test_several_matrices_add_up(tmp_path):
    """CAL/GEN/92-002 (2020): a line core and the rest, here on coarser energies of its own."""
    share = [[(start, [0.7 * v for v in values]) for start, values in row] for row in GROUPS]
    rest = [[(start, [0.3 * v for v in values]) for start, values in row] for row in GROUPS]
    core, tail = matrix_hdu(share), matrix_hdu(rest)
    core.header["EXTVER"], tail.header["EXTVER"] = 1, 2
    rmf = read_rmf(write(tmp_path / "a.rmf", core, tail, ebounds_hdu()))
    assert np.allclose(rmf.dense(), matrix(), atol=1e-6)
    assert np.allclose(rmf.row_sums, matrix().sum(axis=1), atol=1e-6)
    coarse = matrix_hdu(GROUPS[:3], edges=ENERGY_EDGES[::2])
    rmf = read_rmf(write(tmp_path / "b.rmf", core, coarse, ebounds_hdu()))
    assert np.allclose(rmf.energy_edges, ENERGY_EDGES)
    photons = np.arange(1.0, 7.0)
    expected = photons @ matrix(share) + (photons[::2] + photons[1::2]) @ matrix(GROUPS[:3])
    assert np.allclose(rmf.fold(photons), expected, rtol=1e-6)


def test_alternatives_are_chosen_by_the_pointer_of_the_header(tmp_path):
    """Responses for time intervals do not add up; XSPEC's {2}, CFITSIO's [MATRIX,2]."""
    write_set(tmp_path)
    parts = [matrix_hdu(GROUPS), matrix_hdu(GROUPS[::-1])]
    areas = [arf_hdu(AREA), arf_hdu(AREA * 2)]
    for pair in (parts, areas):
        for number, hdu in enumerate(pair, 1):
            hdu.header["EXTVER"], hdu.header["TSTART"] = number, 100.0 * number
    write(tmp_path / "src.rmf", ebounds_hdu(), *parts)
    write(tmp_path / "src.arf", *areas)
    for name, reader in (("src.rmf", read_rmf), ("src.arf", read_arf)):
        with pytest.raises(SpectrumFileError, match=rf"{name}: holds 2 .*TSTART.*\{{2\}}"):
            reader(tmp_path / name)
    for second in ("{2}", "[MATRIX,2]", "[3]"):
        area = second.replace("MATRIX", "SPECRESP").replace("3", "2")
        header = {"RESPFILE": f"src.rmf{second}", "ANCRFILE": f"src.arf{area}"}
        spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(header=header)))
        assert np.allclose(spectrum.rmf.dense(), matrix(GROUPS[::-1]))
        assert np.allclose(spectrum.arf.area, AREA * 2)
        given = read_spectrum(tmp_path / "src.pha", rmf=f"{tmp_path}/src.rmf{{1}}", arf="none")
        assert np.allclose(given.rmf.dense(), matrix())


@pytest.mark.parametrize(
    ("groups", "row"),
    [
        ([(3, [0.2, 0.3]), (4, [0.4])], [0, 0, 0.2, 0.7, 0, 0, 0, 0]),  # what overlaps adds up
        ([(7, [0.5, 0.3, 0.1, 0.1])], [0, 0, 0, 0, 0, 0, 0.5, 0.3]),  # beyond the last channel
        ([(2, [0.5, -1e-5, 0.4])], [0, 0.5, -1e-5, 0.4, 0, 0, 0, 0]),  # as XMM's canned ones have
    ],
)
def test_odd_groups_are_folded(tmp_path, groups, row):
    rmf = rmf_of(tmp_path, [*GROUPS[:5], groups])
    assert np.allclose(rmf.dense()[5], row, atol=1e-9)
    assert np.allclose(rmf.fold(np.eye(6)[5]), row, atol=1e-9)


def test_group_that_begins_outside_the_channels(tmp_path):
    rmf = rmf_of(tmp_path, [*GROUPS[:5], [(9, [0.5])]])
    with pytest.raises(SpectrumFileError, match=r"column F_CHAN: row 5 begins outside"):
        rmf.dense()


@pytest.mark.parametrize("hduclas3", ["FULL", "", "REDIST"])
def test_area_folded_in(tmp_path, hduclas3):
    """.rsp: fold needs no ARF, and the area is the sum of the rows, whatever the header says."""
    rsp = matrix_hdu(name="SPECRESP MATRIX", scale=AREA, hduclas3=hduclas3)
    write(tmp_path / "src.rsp", rsp, ebounds_hdu())
    write(tmp_path / "src.arf", arf_hdu())  # lies there, and is not meant
    hdu = spectrum_hdu(header={"RESPFILE": "src.rsp", "ANCRFILE": "none"})
    spectrum = read_spectrum(write(tmp_path / "src.pha", hdu))
    assert spectrum.arf is None
    assert np.allclose(spectrum.fold(np.ones(6)), AREA @ matrix())
    assert spectrum.rmf.includes_area
    area = AREA * matrix().sum(axis=1)
    assert np.allclose(spectrum.rmf.effective_area.area, area)
    assert np.allclose(
        spectrum.rebinned(3, (1.0, 7.0))["effective_area"],
        np.interp([2, 4, 6], (ENERGY_EDGES[1:] + ENERGY_EDGES[:-1]) / 2, area),
    )


def test_energies_that_descend(tmp_path):
    """Grating responses count channels in wavelength."""
    groups = [
        [(9 - start - len(values) + 1, values[::-1]) for start, values in row[::-1]]
        for row in GROUPS
    ]
    pairs = np.stack([CHANNEL_EDGES[:-1], CHANNEL_EDGES[1:]], axis=1)[::-1]
    write(tmp_path / "src.rmf", matrix_hdu(groups), ebounds_hdu(pairs))
    write(tmp_path / "src_bg.pha", spectrum_hdu(COUNTS[::-1] * 4, header={"BACKSCAL": 8.0}))
    write(tmp_path / "src.arf", arf_hdu())
    quality = {"QUALITY": np.array([0, 0, 0, 0, 0, 0, 0, 5], dtype=np.int16)}
    hdu = spectrum_hdu(COUNTS[::-1], columns=quality, header={"BACKFILE": "src_bg.pha"})
    spectrum = read_spectrum(write(tmp_path / "src.pha", hdu))
    assert_is_the_set(spectrum)
    assert spectrum.channels.tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert spectrum.quality.tolist() == [5, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("edges", [ENERGY_EDGES, np.array([0.3, 1.8, 1.8, 4.8, 6.3, 6.3, 9.3])])
@pytest.mark.parametrize("descending", [False, True])
def test_true_energies_that_descend_or_have_no_width(tmp_path, edges, descending):
    """ROSAT's PSPC has bins of zero width: no photon is in them, their rows fold to nothing."""
    hdu, arf = matrix_hdu(edges=edges), arf_hdu(edges=edges)
    if descending:
        for table in (hdu, arf):
            table.data[:] = table.data[::-1].copy()
    rmf = read_rmf(write(tmp_path / "a.rmf", hdu, ebounds_hdu()))
    area = read_arf(write(tmp_path / "a.arf", arf))
    wide = np.diff(edges) > 0
    assert np.allclose(rmf.energy_edges, np.unique(edges))
    photons = np.arange(1.0, wide.sum() + 1)
    assert np.allclose(area.area, AREA[wide])
    assert np.allclose(rmf.fold(photons, area), (photons * AREA[wide]) @ matrix()[wide])


def test_energies_that_begin_at_zero(tmp_path):
    """A power law diverges at zero: the edge is lifted; channels may begin there."""
    edges, channels = ENERGY_EDGES - 0.3, CHANNEL_EDGES - 0.4
    path = write(tmp_path / "a.rmf", matrix_hdu(edges=edges), ebounds_hdu(channels))
    rmf = read_rmf(path)
    assert 0 < rmf.energy_edges[0] < 1e-9
    assert rmf.channel_edges[0] == 0
    assert read_arf(write(tmp_path / "a.arf", arf_hdu(edges=edges))).energy_edges[0] > 0


def test_energies_in_other_units(tmp_path):
    hdu = ebounds_hdu(CHANNEL_EDGES * 1000)
    hdu.header["TUNIT2"] = hdu.header["TUNIT3"] = "eV"
    path = write(tmp_path / "a.rmf", matrix_hdu(), hdu)
    assert np.allclose(read_rmf(path).channel_edges, CHANNEL_EDGES)
    hdu.header["TUNIT2"] = "Angstrom"
    with pytest.raises(SpectrumFileError, match=r"column E_MIN.*Convert it to keV"):
        read_rmf(write(tmp_path / "b.rmf", matrix_hdu(), hdu))


def test_arf_and_rmf_on_different_energies(tmp_path):
    """Areas are averaged over the matrix's bins."""
    fine = np.linspace(0.3, 9.3, 61)
    path = write(tmp_path / "a.arf", arf_hdu(np.repeat(AREA, 10), fine))
    write_set(tmp_path)
    spectrum = read_spectrum(tmp_path / "src.pha", arf=path)
    assert np.allclose(spectrum.fold(np.ones(6)), AREA @ matrix(), rtol=1e-5)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("E_MIN", np.nan, "finite"),
        ("E_MIN", np.inf, "finite"),
        ("E_MIN", 7.0, "monotonic|gap"),
        ("E_MAX", 1.9, "gap"),
        ("CHANNEL", 77, "count up"),
    ],
)
def test_bad_channel_energies(tmp_path, column, value, message):
    hdu = ebounds_hdu()
    hdu.data[column][2] = value
    with pytest.raises(SpectrumFileError, match=rf"column .*{column}.*({message})"):
        read_rmf(write(tmp_path / "a.rmf", matrix_hdu(tlmin=None), hdu))


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_bad_matrix_elements(tmp_path, value):
    rmf = rmf_of(tmp_path, [*GROUPS[:5], [(2, [0.5, value])]])
    with pytest.raises(SpectrumFileError, match="MATRIX: row 5 holds"):
        rmf.fold(np.ones(6))
    area = AREA.copy()
    area[2] = value
    with pytest.raises(SpectrumFileError, match="column SPECRESP: area must be"):
        read_arf(write(tmp_path / "a.arf", arf_hdu(area)))


def test_a_file_of_the_wrong_kind(tmp_path):
    write_set(tmp_path)
    with pytest.raises(SpectrumFileError, match=r"src.arf: holds no SPECTRUM.*arf="):
        read_spectrum(tmp_path / "src.arf")
    with pytest.raises(SpectrumFileError, match=r"src.pha: is not an ARF"):
        read_arf(tmp_path / "src.pha")
    with pytest.raises(SpectrumFileError, match=r"src.arf: is not an RMF"):
        read_spectrum(tmp_path / "src.pha", rmf=tmp_path / "src.arf")


def test_target_position_is_not_the_sources(tmp_path):
    path = write_set(tmp_path, RA_TARG=1.0, DEC_TARG=2.0, OBJECT="M 33", OBS_ID="1,2,3")
    spectrum = read_spectrum(path)
    assert (spectrum.ra, spectrum.dec) == (None, None)
    assert spectrum.source_name == "M 33"
    assert spectrum.obsid is None  # several observations in one spectrum


def test_a_row_of_a_type_two_table_of_areas(tmp_path):
    """CAL/GEN/92-002, 4.1.3: an area in each row, chosen by the row that the header points to."""
    columns = {
        "ENERG_LO": np.tile(ENERGY_EDGES[:-1], (2, 1)),
        "ENERG_HI": np.tile(ENERGY_EDGES[1:], (2, 1)),
        "SPECRESP": np.array([AREA * 3, AREA]),
    }
    wide = [fits.Column(name, "6D", array=values) for name, values in columns.items()]
    write_set(tmp_path, ANCRFILE="src.arf{2}")
    path = write(tmp_path / "src.arf", fits.BinTableHDU.from_columns(wide, name="SPECRESP"))
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))
    assert np.allclose(read_arf(path, "{1}").area, AREA * 3)
    for pointer in (None, "{3}", "[SPECRESP]"):
        with pytest.raises(SpectrumFileError, match=r"holds 2 effective areas .*x.arf\{2\}"):
            read_arf(path, pointer)
    write(path, fits.BinTableHDU.from_columns(wide, name="SPECRESP", nrows=1))
    assert np.allclose(read_arf(path).area, AREA * 3)
