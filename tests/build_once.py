"""Artifacts that all pytest workers share: whoever needs one first builds it, under a file lock."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return a folder of this test session that `build` has filled, once for all workers.

    Args:
        factory: the fixture `tmp_path_factory`.
        name: name of the folder, unique in the session.
        build: function that fills the empty folder. Tests only read it afterwards.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker's folder is inside the session's
        root = root.parent
    folder = root / f"shared-{name}"
    complete = folder.with_suffix(".complete")
    with FileLock(folder.with_suffix(".lock")):
        if not complete.exists():
            folder.mkdir()
            build(folder)
            complete.touch()
    return folder
