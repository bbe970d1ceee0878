"""`specclip report`: many spectra as one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .file_arguments import add_file_arguments, print_json
from .model_arguments import (
    DescribedFiles,
    add_model_arguments,
    load_describer,
    positive,
    write_output,
)

DESCRIPTION = """\
Describe spectra on one HTML page that needs nothing from elsewhere: an overview, then for each its
plot, literature with links, similar sources, class, variables and how unlike others it is.

  specclip report --model runs/demo -o report.html *.pha
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `report` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "report",
        help="many spectra as one page",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser, ("moe", "outliers", "index"))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="write it")
    parser.add_argument("--title", help="of the page")
    parser.add_argument(
        "--top", type=positive, default=5, metavar="K", help="texts and sources (default 5)"
    )
    add_file_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Write the page; 1 where a file could not be read or described, else 0."""
    from ..describe.html import page

    describer = load_describer(arguments, ("index", "moe", "outliers", "classes"))
    files = DescribedFiles(arguments, describer, arguments.top)
    found = list(files)
    if found:
        write_output(page(found, arguments.title), arguments.output)
    written = {"output": str(arguments.output) if found else None, "spectra": len(found)}
    if arguments.json:
        print_json(written)
    elif found:
        print(f"{len(found)} spectra → {arguments.output}")
    else:
        print("specclip: nothing to report", file=sys.stderr)
    return files.status


__all__ = ["add_command", "run"]
