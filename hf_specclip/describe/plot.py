"""Figure of a description: the spectrum and its most probable classes."""

from __future__ import annotations

import io
from typing import Any

from .description import Description

_INK, _BAR = "#26323f", "#b9cbe3"
_CLASSES_SHOWN = 5


def draw(description: Description, axes: Any = None) -> Any:
    """Draw a description.

    Args:
        description: the description.
        axes: matplotlib axes for the spectrum only; None for a new figure with a bar chart of the
            most probable classes.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: where matplotlib is not installed.
    """
    from ..spectra.plot import literal, make_figure, plot_spectrum

    label = literal(str(description.source.get("source_name") or "source"))
    if axes is not None:
        plot_spectrum(description.spectrum, axes, label=label)
        return axes.figure
    figure = make_figure(9.6, 4.2)
    if not description.classes:
        plot_spectrum(description.spectrum, figure.subplots(), label=label)
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    plot_spectrum(description.spectrum, left, label=label)
    _draw_classes(right, description)
    return figure


def to_svg(description: Description) -> str:
    """Draw a description as an SVG element to place inside a page."""
    figure, buffer = draw(description), io.StringIO()
    import matplotlib

    # Keep text as text, and make the ids reproducible.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hf_specclip"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _draw_classes(axes: Any, description: Description) -> None:
    shown = list(description.classes.items())[:_CLASSES_SHOWN][::-1]
    from ..spectra.plot import literal

    axes.barh([literal(name) for name, _ in shown], [share for _, share in shown], color=_BAR)
    for bar, (_, share) in enumerate(shown):
        axes.text(share, bar, f" {share:.0%}", va="center", color=_INK, fontsize=9)
    axes.set_xlim(0, 1.12 * max(share for _, share in shown))
    axes.set_xticks([])
    axes.set_title("class", fontsize=10, color=_INK)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
