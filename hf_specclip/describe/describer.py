"""Describer: a trained model with its index, experts, classes and outlier detector."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classify.classifier import SourceClassifier
from ..classify.families import rank_classes
from ..classify.probe import SpecCLIPProbe, load_probes
from ..classify.zero_shot import ZeroShotClasses
from ..models.trained_run import find_run
from ..search.index import GALLERY_FOLDER, Hit, IndexFilter, SpecCLIPIndex
from .class_check import check_class
from .description import Description, LiteratureHit, OutlierScore, SimilarSource, Variable
from .hits import literature_hit, papers_of_source, similar_source
from .inputs import SpectrumInput, find_source, read_input, stored_spectrum
from .limitations import find_limitations, instrument_limitations, reasons_to_withhold
from .load_model import PARTS, load_dual_encoder, load_parts
from .neighbours import (
    group_of,
    hits_at_position,
    map_position,
    nearest_per_source,
    position_links,
    stored_map,
)
from .represent import Representations, represent

if TYPE_CHECKING:
    from ..literature import TextEmbedder
    from ..outliers.detector import SpecCLIPOutlierDetector
    from ..search.text_queries import TextQueries
    from ..spectra import XRaySpectrum
    from .answers import Answer

BATCH_SIZE = 64
# Additional spectra searched, since a source may have many spectra and no papers.
_SPARE_HITS = 200
# Temperature for user-defined classes if the model has none; fitted values are similar.
_DEFAULT_TEMPERATURE = 0.2


class Describer:
    """Trained model with its index, mixture of experts, classes and outlier detector.

    Args:
        model: dual encoder (`SpecCLIPModel` or `SpecCLIPEnsembleModel`), in evaluation mode.
        extractor: feature extractor of the model.
        index: gallery of texts and spectra.
        moe: mixture of experts for the physical variables.
        outliers: outlier detector.
        classes: classifier trained on labels, or zero-shot classes.
        zero_shot: classes whose temperature is that of classes named by the user.
        probes: user-trained probes.
        queries: embedder of text queries.
        name: name of the model, for messages.
        notes: notes on the model, added to every description.

    Examples:
        >>> describer = Describer.from_pretrained()
        >>> description = describer.describe("source.pi")
        >>> description.to_dict()["classes"]
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        *,
        index: SpecCLIPIndex | None = None,
        moe: Any = None,
        outliers: SpecCLIPOutlierDetector | None = None,
        classes: ZeroShotClasses | SourceClassifier | None = None,
        zero_shot: ZeroShotClasses | None = None,
        probes: Sequence[SpecCLIPProbe] = (),
        queries: TextQueries | None = None,
        name: str = "model",
        notes: Sequence[str] = (),
    ):
        self.model, self.extractor, self.index = model, extractor, index
        self.moe, self.outliers = moe, outliers
        self.classes, self._zero_shot = classes, zero_shot or classes
        self.probes = tuple(probes)
        self.name, self.notes, self._queries = name, notes, queries
        self._needs_area = extractor.input_kind == "flux"

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        moe: str | os.PathLike[str] | None = None,
        outliers: str | os.PathLike[str] | None = None,
        index: str | os.PathLike[str] | None = None,
        probes: Sequence[str | os.PathLike[str]] = (),
        embedder: TextEmbedder | str | None = None,
        device: str | None = None,
        parts: Collection[str] = PARTS,
        **hub: Any,
    ) -> Describer:
        """Load a model with its index, mixture of experts, outlier detector and classes.

        Args:
            model: a run (`runs/demo`), a model folder (`runs/demo/model`), or `user/name` on the
                Hub; by default the bundled model. The mixture of experts (`moe/`), outlier detector
                (`outliers/`), index (`gallery/`) and classes (`zero_shot/`) are optional; without
                them the corresponding results are omitted.
            moe, outliers, index: folder or `user/name`, if stored elsewhere.
            probes: folders written by `specclip classify --fit`.
            embedder: text embedder or its specification (`get_embedder`), if the one the model
                was trained with cannot be loaded by its recorded name.
            device: device such as `"cuda"`; the CPU by default.
            parts: the `PARTS` to load.
            hub: arguments for the Hub: `revision`, `token`, `local_files_only`, …

        Raises:
            ValueError: if there is no dual encoder, or the embedder is not that of the model.
            FileFormatError, OSError: for damaged files.
        """
        from ..search.text_queries import TextQueries

        if unknown := set(parts) - set(PARTS):
            raise ValueError(f"there is no part {min(unknown)!r}, only {', '.join(PARTS)}")
        run = find_run(model, **hub)
        network, extractor = load_dual_encoder(run)
        if device is not None:
            network.to(device)
        # A token applies to all repositories, a revision only to the repository of the model.
        shared = {key: value for key, value in hub.items() if key != "revision"}
        paths = {"moe": moe, "outliers": outliers, "index": index}
        return cls(
            network,
            extractor,
            probes=load_probes(probes, network, run.name),
            queries=TextQueries(network, embedder, run.model),
            name=run.name,
            notes=run.notes,
            **load_parts(run, network, parts, paths, shared),
        )

    def describe(self, spectrum: Any, *, top_k: int = 5) -> Description:
        """Describe one spectrum.

        Args:
            spectrum: the path of a PHA file, an `XRaySpectrum`, a mapping with `counts` (n_bins,),
                `exposure` (s) and optionally `background_counts`, `background_scale` and
                `effective_area` (cm²), or the name of a source of the index.
            top_k: number of texts and of similar sources.

        Raises:
            ValueError: if the file is not a spectrum.
            OSError: if the file cannot be read, or the name is unknown.
        """
        return next(iter(self.describe_many([spectrum], top_k=top_k)))

    def describe_many(
        self, spectra: Iterable[Any], *, top_k: int = 5, batch_size: int = BATCH_SIZE
    ) -> Iterator[Description]:
        """Describe spectra in batches, in order.

        Args:
            spectra: see `describe`; read on demand.
            top_k: number of texts and of similar sources.
            batch_size: number of spectra per batch.

        Raises:
            ValueError: also for `top_k` or `batch_size` below 1.
        """
        if top_k < 1 or batch_size < 1:
            raise ValueError("top_k and batch_size must be at least 1")
        items = iter(spectra)
        while batch := [self._read(item) for item in islice(items, batch_size)]:
            yield from self._describe(batch, top_k)

    def embed(self, spectra: Iterable[Any]) -> np.ndarray:
        """Embed spectra in the shared space, (n, D) of unit length.

        Raises:
            ValueError: if a spectrum cannot be embedded (see `reasons_to_withhold`).
        """
        return self._represent(self._read_embeddable(spectra)).points

    def embed_with_variables(
        self, spectra: Iterable[Any]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embed spectra; return the embeddings (n, D) and the predicted variables (n,), NaN where
        withheld.
        """
        batch = self._read_embeddable(spectra)
        representations = self._represent(batch)
        rows = [
            {}
            if "variables" in self.reasons_to_withhold(each.spectrum)
            else {v.name: v.value for v in row}
            for each, row in zip(batch, self._variables(batch, representations), strict=True)
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return representations.points, {
            name: np.array([row.get(name, np.nan) for row in rows]) for name in names
        }

    def embed_with_latents(self, spectra: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Embed spectra; return the embeddings (n, D) and the latents of the encoder (n, L)."""
        representations = self._represent(self._read_embeddable(spectra))
        return representations.points, representations.output.spectrum_latent.float().cpu().numpy()

    def probe_inputs(self, spectra: Iterable[Any]) -> dict[str, np.ndarray]:
        """Return the representations that a probe reads, name -> (n, width).

        Raises:
            ValueError: if a spectrum cannot be embedded.
        """
        return self._represent(self._read_embeddable(spectra)).probe_inputs()

    def classify(
        self, spectra: Iterable[Any], classes: Sequence[str] | None = None
    ) -> list[dict[str, float]]:
        """Classify spectra by the classes of the model, or by class names (zero-shot).

        Args:
            spectra: see `describe`.
            classes: labels (`"LMXB"`) or words (`"a white dwarf in outburst"`), if not the model's.

        Returns:
            For each spectrum, class -> probability, largest first; empty if classes are withheld
            (`reasons_to_withhold`).

        Raises:
            ValueError: where neither the caller nor the model names classes.
        """
        chosen = self.classes_for(classes)
        batch = [self._read(item) for item in spectra]
        shares = chosen.predict(self._represent(batch).probe_inputs())
        withheld = ["classes" in self.reasons_to_withhold(item.spectrum) for item in batch]
        ranked = rank_classes(chosen.classes, shares)
        return [{} if no else row for row, no in zip(ranked, withheld, strict=True)]

    def reasons_to_withhold(self, spectrum: XRaySpectrum) -> dict[str, str]:
        """Return the withheld sections of a description, with the reason for each (instrument or
        unknown effective area)."""
        limitations = instrument_limitations(spectrum, needs_area=self._needs_area)
        return reasons_to_withhold(tuple(limitations))

    def classes_for(self, classes: Sequence[str] | None) -> ZeroShotClasses | SourceClassifier:
        """Return the classes of the model, or zero-shot classes of these names.

        Without zero-shot classes there is no fitted temperature: only the order then holds.

        Raises:
            ValueError: where neither the caller nor the model names classes.
        """
        if classes is not None:
            if not classes:
                raise ValueError("no classes given: name two or more")
            temperature = getattr(self._zero_shot, "temperature", _DEFAULT_TEMPERATURE)
            return ZeroShotClasses.from_prompts(classes, self.queries.embed, temperature)
        if self.classes is None:
            raise ValueError(f"{self.name} has no classes: name them (classes=)")
        return self.classes

    def search(
        self,
        text: str,
        *,
        top_k: int = 10,
        kind: str = "spectra",
        where: IndexFilter | None = None,
    ) -> Answer:
        """Search sources or papers by text.

        Args:
            text: query in English, such as `"obscured AGN with NH > 1e22"`.
            top_k: number of results.
            kind: `"spectra"` or `"papers"`.
            where: further conditions on the results.

        Returns:
            The interpreted query, and the sources (each with its observations) or papers found;
            no results if nothing in the query can be searched for.

        Raises:
            ValueError: for a model without index.
        """
        from .answers import answer_question

        index = self.required_index()
        return answer_question(index, self.queries, text, top_k=top_k, kind=kind, where=where)

    def similar_to(
        self,
        name: str,
        *,
        top_k: int = 10,
        kind: str = "spectra",
        where: IndexFilter | None = None,
    ) -> list[LiteratureHit] | list[SimilarSource]:
        """Search spectra or papers similar to a source of the index.

        For an index without texts, papers about the nearest sources are returned.

        Raises:
            KeyError: for an unknown source.
        """
        index = self.required_index()
        if kind == "papers" and not len(index.papers):
            hits = nearest_per_source(index.search_name(name, len(index.spectra), where=where))
            hits = [hit for hit in hits if hit.entry.get("papers")][:top_k]
            return [papers_of_source(replace(hit, rank=rank)) for rank, hit in enumerate(hits, 1)]
        hits = index.search_name(name, top_k, kind=kind, where=where)
        if kind == "spectra":
            return self._similar_sources(hits)
        return [literature_hit(hit) for hit in hits]

    def map_points(self) -> dict[str, Any]:
        """Return the map of the catalogue.

        Returns:
            `positions` (m, 2) float32, and lists along them: `ids`, `names`, `classes` (None where
            unknown), `splits`. Only distances between neighbours are meaningful.

        Raises:
            ValueError: for an index without a map.
        """
        return stored_map(self.required_index())

    def catalogue_spectrum(self, name: str) -> XRaySpectrum:
        """Return a spectrum of the index, by its id or the name of its source (then the brightest).

        Raises:
            KeyError: for an unknown source.
            ValueError: for an index without counts.
        """
        index = self.required_index()
        entries = index.spectra.entries
        row = next((i for i, entry in enumerate(entries) if entry["id"] == name), None)
        return stored_spectrum(index, index.find(name)[0] if row is None else row)[0]

    def has_source(self, name: str) -> bool:
        """Return True for the name of a source of the index."""
        return find_source(self.index, name) is not None

    def required_index(self) -> SpecCLIPIndex:
        """Return the index.

        Raises:
            ValueError: where there is none.
        """
        if self.index is None:
            raise ValueError(
                f"{self.name} has no {GALLERY_FOLDER}/ to search: train with this version, or give "
                "index="
            )
        return self.index

    @property
    def queries(self) -> TextQueries:
        """The embedder of texts in the shared space."""
        if self._queries is None:
            from ..search.text_queries import TextQueries

            self._queries = TextQueries(self.model)
        return self._queries

    def _read(self, item: Any) -> SpectrumInput:
        settings = self.model.config.spectrum_config
        return read_input(item, settings.n_bins, tuple(settings.energy_range), self.index)

    def _read_embeddable(self, spectra: Iterable[Any]) -> list[SpectrumInput]:
        """Read spectra; raise ValueError if the embedding of one is withheld."""
        batch = [self._read(item) for item in spectra]
        for item in batch:
            if (reason := self.reasons_to_withhold(item.spectrum).get("similar")) is not None:
                raise ValueError(f"{item.label or 'spectrum'}: {reason}")
        return batch

    def _represent(self, batch: Sequence[SpectrumInput]) -> Representations:
        return represent(self.model, self.extractor, batch)

    def _describe(self, batch: list[SpectrumInput], top_k: int) -> Iterator[Description]:
        from ..spectra.facts import spectrum_facts

        representations = self._represent(batch)
        points = representations.points
        texts: list[list[Hit]] = [[] for _ in batch]
        neighbours: list[list[Hit]] = [[] for _ in batch]
        if self.index is not None:
            texts = self.index.search(points, top_k)
            if len(self.index.spectra):
                neighbours = self.index.search(points, top_k + _SPARE_HITS, kind="spectra")
        classes: list[dict[str, float]] = [{} for _ in batch]
        if self.classes is not None:
            shares = self.classes.predict(representations.probe_inputs())
            classes = rank_classes(self.classes.classes, shares)
        variables = self._variables(batch, representations)
        probe_answers = [probe.answers(representations.probe_inputs()) for probe in self.probes]
        outliers = self._outlier_scores(batch, representations)
        gallery = {
            "papers": 0 if self.index is None else len(self.index.papers),
            "spectra": 0 if self.index is None else len(self.index.spectra),
        }
        for row, (label, spectrum, _) in enumerate(batch):
            facts = spectrum_facts(spectrum)
            # Simulated sources have no counterparts on the sky.
            simulated = self.index is not None and bool(self.index.about.get("simulated"))
            at_position = [] if simulated else hits_at_position(self.index, facts)
            counterparts = [str(hit.entry.get("source_name")) for hit, _ in at_position]
            near = nearest_per_source(neighbours[row], top_k, counterparts)
            stands_out, class_notes = check_class(self.classes, classes[row], self.index, facts)
            description = Description(
                file=label,
                source=facts,
                model=self.name,
                literature=tuple(literature_hit(hit) for hit in texts[row]),
                at_position=tuple(similar_source(hit, None, gap) for hit, gap in at_position),
                similar=tuple(self._similar_sources(near)),
                classes=classes[row],
                class_stands_out=stands_out,
                variables=variables[row],
                outlier=outliers[row],
                probes=tuple(answers[row] for answers in probe_answers),
                map_position=map_position(self.index, neighbours[row]),
                notes=(*self._notes(spectrum, facts), *class_notes),
                gallery=gallery,
                spectrum=spectrum,
                links={} if simulated and spectrum.path is None else position_links(facts),
                limitations=find_limitations(spectrum, facts, needs_area=self._needs_area),
            )
            yield description.within_limits()

    def _variables(
        self, batch: list[SpectrumInput], representations: Representations
    ) -> list[tuple[Variable, ...]]:
        if self.moe is None:
            return [()] * len(batch)
        from ..models.experts_specclip import LINEAR

        predicted = self.moe.predict(
            self.model,
            [each.columns for each in batch],
            output=representations.output,
            features=representations.features,
        )
        log_scale = dict(
            zip(self.moe.config.variables, (self.moe.scale.kind != LINEAR).tolist(), strict=True)
        )
        return [
            tuple(
                Variable(name=name, log_scale=log_scale[name], **values)
                for name, values in record.items()
                # A variable without training values cannot be estimated.
                if values["value"] is not None
            )
            for record in self.moe.to_records(predicted)
        ]

    def _outlier_scores(
        self, batch: list[SpectrumInput], representations: Representations
    ) -> Sequence[OutlierScore | None]:
        if self.outliers is None:
            return [None] * len(batch)
        from .outlier_scores import score_outliers

        return score_outliers(
            self.outliers,
            batch,
            representations.points,
            [
                group_of(self.index, each.spectrum.source_name or "", row)
                for row, each in enumerate(batch)
            ],
            self.extractor.energy_range,
        )

    def _similar_sources(self, hits: Sequence[Hit]) -> list[SimilarSource]:
        positions = None if self.index is None else self.index.spectra.columns.get("map")
        return [
            similar_source(hit, None if positions is None else positions[hit.row]) for hit in hits
        ]

    def _notes(self, spectrum: XRaySpectrum, facts: Mapping[str, Any]) -> Iterator[str]:
        yield from self.notes
        absent = [part for part in PARTS if getattr(self, part) is None]
        yield from (f"the model has no {PARTS[part]}" for part in absent)
        about = {} if self.index is None else self.index.about
        if about.get("simulated"):
            yield "the model was trained on simulated data: its papers and sources are invented"
        if caveat := about.get("caveat"):
            yield str(caveat)
        if spectrum.background_counts is None and spectrum.hduclas2 != "NET":
            yield "no background spectrum: none subtracted"
        yield from facts["notes"]
