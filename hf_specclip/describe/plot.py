"""A description as a figure: the spectrum, and its variables beside it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .description import Description

_INK, _ACCENT, _SOFT = "#26323f", "#1f5fa8", "#b9cbe3"
_SHOWN = 5


def draw(found: Description, axes: Any = None) -> Any:
    """Draw a description.

    Args:
        found: what to draw.
        axes: of one panel, which takes the spectrum alone; a new figure with the likeliest classes
            beside it where None.

    Returns:
        The figure.

    Raises:
        ImportError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "hf-specclip[plot]"') from error
    from ..spectra import plot_spectrum

    label = found.source.get("source_name") or "source"
    if axes is not None:
        plot_spectrum(found.spectrum, axes, label=label)
        return axes.figure
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    if not found.classes:
        plot_spectrum(found.spectrum, figure.subplots(), label=label)
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    plot_spectrum(found.spectrum, left, label=label)
    _draw_classes(right, found)
    return figure


def as_svg(found: Description) -> str:
    """The drawing as an SVG element, to stand inside a page."""
    return _svg(draw(found))


def _svg(figure: Any) -> str:
    import matplotlib

    target = io.StringIO()
    # Text stays text, and ids do not change from one page to the next.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hf_specclip"}):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    return text[text.index("<svg") :]


def _draw_classes(axes: Any, found: Description) -> None:
    shown = list(found.classes.items())[:_SHOWN][::-1]
    axes.barh([kind for kind, _ in shown], [share for _, share in shown], color=_SOFT)
    for place, (_, share) in enumerate(shown):
        axes.text(share, place, f" {share:.0%}", va="center", color=_INK, fontsize=9)
    axes.set_xlim(0, 1.12 * max(share for _, share in shown))
    axes.set_xticks([])
    axes.set_title("class, by name", fontsize=10, color=_INK)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


__all__ = ["as_svg", "draw"]
