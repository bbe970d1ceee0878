"""Figures of a latent space: correlations of its dimensions with variables, and maps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..spectra.plot import literal
from .latent import Correlations
from .plots import COLOURS

_INK = "#222222"
_MARKS = ("o", "^", "s", "D", "v", "P")


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
    from matplotlib.figure import Figure

    if not correlations or len({each.variables for each in correlations.values()}) != 1:
        raise ValueError("panels of one figure need the same variables, and at least one space")
    variables = next(iter(correlations.values())).variables
    figure = Figure(
        figsize=(2.2 + 3.6 * len(correlations), 1.2 + 0.24 * len(variables)),
        layout="constrained",
        dpi=130,
    )
    panels = figure.subplots(1, len(correlations), sharey=True, squeeze=False)[0]
    for panel, (name, result) in zip(panels, correlations.items(), strict=True):
        strength = np.nan_to_num(np.abs(result.rho))
        order = np.lexsort((-strength.max(axis=0), strength.argmax(axis=0)))
        image = panel.imshow(
            result.rho[:, order], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", rasterized=True
        )
        column = np.argsort(order)
        rows = np.flatnonzero(result.best >= 0)
        panel.scatter(
            column[result.best[rows]],
            rows,
            s=22,
            facecolors="none",
            edgecolors=_INK,
            linewidths=0.9,
        )
        mean = result.mean
        panel.set_title(
            f"{name}\nmean of the best |ρ| {mean['value']:.2f} (chance {mean['chance']:.2f})",
            loc="left",
            fontsize=9,
            color=_INK,
        )
        panel.set_xlabel(f"{result.rho.shape[1]} dimensions, sorted", fontsize=9, color=_INK)
        panel.set_xticks([])
        panel.set_facecolor("#dddddd")  # cells without a correlation
    panels[0].set_yticks(range(len(variables)), variables, fontsize=8)
    figure.colorbar(image, ax=panels.tolist(), label="Pearson ρ", shrink=0.8)
    if path is not None:
        figure.savefig(path)
    return figure


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
    from matplotlib.figure import Figure

    if not variables:
        raise ValueError("no variables to colour by")
    columns = min(4, len(variables))
    rows = -(-len(variables) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.9 * rows), layout="constrained", dpi=130)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        _hide_axes(panel)
    for panel, (name, values) in zip(panels, variables.items(), strict=False):
        known = np.flatnonzero(np.isfinite(values))
        rest = np.flatnonzero(~np.isfinite(values))
        panel.scatter(*positions[rest].T, s=2, color="#d5d5d5", linewidths=0, rasterized=True)
        panel.set_title(f"{name}  (n = {len(known):,})", fontsize=9, loc="left", color=_INK)
        if not len(known):
            continue
        edges = np.sort(values[known])
        ranks = np.searchsorted(edges, values[known], side="right") / len(known)
        dots = panel.scatter(
            *positions[known].T, c=ranks, s=6, cmap="viridis", vmin=0, vmax=1, linewidths=0,
            rasterized=True,
        )  # fmt: skip
        bar = figure.colorbar(dots, ax=panel, ticks=[0.0, 0.5, 1.0], shrink=0.8)
        bar.ax.set_yticklabels([f"{np.quantile(edges, q):.3g}" for q in (0, 0.5, 1)], fontsize=7)
    for panel in panels[len(variables) :]:
        panel.set_visible(False)
    if path is not None:
        figure.savefig(path)
    return figure


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
    from matplotlib.figure import Figure

    labels = np.array(["" if label is None else str(label) for label in classes])
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][: min(most, len(COLOURS) * len(_MARKS))]
    figure = Figure(figsize=(6.0, 4.3), layout="constrained", dpi=130)
    panel: Any = figure.subplots()
    _hide_axes(panel)
    rest = np.flatnonzero(~np.isin(labels, shown))
    panel.scatter(*positions[rest].T, s=3, color="#d0d0d0", linewidths=0, rasterized=True)
    for i, name in enumerate(shown):
        rows = np.flatnonzero(labels == name)
        panel.scatter(
            *positions[rows].T,
            s=11,
            color=COLOURS[i % len(COLOURS)],
            marker=_MARKS[i // len(COLOURS)],
            linewidths=0,
            alpha=0.85,
            label=literal(f"{name} ({len(rows):,})"),
            rasterized=True,
        )
    if len(shown):
        panel.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=1.6
        )
    if path is not None:
        figure.savefig(path)
    return figure


def _hide_axes(panel: Any) -> None:
    # The axes of such a map have no meaning.
    panel.set_xticks([])
    panel.set_yticks([])
    for side in panel.spines.values():
        side.set_color("#cccccc")


__all__ = ["plot_correlations", "plot_map_classes", "plot_map_variables"]
