"""FITS checksums of a file (DATASUM and CHECKSUM; FITS Standard 4.0, appendix J)."""

from __future__ import annotations

import re

import numpy as np

from .fits_table import FitsFile

_FULL = (1 << 32) - 1
_NOT_COMPUTED = "0" * 16
_DIGITS = re.compile(r"\d{1,20}", re.ASCII)


def wrong_checksums(file: FitsFile) -> tuple[str, ...]:
    """Return a sentence for each HDU with a wrong checksum; none for a file without checksums.

    With a wrong DATASUM the data have changed since the file was written; with a wrong CHECKSUM the
    header or the data.
    """
    found = []
    for index, (header, start, data, end) in enumerate(file.hdus):
        stated, whole = header.text("DATASUM"), header.text("CHECKSUM")
        keywords = []
        of_data = _sum32(file, data, end) if stated or whole else 0
        # In ones' complement all bits set is another zero.
        if stated and (not _DIGITS.fullmatch(stated) or (int(stated) - of_data) % _FULL):
            keywords.append("DATASUM")
        if whole not in (None, _NOT_COMPUTED) and (_sum32(file, start, data) + of_data) % _FULL:
            keywords.append("CHECKSUM")
        if keywords:
            name = header.text("EXTNAME") or ("primary" if index == 0 else "unnamed")
            found.append(f"{' and '.join(keywords)} of HDU {index} ({name}) not those of the file")
    return tuple(found)


def _sum32(file: FitsFile, start: int, end: int) -> int:
    """Return the ones' complement sum of the big-endian 32-bit words of some bytes."""
    data = memoryview(file.data)[start:end]
    missing = -len(data) % 4  # of padding that was cut off
    words = np.frombuffer(bytes(data) + b"\0" * missing if missing else data, dtype=">u4")
    return int(words.sum(dtype=np.uint64)) % _FULL
