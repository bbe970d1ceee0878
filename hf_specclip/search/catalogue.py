"""Index of a whole catalogue on one machine: millions of spectra, on disk, exact or by FAISS.

The folder of Parquet files that `specclip_training.embed_catalogue` writes holds names and vectors.
`CatalogueIndex.build` adds the folder `_index`: all vectors in one mapped float16 array, and cells
of similar vectors (FAISS IVF) for approximate search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileFormatError
from ..storage import atomic_folder, write_json
from .build import detection_id
from .nearest import as_queries, nearest

if TYPE_CHECKING:
    from .milvus import MilvusIndex

INDEX_FOLDER = "_index"
VECTORS_FILE, FAISS_FILE, ABOUT_FILE = "vectors.npy", "cells.faiss", "index.json"
MAX_CELLS = 65_536
# Vectors that the centre of a cell is learned from; FAISS asks for 39 or more.
TRAINING_VECTORS = 50
# Cells are probed until a search recalls this share of the closest ten (over some vectors of the
# catalogue), or twice as many would recall hardly more.
RECALL, NEIGHBOURS, SAMPLE, MIN_GAIN, MIN_PROBES = 0.9, 10, 200, 0.01, 8


class CatalogueIndex:
    """The spectra of a catalogue by their vectors; an entry is a row of a file until it is a hit.

    Args:
        folder: folder of `*.parquet` with a column `embedding`, on which `build` was called.

    Attributes:
        dimension: D of the vectors.
        probes: number of cells an approximate search looks into.
        recall: share of the closest ten it finds so; None where FAISS was not installed.

    Raises:
        FileNotFoundError: where `build` was not called.
        FileFormatError: for an index of other files.

    Example:
        >>> index = CatalogueIndex.build("runs/catalogue")  # doctest: +SKIP
        >>> scores, rows = index.search(vectors, top_k=10, exact=False)  # doctest: +SKIP
        >>> index.entries(rows[0])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._files, sizes, self.dimension = _parquet_files(self.folder)
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        path = self.folder / INDEX_FOLDER
        if not (path / ABOUT_FILE).is_file():
            raise FileNotFoundError(f"{path} is not there: call CatalogueIndex.build first")
        try:
            about = json.loads((path / ABOUT_FILE).read_text(encoding="utf-8"))
            self.probes, self.recall = about["probes"], about["recall"]
            files, shape = about["files"], (len(self), self.dimension)
            self.vectors = np.load(path / VECTORS_FILE, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FileFormatError(f"{path} is damaged ({error}): build it again") from error
        if files != _facts(self._files) or self.vectors.shape != shape:
            raise FileFormatError(f"{path} was made from other files: build it again")
        self._faiss_index: Any = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @classmethod
    def build(cls, folder: str | os.PathLike[str]) -> CatalogueIndex:
        """Build the index of a folder of Parquet files; one that is there is replaced.

        Memory is that of the cells, D + 8 bytes a vector (72 MB a million at D = 64), and of one
        file; on disk are D + 8 and 2 D bytes. The number of cells to probe is chosen by comparison
        with the exact search. Without FAISS only the exact search is possible.

        Raises:
            FileNotFoundError: where there are no files.
            FileFormatError: for files without vectors, or with vectors of different lengths.
        """
        target = Path(folder)
        files, sizes, dimension = _parquet_files(target)
        about: dict[str, Any] = {"files": _facts(files), "probes": None, "recall": None}
        with atomic_folder(target / INDEX_FOLDER) as partial:
            vectors = np.lib.format.open_memmap(
                partial / VECTORS_FILE, "w+", np.float16, (sum(sizes), dimension)
            )
            start = 0
            for file, size in zip(files, sizes, strict=True):
                vectors[start : start + size] = _read_vectors(file, dimension)
                start += size
            vectors.flush()
            if (faiss := _faiss()) is not None:
                index = _build_cells(vectors, sizes)
                about["probes"], about["recall"] = _choose_probes(index, vectors)
                faiss.write_index(index, str(partial / FAISS_FILE))
            write_json(partial / ABOUT_FILE, about)
        return cls(target)

    def search(
        self, queries: Any, top_k: int = 10, *, exact: bool = True, probes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the vectors closest to each query by cosine similarity.

        Args:
            queries: array or tensor (B, D) or (D,) in the model's shared space.
            top_k: number of neighbours, at most as many as there are.
            exact: compare with every vector (to float16, 1e-3 in the score); else search the cells.
            probes: number of cells to look into (default: as many as `build` chose).

        Returns:
            Scores and rows, both (B, top_k), closest first; a row that was not found is −1.

        Raises:
            ValueError: when the width is not D, a query is not finite, or `top_k` is below 1.
            ImportError: without FAISS, or an index built without it.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        asked = np.ascontiguousarray(as_queries(queries, self.dimension))
        if exact:
            return nearest(asked, self.vectors, top_k)
        if self._faiss_index is None:
            faiss, path = _faiss(), self.folder / INDEX_FOLDER / FAISS_FILE
            if faiss is None or not path.is_file():
                raise ImportError(
                    'approximate search needs FAISS: pip install "hf-specclip[index]" and build '
                    "again, or search with exact=True"
                )
            self._faiss_index = faiss.read_index(str(path))
        index = self._faiss_index
        index.nprobe = max(1, min(self.probes if probes is None else probes, index.nlist))
        return index.search(asked, min(top_k, len(self)))

    def entries(self, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Read all columns but the vectors of some rows, as mappings, in the order given.

        Raises:
            IndexError: for a row that is not there.
        """
        import pyarrow.parquet as pq

        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"there are {len(self):,} rows: no row {wanted.min()}, {wanted.max()}")
        file_of = np.searchsorted(self._starts, wanted, side="right") - 1
        entries: dict[int, dict[str, Any]] = {}
        for number in np.unique(file_of).tolist():
            file = self._files[number]
            columns = [name for name in pq.read_schema(file).names if name != "embedding"]
            in_file = wanted[file_of == number]
            table = pq.read_table(file, columns=columns).take(in_file - self._starts[number])
            entries |= zip(in_file.tolist(), table.to_pylist(), strict=True)
        return [entries[row] for row in wanted.tolist()]

    def to_milvus(self, uri: str, *, collection: str = "specclip", token: str = "") -> MilvusIndex:
        """Write the catalogue to a Milvus database; see `SpecCLIPIndex.to_milvus`."""
        from .milvus import write_milvus

        parts = {"spectra": (self._all_entries(), self.vectors)}
        return write_milvus(parts, uri, collection=collection, token=token)

    def _all_entries(self) -> Iterator[dict[str, Any]]:
        for start, end in zip(self._starts[:-1], self._starts[1:], strict=True):
            for entry in self.entries(np.arange(start, end)):
                yield {"id": detection_id(entry), **entry}


def _parquet_files(folder: Path) -> tuple[list[Path], list[int], int]:
    """List the Parquet files of a folder by name, with their rows, and the width of the vectors."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files, sizes, widths = sorted(folder.glob("*.parquet")), [], set()
    for file in files:
        footer = pq.read_metadata(file)
        schema = footer.schema.to_arrow_schema()
        column = schema.get_field_index("embedding")
        if column < 0 or not pa.types.is_fixed_size_list(schema.field(column).type):
            raise FileFormatError(f"{file} has no column 'embedding' of lists of one length")
        sizes.append(footer.num_rows)
        widths.add(schema.field(column).type.list_size)
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.parquet: embed a catalogue first")
    if len(widths) > 1:
        raise FileFormatError(f"{folder}: files hold vectors of {sorted(widths)} dimensions")
    return files, sizes, widths.pop()


def _facts(files: Sequence[Path]) -> list[list[Any]]:
    return [[file.name, file.stat().st_size] for file in files]


def _read_vectors(file: Path, dimension: int) -> np.ndarray:
    import pyarrow.parquet as pq

    column = pq.read_table(file, columns=["embedding"])["embedding"]
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)


def _build_cells(vectors: np.ndarray, sizes: Sequence[int]) -> Any:
    """Cluster the vectors in cells, kept in 8 bits a number."""
    n, dimension = vectors.shape
    cells = max(1, min(MAX_CELLS, round(4 * n**0.5), n // 40))
    faiss: Any = _faiss()
    index = faiss.index_factory(dimension, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, n // (TRAINING_VECTORS * cells))].astype(np.float32))
    start = 0
    for size in sizes:
        index.add(vectors[start : start + size].astype(np.float32))
        start += size
    return index


def _choose_probes(index: Any, vectors: np.ndarray) -> tuple[int, float]:
    """Find how many cells to look into, and the recall of the closest ten with so many."""
    sample = np.unique(np.linspace(0, len(vectors) - 1, min(SAMPLE, len(vectors))).astype(np.int64))
    queries = vectors[sample].astype(np.float32)
    # A vector finds itself in any case: ask for one more, and do not count it.
    top_k = min(NEIGHBOURS + 1, len(vectors))
    truth = nearest(queries, vectors, top_k)[1]
    probes, recall, last = min(MIN_PROBES, index.nlist), 0.0, -1.0
    while True:
        index.nprobe = probes
        answers = index.search(queries, top_k)[1]
        common = [
            len(set(answer) & (set(right) - {row}))
            for answer, right, row in zip(
                answers.tolist(), truth.tolist(), sample.tolist(), strict=True
            )
        ]
        recall = float(np.mean(common)) / max(1, top_k - 1)
        if recall >= RECALL or recall - last < MIN_GAIN or probes == index.nlist:
            return probes, recall
        probes, last = min(2 * probes, index.nlist), recall


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        return None
    return faiss


__all__ = ["CatalogueIndex"]
