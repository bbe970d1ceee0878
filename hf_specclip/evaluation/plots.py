"""Figure of recall against the share of the gallery."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Okabe & Ito (2008): told apart with every common kind of colour vision, and in grey by order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
INK, _FAINT = "#222222", "#8a8a8a"
_AXES: Any = {
    "axes.edgecolor": _FAINT, "axes.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.7,
    "xtick.color": INK, "ytick.color": INK, "xtick.major.size": 3, "ytick.major.size": 3,
}  # fmt: skip


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
        import matplotlib
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "hf-specclip[plot]"') from error
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    directions = {curve["direction"] for curve in curves.values()}
    if len(directions) != 1:
        raise ValueError(f"curves of one direction go in one figure, not {sorted(directions)}")
    longest = max(curves.values(), key=lambda curve: len(curve["k"]))
    lowest = min(min(curve["k"]) for curve in curves.values())
    query, answer = longest["direction"].split("_to_")
    if title is None:
        title = f"Recall@k%, {query} → {answer}, {longest['n_queries']:,} queries"
    # Without pyplot, which keeps every figure and may look for a display.
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    with matplotlib.rc_context(_AXES):
        ax = figure.add_subplot()
    for i, (label, curve) in enumerate(curves.items()):
        colour, style = COLOURS[i % len(COLOURS)], _STYLES[i % len(_STYLES)]
        ax.fill_between(curve["k"], curve["low"], curve["high"], color=colour, alpha=0.16, lw=0)
        ax.plot(curve["k"], curve["recall"], label=label, color=colour, ls=style, lw=2)
    chance: dict[str, Any] = {
        "label": "chance",
        "color": _FAINT,
        "lw": 1.3,
        "ls": (0, (4, 3)),
        "zorder": 1,
    }
    ax.plot(longest["k"], longest["chance"], **chance)
    ax.legend(loc="upper left", frameon=False, labelcolor="linecolor")
    ticks = [k for k in (0.01, 0.1, 1, 2, 5, 10, 25, 50, 100) if k >= lowest]
    plural = {"spectrum": "spectra", "text": "texts"}[answer]
    ax.set(
        xscale="log",
        xlim=(min(lowest, 50), 100),  # a gallery of one text has no other percentage than 100
        xticks=[k for k in ticks if k != 2 or lowest >= 0.5],
        xlabel=f"k, share of the {longest['n_gallery']:,} {plural} in the gallery",
        ylim=(0, 1),
        ylabel="queries with a right answer among them",
    )
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g} %"))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set_title(title, loc="left", fontsize=11, color=INK)
    figure.savefig(path, dpi=160)
    return ax


__all__ = ["plot_recall_curve"]
