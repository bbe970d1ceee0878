"""Plot of a spectrum: counts/s/keV against energy, on log axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grouped_rates import GroupedRates, group_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .spectrum import XRaySpectrum

__all__ = ["label_energies", "literal", "make_figure", "plot_spectrum"]

_INK, _SOURCE, _BACKGROUND, _MODEL = "#26323f", "#1f5fa8", "#9aa5b1", "#d1495b"


def make_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches.

    Raises:
        ImportError: where matplotlib is not installed; says what to install.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "hf-specclip[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def plot_spectrum(
    spectrum: XRaySpectrum,
    ax: Axes | None = None,
    *,
    group_counts: int | None = None,
    energy_range: tuple[float, float] | None = None,
    subtract_background: bool = True,
    model: ArrayLike | None = None,
    label: str | None = None,
    color: str = _SOURCE,
) -> Axes:
    """Draw a spectrum with its background.

    Channels are grouped for display only, each group reaching at least `group_counts` counts in the
    aperture. Errors are Poisson, asymmetric (Gehrels 1986) with the background's
    propagated; a group whose net rate is not above zero by its lower error is an upper limit.

    Args:
        spectrum: what to draw.
        ax: axes to draw in; a new figure's where None.
        group_counts: fewest counts in a group (1 joins empty channels only); by default 15,
            fewer in faint spectra (a dozen groups, 3 at least) and more in bright ones (80 groups).
        energy_range: keV; by default 0.5–8 keV for Chandra, else where 99 % of the counts lie.
        subtract_background: draw net rates and the scaled background beside them; otherwise
            the aperture as observed, with the background for comparison.
        model: (n,) counts/s in each channel, such as `XRaySpectrum.fold` gives; drawn as a line.
        label: legend entry; the source's name where None.
        color: of the points.

    Returns:
        the axes.

    Raises:
        ValueError: group_counts below 1, or an energy range that holds no channel.
    """
    points = group_rates(
        spectrum,
        group_counts=group_counts,
        energy_range=energy_range,
        subtract_background=subtract_background,
    )
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    ax.set_xscale("log")
    ax.set_yscale("log")

    found, weak = points.found, points.weak
    if label is None:
        label = literal(spectrum.source_name or "source")
        label += ", net" if subtract_background and points.has_background else ""
    ax.errorbar(
        points.centre[found],
        points.rate[found],
        xerr=points.sides[:, found],
        yerr=points.errors[:, found],
        fmt="o",
        color=color,
        elinewidth=1.2,
        markersize=3.2,
        label=label,
        zorder=3,
    )
    if weak.any():
        ax.errorbar(
            points.centre[weak],
            points.limit[weak],
            xerr=points.sides[:, weak],
            yerr=0.25 * points.limit[weak],
            uplims=True,
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            alpha=0.45,
            capsize=2,
            label="1σ upper limit",
            zorder=2,
        )
    if points.has_background:
        _draw_background(ax, points)
    if model is not None:
        _draw_model(ax, np.asarray(model, dtype=np.float64), spectrum, points.part)
    _dress(ax, spectrum, points)
    return ax


def literal(text: str) -> str:
    """Return a text that matplotlib draws as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def label_energies(ax: Axes, low: float, high: float) -> None:
    """Label a logarithmic axis of energies (keV) with round numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 3, 5, 8, 10, 20, 50, 100) if low <= t <= high]
    if len(ticks) >= 2:
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())


def _draw_background(ax: Axes, points: GroupedRates) -> None:
    """Draw the background expected in the aperture, grouped by its own counts."""
    edges, rate = points.background_edges, points.background_rate
    rate = np.where(rate > 0, rate, np.nan)
    # A log axis has no zero to fill from; the axis cuts this off.
    floor = np.nanmin(rate) / 1e6
    ax.stairs(rate, edges, baseline=floor, fill=True, color=_BACKGROUND, alpha=0.16, zorder=0)
    ax.stairs(
        rate,
        edges,
        baseline=None,
        color=_BACKGROUND,
        linewidth=1.1,
        label="background, scaled",
        zorder=1,
    )


def _draw_model(ax: Axes, model: NDArray[Any], spectrum: XRaySpectrum, part: slice) -> None:
    edges = spectrum.channel_edges
    if model.shape != spectrum.counts.shape:
        raise ValueError(f"model must have shape {spectrum.counts.shape}, not {model.shape}")
    density = (model / np.diff(edges))[part]
    centre = np.sqrt(edges[part.start : part.stop] * edges[part.start + 1 : part.stop + 1])
    ax.plot(centre, density, color=_MODEL, linewidth=1.4, label="model", zorder=4)


def _dress(ax: Axes, spectrum: XRaySpectrum, points: GroupedRates) -> None:
    ax.set_xlim(*points.energy_range)
    label_energies(ax, *points.energy_range)
    background = points.expected[points.expected > 0]
    shown = points.rate[points.found] if points.found.any() else points.limit[points.weak]
    if shown.size:
        # Room for the background, but never more than one and a half decades.
        bottom = shown.min() / 3
        if background.size:
            bottom = max(min(bottom, np.median(background) / 3), bottom / 30)
        ax.set_ylim(bottom, shown.max() * 3)
    ax.set_xlabel("Energy (keV)", color=_INK)
    ax.set_ylabel(r"counts s$^{-1}$ keV$^{-1}$", color=_INK)
    ax.grid(which="major", color="#e6e9ed", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", direction="in", top=True, right=True, colors=_INK)
    for spine in ax.spines.values():
        spine.set_color("#b8c0c9")
    kiloseconds = spectrum.exposure / 1e3
    parts = [
        spectrum.camera.name,
        "" if spectrum.obsid is None else f"ObsID {spectrum.obsid}",
        "" if spectrum.region_id is None else f"region {spectrum.region_id}",
        f"{kiloseconds:,.0f} ks" if kiloseconds >= 100 else f"{kiloseconds:.3g} ks",
        f"{int(spectrum.counts[spectrum.good].sum()):,} counts",
    ]
    title = literal(" · ".join(p for p in parts if p))
    ax.set_title(title, loc="left", fontsize="medium", color=_INK)
    entries: Any = zip(*ax.get_legend_handles_labels(), strict=True)
    entries = sorted(entries, key=lambda entry: entry[1].startswith(("background", "1σ")))
    ax.legend(*zip(*entries, strict=True), frameon=False, labelcolor=_INK, fontsize="small")
