"""Report sections on retrieval: both directions, with chance and the ideal observer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_specclip.evaluation import plot_recall_curve
from hf_specclip.formatting import format_metric, format_with_interval
from specclip_training.reports.blocks import Figure, Paragraph, Section, Table, metric_title

TITLES = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}
IDEAL = "ideal observer"


def retrieval_sections(
    label: str,
    figures: Mapping[str, Mapping[str, Any]],
    curves: Mapping[str, Mapping[str, Mapping[str, Any]]],
    folder: Path,
    *,
    simulated: bool,
    ideal: Mapping[str, Any] | None = None,
) -> list[Section]:
    """Write the paper's table 1 and figure 2, one section for each direction.

    Args:
        label: name of the model.
        figures: `evaluate_ranks`' of it.
        curves: `recall_curve`'s by direction and label; the label `IDEAL` is the ideal observer's.
            A direction may be absent.
        folder: folder for `recall_DIRECTION.png`, below the report's.
        simulated: True where the data are.
        ideal: the ideal observer's figures, in the form of `figures`; None where there are none.
    """
    word = "simulated " if simulated else ""
    about = (
        f"Measured on the {word}`test` split. A hit is a rank within the top k % of the gallery, "
        "rounded up to whole entries; each distinct text appears once in it. Intervals are 95 % "
        "bootstrap intervals over groups; chance is a gallery in random order."
    )
    if ideal:
        about += (
            " The ideal observer ranks by the exact likelihood of the spectrum under the "
            "statements of each text: an upper limit for any model."
        )
    sections: list[Section] = []
    for direction, title in TITLES.items():
        section = Section(f"Retrieval, {title}", [] if sections else [Paragraph(about)])
        limit = (ideal or {}).get(direction)
        section.blocks.append(retrieval_table(label, figures[direction], limit))
        recalls = {n: f for n, f in figures[direction].items() if n.startswith("recall")}
        at_chance = [metric_title(n) for n, f in recalls.items() if f["low"] <= f["chance"]]
        if at_chance:
            text = f"**Consistent with chance** (inside the interval): {', '.join(at_chance)}."
            section.blocks.append(Paragraph(text))
        if drawn := curves.get(direction):
            path = folder / f"recall_{direction}.png"
            plot_curves(drawn, path, f"{word}{title}")
            lines = "chance and the ideal observer" if IDEAL in drawn else "chance"
            caption = f"Recall@k% against k with its 95 % band, {lines} ({word}test)."
            section.blocks.append(Figure(path, caption))
        sections.append(section)
    return sections


def retrieval_table(
    label: str, figures: Mapping[str, Any], ideal: Mapping[str, Any] | None = None
) -> Table:
    """Write the figures of one direction as a table of the model, the ideal observer and chance."""
    names = [name for name, figure in figures.items() if isinstance(figure, Mapping)]
    rows = [
        [title, *(_cell(values[name], name) if name in values else "" for name in names)]
        for title, values in ((label, figures), (IDEAL, ideal))
        if values
    ]
    rows.append(["chance", *(format_metric(figures[name]["chance"], name) for name in names)])
    queries = f"{figures['n_queries']:,} queries, gallery of {figures['n_gallery']:,}"
    return Table([queries, *map(metric_title, names)], rows)


def writers_section(
    by_writer: Mapping[str, Mapping[str, Any]],
    ideal: Mapping[str, Mapping[str, Any]],
    unseen: Sequence[str],
    direction: str = "spectrum_to_text",
) -> Section:
    """Write the section on retrieval by writer.

    Args:
        by_writer: `measure_by_writer`'s figures.
        ideal: the ideal observer's in the same form; writers may be absent.
        unseen: writers that `train` lacks.
        direction: `spectrum_to_text` or `text_to_spectrum`.
    """
    names = ("recall@1%", "recall@5%", "median_rank_fraction")
    rows = []
    for writer, figures in by_writer.items():
        values = figures[direction]
        row = [
            f"{writer} (unseen)" if writer in unseen else writer,
            f"{values['n_queries']:,}",
            f"{values['n_gallery']:,}",
            *(_cell(values[name], name) if name in values else "" for name in names),
        ]
        if ideal:
            limit = ideal.get(writer, {}).get(direction, {}).get("recall@1%", {}).get("value")
            share = f"{values['recall@1%']['value'] / limit:.0%}" if limit else ""
            row += ["" if limit is None else f"{limit:.1%}", share]
        rows.append(row)
    head = ["writer", "queries", "gallery", *(metric_title(name) for name in names)]
    about = (
        "The texts of each writer are a gallery of their own, searched by their spectra. Unseen "
        "writers have no text in `train` and had no part in the choice of the weights."
    )
    table = Table([*head, *(["ideal Recall@1%", "share of the ideal"] if ideal else [])], rows)
    return Section(f"Retrieval by writer, {TITLES[direction]}", [Paragraph(about), table])


def plot_curves(curves: Mapping[str, Mapping[str, Any]], path: Path, subject: str) -> None:
    """Plot Recall@k% of several models, the ideal observer and chance in one figure.

    Args:
        curves: `recall_curve`'s by label.
        path: the PNG to write.
        subject: the data and direction, for the title.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    queries = next(iter(curves.values()))["n_queries"]
    plot_recall_curve(curves, path, title=f"Recall@k%, {subject}, {queries:,} queries")


def _cell(figure: Mapping[str, Any], name: str) -> str:
    value, _, interval = format_with_interval(figure, name).partition(" ")
    return f"**{value}** {interval}".rstrip()
