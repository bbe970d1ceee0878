"""Command `specclip dataset tables`: a dataset from local Parquet tables."""

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
        "abstracts; no API key or network is needed.",
        epilog=_columns(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the tables")
    parser.add_argument(
        "--survey-limit",
        type=int,
        default=SURVEY_LIMIT,
        help="papers about more sources are surveys: they do not link sources, and no summary "
        "rests on them alone (default %(default)s)",
    )
    parser.add_argument(
        "--keep-survey-only",
        action="store_true",
        help="keep sources with survey papers only (many will share one text)",
    )
    parser.add_argument(
        "--abstracts",
        action="store_true",
        help="use titles and abstracts instead of summaries, from X-ray papers (xray = true) about "
        "the source itself (about = source)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits (default 0)")
    parser.add_argument(
        "--hash-splits",
        action="store_true",
        help="split by the sha256 of the group name instead of at random, as `python -m "
        "specclip_training.transfer` does",
    )
    parser.add_argument("--output", type=Path, required=True, help="output folder")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing dataset")
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
