"""Figure of a fit: data, folded models and residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .fitting.noticed import NoticedCounts, arrays_of
from .plot import label_energies, literal

if TYPE_CHECKING:
    from .fitting.result import FitResult
    from .spectrum import XRaySpectrum

_INK, _DATA = "#26323f", "#1f5fa8"
_COLOURS = ("#d1495b", "#e69f00", "#009e73", "#8a6fb0", "#56b4e9", "#b5a400")


def draw_fit(spectrum: XRaySpectrum, result: FitResult, figure: Any) -> Any:
    """Draw a spectrum in the groups of its fit, the folded models, and (data − model) / error.

    Models that were not fitted are left out. Returns the two axes of the matplotlib figure.
    """
    assert spectrum.rmf is not None
    noticed = NoticedCounts(
        **arrays_of([spectrum]),
        statistic=result.statistic,
        energy_range=result.energy_range,
        group_counts=result.group_counts,
    )
    groups, edges, rate, error = noticed.rates(0, spectrum.channel_edges)
    widths = groups.sum(np.diff(spectrum.channel_edges)[noticed.channels][None])[0]
    centre = np.sqrt(edges[:, 0] * edges[:, 1])
    sides = np.array([centre - edges[:, 0], edges[:, 1] - centre])
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.errorbar(
        centre, rate, yerr=error, xerr=sides, fmt="o", color=_DATA, markersize=3, elinewidth=1,
        label=literal(spectrum.source_name or "data"), zorder=3,
    )  # fmt: skip
    borders = np.append(edges[:, 0], edges[-1:, 1])
    fitted = [fit for fit in result.models.values() if fit.converged]
    for fit, colour in zip(fitted, _COLOURS, strict=False):
        folded = spectrum.fold(fit.photons(spectrum.rmf.energy_edges))[noticed.channels]
        model = groups.sum(folded[None])[0] / widths
        label = f"{fit.name}, {fit.statistic:.1f}/{fit.dof}"
        upper.stairs(model, borders, baseline=None, color=colour, linewidth=1.3, label=label)
        away = np.divide(rate - model, error, out=np.zeros_like(rate), where=error > 0)
        lower.stairs(away, borders, baseline=None, color=colour, linewidth=1.1)
    lower.axhline(0.0, color=_INK, linewidth=0.8)
    positive = rate[rate > 0]
    upper.set(xscale="log", yscale="log", xlim=(borders[0], borders[-1]))
    if positive.size:
        upper.set_ylim(positive.min() / 3, positive.max() * 2)
    upper.set_ylabel(r"counts s$^{-1}$ keV$^{-1}$")
    lower.set(xlabel="Energy (keV)", ylabel="(data − model) / error")
    label_energies(lower, borders[0], borders[-1])
    upper.legend(frameon=False, fontsize="small", labelcolor=_INK)
    for axes in (upper, lower):
        axes.tick_params(which="both", direction="in", top=True, right=True, colors=_INK)
    return upper, lower
