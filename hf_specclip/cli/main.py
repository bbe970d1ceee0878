"""The command line: `specclip describe | classify | search | …`.

Each command is a file of this folder: it reads arguments, calls the library and prints. Heavy
imports live inside the commands, so that `specclip --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import SpecCLIPError
from ..version import __version__
from . import (
    app,
    classify,
    dataset,
    describe,
    embed,
    evaluate,
    export,
    extract,
    fit,
    index,
    inspect,
    outliers,
    publish,
    search,
    train,
)
from .run_command import run_command

COMMANDS = (
    describe, classify, search, outliers, inspect, fit, extract, embed, index, app, export, publish,
    dataset, train, evaluate,
)  # fmt: skip
# These read their own arguments.
ELSEWHERE = (dataset, train, evaluate)
DESCRIPTION = """\
A shared embedding space for X-ray spectra and the scientific literature.

  specclip describe acisf01575_001N001_r0085_pha3.fits.gz    literature, class, variables, outlier
  specclip describe --format html -o report.html *.pha       an HTML report on many spectra
  specclip classify *.pha                                    zero-shot classification
  specclip search   "heavily absorbed pulsating ULX"         text search for spectra or papers
  specclip outliers *.pha                                    outlier scores
  specclip embed    *.pha -o embeddings.parquet              embeddings for your own analysis
  specclip inspect  spectrum.pha                             content of a spectrum file
  specclip fit      spectrum.pha                             spectral fits as in the catalogue
  specclip extract  evt2.fits --at 150.1163,2.2058 --radius 3   spectrum and variability from events
  specclip train    my_pairs -o runs/mine --from default     fine-tune the model on your own pairs

The first six commands use a trained model: --model DIR or user/name (default: the bundled model).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 done, 1 a file or the command failed, 2 wrong usage, 130 stopped.
    """
    words = sys.argv[1:] if argv is None else argv

    def work() -> int:
        for command in ELSEWHERE:
            if words[:1] == [command.NAME]:
                return command.run(words[1:])
        arguments = build_parser().parse_args(words)
        return arguments.run(arguments)

    expected = (SpecCLIPError, OSError, ValueError, ImportError)
    return run_command("specclip", work, expected=expected)


class _Parser(argparse.ArgumentParser):
    """Parser whose errors on unknown options show the usage of the command they were given to."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = _Parser(
        "specclip",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"specclip {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
