"""`specclip describe`: everything a trained model says of a spectrum."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .file_arguments import add_file_arguments, print_json
from .model_arguments import (
    DescribedFiles,
    add_model_arguments,
    load_describer,
    positive,
    write_output,
)

if TYPE_CHECKING:
    from ..describe.description import Description

DESCRIPTION = """\
Say what a spectrum is and what it is like: the literature it comes closest to, similar sources of
the catalogue, its class, twenty physical variables with 68 % intervals, and how unlike the other
sources it is. FILE is a PHA file (ARF, RMF and background are found by themselves), or the name of
a source that the model's index knows.

  specclip describe --model runs/demo acisf01575_001N001_r0085_pha3.fits.gz
  specclip describe --model user/name --format html -o source.html --plot source.png source.pi
  specclip describe --model runs/demo --format ecsv -o sources.ecsv *.pha
  specclip describe --model runs/demo "2CXO J004722.6-252050"

Where the model was trained on simulated sources, the papers and sources it names are invented, and
this is said. Classes are told by what they are called, and their probabilities take for granted
that the source is of one of them; variables are those the Chandra Source Catalog would give.
"""
FORMATS = ("text", "json", "ecsv", "votable", "html")


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `describe` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "describe",
        help="what a spectrum is and what it is like",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser, ("moe", "outliers", "index"))
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default text)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there")
    parser.add_argument("--plot", type=Path, metavar="IMAGE", help="also draw it (png, pdf, svg)")
    parser.add_argument(
        "--top", type=positive, default=5, metavar="K", help="texts and sources (default 5)"
    )
    add_file_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Describe the files; 1 where one could not be read or described, else 0."""
    kind = "json" if arguments.json else arguments.format
    describer = load_describer(arguments, ("index", "moe", "outliers", "classes"))
    files = DescribedFiles(arguments, describer, arguments.top)
    found: list[Description] = []
    for one in files:
        found.append(one)
        if arguments.plot:
            save_plot(one, arguments.plot, len(found))
        if kind == "text" and arguments.output is None:
            print(one.to_text() if len(found) == 1 else f"\n{one.to_text()}", flush=True)
    if kind == "text" and arguments.output is not None:
        write_output("\n\n".join(one.to_text() for one in found) + "\n", arguments.output)
    elif kind == "json" and arguments.output is None:
        print_json([one.to_dict() for one in found])
    elif kind != "text" and found:
        write_output(_written(found, kind), arguments.output)
    return files.status


def save_plot(one: Description, path: Path, number: int) -> None:
    """Draw into an image; one for each spectrum."""
    if number > 1:
        path = path.with_name(f"{path.stem}_{number}{path.suffix}")
    one.plot().savefig(path, dpi=150)


def _written(found: list[Description], kind: str) -> str:
    import json

    if kind == "json":
        return json.dumps([one.to_dict() for one in found], indent=2, ensure_ascii=False) + "\n"
    if kind == "html":
        from ..describe.html import page

        return page(found)
    from ..describe.description import descriptions_table

    table = descriptions_table(found)
    if kind == "ecsv":
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return text.getvalue()
    data = io.BytesIO()
    table.write(data, format="votable")
    return data.getvalue().decode()


__all__ = ["add_command", "run", "save_plot"]
