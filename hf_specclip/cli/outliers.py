"""The `specclip outliers` command: outlier scores of spectra."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .arguments import add_parser, print_json
from .file_arguments import add_file_arguments
from .model_arguments import BATCH_SIZE, DescribedFiles, add_model_arguments, load_describer

DESCRIPTION = """\
Rank spectra by outlier score, highest first. The score is the mean distance to the nearest spectra
in the shared space; the percentile compares it with held-out reference spectra.

  specclip outliers *.pha
  specclip outliers --model runs/demo --above 99 --json *.pha
"""


def add_command(subparsers: Any) -> None:
    """Add the `outliers` command."""
    parser = add_parser(subparsers, "outliers", "outlier scores of spectra", DESCRIPTION, run)
    add_model_arguments(parser, ("outliers",))
    parser.add_argument(
        "--above",
        type=_percentile,
        default=0.0,
        metavar="P",
        help="only spectra of this percentile or higher",
    )
    add_file_arguments(parser, BATCH_SIZE)


def run(arguments: argparse.Namespace) -> int:
    """Score the files; return the exit status."""
    # The index resolves names of sources.
    describer = load_describer(arguments, ("index", "outliers"))
    if describer.outliers is None:
        raise ValueError(f"{describer.name} has no outliers/ inside or beside it: give --outliers")
    files = DescribedFiles(arguments, describer, top_k=1)
    scores: list[dict[str, Any]] = []
    withheld: list[dict[str, Any]] = []
    for description in files:
        outlier, reason = description.outlier, description.withheld.get("outlier")
        if outlier is None:
            withheld.append({"file": description.file, "score": None, "withheld": reason})
        elif outlier.percentile >= arguments.above:
            scores.append({"file": description.file, **asdict(outlier), "withheld": None})
    scores.sort(key=lambda score: -score["score"])
    if arguments.json:
        print_json(scores + withheld)
        return files.status
    if scores:
        print("percentile   score  file")
    for score in scores:
        print(f"{score['percentile']:10.1f}  {score['score']:.4f}  {score['file']}")
        for reason in score["reasons"]:
            print(f"                    {reason}")
    for each in withheld:
        print(f"  withheld          {each['file']}: {each['withheld']}")
    return files.status


def _percentile(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("must be from 0 to 100")
    return value
