"""A spectrum as observers draw it: counts/s/keV against energy, on log axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rebin import ascending_edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .spectrum import XRaySpectrum

__all__ = ["group_channels", "plot_spectrum"]

_INK, _SOURCE, _BACKGROUND, _MODEL = "#26323f", "#1f5fa8", "#9aa5b1", "#d1495b"
# About as many points as an eye can tell apart in one panel.
_GROUPS = 80


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
    if group_counts is not None and group_counts < 1:
        raise ValueError(f"group_counts must be at least 1, not {group_counts}")
    edges = spectrum.energy_edges
    low, high = energy_range or _default_range(spectrum)
    inside = np.flatnonzero((edges[:-1] >= low) & (edges[1:] <= high))
    if not inside.size:
        raise ValueError(f"no channel lies in {low:g}–{high:g} keV")
    part = slice(inside[0], inside[-1] + 1)
    starts = group_channels(spectrum.counts[part], _least(spectrum.counts[part], group_counts))
    group_edges = edges[part.start : part.stop + 1][np.append(starts, inside.size)]
    per_rate = spectrum.exposure * np.diff(group_edges)

    counts = np.add.reduceat(spectrum.counts[part], starts)
    lower, upper = _poisson_errors(counts)
    expected, variance = np.zeros(counts.size), np.zeros(counts.size)
    if spectrum.background_counts is not None:
        region = spectrum.background_counts[part]
        scale = np.broadcast_to(spectrum.background_scale, spectrum.counts.shape)[part]
        expected = np.add.reduceat(region * scale, starts)
        variance = np.add.reduceat(region * scale**2, starts)
    drawn = counts.astype(np.float64)
    if subtract_background:
        drawn = drawn - expected
        lower, upper = np.hypot(lower, np.sqrt(variance)), np.hypot(upper, np.sqrt(variance))

    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    ax.set_xscale("log")
    ax.set_yscale("log")

    found = drawn - lower > 0
    centre = np.sqrt(group_edges[:-1] * group_edges[1:])
    sides = np.array([centre - group_edges[:-1], group_edges[1:] - centre])
    if label is None:
        label = spectrum.source_name or "source"
        label += ", net" if subtract_background and expected.any() else ""
    ax.errorbar(
        centre[found],
        (drawn / per_rate)[found],
        xerr=sides[:, found],
        yerr=np.array([lower, upper])[:, found] / per_rate[found],
        fmt="o",
        color=color,
        elinewidth=1.2,
        markersize=3.2,
        label=label,
        zorder=3,
    )
    limit = (np.maximum(drawn, 0) + upper) / per_rate
    weak = ~found & (upper > 0)
    if weak.any():
        ax.errorbar(
            centre[weak],
            limit[weak],
            xerr=sides[:, weak],
            yerr=0.25 * limit[weak],
            uplims=True,
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            alpha=0.45,
            capsize=2,
            label="1σ upper limit",
            zorder=2,
        )
    if expected.any():
        _draw_background(ax, spectrum, part, region * scale, group_counts)
    if model is not None:
        _draw_model(ax, np.asarray(model, dtype=np.float64), spectrum, part)
    lowest = (expected / per_rate)[expected > 0]
    _dress(ax, spectrum, (low, high), (drawn / per_rate)[found], limit[weak], lowest)
    return ax


def group_channels(counts: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """First channel of each group of neighbours with at least `least` counts.

    What is left at the end joins the last group. There is always one group.
    """
    # Groups end where the running sum since the last end reaches `least`; a jump from end to end
    # by bisection, so the loop runs once a group and not once a channel.
    total = np.cumsum(counts)
    starts, begun = [0], 0
    while True:
        end = int(np.searchsorted(total, begun + least))
        if end >= total.size - 1 or total[-1] - total[end] < least:
            return np.array(starts)
        starts.append(end + 1)
        begun = int(total[end])


def _least(counts: NDArray[np.int64], asked: int | None) -> int:
    if asked is not None:
        return asked
    total = int(counts.sum())
    return max(min(15, max(3, total // 12)), total // _GROUPS)


def _draw_background(
    ax: Axes, spectrum: XRaySpectrum, part: slice, scaled: NDArray[Any], asked: int | None
) -> None:
    """The background expected in the aperture, grouped by its own counts."""
    assert spectrum.background_counts is not None
    region = spectrum.background_counts[part]
    starts = group_channels(region, _least(region, asked))
    edges = spectrum.energy_edges[part.start : part.stop + 1][np.append(starts, region.size)]
    rate = np.add.reduceat(scaled, starts) / (spectrum.exposure * np.diff(edges))
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


def _poisson_errors(counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """1σ errors down and up of Poisson counts (Gehrels 1986, ApJ 303, 336)."""
    upper = 1 + np.sqrt(counts + 0.75)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = counts * (1 - 1 / (9 * counts) - 1 / (3 * np.sqrt(counts))) ** 3
    return np.where(counts > 0, counts - least, 0.0), upper


def _default_range(spectrum: XRaySpectrum) -> tuple[float, float]:
    edges = spectrum.energy_edges
    if (spectrum.telescope or "").upper() == "CHANDRA" and edges[0] < 8 and edges[-1] > 0.5:
        return max(0.5, edges[0]), min(8.0, edges[-1])
    share = np.cumsum(spectrum.counts) / max(spectrum.counts.sum(), 1)
    first = int(np.searchsorted(share, 0.005))
    last = int(np.searchsorted(share, 0.995))
    if last <= first:
        first, last = 0, edges.size - 2
    low = edges[first] if edges[first] > 0 else edges[first + 1] / 2
    return float(low), float(edges[last + 1])


def _draw_model(ax: Axes, model: NDArray[Any], spectrum: XRaySpectrum, part: slice) -> None:
    edges = ascending_edges(spectrum.energy_edges, "energy_edges")
    if model.shape != spectrum.counts.shape:
        raise ValueError(f"model must have shape {spectrum.counts.shape}, not {model.shape}")
    density = (model / np.diff(edges))[part]
    centre = np.sqrt(edges[part.start : part.stop] * edges[part.start + 1 : part.stop + 1])
    ax.plot(centre, density, color=_MODEL, linewidth=1.4, label="model", zorder=4)


def _dress(
    ax: Axes,
    spectrum: XRaySpectrum,
    energy_range: tuple[float, float],
    rates: NDArray[Any],
    limits: NDArray[Any],
    background: NDArray[Any],
) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = energy_range
    ax.set_xlim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 3, 5, 8, 10, 20, 50, 100) if low <= t <= high]
    if len(ticks) >= 2:
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    shown = rates if rates.size else limits
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
    parts = [spectrum.telescope, spectrum.instrument]
    if spectrum.obsid is not None:
        parts.append(f"ObsID {spectrum.obsid}")
    if spectrum.region_id is not None:
        parts.append(f"region {spectrum.region_id}")
    kiloseconds = spectrum.exposure / 1e3
    parts.append(f"{kiloseconds:,.0f} ks" if kiloseconds >= 100 else f"{kiloseconds:.3g} ks")
    parts.append(f"{int(spectrum.counts.sum()):,} counts")
    ax.set_title(" · ".join(p for p in parts if p), loc="left", fontsize="medium", color=_INK)
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: labels[n].startswith(("background", "1σ")))
    ax.legend(
        [handles[n] for n in order],
        [labels[n] for n in order],
        frameon=False,
        labelcolor=_INK,
        fontsize="small",
    )
