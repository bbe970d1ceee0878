"""The sections of a report on retrieval: both directions, with chance and the ideal observer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specclip_training.reports.blocks import Figure, Paragraph, Section, Table

from hf_specclip.evaluation import plot_recall_curve

TITLES = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}
IDEAL = "ideal observer"


def retrieval_sections(
    models: Mapping[str, Mapping[str, Any]],
    curves: Mapping[str, Mapping[str, Mapping[str, Any]]],
    figures: Path,
    *,
    simulated: bool,
    ideal: Mapping[str, Any] | None = None,
    split: str = "test",
) -> list[Section]:
    """The paper's table 1 and figure 2, for one model or several rows of them.

    Args:
        models: by label (a preset, the ensemble) what `evaluate_retrieval` gave.
        curves: by direction and label what `recall_curve` gave; a label `IDEAL` is the ideal
            observer's. A direction may be absent.
        figures: folder for `recall_DIRECTION.png`, below the report's.
        simulated: whether the data are.
        ideal: the ideal observer's figures, in the form of `models`' values; None where the data
            has none.
        split: what was measured on.

    Returns:
        One section for each direction.
    """
    word = "simulated " if simulated else ""
    read = " which was read once, at the end." if split == "test" else " for comparison."
    about = (
        f"Measured on the {word}`{split}` split,{read} A hit is a rank within the top k % of the "
        "gallery, rounded up to whole entries; each distinct text stands in it once. Intervals "
        "(95 %) come from resampling whole groups, and chance is what a gallery in random order "
        "gives."
    )
    if ideal:
        about += (
            " The ideal observer ranks by the exact likelihood of the spectrum under what each "
            "text states: no model can be expected to do better."
        )
    sections: list[Section] = []
    for direction, title in TITLES.items():
        section = Section(f"Retrieval, {title}", [])
        if not sections:
            section.blocks.append(Paragraph(about))
        section.blocks.append(_table(models, direction, (ideal or {}).get(direction)))
        if said := _within_chance(models, direction):
            section.blocks.append(Paragraph(said))
        if drawn := curves.get(direction):
            path = figures / f"recall_{direction}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            queries = next(iter(drawn.values()))["n_queries"]
            heading = f"Recall@k%, {word}{title}, {queries:,} queries"
            plot_recall_curve(drawn, path, title=heading)
            beside = "chance and the ideal observer" if IDEAL in drawn else "chance"
            section.blocks.append(
                Figure(path, f"Recall@k% against k with its 95 % band, {beside} ({word}{split}).")
            )
        sections.append(section)
    return sections


def _table(
    models: Mapping[str, Mapping[str, Any]], direction: str, ideal: Mapping[str, Any] | None
) -> Table:
    first = next(iter(models.values()))[direction]
    names = [name for name, figure in first.items() if isinstance(figure, Mapping)]
    head = ["", *(n.replace("recall", "Recall").replace("_", " ") for n in names)]
    rows = [
        [label, *(_with_interval(found[direction][name], name) for name in names)]
        for label, found in models.items()
    ]
    if ideal:
        rows.append(
            [IDEAL, *(_with_interval(ideal[name], name) if name in ideal else "" for name in names)]
        )
    rows.append(["chance", *(_number(first[name]["chance"], name) for name in names)])
    queries = f"{first['n_queries']:,} queries, gallery of {first['n_gallery']:,}"
    return Table([queries, *head[1:]], rows)


def _within_chance(models: Mapping[str, Mapping[str, Any]], direction: str) -> str | None:
    found = []
    for label, figures in models.items():
        for name, figure in figures[direction].items():
            if name.startswith("recall") and figure["low"] <= figure["chance"]:
                found.append(f"{name.replace('recall', 'Recall')} of {label}")
    if not found:
        return None
    return f"**Not told apart from chance** (the interval reaches down to it): {', '.join(found)}."


def _with_interval(figure: Mapping[str, Any], name: str) -> str:
    text = f"**{_number(figure['value'], name)}**"
    if figure.get("low") is None or figure.get("high") is None:
        return text
    return f"{text} ({_number(figure['low'], name)} to {_number(figure['high'], name)})"


def _number(value: float, name: str) -> str:
    return f"{value:.1f}" if name == "median_rank" else f"{value:.1%}"


__all__ = ["IDEAL", "TITLES", "retrieval_sections"]
