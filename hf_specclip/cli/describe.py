"""The `specclip describe` command: literature, class, variables and outlier score of spectra."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formatting import plain
from .arguments import (
    add_parser,
    add_plot_option,
    choices_of,
    numbered_path,
    positive_int,
    print_json,
)
from .file_arguments import add_file_arguments
from .model_arguments import (
    BATCH_SIZE,
    DescribedFiles,
    add_model_arguments,
    add_probe_option,
    load_describer,
)

if TYPE_CHECKING:
    from ..describe.describer import Describer
    from ..describe.description import Description

DESCRIPTION = """\
Describe spectra with a trained model. The output has four parts:

  limitations  properties outside the model's training range, and the results withheld for them
  measured     counts, and spectral fits as in the catalogue
  inferred     catalogue variables with 68 and 90 % intervals, a posterior-predictive check, the
               class and an outlier score
  retrieved    similar sources and the nearest literature

FILE is a PHA file (ARF, RMF and background are located from its header or in the same folder), or
the name of a source in the model's index.

  specclip describe acisf01575_001N001_r0085_pha3.fits.gz
  specclip describe --model user/name "2CXO J004722.6-252050"
  specclip describe --only classes,similar --json source.pi
  specclip describe --format html -o report.html *.pha
  specclip describe --format ecsv -o sources.ecsv *.pha

Scores are cosine similarities in the shared space (−1 to 1), not probabilities. Class probabilities
assume that the source belongs to one of the classes. Variables follow the Chandra Source Catalog.
Models with a simulated gallery return invented papers and sources; the output says so.
"""
FORMATS = ("text", "json", "ecsv", "votable", "html")
# Part of the model that each section of a description needs.
PART_OF_SECTION = {
    "fit": "index",
    "variables": "moe",
    "check": "moe",
    "classes": "classes",
    "probes": "probes",
    "outlier": "outliers",
    "similar": "index",
    "literature": "index",
}


def add_command(subparsers: Any) -> None:
    """Add the `describe` command."""
    sections = tuple(PART_OF_SECTION)
    parser = add_parser(
        subparsers, "describe", "literature, class, variables and outlier score of spectra",
        DESCRIPTION, run,
    )  # fmt: skip
    add_model_arguments(parser, ("moe", "outliers", "index"))
    add_probe_option(parser)
    parser.add_argument(
        "--only",
        type=choices_of(sections),
        metavar="SECTION,…",
        help=f"some of {','.join(sections)} (default: all that the model has)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default text)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to a file")
    parser.add_argument("--title", help="of the page (--format html)")
    add_plot_option(parser, "it")
    parser.add_argument(
        "--top",
        type=positive_int,
        default=5,
        metavar="K",
        help="number of texts and of similar sources (default 5)",
    )
    parser.add_argument(
        "--online", action="store_true", help="fetch the titles of the papers from arXiv"
    )
    add_file_arguments(parser, BATCH_SIZE)


def run(arguments: argparse.Namespace) -> int:
    """Describe the files; return the exit status."""
    output_format = "json" if arguments.json else arguments.format
    sections = arguments.only or tuple(PART_OF_SECTION)
    from ..describe.titles import with_titles

    # The index also resolves names of sources.
    parts = {"index"} | {PART_OF_SECTION[section] for section in sections} - {"probes"}
    describer = load_describer(arguments, parts)
    for section in arguments.only or ():
        if section != "fit":
            _require(describer, section)
    files = DescribedFiles(arguments, describer, arguments.top)
    printed = output_format == "text" and arguments.output is None
    descriptions: list[Description] = []
    for description in files:
        description = description.select(sections)
        descriptions.append(with_titles(description) if arguments.online else description)
        if arguments.plot:
            image = numbered_path(arguments.plot, len(descriptions))
            descriptions[-1].plot().savefig(image, dpi=150)
        if printed:
            gap = "\n" if len(descriptions) > 1 else ""
            print(f"{gap}{descriptions[-1].to_text()}", flush=True)
    if printed:
        return files.status
    if arguments.output is None and output_format == "json":
        print_json([description.to_dict() for description in descriptions])
    elif descriptions:
        _write(_render(descriptions, output_format, arguments.title), arguments.output)
        if arguments.output is not None:
            print(f"{len(descriptions)} spectra → {arguments.output}")
    return files.status


def _require(describer: Describer, section: str) -> None:
    """Raise ValueError for a section that was asked for and that the model cannot give."""
    part = PART_OF_SECTION[section]
    if part == "index":
        index = describer.required_index()
        if section == "literature" and not len(index.papers):
            raise ValueError(
                f"{describer.name} has no texts in its index, for literature: ask for similar, "
                "whose sources come with the papers about them"
            )
    elif part == "probes" and not describer.probes:
        raise ValueError("--only probes needs --probe DIR (see specclip classify --fit)")
    elif getattr(describer, part) is None:
        raise ValueError(f"{describer.name} has no {part} inside or beside it, for {section}")


def _render(descriptions: list[Description], output_format: str, title: str | None) -> str:
    if output_format == "text":
        return "\n\n".join(description.to_text() for description in descriptions) + "\n"
    if output_format == "json":
        values = [description.to_dict() for description in descriptions]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if output_format == "html":
        from ..describe.html import render_page

        return render_page(descriptions, title)
    from ..describe.table import descriptions_table

    table = descriptions_table(descriptions)
    if output_format == "ecsv":
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return text.getvalue()
    data = io.BytesIO()
    table.write(data, format="votable")
    return data.getvalue().decode()


def _write(text: str, output: Path | None) -> None:
    """Print a text, or write it to a file."""
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    from ..storage import write_text

    write_text(output, plain(text))
