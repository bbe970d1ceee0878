"""Tables of the ideal observer's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DIRECTIONS = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}


@dataclass(frozen=True)
class Description:
    """Text and tables."""

    about: str  # a paragraph
    tables: Sequence[tuple[str, list[str], list[list[str]]]]  # title, head and rows of each


def describe_ceiling(metrics: Mapping[str, Any]) -> Description:
    """Format the metrics of `study.Ceiling` as text and tables."""
    monte_carlo = metrics["monte_carlo"]
    gain = monte_carlo["gain_by_doubling"]
    per_text = monte_carlo["effective_per_text"]
    per_spectrum = monte_carlo["effective_per_spectrum"]
    about = (
        "The ideal observer knows the simulation and every statement of a text, and ranks by the "
        "exact likelihood of the spectrum given those statements. The integral is a sum over "
        f"{monte_carlo['members']:,} sources, of which {per_text:.0f} count for the median text "
        f"and {per_spectrum:.0f} for the median spectrum; the last doubling of their number "
        "changed "
        + ", ".join(f"{_title(name)} by {100 * value:+.1f} points" for name, value in gain.items())
        + ". Noise in the sums makes the figures too low, if anything."
    )
    tables = [_retrieval(metrics["retrieval"]), _writers(metrics["by_writer"])]
    return Description(about, tables)


def to_text(description: Description) -> str:
    """Format as Markdown, for a terminal."""
    parts = [description.about]
    for title, head, rows in description.tables:
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = [
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
            for row in [head, ["-" * width for width in widths], *rows]
        ]
        parts += [title, "\n".join(lines)]
    return "\n\n".join(parts)


def _retrieval(figures: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for direction, title in _DIRECTIONS.items():
        for name, figure in figures[direction].items():
            if isinstance(figure, Mapping) and name != "median_rank":
                value, low, high, chance = (
                    f"{100 * figure[key]:.1f} %" for key in ("value", "low", "high", "chance")
                )
                rows.append([title, _title(name), value, f"{low} to {high}", chance])
    return (
        "The ceiling for retrieval:",
        ["direction", "figure", "ideal observer", "95 % interval", "chance"],
        rows,
    )


def _writers(figures: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for writer, by_direction in figures.items():
        found = by_direction["spectrum_to_text"]
        row = [writer, f"{found['n_queries']:,}", f"{found['n_gallery']:,}"]
        for name in ("recall@1%", "recall@5%", "median_rank_fraction"):
            figure = found.get(name)
            row.append(f"{100 * figure['value']:.1f} %" if figure else "")
        rows.append(row)
    return (
        "By writer, spectrum → text, each in a gallery of these texts alone:",
        ["writer", "spectra", "texts", "Recall@1%", "Recall@5%", "median rank / gallery"],
        rows,
    )


def _title(name: str) -> str:
    return name.replace("recall@", "Recall@").replace("_fraction", " / gallery").replace("_", " ")
