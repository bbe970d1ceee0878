"""Artifacts of a training run: local, on the Hub, or bundled with the package.

A run is a folder with `model/`, `moe/`, `outliers/` and `spectrum/`. A model folder or a repository
on the Hub may contain `moe/` and `outliers/` itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_FOLDERS = ("model", "ensemble")
MODEL_TYPES = ("specclip", "specclip_ensemble")
MAX_CONFIG_BYTES = 1 << 24
# Model bundled with the package, written by `make default-model`; copies of this file that are
# saved with weights have none.
BUNDLED = Path(__file__).resolve().parent.parent / "default_model"
BUNDLED_CARD = "card.json"
DEFAULT = "default"
# Files fetched from the Hub: data only, no code.
_HUB_PATTERNS = ("*.json", "*.jsonl", "*.jsonl.gz", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class TrainedRun:
    """Folders of a training run.

    Attributes:
        model: folder of the dual encoder.
        root: folder of the run; the same as `model` without a run.
        name: name or path of the request; for the bundled model, a description.
        notes: remarks on the model, shown with its results.
    """

    model: Path
    root: Path
    name: str
    notes: tuple[str, ...] = ()

    def folder(self, name: str, required_file: str = "config.json") -> Path | None:
        """Return a folder such as `moe/` of the model or the run; None without the file in it."""
        for parent in (self.model, self.root):
            if (parent / name / required_file).is_file():
                return parent / name
        return None


def find_run(name_or_path: str | os.PathLike[str] | None = None, **hub: Any) -> TrainedRun:
    """Find the folders of a training run; download them from the Hub if necessary.

    Args:
        name_or_path: a run, a model folder, or `user/name` on the Hub; None or `default` for the
            model bundled with the package (`./default` for a folder of that name).
        hub: passed to `huggingface_hub.snapshot_download` (`revision`, `token`, …).

    Raises:
        ValueError: there is no dual encoder; the message lists what was found.
        OSError: the download failed.
    """
    if name_or_path in (None, DEFAULT):
        return _bundled_run()
    name = os.fspath(name_or_path)
    folder = Path(name)
    local = folder.is_dir()
    if not local:
        refuse_missing_folder(name)
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(name, allow_patterns=list(_HUB_PATTERNS), **hub))
        except (OSError, ValueError) as error:
            raise OSError(
                f"{name} is not a local folder, and cannot be loaded from the Hub: {error}"
            ) from error
    for model in (folder, *(folder / subfolder for subfolder in MODEL_FOLDERS)):
        if model_type(model) in MODEL_TYPES:
            # The parent of a Hub snapshot contains other revisions, not the run.
            root = folder if model != folder else folder.parent if local else folder
            return TrainedRun(model, root, name)
    if (folder / "config.json").is_file():
        raise ValueError(
            f"{name} contains a {model_type(folder)} model; a dual encoder is required "
            f"({' or '.join(MODEL_TYPES)}), see model/ or ensemble/ of a run"
        )
    subfolders = sorted(path.parent.name for path in folder.glob("*/config.json"))
    hint = f"; it contains {', '.join(subfolders)}" if subfolders else ""
    raise ValueError(f"{name} is not a model folder (no config.json){hint}")


def _bundled_run() -> TrainedRun:
    path = BUNDLED / BUNDLED_CARD
    if not path.is_file():
        raise ValueError(
            "no model given, and this installation lacks the bundled one: name a model, or "
            "reinstall hf-specclip"
        )
    card = json.loads(path.read_text(encoding="utf-8"))
    name = f"bundled model ({card['training']['pairs']:,} simulated pairs)"
    notes = [f"{name}; choose another with --model"]
    if real := card.get("real"):
        shares = {level: real[f"coverage_{level}"] for level in (68, 90)}
        narrow = any(100 * share["high"] < level for level, share in shares.items())
        notes.append(
            f"coverage of its intervals on {real['rows']:,} real detections: "
            f"{shares[68]['value']:.0%} (68 %) and {shares[90]['value']:.0%} (90 %)"
            + ("; they are too narrow" if narrow else "")
        )
    return TrainedRun(BUNDLED, BUNDLED, name, tuple(notes))


def refuse_missing_folder(name: str) -> None:
    """Raise ValueError for a path to a missing folder, which cannot be a name on the Hub."""
    path = Path(name)
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise ValueError(f"there is no folder {name}")


def model_type(folder: Path) -> str:
    """Return the `model_type` of a folder's configuration, or "unknown"."""
    path = folder / "config.json"
    if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
        return "unknown"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): fetch or train the model again") from error
    return str(config.get("model_type")) if isinstance(config, dict) else "unknown"


__all__ = [
    "BUNDLED",
    "BUNDLED_CARD",
    "MODEL_TYPES",
    "TrainedRun",
    "find_run",
    "model_type",
    "refuse_missing_folder",
]
