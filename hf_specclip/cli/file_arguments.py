"""What the commands share: the spectra of the files named, and answers as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE …, --json and the side files, which `SpectrumReader` takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="PHA file (may be gzipped)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    sides = parser.add_argument_group("side files, where they cannot be found by themselves")
    sides.add_argument("--arf", help="effective area (only with a single FILE)")
    sides.add_argument("--rmf", help="redistribution matrix (only with a single FILE)")
    sides.add_argument("--background", help="background spectrum (only with a single FILE)")


class SpectrumReader:
    """Iterates over the spectra of the files named; what cannot be read is told and counted.

    Args:
        arguments: of `add_file_arguments`.
        known: whether a word that is no file names a spectrum all the same; it is then given as
            it is.
    """

    def __init__(self, arguments: argparse.Namespace, known: Callable[[str], bool] | None = None):
        self.files = arguments.files
        self.known = known
        self.sides = {name: getattr(arguments, name) for name in ("arf", "rmf", "background")}
        if len(self.files) > 1 and any(self.sides.values()):
            raise ValueError("--arf, --rmf and --background go with a single FILE")
        self.status = 0

    def __iter__(self) -> Iterator[tuple[XRaySpectrum | Any, dict[str, Any]]]:
        from tqdm import tqdm

        from ..spectra import read_spectra

        for file in tqdm(self.files, "reading", unit="file", leave=False, delay=2, disable=None):
            if self.known is not None and not Path(file).exists() and self.known(file):
                yield file, {"file": file, "row": None}
                continue
            try:
                spectra = read_spectra(file, **self.sides)
            except (OSError, ValueError) as error:
                message = str(error)
                where = "" if str(file) in message else f"{file}: "
                print(f"specclip: {where}{message}", file=sys.stderr)
                self.status = 1
                continue
            for row, spectrum in enumerate(spectra):
                yield spectrum, {"file": str(file), "row": row if len(spectra) > 1 else None}


def print_json(value: Any) -> None:
    """Print a value for other programs to read."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    print()


__all__ = ["SpectrumReader", "add_file_arguments", "print_json"]
