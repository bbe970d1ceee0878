"""Dry run of a build: a forecast from a little that is fetched and kept."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

from hf_specclip.literature.embedders.openai import DEFAULT_MODEL, DIMENSIONS

from ..build import EMBEDDINGS_STAGE, Build
from ..finished import usable_detections
from ..literature import texts
from ..literature.bibliography import Literature
from ..literature.chat_model import BYTES_A_TOKEN
from ..literature.summaries import USUAL_OUTPUT_TOKENS, ModelSummariser, SummaryError
from ..services import catalogue, full_texts, simbad
from ..services.ads import OBJECTS_STAGE, PAPERS_STAGE, ads_token
from ..services.archive import STAGE as SPECTRA_STAGE
from .forecast import Forecast, text_tokens, whole_catalogue
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
        model = isinstance(build.summariser, ModelSummariser)
        self.summariser = build.summariser if model else None

    def sample(self, questions: int = 0) -> None:
        """Fetch a little of the spectra and papers, to know how large they are; it is kept.

        Args:
            questions: to ask the model, too: how long its answers are cannot be known otherwise.
        """
        build = self.build
        build.archive.want(build.wanted_detections())
        if not build.store.ids(SPECTRA_STAGE):
            build.archive.fetch(most=build.options.batch)
        build.counts()
        if ads_token() is None:
            return  # papers are then taken to be as long as usual
        build.want_papers()
        if not build.store.ids(PAPERS_STAGE):
            build.ads.fetch_papers(most=1)
        if questions and self.summariser:
            pairs = build.to_summarise(build.literature())
            known = ((s, p) for s, p in pairs if any(paper.abstract for paper in p))
            for source, papers in itertools.islice(known, questions):
                with contextlib.suppress(SummaryError):
                    self.summariser.summarise(source, papers)

    def forecast(self) -> Forecast:
        """Forecast the rest of the build, as far as is known by now.

        Of the whole catalogue, before SIMBAD was asked about all of it, that is the plan for it.
        """
        store, build, model = self.build.store, self.build, self.summariser
        states = [store.counts(stage) for stage in (catalogue.STAGE, simbad.STAGE)]
        complete = all(of["got"] and not of["wanted"] for of in states)
        if build.selection.everything and not complete:
            plan = whole_catalogue(
                build.options,
                build.services,
                prices=model.model.prices if model else None,
                usual_abstract=len(_USUAL_ABSTRACT),
                usual_output=USUAL_OUTPUT_TOKENS,
                fixed_input=model.fixed_bytes if model else 0,
                text_dim=self._vector_length(),
            )
        else:
            plan = self._count()
        return replace(plan, workers=model.workers if model else 1)

    def _count(self) -> Forecast:
        store, build, options = self.build.store, self.build, self.build.options
        build.archive.want(build.wanted_detections())
        left, bytes_each, stored = build.archive.forecast()
        names = usable_detections(build.work)["name"].to_pylist()
        codes: set[str] = set()
        for _, known in store.got(simbad.STAGE):
            codes.update(reference["bibcode"] for reference in known["references"])
        searched = store.counts(OBJECTS_STAGE)
        known_sources = store.counts(simbad.STAGE)["got"]
        literature = build.literature()
        with_text: set[str] = set()
        behind: set[str] = set()
        titles: list[str] = []  # of a few sources: all papers of a large build fill the memory
        for source in literature:
            papers = source.behind_summary(options.papers_each)
            if papers:
                with_text.add(source.name)
                behind.update(paper.id for paper in papers)
                if len(titles) < SAMPLE and all(paper.title for paper in papers):
                    titles.append(" ".join(f"{paper.id} {paper.title}" for paper in papers))
        cost = None
        if self.summariser is not None:
            abstract = self._usual_abstract()
            pairs = (
                (source, [p if p.abstract else replace(p, abstract=abstract) for p in papers])
                for source, papers in build.to_summarise(literature)
            )
            cost = self.summariser.forecast(pairs, batches=options.model_batches)
        made = [
            " ".join(filter(None, item.result["sections"].values()))
            for item in store.items(texts.STAGE, ("got",))
            if item.payload["summariser"] == build.summariser.name
        ]
        embedded = store.results(EMBEDDINGS_STAGE, [options.embedder]).get(options.embedder)
        to_embed = len(with_text)
        if embedded == build.embedded:
            to_embed = sum(1 for _ in build.to_summarise(literature))
        answer = cost.output_tokens / cost.questions if cost and cost.questions else None
        usual = text_tokens(USUAL_OUTPUT_TOKENS if answer is None else answer)
        read = store.ids(full_texts.STAGE) | store.ids(full_texts.STAGE, "absent")
        return Forecast(
            options,
            build.services,
            sources=len(set(names)),
            detections=len(names),
            known=known_sources,
            searches=(known_sources - searched["got"] - searched["absent"])
            if options.search_objects
            else 0,
            papers=len(codes),
            papers_left=len(codes - store.ids(PAPERS_STAGE)),
            full_texts=len(behind - read) if options.full_texts else 0,
            spectra=left,
            bytes_each=bytes_each,
            stored=stored,
            rows=sum(name in with_text for name in names),
            alone=left + store.counts(SPECTRA_STAGE)["got"],
            summaries=cost,
            told=len(with_text),
            texts=to_embed,
            text_tokens=sum(map(len, made)) / len(made) / BYTES_A_TOKEN if made else usual,
            text_dim=self._vector_length(),
            sizes=measure_sizes(store, made or self._sampled_texts(literature), titles),
            everything=build.selection.everything,
        )

    def _sampled_texts(self, literature: Literature) -> list[str]:
        """Make summaries that cost nothing: extractive ones, or those answered already."""
        found = []
        for source, papers in itertools.islice(self.build.to_summarise(literature), _LOOKED_AT):
            if not any(paper.abstract for paper in papers):
                continue
            if self.summariser and self.summariser.unanswered(source, papers):
                continue
            with contextlib.suppress(SummaryError):
                sections = self.build.summariser.summarise(source, papers)
                found.append(" ".join(filter(None, sections.values())))
        return found

    def _vector_length(self) -> int:
        """Return the length of one section's embedding, without asking a server."""
        kind, _, model = (self.build.options.embedder or "").partition("+")[0].partition(":")
        if kind == "openai":
            return DIMENSIONS.get(model or DEFAULT_MODEL, DIMENSIONS[DEFAULT_MODEL])
        return self.build.embedder.dimension if self.build.embedder else 0

    def _usual_abstract(self) -> str:
        """Return a text as long as the mean abstract fetched so far, or as a usual one."""
        got = self.build.store.got(PAPERS_STAGE)
        lengths = [len(paper["abstract"].encode()) for _, paper in got if paper["abstract"]]
        if not lengths:
            return _USUAL_ABSTRACT
        mean = round(sum(lengths) / len(lengths))
        return (_USUAL_ABSTRACT * (mean // len(_USUAL_ABSTRACT) + 1))[:mean]
