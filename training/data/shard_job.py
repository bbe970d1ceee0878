"""Resumable job over units of work, shared by processes: one Parquet file for each unit.

A unit's file appears whole or not at all, so a rerun makes what is missing, on any number of
processes; which of them made a file leaves no trace in it. The files together are one table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator
from tqdm.auto import tqdm

from hf_specclip.cli.run_command import run_command
from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import atomic_file, remove_partial, write_json
from specclip_training.engine.checkpoint import CheckpointError, read_record

# pyarrow and datasets skip names that begin with an underscore.
JOB_FILE = "_job.json"


def run_units(
    accelerator: Accelerator,
    units: Sequence[Any],
    folder: str | Path,
    make: Callable[[Any], pa.Table],
    *,
    identity: Mapping[str, Any],
    progress: bool = True,
) -> list[Path]:
    """Make the table of every unit that has no file yet, shared by the processes.

    Args:
        accelerator: all its processes must call.
        units: units of work; the same list on every process.
        folder: folder of the files (`part-000007-of-000100.parquet`); made where absent.
        make: returns the rows of a unit.
        identity: all that decides the rows, as plain values; a folder of other rows is refused.
        progress: show a bar on the main process.

    Returns:
        The files of all units in order, on every process, once all are there.

    Raises:
        CheckpointError: when the folder holds other work.
    """
    folder = Path(folder)
    n = len(units)
    if accelerator.is_main_process:
        _check_folder(folder, {**identity, "units": n})
        remove_partial(folder)
    accelerator.wait_for_everyone()
    paths = [folder / f"part-{number:06d}-of-{n:06d}.parquet" for number in range(n)]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    hidden = not (progress and accelerator.is_main_process)
    for number in tqdm(mine, desc=folder.name, unit="file", disable=hidden):
        with atomic_file(paths[number]) as partial:
            pq.write_table(make(units[number]), partial, compression="zstd")
    accelerator.wait_for_everyone()
    return paths


def call_job(
    main: Callable[[argparse.Namespace], Accelerator], arguments: argparse.Namespace
) -> int:
    """Run a command that works through units.

    Returns:
        0, or 2 after an error that the user can mend, which is printed as one line.
    """

    def work() -> None:
        accelerator = main(arguments)
        accelerator.wait_for_everyone()
        accelerator.end_training()

    return run_command("error", work, failed=2, expected=(SpecCLIPError, OSError, ImportError))


def _check_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Mark a new folder as this job's, and refuse one of another."""
    folder.mkdir(parents=True, exist_ok=True)
    if read_record(folder / JOB_FILE, identity) is not None:
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    if foreign:
        raise CheckpointError(
            f"{folder} holds {foreign[0]}, which this command did not write: choose another "
            "--output"
        )
    write_json(folder / JOB_FILE, {"identity": identity})
