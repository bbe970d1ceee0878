"""Atomic checkpoints: tensors in safetensors, plain values in JSON.

Accelerate's `save_state` pickles the optimizer and the random state, and whoever reads a pickle
executes it; here nothing is pickled, and there is no random state (see `engine.draws`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import atomic_folder, to_json, write_json

STATE_FILE = "state.json"
TRAINING_FILE = "training.json"
KEEP = 2


class CheckpointError(SpecCLIPError, RuntimeError):
    """A checkpoint or result that cannot be used; the message says why and what to do."""


@dataclass
class TrainingState:
    """State of a stage after `step` steps.

    Attributes:
        step: steps taken.
        tensors: name of a group (`model`, `best`, `optimizer`) to its tensors by name.
        values: plain values, such as the history.
    """

    step: int
    tensors: dict[str, dict[str, torch.Tensor]]
    values: dict[str, Any] = field(default_factory=dict)


class CheckpointFolder:
    """Folder of the checkpoints of one stage.

    Args:
        folder: its path.
        identity: all that decides the stage's weights (preset, dataset, seed, …) as plain values. A
            checkpoint of another identity is refused.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, Any]):
        self.folder = Path(folder)
        self.identity = to_json(identity)

    def save(self, state: TrainingState) -> Path:
        """Write a checkpoint and drop the oldest; only one process may call this."""
        target = self.folder / f"step-{state.step:08d}"
        with atomic_folder(target) as partial:
            for group, tensors in state.tensors.items():
                save_file(
                    {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
                    str(partial / f"{group}.safetensors"),
                )
            content = {
                "step": state.step,
                "groups": sorted(state.tensors),
                "identity": self.identity,
                "values": state.values,
            }
            write_json(partial / STATE_FILE, content)
        for old in self._steps()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def latest(self) -> TrainingState | None:
        """Return the newest checkpoint that can be read, None where there is none.

        Raises:
            CheckpointError: when it was made for another identity.
        """
        for path in reversed(self._steps()):
            try:
                content = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
                tensors = {g: load_file(path / f"{g}.safetensors") for g in content["groups"]}
                identity, step = content["identity"], int(content["step"])
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                warnings.warn(
                    f"{path} is damaged and skipped ({error})", RuntimeWarning, stacklevel=2
                )
                continue
            check_identity(identity, self.identity, path)
            return TrainingState(step, tensors, content["values"])
        return None

    def _steps(self) -> list[Path]:
        # Names hold the step with leading zeros.
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())


def check_identity(saved: Any, expected: Mapping[str, Any], folder: Path) -> None:
    """Refuse results in a folder that were made with other settings than those of this run.

    Raises:
        CheckpointError: naming the differences and the mend.
    """
    before, now = dict(_flatten(saved)), dict(_flatten(to_json(expected)))
    differences = [
        f"{key}: was {before.get(key, 'absent')}, now {now.get(key, 'absent')}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, "absent") != now.get(key, "absent")
    ]
    if differences:
        shown = "; ".join(differences[:5]) + ("; …" if len(differences) > 5 else "")
        raise CheckpointError(
            f"{folder} was made with other settings ({shown}). Give --overwrite to start again "
            "there, or another --output to keep it"
        )


def read_record(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the record that finished work left in its folder; None where there is none.

    Raises:
        CheckpointError: when it was made with other settings, or cannot be read.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        saved = record["identity"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): remove {path.parent} to start again"
        ) from None
    check_identity(saved, identity, path.parent)
    return record


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a short hash of named tensors: of their names, shapes, types and bits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path or "identity", value
