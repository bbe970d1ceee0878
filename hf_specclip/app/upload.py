"""The files a visitor drops on the page, as one spectrum or one sentence."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ..errors import SpecCLIPError

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

MAX_FILES = 6
MAX_FILE_BYTES = 64 << 20
MAX_SECONDS = 60.0


class UploadError(SpecCLIPError, ValueError):
    """Files that give no spectrum; the message is for the visitor."""


def read_upload(
    files: Sequence[str | Path],
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> XRaySpectrum:
    """The spectrum among some files, with the responses and background among them.

    They are read from a folder of their own, which is gone afterwards.

    Args:
        files: a PHA file and, perhaps, its ARF, RMF and background, in any order.
        max_bytes: the largest of them may have.
        max_seconds: how long reading may take.

    Raises:
        UploadError: one sentence that names the file and what to do, and no path.
    """
    with tempfile.TemporaryDirectory(prefix="specclip-") as name:
        folder = Path(name)
        _gather(files, folder, max_bytes)
        try:
            return _within(max_seconds, folder)
        except UploadError:
            raise
        except MemoryError:
            raise UploadError("The files need more memory than there is here.") from None
        except (OSError, ValueError) as error:
            raise UploadError(_without_folder(str(error), folder)) from None


def _within(seconds: float, folder: Path) -> XRaySpectrum:
    """Read a folder, or give it up. A thread cannot be stopped, only left: its files go."""
    done: Future[XRaySpectrum] = Future()

    def work() -> None:
        try:
            done.set_result(_read(folder))
        except BaseException as error:
            done.set_exception(error)

    Thread(target=work, name="specclip-upload", daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except TookTooLong:
        raise UploadError(
            f"Reading took longer than {seconds:g} seconds and was given up: try a smaller "
            "response file, or the PHA file alone."
        ) from None


def _gather(files: Sequence[str | Path], folder: Path, max_bytes: int) -> None:
    if not files:
        raise UploadError("No file arrived: drop a PHA file.")
    if len(files) > MAX_FILES:
        raise UploadError(
            f"{len(files)} files are too many: drop one spectrum with its ARF, RMF and background."
        )
    for file in map(Path, files):
        size = file.stat().st_size
        if size > max_bytes:
            raise UploadError(
                f"{file.name} has {size / 1e6:,.0f} MB, more than the {max_bytes / 1e6:,.0f} MB "
                "that are read here: on your own machine, specclip describe reads it."
            )
        if (folder / file.name).exists():
            raise UploadError(f"Two files are called {file.name}: rename one of them.")
        shutil.copyfile(file, folder / file.name)


def _read(folder: Path) -> XRaySpectrum:
    from ..spectra import SpectrumFileError, read_spectra

    # None for a spectrum whose energies only an RMF among the files can tell.
    found: dict[Path, list[XRaySpectrum] | None] = {}
    sides: dict[Path, str] = {}
    for path in sorted(folder.iterdir()):
        try:
            found[path] = read_spectra(path)
        except SpectrumFileError as error:
            if "RESPFILE" in (error.place or ""):
                found[path] = None
            elif kind := _kind(path):
                sides[path] = kind
            else:
                raise
    if not found:
        names = ", ".join(f"{path.name} ({kind})" for path, kind in sides.items())
        raise UploadError(
            f"There is no spectrum among the files, only {names}: drop the PHA file too."
        )
    chosen = _choose(found)
    spectra = found[chosen]
    # What the header does not name is still meant, where only one of its kind was dropped.
    given: dict[str, Path] = {}
    for kind in ("arf", "rmf"):
        paths = [path for path, of in sides.items() if of == kind]
        if len(paths) == 1 and (spectra is None or getattr(spectra[0], kind) is None):
            given[kind] = paths[0]
    others = [path for path in found if path != chosen]
    if len(others) == 1 and (spectra is None or spectra[0].background_counts is None):
        given["background"] = others[0]
    if spectra is None or given:
        spectra = read_spectra(chosen, **given)
    if len(spectra) > 1:
        raise UploadError(
            f"{chosen.name} holds {len(spectra)} spectra, and one is shown at a time: specclip "
            "describe takes them all."
        )
    return spectra[0]


def _kind(path: Path) -> str | None:
    """Whether a file that holds no spectrum is an ARF or an RMF."""
    from ..spectra import SpectrumFileError, read_arf, read_rmf

    for kind, read in (("arf", read_arf), ("rmf", read_rmf)):
        try:
            read(path)
        except SpectrumFileError:
            continue
        return kind
    return None


def _choose(found: dict[Path, list[XRaySpectrum] | None]) -> Path:
    """The source among spectra: the one with a background, else not named like one."""
    if len(found) == 1:
        return next(iter(found))
    whole = [p for p, all_ in found.items() if all_ and all_[0].background_counts is not None]
    named = [p for p in found if not any(w in p.name.lower() for w in ("bkg", "_bg", "back"))]
    for candidates in (whole, named):
        if len(candidates) == 1:
            return candidates[0]
    names = " and ".join(path.name for path in found)
    raise UploadError(f"{names} all hold a spectrum: drop one source at a time.")


def _without_folder(message: str, folder: Path) -> str:
    message = message.replace(f"{folder}/", "").replace(str(folder), "the upload")
    return f"{message.rstrip('.')}."


__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "MAX_SECONDS", "UploadError", "read_upload"]
