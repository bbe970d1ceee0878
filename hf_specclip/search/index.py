"""Searchable index of texts and spectra in the shared space: the gallery saved with a model.

An index is a folder of JSON lines and safetensors (see `search.files`), which contain no code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from ..errors import FileFormatError
from ..literature.source_names import without_prefix
from ..models.checkpoint_specclip import refuse_links_out
from ..models.variables_specclip import VARIABLES
from .entries import Hit, IndexPart
from .files import FILES, read_index, write_index
from .filter import IndexFilter
from .names import host_names, normalise_name
from .nearest import as_queries
from .sources import SourcePosition, SourceTable, counts_of, declinations, sources_within

if TYPE_CHECKING:
    from .milvus import MilvusIndex

GALLERY_FOLDER = "gallery"
KINDS = ("papers", "spectra")


class SpecCLIPIndex:
    """Index of texts and spectra of sources by their embeddings in the shared space.

    The search is exact. See `CatalogueIndex` for millions of spectra, and `to_milvus` for a
    database server.

    Args:
        entries: metadata of the texts: `id` (unique string), `source_names` (list of strings),
            `papers` (list of `{id, id_type, title, year}`), `summary` (mapping of section to text
            or None) and `split` (string or None). Filters also use `classes`, `positions` (list of
            `[ra, dec]`, degrees), `counts` and `groups`. Other keys are kept.
        embeddings: embeddings of the texts (n, D), normalised here.
        spectra: metadata of the spectra: `id`, `source_name`, and optionally `class`, `ra`, `dec`
            (degrees), `obsid`, `obi`, `region_id`, `counts`, `exposure` (s), `group`, `split`,
            `text` (id of the text about the source), `host`, `aliases`, and `papers` if the index
            has no texts.
        spectrum_embeddings: embeddings of the spectra (m, D), normalised here.
        spectrum_columns: arrays with one row per spectrum: `map` (m, 2) positions on a map,
            `counts` (m, bins), catalogue variables (m,), …
        other_sources: sources without spectra (`source_name`, `ra`, `dec`, `class`), used for
            searches by position.
        about: metadata of the index, such as the name of its dataset.

    Attributes:
        papers, spectra: the two collections of entries (`IndexPart`).

    Raises:
        ValueError: lengths differ, an `id` is missing or repeated, or a vector is zero or not
            finite.

    Examples:
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
        other_sources: Sequence[Mapping[str, Any]] = (),
        about: Mapping[str, Any] | None = None,
    ):
        self.papers = IndexPart(entries, embeddings)
        if spectrum_embeddings is None:
            spectrum_embeddings = np.zeros((0, self.dimension), np.float32)
        self.spectra = IndexPart(spectra, spectrum_embeddings, spectrum_columns, "spectrum")
        if len(self.spectra) and self.spectra.embeddings.shape[1] != self.dimension:
            raise ValueError(
                f"spectra have {self.spectra.embeddings.shape[1]} dimensions and texts "
                f"{self.dimension}: embed both with the same model"
            )
        self.other_sources = [dict(entry) for entry in other_sources]
        self.about = dict(about or {})

    def __len__(self) -> int:
        return len(self.papers)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Metadata of the texts."""
        return self.papers.entries

    @property
    def embeddings(self) -> np.ndarray:
        """Embeddings of the texts, (n, D) float32."""
        return self.papers.embeddings

    @property
    def dimension(self) -> int:
        """Width D of the shared space."""
        return self.papers.embeddings.shape[1]

    def part(self, kind: str) -> IndexPart:
        """Return the texts (`"papers"`) or the spectra (`"spectra"`)."""
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
        """Find the `top_k` entries nearest to each query by cosine similarity.

        Scores of texts and spectra are not comparable, because of the modality gap.

        Args:
            queries: embedded spectra or texts, array or tensor (B, D) or (D,).
            top_k: maximum number of hits per query.
            kind: entries to search, `"papers"` or `"spectra"`.
            where: filter on the hits.

        Returns:
            The hits of each query, nearest first; equal scores keep the order of the index.

        Raises:
            ValueError: the width is not D, a query is not finite, or `top_k` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        kept = None if where is None else self.matching(where, kind)
        return self.part(kind).search(as_queries(queries, self.dimension), top_k, kept)

    def matching(self, where: IndexFilter, kind: str = "spectra") -> np.ndarray:
        """Return the rows of the texts or spectra that pass a filter.

        Raises:
            ValueError: the index has no values of a variable.
        """
        entries = self.part(kind).entries
        meets = np.ones(len(entries), bool)
        if replace(where, where=()) != IndexFilter():
            meets = np.array([where.keeps(entry) for entry in entries], bool)
        if where.conditions:
            spectra = np.ones(len(self.spectra), bool)
            for condition in where.conditions:
                spectra &= condition.holds(self.values(condition.variable))
            if kind == "papers":
                rows = np.flatnonzero(spectra)
                texts = {self.spectra.entries[row].get("text") for row in rows}
                spectra = np.array([entry["id"] in texts for entry in entries], bool)
            meets &= spectra
        return np.flatnonzero(meets)

    @cached_property
    def sources(self) -> SourceTable:
        """Sources, texts and classes of the spectra."""
        return SourceTable.from_entries(self.spectra.entries, self.entries)

    @cached_property
    def host_names(self) -> dict[str, str]:
        """Normalised names of the hosts of the sources; see `names.host_names`."""
        return host_names({e["host"] for e in self.spectra.entries if e.get("host")})

    def within(self, ra: float, dec: float, radius: float) -> list[SourcePosition]:
        """Find the sources near a position, nearest first.

        Args:
            ra, dec, radius: degrees (ICRS).

        Returns:
            Each source once, with the row of its brightest spectrum, if any.
        """
        entries = [*self.spectra.entries, *self.other_sources]
        rows = np.flatnonzero(np.abs(self._declinations - dec) <= radius)
        return sources_within(entries, rows.tolist(), ra, dec, radius)

    @cached_property
    def _declinations(self) -> np.ndarray:
        return declinations([*self.spectra.entries, *self.other_sources])

    @property
    def variables(self) -> list[str]:
        """Names of the variables with values in the index."""
        return list(self._values)

    def values(self, variable: str) -> np.ndarray:
        """Return a variable of the spectra (m,), nan where unknown.

        Raises:
            ValueError: the index has no values of it.
        """
        if variable not in self._values:
            known = ", ".join(self._values)
            raise ValueError(f"the index has no values of {variable!r}, only of {known}")
        return self._values[variable]

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        counts = [entry.get("counts") for entry in self.spectra.entries]
        counts = [n if isinstance(n, int | float) else np.nan for n in counts]
        columns = {name: self.spectra.columns.get(name) for name in VARIABLES}
        known = {n: v for n, v in columns.items() if v is not None and np.isfinite(v).any()}
        return {"counts": np.array(counts, float), **known}

    def find(self, name: str) -> list[int]:
        """Return the rows of the spectra of a source, brightest first.

        Args:
            name: name in the catalogue, such as `2CXO J004722.6-252050`, or an alias; case, spaces
                and the prefix are ignored.

        Raises:
            KeyError: the source is not in the index.
        """
        rows = self._rows_by_name.get(normalise_name(name), [])
        if not rows:
            n = len({entry.get("source_name") for entry in self.spectra.entries})
            content = f"{n:,} sources" if n else "no spectra"
            raise KeyError(f"{name!r} is not among the {content} of this index")
        return rows

    @cached_property
    def _rows_by_name(self) -> dict[str, list[int]]:
        rows_by_name: dict[str, list[int]] = {}
        for row, entry in enumerate(self.spectra.entries):
            aliases = entry.get("aliases")
            names = [_source_name(entry), *(map(str, aliases) if isinstance(aliases, list) else ())]
            keys = {normalise_name(form) for name in names for form in (name, without_prefix(name))}
            for key in keys - {""}:
                rows_by_name.setdefault(key, []).append(row)
        for rows in rows_by_name.values():
            rows.sort(key=lambda row: -counts_of(self.spectra.entries[row]))
        return rows_by_name

    @cached_property
    def names(self) -> dict[str, str]:
        """Source names by their names and aliases, normalised by `normalise_name`."""
        entries = self.spectra.entries
        return {key: _source_name(entries[rows[0]]) for key, rows in self._rows_by_name.items()}

    def search_name(
        self,
        name: str,
        top_k: int = 10,
        *,
        kind: str = "spectra",
        where: IndexFilter | None = None,
    ) -> list[Hit]:
        """Find the entries nearest to the brightest spectrum of a source of the index.

        Args:
            name: see `find`.
            top_k, kind, where: see `search`; spectra of the source itself are excluded.

        Raises:
            KeyError: the source is not in the index.
        """
        rows = self.find(name)
        query = self.spectra.embeddings[rows[0]]
        if kind != "spectra":
            return self.search(query, top_k, kind=kind, where=where)[0]
        hits = self.search(query, top_k + len(rows), kind=kind, where=where)[0]
        others = [hit for hit in hits if hit.row not in rows][:top_k]
        return [replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)]

    def add(
        self,
        kind: str,
        entries: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Append entries in memory. Nothing is changed if one is invalid.

        Raises:
            ValueError: see the class.
        """
        self.part(kind).add(entries, embeddings, columns)
        caches = ("sources", "host_names", "names", "_rows_by_name", "_declinations", "_values")
        for name in caches:
            self.__dict__.pop(name, None)

    def save(self, folder: str | os.PathLike[str], *, compact: bool = False) -> Path:
        """Write the index atomically.

        Args:
            folder: folder to write.
            compact: compress entries, and round numbers to float16.
        """
        spectra = None
        if len(self.spectra):
            tensors = {"embeddings": self.spectra.embeddings, **self.spectra.columns}
            spectra = (self.spectra.entries, tensors)
        texts = (self.papers.entries, {"embeddings": self.papers.embeddings})
        return write_index(
            Path(folder), texts, spectra, self.about, self.other_sources, compact=compact
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SpecCLIPIndex:
        """Read an index folder; embeddings are memory-mapped.

        Raises:
            FileNotFoundError: the folder or a file is missing.
            FileFormatError: a file is damaged, or files do not match.
        """
        path = Path(folder)
        if path.is_dir():
            refuse_links_out(path, FileFormatError)
        (entries, tensors), spectra, other_sources, about = read_index(path)
        spectrum_entries, columns = spectra or ([], {})
        try:
            return cls(
                entries,
                tensors["embeddings"],
                spectra=spectrum_entries,
                spectrum_embeddings=columns.pop("embeddings", None),
                spectrum_columns=columns,
                other_sources=other_sources,
                about=about,
            )
        except ValueError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **hub: Any) -> SpecCLIPIndex:
        """Load the index of a model folder, or of a model repository on the Hub.

        Args:
            name_or_path: a folder with `gallery/`, or `user/name`.
            hub: passed to `huggingface_hub.snapshot_download` (`revision`, `token`, …).
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            patterns = [f"{GALLERY_FOLDER}/{name}" for name in FILES]
            folder = Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub))
        return cls.load(folder / GALLERY_FOLDER)

    def to_milvus(self, uri: str, *, collection: str = "specclip", token: str = "") -> MilvusIndex:
        """Write the index to a Milvus database: ids, embeddings, and metadata with filter fields.

        Args:
            uri: a server (`http://host:19530`), or a path ending in `.db` for Milvus Lite.
            collection: prefix of the collections `…_papers` and `…_spectra`.
            token: `user:password` or an API key of the server.

        Returns:
            The index in the database, with the same `search`.

        Raises:
            ImportError: pymilvus is not installed.
            ValueError: the collection exists.
        """
        from .milvus import write_milvus

        parts = {
            kind: (self.part(kind).entries, self.part(kind).embeddings)
            for kind in KINDS
            if len(self.part(kind))
        }
        return write_milvus(parts, uri, collection=collection, token=token)


def _source_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("source_name") or entry["id"])


def paper_url(paper: Mapping[str, Any]) -> str | None:
    """Return a link to a paper on ADS, arXiv or doi.org; None for another id type."""
    identifier, id_type = str(paper.get("id") or ""), str(paper.get("id_type") or "").lower()
    sites = {
        "bibcode": "https://ui.adsabs.harvard.edu/abs/",
        "arxiv": "https://arxiv.org/abs/",
        "doi": "https://doi.org/",
    }
    if not identifier or id_type not in sites:
        return None
    return sites[id_type] + quote(identifier, safe="/.:()")
