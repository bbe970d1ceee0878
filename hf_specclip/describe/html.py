"""Descriptions as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .description import Description, LiteratureHit, Variable

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #26323f; margin: 0 auto; max-width: 62rem;
  padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccd;
  overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
td, th { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #ccd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { max-width: 100%; height: auto; }
.note { background: #fdf6e3; padding: .4rem .8rem; border-left: 3px solid #d9a441; }
.soft { color: #66717f; }
"""


def page(found: Sequence[Description], title: str | None = None) -> str:
    """A whole page: an overview where there are several, then each with its plot.

    What comes from files and indexes is escaped: none of it can bring markup or scripts along, and
    links lead to ADS, arXiv and doi.org only.

    Args:
        found: one or more.
        title: of the page.

    Raises:
        ValueError: without descriptions.
        ImportError: where matplotlib is not installed.
    """
    if not found:
        raise ValueError("no descriptions to make a page of")
    if title is None:
        title = _short(found[0]) if len(found) == 1 else f"{len(found)} spectra"
    parts = [f"<h1>{escape(title)}</h1>"]
    parts.append(f'<p class="soft">By the model {escape(found[0].model)}.</p>')
    if len(found) > 1:
        parts.append(_overview(found))
    parts += [_section(one, place) for place, one in enumerate(found, start=1)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Even a mistake above could load or run nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _overview(found: Sequence[Description]) -> str:
    rows = []
    for place, one in enumerate(found, start=1):
        kind = next(iter(one.classes.items()), None)
        rows.append(
            [
                f'<a href="#spectrum-{place}">{escape(_short(one))}</a>',
                _number(one.source["net_counts_0.5_8kev"]),
                "–" if kind is None else f"{escape(kind[0])} ({kind[1]:.0%})",
                escape(one.similar[0].name) if one.similar else "–",
                "–" if one.outlier is None else f"{one.outlier.percentile:.0f}",
            ]
        )
    head = ["spectrum", "net counts", "class", "closest source", "odder than, %"]
    return _table(head, rows, numbers=(1, 4))


def _section(one: Description, place: int) -> str:
    from .plot import as_svg

    source = one.source
    facts = [
        f"{source['net_counts_0.5_8kev']:,.1f} ± {source['net_counts_error_0.5_8kev']:,.1f} net "
        f"counts at 0.5–8 keV in {source['exposure_s']:,.0f} s"
    ]
    name = source.get("source_name")
    facts += [f"source {escape(str(name))}"] if name else []
    facts += [f"ObsID {source['obsid']}"] if source.get("obsid") is not None else []
    # Ids inside the drawing are made unique, so that two drawings do not share a clip.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>p{place}-", as_svg(one))
    parts = [f'<h2 id="spectrum-{place}">{escape(_short(one))}</h2>', f"<p>{', '.join(facts)}</p>"]
    parts += [f'<p class="note">{escape(note)}</p>' for note in one.notes]
    parts.append(svg)
    if one.literature:
        parts.append("<h3>Literature it comes close to</h3>")
        parts.append(
            _table(
                ["score", "sources", "papers"],
                [
                    [f"{hit.score:+.3f}", escape(", ".join(hit.source_names[:3])), _papers(hit)]
                    for hit in one.literature
                ],
                numbers=(0,),
            )
        )
    if one.similar:
        parts.append("<h3>Similar sources</h3>")
        parts.append(
            _table(
                ["score", "source", "class", "counts", "ObsID"],
                [
                    [
                        f"{other.score:+.3f}",
                        escape(other.name),
                        escape(other.source_class or "–"),
                        _number(other.counts),
                        str(other.obsid if other.obsid is not None else "–"),
                    ]
                    for other in one.similar
                ],
                numbers=(0, 3, 4),
            )
        )
    if one.classes:
        parts.append("<h3>Class, by what the classes are called</h3>")
        shown = list(one.classes.items())[:8]
        parts.append(
            _table(["probability", "class"], [[f"{s:.1%}", escape(k)] for k, s in shown], (0,))
        )
    if one.variables:
        parts.append("<h3>Variables</h3>")
        head = ["variable", "value", "68 %", "90 %", "unit"]
        parts.append(_table(head, [_variable(one) for one in one.variables], (1, 2, 3)))
    if one.outlier:
        parts.append("<h3>How unlike others</h3>")
        parts.append(
            f"<p>Odder than {one.outlier.percentile:.0f} % of the reference spectra (score "
            f"{one.outlier.score:.3f}).</p>"
        )
        odd = "".join(f"<li>{escape(words)}</li>" for words in one.outlier.odd)
        parts.append(f"<ul>{odd}</ul>" if odd else "")
    return "\n".join(parts)


def _papers(hit: LiteratureHit) -> str:
    told = []
    for paper in hit.papers[:3]:
        text = escape(paper.title or "untitled") + (f" ({paper.year})" if paper.year else "")
        link = paper.link or ""
        if link.startswith("https://"):
            text = f'<a rel="noreferrer" href="{escape(link, quote=True)}">{text}</a>'
        told.append(f'{text} <span class="soft">{escape(paper.id)}</span>')
    return "<br>".join(told)


def _variable(one: Variable) -> list[str]:
    return [
        escape(one.name),
        _number(one.value),
        f"{_number(one.lower_68)} – {_number(one.upper_68)}",
        f"{_number(one.lower_90)} – {_number(one.upper_90)}",
        escape(one.unit),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are markup already; those of `numbers` stand to the right."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="number">{cell}</td>' if place in numbers else f"<td>{cell}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _number(value: Any) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _short(one: Description) -> str:
    return one.title.replace("\\", "/").rsplit("/", 1)[-1]


__all__ = ["page"]
