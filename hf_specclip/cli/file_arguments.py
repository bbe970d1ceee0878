"""Spectrum files on the command line: their arguments, and a reader of the spectra."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formatting import plain
from .arguments import add_json_option, keep_inputs

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum


class Origin(NamedTuple):
    """File of a spectrum, and its row where the file holds several."""

    file: str
    row: int | None = None

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file} [row {self.row}]"


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE …, `--json` and the side files, for `SpectrumReader`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="PHA file (may be gzipped)")
    add_json_option(parser)
    sides = parser.add_argument_group("responses and background, where FILE does not lead to them")
    sides.add_argument("--arf", help="effective area (only with a single FILE)")
    sides.add_argument("--rmf", help="redistribution matrix (only with a single FILE)")
    sides.add_argument("--background", help="background spectrum (only with a single FILE)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse files whose checksums or TOTCTS do not hold (default: note it)",
    )


class SpectrumReader:
    """Iterator over the spectra of the files on the command line, each with its origin.

    A file that cannot be read is reported on standard error, sets `status` to 1, and the others
    go on.

    Args:
        arguments: of `add_file_arguments`.
        is_name: returns True for a word that names a spectrum without being a file; it is then
            passed on as it is.
        need_energies: report spectra whose channels have no energies, too.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        is_name: Callable[[str], bool] = lambda word: False,
        need_energies: bool = True,
    ):
        self.files, self.is_name, self.need_energies = arguments.files, is_name, need_energies
        self.sides = {name: getattr(arguments, name) for name in ("arf", "rmf", "background")}
        self.strict = arguments.strict
        if len(self.files) > 1 and any(self.sides.values()):
            raise ValueError("--arf, --rmf and --background go with a single FILE")
        self.outputs = [getattr(arguments, name, None) for name in ("output", "plot")]
        keep_inputs(self.outputs, [*self.files, *self.sides.values()])
        self.status = 0

    def __iter__(self) -> Iterator[tuple[XRaySpectrum | Any, Origin]]:
        from tqdm import tqdm

        from ..spectra import iter_spectra

        for file in tqdm(self.files, "reading", unit="file", leave=False, delay=2, disable=None):
            if not Path(file).exists() and self.is_name(file):
                yield file, Origin(file)
                continue
            try:
                spectra = iter_spectra(file, **self.sides, strict=self.strict)
                first = list(islice(spectra, 2))
                for row, spectrum in enumerate(chain(first, spectra)):
                    origin = Origin(file, row if len(first) > 1 else None)
                    if self._is_usable(spectrum, origin):
                        yield spectrum, origin
            except (OSError, ValueError) as error:
                self.report(error, file)
            except MemoryError:
                self.report(ValueError("reading it takes more memory than there is"), file)

    def _is_usable(self, spectrum: XRaySpectrum, origin: Origin) -> bool:
        """Return True for a spectrum that has what is needed of it; report others."""
        keep_inputs(self.outputs, [getattr(p, "path", None) for p in (spectrum.arf, spectrum.rmf)])
        try:
            _ = self.need_energies and spectrum.channel_edges
        except ValueError as error:
            self.report(error, origin.file)
            return False
        return True

    def batches(self, size: int) -> Iterator[list[tuple[XRaySpectrum | Any, Origin]]]:
        """Iterate over the spectra in lists of at most `size`."""
        items = iter(self)
        while batch := list(islice(items, size)):
            yield batch

    def report(self, error: Exception, file: str) -> None:
        """Print an error with the file it is about, and set the exit status to 1."""
        message = str(error)
        sentence = f"specclip: {'' if file in message else f'{file}: '}{message}"
        print(plain(sentence), file=sys.stderr)
        self.status = 1
