"""The interactive figures of the page: a spectrum, and the map of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spectra.grouped_rates import GroupedRates, group_rates

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

_INK, _GRID, _SOURCE, _OTHER, _BACKGROUND = "#26323f", "#e6e9ed", "#1f5fa8", "#d1495b", "#9aa5b1"
# Told apart by people with any colour vision (Okabe & Ito 2008), and two greys.
_CLASS_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6FB0", "#B5A400",
)  # fmt: skip
_REST = "#b8c0c9"
# Beyond this, drawing each point as an element of the page would make it slow.
_MOST_ELEMENTS = 4000
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": _INK}


def spectrum_figure(
    spectrum: XRaySpectrum, label: str, other: tuple[str, XRaySpectrum] | None = None
) -> Any:
    """Counts/s/keV against energy, with the background and perhaps another spectrum beside it.

    Args:
        spectrum: what to draw.
        label: of it.
        other: label and spectrum to compare with, drawn at the same brightness: shapes compare.

    Returns:
        A plotly figure.
    """
    import plotly.graph_objects as go

    points = group_rates(spectrum)
    figure = go.Figure()
    if points.has_background:
        _add_background(figure, points)
    _add_points(figure, points, label, _SOURCE)
    if other is not None:
        name, companion = other
        beside = group_rates(companion, energy_range=points.energy_range)
        factor = _total(points) / _total(beside) if _total(beside) > 0 else 1.0
        told = f"{name}, × {factor:.3g}" if abs(np.log(factor)) > 0.05 else name
        _add_points(figure, beside, told, _OTHER, factor)
    shown = points.rate[points.found]
    shown = points.limit[points.weak] if not shown.size else shown
    axis = {"type": "log", "gridcolor": _GRID, "linecolor": _REST, "ticks": "inside"}
    figure.update_layout(
        **_layout(height=380),
        xaxis={
            **axis,
            "title": "Energy (keV)",
            "range": np.log10(points.energy_range).tolist(),
            "tickvals": [0.3, 0.5, 1, 2, 3, 5, 8, 10, 20, 50],
        },
        yaxis={
            **axis,
            "title": "counts / s / keV",
            "dtick": 1,
            "exponentformat": "power",
            **({"range": _decades(points, shown)} if shown.size else {}),
        },
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure


def map_figure(
    points: Mapping[str, Any],
    here: tuple[float, float] | None = None,
    label: str = "this spectrum",
    compared: str | None = None,
) -> Any:
    """The catalogue on its map, coloured by class, with this spectrum and a companion marked.

    Args:
        points: see `Describer.map_points`.
        here: place of the spectrum.
        label: of it.
        compared: id of the source it is compared with.

    Returns:
        A plotly figure; each point carries its id, for a click.
    """
    import plotly.graph_objects as go

    positions = np.asarray(points["positions"], np.float64)
    kinds = np.array([kind or "unknown" for kind in points["classes"]], dtype=object)
    names, ids = np.array(points["names"], object), np.array(points["ids"], object)
    kind_of_mark = go.Scattergl if len(ids) > _MOST_ELEMENTS else go.Scatter
    common = [kind for kind, _ in Counter(kinds.tolist()).most_common() if kind != "unknown"]
    shown = common[: len(_CLASS_COLOURS)]
    figure = go.Figure()

    def add(rows: np.ndarray, title: str, colour: str, place: int = 1) -> None:
        told = [f"{name}<br>{kind}" for name, kind in zip(names[rows], kinds[rows], strict=True)]
        figure.add_trace(
            kind_of_mark(
                x=positions[rows, 0],
                y=positions[rows, 1],
                mode="markers",
                name=title,
                legendrank=place,
                marker={"color": colour, "size": 6, "opacity": 0.65},
                customdata=ids[rows].tolist(),
                text=told,
                hovertemplate="%{text}<extra>click to compare</extra>",
            )
        )

    rest = ~np.isin(kinds, shown)
    if rest.any():
        add(rest, "other classes" if shown else "sources", _REST, place=2)
    for kind, colour in zip(shown, _CLASS_COLOURS, strict=False):
        add(kinds == kind, kind, colour)
    place = np.flatnonzero(ids == compared)
    if place.size:
        ring = {"size": 15, "color": "rgba(0,0,0,0)", "line": {"color": _OTHER, "width": 3}}
        _mark(figure, positions[place[0]], str(names[place[0]]), ring)
    if here is not None:
        star = {"size": 17, "symbol": "star", "color": _INK, "line": {"color": "#fff", "width": 1}}
        _mark(figure, here, label, star)
    axis = {"visible": False}
    figure.update_layout(
        **_layout(height=460),
        xaxis=axis,
        yaxis=axis,
        dragmode="zoom",
        hovermode="closest",
        legend={"orientation": "h", "y": 0, "yanchor": "top", "itemsizing": "constant"},
        showlegend=True,
    )
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def sparkline(spectrum: XRaySpectrum, width: int = 260, height: int = 72) -> str:
    """A spectrum as a small drawing, log counts/s/keV over log energy: an SVG element."""
    points = group_rates(spectrum)
    known = points.found
    if known.sum() < 2:
        return ""
    x, y = np.log(points.centre[known]), np.log(points.rate[known])
    low, high = np.log(points.energy_range)
    across = 2 + (x - low) / max(high - low, 1e-9) * (width - 4)
    span = max(float(y.max() - y.min()), 0.5)
    up = height - 5 - (y - y.min()) / span * (height - 10)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="spectrum, {points.energy_range[0]:g} to {points.energy_range[1]:g} keV">'
        f'<polyline points="{line}" fill="none" stroke="{_SOURCE}" stroke-width="1.6"/></svg>'
    )


def _add_points(
    figure: Any, points: GroupedRates, label: str, colour: str, factor: float = 1.0
) -> None:
    import plotly.graph_objects as go

    found, weak = points.found, points.weak
    line = {"color": colour, "thickness": 1.2, "width": 0}
    figure.add_trace(
        go.Scatter(
            x=points.centre[found],
            y=factor * points.rate[found],
            error_x=_ends(points.sides[:, found], line),
            error_y=_ends(factor * points.errors[:, found], line),
            mode="markers",
            marker={"color": colour, "size": 5},
            name=label,
            hovertemplate="%{x:.3g} keV<br>%{y:.3g} counts/s/keV<extra></extra>",
        )
    )
    if weak.any():
        figure.add_trace(
            go.Scatter(
                x=points.centre[weak],
                y=factor * points.limit[weak],
                mode="markers",
                marker={"color": colour, "size": 8, "symbol": "arrow-down", "opacity": 0.45},
                name="1σ upper limit",
                showlegend=False,
                hovertemplate="%{x:.3g} keV<br>below %{y:.3g} (1σ)<extra></extra>",
            )
        )


def _add_background(figure: Any, points: GroupedRates) -> None:
    import plotly.graph_objects as go

    rate = np.where(points.background_rate > 0, points.background_rate, np.nan)
    figure.add_trace(
        go.Scatter(
            x=points.background_edges,
            y=np.append(rate, rate[-1:]),
            mode="lines",
            line={"color": _BACKGROUND, "width": 1.2, "shape": "hv"},
            name="background, scaled",
            hoverinfo="skip",
        )
    )


def _ends(errors: np.ndarray, line: Mapping[str, Any]) -> dict[str, Any]:
    down, up = errors
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **line}


def _mark(figure: Any, place: Sequence[float], label: str, marker: Mapping[str, Any]) -> None:
    import plotly.graph_objects as go

    figure.add_trace(
        go.Scatter(
            x=[float(place[0])],
            y=[float(place[1])],
            mode="markers",
            name=label,
            showlegend=False,
            marker=marker,
            text=[label],
            hovertemplate="%{text}<extra></extra>",
        )
    )


def _total(points: GroupedRates) -> float:
    return float((np.clip(points.rate, 0, None) * np.diff(points.edges)).sum())


def _decades(points: GroupedRates, shown: np.ndarray) -> list[float]:
    """Ends of the rate axis: room for the background, but no more than a decade and a half."""
    bottom = float(shown.min()) / 3
    behind = points.expected[points.expected > 0]
    if behind.size:
        bottom = max(min(bottom, float(np.median(behind)) / 3), bottom / 30)
    return [float(np.log10(bottom)), float(np.log10(shown.max() * 3))]


def _layout(height: int) -> dict[str, Any]:
    return {
        "template": "none",
        "height": height,
        "font": _FONT,
        "margin": {"l": 62, "r": 12, "t": 34, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#ffffff",
        "hoverlabel": {"bgcolor": "#ffffff", "font": _FONT},
        "autosize": True,
        "modebar": {
            "bgcolor": "rgba(255,255,255,0.85)",
            "color": _BACKGROUND,
            "activecolor": _SOURCE,
            "remove": ["lasso2d", "select2d", "autoScale2d"],
        },
    }


__all__ = ["map_figure", "sparkline", "spectrum_figure"]
