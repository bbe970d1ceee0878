"""Folders that are replaced only by whole ones."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when the block ends, and goes where it fails.

    Args:
        target: its name to be; an older one there stays until then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield fresh
        fresh.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
        replace_folder(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def replace_folder(fresh: Path, target: Path, prefix: str | None = None) -> None:
    """Give a finished folder its name; an older one there stays until the new one has it.

    A folder with content cannot be replaced in one step: the old one steps aside, and comes back
    where the second step fails.

    Args:
        fresh: the finished folder, beside `target`.
        target: its name to be.
        prefix: what the name of the folder beside `target`, where the old one waits, starts with.

    Raises:
        OSError: when it cannot be renamed; `target` is then as it was.
    """
    if not target.exists():
        fresh.replace(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=prefix or f".{target.name}-old-", dir=target.parent))
    target.replace(aside / target.name)
    try:
        fresh.replace(target)
    except OSError:
        (aside / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


__all__ = ["replace_folder", "whole_folder"]
