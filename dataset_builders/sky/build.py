"""Stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the queue and the fetched files; the dataset is made of it at the end. Stages
read from the queue what earlier ones wrote, so that they agree on their order alone. Several
processes of one machine may work in one folder: each takes wanted items, and a stage begins when
every process has left the one before.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm.auto import tqdm

from hf_specclip.storage import write_json

from ..folder import check_may_write
from ..info import INFO_FILE, SpecCLIPDatasetInfo, read_info
from . import counts
from .account import describe_account
from .builder import VERSION, CSCPapers
from .clients import Clients
from .finished import QUEUE_FILE, spectrum_files, usable_detections, write_finished
from .literature import bibliography, embeddings, texts
from .literature.batches import BatchRunner
from .literature.bibliography import Literature
from .literature.summaries import ModelSummariser
from .literature.texts import ExtractiveSummariser, Summariser, read_summaries, write_summaries
from .provenance import DESCRIPTION, provenance
from .services import catalogue, full_texts, simbad, sources
from .services.ads import OBJECTS_STAGE, PAPERS_STAGE, Ads
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import Catalogue
from .services.products import detection_id
from .settings import BuildError, Options, Selection, Services
from .work.queue import WorkQueue

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
# Seconds between two looks at the items of other processes.
_LOOK_SECONDS = 0.2


class Build:
    """A build in a work folder.

    Args:
        work: the folder; made where it is absent.
        selection: sources wanted.
        services: addresses and request rates.
        options: choices in the making of the dataset.
        summariser: writer of the summaries; the extractive one where None.
        progress: show bars.

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
        self.queue = WorkQueue(self.work / QUEUE_FILE)
        self.clients = Clients(self.work, self.queue, self.services, self.options)
        self.begun = self._begin()
        if self.options.full_texts and isinstance(self.summariser, ModelSummariser):
            self.summariser.full_text = self.clients.full_texts.of

    def run(self, stages: Sequence[str], output: str | Path, *, overwrite: bool = False) -> None:
        """Run stages in their order.

        Args:
            stages: some of `STAGES`.
            output: where the dataset goes.
            overwrite: replace a dataset that is already there.
        """
        unknown = sorted(set(stages) - set(STAGES))
        if unknown:
            raise BuildError(f"stages {unknown} are not among {', '.join(STAGES)}")
        if "dataset" in stages:
            check_may_write(output, overwrite=overwrite)  # said now, not after days
        for stage in STAGES:
            if stage not in stages:
                continue
            if stage == "dataset":
                self.dataset(output, overwrite=overwrite)
            else:
                getattr(self, stage)()

    # -- the stages

    def names(self) -> None:
        """Resolve the names asked for into sources of the catalogue."""
        wanted = [*self.selection.names, *self._selected()]
        sources.want_names(self.queue, wanted)
        with self._bar(sources.STAGE, "names") as bar:
            self._all_of(
                sources.STAGE, lambda: sources.resolve_names(self.clients.csc, self.queue, bar)
            )

    def catalogue(self) -> None:
        """Fetch every detection of the sources, in pages."""
        fetching = Catalogue(
            self.clients.csc,
            self.queue,
            self.work,
            limits=self.selection.limits,
            page_rows=self.options.page_rows,
        )
        fetching.want_sources(sources.matched_names(self.queue))
        if self.selection.cone is not None:
            fetching.want_cone(*self.selection.cone)
        if self.selection.everything:
            fetching.want_everything()
        with tqdm(desc="catalogue", unit="row", disable=not self.progress) as bar:
            self._all_of(catalogue.STAGE, lambda: fetching.fetch(bar.update))

    def objects(self) -> None:
        """Fetch identifiers, types and references of every source from SIMBAD."""
        columns = ("name", "ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
        table = usable_detections(self.work).select(columns)
        simbad.want_sources(self.queue, {row["name"]: row for row in table.to_pylist()}.values())
        with self._bar(simbad.STAGE, "SIMBAD") as bar:
            self._all_of(
                simbad.STAGE, lambda: simbad.fetch_objects(self.clients.simbad, self.queue, bar)
            )

    def papers(self) -> None:
        """Fetch papers and abstracts from ADS."""
        ads = self.want_papers()
        with self._bar(OBJECTS_STAGE, "ADS objects") as bar:
            self._all_of(OBJECTS_STAGE, lambda: ads.fetch_objects(bar))
        with self._bar(PAPERS_STAGE, "ADS papers") as bar:
            self._all_of(PAPERS_STAGE, lambda: ads.fetch_papers(bar))

    def full_texts(self) -> None:
        """Fetch open full texts of the papers behind summaries, where the options ask for them."""
        if not self.options.full_texts:
            return
        fetching = self.clients.full_texts
        fetching.want(
            paper.id
            for source in self.literature()
            for paper in source.behind_summary(self.options.papers_each)
        )
        with self._bar(full_texts.STAGE, "full texts") as bar:
            self._all_of(full_texts.STAGE, lambda: fetching.fetch(bar))

    def spectra(self) -> None:
        """Fetch files from the archive, for detections whose sources have papers."""
        archive = self.clients.archive
        archive.want(self.wanted_detections())
        with self._bar(SPECTRA_STAGE, "spectra") as bar:
            self._all_of(SPECTRA_STAGE, lambda: archive.fetch(bar))

    def counts(self) -> None:
        """Bring the spectra into the contract's bins."""
        counts.want_counts(self.queue, spectrum_files(self.queue, self.work))
        with tqdm(desc="counts", unit="spectrum", disable=not self.progress) as bar:
            self._all_of(
                counts.STAGE, lambda: counts.make_counts(self.queue, self.work, bar.update)
            )

    def summaries(self) -> None:
        """Write three sections for every source."""
        known = self.literature()
        if self.options.model_batches and isinstance(self.summariser, ModelSummariser):
            with tqdm(desc="batches", unit="answer", disable=not self.progress) as bar:
                runner = BatchRunner(
                    self.summariser, self.queue, self.work, poll=self.services.model_poll
                )
                runner.run(lambda: self.to_summarise(known), bar.update)
        with tqdm(desc="summaries", unit="source", disable=not self.progress) as bar:
            self._all_of(
                texts.STAGE,
                lambda: write_summaries(
                    self.queue,
                    known,
                    self.summariser,
                    papers_each=self.options.papers_each,
                    find=known.of,
                    progress=bar.update,
                ),
            )

    def embeddings(self) -> None:
        """Embed the summaries, where an embedder was named."""
        if self.options.embedder is None:
            return
        summaries, embedder = read_summaries(self.queue), self.clients.embedder
        embeddings.want_embeddings(self.queue, summaries, embedder.name)
        with tqdm(desc="embeddings", unit="source", disable=not self.progress) as bar:
            self._all_of(
                embeddings.STAGE,
                lambda: embeddings.make_embeddings(
                    self.queue, self.work, summaries, embedder, bar.update
                ),
            )

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder; the first of several processes does."""
        spectra = spectrum_files(self.queue, self.work)
        done, unreadable = counts.read_counts(self.queue, self.work, spectra)
        if len(done) + len(unreadable) < len(spectra):
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        embedder = self.clients.embedder.name if self.options.embedder is not None else None
        info = SpecCLIPDatasetInfo(
            name=Path(output).resolve().name,
            builder="csc",
            builder_version=VERSION,
            seed=self.options.seed,
            knobs={
                "release": catalogue.RELEASE,
                "begun": self.begun["date"],
                "selection": self.selection.facts(),
                "summaries": self.summariser.name,
                "papers_each": self.options.papers_each,
                "survey_limit": self.options.survey_limit,
                "full_texts": self.options.full_texts,
            },
            text_model=embedder,
            description="\n\n".join(
                (
                    DESCRIPTION,
                    self.account(unreadable),
                    provenance(
                        self.selection, self.services, self.begun["date"], self.summariser, embedder
                    ),
                )
            ),
        )
        with FileLock(self.work / "dataset.lock"):
            if not overwrite and self._is_written(output, info):
                return  # another process of this build was faster
            write_finished(self.work, info, self.options.survey_limit, embedder)
            sizes = CSCPapers(self.work).write(output, overwrite=overwrite, progress=self.progress)
        if self.progress:
            print(sizes)

    def account(self, unreadable: Mapping[str, str] | None = None) -> str:
        """Count what came of everything; see `describe_account`."""
        return describe_account(self.queue, self.work, unreadable)

    # -- what stages share

    def _selected(self) -> list[str]:
        """Query the names of a SIMBAD type or an ADQL query, each once."""
        wanted = {}
        if self.selection.otype:
            wanted[f"type {self.selection.otype}"] = {"otype": self.selection.otype}
        if self.selection.adql:
            digest = hashlib.sha256(self.selection.adql.encode()).hexdigest()[:16]
            wanted[f"question {digest}"] = {"adql": self.selection.adql}
        self.queue.add(SELECTION_STAGE, wanted)

        def select() -> None:
            while items := self.queue.claim(SELECTION_STAGE, 1):
                [item] = items
                with self.queue.held(items):
                    names = self._names_of(item.payload)
                    self.queue.finish(SELECTION_STAGE, {item.id: names})
                self.clients.csc.forget()
                self.clients.simbad.forget()

        self._all_of(SELECTION_STAGE, select)
        found = self.queue.results(SELECTION_STAGE, wanted)
        return [name for key in wanted for name in found[key]]

    def _names_of(self, payload: dict[str, str]) -> list[str]:
        if "otype" in payload:
            return simbad.names_of_type(self.clients.simbad, payload["otype"])
        answer = self.clients.csc.query(payload["adql"], "the ADQL given")
        if answer.rows and "name" not in answer.rows[0]:
            raise BuildError("the ADQL's answer has no column `name`: select m.name AS name")
        if answer.overflow:
            raise BuildError(
                f"the catalogue sends no more than {len(answer.rows):,} rows for the ADQL given, "
                "and there are more: narrow it down, or build in several parts"
            )
        return sorted({str(row["name"]) for row in answer.rows})

    def _all_of(self, stage: str, work: Callable[[], object]) -> None:
        """Work on a stage until nothing is left of it, with this process or another."""
        while True:
            work()
            states = self.queue.counts(stage)
            if not states["wanted"] and not states["claimed"]:
                return
            time.sleep(_LOOK_SECONDS)  # others are at it; should one die, its items come back

    def want_papers(self) -> Ads:
        """Queue the papers that SIMBAD's answers lead to; return the client of ADS."""
        ads = self.clients.ads
        bibliography.want_papers(self.queue, ads, search_objects=self.options.search_objects)
        return ads

    def to_summarise(self, known: Literature) -> Any:
        """Yield the sources without a summary, with the papers it would be made of."""
        done = set(read_summaries(self.queue))
        for source in known:
            papers = source.behind_summary(self.options.papers_each)
            if papers and source.name not in done:
                yield source, papers

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

    def _is_written(self, output: str | Path, info: SpecCLIPDatasetInfo) -> bool:
        if not (Path(output) / INFO_FILE).is_file():
            return False
        there = read_info(output)
        facts = ("name", "builder", "builder_version", "seed", "knobs", "text_model")
        return (
            there is not None
            and all(getattr(there, name) == getattr(info, name) for name in facts)
            and there.description == info.description
            and bool(there.rows)
        )

    def literature(self) -> Literature:
        """Open the literature found so far, source by source."""
        return Literature(self.queue, survey_limit=self.options.survey_limit)

    def wanted_detections(self) -> list[str]:
        """List the detections of sources with a paper, or all with the option `unpaired`.

        Surveys count as papers here: only the complete build shows which papers are surveys.
        """
        with_papers: set[str] | None = None
        if not self.options.unpaired:
            with_papers = {i.id for i in self.queue.items(OBJECTS_STAGE, ["got"]) if i.result}
            with_papers |= {
                item.id
                for item in self.queue.items(simbad.STAGE, ["got"])
                if item.result["references"]
            }
        table = usable_detections(self.work).select(["name", "obsid", "obi", "region_id"])
        return sorted(
            detection_id(row["obsid"], row["obi"], row["region_id"])
            for row in table.to_pylist()
            if with_papers is None or row["name"] in with_papers
        )

    def _bar(self, stage: str, title: str) -> _Bar:
        return _Bar(self.queue, stage, title, shown=self.progress)


class _Bar:
    """Progress bar over a stage of the queue, called with the number of items done."""

    def __init__(self, queue: WorkQueue, stage: str, title: str, *, shown: bool) -> None:
        states = queue.counts(stage)
        total = sum(states.values())
        left = states["wanted"] + states["claimed"]
        self._bar = tqdm(total=total, initial=total - left, desc=title, disable=not shown)

    def __enter__(self) -> Callable[[int], None]:
        return self._bar.update

    def __exit__(self, *error: object) -> None:
        self._bar.close()


__all__ = ["STAGES", "Build"]
