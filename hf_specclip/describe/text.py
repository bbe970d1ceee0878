"""Descriptions and search results as text for a terminal."""

from __future__ import annotations

from ..classify.probe import ProbeAnswer
from ..formatting import format_number, format_range, plain
from .answers import Answer, SourceHit
from .description import Description, LiteratureHit, SimilarSource, Variable
from .limitations import VARIABILITY
from .measured import fit_lines, fit_values, variability_lines
from .neighbours import position_name

_FAMILIES_SHOWN, _CLASSES_SHOWN = 3, 3
_SUMMARY_LENGTH, _OBSERVATIONS_SHOWN = 200, 3


def render_text(description: Description) -> str:
    """Format a description: limitations, measured, inferred and similar sources."""
    lines = [description.title]
    if description.limitations:
        lines.append("  outside the training range")
        lines += [f"    ! {limitation.text}" for limitation in description.limitations]
        if withheld := description.withheld_sections:
            lines.append(f"    withheld: {', '.join(withheld)}")
    lines += _measured_lines(description)
    lines += _inferred_lines(description)
    if description.outlier:
        outlier = description.outlier
        lines.append(f"\n  outlier percentile {outlier.percentile:.0f} (score {outlier.score:.3f})")
        lines += [f"    {reason}" for reason in outlier.reasons]
    lines += catalogue_lines(description)
    if description.literature:
        lines.append(f"\n  literature (nearest of {description.gallery['papers']:,} texts)")
        for hit in description.literature:
            lines += literature_lines(hit)
    if description.notes:
        lines.append("")
        lines += [f"  note: {note}" for note in description.notes]
    return plain("\n".join(lines))


def _measured_lines(description: Description) -> list[str]:
    lines = ["  measured", f"    {', '.join(_observation(description))}"]
    lines += [f"    {line}" for line in variability_lines(description.source)]
    if "fit" not in description.sections:
        return lines
    if description.fit is None:
        return [*lines, "    not fitted: ARF and RMF are required"]
    return lines + [f"    {line}" for line in fit_lines(description.fit)]


def _inferred_lines(description: Description) -> list[str]:
    lines = []
    if description.variables:
        lines.append("\n  inferred catalogue variables with 68 % and 90 % intervals")
        fitted = fit_values(description.fit)
        for variable in description.variables:
            fit = f"fit {fitted[variable.name]}" if variable.name in fitted else ""
            lines.append(f"    {_variable_line(variable):<79} {fit}".rstrip())
        if hidden := [name for name in VARIABILITY if name in description.withheld]:
            lines.append(
                f"    not inferred: {', '.join(hidden)} ({description.withheld[hidden[0]]})"
            )
    if "check" in description.sections and description.check is not None:
        lines.append("\n  posterior-predictive check")
        lines += [f"    {line}" for line in description.check.lines_of_text()]
    if description.classes:
        caveat = "" if description.class_stands_out else ": no class stands out"
        lines.append(f"\n  class{caveat}")
        for family in description.families[:_FAMILIES_SHOWN]:
            lines.append(f"    {family.probability:6.1%}  {family.name}")
            for name, probability in list(family.classes.items())[:_CLASSES_SHOWN]:
                lines.append(f"            {probability:6.1%}  {name}")
    for answer in description.probes:
        lines += ["", *(f"  {line}" for line in probe_lines(answer))]
    return lines


def probe_lines(answer: ProbeAnswer) -> list[str]:
    """Format the prediction of a probe on user labels."""
    lines = []
    if answer.value is not None:
        ends = (answer.lower_68, answer.upper_68), (answer.lower_90, answer.upper_90)
        intervals = "  ".join(f"({format_range(*each)})" for each in ends)
        lines.append(f"{answer.probe} (own labels)  {format_number(answer.value)}  {intervals}")
    else:
        lines.append(f"{answer.probe} (own labels)")
        ranked = list(answer.probabilities.items())[:_CLASSES_SHOWN]
        lines += [f"  {probability:6.1%}  {name}" for name, probability in ranked]
    if answer.none_of_these:
        far = f"farther away than {answer.distance_percentile:.0f} % of the labelled spectra"
        lines.append(f"  possibly none of these classes: {far}")
    return lines


def catalogue_lines(description: Description) -> list[str]:
    """Format the sources at the position of a spectrum, similar sources, and links."""
    lines = []
    if description.at_position:
        lines.append(f"\n  catalogue sources at {position_name(description.source)}")
        lines += [line for source in description.at_position for line in source_card(source)]
    if description.similar:
        lines.append(f"\n  similar sources (of {description.gallery['spectra']:,} spectra)")
        lines += [line for source in description.similar for line in source_card(source)]
    if description.links:
        lines.append(f"\n  catalogue links for {position_name(description.source)}")
        lines += [f"    {name:<24} {link}" for name, link in description.links.items()]
    return lines


def literature_lines(hit: LiteratureHit) -> list[str]:
    """Format a text with its papers."""
    more = f" and {len(hit.source_names) - 2} more" if len(hit.source_names) > 2 else ""
    lines = [f"    {hit.rank:>2}. {hit.score:+.3f}  {', '.join(hit.source_names[:2])}{more}"]
    summary = next((section for section in hit.summary.values() if section), None)
    if summary:
        shortened = len(summary) > _SUMMARY_LENGTH
        lines.append(f"        {summary[: _SUMMARY_LENGTH - 1] + '…' if shortened else summary}")
    for paper in hit.papers[:3]:
        year = f" ({paper.year})" if paper.year else ""
        title = f"{paper.title}{year}  " if paper.title else ""
        lines.append(f"        · {title}{paper.link or paper.id}")
    return lines


def source_card(source: SimilarSource) -> list[str]:
    """Format a source of the index with its names, host and papers."""
    return [source_line(source), *_detail_lines(source)]


def _detail_lines(source: SimilarSource) -> list[str]:
    lines = []
    parts = [f"in {source.host}" if source.host else "", ", ".join(source.aliases[:3])]
    if any(parts):
        lines.append(f"        {'; '.join(part for part in parts if part)}")
    for paper in source.papers[:3]:
        about = f" (about its {paper.about})" if paper.about in ("host", "class") else ""
        title = f"{paper.title}  " if paper.title else ""
        lines.append(f"        · {title}{paper.link or paper.id}{about}")
    return lines


def source_line(source: SimilarSource, coordinates: bool = False) -> str:
    """Format a spectrum of the index as a line, optionally with coordinates (degrees)."""
    counts = "" if source.counts is None else f"{source.counts:>8,} counts"
    position = ""
    if coordinates and source.ra is not None and source.dec is not None:
        position = f"  {source.ra:9.5f} {source.dec:+9.5f}"
    gap = source.separation_arcsec
    return (
        f"    {source.rank:>2}. {_score(source.score if gap is None else None, gap)}  "
        f"{source.name:<26}"
        f"{source.source_class or '–':<14}{counts}{position}"
    )


def _score(score: float | None, separation_arcsec: float | None) -> str:
    """Format a cosine, else a separation, to six characters; blank without either."""
    if score is not None:
        return f"{score:+.3f}"
    return " " * 6 if separation_arcsec is None else f"{separation_arcsec:5.1f}″"


def answer_lines(answer: Answer) -> list[str]:
    """Format the parsed query and the sources or papers of an answer."""
    lines = [f"  {line}" for line in (*answer.question.lines(), *answer.notes)]
    if answer.question.refusal is None and not answer.hits:
        lines.append("no results match these conditions")
    for hit in answer.hits:
        if isinstance(hit, LiteratureHit):
            lines += literature_lines(hit)
            continue
        lines += _source_lines(hit)
        if answer.question.sources:  # requested by name
            lines += _detail_lines(hit.observations[0])
    return lines


def _source_lines(source: SourceHit) -> list[str]:
    position = ""
    if source.ra is not None and source.dec is not None:
        position = f"  {source.ra:9.5f} {source.dec:+9.5f}"
    values = "".join(
        f"  {name} {format_number(value)}"
        for name, value in source.values.items()
        if name != "counts"
    )
    lines = [
        f"    {source.rank:>2}. {_score(source.score, source.separation_arcsec)}  "
        f"{source.name:<26}{source.source_class or '–':<14}{position}{values}"
    ]
    for observation in source.observations[:_OBSERVATIONS_SHOWN]:
        counts = "" if observation.counts is None else f"{observation.counts:,} counts"
        number = "" if observation.obsid is None else f"ObsID {observation.obsid}"
        if number or counts:  # unknown for entries made from catalogue fluxes
            lines.append(f"        {'  '.join(part for part in (number, counts) if part)}")
    if (more := len(source.observations) - _OBSERVATIONS_SHOWN) > 0:
        lines.append(f"        and {more} more")
    return lines


def _observation(description: Description) -> list[str]:
    source = description.source
    parts = []
    name = source.get("source_name")
    if name and name != description.title:
        parts.append(str(name))
    if source.get("obsid") is not None:
        parts.append(f"ObsID {source['obsid']}")
    net, error = source["net_counts_0.5_8kev"], source["net_counts_error_0.5_8kev"]
    exposure = source["exposure_s"]
    parts.append(f"{net:,.1f} ± {error:,.1f} net counts at 0.5–8 keV in {exposure:,.0f} s")
    return parts


def _variable_line(variable: Variable) -> str:
    """Format a variable: `powlaw_gamma  1.67  (1.56 – 1.8)  (1.4 – 1.9)`, and its unit."""
    intervals = [
        f"({format_range(low, high)})"
        for low, high in (
            (variable.lower_68, variable.upper_68),
            (variable.lower_90, variable.upper_90),
        )
    ]
    value = format_number(variable.value)
    shown = f"{variable.name:<20} {value:>9}  {intervals[0]:<20} {intervals[1]:<20}"
    return f"{shown} {variable.unit}".rstrip()
