"""Folders that are replaced only by whole ones, and files that lie in them and nowhere else."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


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


def refuse_links_out(folder: Path, error: type[Exception] = ValueError) -> None:
    """Refuse a folder in which a link leads out of it.

    Raises:
        ValueError: or `error`; names the link.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not stays_inside(folder, path):
            raise error(f"{path} leads out of {folder}: put the file itself there")


def stays_inside(folder: Path, path: Path) -> bool:
    """Whether a file that is reached through a folder lies in it, links followed.

    The snapshots of a Hub cache link to blobs beside them, which are the repository's own.
    """
    home, target = folder.resolve(), path.resolve()
    if target.is_relative_to(home):
        return True
    parts = home.parts
    if "snapshots" not in parts:
        return False
    place = len(parts) - 1 - parts[::-1].index("snapshots")
    return target.is_relative_to(Path(*parts[:place]) / "blobs")


__all__ = ["refuse_links_out", "replace_folder", "stays_inside"]
