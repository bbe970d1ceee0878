"""What may be published: which files make a model, a head, a dataset, and what is refused."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SpecCLIPError
from ..models.checkpoint_specclip import stays_inside

CARD_FILE = "README.md"
METRICS_FILE = "metrics.json"
MAX_CONFIG_BYTES = 1 << 20
# What holds or may hold a pickle, which runs code where it is read.
PICKLES = (
    "*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.npy", "*.npz",
    "*.h5", "*.msgpack",
)  # fmt: skip
_MODEL_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "*.py",
)
_EXTRACTOR = "preprocessor_config.json"
_DETECTOR = ("detector.json", "reference.jsonl", "detector.safetensors")


class PublishError(SpecCLIPError, ValueError):
    """Nothing was published, or not all of it; the message says what stands and the way out."""


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be published.

    Attributes:
        name: as the command takes it.
        repo_type: of the Hub.
        needed: files that must be there, as patterns.
        files: files that are published where they are there, as patterns; others stay at home.
        model_types: what `config.json` may say, or empty.
        made_by: what makes such a folder, for messages.
    """

    name: str
    repo_type: str
    needed: tuple[str, ...]
    files: tuple[str, ...]
    model_types: tuple[str, ...] = ()
    made_by: str = "training leaves one"

    @property
    def tag(self) -> str:
        """Marks the repository as one of this kind, so that no other takes its place."""
        return f"specclip-{self.name}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "model",
            "model",
            # The extractor's settings lie in either of two files of similar names.
            needed=("config.json", "model*.safetensors", "*processor_config.json"),
            files=(
                *_MODEL_FILES, "*processor_config.json", "tokenizer*.json", "vocab.*",
                "special_tokens_map.json", "merges.txt", "gallery/*", "zero_shot/*",
                "known_texts/*",
                # Of a folder that brings its head and detector along.
                *(f"moe/{name}" for name in _MODEL_FILES),
                *(f"outliers/{name}" for name in _DETECTOR),
            ),
            model_types=("specclip", "specclip_ensemble"),
            made_by="training leaves one in model/, training/ensemble.py in ensemble/",
        ),
        Kind(
            "moe",
            "model",
            needed=("config.json", "model*.safetensors"),
            files=_MODEL_FILES,
            model_types=("specclip_moe",),
            made_by="training leaves one in moe/",
        ),
        Kind(
            "spectrum",
            "model",
            needed=("config.json", "model*.safetensors", _EXTRACTOR),
            files=(*_MODEL_FILES, _EXTRACTOR),
            model_types=("specclip_spectrum",),
            made_by="training leaves one in spectrum/",
        ),
        Kind(
            "outliers",
            "model",
            needed=_DETECTOR,
            files=_DETECTOR,
            made_by="training leaves one in outliers/",
        ),
        Kind(
            "dataset",
            "dataset",
            needed=("data/*.parquet",),
            # A build from the sky brings two configurations beside its pairs.
            files=(
                "specclip_dataset.json",
                "data/*.parquet",
                "embedded/*.parquet",
                "spectra/*.parquet",
            ),
            made_by="python -m specclip_datasets makes one",
        ),
        Kind("metric", "space", needed=("*.py",), files=("*.py", "requirements.txt")),
        Kind("space", "space", needed=(), files=()),
    )
}  # fmt: skip


def files_of(kind: Kind, folder: Path) -> dict[str, Path]:
    """The files to be published: path in the repository -> file. The card is not among them.

    Raises:
        PublishError: a file is missing, or one is there that no repository of ours may hold.
    """
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}: {kind.made_by}")
    found = dict(_walk(folder))
    pickles = [name for name in found if _matches(Path(name).name, PICKLES)]
    if pickles and kind.repo_type == "model":
        raise PublishError(
            f"{folder} holds {', '.join(sorted(pickles)[:3])}: only safetensors are published, "
            "because a pickle runs code where it is read. Convert the weights with "
            "safetensors.torch.save_file, and move the file away"
        )
    chosen = {name: path for name, path in found.items() if _matches(name, kind.files)}
    if kind.model_types and "config.json" in chosen:
        _check_type(kind, folder)
    for pattern in kind.needed:
        if not any(fnmatch.fnmatch(name, pattern) for name in chosen):
            below = sorted(path.parent.name for path in folder.glob("*/config.json"))
            hint = f" Below it: {', '.join(below)}." if below and kind.model_types else ""
            raise PublishError(
                f"{folder} has no {pattern}, which a {kind.name} needs: {kind.made_by}.{hint}"
            )
    if kind.model_types:
        _check_code(folder, chosen)
    return chosen


def without_places(path: Path) -> bytes:
    """A `config.json` without the folders of the machine it was made on, else as it is."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: cleaned(v) for k, v in value.items() if k != "_name_or_path"}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    config = read_json(path)
    kept = cleaned(config)
    if kept == config:
        return path.read_bytes()
    return (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object.

    Raises:
        PublishError: it is too large, or no JSON object.
    """
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise PublishError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PublishError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise PublishError(f"{path} is no JSON object")
    return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or "__pycache__" in name:
            continue
        if path.is_file():
            if not stays_inside(folder, path):
                raise PublishError(
                    f"{path} leads out of {folder}: put the file itself there, or remove the link"
                )
            yield name, path


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    # fnmatch's * crosses folders; a pattern here does not.
    return any(
        fnmatch.fnmatch(name, pattern) and name.count("/") == pattern.count("/")
        for pattern in patterns
    )


def _check_type(kind: Kind, folder: Path) -> None:
    path = folder / "config.json"
    found = read_json(path).get("model_type")
    if found not in kind.model_types:
        right = next((k.name for k in KINDS.values() if found in k.model_types), None)
        hint = f": specclip publish {right}" if right else ""
        raise PublishError(f"{path} is of a {found!r} model, which is no {kind.name}{hint}")


def _check_code(folder: Path, files: Mapping[str, Path]) -> None:
    """The model files that `trust_remote_code` needs are all there."""
    path = folder / "config.json"
    config = read_json(path)
    classes = config.get("auto_map")
    if not isinstance(classes, dict) or not classes:
        raise PublishError(
            f"{path} names no classes (auto_map): save the model again with save_pretrained, so "
            "that it loads with trust_remote_code where hf_specclip is not installed"
        )
    pipelines = config.get("custom_pipelines") or {}
    named = [*classes.values(), *(each.get("impl") for each in pipelines.values())]
    wanted = {f"{str(name).split('.')[0]}.py" for name in named}
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in files:
            raise PublishError(
                f"{folder} lacks {name}, which its config or code needs: save the model again with "
                "save_pretrained"
            )
        seen.add(name)
        code = files[name].read_text(encoding="utf-8")
        imported = re.findall(r"^\s*from \.(\w+) import", code, re.MULTILINE)
        wanted |= {f"{module}.py" for module in imported} - seen


__all__ = ["KINDS", "Kind", "PublishError", "files_of", "read_json", "without_places"]
