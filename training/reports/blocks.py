"""Report of a run: sections of text, tables and figures, rendered as Markdown and HTML.

The HTML stands alone: its figures are inside it, and it loads nothing.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hf_specclip.storage import write_text


@dataclass(frozen=True)
class Paragraph:
    """Running text; `**bold**` and `` `code` `` are the only marks."""

    form: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Code:
    """Lines to copy, such as a command."""

    form: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of text cells under a head; columns after the first are aligned to the right."""

    form: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """PNG of a report, with its caption."""

    form: ClassVar[str] = "figure"
    path: Path
    caption: str

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` address."""
        return f"data:image/png;base64,{base64.b64encode(self.path.read_bytes()).decode('ascii')}"


@dataclass
class Section:
    """Blocks under a title."""

    title: str
    blocks: list[Paragraph | Code | Table | Figure] = field(default_factory=list)


@dataclass
class Study:
    """Result of one part of the evaluation.

    Attributes:
        metrics: figures for `metrics.json`, plain numbers and text.
        sections: the same for readers.
    """

    metrics: dict[str, Any]
    sections: list[Section]


def skipped_study(title: str, reason: str) -> Study:
    """Return the result of a study that was not possible, with the reason."""
    return Study({"skipped": reason}, [Section(title, [Paragraph(f"Not measured: {reason}.")])])


def write_report(folder: str | Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write `report.md` and `report.html` to a folder; return the two paths."""
    markdown, page = Path(folder) / "report.md", Path(folder) / "report.html"
    write_text(markdown, to_markdown(title, sections, Path(folder)))
    write_text(page, _render("report.html.jinja", title=title, sections=sections))
    return markdown, page


def to_markdown(title: str, sections: Sequence[Section], folder: Path) -> str:
    """Render a report as Markdown; figures are linked relative to `folder`."""
    return _render("report.md.jinja", title=title, sections=sections, folder=folder)


def metric_title(name: str) -> str:
    """Return a metric's name for readers: `Recall@1%`, `median rank`."""
    return name.replace("recall@", "Recall@").replace("_", " ")


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=".html" in template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    environment.filters["marked"] = _marked
    environment.filters["link"] = lambda path, folder: Path(
        os.path.relpath(path, folder)
    ).as_posix()
    return environment.get_template(template).render(values)


def _marked(text: str) -> Markup:
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html))
