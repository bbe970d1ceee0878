"""Other people's code to measure against, where it is installed: None where it is not."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any


def installed(name: str) -> Any:
    """Import a module; None where it is absent or does not load here."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, OSError):
        return None


def open_clip_loss() -> Any:
    """Load open_clip's `ClipLoss` out of its file alone: the package would pull in torchvision."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "loss.py"
    found = importlib.util.spec_from_file_location("open_clip_loss", path)
    if found is None or found.loader is None:
        return None
    module = ModuleType("open_clip_loss")
    found.loader.exec_module(module)
    return module.ClipLoss
