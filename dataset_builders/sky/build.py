"""Stages of a build, which can be run separately, killed and resumed.

The work folder contains the store and the downloaded files, from which the last stage writes the
dataset. Stages exchange data only through the store. Several processes may share a work folder if
they run different stages; one process per service, as rate limits apply to a user.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hf_specclip.literature import TextEmbedder, embed_summaries, get_embedder

from ..folder import check_may_write
from . import builder, counts
from .builder import VERSION, CSCPapers
from .literature import summaries
from .literature.batches import BatchRunner
from .literature.bibliography import Literature
from .literature.summaries import ExtractiveSummariser, ModelSummariser, Pairs, Summariser
from .provenance import describe
from .services import catalogue, simbad, sources
from .services.ads import ADVICE, OBJECTS_STAGE, Ads, ads_token
from .services.archive import STAGE as SPECTRA_STAGE
from .services.archive import SpectrumArchive
from .services.full_texts import FullTexts
from .services.http_session import Service
from .services.tap import TapClient
from .settings import BuildError, Options, Selection, Services
from .work.store import Store

STAGES = (
    "names", "catalogue", "objects", "papers", "full_texts", "spectra", "counts", "summaries",
    "embeddings", "dataset",
)  # fmt: skip
# These share two services, and therefore one lock. Every other stage has a service of its own.
CATALOGUE_STAGES = ("names", "catalogue", "objects")
EMBEDDINGS_STAGE = "embeddings"

_EMBEDDING_BATCH = 250


class Build:
    """Build of a dataset in a work folder.

    Raises:
        BuildError: the folder belongs to a build with another selection.
    """

    def __init__(
        self,
        work: str | Path,
        selection: Selection,
        services: Services | None = None,
        options: Options | None = None,
        *,
        summariser: Summariser | None = None,
        progress: bool = False,
    ) -> None:
        self.work = Path(work)
        self.selection = selection
        self.services = services or Services()
        self.options = options or Options()
        self.summariser = summariser or ExtractiveSummariser()
        self.progress = progress
        if "spectrum" not in self.options.kinds:
            raise BuildError(f"kinds {list(self.options.kinds)} must include spectrum")
        self.store = Store(self.work, progress=progress)
        self.started = self._check_settings()
        if self.options.full_texts and isinstance(self.summariser, ModelSummariser):
            self.summariser.full_text = self.full_text_client.read

    def run(self, stages: Sequence[str], output: str | Path, *, overwrite: bool = False) -> None:
        """Run stages, in the order of `STAGES`; raise `BuildError` for an unknown stage."""
        unknown = sorted(set(stages) - set(STAGES))
        if unknown:
            raise BuildError(f"stages {unknown} are not among {', '.join(STAGES)}")
        if "dataset" in stages:
            check_may_write(output, overwrite=overwrite)  # before days of downloads
        for stage in (stage for stage in STAGES if stage in stages):
            with self.lock_stages(stage):
                if stage == "dataset":
                    self.dataset(output, overwrite=overwrite)
                else:
                    getattr(self, stage)()

    def lock_stages(self, *stages: str) -> contextlib.AbstractContextManager[None]:
        """Lock stages, and those that use the same services, against other processes."""
        stages = STAGES if "dataset" in stages else stages  # `dataset` reads all results
        return self.store.lock_stages("catalogue" if s in CATALOGUE_STAGES else s for s in stages)

    def names(self) -> None:
        """Resolve the selected names to catalogue sources."""
        sources.resolve_names(
            self.csc, self.store, [*self.selection.names, *self._selected_names()]
        )

    def catalogue(self) -> None:
        """Fetch all detections of the selected sources."""
        partitions = catalogue.name_partitions(sources.matched_names(self.store))
        if self.selection.cone is not None:
            partitions |= catalogue.cone_partition(*self.selection.cone)
        if self.selection.everything:
            partitions |= catalogue.sky_partitions()
        limits = self.selection.limits
        catalogue.fetch_detections(self.csc, self.store, self.work, partitions, limits)

    def objects(self) -> None:
        """Fetch identifiers, types and references of all sources from SIMBAD."""
        table = catalogue.usable_detections(self.work).select(["name", *simbad.COLUMNS])
        simbad.fetch_objects(self.simbad, self.store, table.to_pylist())

    def papers(self) -> None:
        """Fetch papers from ADS: a search for each object, and SIMBAD's references."""
        if self.options.search_objects:
            objects = self.store.iter_results(simbad.STAGE)
            self.ads.fetch_objects({name: result["oid"] for name, result in objects})
        self.ads.fetch_papers(self.references())

    def full_texts(self) -> None:
        """Fetch full texts of the papers to be summarised, with the option `full_texts`."""
        if self.options.full_texts:
            pairs = self.pairs(self.literature())
            self.full_text_client.fetch(paper.id for _, papers in pairs for paper in papers)

    def spectra(self) -> None:
        """Download spectra and responses; see `detections_to_fetch`."""
        self.archive.enqueue(self.detections_to_fetch())
        self.archive.fetch()

    def counts(self) -> None:
        """Rebin the spectra."""
        counts.make_counts(self.store, self.work, self._sources_of_detections())

    def summaries(self) -> None:
        """Summarise the papers of every source, in three sections."""
        literature = self.literature()
        if isinstance(self.summariser, ModelSummariser):
            self.summariser.model.reload_usage()
            if self.options.model_batches:
                runner = BatchRunner(self.summariser, self.store, poll=self.services.model_poll)
                runner.run(lambda: self.pairs_to_summarise(literature))
        papers_each = self.options.papers_each
        summaries.write_summaries(self.store, literature, self.summariser, papers_each)

    def embeddings(self) -> None:
        """Embed the summaries and cache the vectors in the work folder, if there is an embedder."""
        if self.embedder is None:
            return
        texts = list(summaries.read_summaries(self.store).values())
        starts = range(0, len(texts), _EMBEDDING_BATCH)
        for start in tqdm(starts, desc="embeddings", disable=not self.progress):
            embed_summaries(texts[start : start + _EMBEDDING_BATCH], self.embedder)
        self.store.put(EMBEDDINGS_STAGE, {str(self.options.embedder): self.embedding_settings})

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder."""
        if self.store.ids(SPECTRA_STAGE) - self.store.ids(counts.STAGE, "got", "absent"):
            raise BuildError("some spectra are not rebinned: run the stage `counts` first")
        embedder = None if self.embedder is None else self.embedder.name
        date, settings = self.started["date"], (self.selection, self.services)
        description = describe(self.store, self.work, *settings, date, self.summariser, embedder)
        info = {
            "name": Path(output).resolve().name,
            "builder": "csc",
            "builder_version": VERSION,
            "seed": self.options.seed,
            "knobs": {
                "release": catalogue.RELEASE,
                "begun": date,
                "selection": self.selection.summary(),
                "summaries": self.summariser.name,
                "papers_each": self.options.papers_each,
                "survey_limit": self.options.survey_limit,
                "full_texts": self.options.full_texts,
            },
            "text_model": embedder,
            "description": description,
        }
        self.store.put(builder.STAGE, {"info": info})
        sizes = CSCPapers(self.work).write(output, overwrite=overwrite, progress=self.progress)
        if self.progress:
            print(sizes)

    @cached_property
    def csc(self) -> TapClient:
        """Client of the Chandra Source Catalog."""
        service = self._service("Chandra Source Catalog", "csc")
        return TapClient(self.services.csc_tap, service, self.store)

    @cached_property
    def simbad(self) -> TapClient:
        """Client of SIMBAD."""
        service = self._service("SIMBAD", "simbad")
        return TapClient(self.services.simbad_tap, service, self.store)

    @cached_property
    def archive(self) -> SpectrumArchive:
        """Client of the Chandra archive."""
        return SpectrumArchive(
            self._service("Chandra archive", "archive"),
            self.store,
            self.work,
            url=self.services.archive,
            kinds=self.options.kinds,
            max_disk=self.options.max_disk,
            batch=self.options.batch,
            workers=self.options.workers,
        )

    @cached_property
    def ads(self) -> Ads:
        """Client of NASA's Astrophysics Data System."""
        token = ads_token()
        if token is None:
            raise BuildError(f"no ADS token. {ADVICE}")
        service = self._service("ADS", "ads", token=token, advice=ADVICE)
        return Ads(service, self.store, self.services.ads)

    @cached_property
    def full_text_client(self) -> FullTexts:
        """Client of arXiv."""
        service = self._service("arXiv", "arxiv")
        return FullTexts(service, self.store, self.work, self.services.arxiv)

    @cached_property
    def embedder(self) -> TextEmbedder | None:
        """Embedder of the options, with a cache in the work folder, or None."""
        if self.options.embedder is None:
            return None
        cache, url = self.work / builder.EMBEDDINGS_FOLDER, self.options.embedder_url
        return get_embedder(self.options.embedder, cache_dir=cache, base_url=url)

    def _service(self, name: str, key: str, **settings: Any) -> Service:
        rate = getattr(self.services, f"{key}_per_second")
        return Service(name, per_second=rate, retry_policy=self.services.retry_policy, **settings)

    def literature(self) -> Literature:
        """Return the literature fetched so far."""
        return Literature(self.store, survey_limit=self.options.survey_limit)

    def pairs(self, literature: Literature) -> Pairs:
        """Yield sources with the papers to summarise; sources with surveys only are skipped."""
        pairs = ((source, source.summary_papers(self.options.papers_each)) for source in literature)
        return ((source, papers) for source, papers in pairs if papers)

    def pairs_to_summarise(self, literature: Literature) -> Pairs:
        """Yield the pairs that this summariser has not yet summarised."""
        done = {item.id: item.payload for item in self.store.items(summaries.STAGE, ("got",))}
        for source, papers in self.pairs(literature):
            if done.get(source.name) != summaries.summary_inputs(papers, self.summariser):
                yield source, papers

    def references(self) -> set[str]:
        """Return the bibcodes of all references in SIMBAD."""
        objects = self.store.iter_results(simbad.STAGE)
        return {r["bibcode"] for _, result in objects for r in result["references"]}

    @property
    def embedding_settings(self) -> dict[str, str | None]:
        """Server and summariser, stored when all summaries are embedded."""
        return {"url": self.options.embedder_url, "summariser": self.summariser.name}

    def detections_to_fetch(self) -> list[str]:
        """List the detections of sources with papers, or all with the option `unpaired`.

        Surveys count as papers here, as they are only recognised in the complete build.
        """
        detections = self._sources_of_detections()
        if self.options.unpaired:
            return [*detections]
        objects = self.store.iter_results(simbad.STAGE)
        with_papers = {name for name, result in objects if result["references"]}
        with_papers |= self.store.ids(OBJECTS_STAGE)
        return [detection for detection, name in detections.items() if name in with_papers]

    def _sources_of_detections(self) -> dict[str, str]:
        table = catalogue.usable_detections(self.work)
        ids, names = table["detection"].to_pylist(), table["name"].to_pylist()
        return dict(zip(ids, names, strict=True))

    def _selected_names(self) -> list[str]:
        """Return the source names of the SIMBAD class and the ADQL query."""
        names: list[str] = []
        if otype := self.selection.otype:
            query = partial(simbad.names_of_type, self.simbad, otype)
            names += self.store.cached("selection", {"otype": otype}, query)
        if adql := self.selection.adql:
            names += self.store.cached(
                "selection", {"adql": adql}, partial(self._query_names, adql)
            )
        return names

    def _query_names(self, adql: str) -> list[str]:
        result = self.csc.query(adql, "--adql", cache=False)
        if result.rows and "name" not in result.rows[0]:
            raise BuildError("the ADQL query returns no column `name`: select m.name AS name")
        if result.overflow:
            raise BuildError(
                f"the catalogue truncated the ADQL query at {len(result.rows):,} rows: restrict "
                "the query, or split the build"
            )
        return sorted({str(row["name"]) for row in result.rows})

    def _check_settings(self) -> dict[str, Any]:
        """Return the settings and date of the first run in the work folder.

        Raises:
            BuildError: they differ from the present settings.
        """
        settings = {
            "selection": {**self.selection.summary(), "names": sorted(self.selection.names)},
            "kinds": list(self.options.kinds),
            "version": VERSION,
        }
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        first = self.store.cached("build", "settings", lambda: {**settings, "date": today})
        changed = [key for key in ("selection", "kinds") if first[key] != settings[key]]
        if changed:
            raise BuildError(
                f"{self.work} belongs to another build ({', '.join(changed)} differ): use another "
                "--work folder"
            )
        return first
