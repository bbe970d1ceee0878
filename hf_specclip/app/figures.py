"""Interactive figures of the page: the spectrum, and the map of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spectra.grouped_rates import GroupedRates, group_rates

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

_INK, _GRID, _SOURCE, _BACKGROUND = "#26323f", "#e6e9ed", "#1f5fa8", "#9aa5b1"
# Distinct for every kind of colour vision (Okabe & Ito 2008), and two more.
_CLASS_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6FB0", "#B5A400",
)  # fmt: skip
_REST = "#b8c0c9"
# Beyond this many points, one page element for each would be slow: WebGL draws them.
_MAX_ELEMENTS = 4000
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": _INK}


def spectrum_figure(spectrum: XRaySpectrum, label: str) -> Any:
    """Draw counts/s/keV against energy, with the background.

    Args:
        spectrum: to draw.
        label: of it.

    Returns:
        A plotly figure.
    """
    import plotly.graph_objects as go

    label = escape(label)  # plotly reads markup
    points = group_rates(spectrum)
    figure = go.Figure()
    if points.has_background:
        _add_background(figure, points)
    _add_points(figure, points, label)
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
    position: tuple[float, float] | None = None,
    label: str = "this spectrum",
) -> Any:
    """Draw the map of the catalogue, coloured by class, with this spectrum marked.

    Args:
        points: see `Describer.map_points`.
        position: of the spectrum.
        label: of it.

    Returns:
        A plotly figure; each point carries its id, for a click.
    """
    import plotly.graph_objects as go

    label = escape(label)
    positions = np.asarray(points["positions"], np.float64)
    classes = np.array([escape(name or "unknown") for name in points["classes"]], dtype=object)
    names = np.array([escape(name) for name in points["names"]], object)
    ids = np.array(points["ids"], object)
    trace_type = go.Scattergl if len(ids) > _MAX_ELEMENTS else go.Scatter
    frequent = [name for name, _ in Counter(classes.tolist()).most_common() if name != "unknown"]
    coloured = frequent[: len(_CLASS_COLOURS)]
    figure = go.Figure()

    def add(rows: np.ndarray, title: str, colour: str, legend_rank: int = 1) -> None:
        texts = [f"{n}<br>{c}" for n, c in zip(names[rows], classes[rows], strict=True)]
        figure.add_trace(
            trace_type(
                x=positions[rows, 0],
                y=positions[rows, 1],
                mode="markers",
                name=title,
                legendrank=legend_rank,
                marker={"color": colour, "size": 6, "opacity": 0.65},
                customdata=ids[rows].tolist(),
                text=texts,
                hovertemplate="%{text}<extra>click to open</extra>",
            )
        )

    others = ~np.isin(classes, coloured)
    if others.any():
        add(others, "other classes" if coloured else "sources", _REST, legend_rank=2)
    for name, colour in zip(coloured, _CLASS_COLOURS, strict=False):
        add(classes == name, name, colour)
    if position is not None:
        figure.add_scatter(
            x=[float(position[0])],
            y=[float(position[1])],
            mode="markers",
            name=label,
            showlegend=False,
            marker={
                "size": 17,
                "symbol": "star",
                "color": _INK,
                "line": {"color": "#fff", "width": 1},
            },
            text=[label],
            hovertemplate="%{text}<extra></extra>",
        )
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


def _add_points(figure: Any, points: GroupedRates, label: str) -> None:
    detected, weak = points.found, points.weak
    line = {"color": _SOURCE, "thickness": 1.2, "width": 0}
    figure.add_scatter(
        x=points.centre[detected],
        y=points.rate[detected],
        error_x=_error_bars(points.sides[:, detected], line),
        error_y=_error_bars(points.errors[:, detected], line),
        mode="markers",
        marker={"color": _SOURCE, "size": 5},
        name=label,
        hovertemplate="%{x:.3g} keV<br>%{y:.3g} counts/s/keV<extra></extra>",
    )
    if weak.any():
        figure.add_scatter(
            x=points.centre[weak],
            y=points.limit[weak],
            mode="markers",
            marker={"color": _SOURCE, "size": 8, "symbol": "arrow-down", "opacity": 0.45},
            name="1σ upper limit",
            showlegend=False,
            hovertemplate="%{x:.3g} keV<br>below %{y:.3g} (1σ)<extra></extra>",
        )


def _add_background(figure: Any, points: GroupedRates) -> None:
    rate = np.where(points.background_rate > 0, points.background_rate, np.nan)
    figure.add_scatter(
        x=points.background_edges,
        y=np.append(rate, rate[-1:]),
        mode="lines",
        line={"color": _BACKGROUND, "width": 1.2, "shape": "hv"},
        name="background, scaled",
        hoverinfo="skip",
    )


def _error_bars(errors: np.ndarray, line: Mapping[str, Any]) -> dict[str, Any]:
    down, up = errors
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **line}


def _decades(points: GroupedRates, shown: np.ndarray) -> list[float]:
    """Return the range of the rate axis: room for the background, at most 1.5 decades of it."""
    bottom = float(shown.min()) / 3
    background = points.expected[points.expected > 0]
    if background.size:
        bottom = max(min(bottom, float(np.median(background)) / 3), bottom / 30)
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
