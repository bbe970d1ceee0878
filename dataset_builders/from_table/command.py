"""`specclip dataset from-table` and `from-files`: datasets from a user's own data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_specclip.cli.arguments import add_parser, comma_separated
from hf_specclip.cli.file_list import HELP, list_files
from hf_specclip.formatting import plain

from ..tables.command import add_output_options
from .build import BuildReport, from_files, from_table

SHOWN = 10
_TABLE = """\
examples:
  specclip dataset from-table sources.csv --spectra spectra/ --text abstract --name source -o mine
  specclip dataset from-table sources.vot --spectra spectra/ --text abstract -o mine
  specclip dataset from-table counts.parquet --text identity,spectrum,context -o mine
  specclip dataset from-table pi.fits --text notes --rmf acis.rmf --arf acis.arf -o mine
  specclip dataset from-table t.csv --text notes --columns exposure=t_live,source_class=kind -o mine

TABLE has one row per source or detection, with
  spectra    a column of files (pha, file, spectrum, ...), relative to --spectra; or files below
             --spectra that begin with the name of the source; or a column `counts` of lists, with
             `exposure`: 400 bins from 0.5 to 8 keV, 1,024 PI channels of ACIS, or those of --rmf
             (optional: background_counts with background_scale, arf, rmf, background)
  text       one column, or three: identity, spectrum, context
  optional   name, ra and dec (any unit, or sexagesimal), source_class, host, papers (bibcode,
             arXiv, DOI), obsid, group, and catalogue variables (hard_hs, powlaw_gamma, ...) with
             _lolim and _hilim
Columns are recognised by their usual names. Rows with the same source, position (5 arcsec),
observation, host, paper, text, spectrum or `group` are in the same split.
"""
_FILES = """\
examples:
  specclip dataset from-files spectra/*.pha --text-dir notes/ -o mine

The text of spectra/x.pha is notes/x.txt or notes/x.md; each file is a separate source.
"""


def add_commands(commands: Any) -> None:
    """Add `from-table` and `from-files` to the commands."""
    table = _add(
        commands,
        "from-table",
        "make a dataset from a table (CSV, Parquet, FITS, VOTable, ECSV) and spectra",
        _TABLE,
        _from_table,
    )
    add = table.add_argument
    add("table", type=Path, metavar="TABLE", help="CSV, TSV, Parquet, FITS, VOTable or ECSV")
    add("--spectra", type=Path, metavar="DIR", help="folder of the spectra (default: of TABLE)")
    add("--text", type=comma_separated, default=[], metavar="COLUMN[,COLUMN,COLUMN]",
        help="column of the text, or of the three sections")  # fmt: skip
    add("--name", metavar="COLUMN", help="column of the source's name")
    add("--columns", type=comma_separated, default=[], metavar="ROLE=COLUMN,...",
        help="columns with unusual names")  # fmt: skip
    add("--arf", type=Path, metavar="FILE", help="effective area of all spectra")
    add("--rmf", type=Path, metavar="FILE", help="redistribution matrix of all spectra")
    files = _add(
        commands,
        "from-files",
        "make a dataset from spectrum files and text files of the same name",
        _FILES,
        _from_files,
    )
    files.add_argument("files", nargs="+", metavar="FILE", help=HELP)
    files.add_argument(
        "--text-dir", type=Path, metavar="DIR", help="folder of the texts (default: of FILE)"
    )


def _add(
    commands: Any, name: str, summary: str, examples: str, build: Callable[..., BuildReport]
) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}.\n\n{examples}"
    parser = add_parser(commands, name, summary, description, lambda given: _run(given, build))
    add_output_options(parser)
    return parser


def _from_table(options: argparse.Namespace, **settings: Any) -> BuildReport:
    columns = dict(_pair(word) for word in options.columns)
    columns |= {"source_name": options.name} if options.name else {}
    return from_table(
        options.table,
        options.output,
        spectra=options.spectra,
        text=options.text,
        columns=columns,
        arf=options.arf,
        rmf=options.rmf,
        **settings,
    )


def _from_files(options: argparse.Namespace, **settings: Any) -> BuildReport:
    def refuse(error: Exception, word: str) -> None:
        raise ValueError(f"{word}: {error}")

    files = list_files(options.files, refuse)
    return from_files(files, options.output, text_folder=options.text_dir, **settings)


def _pair(word: str) -> tuple[str, str]:
    role, separator, column = word.partition("=")
    if not separator:
        raise ValueError(f"--columns {word}: write ROLE=COLUMN, such as exposure=t_live")
    return role.strip(), column.strip()


def _run(options: argparse.Namespace, build: Callable[..., BuildReport]) -> int:
    """Build the dataset and print the report; returns 0."""
    start = time.monotonic()
    report = build(options, seed=options.seed, overwrite=options.overwrite, progress=True)
    if build is _from_table:
        print("columns:", ", ".join(report.columns))
    for note in report.notes:
        print("note:", note)
    if report.left_out:
        for row in report.left_out[:SHOWN]:
            print(plain(f"left out: {row}"), file=sys.stderr)
        print(f"left out: {len(report.left_out):,} rows, listed in {report.left_out_file}")
    print(report.groups)
    print(report.splits)
    print(f"{report.folder}: {report.rows:,} pairs in {time.monotonic() - start:.0f} s")
    return 0
