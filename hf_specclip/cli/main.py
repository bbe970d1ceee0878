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
    describe,
    embed,
    export,
    extract,
    fit,
    index,
    inspect,
    outliers,
    publish,
    search,
)
from .arguments import run_elsewhere
from .run_command import run_command

COMMANDS = (
    describe, classify, search, outliers, inspect, fit, extract, embed, index, app, export, publish,
)  # fmt: skip
# Commands of the other packages, which read their own arguments: module, extra and help.
ELSEWHERE = {
    "dataset": (
        "specclip_datasets.__main__",
        "data",
        "build a dataset: simulated, from tables, or from the live catalogue",
    ),
    "train": (
        "specclip_training.train",
        "train",
        "train a model on your pairs, from scratch or fine-tuning",
    ),
    "evaluate": (
        "specclip_training.evaluate",
        "train",
        "measure a model on a dataset: retrieval and variables",
    ),
}
FROM_THE_SKY = (["dataset", "build"], ["dataset", "prompts"])  # of the extra `build`
DESCRIPTION = """\
A shared embedding space for X-ray spectra and the scientific literature.

  specclip describe acisf01575_001N001_r0085_pha3.fits.gz    literature, class, variables, outlier
  specclip describe --format html -o report.html *.pha       an HTML report on many spectra
  specclip classify *.pha                                    classification
  specclip search   "heavily absorbed pulsating ULX"         text search for spectra or papers
  specclip outliers *.pha                                    outlier scores
  specclip embed    *.pha -o embeddings.parquet              embeddings for your own analysis
  specclip inspect  spectrum.pha                             content of a spectrum file
  specclip fit      spectrum.pha                             spectral fits as in the catalogue
  specclip extract  evt2.fits --at 150.1163,2.2058 --radius 3   spectrum and variability from events
  specclip train    my_pairs -o runs/mine --from default     fine-tune the model on your own pairs

Commands that need a trained model take --model DIR or user/name (default: the bundled model).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 done, 1 a file or the command failed, 2 wrong usage, 130 stopped.
    """
    words = sys.argv[1:] if argv is None else argv

    def work() -> int:
        if words and words[0] in ELSEWHERE:
            module, extra, _ = ELSEWHERE[words[0]]
            extra = "build" if list(words[:2]) in FROM_THE_SKY else extra
            return run_elsewhere(module, words[1:], extra)
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
    for name, (_, _, summary) in ELSEWHERE.items():
        subparsers.add_parser(name, help=summary)
    return parser


if __name__ == "__main__":
    sys.exit(main())
