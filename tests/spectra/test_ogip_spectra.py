"""Spectrum tables as archives have them: columns, keywords, flags, errors and sums."""

import numpy as np
import pytest
from astropy.io import fits
from ogip_writer import (
    AREA,
    COUNTS,
    assert_is_the_set,
    matrix,
    read_source,
    spectrum_hdu,
    write,
    write_set,
)

from hf_specclip.spectra import SpectrumFileError, read_spectra, read_spectrum
from hf_specclip.spectra.facts import spectrum_facts
from hf_specclip.spectra.grouped_rates import group_rates

# Reading is silent: what was made up for goes to the notes.
pytestmark = pytest.mark.filterwarnings("error")


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


def test_grating_spectrum_with_its_background_strips(tmp_path):
    strips = {
        "BACKGROUND_UP": COUNTS[None] * 2, "BACKGROUND_DOWN": COUNTS[None] * 3, "BACKSCUP": [4.0],
        "BACKSCDN": [6.0],
    }  # fmt: skip
    spectrum = read_source(tmp_path, COUNTS[None], columns=strips)
    assert spectrum.background_counts.tolist() == (COUNTS * 5).tolist()
    assert spectrum.background_scale == pytest.approx(2 / 10)


@pytest.mark.parametrize("unit", ["count/s", "counts s**-1", "ct s-1", None])
def test_strips_in_rates(tmp_path, unit):
    """TUNIT says whether strips hold counts or counts a second."""
    up = COUNTS[None] * 2 / (1.0 if unit is None else 1000.0)
    strips = {"BACKGROUND_UP": up, "BACKSCUP": [10.0]}
    spectrum = read_source(tmp_path, COUNTS[None], columns=strips, header={"TUNIT3": unit})
    assert spectrum.background_counts.tolist() == (COUNTS * 2).tolist()
    assert spectrum.background_scale == pytest.approx(2 / 10)


def test_rate_in_place_of_counts(tmp_path):
    rate = {"RATE": (COUNTS / 1000.0).astype(np.float32), "STAT_ERR": np.sqrt(COUNTS) / 1000.0}
    spectrum = read_source(tmp_path, columns=rate, drop=["COUNTS"])
    assert spectrum.counts.tolist() == COUNTS.tolist()
    assert np.allclose(spectrum.stat_error, np.sqrt(COUNTS))


def test_whole_counts_stored_as_floats(tmp_path):
    spectrum = read_source(tmp_path, COUNTS.astype(np.float32))
    assert spectrum.counts.tolist() == COUNTS.tolist()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("COUNTS", COUNTS - 1, "is -1 in row 0, negative"),
        ("COUNTS", np.where(COUNTS == 7, np.nan, COUNTS), "finite"),
        ("COUNTS", COUNTS + 2**31 - 20, "too many"),
        ("COUNTS", COUNTS + 0.5, "COUNTS is 0.5.*before background subtraction"),
        ("RATE", (COUNTS + 0.3) / 1000.0, "RATE × EXPOSURE is 0.3 in row 0"),
    ],
)
def test_bad_counts(tmp_path, name, values, message):
    drop = ["COUNTS"] if name == "RATE" else []
    with pytest.raises(SpectrumFileError, match=rf"column {name}: .*{message}"):
        read_source(tmp_path, columns={name: values}, drop=drop)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_unsigned_counts(tmp_path, bits):
    """FITS has no unsigned integers: they come with TZERO = 2**(bits - 1)."""
    counts = np.where(COUNTS == 7, 40_000, COUNTS).tolist()
    zero = 2 ** (bits - 1)
    stored = np.array([count - zero for count in counts], dtype=f"i{bits // 8}")
    spectrum = read_source(tmp_path, columns={"COUNTS": stored}, header={"TZERO2": zero})
    assert spectrum.counts.tolist() == counts


def test_the_older_name_of_binary_tables(tmp_path):
    path = write_set(tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"'BINTABLE'", b"'A3DTABLE'"))
    assert_is_the_set(read_spectrum(path))


def test_null_counts(tmp_path):
    with pytest.raises(SpectrumFileError, match="finite"):
        read_source(tmp_path, header={"TNULL2": 10})


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("EXPOSURE", value) for value in (None, 0.0, -5.0, "soon")), ("BACKSCAL", 0.0),
     ("AREASCAL", 0.0)],
)  # fmt: skip
def test_bad_exposure_and_scalings(tmp_path, name, value):
    with pytest.raises(SpectrumFileError, match=name):
        read_spectrum(write_set(tmp_path, **{name: value}))


def test_poisserr_quality_and_grouping_are_kept(tmp_path):
    quality, grouping = [2, 0, 0, 0, 0, 0, 0, 5], [1, 1, -1, -1, 1, -1, -1, -1]
    flags = {"QUALITY": quality, "GROUPING": grouping, "STAT_ERR": 1 + np.sqrt(COUNTS + 0.75)}
    spectrum = read_source(tmp_path, columns=flags, header={"POISSERR": False})
    assert spectrum.poisson_errors is False
    assert spectrum.quality.tolist() == quality
    assert spectrum.grouping.tolist() == grouping
    assert np.allclose(spectrum.stat_error, flags["STAT_ERR"])
    assert spectrum.counts.tolist() == COUNTS.tolist()  # never applied


def test_scalings_per_channel(tmp_path):
    write_set(tmp_path)
    source, region = np.linspace(1, 2, 8), np.array([2.0, 2, 2, 2, 4, 4, 4, 0])
    write(tmp_path / "src_bg.pha", spectrum_hdu(COUNTS * 4, columns={"BACKSCAL": region}))
    header = {"BACKFILE": "src_bg.pha"}
    spectrum = read_source(tmp_path, columns={"AREASCAL": source}, header=header)
    expected = np.append(2 * source[:7] / region[:7], 0)
    assert np.allclose(spectrum.background_scale, expected)
    assert spectrum.rebinned(5, (0.4, 8.4))["background_scale"] == pytest.approx(
        np.average(expected, weights=COUNTS * 4)
    )
    assert np.allclose(spectrum.fold(np.ones(6)), source * (AREA @ matrix()))


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


@pytest.mark.parametrize("bad", [1, 5])
def test_bad_channels_enter_nothing(tmp_path, bad):
    """OGIP 92-007: quality 1 is bad by the software, 5 by the user; 2 is dubious and stays."""
    write_set(tmp_path)
    flags, behind = [0, bad, 2, 0, 0, 0, 0, 0], [0, 0, 0, bad, 0, 0, 0, 0]
    region = spectrum_hdu(COUNTS * 4, columns={"QUALITY": behind}, header={"BACKSCAL": 8.0})
    write(tmp_path / "src_bg.pha", region)
    header = {"BACKFILE": "src_bg.pha"}
    spectrum = read_source(tmp_path, columns={"QUALITY": flags}, header=header)
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


@pytest.mark.parametrize(
    ("errors", "are_poisson"),
    [(np.sqrt(COUNTS), True), (1 + np.sqrt(COUNTS + 0.75), True), (2 * np.sqrt(COUNTS), False)],
)
def test_errors_of_counts_that_are_denied_to_be_poisson(tmp_path, errors, are_poisson):
    """CIAO writes POISSERR = F beside plain counts with the errors of Gehrels (1986)."""
    spectrum = read_source(tmp_path, columns={"STAT_ERR": errors}, header={"POISSERR": False})
    assert spectrum.are_poisson is are_poisson


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
    at = data.rindex(b"DATASUM = '") + 11
    data[at : at + 2] = "²".encode("latin-1") + b"'"  # a digit to str.isdigit, not to int
    (tmp_path / side).write_bytes(bytes(data))
    assert "DATASUM and CHECKSUM" in read_spectrum(path).notes[0]


def test_total_counts_that_do_not_add_up_are_said(tmp_path):
    [note] = read_spectrum(write_set(tmp_path, TOTCTS=29)).notes
    assert note == f"TOTCTS is 29, the counts add up to {COUNTS.sum()}"
    assert read_spectrum(write_set(tmp_path, TOTCTS=int(COUNTS.sum()))).notes == ()
