"""Stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the store and the fetched files; the dataset is made of it at the end. Stages
read from the store what earlier ones wrote, so that they agree on their order alone. Several
processes may work in a folder, each on stages of its own: the rates agreed with the services are
for all processes of a user together.
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
from .services.polite_session import Service
from .services.tap import TapClient
from .settings import BuildError, Options, Selection, Services
from .work.store import Store

STAGES = (
    "names", "catalogue", "objects", "papers", "full_texts", "spectra", "counts", "summaries",
    "embeddings", "dataset",
)  # fmt: skip
# They ask the same two services. Each of the others has its own, and may have its own process.
ONE_AFTER_ANOTHER = ("names", "catalogue", "objects")
EMBEDDINGS_STAGE = "embeddings"
# Summaries embedded between two looks of the progress bar.
_EMBEDDED_AT_ONCE = 250


class Build:
    """A build in a work folder.

    Raises:
        BuildError: when the folder holds the work of another selection.
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
        if "spectrum" not in self.options.kinds:  # said now, not after days
            raise BuildError(f"kinds {list(self.options.kinds)}: give spectrum, too")
        self.store = Store(self.work, progress=progress)
        self.begun = self._begin()
        if self.options.full_texts and isinstance(self.summariser, ModelSummariser):
            self.summariser.full_text = self.open_texts.of

    def run(self, stages: Sequence[str], output: str | Path, *, overwrite: bool = False) -> None:
        """Run stages in their order.

        Raises:
            BuildError: for another stage than `STAGES`.
        """
        unknown = sorted(set(stages) - set(STAGES))
        if unknown:
            raise BuildError(f"stages {unknown} are not among {', '.join(STAGES)}")
        if "dataset" in stages:
            check_may_write(output, overwrite=overwrite)  # said now, not after days
        for stage in (stage for stage in STAGES if stage in stages):
            with self.alone(stage):
                if stage == "dataset":
                    self.dataset(output, overwrite=overwrite)
                else:
                    getattr(self, stage)()

    def alone(self, *stages: str) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out of stages, and of those that ask the same services."""
        stages = STAGES if "dataset" in stages else stages  # it reads what all have left
        return self.store.alone("catalogue" if s in ONE_AFTER_ANOTHER else s for s in stages)

    # -- the stages

    def names(self) -> None:
        """Resolve the names asked for into sources of the catalogue."""
        sources.resolve_names(self.csc, self.store, [*self.selection.names, *self._selected()])

    def catalogue(self) -> None:
        """Fetch every detection of the sources, in pages."""
        parts = catalogue.parts_by_name(sources.matched_names(self.store))
        if self.selection.cone is not None:
            parts |= catalogue.part_of_cone(*self.selection.cone)
        if self.selection.everything:
            parts |= catalogue.parts_of_sky()
        limits = self.selection.limits
        catalogue.fetch_detections(self.csc, self.store, self.work, parts, limits)

    def objects(self) -> None:
        """Fetch identifiers, types and references of every source from SIMBAD."""
        table = catalogue.usable_detections(self.work).select(["name", *simbad.COLUMNS])
        simbad.fetch_objects(self.simbad, self.store, table.to_pylist())

    def papers(self) -> None:
        """Fetch papers and abstracts from ADS: a search of each object, and SIMBAD's references."""
        if self.options.search_objects:
            known = self.store.got(simbad.STAGE)
            self.ads.fetch_objects({name: result["oid"] for name, result in known})
        self.ads.fetch_papers(self.references())

    def full_texts(self) -> None:
        """Fetch open full texts of the papers behind summaries, where the options ask for them."""
        if self.options.full_texts:
            pairs = self.pairs(self.literature())
            self.open_texts.fetch(paper.id for _, papers in pairs for paper in papers)

    def spectra(self) -> None:
        """Fetch files from the archive, for detections whose sources have papers."""
        self.archive.want(self.wanted_detections())
        self.archive.fetch()

    def counts(self) -> None:
        """Bring the spectra into the contract's bins."""
        counts.make_counts(self.store, self.work, self._sources_of_detections())

    def summaries(self) -> None:
        """Write three sections for every source."""
        known = self.literature()
        if isinstance(self.summariser, ModelSummariser):
            self.summariser.model.recount()
            if self.options.model_batches:
                runner = BatchRunner(self.summariser, self.store, poll=self.services.model_poll)
                runner.run(lambda: self.to_summarise(known))
        summaries.write_summaries(self.store, known, self.summariser, self.options.papers_each)

    def embeddings(self) -> None:
        """Embed the summaries into the cache of the work folder, where an embedder was named."""
        if self.embedder is None:
            return
        written = list(summaries.read_summaries(self.store).values())
        starts = range(0, len(written), _EMBEDDED_AT_ONCE)
        for start in tqdm(starts, desc="embeddings", disable=not self.progress):
            embed_summaries(written[start : start + _EMBEDDED_AT_ONCE], self.embedder)
        self.store.put(EMBEDDINGS_STAGE, {str(self.options.embedder): self.embedded})

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder."""
        if self.store.ids(SPECTRA_STAGE) - self.store.ids(counts.STAGE, "got", "absent"):
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        embedder = None if self.embedder is None else self.embedder.name
        date, of = self.begun["date"], (self.selection, self.services)
        info = {
            "name": Path(output).resolve().name,
            "builder": "csc",
            "builder_version": VERSION,
            "seed": self.options.seed,
            "knobs": {
                "release": catalogue.RELEASE,
                "begun": date,
                "selection": self.selection.facts(),
                "summaries": self.summariser.name,
                "papers_each": self.options.papers_each,
                "survey_limit": self.options.survey_limit,
                "full_texts": self.options.full_texts,
            },
            "text_model": embedder,
            "description": describe(self.store, self.work, *of, date, self.summariser, embedder),
        }
        self.store.put(builder.STAGE, {"info": info})
        sizes = CSCPapers(self.work).write(output, overwrite=overwrite, progress=self.progress)
        if self.progress:
            print(sizes)

    # -- clients, each made when it is first used

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
            raise BuildError(f"ADS needs a token, and there is none. {ADVICE}")
        service = self._service("ADS", "ads", token=token, advice=ADVICE)
        return Ads(service, self.store, self.services.ads)

    @cached_property
    def open_texts(self) -> FullTexts:
        """Client of arXiv."""
        service = self._service("arXiv", "arxiv")
        return FullTexts(service, self.store, self.work, self.services.arxiv)

    @cached_property
    def embedder(self) -> TextEmbedder | None:
        """Embedder that the options name, behind a cache in the work folder; None for none."""
        if self.options.embedder is None:
            return None
        cache, url = self.work / builder.EMBEDDINGS_FOLDER, self.options.embedder_url
        return get_embedder(self.options.embedder, cache_dir=cache, base_url=url)

    def _service(self, name: str, key: str, **settings: Any) -> Service:
        rate = getattr(self.services, f"{key}_per_second")
        return Service(name, per_second=rate, patience=self.services.patience, **settings)

    # -- shared by stages

    def literature(self) -> Literature:
        """Open the literature found so far, source by source."""
        return Literature(self.store, survey_limit=self.options.survey_limit)

    def pairs(self, known: Literature) -> Pairs:
        """Yield the sources that have papers of their own, with those behind the summary."""
        pairs = ((source, source.behind_summary(self.options.papers_each)) for source in known)
        return ((source, papers) for source, papers in pairs if papers)

    def to_summarise(self, known: Literature) -> Pairs:
        """Yield those of `pairs` that have no summary of this summariser."""
        made = {item.id: item.payload for item in self.store.items(summaries.STAGE, ("got",))}
        for source, papers in self.pairs(known):
            if made.get(source.name) != summaries.payload_of(papers, self.summariser):
                yield source, papers

    def references(self) -> set[str]:
        """Return the bibcodes that SIMBAD's answers lead to."""
        known = self.store.got(simbad.STAGE)
        return {r["bibcode"] for _, result in known for r in result["references"]}

    @property
    def embedded(self) -> dict[str, str | None]:
        """Server and summariser of the embeddings, stored under the embedder that was asked for."""
        return {"url": self.options.embedder_url, "summariser": self.summariser.name}

    def wanted_detections(self) -> list[str]:
        """List the detections of sources with a paper, or all with the option `unpaired`.

        Surveys count as papers here: only the complete build shows which papers are surveys.
        """
        detections = self._sources_of_detections()
        if self.options.unpaired:
            return [*detections]
        known = self.store.got(simbad.STAGE)
        with_papers = {name for name, result in known if result["references"]}
        with_papers |= self.store.ids(OBJECTS_STAGE)
        return [detection for detection, name in detections.items() if name in with_papers]

    def _sources_of_detections(self) -> dict[str, str]:
        table = catalogue.usable_detections(self.work)
        ids, names = table["detection"].to_pylist(), table["name"].to_pylist()
        return dict(zip(ids, names, strict=True))

    def _selected(self) -> list[str]:
        """Query the names of a SIMBAD type and of an ADQL query, each once."""
        names: list[str] = []
        if otype := self.selection.otype:
            ask = partial(simbad.names_of_type, self.simbad, otype)
            names += self.store.recall("selection", {"otype": otype}, ask)
        if adql := self.selection.adql:
            names += self.store.recall("selection", {"adql": adql}, partial(self._names_of, adql))
        return names

    def _names_of(self, adql: str) -> list[str]:
        answer = self.csc.query(adql, "the ADQL given", remember=False)
        if answer.rows and "name" not in answer.rows[0]:
            raise BuildError("the ADQL's answer has no column `name`: select m.name AS name")
        if answer.overflow:
            raise BuildError(
                f"the catalogue sends no more than {len(answer.rows):,} rows for the ADQL given, "
                "and there are more: narrow it down, or build in several parts"
            )
        return sorted({str(row["name"]) for row in answer.rows})

    def _begin(self) -> dict[str, Any]:
        """Recall the settings of the first run in the work folder, and compare them."""
        settings = {
            "selection": {**self.selection.facts(), "names": sorted(self.selection.names)},
            "kinds": list(self.options.kinds),
            "version": VERSION,
        }
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        begun = self.store.recall("build", "settings", lambda: {**settings, "date": today})
        changed = [key for key in ("selection", "kinds") if begun[key] != settings[key]]
        if changed:
            raise BuildError(
                f"{self.work} holds the work of another build ({', '.join(changed)} differ): name "
                "another --work folder"
            )
        return begun
