"""Embeddings of a build's summaries, written in parts; none is paid for twice.

Below the parts, every batch that the embedder answers is kept in its cache, so that a kill costs
the requests in flight and no more.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.literature import SECTIONS, TextEmbedder, embed_summaries
from hf_specclip.storage import write_bytes

from ...contract import list_array
from ..work.parts import Parts
from ..work.queue import WorkQueue

STAGE = "embeddings"
FOLDER = "vectors"
CACHE_FOLDER = "embeddings"
AT_ONCE = 250

Sections = Mapping[str, str | None]


def want_embeddings(queue: WorkQueue, summaries: Mapping[str, Sections], embedder: str) -> int:
    """Queue the embedding of summaries.

    Args:
        queue: of the build.
        summaries: source -> its three sections.
        embedder: its name; another one's embeddings are others.

    Returns:
        How many are new: a summary that has changed is embedded anew.
    """
    known = {
        tuple(entry)
        for item in queue.items(STAGE)
        if item.payload["embedder"] == embedder
        for entry in item.payload["sources"]
    }
    fresh = [(name, _digest(summaries[name])) for name in sorted(summaries)]
    fresh = [entry for entry in fresh if entry not in known]
    parts: dict[str, Any] = {}
    for start in range(0, len(fresh), AT_ONCE):
        some = [list(entry) for entry in fresh[start : start + AT_ONCE]]
        payload = {"embedder": embedder, "sources": some}
        said = json.dumps(payload, ensure_ascii=False)
        parts[f"part-{hashlib.sha256(said.encode()).hexdigest()[:16]}"] = payload
    queue.add(STAGE, parts)
    return len(fresh)


def make_embeddings(
    queue: WorkQueue,
    folder: str | Path,
    summaries: Mapping[str, Sections],
    embedder: TextEmbedder,
    progress: Callable[[int], object] = lambda n: None,
) -> None:
    """Embed every wanted summary.

    Args:
        queue: of the build.
        folder: of the build; parts go to its `vectors`.
        summaries: those of `want_embeddings`.
        embedder: see `hf_specclip.literature.get_embedder`.
        progress: called with the number of sources done.

    Raises:
        EmbeddingError: when the embedder fails; what it had answered is kept.
    """
    while items := queue.claim(STAGE, 1):
        [part] = items
        with queue.held(items):
            # Parts of another embedder, or of texts that have changed since, are wanted no more.
            if part.payload["embedder"] != embedder.name or any(
                name not in summaries or _digest(summaries[name]) != digest
                for name, digest in part.payload["sources"]
            ):
                queue.finish(STAGE, absent={part.id: "its summaries or the embedder have changed"})
                continue
            names = [name for name, _ in part.payload["sources"]]
            vectors = embed_summaries([summaries[name] for name in names], embedder)
            write_bytes(Path(folder) / FOLDER / f"{part.id}.parquet", _parquet(names, vectors))
            queue.finish(STAGE, {part.id: {"width": int(vectors.shape[1])}})
        progress(len(names))


def read_embeddings(
    queue: WorkQueue, folder: str | Path, summaries: Mapping[str, Sections], embedder: str
) -> Parts:
    """Open the rows `name`, `text_embedding` by source.

    Args:
        queue: of the build.
        folder: of the build.
        summaries: source -> its three sections.
        embedder: its name.
    """
    place_of: dict[str, tuple[Path, int]] = {}
    width = 0
    for item in queue.items(STAGE, ["got"]):
        if item.payload["embedder"] != embedder:
            continue
        width = item.result["width"]
        path = Path(folder) / FOLDER / f"{item.id}.parquet"
        for row, (name, digest) in enumerate(item.payload["sources"]):
            if name in summaries and _digest(summaries[name]) == digest:
                place_of.setdefault(name, (path, row))
    return Parts(_schema(width), place_of)


def _digest(sections: Sections) -> str:
    said = json.dumps([sections.get(name) for name in SECTIONS], ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _schema(width: int) -> pa.Schema:
    return pa.schema([("name", pa.string()), ("text_embedding", pa.list_(pa.float32(), width))])


def _parquet(names: list[str], vectors: np.ndarray) -> bytes:
    schema = _schema(vectors.shape[1])
    columns = [pa.array(names, pa.string()), list_array(vectors.astype(np.float32))]
    columns[1] = columns[1].cast(schema.field("text_embedding").type)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue()


__all__ = ["make_embeddings", "read_embeddings", "want_embeddings"]
