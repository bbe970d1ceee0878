"""Traps of OGIP files: one trap, one test, one file written here."""

import re
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from ogip_writer import (
    AREA,
    CHANNEL_EDGES,
    COUNTS,
    ENERGY_EDGES,
    GROUPS,
    arf_hdu,
    compress,
    ebounds_hdu,
    matrix,
    matrix_hdu,
    spectrum_hdu,
    write,
    write_set,
)

from hf_specclip.spectra import (
    EffectiveArea,
    SpectrumFileError,
    XRaySpectrum,
    read_arf,
    read_rmf,
    read_spectra,
    read_spectrum,
)
from hf_specclip.spectra.facts import spectrum_facts
from hf_specclip.spectra.grouped_rates import group_rates

CHANDRA = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "CHANTYPE": "PI", "DETCHANS": 1024}


@pytest.fixture(autouse=True)
def _no_warnings():
    """Reading is silent: what was made up for goes to the notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def assert_is_the_set(spectrum: XRaySpectrum) -> None:
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert np.allclose(spectrum.energy_edges, CHANNEL_EDGES)
    assert spectrum.background_counts.tolist() == (COUNTS * 4).tolist()
    assert spectrum.background_scale == pytest.approx(0.25)
    assert np.allclose(spectrum.arf.area, AREA)
    assert np.allclose(spectrum.rmf.dense(), matrix())
    assert spectrum.notes == ()


# -- finding the files that belong together


def test_side_files_named_in_the_header(tmp_path):
    assert_is_the_set(read_spectrum(write_set(tmp_path)))


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
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    write_set(secret)
    inside = tmp_path / "inside"
    inside.mkdir()
    names = {
        "ANCRFILE": f"{secret}/src.arf",
        "BACKFILE": "../elsewhere/src_bg.pha",
        "RESPFILE": "..",
        **CHANDRA,
    }
    spectrum = read_spectrum(write(inside / "src.pha", spectrum_hdu(header=names)))
    assert spectrum.arf is None
    assert spectrum.rmf is None
    assert spectrum.background_counts is None
    assert "src.arf" in spectrum.notes[1]
    # The same names do when the files are where they may be.
    write_set(inside)
    names["RESPFILE"] = r"C:\data\src.rmf"
    assert_is_the_set(read_spectrum(write(inside / "src.pha", spectrum_hdu(header=names))))


def test_absolute_path_when_the_user_gives_it(tmp_path):
    (tmp_path / "a").mkdir()
    write_set(tmp_path / "a")
    alone = write(tmp_path / "alone.pha", spectrum_hdu())
    sides = {
        name: tmp_path / "a" / file
        for name, file in (("arf", "src.arf"), ("rmf", "src.rmf"), ("background", "src_bg.pha"))
    }
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


@pytest.mark.parametrize("none", ["none", "NONE", "", " None "])
def test_none_as_a_file_name(tmp_path, none):
    header = {"ANCRFILE": none, "RESPFILE": none, "BACKFILE": none, **CHANDRA}
    spectrum = read_spectrum(write(tmp_path / "a.pha", spectrum_hdu(header=header)))
    assert (spectrum.arf, spectrum.rmf, spectrum.background_counts) == (None, None, None)
    assert spectrum.notes == ()


def test_missing_side_files_are_noted(tmp_path):
    header = {"ANCRFILE": "x.arf", "RESPFILE": "x.rmf", "BACKFILE": "x_bg.pha", **CHANDRA}
    spectrum = read_spectrum(write(tmp_path / "a.pha", spectrum_hdu(header=header)))
    assert (spectrum.arf, spectrum.rmf, spectrum.background_counts) == (None, None, None)
    assert [re.search(r"'(.*)'", note)[1] for note in spectrum.notes] == [
        "x.rmf", "x.arf", "x_bg.pha"
    ]  # fmt: skip


def test_same_stem_where_the_header_says_nothing(tmp_path):
    write_set(tmp_path)
    header = {"ANCRFILE": None, "RESPFILE": None, "BACKFILE": None}
    spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(header=header)))
    assert np.allclose(spectrum.arf.area, AREA)
    assert np.allclose(spectrum.energy_edges, CHANNEL_EDGES)


def test_catalogue_file_with_its_background_inside(tmp_path):
    """CSC pha3: BACKFILE is the file itself, the background is a second SPECTRUM with BKG."""
    name = "acisf01575_001N002_r0085_pha3.fits"
    header = {
        "BACKFILE": name,
        "ANCRFILE": name.replace("pha3", "arf3"),
        "RESPFILE": name.replace("pha3", "rmf3"),
        "OBJECT": "CSC",
        "OBS_ID": "1575",
        "OBI_NUM": 1,
        "REGIONID": "0085",
        "RA": 10.63,
        "DEC": 41.33,
    }
    path = write(
        tmp_path / name,
        spectrum_hdu(header=header),
        spectrum_hdu(COUNTS * 4, background=True, header={"BACKSCAL": 8.0}),
    )
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
    path = write(tmp_path / "acisf01575_001N001_e2_r0085_pha3.fits", spectrum_hdu(header=CHANDRA))
    assert np.allclose(read_spectrum(path).arf.area, AREA)


def test_backfile_is_the_file_itself_without_a_background(tmp_path):
    header = {"BACKFILE": "a.pha", **CHANDRA}
    spectrum = read_spectrum(write(tmp_path / "a.pha", spectrum_hdu(header=header)))
    assert spectrum.background_counts is None
    assert "a.pha" in spectrum.notes[0]


def test_hdu_order_is_arbitrary(tmp_path):
    write(tmp_path / "src.rmf", ebounds_hdu(), arf_hdu(), matrix_hdu())
    write(tmp_path / "src.arf", ebounds_hdu(), arf_hdu())
    back = spectrum_hdu(COUNTS * 4, background=True, header={"BACKSCAL": 8.0})
    path = write(tmp_path / "src.pha", back, ebounds_hdu(), spectrum_hdu())
    assert_is_the_set(read_spectrum(path))


def test_a_background_taken_for_a_source_is_noted(tmp_path):
    path = write(tmp_path / "b.pha", spectrum_hdu(background=True, header=CHANDRA))
    spectrum = read_spectrum(path)
    assert spectrum.counts.sum() == COUNTS.sum()
    assert spectrum.background_counts is None
    assert "HDUCLAS2 = BKG" in spectrum.notes[0]


def test_a_named_response_that_is_replaced_is_noted(tmp_path):
    write_set(tmp_path)
    header = {"ANCRFILE": "best.arf", "RESPFILE": "src.rmf", "BACKFILE": "src_bg.pha"}
    spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(header=header)))
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
    with pytest.raises(SpectrumFileError, match=r"src.rmf: has changed since"):
        spectrum.rmf.dense()


def test_background_file_that_marks_its_background(tmp_path):
    write_set(tmp_path)
    write(
        tmp_path / "src_bg.pha",
        spectrum_hdu(COUNTS * 9),
        spectrum_hdu(COUNTS * 4, background=True, header={"BACKSCAL": 8.0}),
    )
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))


def test_extension_and_row_in_a_name(tmp_path):
    write_set(tmp_path, ANCRFILE="src.arf[SPECRESP]", RESPFILE="src.rmf[1]")
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))
    two = spectrum_hdu(np.stack([COUNTS, COUNTS * 4]), header={"BACKSCAL": 8.0})
    write(tmp_path / "many.pha", two)
    write_set(tmp_path, BACKFILE="many.pha{2}")
    assert_is_the_set(read_spectrum(tmp_path / "src.pha"))


# -- spectra


def test_type_two(tmp_path):
    """Many spectra in one table: vectors in cells; keywords turned into columns."""
    counts = np.stack([COUNTS, COUNTS[::-1], COUNTS * 2])
    columns = {
        "SPEC_NUM": np.array([1, 2, 3], dtype=np.int16),
        "CHANNEL": np.tile(np.arange(1, 9, dtype=np.int32), (3, 1)),
        "EXPOSURE": np.array([1e3, 2e3, 3e3]),
        "BACKSCAL": np.array([1.0, 2.0, 4.0]),
        "QUALITY": np.tile(np.array([0, 0, 2, 0, 0, 0, 0, 0], dtype=np.int16), (3, 1)),
        "RESPFILE": np.array(["src.rmf", "src.rmf", "absent.rmf"]),
        "BACKFILE": np.array(["src_bg.pha", "none", "none"]),
    }
    write_set(tmp_path)
    path = write(tmp_path / "two.pha", spectrum_hdu(counts, columns=columns))
    with pytest.raises(SpectrumFileError, match=r"holds 3 spectra.*row=0…2"):
        read_spectrum(path)
    with pytest.raises(SpectrumFileError, match="no row 3"):
        read_spectrum(path, row=3)
    with pytest.raises(SpectrumFileError, match=r"absent.rmf.*give rmf="):
        _ = read_spectra(path)[2].channel_edges
    spectra = read_spectra(path, rmf=tmp_path / "src.rmf")
    assert [s.exposure for s in spectra] == [1e3, 2e3, 3e3]
    assert [s.backscal for s in spectra] == [1, 2, 4]
    assert [s.counts.tolist() for s in spectra] == counts.tolist()
    assert spectra[0].background_scale == pytest.approx(1 / 8)
    assert spectra[1].background_counts is None
    assert spectra[2].quality.tolist() == [0, 0, 2, 0, 0, 0, 0, 0]
    one = read_spectrum(path, row=1)
    assert one.counts.tolist() == COUNTS[::-1].tolist()
    assert np.allclose(one.rmf.dense(), matrix())


def test_type_two_with_one_row_needs_no_row(tmp_path):
    write_set(tmp_path)
    path = write(tmp_path / "src.pha", spectrum_hdu(COUNTS[None]))
    assert read_spectrum(path).counts.tolist() == COUNTS.tolist()
    assert len(read_spectra(path)) == 1


def test_grating_spectrum_with_its_background_strips(tmp_path):
    write_set(tmp_path)
    strips = {
        "BACKGROUND_UP": (COUNTS * 2)[None].astype(np.int32),
        "BACKGROUND_DOWN": (COUNTS * 3)[None].astype(np.int32),
        "BACKSCUP": np.array([4.0]),
        "BACKSCDN": np.array([6.0]),
    }
    path = write(tmp_path / "src.pha", spectrum_hdu(COUNTS[None], columns=strips))
    spectrum = read_spectrum(path)
    assert spectrum.background_counts.tolist() == (COUNTS * 5).tolist()
    assert spectrum.background_scale == pytest.approx(2 / 10)


@pytest.mark.parametrize("unit", ["count/s", "counts s**-1", "ct s-1", None])
def test_strips_in_rates(tmp_path, unit):
    """TUNIT says whether strips hold counts or counts a second."""
    write_set(tmp_path)
    strips = {
        "BACKGROUND_UP": (COUNTS * 2)[None] / (1.0 if unit is None else 1000.0),
        "BACKSCUP": np.array([10.0]),
    }
    hdu = spectrum_hdu(COUNTS[None], columns=strips)
    if unit is not None:
        hdu.header["TUNIT3"] = unit
    spectrum = read_spectrum(write(tmp_path / "src.pha", hdu))
    assert spectrum.background_counts.tolist() == (COUNTS * 2).tolist()
    assert spectrum.background_scale == pytest.approx(2 / 10)


@pytest.mark.parametrize("where", ["COUNTS", "RATE", "strips", "given"])
def test_a_model_background_is_left_out_with_a_note(tmp_path, where):
    """Fractions of counts (HXMT's models) are no draw: the source is read without them."""
    write_set(tmp_path)
    model, columns = COUNTS * 0.37, {}
    if where == "RATE":
        columns = {"RATE": model / 1000.0, "STAT_ERR": np.sqrt(model) / 1000.0}
    path = write(
        tmp_path / "src_bg.pha",
        spectrum_hdu(model, columns=columns, drop=("COUNTS",) if where == "RATE" else ()),
    )
    if where == "strips":
        strips = {"BACKGROUND_UP": model[None], "BACKSCUP": np.array([4.0])}
        path = write(tmp_path / "src.pha", spectrum_hdu(COUNTS[None], columns=strips))
    background = path if where == "given" else None
    spectrum = read_spectrum(tmp_path / "src.pha", background=background)
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert spectrum.background_counts is None
    [note] = spectrum.notes
    assert note.startswith(f"background of {path.name} left out")


def test_rate_in_place_of_counts(tmp_path):
    write_set(tmp_path)
    rate = {"RATE": (COUNTS / 1000.0).astype(np.float32), "STAT_ERR": np.sqrt(COUNTS) / 1000.0}
    path = write(tmp_path / "src.pha", spectrum_hdu(columns=rate, drop=("COUNTS",)))
    spectrum = read_spectrum(path)
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert np.allclose(spectrum.stat_error, np.sqrt(COUNTS))


def test_whole_counts_stored_as_floats(tmp_path):
    write_set(tmp_path)
    path = write(tmp_path / "src.pha", spectrum_hdu(COUNTS.astype(np.float32)))
    assert read_spectrum(path).counts.tolist() == COUNTS.tolist()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("COUNTS", COUNTS - 1, "negative"),
        ("COUNTS", np.where(COUNTS == 7, np.nan, COUNTS), "finite"),
        ("COUNTS", COUNTS + 2**31 - 20, "too many"),
        ("COUNTS", COUNTS + 0.5, "COUNTS is 0.5.*before background subtraction"),
        ("RATE", (COUNTS + 0.3) / 1000.0, "RATE × EXPOSURE is 0.3 in row 0"),
    ],
)
def test_bad_counts(tmp_path, name, values, message):
    write_set(tmp_path)
    drop = ("COUNTS",) if name == "RATE" else ()
    hdu = spectrum_hdu(columns={name: np.asarray(values)}, drop=drop)
    with pytest.raises(SpectrumFileError, match=rf"column {name}: .*{message}"):
        read_spectrum(write(tmp_path / "src.pha", hdu))


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_unsigned_counts(tmp_path, bits):
    """FITS has no unsigned integers: they come with TZERO = 2**(bits - 1)."""
    write_set(tmp_path)
    counts = [int(count) for count in COUNTS]
    counts[3] = 40_000
    zero = 2 ** (bits - 1)
    stored = np.array([count - zero for count in counts], dtype=f"i{bits // 8}")
    hdu = spectrum_hdu(columns={"COUNTS": stored})
    hdu.header["TZERO2"] = zero
    assert read_spectrum(write(tmp_path / "src.pha", hdu)).counts.tolist() == counts


def test_the_older_name_of_binary_tables(tmp_path):
    path = write_set(tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"'BINTABLE'", b"'A3DTABLE'"))
    assert_is_the_set(read_spectrum(path))


def test_null_counts(tmp_path):
    write_set(tmp_path)
    hdu = spectrum_hdu()
    hdu.header["TNULL2"] = 10
    with pytest.raises(SpectrumFileError, match="finite"):
        read_spectrum(write(tmp_path / "src.pha", hdu))


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("EXPOSURE", value) for value in (None, 0.0, -5.0, "soon")), ("BACKSCAL", 0.0),
     ("AREASCAL", 0.0)],
)  # fmt: skip
def test_bad_exposure_and_scalings(tmp_path, name, value):
    with pytest.raises(SpectrumFileError, match=name):
        read_spectrum(write_set(tmp_path, **{name: value}))


def test_poisserr_quality_and_grouping_are_kept(tmp_path):
    write_set(tmp_path)
    flags = {
        "QUALITY": np.array([2, 0, 0, 0, 0, 0, 0, 5], dtype=np.int16),
        "GROUPING": np.array([1, 1, -1, -1, 1, -1, -1, -1], dtype=np.int16),
        "STAT_ERR": 1 + np.sqrt(COUNTS + 0.75),
    }
    hdu = spectrum_hdu(columns=flags, header={"POISSERR": False})
    spectrum = read_spectrum(write(tmp_path / "src.pha", hdu))
    assert spectrum.poisson_errors is False
    assert spectrum.quality.tolist() == flags["QUALITY"].tolist()
    assert spectrum.grouping.tolist() == flags["GROUPING"].tolist()
    assert np.allclose(spectrum.stat_error, flags["STAT_ERR"])
    assert spectrum.counts.tolist() == COUNTS.tolist()  # never applied


def test_scalings_per_channel(tmp_path):
    write_set(tmp_path)
    source, region = np.linspace(1, 2, 8), np.array([2.0, 2, 2, 2, 4, 4, 4, 0])
    write(tmp_path / "src_bg.pha", spectrum_hdu(COUNTS * 4, columns={"BACKSCAL": region}))
    spectrum = read_spectrum(
        write(
            tmp_path / "src.pha",
            spectrum_hdu(columns={"AREASCAL": source}, header={"BACKFILE": "src_bg.pha"}),
        )
    )
    expected = np.append(2 * source[:7] / region[:7], 0)
    assert np.allclose(spectrum.background_scale, expected)
    assert spectrum.rebinned(5, (0.4, 8.4))["background_scale"] == pytest.approx(
        np.average(expected, weights=COUNTS * 4)
    )
    photons = np.ones(6)
    assert np.allclose(spectrum.fold(photons), source * (AREA @ matrix()))


def test_absent_scalings_are_one_and_noted(tmp_path):
    spectrum = read_spectrum(write_set(tmp_path, BACKSCAL=None, AREASCAL=None))
    assert (spectrum.backscal, spectrum.areascal) == (1.0, 1.0)
    assert [note.split()[0] for note in spectrum.notes] == ["BACKSCAL", "AREASCAL"]
    write(tmp_path / "src_bg.pha", spectrum_hdu(COUNTS * 4, header={"BACKSCAL": None}))
    assert "BACKSCAL of the background" in read_spectrum(tmp_path / "src.pha").notes[-1]


@pytest.mark.parametrize("side", ["src.pha", "src_bg.pha"])
@pytest.mark.parametrize("name", ["BACKSCAL", "AREASCAL", "EXPOSURE"])
@pytest.mark.parametrize(
    "card", ["{:<8}= ", "{:<8}  2.0", "{:<8}=2.0", "{:<8}=                 / none"]
)
def test_a_scaling_without_a_readable_value_is_no_default(tmp_path, side, name, card):
    """One bad byte in a card of 1e-6 would scale a background by a million."""
    path = write_set(tmp_path)
    data = (tmp_path / side).read_bytes()
    at = data.index(f"{name:<8}=".encode())
    damaged = card.format(name).ljust(80).encode()
    (tmp_path / side).write_bytes(data[:at] + damaged + data[at + 80 :])
    with pytest.raises(SpectrumFileError, match=rf"{side}.*{name}"):
        read_spectrum(path)


# -- flags, errors and sums


@pytest.mark.parametrize("bad", [1, 5])
def test_bad_channels_enter_nothing(tmp_path, bad):
    """OGIP 92-007: quality 1 is bad by the software, 5 by the user; 2 is dubious and stays."""
    write_set(tmp_path)
    flags = np.array([0, bad, 2, 0, 0, 0, 0, 0], dtype=np.int16)
    behind = np.array([0, 0, 0, bad, 0, 0, 0, 0], dtype=np.int16)
    names = {"BACKFILE": "src_bg.pha"}
    source = spectrum_hdu(columns={"QUALITY": flags}, header=names)
    region = spectrum_hdu(COUNTS * 4, columns={"QUALITY": behind}, header={"BACKSCAL": 8.0})
    write(tmp_path / "src_bg.pha", region)
    spectrum = read_spectrum(write(tmp_path / "src.pha", source))
    assert np.flatnonzero(~spectrum.good).tolist() == [1, 3]
    facts = spectrum_facts(spectrum)
    left = COUNTS.sum() - COUNTS[1] - COUNTS[3]
    assert (facts["bad_channels"], facts["total_counts"]) == (2, left)
    assert facts["background_total_counts"] == 4 * left
    row = spectrum.rebinned(8, (0.4, 8.4))  # the bins are the channels
    assert row["counts"].tolist() == np.where(spectrum.good, COUNTS, 0).tolist()
    assert row["background_counts"].sum() == 4 * left
    assert (row["effective_area"][[1, 3]] < 1e-3).all()
    # Nothing is observed in a bad channel, so its width is in no rate: 6 of 8 keV.
    rates = group_rates(
        spectrum, group_counts=12, energy_range=(0.3, 8.5), subtract_background=False
    )
    assert rates.rate == pytest.approx([left / 1000 / 6])


@pytest.mark.parametrize(("keyword", "good"), [(0, 8), (2, 8), (5, 0), (1, 0)])
def test_quality_of_all_channels_in_one_keyword(tmp_path, keyword, good):
    spectrum = read_spectrum(write_set(tmp_path, QUALITY=keyword))
    assert spectrum.good.sum() == good


def test_net_counts_are_not_subtracted_again(tmp_path):
    errors = {"STAT_ERR": np.sqrt(COUNTS * 2.0), "SYS_ERR": np.full(8, 0.05)}
    hdu = spectrum_hdu(columns=errors, header={"HDUCLAS2": "NET", "BACKFILE": "src_bg.pha"})
    write_set(tmp_path)
    spectrum = read_spectrum(write(tmp_path / "src.pha", hdu))
    assert spectrum.background_counts is None
    assert spectrum.background_scale == 0
    assert not spectrum.are_poisson
    assert "HDUCLAS2 = NET" in spectrum.notes[0]
    assert np.allclose(spectrum.systematic_error, 0.05)


@pytest.mark.parametrize(
    ("errors", "are_poisson"),
    [(np.sqrt(COUNTS), True), (1 + np.sqrt(COUNTS + 0.75), True), (2 * np.sqrt(COUNTS), False)],
)
def test_errors_of_counts_that_are_denied_to_be_poisson(tmp_path, errors, are_poisson):
    """CIAO writes POISSERR = F beside plain counts with the errors of Gehrels (1986)."""
    write_set(tmp_path)
    hdu = spectrum_hdu(columns={"STAT_ERR": errors}, header={"POISSERR": False})
    assert read_spectrum(write(tmp_path / "src.pha", hdu)).are_poisson is are_poisson


def _with_sums(path):
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)


@pytest.mark.parametrize("side", ["src.pha", "src.rmf", "src.arf", "src_bg.pha"])
def test_checksums_that_do_not_hold_are_said(tmp_path, side):
    path = write_set(tmp_path)
    for name in ("src.pha", "src.rmf", "src.arf", "src_bg.pha"):
        _with_sums(tmp_path / name)
    assert_is_the_set(read_spectrum(path, strict=True))
    data = bytearray((tmp_path / side).read_bytes())
    data[data.rindex(b"HDUCLAS1") + 40] = ord("x")  # in a comment: the header alone
    (tmp_path / side).write_bytes(bytes(data))
    [note] = read_spectrum(path).notes
    assert "CHECKSUM" in note
    assert "DATASUM" not in note
    data[-1] ^= 1
    (tmp_path / side).write_bytes(bytes(data))
    [note] = read_spectrum(path).notes
    assert "DATASUM and CHECKSUM" in note
    assert side == "src.pha" or side in note
    with pytest.raises(SpectrumFileError, match=r"DATASUM.*get the file again|DATASUM.*Get the"):
        read_spectrum(path, strict=True)


def test_total_counts_that_do_not_add_up_are_said(tmp_path):
    [note] = read_spectrum(write_set(tmp_path, TOTCTS=29)).notes
    assert note == f"TOTCTS is 29, the counts add up to {COUNTS.sum()}"
    assert read_spectrum(write_set(tmp_path, TOTCTS=int(COUNTS.sum()))).notes == ()


# -- channels


@pytest.mark.parametrize("first", [0, 1, 5])
def test_first_channel(tmp_path, first):
    """0 for Swift and XMM, 1 for Chandra."""
    write(
        tmp_path / "src.rmf",
        matrix_hdu(first=first, tlmin=first),
        ebounds_hdu(first=first),
    )
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
    write_set(tmp_path)
    path = write(tmp_path / "src.pha", spectrum_hdu(COUNTS[2:5], first=3))
    spectrum = read_spectrum(path)
    assert spectrum.counts.tolist() == [0, 0, 10, 7, 2, 0, 0, 0]
    sparse = {"CHANNEL": np.array([2, 5, 8], dtype=np.int32)}
    path = write(tmp_path / "src.pha", spectrum_hdu(np.array([4, 5, 6]), columns=sparse))
    assert read_spectrum(path).counts.tolist() == [0, 4, 0, 0, 5, 0, 0, 6]


def test_channels_off_by_one_between_spectrum_and_response(tmp_path):
    write_set(tmp_path)
    spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(first=0)))
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert "0…7 taken as 1…8" in spectrum.notes[0]


def test_channels_of_another_detector(tmp_path):
    write_set(tmp_path)
    path = write(tmp_path / "src.pha", spectrum_hdu(np.ones(20, dtype=int)))
    with pytest.raises(SpectrumFileError, match=r"20 channels 1…20 do not fit .* 8 .*rmf="):
        read_spectrum(path)


@pytest.mark.parametrize(
    "options", [{"columns": {"CHANNEL": np.zeros(8, dtype=np.int32)}}, {"drop": ("CHANNEL",)}]
)
def test_pha_channels_nobody_filled(tmp_path, options):
    write_set(tmp_path)
    path = write(tmp_path / "src.pha", spectrum_hdu(**options))
    assert read_spectrum(path).counts.tolist() == COUNTS.tolist()


def test_acis_without_rmf_gets_nominal_energies(tmp_path):
    path = write(tmp_path / "a.pha", spectrum_hdu(np.ones(1024, dtype=int), header=CHANDRA))
    spectrum = read_spectrum(path)
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
    names = {"BACKFILE": "b.pha", "RESPFILE": "x.rmf", **CHANDRA, **header}
    write(tmp_path / "b.pha", spectrum_hdu(COUNTS * 4, header={"BACKSCAL": 8.0}))
    spectrum = read_spectrum(write(tmp_path / "a.pha", spectrum_hdu(header=names)))
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert (spectrum.exposure, spectrum.background_scale) == (1000.0, 0.25)
    assert spectrum.energy_edges is None
    for needs_energies in (spectrum.rebinned, lambda: spectrum.channel_edges):
        reason = "HRC.* resolves no energies" if "HRC" in str(header) else "x.rmf.*give rmf="
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
    header = {**CHANDRA, "GRATING": "HETG", "DETCHANS": 8192}
    if two:
        columns = {name: values[None] for name, values in columns.items()} | {
            "TG_M": np.array([-1], np.int16), "TG_PART": np.array([2], np.int16)
        }  # fmt: skip
        counts = counts[None]
    else:
        header |= {"TG_M": -1, "TG_PART": 2}
    spectrum = read_spectrum(
        write(tmp_path / "a.pha", spectrum_hdu(counts, columns=columns, header=header))
    )
    photons = np.repeat(
        (spectrum.energy_edges[:-1] + spectrum.energy_edges[1:]) / 2, spectrum.counts
    )
    expected = 12.39842 / np.repeat([21.0012, 11.0012, 1.0263], [3, 11, 7])
    assert np.allclose(photons, expected, rtol=2e-4)
    assert spectrum.order == "MEG -1"
    assert spectrum.camera.dispersed
    assert not spectrum.camera.imaging_ccd
    # All but the photons beyond 8 keV lie in the band of the model.
    assert spectrum.rebinned()["counts"].sum() == 14


# -- responses


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
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups, kind=kind), ebounds_hdu()))
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


def test_groups_that_overlap_add_up(tmp_path):
    groups = [*GROUPS[:5], [(3, [0.2, 0.3]), (4, [0.4])]]
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups), ebounds_hdu()))
    assert rmf.dense()[5, 3] == pytest.approx(0.7)
    assert np.allclose(rmf.fold(np.ones(6)), matrix(groups).sum(axis=0))


def test_overrun_of_the_last_channel(tmp_path):
    groups = [*GROUPS[:5], [(7, [0.5, 0.3, 0.1, 0.1])]]
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups), ebounds_hdu()))
    assert np.allclose(rmf.dense()[5], [0, 0, 0, 0, 0, 0, 0.5, 0.3])


def test_group_that_begins_outside_the_channels(tmp_path):
    groups = [*GROUPS[:5], [(9, [0.5])]]
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups), ebounds_hdu()))
    with pytest.raises(SpectrumFileError, match=r"column F_CHAN: row 5 begins outside"):
        rmf.dense()


@pytest.mark.parametrize("hduclas3", ["FULL", "", "REDIST"])
def test_area_folded_in(tmp_path, hduclas3):
    """.rsp: fold needs no ARF, and the area is the sum of the rows, whatever the header says."""
    rsp = matrix_hdu(name="SPECRESP MATRIX", scale=AREA, hduclas3=hduclas3)
    write(tmp_path / "src.rsp", rsp, ebounds_hdu())
    write(tmp_path / "src.arf", arf_hdu())  # lies there, and is not meant
    header = {"RESPFILE": "src.rsp", "ANCRFILE": "none"}
    spectrum = read_spectrum(write(tmp_path / "src.pha", spectrum_hdu(header=header)))
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


def test_true_energies_that_descend(tmp_path):
    hdu = matrix_hdu(GROUPS[::-1])
    hdu.data["ENERG_LO"], hdu.data["ENERG_HI"] = ENERGY_EDGES[-2::-1], ENERGY_EDGES[:0:-1]
    rmf = read_rmf(write(tmp_path / "a.rmf", hdu, ebounds_hdu()))
    assert np.allclose(rmf.dense(), matrix())
    arf = arf_hdu(AREA[::-1])
    arf.data["ENERG_LO"], arf.data["ENERG_HI"] = ENERGY_EDGES[-2::-1], ENERGY_EDGES[:0:-1]
    assert np.allclose(read_arf(write(tmp_path / "a.arf", arf)).area, AREA)


@pytest.mark.parametrize("descending", [False, True])
def test_energies_of_zero_width(tmp_path, descending):
    """ROSAT's PSPC has such bins: no photon is in them, so that their rows fold to nothing."""
    edges = np.array([0.3, 1.8, 1.8, 4.8, 6.3, 6.3, 9.3])
    hdu, arf = matrix_hdu(edges=edges), arf_hdu(edges=edges)
    if descending:
        for table in (hdu, arf):
            table.data[:] = table.data[::-1].copy()
    rmf = read_rmf(write(tmp_path / "a.rmf", hdu, ebounds_hdu()))
    area = read_arf(write(tmp_path / "a.arf", arf))
    wide = np.diff(edges) > 0
    assert np.allclose(rmf.energy_edges, [0.3, 1.8, 4.8, 6.3, 9.3])
    photons = np.array([1.0, 2.0, 3.0, 4.0])
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


def test_elements_slightly_below_zero(tmp_path):
    """Interpolated matrices (XMM's canned ones) have some; they are folded as they are."""
    groups = [*GROUPS[:5], [(2, [0.5, -1e-5, 0.4])]]
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups), ebounds_hdu()))
    assert np.allclose(rmf.fold(np.eye(6)[5]), [0, 0.5, -1e-5, 0.4, 0, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_bad_matrix_elements(tmp_path, value):
    groups = [*GROUPS[:5], [(2, [0.5, value])]]
    rmf = read_rmf(write(tmp_path / "a.rmf", matrix_hdu(groups), ebounds_hdu()))
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
