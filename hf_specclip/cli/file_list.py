"""Spectrum files named on the command line: files, folders, patterns, lists and standard input."""

from __future__ import annotations

import glob
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from .run_command import tell

HELP = (
    "PHA file (may be gzipped), folder (the spectra in it and below), pattern in quotes ('*.pi'), "
    "@LIST (a file with one of these a line, # for comments), or - (the same from standard input)"
)
# Bytes of a file that its first headers lie in.
_HEAD = 1 << 16
_SUFFIXES = re.compile(r"\.(pha\d?|pi\d?|fits?|ftz?)(\.gz)?$", re.IGNORECASE)
_BACKGROUND_NAME = re.compile(r"([_-](bg|bkg|bk|back|background)|^back(ground)?)\.", re.IGNORECASE)


def list_files(words: list[str], report: Callable[[Exception, str], None]) -> list[str]:
    """Return the files that the words of a command line stand for, in their order.

    Args:
        words: see `HELP`; one that is none of these is returned as it is.
        report: takes an error and the word, for one that stands for no file.
    """
    return [file for word in words for file in _files_of(word, report)]


def _files_of(word: str, report: Callable[[Exception, str], None]) -> Iterator[str]:
    path = Path(word)
    if word == "-":
        yield from _files_of_lines(sys.stdin.read(), report)
    elif path.is_dir():
        spectra, backgrounds = spectra_below(path)
        if backgrounds:
            noun = "file" if backgrounds == 1 else "files"
            tell(f"{word}: {backgrounds} background {noun} left out")
        if not spectra:
            report(ValueError("no spectrum in this folder (name the files, or a pattern)"), word)
        yield from spectra
    elif path.exists():
        yield word
    elif word.startswith("@"):
        try:
            text = Path(word[1:]).read_text(encoding="utf-8-sig", errors="surrogateescape")
        except OSError as error:
            report(ValueError(f"list of files: {error.strerror}"), word)
        else:
            yield from _files_of_lines(text, report)
    elif glob.has_magic(word):
        # A folder may have brackets in its name.
        for pattern in (word, word.replace("[", "[[]")):
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207, maybe absolute
            if matches:
                break
        else:
            report(ValueError("no file matches this pattern"), word)
        yield from matches
    else:
        yield word


def _files_of_lines(text: str, report: Callable[[Exception, str], None]) -> Iterator[str]:
    for word in filter(None, map(str.strip, text.splitlines())):
        if word.startswith("#"):
            continue
        if word == "-" or word.startswith("@"):  # it could name itself
            report(ValueError("a list cannot name a list"), word)
        else:
            yield from _files_of(word, report)


def spectra_below(folder: Path) -> tuple[list[str], int]:
    """Return the spectra in a folder and below, and the number of backgrounds left out.

    A spectrum has a SPECTRUM extension, or a name in .pha or .pi and something else in it, which is
    left to the reader to say. A background says so in its header (HDUCLAS2) or by its name
    (`…_bg.pi`, `…_bkg.pha`).
    """
    spectra, backgrounds = [], 0
    for path in sorted(folder.rglob("*")):
        suffix = _SUFFIXES.search(path.name)
        if suffix is None or path.is_dir():
            continue
        cards = _spectrum_header(path)
        if cards is None and not suffix[1].lower().startswith("p"):
            continue
        if re.search(rb"HDUCLAS2= 'BKG", cards or b"") or _BACKGROUND_NAME.search(path.name):
            backgrounds += 1
        else:
            spectra.append(str(path))
    return spectra, backgrounds


def _spectrum_header(path: Path) -> bytes | None:
    """Return the header of a file's first SPECTRUM extension; None for another file."""
    try:
        with path.open("rb") as raw:
            head = raw.read(_HEAD)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as file:
                head = file.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return None
    for header in re.split(rb"XTENSION= ", head)[1:]:
        cards = header.split(b"END" + b" " * 77, 1)[0]
        if re.search(rb"(EXTNAME |HDUCLAS1)= 'SPECTRUM", cards):
            return cards
    return None
