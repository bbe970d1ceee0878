"""Atomic writes and memory-mapped tensors.

A file or folder gets its name only once it is complete and on disk: a reader sees all of it or
nothing, and a killed process leaves at most something whose name starts with `.partial-`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FileFormatError, SpecCLIPError

PARTIAL = ".partial-"
MAX_JSON_BYTES = 1 << 24
_MEND = "fetch or build it again"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskError(SpecCLIPError, RuntimeError):
    """The disk is full, or the allowance of it; the message says what to do."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically.

    Args:
        path: the file to make or replace; its folder is made.

    Yields:
        The temporary path to write to. It has the same suffix, and replaces `path` when the block
        ends; after an error it is removed and `path` is as it was.

    Raises:
        DiskError: when there is no room.
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        # Without this, a crash of the machine can leave the name on an empty file.
        _sync(partial)
        partial.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            raise DiskError(
                f"the disk of {path.parent} is full: make room and run again; nothing is lost"
            ) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder atomically.

    Args:
        target: the folder to make or replace; an older one stays until the new one is complete.

    Yields:
        The temporary folder to fill.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{target.name}-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's 0700 would hide the result from other users
        for path in [*partial.rglob("*"), partial]:
            _sync(path)
        replace_folder(partial, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(folder: Path, target: Path) -> None:
    """Rename a complete folder to `target`.

    A folder with content cannot be replaced in one step: the old one steps aside, and comes back
    where the second step fails.

    Raises:
        OSError: when it cannot be renamed; `target` is then as it was.
    """
    if not target.exists():
        folder.replace(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{target.name}-", dir=target.parent))
    target.replace(aside / target.name)
    try:
        folder.replace(target)
    except OSError:
        (aside / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically; see `atomic_file`."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; see `atomic_file`."""
    write_bytes(path, text.encode())


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

    No other process may be writing there.
    """
    for path in Path(folder).rglob(f"{PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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
    "map_tensors",
    "read_json",
    "remove_partial",
    "replace_folder",
    "to_json",
    "write_bytes",
    "write_json",
    "write_text",
]
