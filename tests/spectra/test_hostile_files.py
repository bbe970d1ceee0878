"""Damaged and hostile files: an error that names the fault, soon and in little memory."""

import bz2
import gzip
import lzma
import os
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as fits_io
from mutants import check_numbers, flip_bits, mutate
from ogip_writer import (
    COUNTS,
    compress,
    ebounds_hdu,
    matrix_hdu,
    read_alone,
    rmf_of,
    spectrum_hdu,
    write,
    write_set,
)

from hf_specclip.spectra import (
    SpectrumFileError,
    iter_spectra,
    read_rmf,
    read_spectra,
    read_spectrum,
)
from hf_specclip.spectra.ogip import fits_table, read_bytes

# Damaged files tried for each file of a set; raise it to search.
ROUNDS = int(os.environ.get("SPECCLIP_FUZZ_ROUNDS", "90"))
SECONDS = 5.0
MEGABYTES = 100


@pytest.fixture
def bounded():
    """Fails a test that takes much processor time or memory, whatever it raises."""
    tracemalloc.start()
    begin = time.process_time()
    yield
    seconds = time.process_time() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < MEGABYTES << 20


def edited(path: Path, **cards: object) -> Path:
    """Overwrite cards in place, sizes and all, as no FITS library would."""
    data = path.read_bytes()
    for key, value in cards.items():
        at = data.rindex(f"{key:<8}=".encode())
        said = f"'{value}'" if isinstance(value, str) else str(value)
        data = data[:at] + f"{key:<8}= {said:>20}".ljust(80).encode() + data[at + 80 :]
    path.write_bytes(data)
    return path


# -- no spectrum at all


def test_no_such_file(tmp_path):
    with pytest.raises(SpectrumFileError, match=r"absent.pha: no such file"):
        read_spectrum(tmp_path / "absent.pha")
    with pytest.raises(SpectrumFileError, match="bad file name"):
        read_spectrum("a\0b.pha")
    with pytest.raises(SpectrumFileError, match="cannot be read"):
        read_spectrum(tmp_path / ("x" * 300))


def test_not_a_regular_file(tmp_path, bounded):
    """A pipe would be waited for without end."""
    os.mkfifo(tmp_path / "pipe.pha")
    for path in (tmp_path, tmp_path / "pipe.pha", "/dev/zero"):
        with pytest.raises(SpectrumFileError, match="not a regular file"):
            read_spectrum(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 5000, b"hello", b"\x1f\x8b", gzip.compress(b"", mtime=0),
     gzip.compress(b"hello", mtime=0),
     b"SIMPLE  =                    T", b"SIMPLE  =                    T".ljust(2880)],
    ids=lambda data: f"{len(data)}-{data[:8]!r}",
)  # fmt: skip
def test_not_fits(tmp_path, data, bounded):
    path = tmp_path / "a.pha"
    path.write_bytes(data)
    with pytest.raises(SpectrumFileError, match=r"a\.pha"):
        read_spectrum(path)


@pytest.mark.parametrize(
    ("pack", "command"),
    [(bz2.compress, "bunzip2"), (lzma.compress, "unxz"), (b"\x1f\x9d".__add__, "uncompress"),
     (b"PK\3\4".__add__, "unzip"), ((b"\0" * 257 + b"ustar").__add__, "tar xf"),
     (lambda data: gzip.compress(b"\0" * 257 + b"ustar" + data), "tar xf")],
)  # fmt: skip
def test_packed_files_are_named_with_the_mend(tmp_path, pack, command):
    path = write_set(tmp_path)
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(SpectrumFileError, match=rf"is packed. Unpack it with {command}"):
        read_spectrum(path)


def test_no_table(tmp_path):
    with pytest.raises(SpectrumFileError, match="holds no SPECTRUM extension, only no tables"):
        read_spectrum(write(tmp_path / "a.pha"))


def test_the_error_names_file_place_and_mend(tmp_path):
    with pytest.raises(SpectrumFileError) as caught:
        _ = read_spectrum(write(tmp_path / "a.pha", spectrum_hdu())).channel_edges
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.path == str(tmp_path / "a.pha")
    assert error.place == "keyword RESPFILE"
    assert "give rmf=" in error.mend
    for part in (error.path, error.place, error.problem, error.mend[1:]):
        assert part in str(error)


# -- cut short


def test_every_truncation_is_found(tmp_path, bounded):
    """Astropy warns and pads; numbers out of padding would be worse than none."""
    path = write_set(tmp_path)
    whole = path.read_bytes()
    data_end = whole.rindex(b"END" + b" " * 77)
    data_end += -data_end % 2880 + COUNTS.size * 8  # the padding after it holds nothing
    cuts = {0, 1, 79, 2879, 2880, 2881, len(whole) // 2, data_end - 1, *range(100, data_end, 501)}
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        with pytest.raises(SpectrumFileError):
            read_spectrum(path)
    path.write_bytes(whole[:data_end])
    assert read_spectrum(path).counts.tolist() == COUNTS.tolist()


@pytest.mark.parametrize("side", ["src.rmf", "src.arf", "src_bg.pha"])
def test_truncated_side_files(tmp_path, side):
    path = write_set(tmp_path)
    data = (tmp_path / side).read_bytes()
    (tmp_path / side).write_bytes(data[: len(data) - 2880])
    with pytest.raises(SpectrumFileError, match=side):
        read_spectrum(path)


def test_truncated_gzip(tmp_path, bounded):
    path = write_set(tmp_path)
    data = gzip.compress(path.read_bytes())
    target = tmp_path / "src.pha.gz"
    for cut in (3, 11, len(data) // 2, len(data) - 9, len(data) - 1):
        target.write_bytes(data[:cut])
        with pytest.raises(SpectrumFileError, match="gzip"):
            read_spectrum(target)
    target.write_bytes(data[:-8] + b"\0" * 8)  # the checksum
    with pytest.raises(SpectrumFileError, match="gzip stream is damaged"):
        read_spectrum(target)
    target.write_bytes(data + b"more")
    with pytest.raises(SpectrumFileError, match="follow the gzip stream"):
        read_spectrum(target)
    target.write_bytes(data + b"\0" * 512)
    assert read_spectrum(target).counts.sum() == COUNTS.sum()
    half = len(path.read_bytes()) // 2
    parts = [path.read_bytes()[:half], path.read_bytes()[half:]]
    target.write_bytes(b"".join(map(gzip.compress, parts)))  # two members are one stream
    assert read_spectrum(target).counts.sum() == COUNTS.sum()


# -- sizes that lie


def test_gzip_bomb(tmp_path, monkeypatch, bounded):
    monkeypatch.setattr(read_bytes, "MAX_FILE_BYTES", 8 << 20)
    path = tmp_path / "bomb.pha.gz"
    member = gzip.compress(b"\0" * (4 << 20), 9)
    path.write_bytes(member * 200)  # 800 MB out of 0.8
    with pytest.raises(SpectrumFileError, match="more than 8 MiB"):
        read_spectrum(path)
    monkeypatch.setattr(read_bytes, "MAX_UNPACKED", 2 << 20)
    path.write_bytes(member)  # 1,000 times its size
    with pytest.raises(SpectrumFileError, match="more than 2 MiB"):
        read_spectrum(path)
    monkeypatch.setattr(read_bytes, "MAX_MEMBERS", 100)
    path.write_bytes(gzip.compress(b"") * 200)
    with pytest.raises(SpectrumFileError, match="more than 2 MiB"):
        read_spectrum(path)


def test_large_file_is_not_read(tmp_path, monkeypatch):
    path = write_set(tmp_path)
    monkeypatch.setattr(read_bytes, "MAX_FILE_BYTES", 1000)
    with pytest.raises(SpectrumFileError, match="more than 0 MiB"):
        read_spectrum(path)


@pytest.mark.parametrize(
    "cards",
    [
        {"NAXIS2": 10**12},
        {"NAXIS2": 10**19},
        {"NAXIS1": 10**9},
        {"NAXIS1": 0, "NAXIS2": 10**15},
        {"NAXIS2": -8},
        {"NAXIS": 999},
        {"NAXIS": -1},
        {"NAXIS": 1},
        {"PCOUNT": 10**15},
        {"PCOUNT": -1},
        {"GCOUNT": 10**9},
        {"BITPIX": 7},
        {"TFIELDS": 10**6},
        {"TFIELDS": 1},
        {"TFIELDS": -2},
        {"TFORM2": "999999999J"},
        {"TFORM2": "99999999999J"},
        {"TFORM2": "1PJ(8)"},
        {"TFORM2": "Z"},
        {"TFORM2": "1A"},
        {"TFORM1": "0J", "TFORM2": "2J"},
        {"DETCHANS": 10**12},
        {"NAXIS2": 8.5},
        {"NAXIS2": "eight"},
        {"NAXIS2": "T"},
        {"NAXIS2": 0},
        {"NAXIS1": 0, "NAXIS2": 0},
    ],
    ids=str,
)
def test_sizes_that_lie(tmp_path, cards, bounded):
    path = edited(write_set(tmp_path), **cards)
    with pytest.raises(SpectrumFileError, match=r"src\.pha"):
        read_spectra(path)


ACIS = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS"}


def test_spectra_of_a_type_two_file_cost_their_own_size(tmp_path):
    """A column converted anew for each of its rows takes the square of the rows."""
    counts = np.ones((800, 1_024), dtype=int)
    flags = {"QUALITY": np.zeros(counts.shape, np.int16), "STAT_ERR": np.ones(counts.shape)}
    path = write(tmp_path / "two.pha", spectrum_hdu(counts, columns=flags, header=ACIS))
    begin = time.process_time()
    assert sum(int(spectrum.counts.sum()) for spectrum in iter_spectra(path)) == counts.size
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(("rows", "fits"), [(300, True), (2_000, False)])
def test_spectra_that_share_their_bytes(tmp_path, bounded, rows, fits):
    """Many rows may point at one array: 8 bytes each in the file, some 400 kB each in memory."""
    cells = np.empty(rows, dtype=object)
    cells[:] = [np.ones(1, np.int16)] * (rows - 1) + [np.ones(8192, np.int16)]
    column = fits_io.Column("COUNTS", "PI(8192)", array=cells)
    hdu = fits_io.BinTableHDU.from_columns([column], name="SPECTRUM")
    hdu.header.update({"HDUCLAS1": "SPECTRUM", "EXPOSURE": 1.0, "CHANTYPE": "PI", **ACIS})
    path = write(tmp_path / "two.pha", hdu)
    data = path.read_bytes()
    start = data.rindex(b"END" + b" " * 77)
    start += -start % 2880
    pointers = np.tile(np.array([8192, 2 * (rows - 1)], ">i4"), rows).tobytes()
    path.write_bytes(data[:start] + pointers + data[start + len(pointers) :])
    if fits:
        assert sum(1 for _ in iter_spectra(path)) == rows
    else:
        with pytest.raises(SpectrumFileError, match=r"column COUNTS: 16,384,000 values"):
            next(iter_spectra(path))


def test_headers_of_all_hdus_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(fits_table, "MAX_HEADER_BLOCKS", 4)
    with pytest.raises(SpectrumFileError, match="headers of more than 4 blocks"):
        read_spectra(write(tmp_path / "a.pha", *[spectrum_hdu(header=ACIS)] * 9))


def test_endless_header(tmp_path, bounded):
    path = tmp_path / "a.pha"
    card = b"COMMENT no end".ljust(80)
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + card * 40_000)
    with pytest.raises(SpectrumFileError, match="has no end"):
        read_spectrum(path)


def test_the_word_end_inside_a_card_ends_no_header(tmp_path):
    hdu = spectrum_hdu()
    hdu.header["COMMENT"] = "the blank cards behind this one make it look like the END"
    hdu.header.extend([fits_io.Card()] * 2, end=True)
    path = write(tmp_path / "a.pha", hdu)
    assert path.read_bytes().count(b"END" + b" " * 77) == 3
    assert read_spectrum(path).counts.tolist() == COUNTS.tolist()


def test_countless_hdus(tmp_path, monkeypatch, bounded):
    monkeypatch.setattr(fits_table, "MAX_HDUS", 200)
    extension = (
        b"XTENSION= 'IMAGE   '".ljust(80) + b"BITPIX  =                    8".ljust(80)
        + b"NAXIS   =                    0".ljust(80) + b"END".ljust(80)
    ).ljust(2880)  # fmt: skip
    primary = b"SIMPLE  =                    T".ljust(80) + extension[80:]
    path = tmp_path / "a.pha"
    path.write_bytes(primary + extension * 1_000)
    with pytest.raises(SpectrumFileError, match="more than 200 HDUs"):
        read_spectrum(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("N_GRP", 32767), ("N_GRP", -1), ("N_CHAN", 32767), ("N_CHAN", -1), ("F_CHAN", -5),
     ("F_CHAN", 9000)],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["variable", "fixed"])
def test_channels_that_lie(tmp_path, name, value, kind, bounded):
    groups = [[(1, [0.5, 0.5])]] * 6
    hdu = matrix_hdu(groups, kind=kind)
    if kind == "fixed" or name == "N_GRP":
        hdu.data[name][:] = value
    else:
        for row in range(6):
            hdu.data[name][row][:] = value
    path = write(tmp_path / "a.rmf", hdu, ebounds_hdu())
    with pytest.raises(SpectrumFileError, match=rf"{name}"):
        read_rmf(path).fold(np.ones(6))


@pytest.mark.parametrize(
    ("length", "start"),
    [(2**31 - 1, 0), (-1, 0), (4, 2**31 - 1), (4, -8), (10**6, 10**6), (2**30, 2**30)],
)
def test_pointers_that_lie(tmp_path, length, start, bounded):
    """Variable-length arrays are pointers into the file: they must stay inside."""
    path = write(tmp_path / "a.rmf", ebounds_hdu(), matrix_hdu())
    data = bytearray(path.read_bytes())
    # N_GRP is the third column; F_CHAN, N_CHAN and MATRIX follow with 8 bytes each.
    rows = data.rindex(b"END" + b" " * 77)
    rows += -rows % 2880
    at = rows + 4 + 4 + 2 + 8 + 8
    data[at : at + 8] = np.array([length, start], dtype=">i4").tobytes()
    path.write_bytes(bytes(data))
    with pytest.raises(
        SpectrumFileError, match=r"column MATRIX: .*(points out of|values are more)"
    ):
        read_rmf(path).dense()


def test_pointers_that_share_their_target(tmp_path, monkeypatch, bounded):
    """A small file must not unfold into a large matrix."""
    monkeypatch.setattr(fits_table, "MAX_ELEMENTS", 30)
    with pytest.raises(SpectrumFileError, match="48 values are more than 30"):
        rmf_of(tmp_path, [[(1, [0.125] * 8)]] * 6).dense()


def test_names_that_lie(tmp_path, bounded):
    """Names in headers stay in the folder, however they are written."""
    for name in ("/etc/passwd", "..", ".", "../../etc/passwd", "a" * 60 + "/", "|ls"):
        assert read_alone(tmp_path, ANCRFILE=name, RESPFILE=name, BACKFILE=name).rmf is None
    with pytest.raises(SpectrumFileError, match="is not an RMF"):  # a spectrum is no response
        read_alone(tmp_path, RESPFILE="a.pha")


# -- damage at random


@pytest.mark.parametrize("target", ["src.pha", "src.rmf", "src.arf", "src_bg.pha", "src.pha.gz"])
def test_random_damage(tmp_path, target):
    """Possible numbers or `SpectrumFileError`: anything else is the failure looked for."""
    path = write_set(tmp_path)
    if target.endswith(".gz"):
        path = compress(path)
    data = (tmp_path / target).read_bytes()
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=UserWarning, module="astropy")
        for seed in range(ROUNDS):
            mutant = flip_bits(data, seed) if path.suffix == ".gz" else mutate(data, seed)
            (tmp_path / target).write_bytes(mutant)
            begin = time.process_time()
            try:
                for spectrum in read_spectra(path):
                    check_numbers(spectrum)
            except SpectrumFileError as error:
                refusals.append(str(error))
            assert time.process_time() - begin < SECONDS, seed
    assert [text for text in refusals if str(tmp_path) not in text] == []
    assert refusals
