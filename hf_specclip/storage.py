"""Atomic writes and memory-mapped tensors.

A file or folder gets its name only once it is complete and on disk: a reader sees all of it or
nothing, and a killed process leaves at most something whose name starts with `.partial-`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FileFormatError, SpecCLIPError

PARTIAL = ".partial-"
MAX_JSON_BYTES = 1 << 24
_MEND = "fetch or build it again"
_ASIDE = ".replaced-"
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_ABANDONED_SECONDS = 3600
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskError(SpecCLIPError, RuntimeError):
    """The disk is full, or the allowance of it; the message says what to do."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically.

    Args:
        path: the file to make or replace; its folder is made. A link is followed, and what is
            written goes into a device or pipe, which is never replaced.

    Yields:
        The temporary path to write to. It has the same suffix, and replaces `path` when the block
        ends; after an error it is removed and `path` is as it was.

    Raises:
        DiskError: when there is no room.
    """
    path = Path(path)
    if _is_device(path):
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder) / path.name
            yield partial
            with partial.open("rb") as source, path.open("wb") as device:
                shutil.copyfileobj(source, device)
        return
    path = Path(os.path.realpath(path))
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        yield partial
        # Without this, a crash of the machine can leave the name on an empty file.
        _sync(partial)
        partial.replace(path)
    except OSError as error:
        _raise_if_full(error, path.parent)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder atomically.

    Args:
        target: the folder to make or replace; an older one stays until the new one is complete. A
            link is followed.

    Yields:
        The temporary folder to fill.

    Raises:
        DiskError: when there is no room.
    """
    target = Path(os.path.realpath(target))
    partial = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(target)
        _remove_abandoned(target.parent)
        prefix = f"{PARTIAL}{os.getpid()}-"
        partial = Path(tempfile.mkdtemp(f"-{target.name}", prefix, target.parent))
        yield partial
        partial.chmod(0o755)  # mkdtemp's 0700 would hide the result from other users
        for path in [*partial.rglob("*"), partial]:
            _sync(path)
        replace_folder(partial, target)
        _sync(target.parent)
    except OSError as error:
        _raise_if_full(error, target.parent)
        raise
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def replace_folder(folder: Path, target: Path) -> None:
    """Rename a complete folder to `target`, and remove an older one there.

    The two change places in one step where the system can. Elsewhere the old one steps aside, comes
    back where the second step fails, and is found by `recover_folder` after a crash between them.

    Raises:
        OSError: when it cannot be renamed; `target` is then as it was.
    """
    if not target.exists():
        folder.replace(target)
        return
    if _exchange(folder, target):
        shutil.rmtree(folder, ignore_errors=True)
        return
    aside = _aside(target)
    target.replace(aside)
    try:
        folder.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Bring a folder back that stepped aside for another which never came."""
    aside = _aside(target)
    if not aside.is_dir():
        return
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.replace(target)


def _aside(target: Path) -> Path:
    return target.with_name(f"{_ASIDE}{target.name}")


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places; return False where the system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(one), os.fsencode(other))
    if hasattr(library, "renameat2"):  # Linux
        here = -100  # AT_FDCWD
        return library.renameat2(here, names[0], here, names[1], _SWAP) == 0
    return hasattr(library, "renamex_np") and library.renamex_np(*names, _SWAP) == 0  # macOS


def _is_device(path: Path) -> bool:
    """Return True for a pipe, a device, or a descriptor of this process."""
    if str(path).startswith(("/dev/fd/", "/proc/")) or str(path) in ("/dev/stdout", "/dev/stderr"):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove what dead processes left half-written in a folder an hour or more ago.

    Once a process: a folder may hold many files.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError, ValueError):
            if time.time() - path.stat().st_mtime < _ABANDONED_SECONDS:
                continue
            writer = int(path.name.removeprefix(PARTIAL).split("-")[0])
            if not _is_running(writer):
                _remove(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _raise_if_full(error: OSError, folder: Path) -> None:
    if error.errno in _FULL:
        raise DiskError(
            f"the disk of {folder} is full: make room and run again; nothing is lost"
        ) from None


@contextmanager
def exclusive(target: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for the same from a folder, until the block ends."""
    from filelock import FileLock

    target = Path(os.path.realpath(target))
    with FileLock(target.with_name(f".{target.name}.lock")):
        yield


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically; see `atomic_file`."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a UTF-8 text file atomically; bytes of file names that are no text become `\udcff`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write standard JSON (no NaN) atomically; see `atomic_file`."""
    text = json.dumps(to_json(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def to_json(value: Any) -> Any:
    """Return a tree of values as JSON gives it back: keys as text, tuples as lists, and None for
    nan and infinity, which it lacks."""
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def remove_partial(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left half-written in a folder and below.

    No other process may be writing there. A folder that stepped aside for a new one comes back.
    """
    for path in [*Path(folder).rglob(f"{_ASIDE}*")]:
        recover_folder(path.with_name(path.name.removeprefix(_ASIDE)))
    for path in [*Path(folder).rglob(f"{PARTIAL}*")]:
        _remove(path)


def read_json(path: str | os.PathLike[str], max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object from a file of bounded size.

    Raises:
        FileFormatError: for a larger file, or one that is no JSON object.
        OSError: for a file that cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > max_bytes:
        raise FileFormatError(f"{path} is larger than {max_bytes:,} bytes: {_MEND}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON ({error}): {_MEND}") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} is not a JSON object: {_MEND}")
    return content


def map_tensors(path: str | os.PathLike[str], *needed: str) -> dict[str, np.ndarray]:
    """Open the tensors of a safetensors file, memory-mapped: pages are read when used.

    Args:
        path: the file.
        needed: names of tensors that must be there.

    Raises:
        FileFormatError: for a damaged file, one that asks for more than it holds, or one without a
            tensor that is needed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"{path} holds no readable tensors ({error}): {_MEND}") from error
    if missing := set(needed) - set(tensors):
        raise FileFormatError(f"{path} lacks the tensor {min(missing)}: {_MEND}")
    return tensors


def _sync(path: Path) -> None:
    """Force a file or folder to disk, where the file system can.

    Raises:
        OSError: when the disk is full, which some file systems notice only now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _FULL:
            raise


__all__ = [
    "DiskError",
    "atomic_file",
    "atomic_folder",
    "exclusive",
    "map_tensors",
    "read_json",
    "recover_folder",
    "remove_partial",
    "replace_folder",
    "to_json",
    "write_bytes",
    "write_json",
    "write_text",
]
