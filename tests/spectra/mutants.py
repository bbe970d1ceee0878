"""Mutants of spectrum files, each made from a seed, and checks of what is read from them."""

from __future__ import annotations

import gzip
import io
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hf_specclip.spectra import SpectrumFileError, XRaySpectrum, iter_spectra
from hf_specclip.spectra.facts import spectrum_facts

SETS = {
    "3c273": "3c273.pi",
    "bubble": "bubble.pi",
    "cdfs_179": "179.pi",
    "csc_1575": "acisf01575_001N001_r0085_pha3.fits.gz",
    "csc_4938": "acisf04938_000N002_r0043_pha3.fits.gz",
    "obs1": "obs1.pi",
    "obs4": "obs4.pi",
    "source_back": "source.pi",
}
MEMORY = 3 << 30  # bytes of addresses, those of the libraries included
SECONDS = 20  # of one mutant, on the processor
VALUES = (
    "0 -1 1 2 3.5 255 32768 2147483647 -2147483648 9223372036854775808 1E38 -1E308 1E999 1E-300 T "
    "F NaN '' 'none' '0' 'eight' '1E' '2PJ(9)' '1K' '300A' '9999999D' '1QE(3)' 'L''\xc9' (1,2)"
)
KEYWORDS = (
    "NAXIS NAXIS1 NAXIS2 BITPIX PCOUNT GCOUNT TFIELDS THEAP EXTNAME XTENSION EXPOSURE BACKSCAL "
    "AREASCAL DETCHANS HDUCLAS1 HDUCLAS2 RESPFILE ANCRFILE BACKFILE GRATING INSTRUME CONTINUE END "
    "TTYPE1 TTYPE2 TFORM1 TFORM2 TFORM3 TSCAL2 TZERO2 TNULL2 TUNIT1 TUNIT2 TLMIN1 TLMIN4 TDIM2"
)
NUMBERS = [
    struct.pack(code, value)
    for code, values in {
        ">h": (0, -1, 1, 32767, -32768), ">i": (-1, 2**31 - 1, -(2**31), 65536),
        ">q": (-1, 2**62), ">f": (float("nan"), float("inf"), -1e38, 1e-45, -0.5, 0.5),
        ">d": (float("nan"), 1e300),
    }.items()
    for value in values
]  # fmt: skip


def mutate(data: bytes, seed: int) -> bytes:
    """Return the file with one to three mutations of its cards, numbers, bytes or length."""
    rng = np.random.default_rng(seed)
    cards, vital, tables = _layout(data)
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.choice(["value", "key", "swap", "digit", "number", "bits", "length"],
                          p=[0.2, 0.1, 0.05, 0.25, 0.2, 0.1, 0.1])  # fmt: skip
        start, size = tables[int(rng.integers(len(tables)))]
        card = int(rng.choice(vital if rng.random() < 0.5 else cards))
        if kind == "value":
            value = str(rng.choice(VALUES.split())).encode("latin-1")
            changed[card + 8 : card + 80] = (b"= " + value.rjust(20)).ljust(72)
        elif kind == "key":
            changed[card : card + 8] = str(rng.choice(KEYWORDS.split())).ljust(8).encode()
        elif kind == "swap":
            other = int(rng.choice(cards))
            changed[card : card + 80], changed[other : other + 80] = (
                changed[other : other + 80], changed[card : card + 80],
            )  # fmt: skip
        elif kind == "digit":
            digits = [n for n in range(card + 10, card + 40) if changed[n : n + 1].isdigit()]
            if digits:
                changed[int(rng.choice(digits))] = int(rng.integers(48, 58))
        elif kind == "number":
            number = NUMBERS[int(rng.integers(len(NUMBERS)))]
            at = start + 2 * int(rng.integers(max(size // 2, 1)))
            changed[at : at + len(number)] = number
        elif kind == "bits":
            flipped = flip_bits(changed[start : start + max(size, 1)], int(rng.integers(2**31)))
            changed[start : start + len(flipped)] = flipped
        else:
            return _cut(bytes(changed), rng)
    return bytes(changed)


def flip_bits(data: bytes, seed: int) -> bytes:
    """Return the bytes with one to eight bits flipped."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Shorten, lengthen or repeat a part of a file."""
    at = int(rng.integers(len(data)))
    if rng.random() < 0.5:
        at -= at % 2880
    size = int(rng.choice([1, 80, 2880, 28800]))
    kind = int(rng.integers(4))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at + size :]
    if kind == 2:
        return data[:at] + data[at : at + size] + data[at:]
    return data[:at] + b"\0" * size + data[at + size :]


@cache
def _layout(data: bytes) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Return the places of all cards, of those that readers ask for, and of the tables' data."""
    cards: list[int] = []
    tables = []
    with fits.open(io.BytesIO(data)) as hdus:
        for hdu in hdus:
            place = hdu.fileinfo()
            blocks = range(place["hdrLoc"], place["datLoc"], 80)
            cards += [at for at in blocks if data[at : at + 80].strip()]
            if place["datSpan"]:
                tables.append((place["datLoc"], hdu.size))
    names = {name.encode() for name in KEYWORDS.split()}
    vital = [at for at in cards if data[at : at + 8].rstrip() in names]
    return cards, vital, tables


class MutantReader:
    """Reader of mutants of real sets, in a temporary folder.

    Args:
        folder: the real sets.
    """

    def __init__(self, folder: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mutants-"))
        self.files: dict[str, list[Path]] = {}
        self.content: dict[Path, bytes] = {}
        self.pristine: dict[str, Any] = {}
        for name, source in SETS.items():
            shutil.copytree(folder / name, self.home / name)
            self.files[name] = sorted((self.home / name).iterdir())
            for path in self.files[name]:
                path.chmod(0o644)
                data = path.read_bytes()
                self.content[path] = gzip.decompress(data) if path.suffix == ".gz" else data
            [spectrum] = iter_spectra(self.home / name / source)
            self.pristine[name] = _numbers(spectrum)

    def fault(self, seed: int) -> str | None:
        """Return what is wrong with the reading of a mutant, or None."""
        rng = np.random.default_rng([seed, 1])
        name = str(rng.choice(list(SETS)))
        victim = self.files[name][int(rng.integers(len(self.files[name])))]
        original = self.content[victim]
        victim.write_bytes(mutate(original, seed))
        begin = time.process_time()
        signal.alarm(10 * SECONDS)
        try:
            self._read(name, victim)
        except SpectrumFileError as error:
            if str(self.home) not in str(error):
                return f"seed {seed}: the error names no file: {error}"
        except BaseException:
            return f"seed {seed}, {name}/{victim.name}:\n{traceback.format_exc(limit=-4)}"
        finally:
            signal.alarm(0)
            victim.write_bytes(original)
        seconds = time.process_time() - begin
        return None if seconds < SECONDS else f"seed {seed}: {seconds:.0f} s"

    def _read(self, name: str, victim: Path) -> None:
        first = None
        for spectrum in iter_spectra(self.home / name / SETS[name]):
            check_numbers(spectrum, ".rmf" in victim.name or "rmf3" in victim.name)
            first = first or spectrum
        assert first is not None
        if _numbers(first) != self.pristine[name] and _checksum_tells(victim.read_bytes()):
            notes = " ".join(first.notes)
            assert "not those of the file" in notes, f"silently changed; notes: {notes}"


def check_numbers(spectrum: XRaySpectrum, folds: bool = True) -> None:
    """Assert that the numbers of a spectrum are possible; `folds` asks for its matrix, too."""
    # Counts with errors of their own may come from a subtraction.
    errors = np.inf if spectrum.stat_error is None else spectrum.stat_error
    below = 0.0 if spectrum.are_poisson else 10 * np.maximum(errors, 1.0)
    assert (spectrum.counts >= -below).all()
    assert spectrum.exposure > 0
    assert np.isfinite(spectrum.background_scale).all()
    facts = spectrum_facts(spectrum)
    assert facts["total_counts"] <= spectrum.counts.sum()
    if spectrum.energy_edges is not None:
        assert (np.diff(spectrum.energy_edges) > 0).all()
        row = spectrum.rebinned()
        assert row["counts"].sum() <= spectrum.counts.sum()
        assert np.isfinite(np.float32(row["background_scale"]))
    if spectrum.arf is not None:
        assert np.isfinite(spectrum.arf.area).all()
    if spectrum.rmf is not None and folds:
        assert np.isfinite(spectrum.fold(np.ones(spectrum.rmf.n_energies))).all()


def _numbers(spectrum: XRaySpectrum) -> tuple[Any, ...]:
    background = spectrum.background_counts
    return (
        spectrum.counts.tobytes(),
        spectrum.exposure,
        np.asarray(spectrum.background_scale).tobytes(),
        None if background is None else background.tobytes(),
    )


def _checksum_tells(data: bytes) -> bool:
    """Return True where an HDU has a CHECKSUM that does not hold.

    The 32-bit words of an HDU with a right one add up to all bits set in ones' complement, which is
    a multiple of 2**32 - 1 (FITS standard 4.0, appendix J).
    """
    try:
        with fits.open(io.BytesIO(data)) as hdus:
            places = [hdu.fileinfo() for hdu in hdus if "CHECKSUM" in hdu.header]
    except Exception:  # what astropy cannot open
        return False
    ends = [(place["hdrLoc"], place["datLoc"] + place["datSpan"]) for place in places]
    parts = [data[start:end] for start, end in ends]
    words = [np.frombuffer(part + b"\0" * (-len(part) % 4), ">u4") for part in parts]
    return any(int(each.sum(dtype=np.uint64)) % (2**32 - 1) for each in words)


def faults(folder: str, seeds: range) -> list[str]:
    """Read mutants in this process, with little memory; return what is wrong with any of them."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", module="astropy")
    signal.signal(signal.SIGALRM, _hangs)
    reader = MutantReader(Path(folder))
    try:
        return [fault for fault in map(reader.fault, seeds) if fault is not None]
    finally:
        shutil.rmtree(reader.home)


def _hangs(*_: Any) -> None:
    raise TimeoutError("hangs")
