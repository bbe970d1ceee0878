"""Rows of a finished work folder in the contract's columns, for each configuration of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_specclip.errors import SpecCLIPError
from hf_specclip.literature import CachedEmbedder, embed_summaries

from ..contract import (
    LIMITED_VARIABLES,
    N_BINS,
    SPLITS,
    contract_features,
    list_array,
    spectra_features,
    variable_units,
)
from ..folder import TableStream
from ..info import EMBEDDED, SPECTRA, SpecCLIPDatasetInfo
from ..splits import assign_groups, split_groups
from . import counts
from .literature.bibliography import Literature
from .literature.texts import STAGE as TEXTS_STAGE
from .services.catalogue import usable_detections
from .services.simbad import STAGE as SIMBAD_STAGE
from .work.store import FILE, Store

PAIRS = "default"
STAGE = "dataset"
EMBEDDINGS_FOLDER = "embeddings"
_AT_ONCE = 500
_DAYS_A_YEAR, _MJD_2000 = 365.25, 51544.5


class AssembleError(SpecCLIPError, RuntimeError):
    """Work that no dataset can be made of; the message says what is missing."""


class Assembly:
    """Content of a dataset, in a finished work folder.

    Attributes:
        info: description of the dataset.
        store: of the build, with the spectra in bins.
        sources: source -> SIMBAD's type and host, or None.
        papers: source -> the papers behind its summary, in the order in which it was made of them.
        summaries: source -> the three sections.
        aliases: source -> its other names.
        embedder: gives the embeddings of the summaries from their cache, or None.

    Raises:
        AssembleError: when the build has not come that far.
    """

    def __init__(self, work: str | Path) -> None:
        self.work = Path(work)
        stored = {}
        if (self.work / FILE).is_file():
            self.store = Store(self.work)
            stored = dict(self.store.got(STAGE))
        if "info" not in stored:
            raise AssembleError(
                f"{work} is no finished work folder: run `specclip dataset build` to its end first"
            )
        self.info = SpecCLIPDatasetInfo(**stored["info"])
        self.sources = {
            name: (result["otype"] or None, result["host"])
            for name, result in self.store.got(SIMBAD_STAGE)
        }
        self._survey_limit = int(self.info.knobs["survey_limit"])
        known = Literature(self.store, survey_limit=self._survey_limit)
        self.papers: dict[str, list[dict[str, Any]]] = {}
        self.summaries: dict[str, dict[str, str | None]] = {}
        self.aliases: dict[str, list[str]] = {}
        for name, result in self.store.got(TEXTS_STAGE):
            source = known.of(name)
            by_id = {paper.id: paper for paper in source.papers} if source else {}
            kept = [by_id[code] for code in result["papers"] if code in by_id]
            self.papers[name] = [
                {"id": p.id, "id_type": p.id_type, "title": p.title, "year": p.year} for p in kept
            ]
            self.summaries[name] = result["sections"]
            self.aliases[name] = list(source.aliases) if source else []
        self.embedder = None
        if self.info.text_model is not None:
            vectors = _Stored(self.info.text_model)
            self.embedder = CachedEmbedder(vectors, self.work / EMBEDDINGS_FOLDER)

    @cached_property
    def rows(self) -> pa.Table:
        """Detections with a spectrum: the catalogue's columns, and `paired`, `group` and `split`.

        Raises:
            AssembleError: when there is not one pair.
        """
        catalogue = usable_detections(self.work)
        binned = pa.array(sorted(self.store.ids(counts.STAGE)), pa.string())
        table = catalogue.filter(pc.is_in(catalogue["detection"], binned))
        names = table["name"].to_pylist()
        paired = np.array([name in self.summaries for name in names], dtype=bool)
        if not paired.any():
            raise AssembleError(
                f"of {len(catalogue):,} detections none has both a spectrum ({len(table):,} do) "
                f"and a summary ({len(self.summaries):,} sources have one): nothing can be written"
            )
        # Detections without a text link fields and hosts as well: pretraining on them must not
        # show the encoder what it is measured on.
        groups = assign_groups(
            names,
            table["obsid"].to_pylist(),
            [self._about(name)[1] for name in names],
            [[str(paper["id"]) for paper in self.papers.get(name, ())] for name in names],
            survey_limit=self._survey_limit,
        )
        seed, split_of = self.info.seed or 0, {}
        for chosen in (paired, ~np.isin(groups, groups[paired].tolist())):
            some = list(groups[chosen])
            split_of |= dict(zip(some, split_groups(some, seed=seed) if some else [], strict=True))
        columns = {"paired": paired, "group": groups, "split": [split_of[g] for g in groups]}
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        return table

    @property
    def configurations(self) -> tuple[str, ...]:
        """Names of the configurations: `default`, `spectra`, and `embedded` with vectors."""
        return (PAIRS, *((EMBEDDED,) if self.embedder is not None else ()), SPECTRA)

    def schema(self, configuration: str) -> pa.Schema:
        """Return the columns of a configuration."""
        if configuration == SPECTRA:
            return spectra_features(N_BINS).arrow_schema
        with_vectors = configuration == EMBEDDED and self.embedder is not None
        return contract_features(
            N_BINS, self.embedder.dimension if with_vectors else None
        ).arrow_schema

    def streams(self, configuration: str) -> dict[str, TableStream]:
        """Make the rows of each split, in the order of detections, while they are read."""
        streams, schema = {}, self.schema(configuration)
        for split in SPLITS:
            chosen = pc.equal(self.rows["split"], split)
            if configuration != SPECTRA:
                chosen = pc.and_(chosen, self.rows["paired"])
            rows = self.rows.filter(chosen)
            streams[split] = TableStream(len(rows), schema, self._tables(rows, schema))
        return streams

    def _tables(self, rows: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
        for start in range(0, len(rows), _AT_ONCE):
            yield self._table(rows.slice(start, _AT_ONCE), schema)

    def _table(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        names = rows["name"].to_pylist()
        year = 2000.0 + (rows["gti_mjd_obs"].to_numpy().astype(float) - _MJD_2000) / _DAYS_A_YEAR
        columns: dict[str, Any] = {
            "source_name": rows["name"],
            "source_class": [self._about(name)[0] for name in names],
            "year": pa.array(year, from_pandas=True),
        }
        if "summary" in schema.names:
            columns["aliases"] = [self.aliases[name] for name in names]
            columns["papers"] = [self.papers[name] for name in names]
            columns["summary"] = [self.summaries[name] for name in names]
            columns["writer"] = [self.info.knobs["summaries"]] * len(names)
        if "text_embedding" in schema.names and self.embedder is not None:
            vectors = embed_summaries([self.summaries[name] for name in names], self.embedder)
            columns["text_embedding"] = list_array(vectors)
        plain = ["obsid", "obi", "region_id", "ra", "dec", "detector", "theta", *variable_units()]
        plain += [f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")]
        columns |= {name: rows[name] for name in ("group", "paired", *plain)}
        columns |= counts.spectra_columns(self.store, rows["detection"].to_pylist())
        arrays = []
        for field in schema:
            values = columns[field.name]
            if isinstance(values, pa.ChunkedArray):
                values = values.combine_chunks()
            if isinstance(values, pa.Array):
                arrays.append(values.cast(field.type, safe=False))
            else:
                arrays.append(pa.array(values, field.type))
        return pa.Table.from_arrays(arrays, schema=schema)

    def _about(self, name: str) -> tuple[str | None, str | None]:
        return self.sources.get(name, (None, None))


class _Stored:
    """Embedder of a name that computes nothing: its vectors are in the cache or nowhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def dimension(self) -> int:
        return self.embed(()).shape[1]

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        raise AssembleError(
            "some summaries are not embedded: run the stage `embeddings` first (specclip dataset "
            "build --stages embeddings)"
        )
