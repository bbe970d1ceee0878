"""Rows of a finished build in the contract's columns, for each configuration of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.errors import SpecCLIPError
from hf_specclip.literature import TextEmbedder, embed_summaries

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
from ..info import EMBEDDED, SPECTRA
from ..splits import SURVEY_LIMIT, assign_groups, split_groups
from .counts import spectra_columns
from .services.products import detection_id
from .work.store import Store

PAIRS = "default"
_AT_ONCE = 500
_DAYS_A_YEAR, _MJD_2000 = 365.25, 51544.5
_KEY = ("name", "obsid", "obi", "region_id")


class AssembleError(SpecCLIPError, RuntimeError):
    """Work that no dataset can be made of; the message says what is missing."""


_UNKNOWN: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class Assembly:
    """Content of a dataset: detections, spectra, sources, papers, summaries and embeddings.

    Attributes:
        store: of the build, with the spectra in bins.
        catalogue: rows of `catalogue.SCHEMA`, those that are usable.
        spectra: detections whose spectrum is in bins.
        sources: source -> SIMBAD's type and host, or None.
        papers: source -> the papers behind its summary, as `RankedPaper.as_dict` gives them.
        summaries: source -> the three sections.
        embedder: gives the embeddings of the summaries from its cache, or None.
        survey_limit: papers behind more sources link none.
        seed: of the splits.
    """

    store: Store
    catalogue: pa.Table
    spectra: Collection[str]
    sources: Mapping[str, tuple[str | None, str | None]]
    papers: Mapping[str, Sequence[Mapping[str, Any]]]
    summaries: Mapping[str, Mapping[str, str | None]]
    embedder: TextEmbedder | None = None
    survey_limit: int = SURVEY_LIMIT
    seed: int = 0

    @cached_property
    def rows(self) -> AssembledRows:
        """Detections that become rows, with their groups and splits.

        Raises:
            AssembleError: when there is not one pair.
        """
        keys = list(zip(*(self.catalogue[c].to_pylist() for c in _KEY), strict=True))
        ids = [detection_id(*key[1:]) for key in keys]
        places = [place for place, detection in enumerate(ids) if detection in self.spectra]
        names = [keys[place][0] for place in places]
        paired = np.array([name in self.summaries for name in names], dtype=bool)
        if not paired.any():
            raise AssembleError(
                f"of {len(keys):,} detections none has both a spectrum ({len(places):,} do) and a "
                f"summary ({len(self.summaries):,} sources have one): nothing can be written"
            )
        # Detections without a text link fields and hosts as well: pretraining on them must not
        # show the encoder what it is measured on.
        groups = assign_groups(
            names,
            [keys[place][1] for place in places],
            [self.sources.get(name, _UNKNOWN)[1] for name in names],
            [[str(paper["id"]) for paper in self.papers.get(name, ())] for name in names],
            survey_limit=self.survey_limit,
        )
        splits = np.full(len(places), "", dtype=object)
        splits[paired] = split_groups(list(groups[paired]), seed=self.seed)
        split_of = dict(zip(groups[paired], splits[paired], strict=True))
        alone = np.array([group not in split_of for group in groups], dtype=bool)
        if alone.any():
            fresh = split_groups(list(groups[alone]), seed=self.seed)
            split_of.update(zip(groups[alone], fresh, strict=True))
        splits = np.array([split_of[group] for group in groups], dtype=object)
        return AssembledRows(
            np.array(places, dtype=np.int64),
            [ids[place] for place in places],
            names,
            paired,
            groups,
            splits,
        )

    @property
    def configurations(self) -> tuple[str, ...]:
        """Names of the configurations: `default`, `spectra`, and `embedded` with vectors."""
        return (PAIRS, *((EMBEDDED,) if self.embedder is not None else ()), SPECTRA)

    def schema(self, configuration: str) -> pa.Schema:
        """Return the columns of a configuration."""
        if configuration == SPECTRA:
            return spectra_features(N_BINS).arrow_schema
        width = None
        if configuration == EMBEDDED and self.embedder is not None:
            width = self.embedder.dimension
        return contract_features(N_BINS, width).arrow_schema

    def streams(self, configuration: str) -> dict[str, TableStream]:
        """Make the rows of each split of a configuration while they are read."""
        return {split: self.stream(configuration, split) for split in SPLITS}

    def stream(self, configuration: str, split: str) -> TableStream:
        """Make the rows of one split, in the order of sources and detections."""
        chosen = self.rows.splits == split
        if configuration != SPECTRA:
            chosen = chosen & self.rows.paired
        rows = np.flatnonzero(chosen)
        return TableStream(
            len(rows), self.schema(configuration), self._tables(rows, self.schema(configuration))
        )

    def _tables(self, rows: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
        for start in range(0, len(rows), _AT_ONCE):
            yield self._table(rows[start : start + _AT_ONCE], schema)

    def _table(self, some: np.ndarray, schema: pa.Schema) -> pa.Table:
        rows = self.rows
        catalogue = self.catalogue.take(pa.array(rows.places[some]))
        spectra = spectra_columns(self.store, [rows.detections[row] for row in some])
        names = [rows.names[row] for row in some]
        mjd = catalogue["gti_mjd_obs"].to_numpy()
        year = 2000.0 + (mjd.astype(float) - _MJD_2000) / _DAYS_A_YEAR
        columns: dict[str, Any] = {
            "source_name": names,
            "source_class": [self.sources.get(name, _UNKNOWN)[0] for name in names],
            "group": list(rows.groups[some]),
            "year": pa.array(year, from_pandas=True),
            "paired": pa.array(rows.paired[some]),
        }
        if "summary" in schema.names:
            columns["papers"] = [
                [{key: paper[key] for key in ("id", "id_type", "title", "year")} for paper in of]
                for of in (self.papers[name] for name in names)
            ]
            columns["summary"] = [dict(self.summaries[name]) for name in names]
            columns["writer"] = pa.nulls(len(names))
        if "text_embedding" in schema.names and self.embedder is not None:
            vectors = embed_summaries([self.summaries[name] for name in names], self.embedder)
            columns["text_embedding"] = list_array(vectors)
        plain = ["obsid", "obi", "region_id", "ra", "dec", "detector", "theta", *variable_units()]
        plain += [f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")]
        columns |= {name: catalogue[name] for name in plain}
        columns |= spectra
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


@dataclass(frozen=True)
class AssembledRows:
    """The detections that have a spectrum, n of them.

    Attributes:
        places: (n,) rows of the catalogue.
        detections: `obsid.obi.region_id`.
        names: of their sources.
        paired: (n,) bool, True where their source has a summary.
        groups, splits: (n,) of strings.
    """

    places: np.ndarray
    detections: Sequence[str]
    names: Sequence[str]
    paired: np.ndarray
    groups: np.ndarray
    splits: np.ndarray
