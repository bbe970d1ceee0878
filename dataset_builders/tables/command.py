"""`specclip dataset tables`: turn local Parquet tables into a dataset."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..folder import check_may_write
from ..splits import SURVEY_LIMIT, describe_splits
from . import builder
from .builder import LocalTables


def add_command(commands: Any) -> None:
    """Add `tables` to the commands."""
    parser = commands.add_parser(
        "tables",
        help="turn local tables of detections and sources into a dataset",
        description="Turn tables of detections (PI counts and catalogue columns) and sources\n"
        "(papers, hosts) into a dataset. Summaries are sentences of the papers'\n"
        "abstracts: no key and no network are needed.",
        epilog=_columns(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the tables")
    parser.add_argument(
        "--survey-limit",
        type=int,
        default=SURVEY_LIMIT,
        help="a paper behind more sources is a survey: it links none and feeds no summary alone "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--keep-survey-only",
        action="store_true",
        help="keep sources that only surveys are about; many will share one text",
    )
    parser.add_argument(
        "--abstracts",
        action="store_true",
        help="titles and abstracts as they are in place of summaries, of papers that are about the "
        "source (about = source) and speak of X-rays (xray = true)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits (default 0)")
    parser.add_argument(
        "--hash-splits",
        action="store_true",
        help="splits by the sha256 of a group's name, in place of a draw: those that `python -m "
        "specclip_training.transfer` measures on",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is already there"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the dataset; returns 0.

    Raises:
        LocalTablesError: naming file, column, row and mend.
        DatasetFolderError: when the output may not be written.
    """
    check_may_write(options.output, overwrite=options.overwrite)
    start = time.monotonic()
    tables = LocalTables(
        options.folder,
        survey_limit=options.survey_limit,
        keep_survey_only=options.keep_survey_only,
        abstracts=options.abstracts,
        seed=None if options.hash_splits else options.seed,
    )
    plan = tables.plan
    print(plan.counts)
    tables.write(options.output, overwrite=options.overwrite, progress=True)
    rows = np.flatnonzero(plan.split != "")
    print(describe_splits(plan.group[rows], plan.split[rows]))
    print(f"{options.output}: {len(rows)} pairs in {time.monotonic() - start:.0f} s")
    return 0


def _columns() -> str:
    """Return the part of the builder's documentation that lists files and columns."""
    return (builder.__doc__ or "").partition("\n\n")[2]


__all__ = ["add_command", "run"]
