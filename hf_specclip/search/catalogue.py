"""On-disk index of millions of spectra, with exact search or FAISS.

`specclip_training.embed_catalogue` writes a folder of Parquet files with names and embeddings.
`CatalogueIndex.build` adds the folder `_index`: the vectors in one memory-mapped float16 array, and
a FAISS IVF index for approximate search.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, read_json, write_json
from .build import detection_id
from .nearest import VECTORS_AT_ONCE, as_queries, nearest

if TYPE_CHECKING:
    from .milvus import MilvusIndex

INDEX_FOLDER = "_index"
VECTORS_FILE, FAISS_FILE, ABOUT_FILE = "vectors.npy", "cells.faiss", "index.json"
# Maximum number of IVF cells, and training vectors per cell (FAISS recommends at least 39).
MAX_CELLS, TRAINING_VECTORS = 65_536, 50
# The number of probed cells is doubled until the recall of the nearest ten, over a sample of
# queries, reaches RECALL or gains less than MIN_GAIN.
RECALL, NEIGHBOURS, SAMPLE, MIN_GAIN, MIN_PROBES = 0.9, 10, 200, 0.01, 8


class CatalogueIndex:
    """Index of the spectra of a catalogue; metadata is read from the files for hits only.

    Args:
        folder: folder of `*.parquet` with a column `embedding`, on which `build` was called.

    Attributes:
        vectors: (n, D) float16, memory-mapped.
        probes: number of cells probed in an approximate search.
        recall: recall of the nearest ten with as many probes; None without FAISS.

    Raises:
        FileNotFoundError: `build` was not called.
        FileFormatError: the index is damaged or belongs to other files.

    Examples:
        >>> index = CatalogueIndex.build("runs/catalogue")  # doctest: +SKIP
        >>> scores, rows = index.search(vectors, top_k=10, exact=False)  # doctest: +SKIP
        >>> index.entries(rows[0])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._files = _open_files(self.folder)
        self._starts = np.cumsum([0, *(file.count_rows() for file in self._files)])
        path = self.folder / INDEX_FOLDER
        if not (path / ABOUT_FILE).is_file():
            raise FileNotFoundError(f"{path} does not exist: call CatalogueIndex.build first")
        try:
            refuse_links_out(path, FileFormatError)
            about = read_json(path / ABOUT_FILE)
            self.probes, self.recall = about["probes"], about["recall"]
            self._digest = about["cells"]
            self.vectors = np.load(path / VECTORS_FILE, mmap_mode="r", allow_pickle=False)
            same = about["files"] == _sizes(self._files) and len(self.vectors) == self._starts[-1]
        except FileFormatError:
            raise
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FileFormatError(f"{path} is damaged ({error}): build it again") from error
        if not same:
            raise FileFormatError(f"{path} was made from other files: build it again")
        self._cells: Any = None

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def build(cls, folder: str | os.PathLike[str]) -> CatalogueIndex:
        """Build or replace the index of a folder of Parquet files.

        A vector takes 2 D bytes on disk, and D + 8 bytes in memory in the FAISS index (72 MB per
        million at D = 64). The number of probes is chosen by comparison with the exact search.
        Without FAISS, only the exact search is available.

        Raises:
            FileNotFoundError: there are no files.
            FileFormatError: files without vectors, or with vectors of different lengths.
        """
        target = Path(folder)
        files = _open_files(target)
        shape = (
            sum(file.count_rows() for file in files),
            files[0].physical_schema.field("embedding").type.list_size,
        )
        about: dict[str, Any] = dict.fromkeys(("probes", "recall", "cells"))
        about["files"] = _sizes(files)
        with atomic_folder(target / INDEX_FOLDER) as partial:
            path = partial / VECTORS_FILE
            vectors = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            start = 0
            for file in files:
                for batch in file.to_batches(columns=["embedding"]):
                    numbers = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
                    vectors[start : start + len(batch)] = numbers.reshape(-1, shape[1])
                    start += len(batch)
            vectors.flush()
            if (faiss := _faiss()) is not None:
                cells = _build_cells(faiss, vectors)
                about["probes"], about["recall"] = _choose_probes(cells, vectors)
                faiss.write_index(cells, str(partial / FAISS_FILE))
                about["cells"] = _digest(partial / FAISS_FILE)
            write_json(partial / ABOUT_FILE, about)
        return cls(target)

    def search(
        self, queries: Any, top_k: int = 10, *, exact: bool = True, probes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest vectors of each query by cosine similarity.

        Args:
            queries: array or tensor (B, D) or (D,) in the model's shared space.
            top_k: number of neighbours.
            exact: compare with all vectors (float16, 1e-3 in the score), else by FAISS.
            probes: number of cells to probe (default: chosen by `build`).

        Returns:
            Scores and rows, both (B, top_k), nearest first; −1 for a row that was not found.

        Raises:
            ValueError: the width is not D, a query is not finite, or `top_k` is below 1.
            ImportError: FAISS is missing, or was missing when the index was built.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        unit_queries = as_queries(queries, self.vectors.shape[1])
        if exact:
            return nearest(unit_queries, self.vectors, top_k)
        if self._cells is None:
            faiss, path = _faiss(), self.folder / INDEX_FOLDER / FAISS_FILE
            if faiss is None or not path.is_file():
                raise ImportError(
                    'approximate search needs FAISS: pip install "hf-specclip[index]" and build '
                    "the index again, or search with exact=True"
                )
            if _digest(path) != self._digest:
                raise FileFormatError(f"{path} is damaged or was replaced: build it again")
            self._cells = faiss.read_index(str(path))
        self._cells.nprobe = max(1, min(probes or self.probes, self._cells.nlist))
        return self._cells.search(np.ascontiguousarray(unit_queries), min(top_k, len(self)))

    def entries(self, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Read the metadata of rows as mappings, in the order of the rows.

        Raises:
            IndexError: a row is out of range.
        """
        numbers = np.asarray(rows, dtype=np.int64)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise IndexError(f"there are {len(self):,} rows: no {numbers.min()}, {numbers.max()}")
        file_of = np.searchsorted(self._starts, numbers, side="right") - 1
        entries: dict[int, dict[str, Any]] = {}
        for number in np.unique(file_of).tolist():
            file, in_file = self._files[number], numbers[file_of == number]
            columns = [name for name in file.physical_schema.names if name != "embedding"]
            table = file.take(in_file - self._starts[number], columns=columns)
            entries |= zip(in_file.tolist(), table.to_pylist(), strict=True)
        return [entries[row] for row in numbers.tolist()]

    def to_milvus(self, uri: str, *, collection: str = "specclip", token: str = "") -> MilvusIndex:
        """Write the catalogue to a Milvus database; see `SpecCLIPIndex.to_milvus`."""
        from .milvus import write_milvus

        parts = {"spectra": (self._all_entries(), self.vectors)}
        return write_milvus(parts, uri, collection=collection, token=token)

    def _all_entries(self) -> Iterator[dict[str, Any]]:
        for start, end in zip(self._starts[:-1], self._starts[1:], strict=True):
            for entry in self.entries(np.arange(start, end)):
                yield {"id": detection_id(entry), **entry}


def _open_files(folder: Path) -> list[Any]:
    """Open the Parquet files of a folder as fragments of a pyarrow dataset, sorted by name."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    paths = [str(path) for path in sorted(folder.glob("*.parquet"))]
    if not paths:
        raise FileNotFoundError(f"{folder} holds no *.parquet: embed a catalogue first")
    files = list(ds.dataset(paths).get_fragments())
    types = {
        schema.field("embedding").type if "embedding" in schema.names else pa.null()
        for schema in (file.physical_schema for file in files)
    }
    if len(types) > 1 or not pa.types.is_fixed_size_list(next(iter(types))):
        found = ", ".join(sorted(map(str, types)))
        raise FileFormatError(
            f"the files of {folder} need a column 'embedding' of lists of one length, not {found}"
        )
    return files


def _sizes(files: Sequence[Any]) -> list[list[Any]]:
    paths = [Path(file.path) for file in files]
    return [[path.name, path.stat().st_size] for path in paths]


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, since FAISS does not validate what it reads."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_cells(faiss: Any, vectors: np.ndarray) -> Any:
    """Build a FAISS IVF index of the vectors, quantised to 8 bits."""
    n, dimension = vectors.shape
    n_cells = max(1, min(MAX_CELLS, round(4 * n**0.5), n // 40))
    cells = faiss.index_factory(dimension, f"IVF{n_cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    cells.train(vectors[:: max(1, n // (TRAINING_VECTORS * n_cells))].astype(np.float32))
    for start in range(0, n, VECTORS_AT_ONCE):
        cells.add(vectors[start : start + VECTORS_AT_ONCE].astype(np.float32))
    return cells


def _choose_probes(cells: Any, vectors: np.ndarray) -> tuple[int, float]:
    """Choose the number of probes; return it with the recall of the nearest ten."""
    sample = np.unique(np.linspace(0, len(vectors) - 1, min(SAMPLE, len(vectors))).astype(np.int64))
    queries = vectors[sample].astype(np.float32)
    # One more neighbour, since a vector always finds itself.
    top_k = min(NEIGHBOURS + 1, len(vectors))
    truth = [
        set(rows) - {row}
        for rows, row in zip(nearest(queries, vectors, top_k)[1].tolist(), sample, strict=True)
    ]
    probes, last = min(MIN_PROBES, cells.nlist), -1.0
    while True:
        cells.nprobe = probes
        answers = cells.search(queries, top_k)[1].tolist()
        common = [len(exact & set(rows)) for exact, rows in zip(truth, answers, strict=True)]
        recall = float(np.mean(common)) / max(1, top_k - 1)
        if recall >= RECALL or recall - last < MIN_GAIN or probes == cells.nlist:
            return probes, recall
        probes, last = min(2 * probes, cells.nlist), recall


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        return None
    return faiss
