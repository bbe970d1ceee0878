"""Figures of a latent space: what its dimensions stand for, and maps of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .latent import Correlations
from .plots import COLOURS

_INK, _FAINT = "#222222", "#8a8a8a"
_MARKS = ("o", "^", "s", "D", "v", "P")


def plot_correlations(
    correlations: Mapping[str, Correlations], path: str | os.PathLike[str] | None = None
) -> Any:
    """Heat map of variables against dimensions, one panel for each space.

    Dimensions stand in the order of the variable they know best, so that what a space has learned
    lies on a diagonal; a ring marks the best dimension of each variable.

    Args:
        correlations: name of the space -> what `correlate` found, over the same variables.
        path: where to write it.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: for none, or spaces over different variables.
    """
    from matplotlib.figure import Figure

    if not correlations or len({found.variables for found in correlations.values()}) != 1:
        raise ValueError("panels of one figure need the same variables, and at least one space")
    variables = next(iter(correlations.values())).variables
    figure = Figure(
        figsize=(2.2 + 3.6 * len(correlations), 1.2 + 0.24 * len(variables)),
        layout="constrained",
        dpi=130,
    )
    panels = figure.subplots(1, len(correlations), sharey=True, squeeze=False)[0]
    for panel, (name, found) in zip(panels, correlations.items(), strict=True):
        strength = np.nan_to_num(np.abs(found.rho))
        order = np.lexsort((-strength.max(axis=0), strength.argmax(axis=0)))
        image = panel.imshow(
            found.rho[:, order], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", rasterized=True
        )
        place = np.argsort(order)
        rows = np.flatnonzero(found.best >= 0)
        panel.scatter(
            place[found.best[rows]], rows, s=22, facecolors="none", edgecolors=_INK, linewidths=0.9
        )
        mean = found.mean
        panel.set_title(
            f"{name}\nmean of the best |ρ| {mean['value']:.2f} (chance {mean['chance']:.2f})",
            loc="left",
            fontsize=9,
            color=_INK,
        )
        panel.set_xlabel(f"{found.rho.shape[1]} dimensions, sorted", fontsize=9, color=_INK)
        panel.set_xticks([])
        panel.set_facecolor("#dddddd")  # where there is nothing to correlate
    panels[0].set_yticks(range(len(variables)), variables, fontsize=8)
    method = next(iter(correlations.values())).method.capitalize()
    figure.colorbar(image, ax=panels.tolist(), label=f"{method} ρ", shrink=0.8)
    if path is not None:
        figure.savefig(path)
    return figure


def plot_map_variables(
    places: np.ndarray,
    variables: Mapping[str, np.ndarray],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    columns: int = 4,
) -> Any:
    """One map, coloured by one variable in each panel.

    Colours run over the ranks, so that a heavy tail does not use them up; the bar gives values.
    Points without a value are small and grey.

    Args:
        places: (n, 2) of `map_points`.
        variables: label -> (n,), nan where unknown.
        path: where to write it.
        title: above all panels.
        columns: panels in a row.

    Returns:
        The matplotlib figure.
    """
    from matplotlib.figure import Figure

    if not variables:
        raise ValueError("no variables to colour by")
    columns = min(columns, len(variables))
    rows = -(-len(variables) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.9 * rows), layout="constrained", dpi=130)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        _plain(panel)
    for panel, (name, values) in zip(panels, variables.items(), strict=False):
        known = np.flatnonzero(np.isfinite(values))
        rest = np.flatnonzero(~np.isfinite(values))
        panel.scatter(*places[rest].T, s=2, color="#d5d5d5", linewidths=0, rasterized=True)
        panel.set_title(f"{name}  (n = {len(known):,})", fontsize=9, loc="left", color=_INK)
        if not len(known):
            continue
        edges = np.sort(values[known])
        ranks = np.searchsorted(edges, values[known], side="right") / len(known)
        dots = panel.scatter(
            *places[known].T, c=ranks, s=6, cmap="viridis", vmin=0, vmax=1, linewidths=0,
            rasterized=True,
        )  # fmt: skip
        bar = figure.colorbar(dots, ax=panel, ticks=[0.0, 0.5, 1.0], shrink=0.8)
        bar.ax.set_yticklabels([f"{np.quantile(edges, q):.3g}" for q in (0, 0.5, 1)], fontsize=7)
    for panel in panels[len(variables) :]:
        panel.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left", color=_INK)
    if path is not None:
        figure.savefig(path)
    return figure


def plot_map_classes(
    maps: Mapping[str, np.ndarray],
    classes: Sequence[Any],
    path: str | os.PathLike[str] | None = None,
    *,
    most: int = 12,
) -> Any:
    """Maps side by side, coloured by class; the rarer classes and unknown ones are grey.

    Args:
        maps: title -> (n, 2).
        classes: (n,) class or None.
        path: where to write it.
        most: classes with a colour and mark of their own, at most 36.

    Returns:
        The matplotlib figure.
    """
    from matplotlib.figure import Figure

    if not maps:
        raise ValueError("no maps to draw")
    labels = np.array(["" if label is None else str(label) for label in classes])
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][: min(most, len(COLOURS) * len(_MARKS))]
    figure = Figure(figsize=(1.8 + 4.2 * len(maps), 4.3), layout="constrained", dpi=130)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for panel, (title, places) in zip(panels, maps.items(), strict=True):
        _plain(panel)
        rest = np.flatnonzero(~np.isin(labels, shown))
        panel.scatter(*places[rest].T, s=3, color="#d0d0d0", linewidths=0, rasterized=True)
        for place, name in enumerate(shown):
            rows = np.flatnonzero(labels == name)
            panel.scatter(
                *places[rows].T,
                s=11,
                color=COLOURS[place % len(COLOURS)],
                marker=_MARKS[place // len(COLOURS)],
                linewidths=0,
                alpha=0.85,
                label=f"{name} ({len(rows):,})",
                rasterized=True,
            )
        panel.set_title(title, fontsize=10, loc="left", color=_INK)
    if len(shown):
        panels[-1].legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=1.6
        )
    if path is not None:
        figure.savefig(path)
    return figure


def plot_probes(
    figures: Mapping[str, Mapping[str, Mapping[str, float]]],
    bound: float,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """How much of each observing quantity can be read from each embedding, with the bound.

    Args:
        figures: quantity -> embedding -> `value`, `low`, `high` (R²).
        bound: line to stay below.
        path: where to write it.

    Returns:
        The matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 0.9 + 0.75 * len(figures)), layout="constrained", dpi=130)
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for found in figures.values() for name in found))
    for row, found in enumerate(figures.values()):
        for place, name in enumerate(names):
            if name not in found:
                continue
            figure_ = found[name]
            height = row + 0.5 * (place / max(len(names) - 1, 1) - 0.5)
            axes.plot(
                [figure_["low"], figure_["high"]], [height, height], color=COLOURS[place], lw=2
            )
            axes.plot(
                figure_["value"],
                height,
                marker=_MARKS[place],
                color=COLOURS[place],
                label=name if row == 0 else None,
                ls="",
            )
    axes.axvline(bound, color=_INK, lw=1, ls="--")
    axes.axvline(0, color=_FAINT, lw=1)
    axes.set_yticks(range(len(figures)), list(figures))
    axes.set_ylim(len(figures) - 0.4, -0.6)
    axes.set_xlabel(f"R² on unseen fields (dashed: {bound:g})", color=_INK)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if path is not None:
        figure.savefig(path)
    return figure


def _plain(panel: Any) -> None:
    # The axes of such a map have no meaning, so they bear no numbers.
    panel.set_xticks([])
    panel.set_yticks([])
    for side in panel.spines.values():
        side.set_color("#cccccc")


__all__ = ["plot_correlations", "plot_map_classes", "plot_map_variables", "plot_probes"]
