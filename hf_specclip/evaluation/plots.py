"""Figure of recall against the share of the gallery."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Okabe & Ito (2008): told apart with every common kind of colour vision, and in grey by order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
_INK, _FAINT = "#222222", "#8a8a8a"


def plot_recall_curve(
    curves: Mapping[str, Mapping[str, Any]],
    path: str | os.PathLike[str],
    title: str | None = None,
) -> Any:
    """Draw Recall@k% against k for one or several models, with 95 % bands and chance.

    Args:
        curves: label -> result of `recall_curve`.
        path: file to write (.png, .svg, .pdf).
        title: by default the direction and the number of queries.

    Returns:
        The axes.

    Raises:
        ImportError: when matplotlib is absent.
        ValueError: for no curves, or curves of different directions.

    Examples:
        >>> curves = {"best": recall_curve(best, owner), "paper": recall_curve(paper, owner)}
        >>> plot_recall_curve(curves, "recall.png")
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "hf-specclip[plot]"') from error
    from matplotlib.figure import Figure

    directions = {curve["direction"] for curve in curves.values()}
    if len(directions) != 1:
        raise ValueError(f"curves of one direction go in one figure, not {sorted(directions)}")
    # Without pyplot, which keeps every figure and may look for a display.
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    ax = figure.add_subplot()
    longest = max(curves.values(), key=lambda curve: len(curve["k"]))
    lowest = min(min(curve["k"]) for curve in curves.values())
    _draw_curves(ax, curves, longest)
    _style_axes(ax, longest, lowest)
    query, answer = longest["direction"].split("_to_")
    if title is None:
        title = f"Recall@k%, {query} → {answer}, {longest['n_queries']:,} queries"
    ax.set_title(title, loc="left", fontsize=11, color=_INK)
    figure.savefig(path, dpi=160)
    return ax


def _draw_curves(
    ax: Any, named: Mapping[str, Mapping[str, Any]], longest: Mapping[str, Any]
) -> None:
    """Draw the curves with their bands and names, and the level of chance."""
    for i, (label, curve) in enumerate(named.items()):
        colour = COLOURS[i % len(COLOURS)]
        style = _STYLES[i % len(_STYLES)]
        ax.fill_between(
            curve["k"], curve["low"], curve["high"], color=colour, alpha=0.16, linewidth=0
        )
        line = {"color": colour, "linestyle": style, "linewidth": 2}
        ax.plot(curve["k"], curve["recall"], label=label, **line)
    ax.plot(
        longest["k"],
        longest["chance"],
        color=_FAINT,
        linewidth=1.3,
        linestyle=(0, (4, 3)),
        label="chance",
        zorder=1,
    )
    ax.legend(loc="upper left", frameon=False, labelcolor="linecolor")


def _style_axes(ax: Any, longest: Mapping[str, Any], lowest: float) -> None:
    """Set scales, ticks, labels and grid."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    ax.set_xscale("log")
    ax.set_xlim(min(lowest, 50), 100)  # a gallery of one text has no other percentage than 100
    ax.set_ylim(0, 1)
    ticks = [k for k in (0.01, 0.1, 1, 2, 5, 10, 25, 50, 100) if k >= lowest]
    if lowest < 0.5:
        ticks = [k for k in ticks if k != 2]
    ax.set_xticks(ticks)
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g} %"))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    answer = longest["direction"].split("_to_")[1]
    plural = {"spectrum": "spectra", "text": "texts"}
    ax.set_xlabel(
        f"k, share of the {longest['n_gallery']:,} {plural[answer]} in the gallery", color=_INK
    )
    ax.set_ylabel("queries with a right answer among them", color=_INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(_FAINT)
    ax.tick_params(colors=_INK, length=3)
    ax.grid(True, color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)


__all__ = ["plot_recall_curve"]
