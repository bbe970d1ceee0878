"""Writer of the dataset folder of a finished build."""

from __future__ import annotations

from pathlib import Path

from ..folder import write_dataset
from ..splits import describe_splits
from .assemble import PAIRS
from .finished import read_finished

VERSION = "0.2.0"


def write_csc(
    work: str | Path, output: str | Path, *, overwrite: bool = False, progress: bool = False
) -> str:
    """Write the dataset of a finished work folder, with every configuration that it has.

    These are `default` (counts and summaries), `embedded` (with text embeddings, where the build
    made them) and `spectra` (all detections by themselves, for pretraining). Nothing is fetched.

    Args:
        work: the folder that `specclip dataset build` leaves (`OUTPUT.work` by default).
        output: the folder to write.
        overwrite: replace a dataset that is already there.
        progress: show a bar.

    Returns:
        Sizes of the splits, for people.

    Raises:
        AssembleError: when the build has not come to its end.
        DatasetFolderError: when the output may not be written.
    """
    assembly, info = read_finished(work)
    write_dataset(
        output,
        assembly.streams(PAIRS),
        info,
        more={name: assembly.streams(name) for name in assembly.configurations[1:]},
        overwrite=overwrite,
        progress=progress,
    )
    rows = assembly.rows
    return describe_splits(list(rows.groups[rows.paired]), list(rows.splits[rows.paired]))


__all__ = ["VERSION", "write_csc"]
