"""Everything a trained model says of a spectrum: the product in one call.

describer = Describer.from_pretrained("runs/demo")
print(describer.describe("source.pi"))
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classify.zero_shot import CONFIG_FILE as CLASSES_FILE
from ..classify.zero_shot import ZERO_SHOT_FOLDER, ZeroShotClasses
from ..models.configuration_specclip import describing_kind
from ..models.trained_run import TrainedRun, find_run
from ..search.files import ENTRIES_FILE
from ..search.index import GALLERY_FOLDER, Hit, IndexFilter, SpecCLIPIndex, paper_url
from ..search.map import place_between
from .description import Description, LiteratureHit, OutlierScore, Paper, SimilarSource, Variable
from .load_model import load_from

if TYPE_CHECKING:
    from ..literature import TextEmbedder
    from ..outliers.detector import OutlierRows, SpecCLIPOutlierDetector
    from ..search.text_queries import TextQueries
    from ..spectra import XRaySpectrum

PARTS = ("index", "moe", "outliers", "classes")
BATCH_SIZE = 64
# Neighbours that a place on the map is the weighted mean of.
_PLACED_BY = 5
_FEW_COUNTS = 100
# About what fitting finds.
_UNFITTED = 0.2
_VIEWS = {"spectrum_neighbours": "near spectra", "feature_neighbours": "numbers of the counts"}
_BANDS = {"s": "0.5–1.2 keV", "m": "1.2–2 keV", "h": "2–7 keV"}


class Describer:
    """A trained model with all that travels with it.

    Args:
        model: dual encoder (`SpecCLIPModel` or `SpecCLIPEnsembleModel`), in evaluation mode.
        extractor: its `SpecCLIPFeatureExtractor`.
        index: texts and spectra to compare with.
        moe: experts for the physical variables.
        outliers: detector of odd sources.
        classes: classes to tell apart.
        pretrained: the autoencoder, for experts that look at its latent.
        queries: turns text into vectors.
        name: what the model is called.

    Example:
        >>> describer = Describer.from_pretrained("runs/demo")
        >>> found = describer.describe("source.pi")
        >>> print(found)
        >>> found.to_dict()["classes"]
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        *,
        index: SpecCLIPIndex | None = None,
        moe: Any = None,
        outliers: SpecCLIPOutlierDetector | None = None,
        classes: ZeroShotClasses | None = None,
        pretrained: Any = None,
        queries: TextQueries | None = None,
        name: str = "model",
    ):
        self.model, self.extractor, self.index = model, extractor, index
        self.moe, self.outliers, self.classes = moe, outliers, classes
        self.pretrained, self.name = pretrained, name
        self._queries = queries

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        *,
        moe: str | os.PathLike[str] | None = None,
        outliers: str | os.PathLike[str] | None = None,
        index: str | os.PathLike[str] | None = None,
        embedder: TextEmbedder | None = None,
        device: str | None = None,
        parts: Collection[str] = PARTS,
        **hub: Any,
    ) -> Describer:
        """Load a model and what lies with it.

        Args:
            model: a run (`runs/demo`), a model folder (`runs/demo/model`), or `user/name` on the
                Hub. Experts (`moe/`), detector (`outliers/`), index (`gallery/`) and classes
                (`zero_shot/`) are found in it or beside it; what is absent is left out of the
                answers.
            moe, outliers, index: where they lie elsewhere: a folder or `user/name`.
            embedder: of the questions, where it is not the one the model names.
            device: such as `"cuda"`; the CPU by default.
            parts: which of `PARTS` are loaded and answer.
            hub: for the model's repository: `revision`, `token`, `local_files_only`, …

        Raises:
            ValueError: where there is no dual encoder.
            FileFormatError, OSError: for damaged files.
        """
        if unknown := set(parts) - set(PARTS):
            raise ValueError(f"there is no part {min(unknown)!r}, only {', '.join(PARTS)}")
        run = find_run(model, **hub)
        network, extractor = load_from(run)
        if device is not None:
            network.to(device)
        # A token is for every repository asked, a revision for the model's only.
        shared = {key: value for key, value in hub.items() if key != "revision"}
        experts = _experts(run, moe, network.device, shared) if "moe" in parts else None
        from ..search.text_queries import TextQueries

        return cls(
            network,
            extractor,
            index=_index(run, index, shared) if "index" in parts else None,
            moe=experts,
            outliers=_detector(run, outliers, shared) if "outliers" in parts else None,
            classes=_classes(run) if "classes" in parts else None,
            pretrained=_pretrained(run, network, experts),
            queries=TextQueries(network, embedder, run.model),
            name=run.name,
        )

    def describe(self, spectrum: Any, *, top_k: int = 5) -> Description:
        """Everything the model says of one spectrum.

        Args:
            spectrum: the path of a PHA file, an `XRaySpectrum`, a mapping with `counts` (n_bins,),
                `exposure` (s) and perhaps `background_counts`, `background_scale` and
                `effective_area` (cm²), or the name of a source that the index knows.
            top_k: texts and sources to name.

        Raises:
            ValueError: for a file that is no spectrum, or a name that is not known.
            OSError: for a file that cannot be read.
        """
        return next(iter(self.describe_many([spectrum], top_k=top_k)))

    def describe_many(
        self, spectra: Iterable[Any], *, top_k: int = 5, batch_size: int = BATCH_SIZE
    ) -> Iterator[Description]:
        """The same of many, in batches, in their order.

        Args:
            spectra: see `describe`; taken as they are needed.
            top_k: texts and sources to name.
            batch_size: spectra at once.

        Raises:
            ValueError: also for `top_k` or `batch_size` below 1.
        """
        if top_k < 1 or batch_size < 1:
            raise ValueError("top_k and batch_size must be at least 1")
        items = iter(spectra)
        while batch := [self._taken(item) for item in islice(items, batch_size)]:
            yield from self._describe(batch, top_k)

    def embed(self, spectra: Iterable[Any]) -> np.ndarray:
        """Points in the shared space, (n, D) of unit length."""
        taken = [self._taken(item) for item in spectra]
        return self._points([columns for _, _, columns in taken])["shared"]

    def classify(
        self, spectra: Iterable[Any], classes: Sequence[str] | None = None
    ) -> list[dict[str, float]]:
        """Probabilities of classes, largest first.

        Args:
            spectra: see `describe`.
            classes: labels (`"LMXB"`) or words (`"a white dwarf in outburst"`) to tell apart; by
                default those the model was given. The temperature is the model's either way.

        Raises:
            ValueError: where no classes are given and the model has none.
        """
        known = self.known_classes(classes)
        return _by_probability(known, known.probabilities(self.embed(spectra)))

    def search(
        self,
        text: str,
        *,
        top_k: int = 10,
        kind: str = "spectra",
        section: str = "identity",
        where: IndexFilter | None = None,
    ) -> list[LiteratureHit] | list[SimilarSource]:
        """Spectra, or papers, that go with a question in free words.

        Args:
            text: such as `"heavily absorbed pulsating ULX"`.
            top_k: how many.
            kind: `"spectra"` or `"papers"`.
            section: what the text is about (`"identity"`, `"spectrum"`, `"context"`), see
                `TextQueries.embed_query`.
            where: conditions on the answers.

        Raises:
            ValueError: for an empty text, or where the model has no index.
        """
        index = self._known_index()
        point = self.queries.embed_query(text, section)
        [hits] = index.search(point, top_k, kind=kind, where=where)
        return self._similar(hits) if kind == "spectra" else [_literature(hit) for hit in hits]

    def similar_to(
        self,
        name: str,
        *,
        top_k: int = 10,
        kind: str = "spectra",
        where: IndexFilter | None = None,
    ) -> list[LiteratureHit] | list[SimilarSource]:
        """The same for a source that the index knows.

        Raises:
            KeyError: for one it does not.
        """
        hits = self._known_index().search_name(name, top_k, kind=kind, where=where)
        return self._similar(hits) if kind == "spectra" else [_literature(hit) for hit in hits]

    def map_points(self) -> dict[str, Any]:
        """The catalogue on its map.

        Returns:
            `positions` (m, 2) float32, and lists along them: `ids`, `names`, `classes` (None where
            unknown), `splits`. Nothing but near and far can be read from such a map.

        Raises:
            ValueError: where the index has no map.
        """
        index = self._known_index()
        if "map" not in index.spectra.columns:
            raise ValueError(f"the index of {self.name} has no map: make it with this version")
        entries = index.spectra.entries
        return {
            "positions": np.array(index.spectra.columns["map"], np.float32),
            "ids": [entry["id"] for entry in entries],
            "names": [str(entry.get("source_name") or entry["id"]) for entry in entries],
            "classes": [entry.get("class") for entry in entries],
            "splits": [entry.get("split") for entry in entries],
        }

    def catalogue_spectrum(self, name: str) -> XRaySpectrum:
        """A spectrum of the index, by its id or its source's name (then the brightest).

        Raises:
            KeyError: for a source the index does not know, or keeps no counts of.
        """
        index = self._known_index()
        place = next(
            (i for i, entry in enumerate(index.spectra.entries) if entry["id"] == name), None
        )
        return _stored_spectrum(index, index.find(name)[0] if place is None else place)[0]

    def knows(self, name: str) -> bool:
        """Whether a name is that of a source in the index."""
        if self.index is None:
            return False
        try:
            self.index.find(name)
        except KeyError:
            return False
        return True

    def known_classes(self, classes: Sequence[str] | None) -> ZeroShotClasses:
        """The classes of the model, or others by their names, at the model's temperature (one that
        was fitted to nothing where the model brings none: the order holds, the shares may not).

        Raises:
            ValueError: where none are given and the model brings none.
        """
        if classes is not None:
            if not classes:
                raise ValueError("no classes to tell apart: name two or more")
            temperature = _UNFITTED if self.classes is None else self.classes.temperature
            return ZeroShotClasses.from_prompts(classes, self.queries.embed_prompts, temperature)
        if self.classes is None:
            raise ValueError(f"{self.name} brings no classes: name them (classes=)")
        return self.classes

    @property
    def queries(self) -> TextQueries:
        """Turns text into vectors."""
        if self._queries is None:
            from ..search.text_queries import TextQueries

            self._queries = TextQueries(self.model)
        return self._queries

    def _known_index(self) -> SpecCLIPIndex:
        if self.index is None:
            raise ValueError(
                f"{self.name} has no {GALLERY_FOLDER}/ to search: train with this version, or give "
                "index="
            )
        return self.index

    def _taken(self, item: Any) -> tuple[str | None, XRaySpectrum, dict[str, Any]]:
        """Label, spectrum and columns on the model's grid of whatever was given."""
        settings = self.model.config.spectrum_config
        grid = {"n_bins": settings.n_bins, "energy_range": tuple(settings.energy_range)}
        if isinstance(item, str | os.PathLike):
            label = os.fspath(item)
            if not Path(label).exists() and self.knows(label):
                assert self.index is not None  # it knows the name
                spectrum, columns = _stored_spectrum(self.index, self.index.find(label)[0])
                return label, spectrum, columns
            if not Path(label).exists():
                raise FileNotFoundError(
                    f"{label}: there is no such file, and no source of that name in the index"
                )
            from ..spectra import read_spectrum

            spectrum = read_spectrum(label)
            return label, spectrum, spectrum.rebinned(**grid)
        if isinstance(item, Mapping):
            spectrum = _of_columns(item, grid["energy_range"])
            return None, spectrum, dict(item)
        if not hasattr(item, "rebinned"):
            raise ValueError(
                f"cannot describe a {type(item).__name__}: give the path of a PHA file, an "
                "XRaySpectrum, a mapping with counts and exposure, or a name the index knows"
            )
        return item.path, item, item.rebinned(**grid)

    def _points(self, columns: list[dict[str, Any]]) -> dict[str, Any]:
        """Points in the shared space and what the experts look at, as arrays and tensors."""
        import torch

        from ..models.feature_extraction_specclip import SpecCLIPFeatureExtractor

        device = self.model.device

        def tensors(extractor: Any) -> dict[str, torch.Tensor]:
            return {k: v.to(device) for k, v in extractor(columns, return_tensors="pt").items()}

        own = tensors(self.extractor)
        described = own
        kind = describing_kind(self.extractor.input_kind)
        if self.extractor.input_kind != kind:
            grid = self.model.config.spectrum_config.grid
            described = tensors(SpecCLIPFeatureExtractor(kind, **grid))
        with torch.inference_mode():
            # One pass gives the latent and the point.
            output = self.model(**own)
            before = output.spectrum_latent
            if self.pretrained is not None:
                before = self.pretrained.spectrum_model(**own).pooler_output
        return {
            "shared": output.spectrum_embeds.float().cpu().numpy(),
            "embeds": output.spectrum_embeds,
            "latent": output.spectrum_latent,
            "pretrained": before,
            "features": described["spectrum_globals"],
        }

    def _describe(
        self, batch: list[tuple[str | None, XRaySpectrum, dict[str, Any]]], top_k: int
    ) -> Iterator[Description]:
        from ..spectra.facts import spectrum_facts

        columns = [one for _, _, one in batch]
        points = self._points(columns)
        shared = points["shared"]
        texts: list[list[Hit]] = [[] for _ in batch]
        spectra: list[list[Hit]] = [[] for _ in batch]
        if self.index is not None:
            texts = self.index.search(shared, top_k)
            if len(self.index.spectra):
                spectra = self.index.search(shared, max(top_k, _PLACED_BY), kind="spectra")
        classes: list[dict[str, float]] = [{} for _ in batch]
        if self.classes is not None:
            classes = _by_probability(self.classes, self.classes.probabilities(shared))
        variables = self._variables(points)
        outliers = self._outliers(points, batch)
        for row, (label, spectrum, _) in enumerate(batch):
            facts = spectrum_facts(spectrum)
            yield Description(
                file=label,
                source=facts,
                model=self.name,
                literature=tuple(_literature(hit) for hit in texts[row]),
                similar=tuple(self._similar(spectra[row][:top_k])),
                classes=classes[row],
                variables=variables[row],
                outlier=outliers[row],
                map_position=self._place(spectra[row]),
                notes=tuple(self._notes(facts)),
                gallery={
                    "papers": 0 if self.index is None else len(self.index.papers),
                    "spectra": 0 if self.index is None else len(self.index.spectra),
                },
                spectrum=spectrum,
            )

    def _variables(self, points: dict[str, Any]) -> list[tuple[Variable, ...]]:
        n = len(points["shared"])
        if self.moe is None:
            return [()] * n
        import torch

        from ..models.modeling_specclip_moe import LINEAR
        from ..models.variables_specclip import VARIABLES

        with torch.inference_mode():
            found = self.moe(
                spectrum=points["pretrained"],
                encoder=points["latent"],
                shared_spectrum=points["embeds"],
                features=points["features"],
            )
        log = (self.moe.scale.kind != LINEAR).tolist()
        ends = ("lower_68", "upper_68", "lower_90", "upper_90")
        values = found.predictions.tolist()
        limits = {end: getattr(found, end).tolist() for end in ends}
        return [
            tuple(
                Variable(
                    name=name,
                    value=values[row][place],
                    **{end: _finite(limits[end][row][place]) for end in ends},
                    unit=VARIABLES.get(name, ""),
                    log_scale=bool(log[place]),
                )
                for place, name in enumerate(self.moe.config.variables)
                # A variable that no row of the training data had is estimated by nothing.
                if np.isfinite(values[row][place])
            )
            for row in range(n)
        ]

    def _outliers(
        self,
        points: dict[str, Any],
        batch: list[tuple[str | None, XRaySpectrum, dict[str, Any]]],
    ) -> list[OutlierScore | None]:
        if self.outliers is None:
            return [None] * len(batch)
        from ..outliers.explain import describe_outliers

        rows = self._outlier_rows(points, batch)
        scores = self.outliers.score(rows)
        by = "spectrum_neighbours"
        told = describe_outliers(self.outliers, rows, scores, np.arange(len(batch)), by=by)
        result: list[OutlierScore | None] = []
        for row, one in enumerate(told):
            views = {
                words: float(scores.percentile(view)[row])
                for view, words in _VIEWS.items()
                if np.isfinite(scores.raw[view][row])
            }
            odd = []
            if one.band is not None and one.band_sigma is not None and abs(one.band_sigma) >= 2:
                much = "more" if one.band_sigma > 0 else "fewer"
                odd.append(
                    f"{much} counts at {_BANDS[one.band]} than the nearest sources have "
                    f"({one.band_sigma:+.1f} σ)"
                )
            odd += [
                f"{words}: odder than {share:.1f} %"
                for words, share in views.items()
                if share >= 95
            ]
            result.append(
                OutlierScore(float(scores.raw[by][row]), one.percentile, views, tuple(odd))
            )
        return result

    def _outlier_rows(
        self,
        points: dict[str, Any],
        batch: list[tuple[str | None, XRaySpectrum, dict[str, Any]]],
    ) -> OutlierRows:
        from ..outliers.detector import BANDS, OutlierRows

        low, high = self.extractor.energy_range
        edges = np.linspace(low, high, self.extractor.n_bins + 1)
        centres = 0.5 * (edges[1:] + edges[:-1])
        inside = np.stack([(centres >= a) & (centres < b) for a, b in BANDS.values()], axis=1)

        def bands(name: str) -> np.ndarray:
            empty = np.zeros(len(centres))
            rows = [empty if c.get(name) is None else c[name] for _, _, c in batch]
            return np.stack([np.asarray(row, np.float64) for row in rows]) @ inside

        scale = np.array([float(c.get("background_scale") or 0.0) for _, _, c in batch])[:, None]
        source, background = bands("counts"), bands("background_counts")
        features = points["features"].float().cpu().numpy()
        assert self.outliers is not None  # asked for only then
        known = self.outliers.reference.features.shape[1]
        return OutlierRows(
            spectrum=points["shared"],
            # A detector of another kind of input may know no such numbers.
            features=features if features.shape[1] == known else None,
            band_counts=source - scale * background,
            band_errors=np.sqrt(source + scale**2 * background),
            groups=[self._group(spectrum, row) for row, (_, spectrum, _) in enumerate(batch)],
        )

    def _group(self, spectrum: XRaySpectrum, row: int) -> str:
        """A source of the catalogue must not be its own neighbour."""
        name = spectrum.source_name
        if name and self.index is not None and self.knows(name):
            entry = self.index.spectra.entries[self.index.find(name)[0]]
            if isinstance(entry.get("group"), str):
                return entry["group"]
        return f"\0{row}"

    def _place(self, hits: list[Hit]) -> tuple[float, float] | None:
        if self.index is None or not hits or "map" not in self.index.spectra.columns:
            return None
        near = hits[:_PLACED_BY]
        positions = self.index.spectra.columns["map"][[hit.row for hit in near]]
        x, y = place_between(np.array([[hit.score for hit in near]]), positions[None])[0]
        return float(x), float(y)

    def _similar(self, hits: Sequence[Hit]) -> list[SimilarSource]:
        if self.index is None:
            return []
        places = self.index.spectra.columns.get("map")
        return [_similar(hit, None if places is None else places[hit.row]) for hit in hits]

    def _notes(self, facts: Mapping[str, Any]) -> Iterator[str]:
        about = {} if self.index is None else self.index.about
        if about.get("simulated"):
            yield (
                "the model was trained on simulated sources: its papers and sources are invented"
            )
        if facts["counts_0.5_8kev"] < _FEW_COUNTS:
            yield (
                f"only {facts['counts_0.5_8kev']} counts at 0.5–8 keV: most of what is said here "
                "is what is usual"
            )
        if facts["background_scale"] is None:
            yield "no background was found, so none was subtracted"
        telescope = str(facts["telescope"] or "").upper()
        if telescope and telescope != "CHANDRA":
            yield (
                f"{facts['telescope']} is not what the model was trained on (Chandra ACIS): its "
                "responses differ"
            )
        yield from facts["notes"]


def _index(run: TrainedRun, given: Any, hub: Mapping[str, Any]) -> SpecCLIPIndex | None:
    if given is not None:
        if (Path(given) / ENTRIES_FILE).is_file():
            return SpecCLIPIndex.load(given)
        return SpecCLIPIndex.from_pretrained(given, **hub)
    found = run.folder(GALLERY_FOLDER, ENTRIES_FILE)
    return None if found is None else SpecCLIPIndex.load(found)


def _experts(run: TrainedRun, given: Any, device: Any, hub: Mapping[str, Any]) -> Any:
    folder = run.folder("moe") if given is None else given
    if folder is None:
        return None
    if (Path(folder) / "moe" / "config.json").is_file():
        folder = Path(folder) / "moe"
    from ..models.modeling_specclip_moe import SpecCLIPMoEForRegression

    return SpecCLIPMoEForRegression.from_pretrained(folder, **hub).eval().to(device)


def _detector(
    run: TrainedRun, given: Any, hub: Mapping[str, Any]
) -> SpecCLIPOutlierDetector | None:
    folder = run.folder("outliers", "detector.json") if given is None else given
    if folder is None:
        return None
    from ..outliers.detector import SpecCLIPOutlierDetector

    return SpecCLIPOutlierDetector.from_pretrained(folder, **hub)


def _classes(run: TrainedRun) -> ZeroShotClasses | None:
    folder = run.folder(ZERO_SHOT_FOLDER, CLASSES_FILE)
    return None if folder is None else ZeroShotClasses.from_pretrained(folder)


def _pretrained(run: TrainedRun, model: Any, experts: Any) -> Any:
    """The autoencoder, where experts look at its latent and the model's own is another."""
    frozen = getattr(model.config, "freeze_spectrum_encoder", False)
    if experts is None or experts.config.spectrum_input != "spectrum" or frozen:
        return None
    folder = run.folder("spectrum")
    if folder is None:
        raise ValueError(
            f"the experts of {run.name} look at the latent of the autoencoder, and there is no "
            "spectrum/ beside the model: copy it there from the run"
        )
    from ..models.modeling_specclip import SpecCLIPForSpectrumPreTraining

    return SpecCLIPForSpectrumPreTraining.from_pretrained(folder).eval().to(model.device)


def _by_probability(known: ZeroShotClasses, shares: np.ndarray) -> list[dict[str, float]]:
    return [
        {known.classes[i]: float(row[i]) for i in np.argsort(-row, kind="stable")} for row in shares
    ]


def _of_columns(columns: Mapping[str, Any], energy_range: tuple[float, float]) -> XRaySpectrum:
    from ..spectra import XRaySpectrum

    for name in ("counts", "exposure"):
        if columns.get(name) is None:
            raise ValueError(f"a spectrum as a mapping needs {name!r}: it has {sorted(columns)}")
    counts = np.asarray(columns["counts"])
    background, scale = columns.get("background_counts"), columns.get("background_scale")
    more: dict[str, Any] = {}
    if background is not None and scale:
        more = {"background_counts": background, "background_backscal": 1.0 / float(scale)}
    named = ("source_name", "obsid", "obi", "region_id", "ra", "dec", "detector")
    return XRaySpectrum(
        counts=counts,
        energy_edges=np.linspace(*energy_range, len(counts) + 1),
        exposure=float(columns["exposure"]),
        **more,
        **{name: columns[name] for name in named if columns.get(name) is not None},
    )


def _stored_spectrum(index: SpecCLIPIndex, place: int) -> tuple[XRaySpectrum, dict[str, Any]]:
    entry, columns = index.spectra.entries[place], index.spectra.columns
    if "counts" not in columns or "energy_range" not in index.about:
        raise KeyError(
            f"the index keeps no counts of {entry.get('source_name')}: it can be searched for, not "
            "described"
        )
    found: dict[str, Any] = {
        "counts": np.array(columns["counts"][place], np.int32),
        "exposure": float(columns["exposure"][place]),
    }
    if "background_counts" in columns:
        found["background_counts"] = np.array(columns["background_counts"][place], np.int32)
        found["background_scale"] = float(columns["background_scale"][place])
    if "effective_area" in columns:
        area = np.array(columns["effective_area"][place], np.float32)
        found["effective_area"] = area if area.any() else None
    found["source_name"] = _text(entry.get("source_name"))
    found |= {name: _whole(entry.get(name)) for name in ("obsid", "obi", "region_id")}
    found |= {name: _real(entry.get(name)) for name in ("ra", "dec")}
    low, high = index.about["energy_range"]
    return _of_columns(found, (float(low), float(high))), found


def _literature(hit: Hit) -> LiteratureHit:
    entry = hit.entry
    papers = entry.get("papers")
    summary = entry.get("summary")
    return LiteratureHit(
        rank=hit.rank,
        score=round(hit.score, 4),
        id=entry["id"],
        source_names=tuple(str(name) for name in _listed(entry.get("source_names"))),
        papers=tuple(
            Paper(
                id=str(paper.get("id") or ""),
                id_type=str(paper.get("id_type") or ""),
                title=_text(paper.get("title")),
                year=_whole(paper.get("year")),
                link=paper_url(paper),
            )
            for paper in _listed(papers)
            if isinstance(paper, Mapping)
        ),
        summary=(
            {str(key): _text(words) for key, words in summary.items()}
            if isinstance(summary, Mapping)
            else {}
        ),
        split=_text(entry.get("split")),
    )


def _similar(hit: Hit, place: Any) -> SimilarSource:
    entry = hit.entry
    return SimilarSource(
        rank=hit.rank,
        score=round(hit.score, 4),
        id=entry["id"],
        name=str(entry.get("source_name") or entry["id"]),
        source_class=_text(entry.get("class")),
        obsid=_whole(entry.get("obsid")),
        counts=_whole(entry.get("counts")),
        exposure_s=_real(entry.get("exposure")),
        ra=_real(entry.get("ra")),
        dec=_real(entry.get("dec")),
        map_position=None if place is None else (float(place[0]), float(place[1])),
        split=_text(entry.get("split")),
    )


# An index may come from strangers: what is not of the kind it should be is not known.
def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _real(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if known else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


__all__ = ["PARTS", "Describer"]
