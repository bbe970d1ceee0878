"""Uploaded files as one spectrum, or one sentence for the visitor."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SpecCLIPError

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

MAX_FILES = 6
MAX_FILE_BYTES = 64 << 20
MAX_SECONDS = 60.0
MAX_MEMORY = 2 << 30  # bytes of addresses that reading may take
_TOO_MUCH = "The files need more memory or time than there is here."
_BACKGROUND_MARKS = ("bkg", "_bg", "back")


class UploadError(SpecCLIPError, ValueError):
    """Files that give no spectrum; the message is for the visitor."""


def read_upload(
    files: Sequence[str | Path],
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> XRaySpectrum:
    """Read the spectrum among some files, with the responses and background among them.

    The files are copied to a temporary folder, and read there by a process that can be ended.

    Args:
        files: a PHA file and optionally its ARF, RMF and background, in any order.
        max_bytes: largest file that is read.
        max_seconds: longest time that reading may take.

    Raises:
        UploadError: one sentence that names the file and the remedy, without a path.
    """
    with tempfile.TemporaryDirectory(prefix="specclip-") as name:
        folder = Path(name)
        _copy(files, folder, max_bytes)
        answer = _read_within(max_seconds, folder)
        if isinstance(answer, str):
            message = answer.replace(f"{folder}/", "").replace(str(folder), "the upload")
            raise UploadError(f"{message.rstrip('.')}.")
        return answer


def _read_within(seconds: float, folder: Path) -> Any:
    """Return the spectrum of a folder, or what is wrong; a child reads it, and is ended in time."""
    command = [sys.executable, "-P", "-m", __name__, folder, math.ceil(seconds), MAX_MEMORY]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryFile() as answer:
        try:
            done = subprocess.run(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                env={**os.environ, **one_thread, **path},
            )
        except subprocess.TimeoutExpired:
            raise UploadError(
                f"Reading took longer than {seconds:g} seconds and was stopped: try a smaller "
                "response file, or the PHA file alone."
            ) from None
        if done.returncode != 0:
            raise UploadError(_TOO_MUCH)
        answer.seek(0)
        return pickle.load(answer)


def _read_in_child(folder: str, seconds: str, memory: str) -> None:
    """Read a folder within limits, and write the spectrum, or what is wrong, to standard output."""
    with contextlib.suppress(ImportError):  # not there on Windows
        import resource

        limits = {"RLIMIT_AS": int(memory), "RLIMIT_FSIZE": int(memory) // 2,
                  "RLIMIT_CPU": int(seconds) + 1}  # fmt: skip
        for name, limit in limits.items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
    try:
        answer: Any = _read(Path(folder))
    except MemoryError:
        answer = _TOO_MUCH
    except (SpecCLIPError, OSError, ValueError) as error:
        answer = str(error)
    pickle.dump(answer, sys.stdout.buffer)


def _copy(files: Sequence[str | Path], folder: Path, max_bytes: int) -> None:
    if not files:
        raise UploadError("No file received: upload a PHA file.")
    if len(files) > MAX_FILES:
        raise UploadError(
            f"Too many files ({len(files)}): upload one spectrum with its ARF, RMF and background."
        )
    for file in map(Path, files):
        size = file.stat().st_size
        if size > max_bytes:
            raise UploadError(
                f"{file.name} has {size / 1e6:,.0f} MB; the limit is {max_bytes / 1e6:,.0f} MB. "
                "Use specclip describe on your own machine."
            )
        if (folder / file.name).exists():
            raise UploadError(f"Two files are called {file.name}: rename one of them.")
        shutil.copyfile(file, folder / file.name)


def _read(folder: Path) -> XRaySpectrum:
    from ..spectra import SpectrumFileError, read_spectra

    spectra: dict[Path, list[XRaySpectrum]] = {}
    responses: dict[Path, str] = {}
    for path in sorted(folder.iterdir()):
        try:
            spectra[path] = read_spectra(path)
        except SpectrumFileError:
            if response_type := _response_type(path):
                responses[path] = response_type
            else:
                raise
    if not spectra:
        names = ", ".join(f"{path.name} ({type_})" for path, type_ in responses.items())
        raise UploadError(f"No spectrum among the files, only {names}: upload the PHA file too.")
    source = _source_file(spectra)
    side_files = _side_files(source, spectra, responses)
    read = read_spectra(source, **side_files) if side_files else spectra[source]
    if len(read) > 1:
        raise UploadError(
            f"{source.name} holds {len(read)} spectra; the web app shows one at a time. Use "
            "specclip describe for all of them."
        )
    if read[0].rmf is not None:
        # Read when first used, as a rule, but the file is about to go.
        _ = read[0].rmf.elements
    return read[0]


def _side_files(
    source: Path, spectra: dict[Path, list[XRaySpectrum]], responses: dict[Path, str]
) -> dict[str, Any]:
    """Return the side files that the header does not name, where there is one of each type."""
    read = spectra[source]
    side_files: dict[str, Any] = {}
    for response_type in ("arf", "rmf"):
        paths = [path for path, type_ in responses.items() if type_ == response_type]
        if len(paths) == 1 and getattr(read[0], response_type) is None:
            side_files[response_type] = paths[0]
    others = [path for path in spectra if path != source]
    if len(others) == 1 and read[0].background_counts is None:
        side_files["background"] = others[0]
    return side_files


def _response_type(path: Path) -> str | None:
    """Return "arf" or "rmf", or None for another file."""
    from ..spectra import SpectrumFileError, read_arf, read_rmf

    for response_type, read in (("arf", read_arf), ("rmf", read_rmf)):
        try:
            read(path)
        except SpectrumFileError:
            continue
        return response_type
    return None


def _source_file(spectra: dict[Path, list[XRaySpectrum]]) -> Path:
    """Return the source among spectra: the one with a background, else not named like one."""
    if len(spectra) == 1:
        return next(iter(spectra))
    with_background = [p for p, read in spectra.items() if read[0].background_counts is not None]
    named_as_source = [
        path for path in spectra if not any(mark in path.name.lower() for mark in _BACKGROUND_MARKS)
    ]
    for candidates in (with_background, named_as_source):
        if len(candidates) == 1:
            return candidates[0]
    names = " and ".join(path.name for path in spectra)
    raise UploadError(f"{names} all contain a spectrum: upload one source at a time.")


if __name__ == "__main__":
    _read_in_child(*sys.argv[1:])
