"""`CSCPapers`: the work folder of a build as a `datasets` builder, in the contract's columns."""

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

from ..contract import N_BINS, SPLITS, contract_features, list_array, spectra_features
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
_AT_ONCE = 500
_DAYS_A_YEAR, _MJD_2000 = 365.25, 51544.5


class CSCPapers(datasets.ArrowBasedBuilder):
    """Detections of the Chandra Source Catalog with the literature about their sources.

    The rows are made of the work folder that `specclip dataset build` leaves; nothing is
    fetched.

    Args:
        config_name: `default` (counts and summaries), `embedded` (with text embeddings, where the
            build made them) or `spectra` (detections by themselves, for pretraining: those of
            sources without a summary, too).
        cache_dir: where `datasets` keeps what it made.

    Attributes:
        dataset_info: description of the dataset.
        configurations: those that there are.
        texts: source -> `aliases`, `papers` and `summary`, as the contract has them.

    Raises:
        BuildError: when the build has not come to its end.
        ValueError: for a configuration that the folder does not have.

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
            stored = dict(self.store.got(STAGE))
        if "info" not in stored:
            raise BuildError(
                f"{work} is not a finished work folder: run `specclip dataset build` to its end "
                "first"
            )
        self.dataset_info = SpecCLIPDatasetInfo(**stored["info"])
        self.embedder = None
        if self.dataset_info.text_model is not None:
            vectors = _Stored(self.dataset_info.text_model)
            self.embedder = CachedEmbedder(vectors, self.folder / EMBEDDINGS_FOLDER)
        with_vectors = (EMBEDDED,) if self.embedder is not None else ()
        self.configurations = (PAIRS, *with_vectors, SPECTRA)
        if config_name not in self.configurations:
            way = "; build with --embedder for it" if config_name in CONFIGURATIONS else ""
            there = ", ".join(self.configurations)
            raise ValueError(f"configuration {config_name!r} is not in {work}: {there}{way}")
        # Without a name and a hash of its own, `datasets` hands out another builder's rows.
        # All that decides the rows is in the store.
        state = (self.folder / FILE).stat()
        facts = [VERSION, str(self.folder.resolve()), state.st_size, state.st_mtime_ns]
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name="csc_papers",
            config_name=config_name,
            hash=hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest(),
            version=VERSION,
        )

    def write(self, output: str | Path, *, overwrite: bool = False, progress: bool = False) -> str:
        """Write every configuration into one folder, as a repository of the Hub holds them.

        Returns:
            Sizes of the splits, for people; see `write_dataset` for the errors.
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
        """Publish every configuration under its name, with the card; see `hub.publish.publish`."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".push-") as scratch:
            folder = Path(scratch) / self.dataset_info.name
            self.write(folder)
            return publish("dataset", folder, repo_id, private=private, token=token)

    # -- as `datasets` asks for them

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

    # -- rows

    @cached_property
    def texts(self) -> dict[str, dict[str, Any]]:
        """Texts of each source; see the class."""
        limit = int(self.dataset_info.knobs["survey_limit"])
        known, texts = Literature(self.store, survey_limit=limit), {}
        for name, result in self.store.got(SUMMARIES_STAGE):
            source = known.of(name)
            papers = {paper.id: paper for paper in source.papers} if source else {}
            kept = [papers[code] for code in result["papers"] if code in papers]
            kind = {"id_type": "bibcode"}
            texts[name] = {
                "aliases": list(source.aliases) if source else [],
                "papers": [{"id": p.id, **kind, "title": p.title, "year": p.year} for p in kept],
                "summary": result["sections"],
            }
        return texts

    @cached_property
    def rows(self) -> pa.Table:
        """Detections with a spectrum: the catalogue's columns, and `paired`, `group` and `split`.

        Raises:
            BuildError: when there is not one pair.
        """
        catalogue = usable_detections(self.folder)
        binned = pa.array(sorted(self.store.ids(counts.STAGE)), pa.string())
        table = catalogue.filter(pc.is_in(catalogue["detection"], binned))
        names = table["name"].to_pylist()
        paired = np.array([name in self.texts for name in names], dtype=bool)
        if not paired.any():
            raise BuildError(
                f"of {len(catalogue):,} detections none has both a spectrum ({len(table):,} do) "
                f"and a summary ({len(self.texts):,} sources have one): nothing can be written"
            )
        about = {n: (r["otype"] or None, r["host"]) for n, r in self.store.got(SIMBAD_STAGE)}
        # Detections without a text link fields and hosts as well: pretraining on them must not
        # show the encoder what it is measured on.
        papers = {name: [str(p["id"]) for p in of["papers"]] for name, of in self.texts.items()}
        groups = assign_groups(
            names,
            table["obsid"].to_pylist(),
            [about.get(name, (None, None))[1] for name in names],
            [papers.get(name, []) for name in names],
            survey_limit=int(self.dataset_info.knobs["survey_limit"]),
        )
        seed, split_of = self.dataset_info.seed or 0, {}
        for chosen in (paired, ~np.isin(groups, groups[paired].tolist())):
            some = list(groups[chosen])
            split_of |= dict(zip(some, split_groups(some, seed=seed) if some else [], strict=True))
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
        with_vectors = configuration == EMBEDDED and self.embedder is not None
        dimension = self.embedder.dimension if with_vectors else None
        return contract_features(N_BINS, dimension).arrow_schema

    def _streams(self, configuration: str) -> dict[str, TableStream]:
        """Make the rows of each split, in the order of detections, while they are read."""
        streams, schema = {}, self._schema(configuration)
        for split in SPLITS:
            chosen = pc.equal(self.rows["split"], split)
            if configuration != SPECTRA:
                chosen = pc.and_(chosen, self.rows["paired"])
            rows = self.rows.filter(chosen)
            parts = map(rows.slice, range(0, len(rows), _AT_ONCE), itertools.repeat(_AT_ONCE))
            tables = (self._table(part, schema) for part in parts)
            streams[split] = TableStream(len(rows), schema, tables)
        return streams

    def _table(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        names = rows["name"].to_pylist()
        year = 2000.0 + (rows["gti_mjd_obs"].to_numpy().astype(float) - _MJD_2000) / _DAYS_A_YEAR
        columns: dict[str, Any] = {"source_name": rows["name"]}
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
        arrays = []
        for field in schema:
            values = columns[field.name] if field.name in columns else rows[field.name]
            if isinstance(values, list):
                values = pa.array(values, field.type)
            arrays.append(values.cast(field.type, safe=False))
        return pa.Table.from_arrays(arrays, schema=schema)


class _Stored:
    """Embedder of a name that computes nothing: its vectors are in the cache or nowhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def dimension(self) -> int:
        return self.embed(()).shape[1]

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        raise BuildError(
            "some summaries are not embedded: run the stage `embeddings` first (specclip dataset "
            "build --stages embeddings)"
        )
