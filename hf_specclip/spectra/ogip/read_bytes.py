"""Bounded reading and decompression of files."""

from __future__ import annotations

import mmap
import stat
import zlib
from pathlib import Path
from typing import Any

from .errors import SpectrumFileError

# Chandra's largest responses take some tens of MB, XRISM's some hundreds.
MAX_FILE_BYTES = 512 << 20
# Packed files may grow to the larger of these: bytes, and times their size (responses: 10 to 50).
MAX_UNPACKED, MAX_GROWTH = 64 << 20, 100
TRUNCATED = "get the file again: it is truncated or its header is damaged"
MAX_MEMBERS = 20_000  # of a gzip file; block-wise writers make one for 64 kB
_GZIP, _CHUNK = b"\x1f\x8b", 1 << 16
# First bytes of packed files that are not read, and the command that unpacks them.
_PACKED = {
    b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x1f\x9d": "uncompress", b"\x1f\xa0": "gunzip",
    b"PK\3\4": "unzip", b"(\xb5/\xfd": "unzstd", b"7z\xbc\xaf": "7z x",
}  # fmt: skip
_TAR = slice(257, 262)


def read_bytes(path: Path) -> bytes | bytearray:
    """Read the file's bytes, decompressed; never more than `MAX_FILE_BYTES`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SpectrumFileError("is not a regular file", path=path, mend="give a FITS file")
        if status.st_size > MAX_FILE_BYTES:
            raise _too_large(path, MAX_FILE_BYTES)
        with path.open("rb") as stream:
            head = stream.read(len(_GZIP))
            stream.seek(0)
            # A file may grow while it is read; `read(n)` allocates n bytes at once.
            most = min(MAX_FILE_BYTES, max(MAX_UNPACKED, MAX_GROWTH * status.st_size))
            data = _gunzip(stream, path, most) if head == _GZIP else stream.read(status.st_size)
    except FileNotFoundError:
        raise SpectrumFileError("no such file", path=path, mend="check the name") from None
    except OSError as error:
        raise SpectrumFileError(
            f"cannot be read ({error.strerror or error})", path=path, mend="check the file"
        ) from None
    except ValueError as error:  # a NUL in the name
        if isinstance(error, SpectrumFileError):
            raise
        raise SpectrumFileError(f"bad file name ({error})", path=repr(path)) from None
    command = next((name for head, name in _PACKED.items() if data.startswith(head)), None)
    if data[_TAR] == b"ustar":
        command = "tar xf"
    if command is not None:
        raise SpectrumFileError(
            "is packed", path=path, mend=f"unpack it with {command}, and give the files inside"
        )
    return data


def map_bytes(path: Path) -> bytes | bytearray | mmap.mmap:
    """Map a plain file of any size into memory; read others as `read_bytes` does."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("rb") as stream:
                if stream.read(len(_GZIP)) != _GZIP:
                    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # an empty file cannot be mapped
        pass
    return read_bytes(path)


def _gunzip(stream: Any, path: Path, most: int) -> bytearray:
    found, members = bytearray(), 1
    inflater = zlib.decompressobj(wbits=31)
    pending = b""
    try:
        while True:
            pending = pending or stream.read(_CHUNK)
            if not pending and inflater.eof:
                return found
            if inflater.eof:
                if not pending.startswith(_GZIP):
                    if pending.strip(b"\0"):
                        raise SpectrumFileError(
                            "bytes follow the gzip stream", path=path, mend=TRUNCATED
                        )
                    pending = b""
                    continue
                inflater, members = zlib.decompressobj(wbits=31), members + 1
            out = inflater.decompress(pending, _CHUNK)
            if not (pending or out or inflater.eof):
                raise SpectrumFileError("the gzip stream ends too early", path=path, mend=TRUNCATED)
            pending = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if len(found) + len(out) > most or members > MAX_MEMBERS:
                raise _too_large(path, most)
            found += out
    except zlib.error as error:
        raise SpectrumFileError(
            f"the gzip stream is damaged ({error})", path=path, mend=TRUNCATED
        ) from None


def _too_large(path: Path, most: int) -> SpectrumFileError:
    return SpectrumFileError(
        f"holds more than {most >> 20} MiB",
        path=path,
        mend="unpack it (gunzip), and check that it is a spectrum or a response",
    )
