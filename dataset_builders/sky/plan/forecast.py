"""Forecast of a build: requests, bytes, dollars and hours.

Requests and bytes are counted from what is known; what is not is measured on a sample that the
build keeps. Hours are those at the pace agreed with the services, or of the work itself on one
core, whichever is longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..literature.chat_model import BATCH_SHARE, BYTES_A_TOKEN
from ..literature.summaries import CostForecast
from ..services.ads import PAPERS_AT_ONCE
from ..services.catalogue import NAMES_AT_ONCE, SLICE_DEGREES
from ..services.products import USUAL_BYTES
from ..services.simbad import AT_ONCE as OBJECTS_AT_ONCE
from ..settings import Options, Services
from .row_sizes import RowSizes

ADS_A_DAY = 5000
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
class Forecast:
    """Amounts of work that a build has to do, and what they take.

    Attributes:
        options, services: of the build.
        sources, detections: of the catalogue.
        known: sources that SIMBAD knows.
        searches: sources whose papers ADS is still to be asked for.
        papers: that SIMBAD lists, each once.
        papers_left: of those, still to be fetched.
        full_texts: to be asked for.
        spectra: detections whose files are still to be fetched.
        bytes_each: of one detection's files.
        stored: bytes of files already there.
        rows: pairs of the dataset, at most.
        alone: spectra of the dataset, with or without a pair.
        summaries: cost of a model; None for the extractive summariser.
        told: sources with a summary, once all is done.
        texts: summaries to embed.
        text_tokens: of one of them.
        text_dim: numbers of one section's embedding; 0 for none.
        sizes: of rows in Parquet.
        workers: questions to the model at once.
        everything: True when the catalogue comes in slices of the sky rather than by name.
        title: first line of the text.
    """

    options: Options
    services: Services
    sources: int
    detections: int
    known: int
    searches: int
    papers: int
    papers_left: int
    full_texts: int
    spectra: int
    bytes_each: float
    stored: int
    rows: int
    alone: int
    summaries: CostForecast | None
    told: int
    texts: int
    text_tokens: float
    text_dim: int
    sizes: RowSizes = field(default_factory=RowSizes)
    workers: int = 4
    everything: bool = False
    title: str = ""

    @property
    def archive_requests(self) -> int:
        """Requests to the archive."""
        return -(-self.spectra // self.options.batch)

    @property
    def ads_requests(self) -> int:
        """Requests to ADS: fifty papers each, and one a source."""
        return -(-self.papers_left // PAPERS_AT_ONCE) + self.searches

    @property
    def spectra_bytes(self) -> float:
        """Bytes of spectra that are still to come."""
        return self.spectra * self.bytes_each

    @property
    def dataset_bytes(self) -> float:
        """Bytes of all configurations of the dataset."""
        return self.sizes.dataset(self.rows, self.alone, self.told, self.text_dim)

    @property
    def embedding_tokens(self) -> float:
        """Tokens to embed."""
        return self.texts * self.text_tokens if self.text_dim else 0.0

    @property
    def embedding_dollars(self) -> float | None:
        """Price of the embeddings; None where it is not known."""
        model = (self.options.embedder or "").partition("+")[0]
        if not model.startswith("openai"):
            return 0.0
        priced = model in ("openai", "openai:text-embedding-ada-002")
        return self.embedding_tokens * ADA_DOLLARS / 1e6 if priced else None

    @property
    def core_seconds(self) -> Mapping[str, float]:
        """Seconds that the processor works, by stage."""
        items = {
            "catalogue": self.detections,
            "objects": self.sources,
            "papers": self.papers_left,
            "spectra": self.spectra,
            "counts": self.spectra,
            "summaries": self.texts,
            "dataset": (3 if self.text_dim else 2) * self.rows,
        }
        return {stage: CORE_SECONDS[stage] * number for stage, number in items.items()}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage: of the processor, or those that a service makes it wait."""
        services, requests = self.services, self.ads_requests
        pages = -(-self.detections // self.options.page_rows)
        pages += 360 // SLICE_DEGREES if self.everything else -(-self.sources // NAMES_AT_ONCE)
        objects = _SIMBAD_REQUESTS * -(-self.sources // OBJECTS_AT_ONCE)
        days = max(0, math.ceil(requests / ADS_A_DAY) - 1)
        asking = 0.0
        if self.summaries is not None:
            asking = self.summaries.questions * ANSWER_SECONDS / self.workers
        waits = {
            "catalogue": pages / services.csc_per_second,
            "objects": objects / services.simbad_per_second,
            "papers": max(requests / services.ads_per_second, days * 86_400.0),
            "full texts": self.full_texts / services.arxiv_per_second,
            "spectra": self.archive_requests / services.archive_per_second,
            "counts": 0.0,
            "summaries": min(asking, 86_400.0) if self.options.model_batches else asking,
            "embeddings": 3 * self.texts / _TEXTS_A_REQUEST * _VECTORS_SECONDS
            if self.text_dim
            else 0.0,
            "dataset": 0.0,
        }
        work = self.core_seconds
        longest = {stage: max(wait, work.get(stage, 0.0)) for stage, wait in waits.items()}
        return {stage: s for stage, s in longest.items() if s or stage in work}

    @property
    def hours(self) -> float:
        """Hours of all stages, one after another."""
        return sum(self.seconds.values()) / 3600

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        lines.append(
            f"detections: {self.detections:,} of {self.sources:,} sources; {self.known:,} in SIMBAD"
        )
        lines.append(
            f"papers: {self.papers:,} that SIMBAD lists, {self.papers - self.papers_left:,} of "
            f"them are there; about {self.ads_requests:,} requests to ADS "
            f"({self.ads_requests / ADS_A_DAY:.2f} days of its allowance)"
        )
        if self.full_texts:
            lines.append(f"full texts: {self.full_texts:,} to ask arXiv for")
        lines.append(
            f"spectra: {self.spectra:,} detections, about {_size(self.spectra_bytes)} "
            f"({self.bytes_each / 1e3:.0f} kB each) beside the {_size(self.stored)} that are "
            f"there, in {self.archive_requests:,} requests"
        )
        lines.append(f"summaries: {self.summaries or 'extractive, no cost'}")
        if self.text_dim:
            cost = self.embedding_dollars
            price = "at an unknown price" if cost is None else f"about ${cost:,.2f}"
            lines.append(
                f"embeddings: {3 * self.texts:,} texts, about {self.embedding_tokens:,.0f} tokens, "
                f"{price}"
            )
        lines.append(
            f"dataset: at most {self.rows:,} pairs and {self.alone:,} spectra, about "
            f"{_size(self.dataset_bytes)}"
        )
        lines.append(
            f"time: about {_duration(self.hours * 3600)}, of which the processor works "
            f"{_duration(sum(self.core_seconds.values()))}: "
            + ", ".join(f"{stage} {_duration(s)}" for stage, s in self.seconds.items())
        )
        return "\n".join(lines)


def whole_catalogue(
    options: Options,
    services: Services,
    *,
    prices: tuple[float, float] | None,
    usual_abstract: int,
    usual_output: float,
    fixed_input: int,
    text_dim: int,
) -> Forecast:
    """Forecast the whole catalogue, before anything was fetched.

    Sources, detections and files are counted; what share of them the literature knows is assumed
    (`ASSUMED_…`).

    Args:
        prices: of the model for a million tokens in and out; None for no model.
        usual_abstract: bytes.
        usual_output: tokens of an answer.
        fixed_input: bytes of a question beside the papers.
        text_dim: numbers of one section's embedding; 0 for none.
    """
    known = round(CSC_SOURCES * ASSUMED_KNOWN)
    texts = round(known * ASSUMED_SUMMARIES)
    wanted = CSC_DETECTIONS if options.unpaired else round(CSC_DETECTIONS * ASSUMED_KNOWN)
    papers = round(known * ASSUMED_PAPERS)
    cost = None
    if prices is not None:
        tokens_in = texts * (fixed_input + ASSUMED_BEHIND * usual_abstract) / BYTES_A_TOKEN
        tokens_out = texts * usual_output
        dollars = (tokens_in * prices[0] + tokens_out * prices[1]) / 1e6
        dollars *= BATCH_SHARE if options.model_batches else 1.0
        cost = CostForecast(texts, tokens_in, tokens_out, dollars)
    return Forecast(
        options,
        services,
        sources=CSC_SOURCES,
        detections=CSC_DETECTIONS,
        known=known,
        searches=known if options.search_objects else 0,
        papers=papers,
        papers_left=papers,
        full_texts=papers if options.full_texts else 0,
        spectra=wanted,
        bytes_each=float(sum(USUAL_BYTES[kind] for kind in options.kinds)),
        stored=0,
        rows=round(CSC_DETECTIONS * ASSUMED_KNOWN * ASSUMED_SUMMARIES),
        alone=wanted,
        summaries=cost,
        told=texts,
        texts=texts,
        text_tokens=text_tokens(usual_output),
        text_dim=text_dim,
        everything=True,
        title="The whole Chandra Source Catalog 2.1, before it was fetched (its size is known, "
        "what the literature says of it assumed)",
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
