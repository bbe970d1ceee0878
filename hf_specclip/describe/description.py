"""All that is said of one spectrum, as values and as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropy.table import Table

    from ..spectra import XRaySpectrum


@dataclass(frozen=True)
class Paper:
    """A paper: its bibcode, arXiv number or DOI (`id_type` says which), and where to read it."""

    id: str
    id_type: str
    title: str | None
    year: int | None
    link: str | None


@dataclass(frozen=True)
class LiteratureHit:
    """A summary of papers that a spectrum, or a question, comes close to.

    Attributes:
        rank: 1 for the closest.
        score: cosine similarity in the shared space, −1 to 1; it ranks and is no probability.
        id: of the text in the index.
        source_names: sources it is about.
        papers: the papers behind it.
        summary: its sections.
        split: of the dataset the model was made from, None where unknown.
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
    """A spectrum of the catalogue that is like this one.

    Attributes:
        rank, score, id: as in `LiteratureHit`.
        name, source_class: of its source.
        obsid: of the observation.
        counts: in the aperture, 0.5–8 keV.
        exposure_s: live time.
        ra, dec: degrees, ICRS.
        map_position: on the catalogue's map.
        split: of the dataset the model was made from.
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


@dataclass(frozen=True)
class Variable:
    """A physical variable as the mixture of experts estimates it.

    Attributes:
        name: the catalogue's column.
        value: catalogue units.
        lower_68, upper_68, lower_90, upper_90: conformal intervals; None where too few scores
            bound that end.
        unit: "" where dimensionless.
        log_scale: whether it is best drawn on a logarithmic axis.
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
    """How unlike the reference sources a spectrum is.

    Attributes:
        score: mean distance (one less the cosine) to its nearest spectra in the shared space.
        percentile: of the reference spectra that are less odd, 0 to 100.
        views: percentile by view, as far as a spectrum without a text has them.
        odd: what departs from the nearest sources, in words.
    """

    score: float
    percentile: float
    views: Mapping[str, float]
    odd: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """What a model says of one spectrum. Made by `Describer.describe`.

    Attributes:
        file: it was read from, or the name asked for; None for a spectrum in memory.
        source: facts of the spectrum itself, see `spectrum_facts`.
        model: the model asked.
        literature: closest texts.
        similar: closest spectra of the catalogue.
        classes: class -> probability, largest first; empty where the model knows none.
        variables: physical variables; empty where there are no experts.
        outlier: None where there is no detector.
        map_position: place on the catalogue's map, None where it has none.
        notes: what to bear in mind.
        gallery: number of texts and of spectra that were searched.
        spectrum: what was described, for plots.
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

    def __str__(self) -> str:
        return self.to_text()

    @property
    def title(self) -> str:
        """The file or name, else the source's name."""
        return self.file or self.source.get("source_name") or "spectrum"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; numbers that are not finite become None."""
        parts = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("spectrum", "outlier", "literature", "similar", "variables")
        }
        for name in ("literature", "similar", "variables"):
            parts[name] = [asdict(one) for one in getattr(self, name)]
        parts["outlier"] = None if self.outlier is None else asdict(self.outlier)
        return _plain(parts)

    def to_table(self) -> Table:
        """One row with units; see `descriptions_table`."""
        return descriptions_table([self])

    def to_text(self) -> str:
        """For reading in a terminal."""
        return "\n".join(_lines(self))

    def to_html(self) -> str:
        """A page of its own, its plot inside; needs matplotlib."""
        from .html import page

        return page([self])

    def plot(self, axes: Any = None) -> Any:
        """Draw the spectrum with the likeliest classes beside it; needs matplotlib.

        Args:
            axes: of one panel, which takes the spectrum alone; a new figure where None.

        Returns:
            The figure.
        """
        from .plot import draw

        return draw(self, axes)


def descriptions_table(descriptions: Iterable[Description]) -> Table:
    """Descriptions as an astropy table, one row each, for `.write(…, format="ascii.ecsv")` or
    `"votable"`: facts of the spectrum, the likeliest class, the closest text and source, the
    percentile of oddness, and each variable with its intervals and unit.

    Raises:
        ValueError: without descriptions.
    """
    from astropy.table import Table

    rows = [_row(one) for one in descriptions]
    if not rows:
        raise ValueError("no descriptions to make a table of")
    units: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        column = [row.get(name, (None, ""))[0] for row in rows]
        units[name] = next((row[name][1] for row in rows if name in row), "")
        values[name] = column
    table = Table()
    for name, column in values.items():
        table[name] = _column(column)
        if units[name]:
            table[name].unit = units[name]
    return table


def _row(one: Description) -> dict[str, tuple[Any, str]]:
    source = one.source
    best = next(iter(one.classes.items()), (None, None))
    paper = next((paper for hit in one.literature for paper in hit.papers), None)
    row: dict[str, tuple[Any, str]] = {
        "file": (one.file or "", ""),
        "source_name": (source.get("source_name") or "", ""),
        "obsid": (source.get("obsid"), ""),
        "ra": (source.get("ra"), "deg"),
        "dec": (source.get("dec"), "deg"),
        "exposure": (source.get("exposure_s"), "s"),
        "counts": (source.get("counts_0.5_8kev"), "ct"),
        "net_counts": (source.get("net_counts_0.5_8kev"), "ct"),
        "net_counts_error": (source.get("net_counts_error_0.5_8kev"), "ct"),
        "class": (best[0] or "", ""),
        "class_probability": (best[1], ""),
        "closest_paper": ("" if paper is None else paper.id, ""),
        "closest_text_score": (one.literature[0].score if one.literature else None, ""),
        "closest_source": (one.similar[0].name if one.similar else "", ""),
        "closest_source_score": (one.similar[0].score if one.similar else None, ""),
        "outlier_score": (one.outlier.score if one.outlier else None, ""),
        "outlier_percentile": (one.outlier.percentile if one.outlier else None, ""),
    }
    for variable in one.variables:
        unit = _VOUNIT.get(variable.unit, variable.unit)
        row[variable.name] = (variable.value, unit)
        for end in ("lower_68", "upper_68", "lower_90", "upper_90"):
            row[f"{variable.name}_{end}"] = (getattr(variable, end), unit)
    return row


# Units as astropy and the Virtual Observatory write them.
_VOUNIT = {"1e20 cm-2": "1e20 cm**-2"}


def _column(values: list[Any]) -> Any:
    import numpy as np
    from astropy.table import MaskedColumn

    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        return np.array(["" if value is None else value for value in values])
    whole = all(isinstance(value, int) for value in known) and known
    if len(known) == len(values):
        return np.array(values, dtype=np.int64 if whole else np.float64)
    filled = [0 if value is None else value for value in values]
    return MaskedColumn(
        np.array(filled, dtype=np.int64 if whole else np.float64),
        mask=[value is None for value in values],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _lines(one: Description) -> list[str]:
    source = one.source
    lines = [one.title]
    name = source.get("source_name")
    observed = [name] if name and name != one.title else []
    observed += [f"ObsID {source['obsid']}"] if source.get("obsid") is not None else []
    net, error = source["net_counts_0.5_8kev"], source["net_counts_error_0.5_8kev"]
    observed.append(
        f"{net:,.1f} ± {error:,.1f} net counts at 0.5–8 keV in {source['exposure_s']:,.0f} s"
    )
    lines.append(f"  {', '.join(observed)}")
    if one.literature:
        lines.append(f"\n  literature (closest of {one.gallery['papers']:,} texts)")
        for hit in one.literature:
            lines += literature_lines(hit)
    if one.similar:
        lines.append(f"\n  similar sources (of {one.gallery['spectra']:,} spectra)")
        for other in one.similar:
            counts = "" if other.counts is None else f"  {other.counts:,} counts"
            lines.append(
                f"    {other.rank:>2}. {other.score:+.3f}  {other.name:<26}"
                f"{other.source_class or '–':<14}{counts}"
            )
    if one.classes:
        lines.append("\n  class, by what the classes are called")
        for kind, share in list(one.classes.items())[:5]:
            lines.append(f"    {share:6.1%}  {kind}")
    if one.variables:
        lines.append("\n  variables (68 % interval)")
        lines += [f"    {variable_text(variable)}" for variable in one.variables]
    if one.outlier:
        lines.append(
            f"\n  outlier score {one.outlier.score:.3f}: odder than "
            f"{one.outlier.percentile:.0f} % of the reference spectra"
        )
        lines += [f"    {words}" for words in one.outlier.odd]
    if one.notes:
        lines.append("")
        lines += [f"  note: {note}" for note in one.notes]
    return lines


def literature_lines(hit: LiteratureHit) -> list[str]:
    """A text that was found, as lines for a terminal."""
    more = f" and {len(hit.source_names) - 2} more" if len(hit.source_names) > 2 else ""
    lines = [f"    {hit.rank:>2}. {hit.score:+.3f}  {', '.join(hit.source_names[:2])}{more}"]
    said = next((words for words in hit.summary.values() if words), None)
    if said:
        lines.append(f"        {said if len(said) <= 200 else said[:199] + '…'}")
    for paper in hit.papers[:3]:
        year = f" ({paper.year})" if paper.year else ""
        lines.append(f"        · {paper.title or 'untitled'}{year}  {paper.link or paper.id}")
    return lines


def variable_text(variable: Variable) -> str:
    """Such as `powlaw_gamma  1.67 (1.56 – 1.80)`, with the unit."""
    low, high = variable.lower_68, variable.upper_68
    ends = f"({_number(low)} – {_number(high)})"
    return f"{variable.name:<20} {_number(variable.value):>9} {ends:<20} {variable.unit}".rstrip()


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


__all__ = [
    "Description",
    "LiteratureHit",
    "OutlierScore",
    "Paper",
    "SimilarSource",
    "Variable",
    "descriptions_table",
    "literature_lines",
    "variable_text",
]
