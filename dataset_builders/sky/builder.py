"""`datasets` builder for the work folder of a build."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_specclip.hub.publish import Published, publish
from hf_specclip.literature import CachedEmbedder, embed_summaries

from ..contract import N_BINS, SPLITS, contract_features, list_array, spectra_features, to_table
from ..folder import TableStream, write_dataset
from ..info import CONFIGURATIONS, EMBEDDED, SPECTRA, SpecCLIPDatasetInfo
from ..splits import assign_groups, describe_splits, split_groups
from . import counts
from .literature.bibliography import Literature
from .literature.summaries import STAGE as SUMMARIES_STAGE
from .services.catalogue import usable_detections
from .services.simbad import STAGE as SIMBAD_STAGE
from .settings import BuildError
from .work.store import FILE, Store

VERSION = "0.2.0"
PAIRS = "default"
STAGE = "dataset"
EMBEDDINGS_FOLDER = "embeddings"
_ROWS_PER_TABLE = 500
_DAYS_A_YEAR, _MJD_2000 = 365.25, 51544.5


class CSCPapers(datasets.ArrowBasedBuilder):
    """Detections of the Chandra Source Catalog with the literature about their sources.

    Reads the work folder of `specclip dataset build`; nothing is downloaded.

    Args:
        config_name: `default` (counts and summaries), `embedded` (also text embeddings, if the
            build has them) or `spectra` (all detections, including those without a summary, for
            pretraining).
        cache_dir: cache folder of `datasets`.

    Attributes:
        dataset_info: description of the dataset.
        configurations: available configurations.
        texts: source -> `aliases`, `papers` and `summary`, as in the contract.

    Raises:
        BuildError: the build is not complete.
        ValueError: the configuration is not available.

    Examples:
        >>> builder = CSCPapers("runs/csc.work", "embedded")  # doctest: +SKIP
        >>> builder.download_and_prepare()  # doctest: +SKIP
        >>> builder.push_to_hub("user/name")  # doctest: +SKIP
    """

    VERSION = datasets.Version(VERSION)

    def __init__(
        self, work: str | Path, config_name: str = PAIRS, *, cache_dir: str | Path | None = None
    ) -> None:
        self.folder = Path(work)
        stored = {}
        if (self.folder / FILE).is_file():
            self.store = Store(work)
            stored = dict(self.store.iter_results(STAGE))
        if "info" not in stored:
            raise BuildError(
                f"{work} has no complete build: finish it with `specclip dataset build`"
            )
        self.dataset_info = SpecCLIPDatasetInfo(**stored["info"])
        self.embedder = None
        if self.dataset_info.text_model is not None:
            embedder = _CacheOnlyEmbedder(self.dataset_info.text_model)
            self.embedder = CachedEmbedder(embedder, self.folder / EMBEDDINGS_FOLDER)
        embedded = (EMBEDDED,) if self.embedder is not None else ()
        self.configurations = (PAIRS, *embedded, SPECTRA)
        if config_name not in self.configurations:
            advice = "; build with --embedder" if config_name in CONFIGURATIONS else ""
            available = ", ".join(self.configurations)
            raise ValueError(
                f"configuration {config_name!r} is not in {work} ({available}){advice}"
            )
        # The cache key of `datasets`: all rows follow from the store.
        stat = (self.folder / FILE).stat()
        fingerprint = [VERSION, str(self.folder.resolve()), stat.st_size, stat.st_mtime_ns]
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name="csc_papers",
            config_name=config_name,
            hash=hashlib.blake2b(json.dumps(fingerprint).encode(), digest_size=16).hexdigest(),
            version=VERSION,
        )

    def write(self, output: str | Path, *, overwrite: bool = False, progress: bool = False) -> str:
        """Write all configurations into a folder with the layout of a Hub repository.

        Returns:
            Sizes of the splits, as text. Raises as `write_dataset`.
        """
        streams = {name: self._streams(name) for name in self.configurations}
        pairs = streams.pop(PAIRS)
        write_dataset(
            output, pairs, self.dataset_info, more=streams, overwrite=overwrite, progress=progress
        )
        rows = self.rows.filter(self.rows["paired"])
        return describe_splits(rows["group"].to_pylist(), rows["split"].to_pylist())

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None
    ) -> Published:
        """Publish all configurations and the card; see `hub.publish.publish`."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".push-") as scratch:
            folder = Path(scratch) / self.dataset_info.name
            self.write(folder)
            return publish("dataset", folder, repo_id, private=private, token=token)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.dataset_info.description,
            features=datasets.Features.from_arrow_schema(self._schema(self.config.name)),
        )

    def _split_generators(
        self, dl_manager: datasets.DownloadManager
    ) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=s, gen_kwargs={"split": s}) for s in SPLITS]

    def _generate_tables(self, split: str) -> Iterator[tuple[int | datasets.builder.Key, pa.Table]]:
        for number, table in enumerate(self._streams(self.config.name)[split].tables):
            yield datasets.builder.Key(number, 0), table

    @cached_property
    def texts(self) -> dict[str, dict[str, Any]]:
        """Texts by source; see the class."""
        limit = int(self.dataset_info.knobs["survey_limit"])
        literature, texts = Literature(self.store, survey_limit=limit), {}
        for name, result in self.store.iter_results(SUMMARIES_STAGE):
            source = literature.get(name)
            by_id = {paper.id: paper for paper in source.papers} if source else {}
            papers = [by_id[code] for code in result["papers"] if code in by_id]
            texts[name] = {
                "aliases": list(source.aliases) if source else [],
                "papers": [
                    {"id": p.id, "id_type": "bibcode", "title": p.title, "year": p.year}
                    for p in papers
                ],
                "summary": result["sections"],
            }
        return texts

    @cached_property
    def rows(self) -> pa.Table:
        """Detections with a spectrum: catalogue columns, `paired`, `group` and `split`.

        Raises:
            BuildError: there is no pair of spectrum and summary.
        """
        catalogue = usable_detections(self.folder)
        binned = pa.array(sorted(self.store.ids(counts.STAGE)), pa.string())
        table = catalogue.filter(pc.is_in(catalogue["detection"], binned))
        names = table["name"].to_pylist()
        paired = np.array([name in self.texts for name in names], dtype=bool)
        if not paired.any():
            raise BuildError(
                f"none of the {len(catalogue):,} detections has both a spectrum ({len(table):,} "
                f"have) and a summary ({len(self.texts):,} sources have): nothing to write"
            )
        about = {
            n: (r["otype"] or None, r["host"]) for n, r in self.store.iter_results(SIMBAD_STAGE)
        }
        # Detections without a text are grouped as well, so that pretraining on them does not leak
        # fields or hosts of the test split.
        papers = {name: [str(p["id"]) for p in t["papers"]] for name, t in self.texts.items()}
        groups = assign_groups(
            names,
            table["obsid"].to_pylist(),
            [about.get(name, (None, None))[1] for name in names],
            [papers.get(name, []) for name in names],
            survey_limit=int(self.dataset_info.knobs["survey_limit"]),
        )
        seed, split_of = self.dataset_info.seed or 0, {}
        for mask in (paired, ~np.isin(groups, groups[paired].tolist())):
            if labels := list(groups[mask]):
                splits = split_groups(labels, seed=seed)
                split_of |= dict(zip(labels, splits, strict=True))
        columns = {
            "source_class": pa.array([about.get(n, (None,))[0] for n in names], pa.string()),
            "paired": pa.array(paired),
            "group": pa.array(groups),
            "split": pa.array([split_of[group] for group in groups]),
        }
        for name, values in columns.items():
            table = table.append_column(name, values)
        return table

    def _schema(self, configuration: str) -> pa.Schema:
        if configuration == SPECTRA:
            return spectra_features(N_BINS).arrow_schema
        embedded = configuration == EMBEDDED and self.embedder is not None
        dimension = self.embedder.dimension if embedded else None
        return contract_features(N_BINS, dimension).arrow_schema

    def _streams(self, configuration: str) -> dict[str, TableStream]:
        """Return a lazy stream of tables for each split, in the order of detections."""
        streams, schema = {}, self._schema(configuration)
        for split in SPLITS:
            mask = pc.equal(self.rows["split"], split)
            if configuration != SPECTRA:
                mask = pc.and_(mask, self.rows["paired"])
            rows = self.rows.filter(mask)
            starts = range(0, len(rows), _ROWS_PER_TABLE)
            slices = map(rows.slice, starts, itertools.repeat(_ROWS_PER_TABLE))
            tables = (self._table(part, schema) for part in slices)
            streams[split] = TableStream(len(rows), schema, tables)
        return streams

    def _table(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        names = rows["name"].to_pylist()
        year = 2000.0 + (rows["gti_mjd_obs"].to_numpy().astype(float) - _MJD_2000) / _DAYS_A_YEAR
        columns = {name: rows[name] for name in rows.column_names} | {"source_name": rows["name"]}
        columns["year"] = pa.array(year, from_pandas=True)
        if "summary" in schema.names:
            for column in ("aliases", "papers", "summary"):
                columns[column] = [self.texts[name][column] for name in names]
            columns["writer"] = [self.dataset_info.knobs["summaries"]] * len(names)
        if "text_embedding" in schema.names and self.embedder is not None:
            columns["text_embedding"] = list_array(
                embed_summaries(columns["summary"], self.embedder)
            )
        columns |= counts.spectra_columns(self.store, rows["detection"].to_pylist())
        return to_table(columns, len(rows), schema)


class _CacheOnlyEmbedder:
    """Embedder for cached vectors only; raises `BuildError` for uncached texts."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def dimension(self) -> int:
        return self.embed(()).shape[1]

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        raise BuildError(
            "some summaries have no cached embedding: run `specclip dataset build --stages "
            "embeddings` first"
        )
