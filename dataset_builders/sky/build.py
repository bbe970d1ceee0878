"""The stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the queue and what was fetched; the dataset is made of it at the end. Stages
find what earlier ones left in the queue, so that the order is all they agree on. Several processes
of one machine may work in one folder: each takes what is wanted, and a stage begins when nobody is
left in the one before.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm.auto import tqdm

from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import write_bytes

from ..folder import INFO_FILE, SpecCLIPDatasetInfo, check_may_write, read_info
from ..splits import SURVEY_LIMIT
from . import counts
from .builder import VERSION, CSCPapers
from .finished import QUEUE_FILE, spectrum_files, usable_detections, write_finished
from .literature import bibliography, embeddings, texts
from .literature.batches import POLL_SECONDS, BatchRunner
from .literature.bibliography import Literature
from .literature.summaries import ModelSummariser
from .literature.texts import ExtractiveSummariser, Summariser, read_summaries, write_summaries
from .provenance import DESCRIPTION, provenance
from .services import catalogue, full_texts, simbad, sources
from .services.ads import ADS, OBJECTS_STAGE, PAPERS_STAGE, Ads, ads_service
from .services.archive import CSCCLI, SpectrumArchive
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import CSC_TAP, Catalogue, Limits, read_catalogue
from .services.full_texts import ARXIV, FullTexts
from .services.polite_session import Patience, Service
from .services.positions import normalise_name
from .services.products import KINDS, detection_id
from .services.simbad import SIMBAD_TAP
from .services.tap import TapClient
from .work.memory import AnswerMemory
from .work.queue import WorkQueue
from .work.rates import note_rate
from .work.shard import Shard

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
# A shard leaves the rest to the merged build: which papers are surveys shows in the whole alone.
SHARD_STAGES = STAGES[:7]
BEGUN_FILE = "begun.json"
SELECTION_STAGE = "selection"
# Between two looks at what other processes are still doing.
_LOOK_SECONDS = 0.2
# The most of a user's question that goes onto the card.
_SHOWN_ADQL = 2000


class BuildError(SpecCLIPError, RuntimeError):
    """A build that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Selection:
    """Which sources are wanted: one of these, or several together.

    Attributes:
        names: names or positions in degrees.
        cone: right ascension, declination, radius, degrees.
        otype: a type of SIMBAD.
        adql: a question whose answer has a column `name`.
        everything: the whole catalogue.
        limits: on detections.
    """

    names: tuple[str, ...] = ()
    cone: tuple[float, float, float] | None = None
    otype: str | None = None
    adql: str | None = None
    everything: bool = False
    limits: Limits = field(default_factory=Limits)

    def facts(self) -> dict[str, Any]:
        """For the card; a long list of names is only counted."""
        limits = {k: v for k, v in vars(self.limits).items() if v is not None}
        facts = {
            "names": len(self.names) or None,
            "cone": list(self.cone) if self.cone else None,
            "otype": self.otype,
            "adql": self.adql[:_SHOWN_ADQL] if self.adql else None,
            "everything": self.everything or None,
            **limits,
        }
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True)
class Services:
    """Where the services are, and how patient to be with them."""

    csc_tap: str = CSC_TAP
    archive: str = CSCCLI
    simbad_tap: str = SIMBAD_TAP
    ads: str = ADS
    arxiv: tuple[str, ...] = ARXIV
    patience: Patience | None = None
    csc_per_second: float = 2.0
    archive_per_second: float = 3.0
    simbad_per_second: float = simbad.PER_SECOND
    ads_per_second: float = 3.0
    arxiv_per_second: float = full_texts.PER_SECOND
    model_poll: float = POLL_SECONDS


@dataclass(frozen=True)
class Options:
    """How to build.

    Attributes:
        kinds: of archive files.
        max_disk: bytes of archive files, or None.
        batch, workers: detections in a request to the archive, and requests at once.
        search_objects: ask ADS for papers about each object, beside SIMBAD's references.
        papers_each: papers behind a summary.
        survey_limit: a paper behind more sources is a survey.
        full_texts: read open full texts where there are any, not only abstracts.
        unpaired: fetch spectra of sources without any paper, too, for pretraining.
        embedder: see `hf_specclip.literature.get_embedder`, or None for no embeddings.
        embedder_url: of an OpenAI-compatible server for it, or None.
        model_batches: send questions to the model as batches (half the price, within a day).
        seed: of the splits.
        page_rows: rows in a page of the catalogue.
        shard: the share of this work folder, or None for all.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    max_disk: int | None = None
    batch: int = 20
    workers: int = 4
    search_objects: bool = True
    papers_each: int = bibliography.PAPERS_EACH
    survey_limit: int = SURVEY_LIMIT
    full_texts: bool = False
    unpaired: bool = False
    embedder: str | None = None
    embedder_url: str | None = None
    model_batches: bool = False
    seed: int = 0
    page_rows: int = catalogue.PAGE_ROWS
    shard: Shard | None = None


class Build:
    """A build in a work folder.

    Args:
        work: the folder; made where it is absent.
        selection: which sources.
        services: where to ask.
        options: how.
        summariser: what writes the summaries; the extractive one where None.
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
        self._clients: dict[str, Any] = {}
        self._embedder: Any = None
        self.begun = self._begin()
        if self.options.full_texts and isinstance(self.summariser, ModelSummariser):
            self.summariser.full_text = FullTexts(self._arxiv, self.queue, self.work).of

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
        if self.options.shard is not None and set(stages) - set(SHARD_STAGES):
            raise BuildError(
                f"a shard ends with `{SHARD_STAGES[-1]}`: which papers are surveys shows in the "
                "whole alone. `python -m specclip_datasets merge` joins the shards, and a build in "
                "the merged folder goes on"
            )
        if "dataset" in stages:
            check_may_write(output, overwrite=overwrite)  # said now, not after days
        for stage in STAGES:
            if stage not in stages:
                continue
            before, began = self._done(stage, output), time.process_time()
            if stage == "dataset":
                self.dataset(output, overwrite=overwrite)
            else:
                getattr(self, stage)()
            took = time.process_time() - began
            note_rate(self.work, stage, self._done(stage, output) - before, took)

    # -- the stages

    def names(self) -> None:
        """From what was asked for to sources of the catalogue."""
        wanted = [*self.selection.names, *self._selected()]
        shard = self.options.shard
        if shard is not None:
            wanted = [name for name in wanted if shard.has(normalise_name(name) or name.strip())]
        sources.want_names(self.queue, wanted)
        with self._bar(sources.STAGE, "names") as bar:
            self._all_of(sources.STAGE, lambda: sources.resolve_names(self._csc, self.queue, bar))

    def catalogue(self) -> None:
        """Every detection of the sources, in pages."""
        fetching = Catalogue(
            self._csc,
            self.queue,
            self.work,
            limits=self.selection.limits,
            page_rows=self.options.page_rows,
        )
        shard = self.options.shard
        fetching.want_sources(sources.matched_names(self.queue))
        if self.selection.cone is not None:
            fetching.want_cone(*self.selection.cone, shard)
        if self.selection.everything:
            fetching.want_everything(shard)
        with tqdm(desc="catalogue", unit="row", disable=not self.progress) as bar:
            self._all_of(catalogue.STAGE, lambda: fetching.fetch(bar.update))

    def objects(self) -> None:
        """What SIMBAD knows of every source."""
        columns = ("name", "ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
        table = usable_detections(self.work).select(columns)
        simbad.want_sources(self.queue, {row["name"]: row for row in table.to_pylist()}.values())
        with self._bar(simbad.STAGE, "SIMBAD") as bar:
            self._all_of(simbad.STAGE, lambda: simbad.fetch_objects(self._simbad, self.queue, bar))

    def papers(self) -> None:
        """Papers and abstracts from ADS."""
        ads = self.want_papers()
        with self._bar(OBJECTS_STAGE, "ADS objects") as bar:
            self._all_of(OBJECTS_STAGE, lambda: ads.fetch_objects(bar))
        with self._bar(PAPERS_STAGE, "ADS papers") as bar:
            self._all_of(PAPERS_STAGE, lambda: ads.fetch_papers(bar))

    def full_texts(self) -> None:
        """Open full texts of the papers behind summaries, where they are asked for."""
        if not self.options.full_texts:
            return
        fetching = FullTexts(self._arxiv, self.queue, self.work)
        fetching.want(
            paper.id
            for source in self.literature()
            for paper in source.behind_summary(self.options.papers_each)
        )
        with self._bar(full_texts.STAGE, "full texts") as bar:
            self._all_of(full_texts.STAGE, lambda: fetching.fetch(bar))

    def spectra(self) -> None:
        """Files from the archive, for detections whose sources have papers."""
        archive = self.archive()
        archive.want(self.wanted_detections())
        with self._bar(SPECTRA_STAGE, "spectra") as bar:
            self._all_of(SPECTRA_STAGE, lambda: archive.fetch(bar))

    def counts(self) -> None:
        """Spectra in the contract's bins."""
        counts.want_counts(self.queue, spectrum_files(self.queue, self.work))
        with tqdm(desc="counts", unit="spectrum", disable=not self.progress) as bar:
            self._all_of(
                counts.STAGE, lambda: counts.make_counts(self.queue, self.work, bar.update)
            )

    def summaries(self) -> None:
        """Three sections for every source."""
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
        """Vectors of the summaries, where an embedder was named."""
        if self.options.embedder is None:
            return
        summaries, embedder = read_summaries(self.queue), self.embedder()
        embeddings.want_embeddings(self.queue, summaries, embedder.name)
        with tqdm(desc="embeddings", unit="source", disable=not self.progress) as bar:
            self._all_of(
                embeddings.STAGE,
                lambda: embeddings.make_embeddings(
                    self.queue, self.work, summaries, embedder, bar.update
                ),
            )

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """The contract's folder; the first of several processes writes it."""
        spectra = spectrum_files(self.queue, self.work)
        done, unreadable = counts.read_counts(self.queue, self.work, spectra)
        if len(done) + len(unreadable) < len(spectra):
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        embedder = self.embedder().name if self.options.embedder is not None else None
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

    # -- what became of everything

    def account(self, unreadable: dict[str, str] | None = None) -> str:
        """Where each name, detection and source ended, in sentences."""
        table = read_catalogue(self.work)
        masked = Counter(reason for reason in table["masked"].to_pylist() if reason)
        of = self.queue.counts
        name, spectrum, known = of(sources.STAGE), of(SPECTRA_STAGE), of(simbad.STAGE)
        text, paper, whole = of(texts.STAGE), of(PAPERS_STAGE), of(full_texts.STAGE)
        sentences = []
        if sum(name.values()):
            sentences.append(
                f"Of {sum(name.values()):,} names, {name['got']:,} are sources of the catalogue."
            )
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(masked.items()))
        sentences.append(
            f"Of {len(table):,} ACIS detections, {sum(masked.values()):,} are masked"
            + (f" ({reasons})." if reasons else ".")
        )
        sentences.append(
            f"SIMBAD knows {known['got']:,} of {sum(known.values()):,} sources; {text['got']:,} "
            "have a summary."
        )
        sentences.append(f"ADS knows {paper['got']:,} of {sum(paper.values()):,} papers.")
        if sum(whole.values()):
            sentences.append(
                f"Of {sum(whole.values()):,} full texts asked for, {whole['got']:,} are open."
            )
        sentences.append(
            f"Of {sum(spectrum.values()):,} spectra asked for, {spectrum['got']:,} came, "
            f"{spectrum['absent']:,} are not in the archive and {spectrum['failed']:,} failed; "
            f"{len(unreadable or {}):,} could not be read."
        )
        return " ".join(sentences)

    # -- what stages share

    def _selected(self) -> list[str]:
        """Names that a type or a question leads to; each is asked for once."""
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
                try:
                    names = self._names_of(item.payload)
                except BaseException:
                    self.queue.release(SELECTION_STAGE, [item.id])
                    raise
                self.queue.finish(SELECTION_STAGE, {item.id: names})
                self._csc.forget()
                self._simbad.forget()

        self._all_of(SELECTION_STAGE, select)
        found = self.queue.results(SELECTION_STAGE, wanted)
        return [name for key in wanted for name in found[key]]

    def _names_of(self, payload: dict[str, str]) -> list[str]:
        if "otype" in payload:
            return simbad.names_of_type(self._simbad, payload["otype"])
        answer = self._csc.query(payload["adql"], "the ADQL given")
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
        """Want from ADS what SIMBAD's answers lead to; gives ADS."""
        ads = Ads(self._ads, self.queue, url=self.services.ads)
        bibliography.want_papers(self.queue, ads, search_objects=self.options.search_objects)
        return ads

    def _done(self, stage: str, output: str | Path) -> int:
        """Items that a stage has finished so far, in the unit that forecasts count in."""
        if stage == "catalogue":
            return int(self.queue.total(catalogue.STAGE, "rows")[1])
        if stage == "dataset":
            info = read_info(output) if (Path(output) / INFO_FILE).is_file() else None
            configurations = info.configurations.values() if info else ()
            rows = [info.rows if info else {}, *configurations]
            return sum(sum(of.values()) for of in rows)
        # Spectra lie in bins in parts; there are as many of them as came from the archive.
        names = {"objects": simbad.STAGE, "counts": SPECTRA_STAGE}
        if stage == "counts" and not sum(self.queue.counts(counts.STAGE).values()):
            return 0
        states = self.queue.counts(names.get(stage, stage))
        return states["got"] + states["absent"] + states["failed"]

    def to_summarise(self, known: Literature) -> Any:
        """Sources that have no summary yet, with the papers behind it."""
        done = set(read_summaries(self.queue))
        for source in known:
            papers = source.behind_summary(self.options.papers_each)
            if papers and source.name not in done:
                yield source, papers

    def _begin(self) -> dict[str, Any]:
        """What this work folder is for: written by the first run, compared by all others."""
        path = self.work / BEGUN_FILE
        shard = self.options.shard
        fresh = {
            "selection": {**self.selection.facts(), "names": sorted(self.selection.names)},
            "kinds": list(self.options.kinds),
            "shard": str(shard) if shard else None,
            "version": VERSION,
        }
        if self.selection.adql:
            fresh["selection"]["adql"] = self.selection.adql
        if not path.is_file():
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            write_bytes(path, json.dumps({**fresh, "date": today}, indent=1).encode())
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found = {key: found[key] for key in ("selection", "kinds", "shard", "date")}
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(
                f"{path} is damaged ({type(error).__name__}): delete it, and run the same command "
                "again; nothing else is lost"
            ) from None
        changed = [key for key in ("selection", "kinds", "shard") if found[key] != fresh[key]]
        if changed:
            raise BuildError(
                f"{self.work} holds the work of another build ({', '.join(changed)} differ): name "
                "another --work folder"
            )
        return found

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
        """What was found about every source so far."""
        return Literature(self.queue, survey_limit=self.options.survey_limit)

    def wanted_detections(self) -> list[str]:
        """Detections of sources with a paper; surveys count, for which they are shows at the end.

        With `unpaired`, all detections.
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

    def embedder(self) -> Any:
        """The embedder that was named, behind a cache in the work folder; None for none."""
        if self._embedder is None and self.options.embedder is not None:
            from hf_specclip.literature import get_embedder

            self._embedder = get_embedder(
                self.options.embedder,
                cache_dir=self.work / embeddings.CACHE_FOLDER,
                base_url=self.options.embedder_url,
            )
        return self._embedder

    def archive(self) -> SpectrumArchive:
        """The archive, with the work folder's state."""
        if "archive" not in self._clients:
            self._clients["archive"] = SpectrumArchive(
                self._service("Chandra archive", self.services.archive_per_second),
                self.queue,
                self.work,
                url=self.services.archive,
                kinds=self.options.kinds,
                max_disk=self.options.max_disk,
                batch=self.options.batch,
                workers=self.options.workers,
            )
        return self._clients["archive"]

    @property
    def _csc(self) -> TapClient:
        return self._tap(
            "Chandra Source Catalog", self.services.csc_tap, self.services.csc_per_second
        )

    @property
    def _simbad(self) -> TapClient:
        return self._tap("SIMBAD", self.services.simbad_tap, self.services.simbad_per_second)

    @property
    def _ads(self) -> Service:
        if "ads" not in self._clients:
            self._clients["ads"] = ads_service(
                patience=self.services.patience,
                pace_file=self.work / "pace" / "ads",
                per_second=self.services.ads_per_second,
            )
        return self._clients["ads"]

    @property
    def _arxiv(self) -> full_texts.ArxivService:
        if "arxiv" not in self._clients:
            service = self._service("arXiv", self.services.arxiv_per_second)
            self._clients["arxiv"] = full_texts.ArxivService(service, self.services.arxiv)
        return self._clients["arxiv"]

    def _tap(self, name: str, url: str, per_second: float) -> TapClient:
        if name not in self._clients:
            self._clients[name] = TapClient(
                url, self._service(name, per_second), memory=AnswerMemory(self.queue)
            )
        return self._clients[name]

    def _service(self, name: str, per_second: float) -> Service:
        pace = self.work / "pace" / name.lower().replace(" ", "-")
        return Service(name, per_second=per_second, patience=self.services.patience, pace_file=pace)

    def _bar(self, stage: str, title: str) -> _Bar:
        return _Bar(self.queue, stage, title, shown=self.progress)


class _Bar:
    """A progress bar over a stage of the queue, to be called with the number of items done."""

    def __init__(self, queue: WorkQueue, stage: str, title: str, *, shown: bool) -> None:
        states = queue.counts(stage)
        total = sum(states.values())
        left = states["wanted"] + states["claimed"]
        self._bar = tqdm(total=total, initial=total - left, desc=title, disable=not shown)

    def __enter__(self) -> Callable[[int], None]:
        return self._bar.update

    def __exit__(self, *error: object) -> None:
        self._bar.close()


__all__ = ["SHARD_STAGES", "STAGES", "Build", "BuildError", "Options", "Selection", "Services"]
