"""Report sections on a comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_specclip.formatting import format_metric, format_with_interval
from specclip_training.reports.blocks import Figure, Paragraph, Section, Table, metric_title
from specclip_training.reports.retrieval import TITLES

# Words in the names of mixtures, which have a table by variable.
_COMBINED = ("moe", "gate", "select")


def comparison_sections(metrics: Mapping[str, Any], figures: Mapping[str, Path]) -> list[Section]:
    """Write the sections on a comparison.

    Args:
        metrics: `comparison_study`'s.
        figures: PNG of the recall curves by direction; a direction may be absent.
    """
    word = "simulated " if metrics["simulated"] else ""
    first = metrics["reference"]
    about = Paragraph(
        f"{'**Simulated.** ' if metrics['simulated'] else ''}All runs share data and splits "
        f"(`{metrics['dataset']}`, fingerprint `{metrics['dataset_fingerprint']}`), measured on "
        f"the {word}`test` split. A preset with several seeds is represented by their median. "
        f"Intervals are 95 % bootstrap intervals over groups; differences to `{first}` are paired "
        "by query on the same draws, and in bold where the interval excludes 0."
    )
    runs = Table(
        ["preset", "runs", "seeds", "text embedder"],
        [
            [label, str(len(arm["runs"])), ", ".join(map(str, arm["seeds"])),
             ", ".join(arm["text_model"])]
            for label, arm in metrics["presets"].items()
        ],
    )  # fmt: skip
    sections = [Section("Runs compared", [about, runs])]
    for direction, title in TITLES.items():
        retrieval = metrics["retrieval"][direction]
        section = Section(f"Retrieval, {title}", [_retrieval(retrieval, first)])
        if direction in figures:
            lines = "chance and the ideal observer" if "ideal" in retrieval else "chance"
            caption = f"Recall@k% against k with its 95 % band, {lines} ({word}{title})."
            section.blocks.append(Figure(figures[direction], caption))
        sections.append(section)
    if metrics["regression"]:
        sections.append(_regression(metrics["regression"], first))
    return sections


def _retrieval(retrieval: Mapping[str, Any], first: str) -> Table:
    presets, differences = retrieval["presets"], retrieval["differences"]
    ideal = retrieval.get("ideal", {})
    head = ["figure", *presets, *(f"{label} − {first}" for label in differences)]
    head += (["ideal observer"] if ideal else []) + ["chance"]
    rows = []
    for name, reference in presets[first].items():
        row = [metric_title(name)]
        row += [_with_seeds(figures[name], name) for figures in presets.values()]
        row += [_difference(figures[name], name) for figures in differences.values()]
        if ideal:
            row.append(format_metric(ideal[name]["value"], name) if name in ideal else "")
        chance = reference["chance"]
        rows.append([*row, "" if chance is None else format_metric(chance, name)])
    return Table(head, rows)


def _regression(regression: Mapping[str, Any], first: str) -> Section:
    section = Section("Physical variables", [])
    for label, methods in regression["gain"].items():
        names = list(next(iter(methods.values())))
        about = (
            f"Mean over {len(regression['n_rows'])} variables of 1 − MAE / MAE of `{first}`. Rows "
            f"are methods of `{label}`, columns those of `{first}`; positive where `{label}` has "
            "the smaller errors."
        )
        rows = [
            [method, *(format_with_interval(gains[name]["mean"]) for name in names)]
            for method, gains in methods.items()
        ]
        section.blocks += [Paragraph(about), Table([f"{label} against {first}", *names], rows)]
        shared = [name for name in methods if name in names]
        combined = [name for name in shared if any(word in name for word in _COMBINED)]
        for method in combined or shared:
            section.blocks.append(_by_variable(regression, first, label, method))
    return section


def _by_variable(regression: Mapping[str, Any], first: str, label: str, method: str) -> Table:
    rows = [
        [
            name,
            f"{count:,}",
            *(
                format_with_interval(regression["mae"][preset][method][name], spec=".4g")
                for preset in (first, label)
            ),
            format_with_interval(regression["gain"][label][method][method][name]),
        ]
        for name, count in regression["n_rows"].items()
    ]
    return Table([f"MAE, {method}", "rows", first, label, f"gain of {label}"], rows)


def _with_seeds(figure: Mapping[str, Any], name: str) -> str:
    text, seeds = format_with_interval(figure, name), figure["seeds"]
    if len(seeds) > 1:
        low, high = (format_metric(end, name) for end in (min(seeds), max(seeds)))
        text += f", seeds {low} to {high}"
    return text


def _difference(figure: Mapping[str, Any], name: str) -> str:
    text = format_with_interval(figure, name, sign="+")
    excludes_zero = figure["low"] > 0 or figure["high"] < 0
    return f"**{text}**" if excludes_zero else text
