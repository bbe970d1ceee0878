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
from datetime import timedelta
from functools import partial

from tqdm import tqdm

from .build import EMBEDDINGS_STAGE, Build
from .literature import summaries
from .literature.bibliography import RankedPaper
from .literature.chat_model import BYTES_A_TOKEN
from .literature.summaries import USUAL_OUTPUT_TOKENS, CostForecast, ModelSummariser, SummaryError
from .services import catalogue, full_texts, simbad
from .services.ads import OBJECTS_STAGE, PAPERS_AT_ONCE, PAPERS_STAGE, ads_token
from .services.archive import STAGE as SPECTRA_STAGE
from .services.archive import USUAL_BYTES
from .services.catalogue import usable_detections

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
_size = partial(tqdm.format_sizeof, suffix="B")

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
    """Amounts of work that a build has to do, and what they take."""

    build: Build
    sources: int  # of the catalogue, and their detections
    detections: int
    known: int  # sources that SIMBAD knows
    papers: int  # that SIMBAD lists, each once, and those still to be fetched
    papers_left: int
    searches: int  # of objects at ADS
    full_texts: int  # to be asked for, in so many requests each
    text_requests: float
    spectra: int  # detections whose files are still to be fetched, and bytes of each
    bytes_each: float
    stored: int  # bytes of the spectra that are there
    rows: int  # pairs of the dataset, at most
    summaries: CostForecast | None  # None for the extractive summariser
    texts: int  # summaries to embed, and tokens of each
    text_tokens: float
    more_requests: Mapping[str, int]  # of the first stages, by service
    title: str = ""

    @property
    def requests(self) -> dict[str, int]:
        """Requests still to be sent, by service: csc, simbad, ads, arxiv, archive."""
        return {
            **self.more_requests,
            "ads": -(-self.papers_left // PAPERS_AT_ONCE) + self.searches,
            "arxiv": round(self.full_texts * self.text_requests),
            "archive": -(-self.spectra // self.build.options.batch),
        }

    @property
    def spectra_bytes(self) -> float:
        """Bytes of spectra that are still to come."""
        return self.spectra * self.bytes_each

    @property
    def embedding_tokens(self) -> float:
        """Tokens to embed."""
        return self.texts * self.text_tokens if self.build.options.embedder else 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds for which each service makes the build wait."""
        options, services, requests = self.build.options, self.build.services, self.requests
        seconds = {
            name: n / getattr(services, f"{name}_per_second") for name, n in requests.items()
        }
        days = max(0, math.ceil(requests["ads"] / ADS_A_DAY) - 1)
        seconds["ads"] = max(seconds["ads"], days * 86_400.0)
        asked = self.summaries.questions if self.summaries else 0
        answers = asked * _ANSWER_SECONDS / getattr(self.build.summariser, "workers", 1)
        seconds["model"] = min(answers, 86_400.0) if options.model_batches else answers
        texts = 3 * self.texts if options.embedder else 0
        seconds["embeddings"] = texts / _TEXTS_A_REQUEST * _VECTORS_SECONDS
        return {name: value for name, value in seconds.items() if value}

    def __str__(self) -> str:
        ads, arxiv, archive = (self.requests[name] for name in ("ads", "arxiv", "archive"))
        lines = [
            self.title,
            f"detections: {self.detections:,} of {self.sources:,} sources; {self.known:,} in "
            "SIMBAD",
            f"papers: {self.papers:,} that SIMBAD lists, {self.papers - self.papers_left:,} of "
            f"them are there; about {ads:,} requests to ADS ({ads / ADS_A_DAY:.2f} days of its "
            "allowance)",
            f"full texts: {self.full_texts:,}, in about {arxiv:,} requests"
            if self.full_texts
            else "",
            f"spectra: {self.spectra:,} detections, about {_size(self.spectra_bytes)} "
            f"({self.bytes_each / 1e3:.0f} kB each) beside the {_size(self.stored)} that are "
            f"there, in {archive:,} requests",
            f"summaries: {self.summaries or 'extractive, no cost'}",
            self._embeddings(),
            f"dataset: at most {self.rows:,} pairs",
            f"time: about {_duration(sum(self.seconds.values()))} at the services' pace: "
            + ", ".join(f"{name} {_duration(s)}" for name, s in self.seconds.items()),
        ]
        return "\n".join(filter(None, lines))

    def _embeddings(self) -> str:
        tokens, model = self.embedding_tokens, self.build.options.embedder or ""
        price = "at no cost"
        if model in ("openai", "openai:text-embedding-ada-002"):
            price = f"about ${tokens * _ADA_DOLLARS / 1e6:,.2f}"
        elif model.startswith("openai"):
            price = "at an unknown price"
        text = f"embeddings: {3 * self.texts:,} texts, about {tokens:,.0f} tokens, {price}"
        return text if model else ""


def sample(build: Build, questions: int = 0) -> None:
    """Fetch a little of the spectra and papers, to know how large they are; it is kept.

    Args:
        build: after `ONE_AFTER_ANOTHER`.
        questions: to ask the model, too: how long its answers are cannot be known otherwise.
    """
    with build.alone("spectra", "counts", "papers", "full_texts", "summaries"):
        build.archive.want(build.wanted_detections())
        if not build.store.ids(SPECTRA_STAGE):
            build.archive.fetch(most=build.options.batch)
        if ads_token() is None:
            return  # papers are then taken to be as long as usual
        if not build.store.ids(PAPERS_STAGE):
            build.ads.fetch_papers(build.references(), most=1)
        known = build.literature()
        if build.options.full_texts and not build.store.ids(full_texts.STAGE):
            behind = (p.id for _, papers in build.pairs(known) for p in papers if p.abstract)
            build.open_texts.fetch(itertools.islice(behind, _SAMPLED_TEXTS))
        if questions and isinstance(build.summariser, ModelSummariser):
            pairs = build.to_summarise(known)
            with_text = (pair for pair in pairs if any(paper.abstract for paper in pair[1]))
            for source, papers in itertools.islice(with_text, questions):
                with contextlib.suppress(SummaryError):
                    build.summariser.summarise(source, papers)


def forecast(build: Build) -> Forecast:
    """Forecast the rest of a build, as far as is known by now.

    Of the whole catalogue, before SIMBAD was asked about all of it, that is the plan for it.
    """
    states = [build.store.counts(stage) for stage in (catalogue.STAGE, simbad.STAGE)]
    complete = all(of["got"] and not of["wanted"] for of in states)
    whole = build.selection.everything and not complete
    return _whole_catalogue(build) if whole else _count(build)


def _count(build: Build) -> Forecast:
    store, options, summariser = build.store, build.options, build.summariser
    build.archive.want(build.wanted_detections())
    left, bytes_each, stored = build.archive.forecast()
    names = usable_detections(build.work)["name"].to_pylist()
    known, searched = store.counts(simbad.STAGE)["got"], store.counts(OBJECTS_STAGE)
    searches = known - sum(searched.values()) + searched["wanted"] if options.search_objects else 0
    literature, codes = build.literature(), build.references()
    behind = {source.name: {p.id for p in papers} for source, papers in build.pairs(literature)}
    read, is_open, text_bytes, text_requests = _full_texts(build)
    cost = None
    if isinstance(summariser, ModelSummariser):
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
        cost = summariser.forecast(pairs, batches=options.model_batches)
    made = [
        " ".join(filter(None, item.result["sections"].values()))
        for item in store.items(summaries.STAGE, ("got",))
        if item.payload["summariser"] == summariser.name
    ]
    answer = cost.output_tokens / cost.questions if cost and cost.questions else USUAL_OUTPUT_TOKENS
    text_tokens = max(0.0, answer - _FORM_TOKENS)
    if made:
        text_tokens = sum(map(len, made)) / len(made) / BYTES_A_TOKEN
    embedded = store.results(EMBEDDINGS_STAGE, [str(options.embedder)])
    to_embed = len(behind)
    if build.embedded in embedded.values():
        to_embed = sum(1 for _ in build.to_summarise(literature))
    return Forecast(
        build,
        sources=len(set(names)),
        detections=len(names),
        known=known,
        papers=len(codes),
        papers_left=len(codes - store.ids(PAPERS_STAGE, "got", "absent", "failed")),
        searches=searches,
        full_texts=len(set().union(*behind.values()) - read) if options.full_texts else 0,
        text_requests=text_requests,
        spectra=left,
        bytes_each=bytes_each,
        stored=stored,
        rows=sum(name in behind for name in names),
        summaries=cost,
        texts=to_embed,
        text_tokens=text_tokens,
        more_requests={},
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
    n_summaries, papers = round(known * ASSUMED_SUMMARIES), round(known * ASSUMED_PAPERS)
    cost = None
    if isinstance(summariser, ModelSummariser):
        is_open = ASSUMED_OPEN if options.full_texts else 0.0
        text = is_open * ASSUMED_TEXT + (1 - is_open) * len(_USUAL_ABSTRACT)
        size = summariser.fixed_bytes + ASSUMED_BEHIND * text
        tokens = n_summaries * size / BYTES_A_TOKEN, float(n_summaries * USUAL_OUTPUT_TOKENS)
        dollars = summariser.model.dollars(*tokens, batched=options.model_batches)
        cost = CostForecast(n_summaries, *tokens, dollars)
    pages = -(-CSC_DETECTIONS // catalogue.PAGE_ROWS) + 360 // catalogue.SLICE_DEGREES
    portions = -(-CSC_SOURCES // simbad.AT_ONCE)
    return Forecast(
        build,
        sources=CSC_SOURCES,
        detections=CSC_DETECTIONS,
        known=known,
        papers=papers,
        papers_left=papers,
        searches=known if options.search_objects else 0,
        full_texts=papers if options.full_texts else 0,
        text_requests=_full_texts(build)[3],
        spectra=round(CSC_DETECTIONS * (1.0 if options.unpaired else ASSUMED_KNOWN)),
        bytes_each=float(sum(USUAL_BYTES[kind] for kind in options.kinds)),
        stored=0,
        rows=round(CSC_DETECTIONS * ASSUMED_KNOWN * ASSUMED_SUMMARIES),
        summaries=cost,
        texts=n_summaries,
        text_tokens=USUAL_OUTPUT_TOKENS - _FORM_TOKENS,
        more_requests={"csc": _CSC_REQUESTS * pages, "simbad": _SIMBAD_REQUESTS * portions},
        title="The whole Chandra Source Catalog 2.1, before it was fetched (its size is known, "
        "what the literature says of it assumed)",
    )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
