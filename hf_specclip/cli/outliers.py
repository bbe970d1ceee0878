"""`specclip outliers`: which spectra are unlike the others."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .file_arguments import add_file_arguments, print_json
from .model_arguments import DescribedFiles, add_model_arguments, load_describer

DESCRIPTION = """\
Score how unlike the sources a model has learned from spectra are, oddest first. The score is the
mean distance to the nearest spectra in the shared space; the percentile is the share of reference
spectra, which the model was not trained on, that are less odd.

  specclip outliers --model runs/demo *.pha
  specclip outliers --model runs/demo --above 99 --json *.pha
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `outliers` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "outliers",
        help="which spectra are unlike the others",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser, ("outliers",))
    parser.add_argument(
        "--above", type=_percent, default=0.0, metavar="P", help="only from this percentile on"
    )
    add_file_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Score the files; 1 where one could not be read, else 0."""
    describer = load_describer(arguments, ("index", "outliers"))
    if describer.outliers is None:
        raise ValueError(
            f"{describer.name} has no outliers/ inside or beside it: name it by --outliers"
        )
    files = DescribedFiles(arguments, describer, top_k=1)
    found = [{"file": one.file, **asdict(one.outlier)} for one in files if one.outlier is not None]
    found = [one for one in found if one["percentile"] >= arguments.above]
    found.sort(key=lambda one: -one["score"])
    if arguments.json:
        print_json(found)
        return files.status
    for one in found:
        print(f"{one['percentile']:6.1f} %  {one['score']:.4f}  {one['file']}")
        for words in one["odd"]:
            print(f"          {words}")
    return files.status


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("must be from 0 to 100")
    return value


__all__ = ["add_command", "run"]
