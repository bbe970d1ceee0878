"""Dry run of a build: a forecast from a little that is fetched and kept."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from typing import Any

from hf_specclip.literature.embedders.openai import DEFAULT_MODEL, DIMENSIONS

from ..build import Build
from ..finished import usable_detections
from ..literature import embeddings
from ..literature.bibliography import Literature
from ..literature.summaries import BYTES_A_TOKEN, USUAL_OUTPUT_TOKENS, ModelSummariser, SummaryError
from ..literature.texts import read_summaries
from ..services import catalogue, full_texts, simbad
from ..services.ads import OBJECTS_STAGE, PAPERS_STAGE, ads_token
from ..services.archive import STAGE as SPECTRA_STAGE
from .forecast import Forecast, Numbers, forecast_of, text_tokens, whole_catalogue
from .row_sizes import SAMPLE, measure_sizes

# The first stages cost nothing and tell most.
FIRST_STAGES = ("names", "catalogue", "objects")
# Abstracts of papers on X-ray sources have about 200 words.
_USUAL_ABSTRACT = "emission " * 160
# Sources whose summary is looked for, to know how long one is.
_LOOKED_AT = 50


class DryRun:
    """Dry run of a build.

    Args:
        build: after `FIRST_STAGES`; or, of the whole catalogue, before anything was fetched.
    """

    def __init__(self, build: Build) -> None:
        self.build = build

    def sample(self, questions: int = 0) -> None:
        """Fetch a little of the spectra and papers, to know how large they are; it is kept.

        Args:
            questions: to ask the model, too: how long its answers are cannot be known otherwise.
        """
        archive = self.build.clients.archive
        archive.want(self.build.wanted_detections())
        if not self.build.queue.counts(SPECTRA_STAGE)["got"]:
            archive.fetch(most=self.build.options.batch)
        self.build.counts()
        if ads_token() is None:
            return  # papers are then taken to be as long as usual
        ads = self.build.want_papers()
        if not self.build.queue.counts(PAPERS_STAGE)["got"]:
            ads.fetch_papers(most=1)
        if questions and isinstance(self.build.summariser, ModelSummariser):
            some = (pair for pair in self.build.to_summarise(self.build.literature()))
            known = ((s, p) for s, p in some if any(paper.abstract for paper in p))
            for source, papers in itertools.islice(known, questions):
                with contextlib.suppress(SummaryError):
                    self.build.summariser.summarise(source, papers)

    def forecast(self) -> Forecast:
        """Forecast the rest of the build, as far as is known by now.

        Of the whole catalogue, before SIMBAD was asked about all of it, that is the plan for it.
        """
        model = (
            self.build.summariser if isinstance(self.build.summariser, ModelSummariser) else None
        )
        settings: dict[str, Any] = {
            "model_workers": model.workers if model else 1,
            "everything": self.build.selection.everything,
        }
        states = self.build.queue.counts(catalogue.STAGE)
        asked = self.build.queue.counts(simbad.STAGE)
        whole = (
            states["got"]
            and asked["got"]
            and not any(of[state] for of in (states, asked) for state in ("wanted", "claimed"))
        )
        if self.build.selection.everything and not whole:
            numbers = whole_catalogue(
                self.build.options,
                prices=model.prices if model else None,
                usual_abstract=len(_USUAL_ABSTRACT),
                usual_output=USUAL_OUTPUT_TOKENS,
                fixed_input=model.fixed_bytes if model else 0,
                text_dim=self._vector_length(),
            )
            title = (
                "The whole Chandra Source Catalog 2.1, before it was fetched (its size is "
                "known, what the literature says of it assumed)"
            )
            return forecast_of(
                numbers, self.build.options, self.build.services, title=title, **settings
            )
        return forecast_of(
            self._numbers(model), self.build.options, self.build.services, **settings
        )

    def _numbers(self, model: ModelSummariser | None) -> Numbers:
        archive = self.build.clients.archive
        archive.want(self.build.wanted_detections())
        disk = archive.forecast()
        table = usable_detections(self.build.work)
        codes: set[str] = set()
        for item in self.build.queue.items(simbad.STAGE, ["got"]):
            codes.update(reference["bibcode"] for reference in item.result["references"])
        got = set(self.build.queue.results(PAPERS_STAGE, codes))
        searched = self.build.queue.counts(OBJECTS_STAGE)
        known = self.build.queue.counts(simbad.STAGE)["got"]
        left = known - searched["got"] - searched["absent"]
        literature = self.build.literature()
        with_text: set[str] = set()
        titles: list[str] = []  # of a few sources: all papers of a large build fill the memory
        for source in literature:
            papers = source.behind_summary(self.build.options.papers_each)
            if papers:
                with_text.add(source.name)
                if len(titles) < SAMPLE and all(paper.title for paper in papers):
                    titles.append(" ".join(f"{paper.id} {paper.title}" for paper in papers))
        done = read_summaries(self.build.queue)
        cost = None
        if model is not None:
            abstract = self._usual_abstract()
            pairs = (
                (source, [p if p.abstract else replace(p, abstract=abstract) for p in papers])
                for source, papers in self.build.to_summarise(literature)
            )
            cost = model.forecast(pairs, batches=self.build.options.model_batches)
        made = [" ".join(filter(None, sections.values())) for sections in done.values()]
        answer = cost.output_tokens / cost.questions if cost and cost.questions else None
        usual = text_tokens(USUAL_OUTPUT_TOKENS if answer is None else answer)
        embedded = self.build.queue.counts(embeddings.STAGE)["got"]
        return Numbers(
            sources=len(set(table["name"].to_pylist())),
            detections=len(table),
            known=known,
            searches=left if self.build.options.search_objects else 0,
            papers=len(codes),
            papers_left=len(codes - got),
            full_texts=self._full_texts_left(literature),
            spectra=disk.detections,
            spectra_bytes=disk.bytes_each,
            stored=disk.bytes_stored,
            rows=sum(name in with_text for name in table["name"].to_pylist()),
            alone=disk.detections + self.build.queue.counts(SPECTRA_STAGE)["got"],
            summaries=cost,
            told=len(with_text),
            sizes=measure_sizes(
                self.build.queue,
                self.build.work,
                made or self._sampled_texts(literature),
                titles,
            ),
            texts=0 if embedded else len(with_text),
            text_tokens=sum(map(len, made)) / len(made) / BYTES_A_TOKEN if made else usual,
            text_dim=self._vector_length(),
        )

    def _sampled_texts(self, literature: Literature) -> list[str]:
        """Make summaries that cost nothing: extractive ones, or those answered already."""
        summariser, found = self.build.summariser, []
        for source, papers in itertools.islice(self.build.to_summarise(literature), _LOOKED_AT):
            if not any(paper.abstract for paper in papers):
                continue
            if isinstance(summariser, ModelSummariser) and summariser.unanswered(source, papers):
                continue
            with contextlib.suppress(SummaryError):
                found.append(" ".join(filter(None, summariser.summarise(source, papers).values())))
        return found

    def _vector_length(self) -> int:
        """Return the length of one section's embedding, without asking a server."""
        kind, _, model = (self.build.options.embedder or "").partition("+")[0].partition(":")
        if kind == "openai":
            return DIMENSIONS.get(model or DEFAULT_MODEL, DIMENSIONS[DEFAULT_MODEL])
        return self.build.clients.embedder.dimension if kind else 0

    def _full_texts_left(self, literature: Literature) -> int:
        if not self.build.options.full_texts:
            return 0
        wanted = {
            paper.id
            for source in literature
            for paper in source.behind_summary(self.build.options.papers_each)
        }
        states = self.build.queue.counts(full_texts.STAGE)
        return max(0, len(wanted) - states["got"] - states["absent"])

    def _usual_abstract(self) -> str:
        """Return a text as long as the mean abstract fetched so far, or as a usual one."""
        lengths = [
            len(item.result["abstract"].encode())
            for item in self.build.queue.items(PAPERS_STAGE, ["got"])
            if item.result["abstract"]
        ]
        if not lengths:
            return _USUAL_ABSTRACT
        mean = round(sum(lengths) / len(lengths))
        return (_USUAL_ABSTRACT * (mean // len(_USUAL_ABSTRACT) + 1))[:mean]


__all__ = ["FIRST_STAGES", "DryRun"]
