"""Indexes on disk: data, never code, and looked at before it is believed.

`entries.jsonl` holds one JSON object a line for each text, `embeddings.safetensors` their vectors
in the same order; `spectra.jsonl` and `spectra.safetensors` the same of the spectra, with their
columns; `index.json` what the index was made from. An index without spectra lacks the last three.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..storage import atomic_folder, write_json

ENTRIES_FILE = "entries.jsonl"
EMBEDDINGS_FILE = "embeddings.safetensors"
SPECTRA_FILE = "spectra.jsonl"
SPECTRUM_TENSORS_FILE = "spectra.safetensors"
ABOUT_FILE = "index.json"
FILES = (ENTRIES_FILE, EMBEDDINGS_FILE, SPECTRA_FILE, SPECTRUM_TENSORS_FILE, ABOUT_FILE)
# A summary and its papers are a few kilobytes; a longer line is a damaged or hostile file.
MAX_ENTRY_BYTES = 1 << 20
MAX_ENTRIES = 20_000_000
MAX_ABOUT_BYTES = 1 << 20


def write_folder(
    target: Path,
    texts: tuple[list[dict[str, Any]], dict[str, np.ndarray]],
    spectra: tuple[list[dict[str, Any]], dict[str, np.ndarray]] | None,
    about: Mapping[str, Any],
) -> Path:
    """Write an index, replacing an older one there only once the new one is whole.

    Args:
        target: folder.
        texts: entries, and tensors by name; `embeddings` is one.
        spectra: the same.
        about: plain values.
    """
    from safetensors.numpy import save_file

    with atomic_folder(target) as partial:
        files = [(ENTRIES_FILE, EMBEDDINGS_FILE, texts)]
        if spectra is not None:
            files.append((SPECTRA_FILE, SPECTRUM_TENSORS_FILE, spectra))
        for lines_name, tensors_name, (entries, tensors) in files:
            with (partial / lines_name).open("w", encoding="utf-8") as lines:
                for entry in entries:
                    lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
            contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
            save_file(contiguous, str(partial / tensors_name))
        if about:
            write_json(partial / ABOUT_FILE, about)
    return target


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines.

    Raises:
        FileFormatError: for a line that is too long or no JSON object, or too many lines.
    """
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_ENTRY_BYTES + 1):
            number += 1
            if len(line) > MAX_ENTRY_BYTES or number > MAX_ENTRIES:
                raise FileFormatError(
                    f"{path} line {number} is longer than {MAX_ENTRY_BYTES} bytes, or beyond "
                    f"{MAX_ENTRIES:,}: fetch or build the gallery again"
                )
            try:
                entry = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise FileFormatError(f"{path} line {number} is not JSON: {error}") from error
            if not isinstance(entry, dict):
                raise FileFormatError(f"{path} line {number} is not a JSON object")
            yield entry


def check_columns(columns: Mapping[str, np.ndarray], path: Path) -> None:
    """That the columns the package reads have the form it reads.

    Raises:
        FileFormatError: naming the column.
    """
    bins = columns["counts"].shape[1:] if "counts" in columns else ()
    forms = {
        "map": ("f", (2,)),
        "counts": ("iu", bins),
        "background_counts": ("iu", bins),
        "background_scale": ("f", ()),
        "exposure": ("f", ()),
        "effective_area": ("f", bins),
    }
    for name, (kinds, shape) in forms.items():
        values = columns.get(name)
        if values is None:
            continue
        fits = values.dtype.kind in kinds and values.shape[1:] == shape
        if name == "counts":
            fits = fits and values.ndim == 2 and "exposure" in columns
        if not fits or (kinds == "f" and not np.isfinite(values).all()):
            raise FileFormatError(
                f"{path}: {name} is {values.dtype} {values.shape}, or not finite: fetch or build "
                "the gallery again"
            )


def read_about(path: Path) -> dict[str, Any]:
    """What an index was made from; nothing where the file is absent.

    Raises:
        FileFormatError: for a file that is too large or no JSON object.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_ABOUT_BYTES:
        raise FileFormatError(f"{path} is larger than {MAX_ABOUT_BYTES} bytes")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(about, dict):
        raise FileFormatError(f"{path} is not a JSON object")
    edges = about.get("energy_range", [0.5, 8.0])
    if not (
        isinstance(edges, list)
        and len(edges) == 2
        and all(isinstance(edge, int | float) for edge in edges)
        and 0 <= edges[0] < edges[1] < math.inf
    ):
        raise FileFormatError(f"{path}: energy_range is {edges!r}, it must be two energies in keV")
    return about


__all__ = [
    "ABOUT_FILE",
    "EMBEDDINGS_FILE",
    "ENTRIES_FILE",
    "FILES",
    "SPECTRA_FILE",
    "SPECTRUM_TENSORS_FILE",
    "check_columns",
    "read_about",
    "read_entries",
    "write_folder",
]
