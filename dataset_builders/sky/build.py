"""Stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the store and the fetched files; the dataset is made of it at the end. Stages
read from the store what earlier ones wrote, so that they agree on their order alone. One process
works in a folder: the rates agreed with the services are for all processes of a user together.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hf_specclip.literature import TextEmbedder, embed_summaries
from hf_specclip.storage import write_json

from ..folder import check_may_write
from ..info import SpecCLIPDatasetInfo
from .builder import VERSION, CSCPapers
from .counts import STAGE as COUNTS_STAGE
from .counts import make_counts
from .finished import EMBEDDINGS_FOLDER, spectrum_files, usable_detections, write_finished
from .literature import texts
from .literature.batches import BatchRunner
from .literature.bibliography import Literature, want_papers
from .literature.summaries import ModelSummariser
from .literature.texts import ExtractiveSummariser, Summariser, read_summaries, write_summaries
from .provenance import DESCRIPTION, describe_account, provenance
from .services import catalogue, full_texts, simbad, sources
from .services.ads import OBJECTS_STAGE, PAPERS_STAGE, Ads
from .services.archive import STAGE as SPECTRA_STAGE
from .services.archive import SpectrumArchive
from .services.catalogue import Catalogue
from .services.full_texts import FullTexts
from .services.polite_session import Service
from .services.products import detection_id
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
BEGUN_FILE = "begun.json"
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
        self.store = Store(self.work)
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
        with self.store.alone():
            for stage in STAGES:
                if stage in stages and stage == "dataset":
                    self.dataset(output, overwrite=overwrite)
                elif stage in stages:
                    getattr(self, stage)()

    # -- the stages

    def names(self) -> None:
        """Resolve the names asked for into sources of the catalogue."""
        sources.want_names(self.store, [*self.selection.names, *self._selected()])
        with self._bar(sources.STAGE, "names") as bar:
            sources.resolve_names(self.csc, self.store, bar)

    def catalogue(self) -> None:
        """Fetch every detection of the sources, in pages."""
        fetching = Catalogue(
            self.csc,
            self.store,
            self.work,
            limits=self.selection.limits,
            page_rows=self.options.page_rows,
        )
        fetching.want_sources(sources.matched_names(self.store))
        if self.selection.cone is not None:
            fetching.want_cone(*self.selection.cone)
        if self.selection.everything:
            fetching.want_everything()
        with self._bar(catalogue.STAGE, "catalogue") as bar:
            fetching.fetch(bar)

    def objects(self) -> None:
        """Fetch identifiers, types and references of every source from SIMBAD."""
        columns = ("name", "ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
        table = usable_detections(self.work).select(columns)
        simbad.want_sources(self.store, {row["name"]: row for row in table.to_pylist()}.values())
        with self._bar(simbad.STAGE, "SIMBAD") as bar:
            simbad.fetch_objects(self.simbad, self.store, bar)

    def papers(self) -> None:
        """Fetch papers and abstracts from ADS."""
        self.want_papers()
        with self._bar(OBJECTS_STAGE, "ADS objects") as bar:
            self.ads.fetch_objects(bar)
        with self._bar(PAPERS_STAGE, "ADS papers") as bar:
            self.ads.fetch_papers(bar)

    def full_texts(self) -> None:
        """Fetch open full texts of the papers behind summaries, where the options ask for them."""
        if not self.options.full_texts:
            return
        self.open_texts.want(
            paper.id
            for source in self.literature()
            for paper in source.behind_summary(self.options.papers_each)
        )
        with self._bar(full_texts.STAGE, "full texts") as bar:
            self.open_texts.fetch(bar)

    def spectra(self) -> None:
        """Fetch files from the archive, for detections whose sources have papers."""
        self.archive.want(self.wanted_detections())
        with self._bar(SPECTRA_STAGE, "spectra") as bar:
            self.archive.fetch(bar)

    def counts(self) -> None:
        """Bring the spectra into the contract's bins."""
        files = spectrum_files(self.store, self.work)
        with self._bar(COUNTS_STAGE, "counts") as bar:
            make_counts(self.store, self.work, files, bar)

    def summaries(self) -> None:
        """Write three sections for every source."""
        known = self.literature()
        if self.options.model_batches and isinstance(self.summariser, ModelSummariser):
            with tqdm(desc="batches", unit="answer", disable=not self.progress) as bar:
                runner = BatchRunner(self.summariser, self.store, poll=self.services.model_poll)
                runner.run(lambda: self.to_summarise(known), bar.update)
        with self._bar(texts.STAGE, "summaries") as bar:
            write_summaries(
                self.store,
                known,
                self.summariser,
                papers_each=self.options.papers_each,
                find=known.of,
                progress=bar,
            )

    def embeddings(self) -> None:
        """Embed the summaries into the cache of the work folder, where an embedder was named."""
        if self.embedder is None:
            return
        summaries = list(read_summaries(self.store).values())
        with tqdm(
            total=len(summaries), desc="embeddings", unit="source", disable=not self.progress
        ) as bar:
            for start in range(0, len(summaries), _EMBEDDED_AT_ONCE):
                some = summaries[start : start + _EMBEDDED_AT_ONCE]
                embed_summaries(some, self.embedder)
                bar.update(len(some))
        self.store.put(EMBEDDINGS_STAGE, {self.options.embedder: self.embedded})

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder."""
        ended = self.store.ids(COUNTS_STAGE) | self.store.ids(COUNTS_STAGE, "absent")
        if spectrum_files(self.store, self.work).keys() - ended:
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        embedder = None if self.embedder is None else self.embedder.name
        date = self.begun["date"]
        terms = provenance(self.selection, self.services, date, self.summariser, embedder)
        info = SpecCLIPDatasetInfo(
            name=Path(output).resolve().name,
            builder="csc",
            builder_version=VERSION,
            seed=self.options.seed,
            knobs={
                "release": catalogue.RELEASE,
                "begun": date,
                "selection": self.selection.facts(),
                "summaries": self.summariser.name,
                "papers_each": self.options.papers_each,
                "survey_limit": self.options.survey_limit,
                "full_texts": self.options.full_texts,
            },
            text_model=embedder,
            description="\n\n".join((DESCRIPTION, self.account(), terms)),
        )
        write_finished(self.work, info, self.options.survey_limit, embedder)
        sizes = CSCPapers(self.work).write(output, overwrite=overwrite, progress=self.progress)
        if self.progress:
            print(sizes)

    def account(self) -> str:
        """Count in sentences where everything ended; see `describe_account`."""
        return describe_account(self.store, self.work)

    # -- clients, each made when it is first used

    @cached_property
    def csc(self) -> TapClient:
        """Client of the Chandra Source Catalog."""
        service = self._service("Chandra Source Catalog", self.services.csc_per_second)
        return TapClient(self.services.csc_tap, service, self.store)

    @cached_property
    def simbad(self) -> TapClient:
        """Client of SIMBAD."""
        service = self._service("SIMBAD", self.services.simbad_per_second)
        return TapClient(self.services.simbad_tap, service, self.store)

    @cached_property
    def archive(self) -> SpectrumArchive:
        """Client of the Chandra archive."""
        return SpectrumArchive(
            self._service("Chandra archive", self.services.archive_per_second),
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
        service = self._service("arXiv", self.services.arxiv_per_second)
        return FullTexts(service, self.store, self.work, self.services.arxiv)

    @cached_property
    def embedder(self) -> TextEmbedder | None:
        """Embedder that the options name, behind a cache in the work folder; None for none."""
        if self.options.embedder is None:
            return None
        from hf_specclip.literature import get_embedder

        cache, url = self.work / EMBEDDINGS_FOLDER, self.options.embedder_url
        return get_embedder(self.options.embedder, cache_dir=cache, base_url=url)

    def _service(self, name: str, per_second: float) -> Service:
        return Service(name, per_second=per_second, patience=self.services.patience)

    # -- shared by stages

    def literature(self) -> Literature:
        """Open the literature found so far, source by source."""
        return Literature(self.store, survey_limit=self.options.survey_limit)

    def want_papers(self) -> None:
        """Want the papers that SIMBAD's answers lead to."""
        want_papers(self.store, self.ads, search_objects=self.options.search_objects)

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
        table = usable_detections(self.work).select(["name", "obsid", "obi", "region_id"])
        with_papers = set(table["name"].to_pylist())
        if not self.options.unpaired:
            with_papers = self.store.ids(OBJECTS_STAGE)
            known = self.store.got(simbad.STAGE)
            with_papers |= {name for name, result in known if result["references"]}
        return sorted(
            detection_id(row["obsid"], row["obi"], row["region_id"])
            for row in table.to_pylist()
            if row["name"] in with_papers
        )

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
                self.store.forget()

        self.store.work(SELECTION_STAGE, select)
        found = self.store.results(SELECTION_STAGE, wanted)
        return [name for key in wanted for name in found[key]]

    def _names_of(self, payload: Mapping[str, str]) -> list[str]:
        if "otype" in payload:
            return simbad.names_of_type(self.simbad, payload["otype"])
        answer = self.csc.query(payload["adql"], "the ADQL given")
        if answer.rows and "name" not in answer.rows[0]:
            raise BuildError("the ADQL's answer has no column `name`: select m.name AS name")
        if answer.overflow:
            raise BuildError(
                f"the catalogue sends no more than {len(answer.rows):,} rows for the ADQL given, "
                "and there are more: narrow it down, or build in several parts"
            )
        return sorted({str(row["name"]) for row in answer.rows})

    def _begin(self) -> dict[str, Any]:
        """Read the settings that the first run wrote into the work folder, and compare them."""
        path = self.work / BEGUN_FILE
        settings = {
            "selection": {**self.selection.facts(), "names": sorted(self.selection.names)},
            "kinds": list(self.options.kinds),
            "version": VERSION,
        }
        if self.selection.adql:
            settings["selection"]["adql"] = self.selection.adql
        if not path.is_file():
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            write_json(path, {**settings, "date": today})
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
            begun = {key: begun[key] for key in ("selection", "kinds", "date")}
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(
                f"{path} is damaged ({type(error).__name__}): delete it, and run the same command "
                "again; nothing else is lost"
            ) from None
        changed = [key for key in ("selection", "kinds") if begun[key] != settings[key]]
        if changed:
            raise BuildError(
                f"{self.work} holds the work of another build ({', '.join(changed)} differ): name "
                "another --work folder"
            )
        return begun

    @contextlib.contextmanager
    def _bar(self, stage: str, title: str) -> Iterator[Callable[[int], object]]:
        """Show a progress bar over a stage of the store."""
        states = self.store.counts(stage)
        total = sum(states.values())
        done = total - states["wanted"]
        with tqdm(total=total, initial=done, desc=title, disable=not self.progress) as bar:
            yield bar.update
