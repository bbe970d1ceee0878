"""The parts of the page that are text: everything from files and indexes is escaped."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..describe.description import (
        Description,
        LiteratureHit,
        OutlierScore,
        SimilarSource,
        Variable,
    )

_CLASSES_SHOWN = 8
_PAPERS_SHOWN = 4


def header(model: str, papers: int, spectra: int, simulated: bool) -> str:
    """Title of the page, what is searched, and whether any of it is real."""
    searched = f"{papers:,} texts and {spectra:,} spectra" if spectra else f"{papers:,} texts"
    searched += ", all simulated: sources and papers are invented" if simulated else ""
    return (
        '<header class="sc-head"><h1>SpecCLIP</h1><p>Drop an X-ray spectrum: see the literature '
        "it resembles, what it may be, and how unusual it is.</p>"
        f'<p class="sc-soft">Model <b>{escape(model)}</b>, with {searched}.</p></header>'
    )


def message(words: str, kind: str = "error") -> str:
    """One sentence to the visitor; `kind` is `error` or `note`."""
    return f'<div class="sc-message sc-{kind}" role="alert">{escape(words)}</div>'


def facts(found: Description) -> str:
    """What the spectrum is, and what to bear in mind."""
    source = found.source
    name = source.get("source_name") or found.title
    told = [
        f"<b>{source['net_counts_0.5_8kev']:,.1f} ± {source['net_counts_error_0.5_8kev']:,.1f}</b> "
        "net counts, 0.5–8 keV",
        f"{source['exposure_s'] / 1e3:,.4g} ks",
    ]
    where = " ".join(str(source[key]) for key in ("telescope", "instrument") if source.get(key))
    told += [escape(where)] if where else []
    told += [f"ObsID {source['obsid']}"] if source.get("obsid") is not None else []
    sides = [source[key] for key in ("arf", "rmf") if source.get(key)]
    told += [f"with {escape(' and '.join(sides))}"] if sides else []
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    return (
        f'<section class="sc-facts"><h2>{escape(str(name))}</h2><p>{" · ".join(told)}</p>'
        + (f'<ul class="sc-notes">{notes}</ul>' if notes else "")
        + "</section>"
    )


def classes(shares: Mapping[str, float]) -> str:
    """Probabilities as bars."""
    if not shares:
        return _card("Class", _absent("This model brings no classes."))
    rows = "".join(
        f'<div class="sc-bar"><span>{escape(kind)}</span><i><b style="width:{100 * share:.1f}%">'
        f"</b></i><em>{share:.0%}</em></div>"
        for kind, share in list(shares.items())[:_CLASSES_SHOWN]
    )
    left = len(shares) - _CLASSES_SHOWN
    more = f'<p class="sc-soft">and {left} less likely</p>' if left > 0 else ""
    return _card("Class", f"{rows}{more}")


def literature(hits: Sequence[LiteratureHit], searched: int) -> str:
    """The texts that come closest, with their papers."""
    if not hits:
        return _card("Literature", _absent("This model brings no literature."))
    items = "".join(_text(hit) for hit in hits)
    return _card("Literature", f"<ol>{items}</ol>", f"closest of {searched:,} texts")


def variables(found: Sequence[Variable]) -> str:
    """The physical variables with their intervals."""
    if not found:
        return _card("Variables", _absent("This model brings no experts for variables."))
    rows = "".join(
        f"<tr><th>{escape(one.name)} <small>{escape(_unit(one.unit))}</small></th>"
        f"<td><b>{_number(one.value)}</b></td>"
        f"<td>{_number(one.lower_68)} – {_number(one.upper_68)}</td>"
        f'<td class="sc-wide">{_number(one.lower_90)} – {_number(one.upper_90)}</td></tr>'
        for one in found
    )
    head = '<tr><th>variable</th><td>estimate</td><td>68 %</td><td class="sc-wide">90 %</td></tr>'
    return _card("Variables", _table(head, rows), "with intervals")


def map_title() -> str:
    """What the map is, and what can be done with it."""
    return (
        '<div class="sc-title"><h2>Map of the catalogue</h2><p class="sc-soft">★ is this spectrum; '
        "near is alike, and nothing else can be read from it. Click a source to compare, drag a "
        "box to zoom, double-click to come back.</p></div>"
    )


def outlier(found: OutlierScore | None) -> str:
    """How unlike others, as a place on a scale."""
    title = "How unusual"
    if found is None:
        return _card(title, _absent("This model brings no detector of unusual sources."))
    share = min(max(found.percentile, 0.0), 100.0)
    scale = f'<div class="sc-scale"><i style="left:{share:.1f}%"></i></div>'
    ends = '<div class="sc-ends"><span>ordinary</span><span>odd</span></div>'
    odd = "".join(f"<li>{escape(words)}</li>" for words in found.odd)
    told = (
        f"<p>Odder than <b>{found.percentile:.0f} %</b> of the reference spectra (score "
        f"{found.score:.3f}).</p>"
    )
    return _card(title, f"{told}{scale}{ends}" + (f"<ul>{odd}</ul>" if odd else ""))


def similar(found: Sequence[SimilarSource]) -> str:
    """The spectra that come closest; each can be compared with."""
    if not found:
        return _card("Similar sources", _absent("This model brings no spectra to compare with."))
    rows = "".join(
        f"<tr><th>{escape(one.name)}<br><small>{escape(one.source_class or 'no class')}"
        f"{_counts(one)}</small></th><td>{one.score:+.2f}</td>"
        f'<td><button class="sc-button" data-compare="{escape(one.id)}" '
        f'aria-label="compare with {escape(one.name)}">compare</button></td></tr>'
        for one in found
    )
    head = "<tr><th>source</th><td>score</td><td></td></tr>"
    return _card("Similar sources", _table(head, rows))


def answers(found: Iterable[tuple[SimilarSource, str]]) -> str:
    """Spectra that a question found, each with a small drawing of it (an SVG element)."""
    cards = "".join(
        f'<article class="sc-answer"><h3>{escape(one.name)}</h3>'
        f'<p class="sc-soft">{escape(one.source_class or "no class")}'
        f"{_counts(one)} · {one.score:+.2f}</p>"
        f'{drawing}<button class="sc-button" data-open="{escape(one.id)}">describe</button>'
        "</article>"
        for one, drawing in found
    )
    return f'<div class="sc-answers">{cards}</div>'


def exports(found: Description) -> str:
    """Links that hold the files themselves, so that none is kept on the server."""
    table = io.StringIO()
    found.to_table().write(table, format="ascii.ecsv")
    content = {
        "json": ("application/json", json.dumps(found.to_dict(), indent=2, allow_nan=False)),
        "ecsv": ("text/plain", table.getvalue()),
        "html": ("text/html", found.to_html()),
    }
    stem = "".join(c if c.isalnum() or c in "+-." else "_" for c in _stem(found)) or "spectrum"
    links = "".join(
        f'<a class="sc-button" download="{escape(stem)}.{suffix}" '
        f'href="data:{kind};base64,{base64.b64encode(text.encode()).decode()}">'
        f"{suffix.upper()}</a>"
        for suffix, (kind, text) in content.items()
    )
    return f'<div class="sc-export"><span>Export</span>{links}</div>'


def _counts(one: SimilarSource) -> str:
    return "" if one.counts is None else f" · {one.counts:,} counts"


def _table(head: str, rows: str) -> str:
    return f'<div class="sc-scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _stem(found: Description) -> str:
    title = str(found.title)
    for suffix in (".gz", ".fits", ".pha", ".pi"):
        title = title.removesuffix(suffix)
    return title.replace("\\", "/").rsplit("/", 1)[-1]


def _text(hit: LiteratureHit) -> str:
    names = ", ".join(hit.source_names[:2])
    more = f" and {len(hit.source_names) - 2} more" if len(hit.source_names) > 2 else ""
    said = " ".join(words for words in hit.summary.values() if words)
    papers = "".join(_paper(paper) for paper in hit.papers[:_PAPERS_SHOWN])
    left = len(hit.papers) - _PAPERS_SHOWN
    papers += f'<li class="sc-soft">and {left} more</li>' if left > 0 else ""
    return (
        f"<li><h3>{escape(names)}{more} <small>{hit.score:+.2f}</small></h3>"
        f"<details><summary>{escape(_shortened(said))}</summary>{_sections(hit)}</details>"
        f'<ul class="sc-papers">{papers}</ul></li>'
    )


def _sections(hit: LiteratureHit) -> str:
    return "".join(
        f"<p><b>{escape(name)}</b> {escape(words)}</p>"
        for name, words in hit.summary.items()
        if words
    )


def _paper(paper: Any) -> str:
    year = f" ({paper.year})" if paper.year else ""
    words = f"{escape(paper.title or 'untitled')}{year}"
    # What makes links gives http addresses of three homes; anything else is shown, not linked.
    if paper.link and paper.link.startswith("https://"):
        link = f'<a href="{escape(paper.link)}" target="_blank" rel="noopener noreferrer">'
        return f"<li>{link}{words}</a> <code>{escape(paper.id)}</code></li>"
    return f"<li>{words} <code>{escape(paper.id)}</code></li>"


def _card(title: str, content: str, beside: str = "") -> str:
    beside = f" <small>{escape(beside)}</small>" if beside else ""
    return f'<section class="sc-card"><h2>{escape(title)}{beside}</h2>{content}</section>'


def _absent(words: str) -> str:
    return f'<p class="sc-soft">{escape(words)}</p>'


def _shortened(words: str, most: int = 180) -> str:
    return words if len(words) <= most else words[: most - 1].rsplit(" ", 1)[0] + " …"


def _unit(unit: str) -> str:
    return unit.replace("1e20 cm-2", "10²⁰ cm⁻²")


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    words = f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
    return words.replace("e-0", "e-").replace("-", "−")


__all__ = [
    "answers",
    "classes",
    "exports",
    "facts",
    "header",
    "literature",
    "map_title",
    "message",
    "outlier",
    "similar",
    "variables",
]
