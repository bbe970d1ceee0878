"""Interactive figures of the page: the spectrum, and the map of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spectra.grouped_rates import GroupedRates, group_rates

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

_INK, _GRID, _SOURCE, _OTHER, _BACKGROUND = "#26323f", "#e6e9ed", "#1f5fa8", "#d1495b", "#9aa5b1"
# Distinct for every kind of colour vision (Okabe & Ito 2008), and two more.
_CLASS_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6FB0", "#B5A400",
)  # fmt: skip
_REST = "#b8c0c9"
# Beyond this many points, one page element for each would be slow: WebGL draws them.
_MAX_ELEMENTS = 4000
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": _INK}


@dataclass(frozen=True)
class Sparkline:
    """A spectrum as a curve of a small drawing: log counts/s/keV over log energy.

    Attributes:
        points: `x,y x,y …`, as an SVG polyline takes them.
        energy_range: keV.
        width, height: of the drawing.
        colour: of the curve.
    """

    points: str
    energy_range: tuple[float, float]
    width: int = 260
    height: int = 72
    colour: str = _SOURCE


def spectrum_figure(
    spectrum: XRaySpectrum, label: str, other: tuple[str, XRaySpectrum] | None = None
) -> Any:
    """Draw counts/s/keV against energy, with the background and perhaps a second spectrum.

    Args:
        spectrum: to draw.
        label: of it.
        other: label and spectrum to compare with, scaled to the same count rate.

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
        companion_points = group_rates(companion, energy_range=points.energy_range)
        rate = _total_rate(companion_points)
        factor = _total_rate(points) / rate if rate > 0 else 1.0
        title = f"{name}, × {factor:.3g}" if abs(np.log(factor)) > 0.05 else name
        _add_points(figure, companion_points, title, _OTHER, factor)
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
    compared: str | None = None,
) -> Any:
    """Draw the map of the catalogue, coloured by class, with this spectrum and a companion marked.

    Args:
        points: see `Describer.map_points`.
        position: of the spectrum.
        label: of it.
        compared: id of the source it is compared with.

    Returns:
        A plotly figure; each point carries its id, for a click.
    """
    import plotly.graph_objects as go

    positions = np.asarray(points["positions"], np.float64)
    classes = np.array([name or "unknown" for name in points["classes"]], dtype=object)
    names, ids = np.array(points["names"], object), np.array(points["ids"], object)
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
                hovertemplate="%{text}<extra>click to compare</extra>",
            )
        )

    others = ~np.isin(classes, coloured)
    if others.any():
        add(others, "other classes" if coloured else "sources", _REST, legend_rank=2)
    for name, colour in zip(coloured, _CLASS_COLOURS, strict=False):
        add(classes == name, name, colour)
    companion = np.flatnonzero(ids == compared)
    if companion.size:
        ring = {"size": 15, "color": "rgba(0,0,0,0)", "line": {"color": _OTHER, "width": 3}}
        _mark(figure, positions[companion[0]], str(names[companion[0]]), ring)
    if position is not None:
        star = {"size": 17, "symbol": "star", "color": _INK, "line": {"color": "#fff", "width": 1}}
        _mark(figure, position, label, star)
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


def sparkline(spectrum: XRaySpectrum) -> Sparkline | None:
    """Return a spectrum as a curve; None where it has fewer than two points."""
    points = group_rates(spectrum)
    detected = points.found
    if detected.sum() < 2:
        return None
    width, height = Sparkline.width, Sparkline.height
    energy, rate = np.log(points.centre[detected]), np.log(points.rate[detected])
    low, high = np.log(points.energy_range)
    x = 2 + (energy - low) / max(high - low, 1e-9) * (width - 4)
    span = max(float(rate.max() - rate.min()), 0.5)
    y = height - 5 - (rate - rate.min()) / span * (height - 10)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return Sparkline(line, points.energy_range)


def _add_points(
    figure: Any, points: GroupedRates, label: str, colour: str, factor: float = 1.0
) -> None:
    import plotly.graph_objects as go

    detected, weak = points.found, points.weak
    line = {"color": colour, "thickness": 1.2, "width": 0}
    figure.add_trace(
        go.Scatter(
            x=points.centre[detected],
            y=factor * points.rate[detected],
            error_x=_error_bars(points.sides[:, detected], line),
            error_y=_error_bars(factor * points.errors[:, detected], line),
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


def _error_bars(errors: np.ndarray, line: Mapping[str, Any]) -> dict[str, Any]:
    down, up = errors
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **line}


def _mark(figure: Any, position: Sequence[float], label: str, marker: Mapping[str, Any]) -> None:
    import plotly.graph_objects as go

    figure.add_trace(
        go.Scatter(
            x=[float(position[0])],
            y=[float(position[1])],
            mode="markers",
            name=label,
            showlegend=False,
            marker=marker,
            text=[label],
            hovertemplate="%{text}<extra></extra>",
        )
    )


def _total_rate(points: GroupedRates) -> float:
    return float((np.clip(points.rate, 0, None) * np.diff(points.edges)).sum())


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
