"""Join the shards of a build into one work folder, in which the build goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import PARTIAL, write_bytes

from . import counts
from .build import BEGUN_FILE, SHARD_STAGES
from .finished import QUEUE_FILE
from .literature import embeddings
from .literature.answers import AnswerCache
from .services import catalogue, full_texts
from .services.archive import FOLDER as SPECTRA_FOLDER
from .work.queue import WorkQueue
from .work.shard import Shard

ANSWERS_FILE = "answers.sqlite"
_FOLDERS = (catalogue.FOLDER, counts.FOLDER, full_texts.FOLDER, embeddings.FOLDER)
# What the queue calls what the stages of a shard leave.
_QUEUE_STAGES = (
    "selection",
    "names",
    "catalogue",
    "simbad",
    "ads-objects",
    "papers",
    "full_texts",
    "spectra",
    "counts",
)


class MergeError(SpecCLIPError, RuntimeError):
    """Folders that are not the shards of one build; the message says what is wrong with which."""


def merge_shards(shards: Sequence[str | Path], work: str | Path, *, spectra: bool = False) -> int:
    """Join shards. Killed, it may be run again.

    Args:
        shards: their work folders, all of one build; they stay as they are.
        work: the folder to make.
        spectra: bring the archive's files along. What is in bins is enough for the dataset.

    Returns:
        How many items of the queues came together.

    Raises:
        MergeError: when a shard is missing, is not finished or belongs to another build.
        QueueError: when one is still worked on.
    """
    folders, work = [Path(shard) for shard in shards], Path(work)
    begun = _check(folders)
    if (work / BEGUN_FILE).is_file() and _begun(work) != begun:
        raise MergeError(f"{work} holds the work of another build: name another --work folder")
    for folder in folders:
        for name in (*_FOLDERS, *((SPECTRA_FOLDER,) if spectra else ())):
            _bring(folder / name, work / name)
    queue = WorkQueue(work / QUEUE_FILE)
    merged = queue.merge(folder / QUEUE_FILE for folder in folders)
    answers = [folder / ANSWERS_FILE for folder in folders if (folder / ANSWERS_FILE).is_file()]
    if answers:
        AnswerCache(work / ANSWERS_FILE).merge(answers)
    write_bytes(work / BEGUN_FILE, json.dumps(begun, indent=1).encode())
    return merged


def _check(folders: Sequence[Path]) -> dict[str, Any]:
    """Refuse what are not all the shards of one build; gives what the whole is to be."""
    begun = {folder: _begun(folder) for folder in folders}
    first = begun[folders[0]]
    numbers: dict[int, Path] = {}
    of = None
    for folder, found in begun.items():
        if not found.get("shard"):
            raise MergeError(f"{folder} is no shard: it was built without --shard")
        shard = Shard.parse(found["shard"])
        of = of or shard.of
        differ = [k for k in ("selection", "kinds", "version") if found[k] != first[k]]
        if differ or shard.of != of:
            what = ", ".join(differ) or "number of shards"
            raise MergeError(f"{folder} belongs to another build than {folders[0]}: {what} differ")
        if shard.number in numbers:
            raise MergeError(f"{folder} and {numbers[shard.number]} are both shard {shard}")
        numbers[shard.number] = folder
        queue = WorkQueue(folder / QUEUE_FILE)
        for stage in _QUEUE_STAGES:
            states = queue.counts(stage)
            left = states["wanted"] + states["claimed"]
            if left:
                raise MergeError(
                    f"{folder} is not finished ({left:,} items of `{stage}` are left): build with "
                    f"--shard {shard} to its end, then merge"
                )
        if not sum(queue.counts("counts").values()) and sum(queue.counts("spectra").values()):
            raise MergeError(
                f"{folder} has spectra that are not in bins: build with --shard {shard} up to "
                f"`{SHARD_STAGES[-1]}`, then merge"
            )
    missing = [str(n) for n in range(1, (of or 0) + 1) if n not in numbers]
    if missing:
        raise MergeError(f"of {of} shards, {', '.join(missing)} are missing: name all of them")
    date = min(found["date"] for found in begun.values())
    return {**first, "shard": None, "date": date}


def _begun(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / BEGUN_FILE).read_text(encoding="utf-8"))
        return {key: found[key] for key in ("selection", "kinds", "shard", "version", "date")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MergeError(
            f"{folder} is no work folder of a build ({BEGUN_FILE}: {type(error).__name__})"
        ) from None


def _bring(source: Path, target: Path) -> None:
    """Link files to another folder, or copy them where it lies on another disk."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.name.startswith(PARTIAL):
            continue
        place = target / path.relative_to(source)
        if place.is_file():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f"{PARTIAL}{path.name}")
        partial.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(path, partial)
        if not partial.is_file():
            shutil.copyfile(path, partial)
        partial.replace(place)


__all__ = ["MergeError", "merge_shards"]
