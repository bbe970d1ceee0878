"""Command `specclip dataset tables`: a dataset from local Parquet tables."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.cli.arguments import add_parser

from ..folder import check_may_write
from ..splits import SURVEY_LIMIT, describe_splits
from . import builder
from .builder import LocalTables

DESCRIPTION = """\
Turn tables of detections (PI counts and catalogue columns) and sources (papers, hosts) into a
dataset. Summaries are sentences of the papers' abstracts; no API key or network is needed.

"""


def add_command(commands: Any) -> None:
    """Add `tables` to the commands."""
    summary = "turn local tables of detections and sources into a dataset"
    # The builder's documentation lists files and columns.
    description = DESCRIPTION + (builder.__doc__ or "").partition("\n\n")[2]
    parser = add_parser(commands, "tables", summary, description, run)
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
    parser.add_argument(
        "--hash-splits",
        action="store_true",
        help="split by the sha256 of the group name instead of at random, as `python -m "
        "specclip_training.transfer` does",
    )
    add_output_options(parser)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the output folder, the seed of the splits and `--overwrite`."""
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="output folder")
    add("--seed", type=int, default=0, help="seed of the splits (default 0)")
    add("--overwrite", action="store_true", help="replace an existing dataset")


def run(options: argparse.Namespace) -> int:
    """Write the dataset; returns 0.

    Raises:
        LocalTablesError: invalid cell; the message names file, column and row.
        DatasetFolderError: the output cannot be written.
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
