"""The report of a run: sections of text, tables and figures, written as Markdown and as HTML.

The HTML stands alone: its figures are inside it, and it loads nothing.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specclip_training.engine.loop import history_of

from hf_specclip.storage import write_text


@dataclass(frozen=True)
class Paragraph:
    """Text; `**bold**` and `` `code` `` are the only marks."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines to copy, such as a command."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first column is text, the others stand to the right.

    Attributes:
        head: titles of the columns.
        rows: cells as text, as many as the head.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; `path` is a PNG below the report's folder."""

    path: Path
    caption: str


@dataclass
class Section:
    """A title and what stands under it."""

    title: str
    blocks: list[Paragraph | Code | Table | Figure] = field(default_factory=list)


@dataclass
class Study:
    """What one part of the evaluation found.

    Attributes:
        metrics: figures for `metrics.json`, plain numbers and text.
        sections: the same for people.
    """

    metrics: dict[str, Any]
    sections: list[Section]


def write_report(folder: str | Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write `report.md` and `report.html`.

    Args:
        folder: of the run; figures lie below it.
        title: of the report.
        sections: in reading order.

    Returns:
        The two files.
    """
    folder = Path(folder)
    markdown, page = folder / "report.md", folder / "report.html"
    write_text(markdown, to_markdown(title, sections, folder))
    write_text(page, to_html(title, sections))
    return markdown, page


def to_markdown(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The report as Markdown; figures are linked relative to `folder`."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Paragraph):
                parts.append(block.text)
            elif isinstance(block, Code):
                parts.append(f"```\n{block.text}\n```")
            elif isinstance(block, Table):
                head = [_cell(cell) for cell in block.head]
                lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
                lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in block.rows]
                parts.append("\n".join(lines))
            else:
                place = block.path.relative_to(folder).as_posix()
                parts.append(f"![{_cell(block.caption)}]({place})\n\n*{block.caption}*")
    return "\n\n".join(parts) + "\n"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The report as one HTML page without outside references."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        for block in section.blocks:
            if isinstance(block, Paragraph):
                body.append(f"<p>{_marked(block.text)}</p>")
            elif isinstance(block, Code):
                body.append(f"<pre>{html.escape(block.text)}</pre>")
            elif isinstance(block, Table):
                head = "".join(f"<th>{_marked(cell)}</th>" for cell in block.head)
                rows = "".join(
                    "<tr>" + "".join(f"<td>{_marked(cell)}</td>" for cell in row) + "</tr>"
                    for row in block.rows
                )
                body.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
            else:
                data = base64.b64encode(block.path.read_bytes()).decode("ascii")
                caption = html.escape(block.caption)
                body.append(
                    f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
                    f"<figcaption>{caption}</figcaption></figure>"
                )
    return _PAGE.format(title=html.escape(title), body="\n".join(body))


def retrieval_table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Both directions of `evaluate_retrieval`, each figure with its interval and chance."""
    names = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}
    head = ["direction", "figure", "value", "95 % interval", "chance", "queries", "gallery"]
    rows = []
    for direction, found in figures.items():
        for name, figure in found.items():
            if not isinstance(figure, Mapping):
                continue
            form = "{:.1f}" if name == "median_rank" else "{:.1%}"
            value, low, high, chance = (
                form.format(figure[key]) for key in ("value", "low", "high", "chance")
            )
            title = name.replace("recall@", "Recall@").replace("_", " ")
            counts = [f"{found['n_queries']:,}", f"{found['n_gallery']:,}"]
            rows.append(
                [names[direction], title, f"**{value}**", f"{low} to {high}", chance, *counts]
            )
    return Table(head, rows)


def with_interval(figure: Mapping[str, float], form: str = "{:.2f}") -> str:
    """A figure and its interval, as `0.42 (0.38 to 0.45)`.

    Args:
        figure: with `value`, `low` and `high`.
        form: of a number.
    """
    value, low, high = (form.format(figure[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def plot_history(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    best_steps: Mapping[str, int],
    path: str | Path,
) -> Path:
    """Loss against step, one panel for each stage: training, validation, the step that was kept.

    Args:
        histories: of `FitResult`, by stage.
        best_steps: the step whose weights were kept, by stage.
        path: PNG to write.
    """
    # The object interface needs no display and leaves the reader's backend alone.
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(4.6 * len(histories), 3.4), layout="constrained", dpi=110)
    panels = canvas.subplots(1, len(histories), squeeze=False)[0]
    for panel, (stage, history) in zip(panels, histories.items(), strict=True):
        for name, label, colour in (
            ("train_loss", "train", "#1f77b4"),
            ("loss", "validation", "#d95f02"),
        ):
            panel.plot(*history_of(history, name), label=label, color=colour, lw=1.6)
        if stage in best_steps:
            panel.axvline(best_steps[stage], color="0.5", lw=1, ls="--", label="kept")
        panel.set(title=stage, xlabel="step", ylabel="loss")
        panel.grid(alpha=0.25)
        panel.legend(frameon=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path)
    return path


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _marked(text: str) -> str:
    escaped = html.escape(str(text))
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #1b1f24; background: #fff; }}
h1 {{ font-size: 1.7rem; }} h2 {{ font-size: 1.25rem; margin-top: 2rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }}
th, td {{ padding: 0.25rem 0.7rem; border-bottom: 1px solid #d8dee4; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
figure {{ margin: 1rem 0; }} img {{ max-width: 100%; height: auto; }}
figcaption {{ color: #57606a; font-size: 0.9rem; }}
pre {{ background: #f6f8fa; padding: 0.7rem; overflow-x: auto; font-size: 0.85rem; }}
code {{ background: #f6f8fa; padding: 0 0.2rem; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


__all__ = [
    "Code",
    "Figure",
    "Paragraph",
    "Section",
    "Study",
    "Table",
    "plot_history",
    "retrieval_table",
    "to_html",
    "to_markdown",
    "with_interval",
    "write_report",
]
