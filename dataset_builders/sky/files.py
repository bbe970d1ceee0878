"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

PARTIAL = ".partial-"


class DiskError(RuntimeError):
    """The disk is full, or the allowance of it; the message says what to do."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, and give it its own when it is on the disk.

    Args:
        path: of the file; its folder is made.
        content: its bytes.

    Raises:
        DiskError: when there is no room.
    """
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            # Without this, a crash of the machine can leave the name on an empty file.
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(
                f"the disk of {path.parent} is full: make room and run again; nothing is lost"
            ) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left half-written. Nobody else may work in the folder."""
    for path in folder.rglob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)


__all__ = ["DiskError", "remove_partial", "write_whole"]
