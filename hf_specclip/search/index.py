"""A searchable index of papers and spectra in the shared space: the gallery a model travels with.

An index is a folder of JSON lines and safetensors (see `index_files`). Both are data, never code:
nothing in them is executed, and no path in them is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import map_tensors
from .entries import Hit, IndexPart
from .files import (
    ABOUT_FILE,
    EMBEDDINGS_FILE,
    ENTRIES_FILE,
    FILES,
    SPECTRA_FILE,
    SPECTRUM_TENSORS_FILE,
    check_columns,
    read_about,
    read_entries,
    write_folder,
)
from .filter import IndexFilter

GALLERY_FOLDER = "gallery"
KINDS = ("papers", "spectra")
_CSC_NAME = re.compile(r"^(?:2CXO)?\s*J?(\d{6}(?:\.\d)?[+-]\d{6})\s*([A-Z]?)$", re.IGNORECASE)


class SpecCLIPIndex:
    """Texts about sources and spectra of sources, and where they lie in the shared space.

    Args:
        entries: one mapping for each text, with `id` (string, unique), `source_names` (list of
            string), `papers` (list of `{id, id_type, title, year}`), `summary` (mapping of section
            to text or None) and `split` (string or None). Filters also look at `classes`,
            `positions` (list of `[ra, dec]`, degrees), `counts` and `groups`. Further keys are
            kept.
        embeddings: array (n, D), any positive length; normalised here to unit length.
        spectra: one mapping for each spectrum, with `id`, `source_name`, and where known `class`,
            `ra`, `dec` (degrees), `obsid`, `obi`, `region_id`, `counts`, `exposure` (s), `group`,
            `split` and `text`, the id of the text about its source.
        spectrum_embeddings: array (m, D).
        spectrum_columns: arrays along the spectra, such as `map` (m, 2), their place on a map, or
            `spectrum` (m, bins), their counts.
        about: plain values on what the index was made from.

    Attributes:
        papers, spectra: the two parts (`IndexPart`): `entries`, `embeddings`, `columns`.

    Raises:
        ValueError: when lengths differ, an `id` is missing or repeated, or a vector is zero or
            not finite.

    Example:
        >>> index = SpecCLIPIndex.load("runs/demo/model/gallery")
        >>> hits = index.search(model.get_spectrum_features(**inputs).pooler_output, top_k=5)
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        *,
        spectra: Sequence[Mapping[str, Any]] = (),
        spectrum_embeddings: np.ndarray | None = None,
        spectrum_columns: Mapping[str, np.ndarray] | None = None,
        about: Mapping[str, Any] | None = None,
    ):
        self.papers = IndexPart(entries, embeddings)
        if spectrum_embeddings is None:
            spectrum_embeddings = np.zeros((0, self.dimension), np.float32)
        self.spectra = IndexPart(spectra, spectrum_embeddings, spectrum_columns, "spectrum")
        if len(self.spectra) and self.spectra.embeddings.shape[1] != self.dimension:
            raise ValueError(
                f"spectra have {self.spectra.embeddings.shape[1]} dimensions and texts "
                f"{self.dimension}: embed both with one model"
            )
        self.about = dict(about or {})
        self._by_name: dict[str, list[int]] | None = None

    def __len__(self) -> int:
        return len(self.papers)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The texts."""
        return self.papers.entries

    @property
    def embeddings(self) -> np.ndarray:
        """(n, D) float32, those of the texts."""
        return self.papers.embeddings

    @property
    def dimension(self) -> int:
        """D, the width of the shared space."""
        return self.papers.embeddings.shape[1]

    def part(self, kind: str) -> IndexPart:
        """`"papers"` or `"spectra"`."""
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}, it must be one of {', '.join(KINDS)}")
        return self.papers if kind == "papers" else self.spectra

    def search(
        self,
        queries: Any,
        top_k: int = 10,
        *,
        kind: str = "papers",
        where: IndexFilter | None = None,
    ) -> list[list[Hit]]:
        """The `top_k` entries closest to each query by cosine similarity.

        Spectra lie nearer to spectra than to texts, so scores of the two kinds do not compare.

        Args:
            queries: array or tensor (B, D) or (D,) in the model's shared space: spectra or texts.
            top_k: how many to return, at most as many as there are.
            kind: `"papers"` or `"spectra"`.
            where: conditions on the answers.

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
        return self.part(kind).search(vectors, top_k, where)

    def find(self, name: str) -> list[int]:
        """Places in `spectra` of the detections of a source, brightest first.

        Args:
            name: the catalogue's, such as `2CXO J004722.6-252050`; case, the space and the prefix
                do not matter.

        Raises:
            KeyError: for a source that the index does not know.
        """
        if self._by_name is None:
            self._by_name = {}
            for place, entry in enumerate(self.spectra.entries):
                key = plain_name(str(entry.get("source_name") or entry["id"]))
                self._by_name.setdefault(key, []).append(place)
            for places in self._by_name.values():
                places.sort(key=lambda place: -_counts(self.spectra.entries[place]))
        found = self._by_name.get(plain_name(name))
        if not found:
            known = f"{len(self._by_name):,} sources" if self._by_name else "no spectra"
            raise KeyError(f"{name!r} is not among the {known} of this index")
        return found

    def search_name(
        self,
        name: str,
        top_k: int = 10,
        *,
        kind: str = "spectra",
        where: IndexFilter | None = None,
    ) -> list[Hit]:
        """What is closest to a source the index knows, by its brightest spectrum.

        Args:
            name: see `find`.
            top_k, kind, where: see `search`; other spectra of the source itself are left out.

        Raises:
            KeyError: for a source that the index does not know.
        """
        places = self.find(name)
        query = self.spectra.embeddings[places[0]]
        if kind != "spectra":
            return self.search(query, top_k, kind=kind, where=where)[0]
        own = {self.spectra.entries[place]["id"] for place in places}
        hits = self.search(query, top_k + len(own), kind=kind, where=where)[0]
        kept = [hit for hit in hits if hit.entry["id"] not in own][:top_k]
        return [replace(hit, rank=rank) for rank, hit in enumerate(kept, start=1)]

    def add(
        self,
        kind: str,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Put entries behind those there are; `save` writes them. Nothing is changed where one is
        refused.

        Raises:
            ValueError: see the class.
        """
        vectors = np.asarray(embeddings)
        if len(self) and vectors.ndim == 2 and vectors.shape[1] != self.dimension:
            raise ValueError(
                f"the new embeddings have {vectors.shape[1]} dimensions, this index has "
                f"{self.dimension}: embed them with the model the index came with"
            )
        self.part(kind).add(entries, vectors, columns)
        self._by_name = None

    def use(self, method: str) -> SpecCLIPIndex:
        """Search by `"exact"` comparison (the default), or approximately by FAISS: `"hnsw"`, or
        `"ivf"`, which is built faster. Conditions always make a search exact.

        Raises:
            ValueError: for another method.
            ImportError: where FAISS is not installed.
        """
        for kind in KINDS:
            if len(self.part(kind)):
                self.part(kind).use(method)
        return self

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the index, replacing an older one there only once the new one is whole."""
        spectra = None
        if len(self.spectra):
            tensors = {"embeddings": self.spectra.embeddings, **self.spectra.columns}
            spectra = (self.spectra.entries, tensors)
        texts = (self.papers.entries, {"embeddings": self.papers.embeddings})
        return write_folder(Path(folder), texts, spectra, self.about)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SpecCLIPIndex:
        """Read an index folder. Vectors stay on disk and are mapped into memory.

        Raises:
            FileNotFoundError: when the folder or one of its files is absent.
            FileFormatError: when a file is damaged, or two do not belong together.
        """
        path = Path(folder)
        parts: list[Any] = []
        if path.is_dir():
            refuse_links_out(path, FileFormatError)
        for lines, tensors in (
            (ENTRIES_FILE, EMBEDDINGS_FILE),
            (SPECTRA_FILE, SPECTRUM_TENSORS_FILE),
        ):
            there = [name for name in (lines, tensors) if (path / name).is_file()]
            if parts and not there:
                continue
            for name in (lines, tensors):
                if name not in there:
                    raise FileNotFoundError(
                        f"{path} has no {name}: a gallery is made by training, or by "
                        "SpecCLIPIndex(entries, embeddings).save(folder)"
                    )
            columns = map_tensors(path / tensors)
            if "embeddings" not in columns:
                raise FileFormatError(
                    f"{path / tensors} holds no readable `embeddings`: fetch or build the gallery "
                    "again"
                )
            entries = list(read_entries(path / lines))
            for name, values in columns.items():
                if values.ndim == 0 or len(values) != len(entries):
                    raise FileFormatError(
                        f"{path / tensors}: {name} is {values.shape}, but {lines} has "
                        f"{len(entries)} lines: the two do not belong together; fetch or build "
                        "the gallery again"
                    )
            parts.append((entries, columns.pop("embeddings"), columns))
        more: dict[str, Any] = {}
        if len(parts) == 2:
            entries, vectors, columns = parts[1]
            check_columns(columns, path / SPECTRUM_TENSORS_FILE)
            more = {"spectra": entries, "spectrum_embeddings": vectors, "spectrum_columns": columns}
        try:
            return cls(*parts[0][:2], **more, about=read_about(path / ABOUT_FILE))
        except FileFormatError:
            raise
        except ValueError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **hub: Any) -> SpecCLIPIndex:
        """The index inside a model folder, or inside a model repository on the Hub.

        Args:
            name_or_path: a folder holding `gallery/`, or `user/name`.
            hub: passed to `huggingface_hub.snapshot_download` (`revision`, `token`, …).
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            patterns = [f"{GALLERY_FOLDER}/{name}" for name in FILES]
            folder = Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub))
        return cls.load(folder / GALLERY_FOLDER)


def _counts(entry: Mapping[str, Any]) -> float:
    found = entry.get("counts")
    return float(found) if isinstance(found, int | float) else 0.0


def plain_name(name: str) -> str:
    """A source's name in one form, so that `2CXO J…`, `2cxoj…` and `J…` are one."""
    short = " ".join(name.split())
    match = _CSC_NAME.match(short)
    if match:
        return f"{match[1]}{match[2].upper()}"
    return short.replace(" ", "").lower()


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


__all__ = [
    "ENTRIES_FILE",
    "GALLERY_FOLDER",
    "KINDS",
    "Hit",
    "IndexFilter",
    "SpecCLIPIndex",
    "paper_url",
    "plain_name",
]
