"""FITS checksums of a file (DATASUM and CHECKSUM; FITS Standard 4.0, appendix J)."""

from __future__ import annotations

import numpy as np

from .fits_table import FitsFile

__all__ = ["wrong_checksums"]

_FULL = (1 << 32) - 1
_NOT_COMPUTED = "0" * 16


def wrong_checksums(file: FitsFile) -> tuple[str, ...]:
    """Return a sentence for each checksum that does not hold; none for a file without any.

    A wrong CHECKSUM says that the header or the data have changed since the file was written, a
    wrong DATASUM that the data have.
    """
    found = []
    for index, (header, start, data, end) in enumerate(file.hdus):
        name = header.text("EXTNAME") or ("primary" if index == 0 else "unnamed")
        keywords = []
        stated, whole = header.text("DATASUM"), header.text("CHECKSUM")
        if stated and not (stated.isdigit() and _same(int(stated), _sum32(file, data, end))):
            keywords.append("DATASUM")
        if whole and whole != _NOT_COMPUTED and not _same(_sum32(file, start, end), _FULL):
            keywords.append("CHECKSUM")
        if keywords:
            found.append(f"{' and '.join(keywords)} of HDU {index} ({name}) not those of the file")
    return tuple(found)


def _sum32(file: FitsFile, start: int, end: int) -> int:
    """Return the ones' complement sum of the big-endian 32-bit words of some bytes."""
    data = memoryview(file.data)[start:end]
    missing = -len(data) % 4  # of padding that was cut off
    words = np.frombuffer(bytes(data) + b"\0" * missing if missing else data, dtype=">u4")
    total = int(words.sum(dtype=np.uint64))
    while total >> 32:
        total = (total & _FULL) + (total >> 32)
    return total


def _same(one: int, other: int) -> bool:
    """Compare two sums; in ones' complement all bits set is another zero."""
    return one % _FULL == other % _FULL
