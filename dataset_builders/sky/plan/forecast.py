"""Forecast of a build: requests, bytes, dollars and hours.

Requests and bytes are counted from what is known; what is not is measured on a sample that the
build keeps. Hours are those at the pace agreed with the services, or of the work itself on one
core, whichever is longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..literature.summaries import BATCH_SHARE, BYTES_A_TOKEN, CostForecast
from ..services.ads import PAPERS_AT_ONCE
from ..services.catalogue import NAMES_AT_ONCE, SLICE_DEGREES
from ..services.products import USUAL_BYTES
from ..services.simbad import AT_ONCE as OBJECTS_AT_ONCE
from .row_sizes import RowSizes

if TYPE_CHECKING:
    from ..settings import Options, Services

ADS_A_DAY = 5000
_STAGES = (
    "catalogue",
    "objects",
    "papers",
    "full texts",
    "spectra",
    "counts",
    "summaries",
    "embeddings",
    "dataset",
)
# Seconds of one core for an item of each stage (detections, sources, papers, rows of the dataset),
# measured on a build of 330 detections from local services, on a shared x86 machine.
CORE_SECONDS: Mapping[str, float] = {
    "catalogue": 1.2e-3,
    "objects": 1.0e-3,
    "papers": 5.8e-3,
    "spectra": 2.8e-3,
    "counts": 4.5e-3,
    "summaries": 7.3e-3,
    "dataset": 4.2e-4,
}
# Requests to SIMBAD for each portion: by name, by position, identifiers, hosts, references.
_SIMBAD_REQUESTS = 5
# Seconds of a model for an answer, and of OpenAI for a request of embeddings: usual values.
ANSWER_SECONDS, _VECTORS_SECONDS = 4.0, 2.0
_TEXTS_A_REQUEST = 512
# Of an answer, beside its sections: names of the fields, quotes, one bibcode.
_FORM_TOKENS = 22.0
ADA_DOLLARS = 0.10  # a million tokens (openai.com/api/pricing)

# Evans et al. 2024, ApJS 274, 22.
CSC_SOURCES, CSC_DETECTIONS = 407_806, 1_304_376
# Assumed where nothing was fetched yet; a dry run of a part of the sky says better.
ASSUMED_KNOWN = 0.4  # of the sources, those that SIMBAD knows
ASSUMED_PAPERS = 1.0  # papers a known source, each counted once for all sources
ASSUMED_BEHIND = 5.0  # papers behind a summary
ASSUMED_SUMMARIES = 0.7  # of the known sources, those with a paper that is no survey


@dataclass(frozen=True)
class Numbers:
    """Amounts of work that a build has to do.

    Attributes:
        sources: of the catalogue.
        detections: of the catalogue, all.
        known: sources that SIMBAD knows.
        searches: sources whose papers ADS is still to be asked for.
        papers: that SIMBAD lists, each once.
        papers_left: of those, still to be fetched.
        full_texts: to be asked for.
        spectra: detections whose files are still to be fetched.
        spectra_bytes: of one detection's files.
        stored: bytes of files already there.
        rows: pairs of the dataset, at most.
        alone: spectra of the dataset, with or without a pair.
        summaries: what a model will take; None for the extractive summariser.
        told: sources with a summary, once all is done.
        sizes: of rows in Parquet.
        texts: summaries to embed.
        text_tokens: of one of them.
        text_dim: numbers of one section's embedding; 0 for none.
    """

    sources: int
    detections: int
    known: int
    searches: int
    papers: int
    papers_left: int
    full_texts: int
    spectra: int
    spectra_bytes: float
    stored: int
    rows: int
    alone: int
    summaries: CostForecast | None
    told: int
    sizes: RowSizes
    texts: int
    text_tokens: float
    text_dim: int


@dataclass(frozen=True)
class Forecast:
    """Forecast of a build: requests, bytes, tokens, dollars and seconds.

    Attributes:
        numbers: how much there is to do.
        archive_requests, ads_requests: to come.
        spectra_bytes: that are still to come.
        dataset_bytes: of all configurations.
        embedding_tokens, embedding_dollars: dollars are None where the price is not known.
        seconds: of each stage, with one process.
        core_seconds: of them, how long the processor works.
        title: what it is of.
    """

    numbers: Numbers
    archive_requests: int
    ads_requests: int
    spectra_bytes: float
    dataset_bytes: float
    embedding_tokens: float
    embedding_dollars: float | None
    seconds: Mapping[str, float] = field(default_factory=dict)
    core_seconds: float = 0.0
    title: str = ""

    @property
    def hours(self) -> float:
        """Hours of all stages, one after another."""
        return sum(self.seconds.values()) / 3600

    def __str__(self) -> str:
        n = self.numbers
        lines = [self.title] if self.title else []
        lines.append(
            f"detections: {n.detections:,} of {n.sources:,} sources; {n.known:,} in SIMBAD"
        )
        lines.append(
            f"papers: {n.papers:,} that SIMBAD lists, {n.papers - n.papers_left:,} of them are "
            f"there; about {self.ads_requests:,} requests to ADS "
            f"({self.ads_requests / ADS_A_DAY:.2f} days of its allowance)"
        )
        if n.full_texts:
            lines.append(f"full texts: {n.full_texts:,} to ask arXiv for")
        lines.append(
            f"spectra: {n.spectra:,} detections, about {_size(self.spectra_bytes)} "
            f"({n.spectra_bytes / 1e3:.0f} kB each) beside the {_size(n.stored)} that are there, "
            f"in {self.archive_requests:,} requests"
        )
        lines.append(f"summaries: {n.summaries or 'extractive, no cost'}")
        if n.text_dim:
            cost = self.embedding_dollars
            price = "at an unknown price" if cost is None else f"about ${cost:,.2f}"
            lines.append(
                f"embeddings: {3 * n.texts:,} texts, about {self.embedding_tokens:,.0f} tokens, "
                f"{price}"
            )
        lines.append(
            f"dataset: at most {n.rows:,} pairs and {n.alone:,} spectra, about "
            f"{_size(self.dataset_bytes)}"
        )
        lines.append(
            f"time: about {_duration(sum(self.seconds.values()))} with one process, of which the "
            f"processor works {_duration(self.core_seconds)}: "
            + ", ".join(f"{stage} {_duration(s)}" for stage, s in self.seconds.items())
        )
        return "\n".join(lines)


def forecast_of(
    numbers: Numbers,
    options: Options,
    services: Services,
    *,
    model_workers: int = 4,
    everything: bool = False,
    title: str = "",
) -> Forecast:
    """Compute requests, bytes, dollars and hours from the amounts of work.

    Args:
        numbers: amounts of work.
        options, services: of the build.
        model_workers: questions to the model at once.
        everything: True when the catalogue comes in slices of the sky rather than by name.
        title: first line of the text.
    """
    n = numbers
    archive_requests = -(-n.spectra // options.batch)
    ads_requests = -(-n.papers_left // PAPERS_AT_ONCE) + 2 * n.searches
    tokens = n.texts * n.text_tokens if n.text_dim else 0.0
    dollars: float | None = 0.0
    if n.text_dim and options.embedder and options.embedder.startswith("openai"):
        model = options.embedder.partition("+")[0]
        priced = model in ("openai", "openai:text-embedding-ada-002")
        dollars = tokens * ADA_DOLLARS / 1e6 if priced else None
    pages = -(-n.detections // options.page_rows)
    pages += 360 // SLICE_DEGREES if everything else -(-n.sources // NAMES_AT_ONCE)
    objects_requests = _SIMBAD_REQUESTS * -(-n.sources // OBJECTS_AT_ONCE)
    # Seconds that the services, or their allowances, make a stage wait.
    waits = {
        "catalogue": pages / services.csc_per_second,
        "objects": objects_requests / services.simbad_per_second,
        "papers": max(
            ads_requests / services.ads_per_second,
            (math.ceil(ads_requests / ADS_A_DAY) - 1) * 86_400.0,
        ),
        "spectra": archive_requests / services.archive_per_second,
    }
    if n.full_texts:
        waits["full texts"] = n.full_texts / services.arxiv_per_second
    if n.summaries is not None:
        asking = n.summaries.questions * ANSWER_SECONDS / model_workers
        waits["summaries"] = min(asking, 86_400.0) if options.model_batches else asking
    if n.text_dim:
        waits["embeddings"] = 3 * n.texts / _TEXTS_A_REQUEST * _VECTORS_SECONDS
    items = {
        "catalogue": n.detections,
        "objects": n.sources,
        "papers": n.papers_left,
        "spectra": n.spectra,
        "counts": n.spectra,
        "summaries": n.texts,
        "dataset": (3 if n.text_dim else 2) * n.rows,
    }
    work = {stage: CORE_SECONDS[stage] * number for stage, number in items.items()}
    stages = [stage for stage in _STAGES if stage in waits or stage in work]
    return Forecast(
        numbers=n,
        archive_requests=archive_requests,
        ads_requests=ads_requests,
        spectra_bytes=n.spectra * n.spectra_bytes,
        dataset_bytes=n.sizes.dataset(n.rows, n.alone, n.told, n.text_dim),
        embedding_tokens=tokens,
        embedding_dollars=dollars,
        seconds={stage: max(waits.get(stage, 0.0), work.get(stage, 0.0)) for stage in stages},
        core_seconds=sum(work.values()),
        title=title,
    )


def whole_catalogue(
    options: Options,
    *,
    prices: tuple[float, float] | None,
    usual_abstract: int,
    usual_output: float,
    fixed_input: int,
    text_dim: int,
) -> Numbers:
    """Estimate the amounts of work for the whole catalogue, before anything was fetched.

    Sources, detections and files are counted; what share of them the literature knows is assumed
    (`ASSUMED_…`).

    Args:
        options: of the build.
        prices: of the model for a million tokens in and out; None for no model.
        usual_abstract: bytes.
        usual_output: tokens of an answer.
        fixed_input: bytes of a question beside the papers.
        text_dim: numbers of one section's embedding; 0 for none.
    """
    known = round(CSC_SOURCES * ASSUMED_KNOWN)
    texts = round(known * ASSUMED_SUMMARIES)
    each = float(sum(USUAL_BYTES[kind] for kind in options.kinds))
    wanted = CSC_DETECTIONS if options.unpaired else round(CSC_DETECTIONS * ASSUMED_KNOWN)
    papers = round(known * ASSUMED_PAPERS)
    cost = None
    if prices is not None:
        tokens_in = texts * (fixed_input + ASSUMED_BEHIND * usual_abstract) / BYTES_A_TOKEN
        tokens_out = texts * usual_output
        dollars = (tokens_in * prices[0] + tokens_out * prices[1]) / 1e6
        cost = CostForecast(
            texts, tokens_in, tokens_out, dollars * (BATCH_SHARE if options.model_batches else 1.0)
        )
    return Numbers(
        sources=CSC_SOURCES,
        detections=CSC_DETECTIONS,
        known=known,
        searches=known if options.search_objects else 0,
        papers=papers,
        papers_left=papers,
        full_texts=papers if options.full_texts else 0,
        spectra=wanted,
        spectra_bytes=each,
        stored=0,
        rows=round(CSC_DETECTIONS * ASSUMED_KNOWN * ASSUMED_SUMMARIES),
        alone=wanted,
        summaries=cost,
        told=texts,
        sizes=RowSizes(),
        texts=texts,
        text_tokens=text_tokens(usual_output),
        text_dim=text_dim,
    )


def text_tokens(answer: float) -> float:
    """Estimate the tokens of the three sections in a model's answer of so many."""
    return max(0.0, answer - _FORM_TOKENS)


def _size(n: float) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


__all__ = ["Forecast", "Numbers", "forecast_of", "text_tokens", "whole_catalogue"]
