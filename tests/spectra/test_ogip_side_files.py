"""Files that belong to a spectrum: found by names and headers, noted where they are not."""

import re

import numpy as np
import pytest
from astropy import units as u
from ogip_writer import (
    AREA,
    CHANNEL_EDGES,
    COUNTS,
    ENERGY_EDGES,
    GROUPS,
    arf_hdu,
    assert_is_the_set,
    compress,
    ebounds_hdu,
    matrix,
    matrix_hdu,
    read_alone,
    read_source,
    spectrum_hdu,
    write,
    write_set,
)

from hf_specclip.spectra import EffectiveArea, SpectrumFileError, read_rmf, read_spectrum

BACKGROUND = spectrum_hdu(COUNTS * 4, background=True, header={"BACKSCAL": 8.0})

# Reading is silent: what was made up for goes to the notes.
pytestmark = pytest.mark.filterwarnings("error")


def test_relative_name_from_another_folder(tmp_path, monkeypatch):
    write_set(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert_is_the_set(read_spectrum(f"{tmp_path.name}/src.pha"))
    monkeypatch.chdir(tmp_path)
    assert_is_the_set(read_spectrum("src.pha"))


def test_gzipped_side_files_under_plain_names_and_plain_under_gzipped(tmp_path):
    names = {"ANCRFILE": "src.arf.gz", "RESPFILE": "src.rmf.gz", "BACKFILE": "src_bg.pha.gz"}
    (tmp_path / "plain").mkdir()
    assert_is_the_set(read_spectrum(compress(write_set(tmp_path / "plain", **names))))
    path = write_set(tmp_path)
    for name in ("src.arf", "src.rmf", "src_bg.pha"):
        compress(tmp_path / name)
    assert_is_the_set(read_spectrum(path))


def test_names_with_folders_are_looked_for_beside_the_file_only(tmp_path):
    secret, inside = tmp_path / "elsewhere", tmp_path / "inside"
    secret.mkdir()
    inside.mkdir()
    write_set(secret)
    names = {"ANCRFILE": f"{secret}/src.arf", "BACKFILE": "../elsewhere/src_bg.pha"}
    spectrum = read_alone(inside, **names, RESPFILE="..")
    assert (spectrum.arf, spectrum.rmf, spectrum.background_counts) == (None, None, None)
    assert "src.arf" in spectrum.notes[1]
    # The same names do when the files are where they may be.
    write_set(inside)
    assert_is_the_set(read_alone(inside, **names, RESPFILE=r"C:\data\src.rmf"))


def test_absolute_path_when_the_user_gives_it(tmp_path):
    (tmp_path / "a").mkdir()
    write_set(tmp_path / "a")
    alone = write(tmp_path / "alone.pha", spectrum_hdu())
    names = {"arf": "src.arf", "rmf": "src.rmf", "background": "src_bg.pha"}
    sides = {option: tmp_path / "a" / name for option, name in names.items()}
    assert_is_the_set(read_spectrum(alone, **sides))
    with pytest.raises(SpectrumFileError, match="no such file"):
        read_spectrum(alone, rmf=tmp_path / "absent.rmf")


def test_objects_in_place_of_files(tmp_path):
    path = write_set(tmp_path)
    area = EffectiveArea(energy_edges=ENERGY_EDGES * u.keV, area=AREA * 2 * u.cm**2)
    spectrum = read_spectrum(path, arf=area, rmf=read_rmf(tmp_path / "src.rmf"), background="none")
    assert spectrum.arf is area
    assert spectrum.background_counts is None
    again = read_spectrum(path, background=read_spectrum(tmp_path / "src_bg.pha", rmf=spectrum.rmf))
    assert again.background_scale == pytest.approx(0.25)


NAMES, ABSENT = ("RESPFILE", "ANCRFILE", "BACKFILE"), ("x.rmf", "x.arf", "x_bg.pha")


@pytest.mark.parametrize(
    ("header", "notes"),
    [
        *((dict.fromkeys(NAMES, none), []) for none in ("none", "NONE", "", " None ")),
        (dict(zip(NAMES, ABSENT, strict=True)), [f"'{name}'" for name in ABSENT]),
        ({"BACKFILE": "a.pha"}, ["a.pha"]),  # itself, which holds no background
        ({"HDUCLAS2": "BKG"}, ["HDUCLAS2 = BKG"]),  # a background that is taken for a source
    ],
)
def test_absent_side_files_are_noted_but_where_the_header_names_none(tmp_path, header, notes):
    spectrum = read_alone(tmp_path, **header)
    assert (spectrum.arf, spectrum.rmf, spectrum.background_counts) == (None, None, None)
    assert spectrum.counts.sum() == COUNTS.sum()
    for note, words in zip(spectrum.notes, notes, strict=True):
        assert words in note


def test_same_stem_where_the_header_says_nothing(tmp_path):
    spectrum = read_source(tmp_path, header=dict.fromkeys(["ANCRFILE", "RESPFILE", "BACKFILE"]))
    assert np.allclose(spectrum.arf.area, AREA)
    assert np.allclose(spectrum.energy_edges, CHANNEL_EDGES)


def test_catalogue_file_with_its_background_inside(tmp_path):
    """CSC pha3: BACKFILE is the file itself, the background is a second SPECTRUM with BKG."""
    name = "acisf01575_001N002_r0085_pha3.fits"
    header = {
        "BACKFILE": name, "ANCRFILE": name.replace("pha3", "arf3"),
        "RESPFILE": name.replace("pha3", "rmf3"), "OBJECT": "CSC", "OBS_ID": "1575", "OBI_NUM": 1,
        "REGIONID": "0085", "RA": 10.63, "DEC": 41.33,
    }  # fmt: skip
    path = write(tmp_path / name, spectrum_hdu(header=header), BACKGROUND)
    # Versions differ between the files of one detection; the newest is taken.
    write(tmp_path / "acisf01575_001N001_r0085_arf3.fits", arf_hdu(AREA * 3))
    write(tmp_path / "acisf01575_001N003_r0085_arf3.fits", arf_hdu())
    write(tmp_path / "acisf01575_001N001_r0086_rmf3.fits", arf_hdu())  # of another region
    compress(write(tmp_path / "acisf01575_001N001_r0085_rmf3.fits", matrix_hdu(), ebounds_hdu()))
    for file in (path, compress(path)):
        if not file.exists():
            continue
        spectrum = read_spectrum(file)
        # Neither response is that of the header, which is said.
        assert [re.findall(r"N\d{3}", note) for note in spectrum.notes] == [
            ["N002", "N001"], ["N002", "N003"]
        ]  # fmt: skip
        assert_is_the_set(spectrum.replace(notes=()))
        assert (spectrum.obsid, spectrum.obi, spectrum.region_id) == (1575, 1, 85)
        assert (spectrum.ra, spectrum.dec) == (10.63, 41.33)
        assert spectrum.source_name is None  # OBJECT is 'CSC' in all of them


def test_own_version_goes_before_newer_ones(tmp_path):
    for version, factor in ((1, 1), (2, 2)):
        write(tmp_path / f"acisf01575_001N00{version}_e2_r0085_arf3.fits", arf_hdu(AREA * factor))
    path = write(tmp_path / "acisf01575_001N001_e2_r0085_pha3.fits", spectrum_hdu())
    assert np.allclose(read_spectrum(path).arf.area, AREA)


def test_hdu_order_is_arbitrary(tmp_path):
    write(tmp_path / "src.rmf", ebounds_hdu(), arf_hdu(), matrix_hdu())
    write(tmp_path / "src.arf", ebounds_hdu(), arf_hdu())
    path = write(tmp_path / "src.pha", BACKGROUND, ebounds_hdu(), spectrum_hdu())
    assert_is_the_set(read_spectrum(path))


def test_a_named_response_that_is_replaced_is_noted(tmp_path):
    spectrum = read_spectrum(write_set(tmp_path, ANCRFILE="best.arf"))
    [note] = spectrum.notes
    assert note == "ARF 'best.arf' (ANCRFILE) is not beside the file: 'src.arf' is taken for it"
    assert_is_the_set(spectrum.replace(notes=()))


def test_the_matrix_is_that_of_the_file_that_was_read(tmp_path, monkeypatch):
    """Its elements are unpacked later: from the same file, wherever the process has gone."""
    path = write_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    spectrum = read_spectrum(path.name)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir("other")
    assert np.allclose(spectrum.rmf.dense(), matrix())
    spectrum = read_spectrum(path)
    write(tmp_path / "src.rmf", matrix_hdu(GROUPS[::-1]), ebounds_hdu())
    assert np.allclose(read_spectrum(path).rmf.dense(), matrix(GROUPS[::-1]))
    with pytest.raises(SpectrumFileError, match=r"src.rmf: has changed since"):
        spectrum.rmf.dense()


def test_background_file_that_marks_its_background(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "src_bg.pha", spectrum_hdu(COUNTS * 9), BACKGROUND)
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))


def test_extension_and_row_in_a_name(tmp_path):
    write_set(tmp_path, ANCRFILE="src.arf[SPECRESP]", RESPFILE="src.rmf[1]")
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))
    two = spectrum_hdu(np.stack([COUNTS, COUNTS * 4]), header={"BACKSCAL": 8.0})
    write(tmp_path / "many.pha", two)
    write_set(tmp_path, BACKFILE="many.pha{2}")
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))
