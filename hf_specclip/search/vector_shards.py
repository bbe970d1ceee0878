"""Search among the vectors of a whole catalogue, which lie in Parquet files and stay there.

For millions of spectra: an entry is a row of a file, not a Python object, and is read when it is
an answer. A search compares with all vectors, one file at a time, or asks an index that FAISS made
and keeps beside the files. Files may lie in several folders, one for each machine that made some;
`merge_hits` joins what each finds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

INDEX_FILE = "_vectors.faiss"
INDEX_ABOUT = "_vectors.json"
# Similarities held at once, 64 MB.
SCORES_AT_ONCE = 1 << 24
# Vectors that an index learns each of its cells from; FAISS asks for 39 or more.
TRAINING_VECTORS = 50
# An index looks into so many cells that it finds this share of the closest ten of some vectors, or
# that twice as many would find hardly more.
WANTED, CLOSEST, TRIED, HARDLY, FEWEST_PROBES = 0.9, 10, 200, 0.01, 8


class VectorShards:
    """The vectors of `training/embed_catalogue.py`, or any Parquet files with `embedding`.

    Args:
        folder: that holds the files, `*.parquet`, taken in the order of their names.

    Attributes:
        dimension: of the vectors.
        index_facts: of the index, once it is made or asked: `probes`, the cells that a search looks
            into, and `found`, the share of the closest ten that it finds.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when one has no column `embedding` of lists of one length, or not the length of
            the others.

    Example:
        >>> shards = VectorShards("runs/catalogue")  # doctest: +SKIP
        >>> scores, places = shards.search(vectors, top_k=10)  # doctest: +SKIP
        >>> shards.rows(places[0])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        self.files = sorted(self.folder.glob("*.parquet"))
        if not self.files:
            raise FileNotFoundError(
                f"{self.folder} holds no *.parquet: make it with training/embed_catalogue.py"
            )
        sizes, widths = [], set()
        for file in self.files:
            footer = pq.read_metadata(file)
            schema = footer.schema.to_arrow_schema()
            at = schema.get_field_index("embedding")
            if at < 0 or not pa.types.is_fixed_size_list(schema.field(at).type):
                raise ValueError(f"{file} has no column 'embedding' of lists of one length")
            sizes.append(footer.num_rows)
            widths.add(schema.field(at).type.list_size)
        if len(widths) > 1:
            raise ValueError(f"{self.folder}: files hold vectors of {sorted(widths)} dimensions")
        self.dimension: int = widths.pop()
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._index: Any = None
        self.index_facts: dict[str, Any] = {}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def vectors(self, file: int) -> np.ndarray:
        """The vectors (rows, D) of one file, float32."""
        import pyarrow.parquet as pq

        column = pq.read_table(self.files[file], columns=["embedding"])["embedding"]
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, self.dimension).astype(np.float32, copy=not flat.flags.writeable)

    def rows(self, places: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """All other columns of some rows, as mappings, in the order given."""
        import pyarrow.parquet as pq

        wanted = np.asarray(places, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"there are {len(self):,} rows, not {int(wanted.max()):,}")
        of_file = np.searchsorted(self.starts, wanted, side="right") - 1
        found: dict[int, dict[str, Any]] = {}
        for file in np.unique(of_file).tolist():
            names = [n for n in pq.read_schema(self.files[file]).names if n != "embedding"]
            inside = np.unique(wanted[of_file == file]) - self.starts[file]
            table = pq.read_table(self.files[file], columns=names).take(inside)
            for row, entry in zip(inside.tolist(), table.to_pylist(), strict=True):
                found[row + int(self.starts[file])] = entry
        return [found[place] for place in wanted.tolist()]

    def search(
        self, queries: Any, top_k: int = 10, *, exact: bool = True, probes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The vectors closest to each query by cosine similarity.

        Args:
            queries: array or tensor (B, D) or (D,) of unit length.
            top_k: how many, at most as many as there are.
            exact: compare with every vector; else ask the index that `build` made.
            probes: cells of the index that are looked into, by default as many as `build` found
                to be needed (`index_facts`).

        Returns:
            Scores and places (B, top_k), closest first; a place that the index did not find is −1.

        Raises:
            ValueError: when the width is not D, or `top_k` is below 1.
            FileNotFoundError: when there is no index.
        """
        if hasattr(queries, "detach"):
            queries = queries.detach().float().cpu().numpy()
        asked = np.ascontiguousarray(np.atleast_2d(np.asarray(queries, dtype=np.float32)))
        if asked.ndim != 2 or asked.shape[1] != self.dimension:
            raise ValueError(f"queries are {asked.shape}, these vectors have {self.dimension}")
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        top_k = min(top_k, len(self))
        if not exact:
            index = self._loaded()
            wanted = self.index_facts["probes"] if probes is None else probes
            index.nprobe = max(1, min(wanted, index.nlist))
            return index.search(asked, top_k)
        import torch

        question = torch.from_numpy(asked)
        best: tuple[np.ndarray, np.ndarray] | None = None
        for file in range(len(self.files)):
            vectors = self.vectors(file)
            step = max(1, SCORES_AT_ONCE // max(1, len(asked)))
            for start in range(0, len(vectors), step):
                some = torch.from_numpy(vectors[start : start + step])
                scores, kept = (question @ some.T).topk(min(top_k, len(some)), dim=1)
                hits = scores.numpy(), kept.numpy() + self.starts[file] + start
                best = hits if best is None else merge_hits([best, hits], top_k)
        assert best is not None
        return merge_hits([best], top_k)

    def build(self, *, bits: int = 8) -> Path:
        """Make an index of cells (FAISS IVF) with vectors in 8 bits a number, and keep it.

        Memory is that of the index, D + 8 bytes a vector (72 MB a million at D = 64), and of one
        file. How many cells a search has to look into is tried on some of the vectors themselves,
        against the exact search.

        Args:
            bits: 8 or 4 for each number of a vector.

        Raises:
            ImportError: without FAISS.
        """
        faiss = _faiss()
        kind = {8: "SQ8", 4: "SQ4"}[bits]
        cells = max(1, min(65_536, round(4 * len(self) ** 0.5), len(self) // 40))
        index = faiss.index_factory(
            self.dimension, f"IVF{cells},{kind}", faiss.METRIC_INNER_PRODUCT
        )
        step = max(1, len(self) // (TRAINING_VECTORS * cells))
        index.train(np.concatenate([self.vectors(file)[::step] for file in range(len(self.files))]))
        for file in range(len(self.files)):
            index.add(self.vectors(file))
        path, partial = self.folder / INDEX_FILE, self.folder / f".partial-{INDEX_FILE}"
        faiss.write_index(index, str(partial))
        partial.replace(path)
        self._index = index
        self.index_facts = self._tried(index)
        about = self.folder / f".partial-{INDEX_ABOUT}"
        about.write_text(json.dumps(self._facts() | self.index_facts), encoding="utf-8")
        about.replace(self.folder / INDEX_ABOUT)
        return path

    def _tried(self, index: Any) -> dict[str, Any]:
        """Cells to look into, and the share of the closest that is found with so many."""
        places = np.unique(np.linspace(0, len(self) - 1, min(TRIED, len(self))).astype(np.int64))
        of_file = np.searchsorted(self.starts, places, side="right") - 1
        asked = np.concatenate(
            [
                self.vectors(file)[places[of_file == file] - self.starts[file]]
                for file in np.unique(of_file).tolist()
            ]
        )
        # A vector finds itself in any case: one more is asked for, and it does not count.
        most = min(CLOSEST + 1, len(self))
        right = self.search(asked, most)[1]
        probes, found, last = min(FEWEST_PROBES, index.nlist), 0.0, -1.0
        while True:
            index.nprobe = probes
            hits = index.search(asked, most)[1]
            others = [
                set(a) & (set(b) - {own})
                for a, b, own in zip(hits.tolist(), right.tolist(), places.tolist(), strict=True)
            ]
            found = float(np.mean([len(same) for same in others])) / max(1, most - 1)
            if found >= WANTED or found - last < HARDLY or probes == index.nlist:
                return {"probes": probes, "found": found}
            probes, last = min(2 * probes, index.nlist), found

    def _loaded(self) -> Any:
        if self._index is None:
            path, about = self.folder / INDEX_FILE, self.folder / INDEX_ABOUT
            if not path.is_file():
                raise FileNotFoundError(f"{self.folder} has no {INDEX_FILE}: call build() first")
            try:
                facts = dict(json.loads(about.read_text(encoding="utf-8")))
                tried = {"probes": int(facts.pop("probes")), "found": float(facts.pop("found"))}
            except (OSError, ValueError, TypeError, KeyError):
                facts = {}
            if facts != self._facts():
                raise ValueError(
                    f"{path} was made from other files than {self.folder} holds, or by an older "
                    "version: call build() again"
                )
            self._index = _faiss().read_index(str(path))
            self.index_facts = tried
        return self._index

    def _facts(self) -> dict[str, Any]:
        return {
            "dimension": self.dimension,
            "files": [[file.name, file.stat().st_size] for file in self.files],
        }


def merge_hits(
    found: Sequence[tuple[np.ndarray, np.ndarray]], top_k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best of several searches of the same queries, such as those of several machines.

    Args:
        found: scores and places (B, k) of each search; places must not mean the same row twice.
        top_k: how many to keep.

    Returns:
        Scores and places (B, at most top_k), closest first; equal scores in order of place.
    """
    scores = np.concatenate([scores for scores, _ in found], axis=1)
    places = np.concatenate([places for _, places in found], axis=1)
    order = np.lexsort((places, -scores), axis=1)[:, :top_k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ImportError(
            "an approximate index needs FAISS: pip install faiss-cpu, or search with exact=True"
        ) from None
    return faiss


__all__ = ["INDEX_FILE", "VectorShards", "merge_hits"]
