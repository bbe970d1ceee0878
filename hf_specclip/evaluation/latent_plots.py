"""Figures of a latent space: correlations of its dimensions with variables, and maps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..spectra.plot import literal
from .latent import Correlations
from .plots import COLOURS, INK

_MARKS = ("o", "^", "s", "D", "v", "P")
_DOTS: dict[str, Any] = {"linewidths": 0, "rasterized": True}


def plot_correlations(
    correlations: Mapping[str, Correlations], path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw a heat map of variables against dimensions, one panel for each space.

    Dimensions are sorted by the variable they correlate with most, so that strong correlations lie
    on a diagonal; a ring marks the best dimension of each variable.

    Args:
        correlations: name of the space -> result of `correlate`, over the same variables.
        path: file to write, or None.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: for none, or spaces over different variables.
    """
    if not correlations or len({each.variables for each in correlations.values()}) != 1:
        raise ValueError("panels of one figure need the same variables, and at least one space")
    variables = next(iter(correlations.values())).variables
    figure = _figure(2.2 + 3.6 * len(correlations), 1.2 + 0.24 * len(variables))
    panels = figure.subplots(1, len(correlations), sharey=True, squeeze=False)[0]
    for panel, (name, result) in zip(panels, correlations.items(), strict=True):
        strength = np.nan_to_num(np.abs(result.rho))
        order = np.lexsort((-strength.max(axis=0), strength.argmax(axis=0)))
        image = panel.imshow(
            result.rho[:, order], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", rasterized=True
        )
        rows = np.flatnonzero(result.best >= 0)
        ring = {"s": 22, "facecolors": "none", "edgecolors": INK, "linewidths": 0.9}
        panel.scatter(np.argsort(order)[result.best[rows]], rows, **ring)
        mean = result.mean
        title = f"{name}\nmean of the best |ρ| {mean['value']:.2f} (chance {mean['chance']:.2f})"
        panel.set_title(title, loc="left", fontsize=9, color=INK)
        panel.set_xlabel(f"{result.rho.shape[1]} dimensions, sorted", fontsize=9, color=INK)
        panel.set_xticks([])
        panel.set_facecolor("#dddddd")  # cells without a correlation
    panels[0].set_yticks(range(len(variables)), variables, fontsize=8)
    figure.colorbar(image, ax=panels.tolist(), label="Pearson ρ", shrink=0.8)
    return _save(figure, path)


def plot_map_variables(
    positions: np.ndarray,
    variables: Mapping[str, np.ndarray],
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw one map, coloured by one variable in each panel.

    Colours follow the ranks, so that a heavy tail does not use them up; the bar gives values.
    Points without a value are small and grey.

    Args:
        positions: (n, 2) of `map_points`.
        variables: label -> (n,), nan where unknown.
        path: file to write, or None.

    Returns:
        The matplotlib figure.
    """
    if not variables:
        raise ValueError("no variables to colour by")
    columns = min(4, len(variables))
    rows = -(-len(variables) // columns)
    figure = _figure(3.1 * columns, 2.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        _hide_axes(panel)
    for panel, (name, values) in zip(panels, variables.items(), strict=False):
        known = np.isfinite(values)
        panel.scatter(*positions[~known].T, s=2, color="#d5d5d5", **_DOTS)
        panel.set_title(f"{name}  (n = {known.sum():,})", fontsize=9, loc="left", color=INK)
        if not known.any():
            continue
        edges = np.sort(values[known])
        ranks = np.searchsorted(edges, values[known], side="right") / len(edges)
        dots = panel.scatter(
            *positions[known].T, c=ranks, s=6, cmap="viridis", vmin=0, vmax=1, **_DOTS
        )
        bar = figure.colorbar(dots, ax=panel, ticks=[0.0, 0.5, 1.0], shrink=0.8)
        bar.ax.set_yticklabels([f"{np.quantile(edges, q):.3g}" for q in (0, 0.5, 1)], fontsize=7)
    for panel in panels[len(variables) :]:
        panel.set_visible(False)
    return _save(figure, path)


def plot_map_classes(
    positions: np.ndarray,
    classes: Sequence[Any],
    path: str | os.PathLike[str] | None = None,
    *,
    most: int = 12,
) -> Any:
    """Draw a map coloured by class; rarer and unknown classes are grey.

    Args:
        positions: (n, 2) of `map_points`.
        classes: (n,) class or None.
        path: file to write, or None.
        most: number of classes with a colour and a mark, at most 36.

    Returns:
        The matplotlib figure.
    """
    labels = np.array(["" if label is None else str(label) for label in classes])
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][: min(most, len(COLOURS) * len(_MARKS))]
    figure = _figure(6.0, 4.3)
    panel: Any = figure.subplots()
    _hide_axes(panel)
    panel.scatter(*positions[~np.isin(labels, shown)].T, s=3, color="#d0d0d0", **_DOTS)
    for i, name in enumerate(shown):
        rows = labels == name
        marker, label = _MARKS[i // len(COLOURS)], literal(f"{name} ({rows.sum():,})")
        dots = {"s": 11, "color": COLOURS[i % len(COLOURS)], "alpha": 0.85, **_DOTS}
        panel.scatter(*positions[rows].T, marker=marker, label=label, **dots)
    if len(shown):
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        panel.legend(**place, frameon=False, fontsize=8, markerscale=1.6)
    return _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def _save(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    if path is not None:
        figure.savefig(path)
    return figure


def _hide_axes(panel: Any) -> None:
    # The axes of such a map have no meaning.
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_color("#cccccc")


__all__ = ["plot_correlations", "plot_map_classes", "plot_map_variables"]
