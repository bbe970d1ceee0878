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
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FileFormatError, SpecCLIPError

PARTIAL = ".partial-"
MAX_JSON_BYTES = 1 << 24
_REMEDY = "fetch or build it again"
_BACKUP = ".replaced-"
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_ABANDONED_SECONDS = 3600
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskError(SpecCLIPError, RuntimeError):
    """The disk or the quota is full; the message says what to do."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically.

    Args:
        path: file to create or replace; parent folders are created and links are followed. A device
            or pipe is written to and never replaced.

    Yields:
        Temporary path with the same suffix. It replaces `path` when the block ends; after an error
        it is removed and `path` is unchanged.

    Raises:
        DiskError: the disk is full.
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
        target: folder to create or replace; the old one stays until the new one is complete. A link
            is followed.

    Yields:
        Temporary folder to fill.

    Raises:
        DiskError: the disk is full.
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
    """Rename a complete folder to `target` and remove the folder that was there.

    The two names are exchanged atomically where the system supports it. Elsewhere the old folder is
    first renamed to a backup, which is restored if the second rename fails, or by `recover_folder`
    after a crash in between.

    Raises:
        OSError: the rename failed; `target` is unchanged.
    """
    if not target.exists():
        folder.replace(target)
        return
    if _exchange(folder, target):
        shutil.rmtree(folder, ignore_errors=True)
        return
    backup = _backup_of(target)
    target.replace(backup)
    try:
        folder.replace(target)
    except OSError:
        backup.replace(target)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Restore the backup of a folder whose replacement was interrupted; see `replace_folder`."""
    backup = _backup_of(target)
    if not backup.is_dir():
        return
    if target.exists():
        shutil.rmtree(backup, ignore_errors=True)
    else:
        backup.replace(target)


def _backup_of(target: Path) -> Path:
    return target.with_name(f"{_BACKUP}{target.name}")


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names atomically; return False where the system does not support it."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(first), os.fsencode(second))
    if hasattr(library, "renameat2"):  # Linux
        cwd = -100  # AT_FDCWD
        return library.renameat2(cwd, names[0], cwd, names[1], _SWAP) == 0
    return hasattr(library, "renamex_np") and library.renamex_np(*names, _SWAP) == 0  # macOS


def _is_device(path: Path) -> bool:
    """Return True for a pipe, a device, or a descriptor of this process."""
    if str(path).startswith(("/dev/fd/", "/proc/")) or str(path) in ("/dev/stdout", "/dev/stderr"):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove partial files of dead processes older than an hour; scans a folder once a process."""
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
    except OSError:  # it belongs to another user
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
    """Hold the lock of a folder against other processes until the block ends."""
    from filelock import FileLock

    target = Path(os.path.realpath(target))
    with FileLock(target.with_name(f".{target.name}.lock")):
        yield


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically; see `atomic_file`."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a UTF-8 text file atomically; undecodable bytes of file names become `\udcff`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write standard JSON (no NaN) atomically; see `atomic_file`."""
    text = json.dumps(to_json(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def to_json(value: Any) -> Any:
    """Convert nested values and data classes to JSON types; nan and infinity become None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def remove_partial(folder: str | os.PathLike[str]) -> None:
    """Remove partial files of killed processes below a folder, and restore backups of folders.

    No other process may be writing there.
    """
    for path in [*Path(folder).rglob(f"{_BACKUP}*")]:
        recover_folder(path.with_name(path.name.removeprefix(_BACKUP)))
    for path in [*Path(folder).rglob(f"{PARTIAL}*")]:
        _remove(path)


@contextmanager
def refuse_damage(path: str | os.PathLike[str], remedy: str) -> Iterator[None]:
    """Raise FileFormatError, with the path and the remedy, for contents that cannot be used."""
    try:
        yield
    except FileFormatError:
        raise
    except (
        ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
    ) as error:  # fmt: skip
        raise FileFormatError(f"{path} cannot be used ({error}): {remedy}") from error


def read_versioned(
    path: str | os.PathLike[str], form: str, version: int, max_bytes: int, mend: str
) -> dict[str, Any]:
    """Read a JSON object that states its `format` and `version`; see `read_json`.

    Raises:
        ValueError: another format or version; `mend` says what to do.
    """
    content = read_json(path, max_bytes)
    if content["format"] != form or content["version"] != version:
        raise ValueError(f"not {form} version {version}: {mend}")
    return content


def read_json(path: str | os.PathLike[str], max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object from a file of bounded size.

    Raises:
        FileFormatError: the file is too large or is not a JSON object.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > max_bytes:
        raise FileFormatError(f"{path} is larger than {max_bytes:,} bytes: {_REMEDY}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON ({error}): {_REMEDY}") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} is not a JSON object: {_REMEDY}")
    return content


def map_tensors(path: str | os.PathLike[str], *needed: str) -> dict[str, np.ndarray]:
    """Open the tensors of a safetensors file, memory-mapped.

    Args:
        path: the file.
        needed: names of required tensors.

    Raises:
        FileFormatError: the file is damaged or truncated, or lacks a required tensor.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"{path} has no readable tensors ({error}): {_REMEDY}") from error
    if missing := set(needed) - set(tensors):
        raise FileFormatError(f"{path} lacks the tensor {min(missing)}: {_REMEDY}")
    return tensors


def _sync(path: Path) -> None:
    """Flush a file or folder to disk, where the file system supports it.

    Raises:
        OSError: the disk is full; some file systems report it only here.
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
    "refuse_damage",
    "remove_partial",
    "replace_folder",
    "to_json",
    "write_bytes",
    "write_json",
    "write_text",
]
