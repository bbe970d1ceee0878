"""Plan of a build: requests, bytes, tokens, dollars and hours.

Requests and bytes are counted from what is known; what is not is measured on a sample that the
build keeps. Hours are those at the pace agreed with the services.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .build import EMBEDDINGS_STAGE, Build
from .literature import texts
from .literature.chat_model import BATCH_SHARE, BYTES_A_TOKEN
from .literature.ranking import RankedPaper
from .literature.summaries import (
    USUAL_OUTPUT_TOKENS,
    CostForecast,
    ModelSummariser,
    SummaryError,
)
from .services import catalogue, full_texts, simbad
from .services.ads import OBJECTS_STAGE, PAPERS_AT_ONCE, PAPERS_STAGE, ads_token
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import usable_detections
from .services.products import USUAL_BYTES
from .settings import Options, Services

# The first stages cost nothing and tell most.
FIRST_STAGES = ("names", "catalogue", "objects")
ADS_A_DAY = 5000
# A page of the catalogue, which is answered with a redirect; a portion of sources at SIMBAD (by
# name, by position, identifiers, hosts, references); a full text: one where arXiv has it, else
# three, with ar5iv and its redirect.
_CSC_REQUESTS, _SIMBAD_REQUESTS, _NO_TEXT_REQUESTS = 2, 5, 3
_SAMPLED_TEXTS = 10
# Seconds of a model for an answer, and of OpenAI for a request of embeddings: usual values.
_ANSWER_SECONDS, _VECTORS_SECONDS = 4.0, 2.0
_TEXTS_A_REQUEST = 512
# Of an answer, beside its sections: names of the fields, quotes, one bibcode.
_FORM_TOKENS = 22.0
_ADA_DOLLARS = 0.10  # a million tokens (openai.com/api/pricing)
# Abstracts of papers on X-ray sources have about 200 words.
_USUAL_ABSTRACT = "emission " * 160

# Evans et al. 2024, ApJS 274, 22.
CSC_SOURCES, CSC_DETECTIONS = 407_806, 1_304_376
# Assumed where nothing was fetched yet; a dry run of a part of the sky says better.
ASSUMED_KNOWN = 0.4  # of the sources, those that SIMBAD knows
ASSUMED_PAPERS = 1.0  # papers a known source, each counted once for all sources
ASSUMED_BEHIND = 5.0  # papers behind a summary
ASSUMED_OPEN, ASSUMED_TEXT = 0.5, 50_000.0  # of the papers, those with a text, and its bytes
ASSUMED_SUMMARIES = 0.7  # of the known sources, those with a paper that is no survey


@dataclass(frozen=True)
class Forecast:
    """Amounts of work that a build has to do, and what they take.

    Attributes:
        options, services: of the build.
        sources, detections: of the catalogue.
        known: sources that SIMBAD knows.
        papers, papers_left: that SIMBAD lists, each once, and those still to be fetched.
        requests: still to be sent, by service: csc, simbad, ads, arxiv, archive.
        full_texts: to be asked for.
        spectra: detections whose files are still to be fetched.
        bytes_each, stored: bytes of one detection's files, and of those already there.
        rows: pairs of the dataset, at most.
        summaries: cost of a model; None for the extractive summariser.
        texts: summaries to embed.
        text_tokens: of one of them.
        workers: questions to the model at once.
        title: first line of the text.
    """

    options: Options
    services: Services
    sources: int
    detections: int
    known: int
    papers: int
    papers_left: int
    requests: Mapping[str, int]
    full_texts: int
    spectra: int
    bytes_each: float
    stored: int
    rows: int
    summaries: CostForecast | None
    texts: int
    text_tokens: float
    workers: int = 1
    title: str = ""

    @property
    def spectra_bytes(self) -> float:
        """Bytes of spectra that are still to come."""
        return self.spectra * self.bytes_each

    @property
    def embedding_tokens(self) -> float:
        """Tokens to embed."""
        return self.texts * self.text_tokens if self.options.embedder else 0.0

    @property
    def embedding_dollars(self) -> float | None:
        """Price of the embeddings; None where it is not known."""
        model = (self.options.embedder or "").partition("+")[0]
        if not model.startswith("openai"):
            return 0.0
        priced = model in ("openai", "openai:text-embedding-ada-002")
        return self.embedding_tokens * _ADA_DOLLARS / 1e6 if priced else None

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds for which each service makes the build wait."""
        seconds = {
            name: n / getattr(self.services, f"{name}_per_second")
            for name, n in self.requests.items()
        }
        days = max(0, math.ceil(self.requests["ads"] / ADS_A_DAY) - 1)
        seconds["ads"] = max(seconds["ads"], days * 86_400.0)
        asked = self.summaries.questions if self.summaries else 0
        answers = asked * _ANSWER_SECONDS / self.workers
        seconds["model"] = min(answers, 86_400.0) if self.options.model_batches else answers
        texts = 3 * self.texts if self.options.embedder else 0
        seconds["embeddings"] = texts / _TEXTS_A_REQUEST * _VECTORS_SECONDS
        return {name: value for name, value in seconds.items() if value}

    def __str__(self) -> str:
        ads, cost = self.requests["ads"], self.embedding_dollars
        price = "at an unknown price" if cost is None else f"about ${cost:,.2f}"
        lines = [
            self.title,
            f"detections: {self.detections:,} of {self.sources:,} sources; {self.known:,} in "
            "SIMBAD",
            f"papers: {self.papers:,} that SIMBAD lists, {self.papers - self.papers_left:,} of "
            f"them are there; about {ads:,} requests to ADS ({ads / ADS_A_DAY:.2f} days of its "
            "allowance)",
            f"full texts: {self.full_texts:,}, in about {self.requests['arxiv']:,} requests"
            if self.full_texts
            else "",
            f"spectra: {self.spectra:,} detections, about {_size(self.spectra_bytes)} "
            f"({self.bytes_each / 1e3:.0f} kB each) beside the {_size(self.stored)} that are "
            f"there, in {self.requests['archive']:,} requests",
            f"summaries: {self.summaries or 'extractive, no cost'}",
            f"embeddings: {3 * self.texts:,} texts, about {self.embedding_tokens:,.0f} tokens, "
            f"{price}"
            if self.options.embedder
            else "",
            f"dataset: at most {self.rows:,} pairs",
            f"time: about {_duration(sum(self.seconds.values()))} at the services' pace: "
            + ", ".join(f"{name} {_duration(s)}" for name, s in self.seconds.items()),
        ]
        return "\n".join(filter(None, lines))


def sample(build: Build, questions: int = 0) -> None:
    """Fetch a little of the spectra and papers, to know how large they are; it is kept.

    Args:
        build: after `FIRST_STAGES`.
        questions: to ask the model, too: how long its answers are cannot be known otherwise.
    """
    with build.alone("spectra", "counts", "papers", "full_texts", "summaries"):
        build.archive.want(build.wanted_detections())
        if not build.store.ids(SPECTRA_STAGE):
            build.archive.fetch(most=build.options.batch)
        if ads_token() is None:
            return  # papers are then taken to be as long as usual
        build.want_papers()
        if not build.store.ids(PAPERS_STAGE):
            build.ads.fetch_papers(most=1)
        if build.options.full_texts and not build.store.ids(full_texts.STAGE):
            behind = (
                paper.id
                for source in build.literature()
                for paper in source.behind_summary(build.options.papers_each)
                if paper.abstract
            )
            build.open_texts.want(itertools.islice(behind, _SAMPLED_TEXTS))
            build.open_texts.fetch()
        if questions and isinstance(build.summariser, ModelSummariser):
            pairs = build.to_summarise(build.literature())
            known = ((s, p) for s, p in pairs if any(paper.abstract for paper in p))
            for source, papers in itertools.islice(known, questions):
                with contextlib.suppress(SummaryError):
                    build.summariser.summarise(source, papers)


def forecast(build: Build) -> Forecast:
    """Forecast the rest of a build, as far as is known by now.

    Of the whole catalogue, before SIMBAD was asked about all of it, that is the plan for it.
    """
    states = [build.store.counts(stage) for stage in (catalogue.STAGE, simbad.STAGE)]
    complete = all(of["got"] and not of["wanted"] for of in states)
    plan = _whole_catalogue if build.selection.everything and not complete else _count
    return replace(plan(build), workers=getattr(build.summariser, "workers", 1))


def _count(build: Build) -> Forecast:
    store, options = build.store, build.options
    build.archive.want(build.wanted_detections())
    left, bytes_each, stored = build.archive.forecast()
    names = usable_detections(build.work)["name"].to_pylist()
    codes = {r["bibcode"] for _, known in store.got(simbad.STAGE) for r in known["references"]}
    known, searched = store.counts(simbad.STAGE)["got"], store.counts(OBJECTS_STAGE)
    searches = known - sum(searched.values()) + searched["wanted"] if options.search_objects else 0
    literature = build.literature()
    with_text: set[str] = set()
    behind: set[str] = set()
    for source in literature:
        papers = source.behind_summary(options.papers_each)
        with_text.update([source.name] if papers else [])
        behind.update(paper.id for paper in papers)
    read, is_open, text_bytes, text_requests = _full_texts(build)
    cost = None
    if isinstance(build.summariser, ModelSummariser):
        got = (paper["abstract"] for _, paper in store.got(PAPERS_STAGE))
        lengths = [len(abstract.encode()) for abstract in got if abstract]
        mean = sum(lengths) / len(lengths) if lengths else float(len(_USUAL_ABSTRACT))

        def expected(paper: RankedPaper) -> RankedPaper:
            size = len(paper.abstract.encode()) if paper.abstract else mean
            if options.full_texts and paper.id not in read:
                size += is_open * (text_bytes - size)
            elif paper.abstract:
                return paper
            repeats = round(size) // len(_USUAL_ABSTRACT) + 1
            return replace(paper, abstract=(_USUAL_ABSTRACT * repeats)[: round(size)])

        pairs = ((s, [*map(expected, papers)]) for s, papers in build.to_summarise(literature))
        cost = build.summariser.forecast(pairs, batches=options.model_batches)
    made = [
        " ".join(filter(None, item.result["sections"].values()))
        for item in store.items(texts.STAGE, ("got",))
        if item.payload["summariser"] == build.summariser.name
    ]
    embedded = store.results(EMBEDDINGS_STAGE, [str(options.embedder)])
    to_embed = len(with_text)
    if build.embedded in embedded.values():
        to_embed = sum(1 for _ in build.to_summarise(literature))
    answer = cost.output_tokens / cost.questions if cost and cost.questions else USUAL_OUTPUT_TOKENS
    to_read = len(behind - read) if options.full_texts else 0
    states = ("got", "absent", "failed")
    papers_left = len(codes.difference(*(store.ids(PAPERS_STAGE, state) for state in states)))
    return Forecast(
        options,
        build.services,
        sources=len(set(names)),
        detections=len(names),
        known=known,
        papers=len(codes),
        papers_left=papers_left,
        requests={
            "ads": -(-papers_left // PAPERS_AT_ONCE) + searches,
            "arxiv": round(to_read * text_requests),
            "archive": -(-left // options.batch),
        },
        full_texts=to_read,
        spectra=left,
        bytes_each=bytes_each,
        stored=stored,
        rows=sum(name in with_text for name in names),
        summaries=cost,
        texts=to_embed,
        text_tokens=sum(map(len, made)) / len(made) / BYTES_A_TOKEN
        if made
        else max(0.0, answer - _FORM_TOKENS),
    )


def _full_texts(build: Build) -> tuple[set[str], float, float, float]:
    """Return the papers whose full text was asked for, and of these: share open, bytes, requests.

    The last three are assumed where none was asked for.
    """
    got = dict(build.store.got(full_texts.STAGE))
    absent = list(build.store.items(full_texts.STAGE, ("absent",)))
    n, size = len(got) + len(absent), sum(result["bytes"] for result in got.values())
    if not n:
        requests = ASSUMED_OPEN + (1 - ASSUMED_OPEN) * _NO_TEXT_REQUESTS
        return set(), ASSUMED_OPEN, ASSUMED_TEXT, requests
    sent = len(got) + _NO_TEXT_REQUESTS * sum(bool(item.payload["arxiv"]) for item in absent)
    ids = {*got, *(item.id for item in absent)}
    return ids, len(got) / n, size / max(len(got), 1), sent / n


def _whole_catalogue(build: Build) -> Forecast:
    """Forecast the whole catalogue, before anything was fetched.

    Sources, detections and files are counted; what share of them the literature knows is assumed
    (`ASSUMED_…`).
    """
    options, summariser = build.options, build.summariser
    known = round(CSC_SOURCES * ASSUMED_KNOWN)
    summaries = round(known * ASSUMED_SUMMARIES)
    wanted = CSC_DETECTIONS if options.unpaired else round(CSC_DETECTIONS * ASSUMED_KNOWN)
    papers = round(known * ASSUMED_PAPERS)
    cost = None
    if isinstance(summariser, ModelSummariser):
        text = ASSUMED_OPEN * ASSUMED_TEXT if options.full_texts else 0.0
        text += (1 - ASSUMED_OPEN * options.full_texts) * len(_USUAL_ABSTRACT)
        size = summariser.fixed_bytes + ASSUMED_BEHIND * text
        tokens = summaries * size / BYTES_A_TOKEN, float(summaries * USUAL_OUTPUT_TOKENS)
        dollars = summariser.model.dollars(*tokens)
        if dollars is not None and options.model_batches:
            dollars *= BATCH_SHARE
        cost = CostForecast(summaries, *tokens, dollars)
    pages = -(-CSC_DETECTIONS // catalogue.PAGE_ROWS) + 360 // catalogue.SLICE_DEGREES
    texts_wanted = papers if options.full_texts else 0
    return Forecast(
        options,
        build.services,
        sources=CSC_SOURCES,
        detections=CSC_DETECTIONS,
        known=known,
        papers=papers,
        papers_left=papers,
        requests={
            "csc": _CSC_REQUESTS * pages,
            "simbad": _SIMBAD_REQUESTS * -(-CSC_SOURCES // simbad.AT_ONCE),
            "ads": -(-papers // PAPERS_AT_ONCE) + (known if options.search_objects else 0),
            "arxiv": round(texts_wanted * _full_texts(build)[3]),
            "archive": -(-wanted // options.batch),
        },
        full_texts=texts_wanted,
        spectra=wanted,
        bytes_each=float(sum(USUAL_BYTES[kind] for kind in options.kinds)),
        stored=0,
        rows=round(CSC_DETECTIONS * ASSUMED_KNOWN * ASSUMED_SUMMARIES),
        summaries=cost,
        texts=summaries,
        text_tokens=USUAL_OUTPUT_TOKENS - _FORM_TOKENS,
        title="The whole Chandra Source Catalog 2.1, before it was fetched (its size is known, "
        "what the literature says of it assumed)",
    )


def _size(n: float) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
