"""Work on more rows than one process or one run gets through: cut into units, a file for each.

A unit's file appears whole or not at all, so a rerun makes what is missing, on any number of
processes; which of them made a file leaves no trace in it. The files together are one table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator
from specclip_training.engine.checkpoint import CheckpointError, check_identity
from tqdm.auto import tqdm

from hf_specclip.storage import remove_partial, write_json

# pyarrow and datasets pass over what begins with an underscore.
JOB_FILE = "_job.json"


def work_through(
    accelerator: Accelerator,
    units: Sequence[Any],
    folder: str | Path,
    make: Callable[[Any], pa.Table],
    *,
    identity: Mapping[str, Any],
    what: str = "unit",
    progress: bool = True,
) -> list[Path]:
    """Make the table of every unit that has no file yet, shared over the processes.

    Args:
        accelerator: who shares the work; all its processes must call.
        units: what there is to do; the same list on every process.
        folder: where the files are (`part-000007-of-000100.parquet`); made where absent.
        make: gives the rows of a unit.
        identity: all that decides the rows, as plain values; a folder of other rows is refused.
        what: name of a unit, for the bar.
        progress: show a bar on the main process.

    Returns:
        The files of all units in order, on every process, once all are there.

    Raises:
        CheckpointError: when the folder holds other work.
    """
    folder = Path(folder)
    identity = {**identity, "units": len(units)}
    if accelerator.is_main_process:
        _claim(folder, identity)
        remove_partial(folder)
    accelerator.wait_for_everyone()
    paths = [
        folder / f"part-{number:06d}-of-{len(units):06d}.parquet" for number in range(len(units))
    ]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    hidden = not (progress and accelerator.is_main_process)
    for number in tqdm(mine, desc=folder.name, unit=what, disable=hidden):
        _write(make(units[number]), paths[number])
    accelerator.wait_for_everyone()
    return paths


def _claim(folder: Path, identity: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    job = folder / JOB_FILE
    if not job.is_file():
        foreign = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
        if foreign:
            raise CheckpointError(
                f"{folder} holds {foreign[0]}, which no such job made: choose another --output"
            )
        write_json(job, identity)
        return
    try:
        found = json.loads(job.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{job} cannot be read ({error}): remove {folder} to start again"
        ) from None
    check_identity(found, identity, folder)


def _write(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".partial-{path.name}-{os.getpid()}")
    try:
        pq.write_table(table, partial, compression="zstd")
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


__all__ = ["JOB_FILE", "work_through"]
