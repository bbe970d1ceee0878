"""Stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the store and the fetched files; the dataset is made of it at the end. Stages
read from the store what earlier ones wrote, so that they agree on their order alone. Several
processes may work in a folder, each on stages of its own: the rates agreed with the services are
for all processes of a user together.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hf_specclip.literature import TextEmbedder, embed_summaries

from ..folder import check_may_write
from . import assemble, counts
from .builder import VERSION, CSCPapers
from .literature import texts
from .literature.batches import BatchRunner
from .literature.bibliography import Literature
from .literature.summaries import ModelSummariser
from .literature.texts import ExtractiveSummariser, Summariser, read_summaries, write_summaries
from .provenance import DESCRIPTION, describe_account, list_lost, provenance
from .services import archive, catalogue, simbad, sources
from .services.ads import OBJECTS_STAGE, Ads
from .services.archive import SpectrumArchive
from .services.catalogue import Catalogue, usable_detections
from .services.full_texts import FullTexts
from .services.polite_session import Service
from .services.tap import TapClient
from .settings import BuildError, Options, Selection, Services
from .work.store import Item, Store

STAGES = (
    "names",
    "catalogue",
    "objects",
    "papers",
    "full_texts",
    "spectra",
    "counts",
    "summaries",
    "embeddings",
    "dataset",
)
# They ask the same two services. Each of the others has its own, and may have its own process.
ONE_AFTER_ANOTHER = ("names", "catalogue", "objects")
SELECTION_STAGE = "selection"
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

        Args:
            stages: some of `STAGES`.
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
        fetching = Catalogue(self.csc, self.store, self.work, limits=self.selection.limits)
        fetching.want_sources(sources.matched_names(self.store))
        if self.selection.cone is not None:
            fetching.want_cone(*self.selection.cone)
        if self.selection.everything:
            fetching.want_everything()
        fetching.fetch()

    def objects(self) -> None:
        """Fetch identifiers, types and references of every source from SIMBAD."""
        table = usable_detections(self.work).select(["name", *simbad.COLUMNS.values()])
        simbad.fetch_objects(self.simbad, self.store, table.to_pylist())

    def papers(self) -> None:
        """Fetch papers and abstracts from ADS."""
        self.want_papers()
        self.ads.fetch_objects()
        self.ads.fetch_papers()

    def full_texts(self) -> None:
        """Fetch open full texts of the papers behind summaries, where the options ask for them."""
        if self.options.full_texts:
            self.open_texts.want(
                paper.id
                for source in self.literature()
                for paper in source.behind_summary(self.options.papers_each)
            )
            self.open_texts.fetch()

    def spectra(self) -> None:
        """Fetch files from the archive, for detections whose sources have papers."""
        self.archive.want(self.wanted_detections())
        self.archive.fetch()

    def counts(self) -> None:
        """Bring the spectra into the contract's bins."""
        table = usable_detections(self.work)
        names = dict(zip(table["detection"].to_pylist(), table["name"].to_pylist(), strict=True))
        counts.make_counts(self.store, self.work, names)

    def summaries(self) -> None:
        """Write three sections for every source."""
        known = self.literature()
        if isinstance(self.summariser, ModelSummariser):
            self.summariser.model.recount()
            if self.options.model_batches:
                runner = BatchRunner(self.summariser, self.store, poll=self.services.model_poll)
                runner.run(lambda: self.to_summarise(known))
        write_summaries(
            self.store, known, self.summariser, papers_each=self.options.papers_each, find=known.of
        )

    def embeddings(self) -> None:
        """Embed the summaries into the cache of the work folder, where an embedder was named."""
        if self.embedder is None:
            return
        summaries = list(read_summaries(self.store).values())
        with tqdm(total=len(summaries), desc="embeddings", disable=not self.progress) as bar:
            for start in range(0, len(summaries), _EMBEDDED_AT_ONCE):
                some = summaries[start : start + _EMBEDDED_AT_ONCE]
                embed_summaries(some, self.embedder)
                bar.update(len(some))
        self.store.put(EMBEDDINGS_STAGE, {str(self.options.embedder): self.embedded})

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder."""
        ended = self.store.ids(counts.STAGE) | self.store.ids(counts.STAGE, "absent")
        if self.store.ids(archive.STAGE) - ended:
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        embedder = None if self.embedder is None else self.embedder.name
        date = self.begun["date"]
        terms = provenance(self.selection, self.services, date, self.summariser, embedder)
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
            "description": "\n\n".join((DESCRIPTION, self.account(), terms)),
        }
        self.store.put(assemble.STAGE, {"info": info})
        sizes = CSCPapers(self.work).write(output, overwrite=overwrite, progress=self.progress)
        if self.progress:
            print(sizes)

    def account(self) -> str:
        """Count in sentences where everything ended; see `describe_account`."""
        return describe_account(self.store, self.work)

    def lost(self) -> str:
        """Name some of the items that did not come, with the reasons; see `list_lost`."""
        return list_lost(self.store, self.work)

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
        patience, rate = self.services.patience, self.services.ads_per_second
        return Ads(self.store, self.services.ads, patience=patience, per_second=rate)

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
        from hf_specclip.literature import get_embedder

        cache, url = self.work / assemble.EMBEDDINGS_FOLDER, self.options.embedder_url
        return get_embedder(self.options.embedder, cache_dir=cache, base_url=url)

    def _service(self, name: str, key: str) -> Service:
        rate = getattr(self.services, f"{key}_per_second")
        return Service(name, per_second=rate, patience=self.services.patience)

    # -- shared by stages

    def literature(self) -> Literature:
        """Open the literature found so far, source by source."""
        return Literature(self.store, survey_limit=self.options.survey_limit)

    def want_papers(self) -> None:
        """Want the papers that SIMBAD's answers lead to, and where asked for a search of each."""
        known = dict(self.store.got(simbad.STAGE))
        if self.options.search_objects:
            self.ads.want_objects({name: result["oid"] for name, result in known.items()})
        references = (r["bibcode"] for result in known.values() for r in result["references"])
        self.ads.want_papers(references)

    @property
    def embedded(self) -> dict[str, str | None]:
        """Server and summariser of the embeddings, stored under the embedder that was asked for."""
        return {"url": self.options.embedder_url, "summariser": self.summariser.name}

    def to_summarise(self, known: Literature) -> Iterator[tuple[Any, Sequence[Any]]]:
        """Yield the sources without a summary of this summariser, with the papers behind it."""
        made = {item.id: item.payload for item in self.store.items(texts.STAGE, ("got",))}
        for source in known:
            papers = source.behind_summary(self.options.papers_each)
            if papers and made.get(source.name) != texts.payload_of(papers, self.summariser):
                yield source, papers

    def wanted_detections(self) -> list[str]:
        """List the detections of sources with a paper, or all with the option `unpaired`.

        Surveys count as papers here: only the complete build shows which papers are surveys.
        """
        table = usable_detections(self.work)
        names, ids = table["name"].to_pylist(), table["detection"].to_pylist()
        if self.options.unpaired:
            return ids
        with_papers = self.store.ids(OBJECTS_STAGE)
        known = self.store.got(simbad.STAGE)
        with_papers |= {name for name, result in known if result["references"]}
        return [i for name, i in zip(names, ids, strict=True) if name in with_papers]

    def _selected(self) -> list[str]:
        """Query the names of a SIMBAD type or an ADQL query, each once."""
        wanted = {}
        if self.selection.otype:
            wanted[f"type {self.selection.otype}"] = {"otype": self.selection.otype}
        if self.selection.adql:
            digest = hashlib.sha256(self.selection.adql.encode()).hexdigest()[:16]
            wanted[f"question {digest}"] = {"adql": self.selection.adql}
        self.store.add(SELECTION_STAGE, wanted)

        def select(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
            for item in items:
                yield {item.id: self._names_of(item.payload)}
                self.store.forget(self.simbad.url)

        self.store.work(SELECTION_STAGE, select)
        found = self.store.results(SELECTION_STAGE, wanted)
        return [name for key in wanted for name in found[key]]

    def _names_of(self, payload: Mapping[str, str]) -> list[str]:
        if "otype" in payload:
            return simbad.names_of_type(self.simbad, payload["otype"])
        answer = self.csc.query(payload["adql"], "the ADQL given", remember=False)
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
        if self.selection.adql:
            settings["selection"]["adql"] = self.selection.adql
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        begun = self.store.recall("build", "settings", lambda: {**settings, "date": today})
        changed = [key for key in ("selection", "kinds") if begun[key] != settings[key]]
        if changed:
            raise BuildError(
                f"{self.work} holds the work of another build ({', '.join(changed)} differ): name "
                "another --work folder"
            )
        return begun
