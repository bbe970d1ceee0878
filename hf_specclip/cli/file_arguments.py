"""Spectrum files on the command line: their arguments, and a reader of the spectra."""

from __future__ import annotations

import argparse
import signal
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import SpecCLIPError
from .arguments import add_json_option, keep_inputs, positive_int
from .file_list import HELP, list_files
from .run_command import tell

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

# Files that a process of --jobs reads at once, and pieces of work that wait for each.
_FILES_AT_ONCE, _AHEAD = 16, 2


class Origin(NamedTuple):
    """File of a spectrum, and its row where the file holds several."""

    file: str
    row: int | None = None

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file} [row {self.row}]"


def add_file_arguments(parser: argparse.ArgumentParser, batch_size: int | None = None) -> None:
    """Add FILE …, `--json`, `--jobs` and the side files, for `SpectrumReader`.

    Args:
        parser: of a command.
        batch_size: default of `--batch-size`, for a command that has a model.
    """
    parser.add_argument("files", nargs="*", metavar="FILE", help=HELP)
    add_json_option(parser)
    many = parser.add_argument_group("many files")
    many.add_argument(
        "--jobs",
        type=positive_int,
        default=1,
        metavar="N",
        help="number of reading processes (default 1)",
    )
    if batch_size is not None:
        many.add_argument(
            "--batch-size",
            type=positive_int,
            default=batch_size,
            metavar="N",
            help=f"spectra per batch (default {batch_size})",
        )
    sides = parser.add_argument_group("responses and background (default: located from FILE)")
    sides.add_argument("--arf", help="effective area (only with a single FILE)")
    sides.add_argument("--rmf", help="redistribution matrix (only with a single FILE)")
    sides.add_argument("--background", help="background spectrum (only with a single FILE)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse files with wrong checksums or TOTCTS (default: print a note)",
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
        expand: take folders, patterns and lists for what they stand for.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        is_name: Callable[[str], bool] = lambda word: False,
        need_energies: bool = True,
        expand: bool = True,
    ):
        if not arguments.files:
            raise ValueError("name a FILE, a folder, a pattern or - (see --help)")
        self.status = 0
        self.is_name, self.need_energies = is_name, need_energies
        self.files = list_files(arguments.files, self.report) if expand else arguments.files
        self.sides = {name: getattr(arguments, name) for name in ("arf", "rmf", "background")}
        self.strict, self.jobs = arguments.strict, arguments.jobs
        if len(self.files) > 1 and any(self.sides.values()):
            raise ValueError("--arf, --rmf and --background require a single FILE")
        self.outputs = [getattr(arguments, name, None) for name in ("output", "plot")]
        keep_inputs(self.outputs, [*self.files, *self.sides.values()])

    def __iter__(self) -> Iterator[tuple[XRaySpectrum | Any, Origin]]:
        from tqdm import tqdm

        read = self._read_apart() if self.jobs > 1 and len(self.files) > 1 else self._read()
        progress = {"unit": "file", "leave": False, "delay": 2, "disable": None}
        for file, spectra in tqdm(read, "reading", len(self.files), **progress):
            if not Path(file).exists() and self.is_name(file):
                yield file, Origin(file)
                continue
            try:
                first = list(islice(spectra, 2))
                for row, spectrum in enumerate(chain(first, spectra)):
                    origin = Origin(file, row if len(first) > 1 else None)
                    if self._is_usable(spectrum, origin):
                        yield spectrum, origin
            except (OSError, ValueError) as error:
                self.report(error, file)
            except MemoryError:
                self.report(ValueError("reading it takes more memory than there is"), file)

    def _read(self) -> Iterator[tuple[str, Iterator[XRaySpectrum]]]:
        """Iterate over the files, each with its spectra, which are read when they are taken."""
        from ..spectra import iter_spectra

        for file in self.files:
            yield file, iter_spectra(file, **self.sides, strict=self.strict)

    def _read_apart(self) -> Iterator[tuple[str, Iterator[XRaySpectrum]]]:
        """Iterate over the files, read by other processes a little ahead; the order is kept."""
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        # Not forked: the threads of a loaded model do not outlive a fork.
        # They leave Ctrl-C to this process, which ends them, too.
        ignored = signal.SIGINT, signal.SIG_IGN
        pool = ProcessPoolExecutor(self.jobs, get_context("spawn"), signal.signal, ignored)
        parts = (
            self.files[start : start + _FILES_AT_ONCE]
            for start in range(0, len(self.files), _FILES_AT_ONCE)
        )
        waiting: deque[Any] = deque()
        try:
            while True:
                for part in islice(parts, _AHEAD * self.jobs - len(waiting)):
                    waiting.append((part, pool.submit(_read_files, part, self.strict)))
                if not waiting:
                    break
                part, answer = waiting.popleft()
                for file, (spectra, error) in zip(part, answer.result(), strict=True):
                    yield file, _then_raise(spectra, error)
        except BrokenProcessPool as error:
            raise SpecCLIPError(
                "a reading process has died, possibly out of memory: run again with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

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
        tell(sentence)
        self.status = 1


def _read_files(files: list[str], strict: bool) -> list[tuple[list[XRaySpectrum], str | None]]:
    """Return the spectra of each file, and what ended the reading of it too early."""
    from ..spectra import iter_spectra

    answers: list[tuple[list[XRaySpectrum], str | None]] = []
    for file in files:
        spectra: list[XRaySpectrum] = []
        error: str | None = None
        try:
            spectra.extend(iter_spectra(file, strict=strict))
        except (OSError, ValueError) as failure:
            error = str(failure)
        except MemoryError:
            error = "reading it takes more memory than there is"
        answers.append((spectra, error))
    return answers


def _then_raise(spectra: list[XRaySpectrum], error: str | None) -> Iterator[XRaySpectrum]:
    yield from spectra
    if error is not None:
        raise ValueError(error)
