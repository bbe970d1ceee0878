"""Description of one spectrum: the results of a trained model as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
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

# Results of a model, and their values if a description omits them.
_ABSENT: dict[str, Any] = {
    "variables": (),
    "classes": {},
    "outlier": None,
    "similar": (),
    "literature": (),
    "probes": (),
}
# Measurements come first, then inferred results and their check.
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
        score: cosine similarity in the shared space (−1 to 1), not a probability.
        id: identifier of the text in the index.
        source_names: sources the text is about.
        papers: papers that the text summarises.
        summary: sections of the text.
        split: split of the training dataset that contains the text, or None.
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
        name, source_class: name and class of the source.
        obsid: observation identifier.
        counts: aperture counts, 0.5–8 keV.
        exposure_s: live time, s.
        ra, dec: ICRS position, degrees.
        map_position: position on the map of the catalogue.
        split: split of the training dataset that contains the spectrum, or None.
        host: host galaxy or star cluster.
        aliases: other names of the source.
        papers: papers about the source, its host or its class, for an index without texts.
        separation_arcsec: angular separation from the described spectrum.
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
        value: estimate in the unit of the catalogue.
        lower_68, upper_68, lower_90, upper_90: limits of the conformal intervals; None where the
            calibration set is too small to give one.
        unit: unit, "" if dimensionless.
        log_scale: True if a logarithmic axis is appropriate.
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
        score: mean cosine distance to the nearest spectra in the shared space.
        percentile: percentile of the score among the reference spectra, 0 to 100.
        reasons: differences from the nearest sources, as text.
    """

    score: float
    percentile: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """Description of one spectrum by a model, made by `Describer.describe`.

    Attributes:
        file: path or source name given by the user; None for a spectrum in memory.
        source: properties of the spectrum itself, see `spectrum_facts`.
        model: name of the model.
        literature: nearest texts.
        at_position: sources of the index at the position of the spectrum, nearest first.
        similar: nearest sources of the index, one entry each, without those in `at_position`.
        probes: results of user-trained probes.
        classes: class -> probability, largest first; empty for a model without classes.
        class_stands_out: True if the top family is expected to be correct more often than not.
        variables: physical variables; empty without a mixture of experts.
        outlier: outlier score; None without an outlier detector.
        map_position: position on the map of the catalogue, or None.
        notes: caveats.
        gallery: number of texts (`papers`) and spectra searched.
        spectrum: the spectrum, used by plots, the fit and the check.
        limitations: properties of the spectrum outside the training range of the model.
        withheld: section or variable -> reason why it is withheld.
        sections: the `SECTIONS` to show.
        links: service name -> URL of a query at the position of the spectrum.
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
        """File or name given by the user, else the name of the source."""
        return self.file or self.source.get("source_name") or "spectrum"

    @property
    def families(self) -> tuple[FamilyProbability, ...]:
        """Families of the classes with their probabilities, largest first."""
        return group_by_family(self.classes)

    @property
    def withheld_sections(self) -> tuple[str, ...]:
        """Sections withheld because of the limitations."""
        return tuple(name for name in SECTIONS if name in self.withheld)

    @cached_property
    def fit(self) -> FitResult | None:
        """Fits of the catalogue's models to the spectrum; None without responses. Computed on first
        access.
        """
        if "fit" not in self.sections or self.spectrum is None:
            return None
        return import_module(".measured", __package__).fit_as_catalogue(self.spectrum)

    @cached_property
    def check(self) -> PosteriorCheck | None:
        """Posterior-predictive check of the inferred variables; None with too few counts or without
        an effective area. Computed on first access.
        """
        if "check" not in self.sections or self.spectrum is None or not self.variables:
            return None
        checks = import_module(".posterior_check", __package__)
        return checks.check_description(self.spectrum, self.variables)

    def within_limits(self) -> Description:
        """Return a description without the results that its limitations rule out."""
        reasons = reasons_to_withhold(self.limitations)
        variables = tuple(v for v in self.variables if v.name not in reasons)
        map_position = None if "similar" in reasons else self.map_position
        measured = self.source.get("variability") or {}
        withheld = {name: why for name, why in reasons.items() if name not in measured}
        limited = replace(self, variables=variables, withheld=withheld, map_position=map_position)
        # A probe may have been trained on this instrument, and flags unfamiliar spectra itself.
        return limited.without([*reasons, "probes"] if "similar" in reasons else reasons)

    def select(self, sections: Collection[str]) -> Description:
        """Return a description with only some of the `SECTIONS`; the others are empty."""
        selected = tuple(name for name in self.sections if name in sections)
        # The check needs the variables.
        kept = {*sections, "variables"} if "check" in sections else set(sections)
        return replace(self.without(set(_ABSENT) - kept), sections=selected)

    def without(self, sections: Collection[str]) -> Description:
        """Return a description without some of the results of the model."""
        return replace(self, **{n: value for n, value in _ABSENT.items() if n in sections})

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serialisable values; non-finite numbers become None."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _FIELDS_OF_A_DICT}
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
        """Draw the spectrum and a bar chart of the most probable classes.

        Args:
            axes: matplotlib axes for the spectrum alone; a new figure where None.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: where matplotlib is not installed.
        """
        return import_module(".plot", __package__).draw(self, axes)
