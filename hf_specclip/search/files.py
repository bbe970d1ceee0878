"""Index folders on disk: JSON lines and safetensors, validated when read.

- `entries.jsonl`, `embeddings.safetensors`: texts and their embeddings, in the same order;
- `spectra.jsonl`, `spectra.safetensors`: spectra, their embeddings and columns (optional);
- `sources.jsonl`: sources without spectra (optional);
- `index.json`: metadata of the index (optional).

JSON lines may be compressed (`spectra.jsonl.gz`).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..models.variables_specclip import VARIABLES
from ..storage import atomic_folder, map_tensors, read_json, recover_folder, write_json

ENTRIES_FILE = "entries.jsonl"
EMBEDDINGS_FILE = "embeddings.safetensors"
SPECTRA_FILE = "spectra.jsonl"
SPECTRUM_TENSORS_FILE = "spectra.safetensors"
SOURCES_FILE, ABOUT_FILE = "sources.jsonl", "index.json"
COMPRESSED = ".gz"
FILES = (
    *(ENTRIES_FILE, EMBEDDINGS_FILE, SPECTRA_FILE, SPECTRUM_TENSORS_FILE, SOURCES_FILE, ABOUT_FILE),
    *(name + COMPRESSED for name in (SPECTRA_FILE, SOURCES_FILE)),
)
# A summary and its papers take a few kilobytes; a much longer line indicates a damaged file.
MAX_ENTRY_BYTES = 1 << 20
MAX_ENTRIES = 20_000_000
MAX_ABOUT_BYTES = 1 << 20
_REMEDY = "fetch or build the gallery again"
# Key of `index.json` with the names of the tensors of the spectra.
_COLUMNS = "columns"

# Entries, and tensors by name; `embeddings` is one.
Part = tuple[list[dict[str, Any]], dict[str, np.ndarray]]


def write_index(
    target: Path,
    texts: Part,
    spectra: Part | None,
    about: Mapping[str, Any],
    other_sources: Sequence[Mapping[str, Any]] = (),
    *,
    compact: bool = False,
) -> Path:
    """Write an index folder atomically; an older one stays until the new one is complete.

    Args:
        target: the folder.
        texts, spectra, about, other_sources: see `SpecCLIPIndex`.
        compact: compress the entries of spectra and sources, and round numbers to float16.
    """
    from safetensors.numpy import save_file

    suffix = COMPRESSED if compact else ""
    with atomic_folder(target) as partial:
        parts = [(ENTRIES_FILE, EMBEDDINGS_FILE, texts)]
        if spectra is not None:
            parts.append((SPECTRA_FILE + suffix, SPECTRUM_TENSORS_FILE, spectra))
            about = {**about, _COLUMNS: sorted(spectra[1])}
        for lines_name, tensors_name, (entries, tensors) in parts:
            _write_entries(partial / lines_name, entries)
            contiguous = {
                name: np.ascontiguousarray(
                    array, np.float16 if compact and array.dtype.kind == "f" else array.dtype
                )
                for name, array in tensors.items()
            }
            save_file(contiguous, str(partial / tensors_name))
        if other_sources:
            _write_entries(partial / (SOURCES_FILE + suffix), other_sources)
        if about:
            write_json(partial / ABOUT_FILE, about)
    return target


def read_index(
    folder: Path,
) -> tuple[Part, Part | None, list[dict[str, Any]], dict[str, Any]]:
    """Read texts, spectra (or None), sources without spectra and metadata of an index.

    Tensors are memory-mapped.

    Raises:
        FileNotFoundError: the folder or a file is missing.
        FileFormatError: a file is damaged, or files do not match.
    """
    recover_folder(folder)
    texts = _read_part(folder, ENTRIES_FILE, EMBEDDINGS_FILE)
    about = _read_about(folder / ABOUT_FILE)
    columns = about.pop(_COLUMNS, [])
    spectra, sources = None, []
    lines = _lines_file(folder, SPECTRA_FILE)
    if columns or lines.is_file() or (folder / SPECTRUM_TENSORS_FILE).is_file():
        spectra = _read_part(folder, lines.name, SPECTRUM_TENSORS_FILE, columns)
        _check_columns(spectra[1], folder / SPECTRUM_TENSORS_FILE)
    if (lines := _lines_file(folder, SOURCES_FILE)).is_file():
        sources = _read_entries(lines)
    return texts, spectra, sources, about


def _lines_file(folder: Path, name: str) -> Path:
    """Return the path of a file, or of its compressed version if that exists."""
    compressed = folder / (name + COMPRESSED)
    return compressed if compressed.is_file() else folder / name


def _write_entries(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    compressed = path.suffix == COMPRESSED
    with gzip.GzipFile(path, "wb", mtime=0) if compressed else path.open("wb") as file:
        for entry in entries:
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False)
            file.write(f"{line}\n".encode())


def _read_part(
    folder: Path, lines_name: str, tensors_name: str, columns: Sequence[str] = ()
) -> Part:
    for name in (lines_name, tensors_name):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}: a gallery is written by training, or by "
                "SpecCLIPIndex(entries, embeddings).save(folder)"
            )
    path = folder / tensors_name
    tensors = map_tensors(path, "embeddings", *columns)
    entries = _read_entries(folder / lines_name)
    for name, values in tensors.items():
        if values.ndim == 0 or len(values) != len(entries):
            raise FileFormatError(
                f"{path}: {name} is {values.shape}, but {lines_name} has {len(entries)} lines: "
                f"the two do not match; {_REMEDY}"
            )
    return entries, tensors


def _read_entries(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    try:
        with gzip.open(path) if path.suffix == COMPRESSED else path.open("rb") as lines:
            while line := lines.readline(MAX_ENTRY_BYTES + 1):
                number = len(entries) + 1
                if len(line) > MAX_ENTRY_BYTES or number > MAX_ENTRIES:
                    raise FileFormatError(
                        f"{path} line {number} is longer than {MAX_ENTRY_BYTES} bytes, or beyond "
                        f"{MAX_ENTRIES:,}: {_REMEDY}"
                    )
                entries.append(_parse_entry(line, f"{path} line {number}"))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(f"{path} is damaged ({error}): {_REMEDY}") from error
    return entries


def _parse_entry(line: bytes, location: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{location} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise FileFormatError(f"{location} is not a JSON object")
    for key in ("class", "text", "source_name", "host"):
        if not isinstance(entry.get(key, ""), str | None):
            raise FileFormatError(f"{location}: {key} is not a string: {_REMEDY}")
    return entry


def _check_columns(columns: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse columns of an unexpected dtype or shape."""
    bins = columns["counts"].shape[1:] if "counts" in columns else ()
    expected = {
        "map": ("f", (2,)),
        "counts": ("iu", bins),
        "background_counts": ("iu", bins),
        "background_scale": ("f", ()),
        "exposure": ("f", ()),
        "effective_area": ("f", bins),
        **dict.fromkeys(VARIABLES, ("f", ())),
    }
    for name, (dtypes, shape) in expected.items():
        values = columns.get(name)
        if values is None:
            continue
        fits = values.dtype.kind in dtypes and values.shape[1:] == shape
        if name == "counts":
            fits = fits and values.ndim == 2 and "exposure" in columns
        unknown = np.isnan(values) & (name in VARIABLES) if dtypes == "f" else True
        finite = (np.isfinite(values) | unknown).all()
        if not (fits and finite):
            raise FileFormatError(
                f"{path}: {name} is {values.dtype} {values.shape}, or not finite: {_REMEDY}"
            )


def _read_about(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    about = read_json(path, MAX_ABOUT_BYTES)
    edges = about.get("energy_range", [0.5, 8.0])
    if not (
        isinstance(edges, list)
        and len(edges) == 2
        and all(isinstance(edge, int | float) for edge in edges)
        and 0 <= edges[0] < edges[1] < math.inf
    ):
        raise FileFormatError(f"{path}: energy_range is {edges!r}, it must be two energies in keV")
    columns = about.get(_COLUMNS, [])
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise FileFormatError(f"{path}: {_COLUMNS} must be a list of names: {_REMEDY}")
    return about
