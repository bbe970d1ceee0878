"""A searchable index of literature in the shared space: the gallery that travels with a model.

A gallery is a folder of two files. `entries.jsonl` holds one JSON object a line (identifier,
sources, papers, the three summary sections); `embeddings.safetensors` holds their vectors in the
same order. Both are data, never code: nothing in them is executed, and no path in them is opened.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from .folders import refuse_links_out, replace_folder

ENTRIES_FILE = "entries.jsonl"
EMBEDDINGS_FILE = "embeddings.safetensors"
GALLERY_FOLDER = "gallery"
# A summary and its papers are a few kilobytes; a longer line is a damaged or hostile file.
MAX_ENTRY_BYTES = 1 << 20
# Similarities held at once, 64 MB of float32: what bounds the memory of a search.
SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Hit:
    """One answer of a search.

    Attributes:
        rank: 1 for the closest.
        score: cosine similarity, −1 to 1.
        entry: what the index knows of it (see `SpecCLIPIndex`).
    """

    rank: int
    score: float
    entry: Mapping[str, Any]


class IndexFormatError(ValueError):
    """A gallery folder that cannot be read; the message names the file, the place and the mend."""


class SpecCLIPIndex:
    """Texts about sources, and where they lie in the shared space.

    Args:
        entries: one mapping for each text, with `id` (string, unique), `source_names` (list of
            string), `papers` (list of `{id, id_type, title, year}`), `summary` (mapping of section
            to text or None) and `split` (string or None). Further keys are kept.
        embeddings: array (n, D), any positive length; normalised here to unit length.

    Raises:
        ValueError: when lengths differ, an `id` is missing or repeated, or a vector is zero or
            not finite.

    Example:
        >>> index = SpecCLIPIndex.load("runs/demo/model/gallery")
        >>> hits = index.search(model.get_spectrum_features(**inputs).pooler_output, top_k=5)
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], embeddings: np.ndarray):
        vectors = np.asarray(embeddings, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(entries):
            raise ValueError(
                f"{len(entries)} entries need embeddings of shape ({len(entries)}, D), "
                f"not {vectors.shape}"
            )
        self.entries = [dict(entry) for entry in entries]
        seen: set[str] = set()
        for position, entry in enumerate(self.entries):
            identifier = entry.get("id")
            if not isinstance(identifier, str) or not identifier:
                raise ValueError(f"entry {position} has no `id`: give each text a unique string")
            if identifier in seen:
                raise ValueError(f"entry {position} repeats the id {identifier!r}")
            seen.add(identifier)
        self.embeddings = _unit(vectors, "entry")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def dimension(self) -> int:
        """D, the width of the shared space."""
        return self.embeddings.shape[1]

    def search(self, queries: Any, top_k: int = 10) -> list[list[Hit]]:
        """The `top_k` entries closest to each query by cosine similarity.

        Args:
            queries: array or tensor (B, D) or (D,) in the model's shared space.
            top_k: how many to return, at most the size of the index.

        Returns:
            For each query its hits, closest first; equal scores keep the order of the index.

        Raises:
            ValueError: when the width is not D, a query is not finite, or `top_k` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        if hasattr(queries, "detach"):  # a tensor, perhaps on an accelerator or in bfloat16
            queries = queries.detach().float().cpu().numpy()
        vectors = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(
                f"queries are {vectors.shape}, but this gallery has {self.dimension} dimensions: "
                "embed them with the model the gallery came with"
            )
        vectors = _unit(vectors, "query")
        top_k = min(top_k, len(self))
        rows = max(1, SCORES_AT_ONCE // max(1, len(self)))
        results: list[list[Hit]] = []
        for start in range(0, len(vectors), rows):
            scores = vectors[start : start + rows] @ self.embeddings.T
            for best, score in zip(_largest(scores, top_k), scores, strict=True):
                results.append(
                    [Hit(r, float(score[i]), self.entries[i]) for r, i in enumerate(best, start=1)]
                )
        return results

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the gallery, replacing an older one there only once the new one is whole."""
        from safetensors.numpy import save_file

        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            with (fresh / ENTRIES_FILE).open("w", encoding="utf-8") as lines:
                for entry in self.entries:
                    lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
            save_file({"embeddings": self.embeddings}, str(fresh / EMBEDDINGS_FILE))
            fresh.chmod(0o755)  # mkdtemp's 0700 would hide the gallery from other users
            replace_folder(fresh, target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SpecCLIPIndex:
        """Read a gallery folder.

        Raises:
            FileNotFoundError: when the folder or one of its two files is absent.
            IndexFormatError: when a file is damaged, or the two do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder)
        for name in (ENTRIES_FILE, EMBEDDINGS_FILE):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"{path} has no {name}: a gallery is made by training, or by "
                    "SpecCLIPIndex(entries, embeddings).save(folder)"
                )
        refuse_links_out(path, IndexFormatError)
        try:
            embeddings = load_file(str(path / EMBEDDINGS_FILE))["embeddings"]
        except (SafetensorError, KeyError, ValueError) as error:
            raise IndexFormatError(
                f"{path / EMBEDDINGS_FILE} holds no readable `embeddings` ({error}): "
                "fetch or build the gallery again"
            ) from error
        entries = list(_read_entries(path / ENTRIES_FILE))
        try:
            return cls(entries, embeddings)
        except ValueError as error:
            raise IndexFormatError(f"{path}: {error}") from error

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **hub: Any) -> SpecCLIPIndex:
        """The gallery inside a model folder, or inside a model repository on the Hub.

        Args:
            name_or_path: a folder holding `gallery/`, or `user/name`.
            hub: passed to `huggingface_hub.snapshot_download` (`revision`, `token`, …).
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            folder = Path(
                snapshot_download(str(name_or_path), allow_patterns=[f"{GALLERY_FOLDER}/*"], **hub)
            )
        return cls.load(folder / GALLERY_FOLDER)


def paper_url(paper: Mapping[str, Any]) -> str | None:
    """Where a paper can be read: ADS for a bibcode, arXiv or doi.org; None for other ids."""
    identifier, kind = str(paper.get("id") or ""), str(paper.get("id_type") or "").lower()
    homes = {
        "bibcode": "https://ui.adsabs.harvard.edu/abs/",
        "arxiv": "https://arxiv.org/abs/",
        "doi": "https://doi.org/",
    }
    if not identifier or kind not in homes:
        return None
    return homes[kind] + quote(identifier, safe="/.:()")


def _read_entries(path: Path) -> Iterable[dict[str, Any]]:
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_ENTRY_BYTES + 1):
            number += 1
            if len(line) > MAX_ENTRY_BYTES:
                raise IndexFormatError(
                    f"{path} line {number} is longer than {MAX_ENTRY_BYTES} bytes: "
                    "fetch or build the gallery again"
                )
            try:
                entry = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise IndexFormatError(f"{path} line {number} is not JSON: {error}") from error
            if not isinstance(entry, dict):
                raise IndexFormatError(f"{path} line {number} is not a JSON object")
            yield entry


def _unit(vectors: np.ndarray, what: str) -> np.ndarray:
    """Rows at unit length; a row that has no direction is an error, never a silent zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        raise ValueError(f"{what} {int(np.flatnonzero(bad)[0])} is a zero or non-finite vector")
    return (vectors / norms).astype(np.float32, copy=False)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest of each row, largest first, ties in order of position."""
    if k < scores.shape[1]:
        # Partitioning first keeps a large gallery linear. Among equal scores at the k-th place it
        # picks freely, so those are taken again in order.
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        picks = []
        for row, bound in zip(scores, kth[:, 0], strict=True):
            above = np.flatnonzero(row > bound)
            level = np.flatnonzero(row == bound)[: k - len(above)]
            picks.append(np.sort(np.concatenate([above, level])))
        chosen = np.stack(picks)
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


__all__ = ["Hit", "IndexFormatError", "SpecCLIPIndex", "paper_url"]
