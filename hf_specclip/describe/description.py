"""Description of one spectrum: the answers of a trained model as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..classify.families import FamilyProbability, group_by_family
from ..classify.probe import ProbeAnswer
from ..storage import to_json
from .limitations import Limitation, reasons_to_withhold

if TYPE_CHECKING:
    from astropy.table import Table

    from ..spectra import XRaySpectrum
    from ..spectra.fitting.result import FitResult
    from .posterior_check import PosteriorCheck

# Answers of a model, and their values where a description leaves them out.
_ABSENT: dict[str, Any] = {
    "variables": (),
    "classes": {},
    "outlier": None,
    "similar": (),
    "literature": (),
    "probes": (),
}
# What is measured comes first; the check compares what is inferred with it.
SECTIONS = (
    *("fit", "variables", "check", "classes", "probes", "outlier", "similar", "literature"),
)
_FIELDS_OF_A_DICT = (
    *("file", "model", "limitations", "source", "fit", "variables", "withheld", "check"),
    *("families", "classes", "class_stands_out", "probes", "outlier", "at_position", "similar"),
    *("literature", "map_position", "links", "notes", "gallery"),
)


@dataclass(frozen=True)
class Paper:
    """A paper with its identifier (`id_type`: bibcode, arXiv number or DOI) and a link to it.

    `about` says whether it is about a source itself, its `host` or its `class`, where known.
    """

    id: str
    id_type: str
    title: str | None
    year: int | None
    link: str | None
    about: str | None = None


@dataclass(frozen=True)
class LiteratureHit:
    """A summary of papers near a spectrum or a question.

    Attributes:
        rank: 1 for the nearest.
        score: cosine similarity in the shared space, −1 to 1; it ranks and is no probability.
        id: of the text in the index.
        source_names: sources the text is about.
        papers: the papers behind it.
        summary: its sections.
        split: of the dataset the model was trained on, None where unknown.
    """

    rank: int
    score: float
    id: str
    source_names: tuple[str, ...]
    papers: tuple[Paper, ...]
    summary: Mapping[str, str | None]
    split: str | None = None


@dataclass(frozen=True)
class SimilarSource:
    """A spectrum of the catalogue near a spectrum or a question.

    Attributes:
        rank, score, id: as in `LiteratureHit`.
        name, source_class: of its source.
        obsid: of the observation.
        counts: in the aperture, 0.5–8 keV.
        exposure_s: live time.
        ra, dec: degrees, ICRS.
        map_position: on the map of the catalogue.
        split: of the dataset the model was trained on.
        host: galaxy or star cluster that it lies in.
        aliases: other names.
        papers: about it, its host or its class, in an index without texts.
        separation_arcsec: from the position of the spectrum described.
    """

    rank: int
    score: float
    id: str
    name: str
    source_class: str | None
    obsid: int | None
    counts: int | None
    exposure_s: float | None
    ra: float | None
    dec: float | None
    map_position: tuple[float, float] | None
    split: str | None = None
    host: str | None = None
    aliases: tuple[str, ...] = ()
    papers: tuple[Paper, ...] = ()
    separation_arcsec: float | None = None


@dataclass(frozen=True)
class Variable:
    """A physical variable estimated by the mixture of experts.

    Attributes:
        name: column of the Chandra Source Catalog.
        value: in the catalogue's unit.
        lower_68, upper_68, lower_90, upper_90: conformal intervals; None for an end that the
            calibration set is too small to bound.
        unit: "" where dimensionless.
        log_scale: True where a logarithmic axis suits it.
    """

    name: str
    value: float
    lower_68: float | None
    upper_68: float | None
    lower_90: float | None
    upper_90: float | None
    unit: str
    log_scale: bool


@dataclass(frozen=True)
class OutlierScore:
    """Outlier score of a spectrum among the reference spectra.

    Attributes:
        score: mean distance (one less the cosine) to the nearest spectra in the shared space.
        percentile: of the score among the reference spectra, 0 to 100.
        reasons: its departures from the nearest sources, in words.
    """

    score: float
    percentile: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """Description of one spectrum by a model, made by `Describer.describe`.

    Attributes:
        file: path or source name it was asked by; None for a spectrum in memory.
        source: properties of the spectrum itself, see `spectrum_facts`.
        model: name of the model.
        literature: nearest texts.
        at_position: sources of the index at the position of the spectrum, nearest first.
        similar: nearest sources of the index, one entry each; those at the position left out.
        probes: answers of one's own labels.
        classes: class -> probability, largest first; empty without zero-shot classes.
        class_stands_out: the largest family is probable enough to be right more often than not.
        variables: physical variables; empty without experts.
        outlier: None without an outlier detector.
        map_position: on the map of the catalogue, None without one.
        notes: caveats.
        gallery: number of texts (`papers`) and of spectra that were searched.
        spectrum: the spectrum, for plots, the fit and the check.
        limitations: properties of the spectrum that the model was not trained for.
        withheld: section or variable that cannot be known -> reason.
        sections: of `SECTIONS`, those that are shown.
        links: addresses of what services know at its position, by their names.
    """

    file: str | None
    source: Mapping[str, Any]
    model: str
    literature: tuple[LiteratureHit, ...]
    similar: tuple[SimilarSource, ...]
    classes: Mapping[str, float]
    variables: tuple[Variable, ...]
    outlier: OutlierScore | None
    map_position: tuple[float, float] | None
    notes: tuple[str, ...]
    gallery: Mapping[str, int]
    spectrum: XRaySpectrum = field(repr=False, compare=False)
    class_stands_out: bool = True
    probes: tuple[ProbeAnswer, ...] = ()
    at_position: tuple[SimilarSource, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    limitations: tuple[Limitation, ...] = ()
    withheld: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[str, ...] = SECTIONS

    def __str__(self) -> str:
        return self.to_text()

    @property
    def title(self) -> str:
        """The file or name, else the name of the source."""
        return self.file or self.source.get("source_name") or "spectrum"

    @property
    def families(self) -> tuple[FamilyProbability, ...]:
        """Families of the classes with their probabilities, largest first."""
        return group_by_family(self.classes)

    @property
    def withheld_sections(self) -> tuple[str, ...]:
        """Sections that the limitations rule out."""
        return tuple(name for name in SECTIONS if name in self.withheld)

    @cached_property
    def fit(self) -> FitResult | None:
        """Fits of the catalogue's models to the spectrum; None without responses. Made when first
        asked for.
        """
        if "fit" not in self.sections or self.spectrum is None:
            return None
        return import_module(".measured", __package__).fit_as_catalogue(self.spectrum)

    @cached_property
    def check(self) -> PosteriorCheck | None:
        """Comparison of the inferred variables with the counts; None where there are too few counts
        or no effective area. Made when first asked for.
        """
        if "check" not in self.sections or self.spectrum is None or not self.variables:
            return None
        checks = import_module(".posterior_check", __package__)
        return checks.check_description(self.spectrum, self.variables)

    def within_limits(self) -> Description:
        """Return a description without the answers that its limitations rule out."""
        reasons = reasons_to_withhold(self.limitations)
        variables = tuple(v for v in self.variables if v.name not in reasons)
        place = None if "similar" in reasons else self.map_position
        measured = self.source.get("variability") or {}
        withheld = {name: why for name, why in reasons.items() if name not in measured}
        limited = replace(self, variables=variables, withheld=withheld, map_position=place)
        # Labels may be of this instrument: their probe says itself what it has not seen.
        return limited.without([*reasons, "probes"] if "similar" in reasons else reasons)

    def select(self, sections: Collection[str]) -> Description:
        """Return a description with some of the `SECTIONS` alone; the others are empty."""
        chosen = tuple(name for name in self.sections if name in sections)
        # The check is one of the variables, which are shown with it.
        shown = {*sections, "variables"} if "check" in sections else set(sections)
        return replace(self.without(set(_ABSENT) - shown), sections=chosen)

    def without(self, sections: Collection[str]) -> Description:
        """Return a description with some answers of the model left out."""
        return replace(self, **{n: value for n, value in _ABSENT.items() if n in sections})

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold; numbers that are not finite become None."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _FIELDS_OF_A_DICT}
        for name in (
            "limitations",
            "literature",
            "at_position",
            "similar",
            "variables",
            "families",
            "probes",
        ):
            values[name] = [asdict(item) for item in values[name]]
        for name in ("outlier", "check"):
            values[name] = None if values[name] is None else asdict(values[name])
        if self.fit is not None:
            values["fit"] = {"statistic": self.fit.statistic, **self.fit.columns()}
            values["fit"] |= {f"{n}_reason": fit.reason for n, fit in self.fit.models.items()}
        return to_json(values)

    # The renderings import this module, so they are imported when called.
    def to_table(self) -> Table:
        """Return an astropy table of one row, with units; see `descriptions_table`."""
        return import_module(".table", __package__).descriptions_table([self])

    def to_text(self) -> str:
        """Return the text that `specclip describe` prints."""
        return import_module(".text", __package__).render_text(self)

    def to_html(self) -> str:
        """Return a self-contained page with a plot.

        Raises:
            ImportError: where matplotlib is not installed.
        """
        return import_module(".html", __package__).render_page([self])

    def plot(self, axes: Any = None) -> Any:
        """Draw the spectrum with the most probable classes beside it.

        Args:
            axes: matplotlib axes for the spectrum alone; a new figure where None.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: where matplotlib is not installed.
        """
        return import_module(".plot", __package__).draw(self, axes)
