"""The stages of a build, each of which can be run alone, killed, and run again.

A work folder holds the queue and what was fetched; the dataset is made of it at the end. Stages
find what earlier ones left in the queue, so that the order is all they agree on.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..folder import SpecCLIPDatasetInfo, check_may_write
from ..splits import SURVEY_LIMIT, describe_splits
from . import bibliography, catalogue, counts, simbad, sources, texts
from .ads import ADS, OBJECTS_STAGE, PAPERS_AT_ONCE, PAPERS_STAGE, Ads, ads_service
from .archive import CSCCLI, SpectrumArchive, read_spectra_index
from .archive import STAGE as SPECTRA_STAGE
from .assemble import Assembly, write_assembly
from .catalogue import CSC_TAP, Catalogue, Limits, read_catalogue
from .files import write_whole
from .products import KINDS, detection_id
from .queue import WorkQueue
from .retry import Patience, Service
from .simbad import SIMBAD_TAP
from .summaries import ModelSummariser
from .tap import TapClient
from .texts import ExtractiveSummariser, Summariser, read_summaries, write_summaries

VERSION = "0.1.0"
STAGES = (
    "names",
    "catalogue",
    "objects",
    "papers",
    "spectra",
    "counts",
    "summaries",
    "dataset",
)
QUEUE_FILE = "queue.sqlite"
BEGUN_FILE = "begun.json"
# Abstracts of papers on X-ray sources have about 200 words.
_USUAL_ABSTRACT = "emission " * 160
DESCRIPTION = """\
Detections of the Chandra Source Catalog 2.1 (Evans et al. 2024, ApJS 274, 22) with their spectra
from the Chandra archive, and the papers that SIMBAD (Wenger et al. 2000, A&AS 143, 9) and NASA's
Astrophysics Data System list for their sources. HRC detections are not among them; neither are
those that the catalogue flags as piled up, saturated or on a readout streak. Counts are dealt over
the energy bins by a multinomial draw seeded by the detection. What was not measured is null.
"""


class BuildError(RuntimeError):
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
            "adql": self.adql,
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
    patience: Patience | None = None
    csc_per_second: float = 2.0
    archive_per_second: float = 3.0
    simbad_per_second: float = simbad.PER_SECOND
    ads_per_second: float = 3.0


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
        embedder: see `hf_specclip.literature.get_embedder`, or None for no embeddings.
        seed: of the splits.
        page_rows: rows in a page of the catalogue.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    max_disk: int | None = None
    batch: int = 20
    workers: int = 4
    search_objects: bool = True
    papers_each: int = bibliography.PAPERS_EACH
    survey_limit: int = SURVEY_LIMIT
    embedder: str | None = None
    seed: int = 0
    page_rows: int = catalogue.PAGE_ROWS


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
        self.begun = self._begin()

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
        """From what was asked for to sources of the catalogue."""
        client = self._csc
        wanted = list(self.selection.names)
        if self.selection.otype:
            wanted += simbad.names_of_type(self._simbad, self.selection.otype)
        if self.selection.adql:
            answer = client.query(self.selection.adql, "the ADQL given")
            if answer.rows and "name" not in answer.rows[0]:
                raise BuildError("the ADQL's answer has no column `name`: select m.name AS name")
            wanted += [str(row["name"]) for row in answer.rows]
        sources.want_names(self.queue, wanted)
        with self._bar(sources.STAGE, "names") as bar:
            sources.resolve_names(client, self.queue, bar)

    def catalogue(self) -> None:
        """Every detection of the sources, in pages."""
        fetching = Catalogue(
            self._csc,
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
            fetching.fetch(bar.update)

    def objects(self) -> None:
        """What SIMBAD knows of every source."""
        columns = ("name", "ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
        table = self._usable().select(columns)
        simbad.want_sources(self.queue, {row["name"]: row for row in table.to_pylist()}.values())
        with self._bar(simbad.STAGE, "SIMBAD") as bar:
            simbad.fetch_objects(self._simbad, self.queue, bar)

    def papers(self) -> None:
        """Papers and abstracts from ADS."""
        ads = Ads(self._ads, self.queue, url=self.services.ads)
        bibliography.want_papers(self.queue, ads, search_objects=self.options.search_objects)
        with self._bar(OBJECTS_STAGE, "ADS objects") as bar:
            ads.fetch_objects(bar)
        with self._bar(PAPERS_STAGE, "ADS papers") as bar:
            ads.fetch_papers(bar)

    def spectra(self) -> None:
        """Files from the archive, for detections whose sources have papers of their own."""
        archive = self._archive()
        archive.want(self._wanted_detections())
        with self._bar(SPECTRA_STAGE, "spectra") as bar:
            archive.fetch(bar)

    def counts(self) -> None:
        """Spectra in the contract's bins."""
        counts.want_counts(self.queue, self._spectra_files())
        with tqdm(desc="counts", unit="spectrum", disable=not self.progress) as bar:
            counts.make_counts(self.queue, self.work, bar.update)

    def summaries(self) -> None:
        """Three sections for every source."""
        known = list(self._literature())
        with tqdm(desc="summaries", unit="source", disable=not self.progress) as bar:
            write_summaries(
                self.queue,
                known,
                self.summariser,
                papers_each=self.options.papers_each,
                progress=bar.update,
            )

    def dataset(self, output: str | Path, *, overwrite: bool = False) -> None:
        """The contract's folder."""
        parts = counts.want_counts(self.queue, self._spectra_files())
        if self.queue.counts(counts.STAGE)["wanted"]:
            raise BuildError("spectra are not yet in bins: run the stage `counts` first")
        spectra, unreadable = counts.read_counts(self.queue, self.work, parts)
        literature = {source.name: source for source in self._literature()}
        summaries = read_summaries(self.queue)
        papers = {}
        for item in self.queue.items(texts.STAGE, ["got"]):
            by_id = {paper.id: paper.as_dict() for paper in literature[item.id].papers}
            papers[item.id] = [by_id[code] for code in item.result["papers"]]
        assembly = Assembly(
            self._usable(), spectra, literature, papers, summaries, self._embeddings(summaries)
        )
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
                "services": [
                    self.services.csc_tap,
                    self.services.archive,
                    self.services.simbad_tap,
                    self.services.ads,
                ],
            },
            text_model=self.options.embedder,
            description=f"{DESCRIPTION}\n{self.account(unreadable)}",
        )
        groups, splits = write_assembly(
            output,
            assembly,
            info,
            survey_limit=self.options.survey_limit,
            seed=self.options.seed,
            overwrite=overwrite,
            progress=self.progress,
        )
        if self.progress:
            print(describe_splits(list(groups), list(splits)))

    # -- what became of everything

    def account(self, unreadable: dict[str, str] | None = None) -> str:
        """Where each name, detection and source ended, in sentences."""
        table = read_catalogue(self.work)
        masked = Counter(reason for reason in table["masked"].to_pylist() if reason)
        of = self.queue.counts
        name, spectrum, known = of(sources.STAGE), of(SPECTRA_STAGE), of(simbad.STAGE)
        text = of(texts.STAGE)
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
        sentences.append(
            f"Of {sum(spectrum.values()):,} spectra asked for, {spectrum['got']:,} came, "
            f"{spectrum['absent']:,} are not in the archive and {spectrum['failed']:,} failed; "
            f"{len(unreadable or {}):,} could not be read."
        )
        return " ".join(sentences)

    def forecast(self) -> str:
        """What the rest of the build will take, as far as is known by now."""
        archive = self._archive()
        archive.want(self._wanted_detections(papers_known=False))
        disk = archive.forecast()
        known = self.queue.counts(simbad.STAGE)["got"]
        codes = {
            reference["bibcode"]
            for item in self.queue.items(simbad.STAGE, ["got"])
            for reference in item.result["references"]
        }
        got = set(self.queue.results(PAPERS_STAGE, codes))
        requests = -(-len(codes - got) // PAPERS_AT_ONCE)
        searched = self.queue.counts(OBJECTS_STAGE)
        left = known - searched["got"] - searched["absent"]
        requests += 2 * left if self.options.search_objects else 0
        days = requests / 5000
        return (
            f"spectra: at most {disk}, {disk.seconds / 3600:.2f} h at the least\n"
            f"papers: {len(codes):,} that SIMBAD lists for {known:,} sources, {len(got):,} of them "
            f"are there; about {requests:,} requests to ADS ({days:.2f} days of its allowance)\n"
            f"summaries: {self.summariser.name}{self._forecast_summaries()}"
        )

    def _forecast_summaries(self) -> str:
        """What a model's summaries will take; abstracts that are not there yet as the usual ones.

        Before ADS has been asked, papers are stood for by a text of the usual length.
        """
        if not isinstance(self.summariser, ModelSummariser):
            return " (no cost)"
        done = read_summaries(self.queue)
        pairs = []
        for source in self._literature():
            papers = source.behind_summary(self.options.papers_each)
            if papers and source.name not in done:
                stood = [p if p.abstract else replace(p, abstract=_USUAL_ABSTRACT) for p in papers]
                pairs.append((source, stood))
        return f": {self.summariser.forecast(pairs)}"

    # -- what stages share

    def _begin(self) -> dict[str, Any]:
        """What this work folder is for: written by the first run, compared by all others."""
        path = self.work / BEGUN_FILE
        names = sorted(self.selection.names)
        fresh = {
            "selection": {**self.selection.facts(), "names": names},
            "kinds": list(self.options.kinds),
            "version": VERSION,
        }
        if not path.is_file():
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            write_whole(path, json.dumps({**fresh, "date": today}, indent=1).encode())
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in ("selection", "kinds") if found[key] != fresh[key]]
        if changed:
            raise BuildError(
                f"{self.work} holds the work of another build ({', '.join(changed)} differ): name "
                "another --work folder"
            )
        return found

    def _usable(self) -> Any:
        table = read_catalogue(self.work)
        return table.filter(table["masked"].is_null())

    def _literature(self) -> Any:
        return bibliography.literature(self.queue, survey_limit=self.options.survey_limit)

    def _wanted_detections(self, *, papers_known: bool = True) -> list[str]:
        """Detections of sources that can have a summary: a spectrum without one is no pair."""
        if papers_known:
            with_papers = {s.name for s in self._literature() if s.behind_summary()}
        else:
            with_papers = {
                item.id
                for item in self.queue.items(simbad.STAGE, ["got"])
                if item.result["references"]
            }
        rows = self._usable().select(["name", "obsid", "obi", "region_id"]).to_pylist()
        return sorted(
            detection_id(row["obsid"], row["obi"], row["region_id"])
            for row in rows
            if row["name"] in with_papers
        )

    def _spectra_files(self) -> dict[str, tuple[str, Path]]:
        index = read_spectra_index(self.queue, self.work)
        rows = self._usable().select(["name", "obsid", "obi", "region_id"]).to_pylist()
        found = {}
        for row in rows:
            detection = detection_id(row["obsid"], row["obi"], row["region_id"])
            if detection in index:
                found[detection] = (row["name"], index[detection])
        return found

    def _embeddings(self, summaries: dict[str, dict[str, str | None]]) -> Any:
        if self.options.embedder is None:
            return None
        from hf_specclip.literature import embed_summaries, get_embedder

        names = sorted(summaries)
        embedder = get_embedder(self.options.embedder, cache_dir=self.work / "embeddings")
        vectors = embed_summaries([summaries[n] for n in names], embedder, progress=self.progress)
        return dict(zip(names, np.asarray(vectors, dtype=np.float32), strict=True))

    def _archive(self) -> SpectrumArchive:
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

    def _tap(self, name: str, url: str, per_second: float) -> TapClient:
        if name not in self._clients:
            self._clients[name] = TapClient(url, self._service(name, per_second))
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


__all__ = ["STAGES", "Build", "BuildError", "Options", "Selection", "Services"]
