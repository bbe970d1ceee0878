"""Forecast of a build: requests, bytes, tokens, cost and time, from the data fetched so far."""

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
from .literature.chat_model import BYTES_PER_TOKEN
from .literature.summaries import TYPICAL_OUTPUT_TOKENS, CostForecast, ModelSummariser, SummaryError
from .services import catalogue, full_texts, simbad
from .services.ads import OBJECTS_STAGE, PAPERS_PER_QUERY, PAPERS_STAGE, ads_token
from .services.archive import STAGE as SPECTRA_STAGE
from .services.archive import TYPICAL_BYTES
from .services.catalogue import usable_detections

ADS_DAILY_QUOTA = 5000
# Requests per page of the catalogue (with a redirect), per batch of sources at SIMBAD (names,
# positions, identifiers, hosts, references), and for a missing full text (arXiv, ar5iv, redirect).
_CSC_REQUESTS, _SIMBAD_REQUESTS, _NO_TEXT_REQUESTS = 2, 5, 3
_SAMPLED_TEXTS = 10
# Typical response times of a language model and of OpenAI's embeddings endpoint, s.
_MODEL_SECONDS, _EMBEDDING_SECONDS = 4.0, 2.0
_TEXTS_PER_REQUEST = 512
# JSON overhead of a summary: field names, quotes, one bibcode.
_JSON_TOKENS = 22.0
_ADA_DOLLARS = 0.10  # per million tokens (openai.com/api/pricing)
# Stand-in for an abstract of about 200 words.
_TYPICAL_ABSTRACT = "emission " * 160
_size = partial(tqdm.format_sizeof, suffix="B")

# Evans et al. 2024, ApJS 274, 22.
CSC_SOURCES, CSC_DETECTIONS = 407_806, 1_304_376
# Assumptions for the full catalogue before any download. A dry run on a region is more accurate.
ASSUMED_IN_SIMBAD = 0.4  # fraction of sources in SIMBAD
ASSUMED_PAPERS = 1.0  # distinct papers per source in SIMBAD
ASSUMED_PAPERS_EACH = 5.0  # papers per summary
ASSUMED_OPEN, ASSUMED_TEXT = 0.5, 50_000.0  # fraction of papers with a full text, and its bytes
ASSUMED_SUMMARIES = 0.7  # fraction of the sources in SIMBAD with papers other than surveys


@dataclass(frozen=True)
class Forecast:
    """Remaining work of a build, with its cost and duration."""

    build: Build
    sources: int
    detections: int
    in_simbad: int  # sources in SIMBAD
    papers: int  # distinct papers listed by SIMBAD
    papers_left: int  # of these, not yet fetched
    searches: int  # object searches in ADS
    full_texts: int  # full texts not yet requested
    text_requests: float  # requests per full text
    spectra: int  # detections to download
    bytes_each: float  # per detection
    stored: int  # bytes of the downloaded spectra
    rows: int  # maximum number of pairs in the dataset
    summaries: CostForecast | None  # None for the extractive summariser
    texts: int  # summaries to embed
    text_tokens: float  # per summary
    more_requests: Mapping[str, int]  # of the catalogue stages, by service
    title: str = ""

    @property
    def requests(self) -> dict[str, int]:
        """Remaining requests by service: csc, simbad, ads, arxiv, archive."""
        return {
            **self.more_requests,
            "ads": -(-self.papers_left // PAPERS_PER_QUERY) + self.searches,
            "arxiv": round(self.full_texts * self.text_requests),
            "archive": -(-self.spectra // self.build.options.batch),
        }

    @property
    def spectra_bytes(self) -> float:
        """Bytes still to download."""
        return self.spectra * self.bytes_each

    @property
    def embedding_tokens(self) -> float:
        """Remaining tokens to embed."""
        return self.texts * self.text_tokens if self.build.options.embedder else 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Duration by service, s."""
        options, services, requests = self.build.options, self.build.services, self.requests
        seconds = {
            name: n / getattr(services, f"{name}_per_second") for name, n in requests.items()
        }
        days = max(0, math.ceil(requests["ads"] / ADS_DAILY_QUOTA) - 1)
        seconds["ads"] = max(seconds["ads"], days * 86_400.0)
        n_requests = self.summaries.requests if self.summaries else 0
        model = n_requests * _MODEL_SECONDS / getattr(self.build.summariser, "workers", 1)
        seconds["model"] = min(model, 86_400.0) if options.model_batches else model
        texts = 3 * self.texts if options.embedder else 0
        seconds["embeddings"] = texts / _TEXTS_PER_REQUEST * _EMBEDDING_SECONDS
        return {name: value for name, value in seconds.items() if value}

    def __str__(self) -> str:
        ads, arxiv, archive = (self.requests[name] for name in ("ads", "arxiv", "archive"))
        lines = [
            self.title,
            f"detections: {self.detections:,} of {self.sources:,} sources, {self.in_simbad:,} of "
            "them in SIMBAD",
            f"papers: {self.papers:,} listed by SIMBAD, {self.papers - self.papers_left:,} "
            f"already fetched; about {ads:,} ADS requests ({ads / ADS_DAILY_QUOTA:.2f} daily "
            "quotas)",
            f"full texts: {self.full_texts:,}, about {arxiv:,} requests" if self.full_texts else "",
            f"spectra: {self.spectra:,} detections to download, about "
            f"{_size(self.spectra_bytes)} ({self.bytes_each / 1e3:.0f} kB each), "
            f"{_size(self.stored)} already downloaded; {archive:,} requests",
            f"summaries: {self.summaries or 'extractive, no cost'}",
            self._embeddings(),
            f"dataset: at most {self.rows:,} pairs",
            f"time: about {_duration(sum(self.seconds.values()))} at the request rates: "
            + ", ".join(f"{name} {_duration(s)}" for name, s in self.seconds.items()),
        ]
        return "\n".join(filter(None, lines))

    def _embeddings(self) -> str:
        tokens, model = self.embedding_tokens, self.build.options.embedder or ""
        price = "no cost"
        if model in ("openai", "openai:text-embedding-ada-002"):
            price = f"about ${tokens * _ADA_DOLLARS / 1e6:,.2f}"
        elif model.startswith("openai"):
            price = "price unknown"
        text = f"embeddings: {3 * self.texts:,} texts, about {tokens:,.0f} tokens, {price}"
        return text if model else ""


def sample(build: Build, requests: int = 0) -> None:
    """Fetch a small sample of spectra and papers, to measure their sizes; the build keeps it.

    Args:
        build: after `CATALOGUE_STAGES`.
        requests: number of summaries to request, to measure the output length.
    """
    with build.lock_stages("spectra", "counts", "papers", "full_texts", "summaries"):
        build.archive.enqueue(build.detections_to_fetch())
        if not build.store.ids(SPECTRA_STAGE):
            build.archive.fetch(limit=build.options.batch)
        if ads_token() is None:
            return  # typical abstracts are assumed
        if not build.store.ids(PAPERS_STAGE):
            build.ads.fetch_papers(build.references(), limit=1)
        literature = build.literature()
        if build.options.full_texts and not build.store.ids(full_texts.STAGE):
            ids = (p.id for _, papers in build.pairs(literature) for p in papers if p.abstract)
            build.full_text_client.fetch(itertools.islice(ids, _SAMPLED_TEXTS))
        if requests and isinstance(build.summariser, ModelSummariser):
            pairs = build.pairs_to_summarise(literature)
            with_text = (pair for pair in pairs if any(paper.abstract for paper in pair[1]))
            for source, papers in itertools.islice(with_text, requests):
                with contextlib.suppress(SummaryError):
                    build.summariser.summarise(source, papers)


def forecast(build: Build) -> Forecast:
    """Forecast the remaining work of a build.

    For the full catalogue, assumptions are used until catalogue and SIMBAD have been queried.
    """
    states = [build.store.counts(stage) for stage in (catalogue.STAGE, simbad.STAGE)]
    complete = all(counts["got"] and not counts["wanted"] for counts in states)
    if build.selection.everything and not complete:
        return _forecast_full_catalogue(build)
    return _forecast_from_store(build)


def _forecast_from_store(build: Build) -> Forecast:
    store, options, summariser = build.store, build.options, build.summariser
    build.archive.enqueue(build.detections_to_fetch())
    left, bytes_each, stored = build.archive.forecast()
    names = usable_detections(build.work)["name"].to_pylist()
    in_simbad, searches = store.counts(simbad.STAGE)["got"], 0
    if options.search_objects:
        searched = store.counts(OBJECTS_STAGE)
        searches = in_simbad - sum(searched.values()) + searched["wanted"]
    literature, bibcodes = build.literature(), build.references()
    papers_of = {source.name: {p.id for p in papers} for source, papers in build.pairs(literature)}
    requested, open_fraction, text_bytes, text_requests = _full_text_statistics(build)
    cost = None
    if isinstance(summariser, ModelSummariser):
        abstracts = (paper["abstract"] for _, paper in store.iter_results(PAPERS_STAGE))
        lengths = [len(abstract.encode()) for abstract in abstracts if abstract]
        mean = sum(lengths) / len(lengths) if lengths else float(len(_TYPICAL_ABSTRACT))

        def with_expected_length(paper: RankedPaper) -> RankedPaper:
            size = len(paper.abstract.encode()) if paper.abstract else mean
            if options.full_texts and paper.id not in requested:
                size += open_fraction * (text_bytes - size)
            elif paper.abstract:
                return paper
            repeats = round(size) // len(_TYPICAL_ABSTRACT) + 1
            return replace(paper, abstract=(_TYPICAL_ABSTRACT * repeats)[: round(size)])

        pairs = (
            (source, [*map(with_expected_length, papers)])
            for source, papers in build.pairs_to_summarise(literature)
        )
        cost = summariser.forecast(pairs, batches=options.model_batches)
    texts = [
        " ".join(filter(None, item.result["sections"].values()))
        for item in store.items(summaries.STAGE, ("got",))
        if item.payload["summariser"] == summariser.name
    ]
    output = float(TYPICAL_OUTPUT_TOKENS)
    if cost and cost.requests:
        output = cost.output_tokens / cost.requests
    text_tokens = max(0.0, output - _JSON_TOKENS)
    if texts:
        text_tokens = sum(map(len, texts)) / len(texts) / BYTES_PER_TOKEN
    embedded = store.results(EMBEDDINGS_STAGE, [str(options.embedder)])
    to_embed = len(papers_of)
    if build.embedding_settings in embedded.values():
        to_embed = sum(1 for _ in build.pairs_to_summarise(literature))
    return Forecast(
        build,
        sources=len(set(names)),
        detections=len(names),
        in_simbad=in_simbad,
        papers=len(bibcodes),
        papers_left=len(bibcodes - store.ids(PAPERS_STAGE, "got", "absent", "failed")),
        searches=searches,
        full_texts=len(set().union(*papers_of.values()) - requested) if options.full_texts else 0,
        text_requests=text_requests,
        spectra=left,
        bytes_each=bytes_each,
        stored=stored,
        rows=sum(name in papers_of for name in names),
        summaries=cost,
        texts=to_embed,
        text_tokens=text_tokens,
        more_requests={},
    )


def _full_text_statistics(build: Build) -> tuple[set[str], float, float, float]:
    """Return statistics of the full texts requested so far, or assumptions if there are none.

    Returns:
        Papers, fraction with a full text, mean bytes, mean requests per paper.
    """
    found = dict(build.store.iter_results(full_texts.STAGE))
    absent = list(build.store.items(full_texts.STAGE, ("absent",)))
    n, size = len(found) + len(absent), sum(result["bytes"] for result in found.values())
    if not n:
        requests = ASSUMED_OPEN + (1 - ASSUMED_OPEN) * _NO_TEXT_REQUESTS
        return set(), ASSUMED_OPEN, ASSUMED_TEXT, requests
    sent = len(found) + _NO_TEXT_REQUESTS * sum(bool(item.payload["arxiv"]) for item in absent)
    ids = {*found, *(item.id for item in absent)}
    return ids, len(found) / n, size / max(len(found), 1), sent / n


def _forecast_full_catalogue(build: Build) -> Forecast:
    """Forecast the full catalogue from its published size and the assumptions above."""
    options, summariser = build.options, build.summariser
    in_simbad = round(CSC_SOURCES * ASSUMED_IN_SIMBAD)
    n_summaries, papers = round(in_simbad * ASSUMED_SUMMARIES), round(in_simbad * ASSUMED_PAPERS)
    cost = None
    if isinstance(summariser, ModelSummariser):
        open_fraction = ASSUMED_OPEN if options.full_texts else 0.0
        text = open_fraction * ASSUMED_TEXT + (1 - open_fraction) * len(_TYPICAL_ABSTRACT)
        size = summariser.fixed_bytes + ASSUMED_PAPERS_EACH * text
        tokens = n_summaries * size / BYTES_PER_TOKEN, float(n_summaries * TYPICAL_OUTPUT_TOKENS)
        dollars = summariser.model.price(*tokens, batched=options.model_batches)
        cost = CostForecast(n_summaries, *tokens, dollars)
    pages = -(-CSC_DETECTIONS // catalogue.PAGE_ROWS) + 360 // catalogue.SLICE_DEGREES
    batches = -(-CSC_SOURCES // simbad.SOURCES_PER_QUERY)
    return Forecast(
        build,
        sources=CSC_SOURCES,
        detections=CSC_DETECTIONS,
        in_simbad=in_simbad,
        papers=papers,
        papers_left=papers,
        searches=in_simbad if options.search_objects else 0,
        full_texts=papers if options.full_texts else 0,
        text_requests=_full_text_statistics(build)[3],
        spectra=round(CSC_DETECTIONS * (1.0 if options.unpaired else ASSUMED_IN_SIMBAD)),
        bytes_each=float(sum(TYPICAL_BYTES[kind] for kind in options.kinds)),
        stored=0,
        rows=round(CSC_DETECTIONS * ASSUMED_IN_SIMBAD * ASSUMED_SUMMARIES),
        summaries=cost,
        texts=n_summaries,
        text_tokens=TYPICAL_OUTPUT_TOKENS - _JSON_TOKENS,
        more_requests={"csc": _CSC_REQUESTS * pages, "simbad": _SIMBAD_REQUESTS * batches},
        title="Full Chandra Source Catalog 2.1, before any download: catalogue sizes are known, "
        "the coverage of the literature is assumed",
    )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
