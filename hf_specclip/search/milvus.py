"""Index in a Milvus database, for more spectra and texts than fit on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import asin, cos, degrees, floor, radians, sin
from typing import Any

import numpy as np

from .entries import Hit
from .filter import IndexFilter, names_of, positions_of
from .nearest import as_queries

# Rows per insert: about a megabyte with summaries, far below the limit of 64 MB per message.
ROWS_AT_ONCE = 200
# Limits of Milvus: hits per query, elements per array, bytes per string.
MAX_HITS, MAX_ELEMENTS, MAX_BYTES = 16_384, 4096, 65_535
# Characters (of at most four bytes) per chunk of an entry's JSON.
_CHUNK = 16_000
# Sizes of fine and coarse sky cells, degrees; cones up to _FINE_RADIUS use the fine ones.
_FINE, _FINE_RADIUS, _COARSE = 1, 2.0, 10


class MilvusIndex:
    """Index in a Milvus database, written by `SpecCLIPIndex.to_milvus`.

    Texts and spectra are two collections. The search is exact (index type `FLAT`), so hits are the
    same as those of `SpecCLIPIndex`. Tested with Milvus Lite only, not with a server.

    Args:
        uri, collection, token: see `SpecCLIPIndex.to_milvus`.

    Attributes:
        sizes: number of entries of `"papers"` and `"spectra"`.
        dimension: width D of the shared space.

    Raises:
        ImportError: pymilvus is not installed.
        ValueError: the database has no such index.

    Examples:
        >>> index = MilvusIndex("http://host:19530", token="user:password")  # doctest: +SKIP
        >>> index.search(embedding, kind="spectra")  # doctest: +SKIP
    """

    def __init__(self, uri: str, *, collection: str = "specclip", token: str = ""):
        self._client = _connect(uri, token)
        self.sizes: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self.dimension = 0
        for kind in ("papers", "spectra"):
            name = f"{collection}_{kind}"
            if not self._client.has_collection(name):
                continue
            self._client.load_collection(name)
            self._names[kind] = name
            self.sizes[kind] = int(self._client.get_collection_stats(name)["row_count"])
            fields = self._client.describe_collection(name)["fields"]
            self.dimension = next(f["params"]["dim"] for f in fields if f["name"] == "vector")
        if not self._names:
            raise ValueError(f"{uri} has no index {collection!r}: write it with to_milvus")

    def search(
        self,
        queries: Any,
        top_k: int = 10,
        *,
        kind: str = "papers",
        where: IndexFilter | None = None,
    ) -> list[list[Hit]]:
        """Find the `top_k` entries nearest to each query; see `SpecCLIPIndex.search`.

        Entries with equal scores at the last rank may differ from `SpecCLIPIndex`.

        Raises:
            ValueError: queries of another width or not finite, `top_k` outside 1 to 16,384, or a
                cone whose sky cells contain more entries than Milvus returns.
        """
        if not 1 <= top_k <= MAX_HITS:
            raise ValueError(f"top_k must be between 1 and {MAX_HITS:,}, not {top_k}")
        vectors = as_queries(queries, self.dimension)
        if kind not in self._names:
            return [[] for _ in vectors]
        limit = top_k
        while True:
            answers = self._client.search(
                self._names[kind],
                data=list(vectors),
                limit=limit,
                filter="" if where is None else filter_expression(where),
                output_fields=["entry"],
            )
            hits = [_hits(answer, where, top_k) for answer in answers]
            # Milvus filters a cone by sky cells; too few of its hits may lie inside the cone.
            pairs = zip(hits, answers, strict=True)
            if all(len(kept) == top_k or len(answer) < limit for kept, answer in pairs):
                return hits
            if limit == MAX_HITS:
                raise ValueError(
                    f"more than {MAX_HITS:,} entries lie near the cone: give further conditions"
                )
            limit = min(4 * limit, MAX_HITS)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def write_milvus(
    parts: Mapping[str, tuple[Iterable[Mapping[str, Any]], np.ndarray]],
    uri: str,
    *,
    collection: str,
    token: str = "",
) -> MilvusIndex:
    """Write entries and their unit vectors (n, D) to a Milvus database, one collection per kind.

    The collections are renamed to their final names when all are complete.

    Raises:
        ImportError: pymilvus is not installed.
        ValueError: a collection exists.
    """
    client = _connect(uri, token)
    names = {kind: f"{collection}_{kind}" for kind in parts}
    for name in names.values():
        if client.has_collection(name):
            raise ValueError(f"{uri} has a collection {name}: choose another name, or drop it")
    for kind, (entries, vectors) in parts.items():
        partial = f"{names[kind]}_partial"
        if client.has_collection(partial):
            client.drop_collection(partial)
        _create(client, partial, vectors.shape[1])
        rows = _rows(entries, vectors)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            client.insert(partial, batch)
        client.flush(partial)
    for name in names.values():
        client.rename_collection(f"{name}_partial", name)
    client.close()
    return MilvusIndex(uri, collection=collection, token=token)


def filter_expression(where: IndexFilter) -> str:
    """Translate a filter to a Milvus expression.

    A cone is approximated by the sky cells that overlap it; the other conditions are exact.

    Raises:
        ValueError: a condition on variables, hosts or names, which are not in the database.
    """
    if where.where or where.hosts or where.names:
        raise ValueError(
            "an index in Milvus has no variables, hosts and names: search the index folder instead"
        )
    terms = []
    if where.splits is not None:
        terms.append(f"split in {_literal(where.splits)}" if where.splits else "row < 0")
    if where.without_groups:
        terms.append(f"not array_contains_any(groups, {_literal(where.without_groups)})")
    if where.classes is not None:
        classes = _literal(name.lower() for name in where.classes)
        terms.append(f"array_contains_any(classes, {classes})" if where.classes else "row < 0")
    if where.counts is not None:
        low, high = where.counts
        terms.append(f"counts >= {max(0.0, float(low or 0.0))!r}")
        if high is not None:
            terms.append(f"counts <= {float(high)!r}")
    if where.cone is not None:
        terms.append(f"array_contains_any(cells, {_cone_cells(*where.cone)})")
    return " and ".join(terms)


def _connect(uri: str, token: str) -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise ImportError(
            'an index in Milvus needs pymilvus: pip install "hf-specclip[milvus]"'
        ) from error
    return MilvusClient(uri=uri, token=token)


def _create(client: Any, name: str, dimension: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False)
    text = {"max_length": MAX_BYTES}
    array = {"datatype": DataType.ARRAY, "max_capacity": MAX_ELEMENTS}
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, **text)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("split", DataType.VARCHAR, **text)
    schema.add_field("counts", DataType.DOUBLE)
    for field in ("classes", "groups", "entry"):
        schema.add_field(field, element_type=DataType.VARCHAR, **array, **text)
    schema.add_field("cells", element_type=DataType.INT64, **array)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _rows(entries: Iterable[Mapping[str, Any]], vectors: np.ndarray) -> Iterator[dict[str, Any]]:
    for row, (entry, vector) in enumerate(zip(entries, vectors, strict=True)):
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        counts = entry.get("counts")
        yield {
            "row": row,
            "id": entry["id"],
            "vector": np.asarray(vector, np.float32),
            "split": entry.get("split") or "",
            "counts": float(counts) if isinstance(counts, int | float) else -1.0,
            "classes": sorted(name.lower() for name in names_of(entry, "class", "classes")),
            "groups": sorted(names_of(entry, "group", "groups")),
            "cells": sorted(
                {_cell(*at, size) for at in positions_of(entry) for size in (_FINE, _COARSE)}
            ),
            # A text with many papers exceeds the maximum length of a string.
            "entry": [text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK)],
        }


def _hits(answer: Any, where: IndexFilter | None, top_k: int) -> list[Hit]:
    ordered = sorted(answer, key=lambda hit: (-hit["distance"], hit["row"]))
    pairs = [(hit, json.loads("".join(hit["entity"]["entry"]))) for hit in ordered]
    kept = [(hit, entry) for hit, entry in pairs if where is None or where.keeps(entry)]
    return [
        Hit(rank, float(hit["distance"]), entry, int(hit["row"]))
        for rank, (hit, entry) in enumerate(kept[:top_k], start=1)
    ]


def _cell(ra: float, dec: float, size: int) -> int:
    """Return the number of the sky cell of a position; positions and `size` in degrees."""
    band, column = floor(min(dec + 90, 179.9) / size), floor(ra % 360 / size)
    return 1_000_000 * size + 1000 * band + column


def _cone_cells(ra: float, dec: float, radius: float) -> list[int]:
    """Return the sky cells that overlap a cone (degrees)."""
    size = _FINE if radius <= _FINE_RADIUS else _COARSE
    low, high = max(dec - radius, -90.0), min(dec + radius, 89.9)
    if abs(dec) + radius >= 90:  # the cone contains a pole
        half = 180.0
    else:
        half = degrees(asin(min(1.0, sin(radians(radius)) / cos(radians(dec)))))
    bands = range(floor((low + 90) / size), floor((high + 90) / size) + 1)
    columns = range(floor((ra - half) / size), floor((ra + half) / size) + 1)
    return sorted({_cell(c * size, b * size - 90, size) for b in bands for c in columns})


def _literal(names: Iterable[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)
