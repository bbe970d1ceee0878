"""Light curve of an event list, with the curve of Gregory and Loredo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..timing import N_TIMES
from .variability import Variability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNTS_A_BIN, _MOST_BINS = 15, 60


def plot_light_curve(measured: Variability, ax: Axes) -> Axes:
    """Draw rates in equal bins with √N errors, the Gregory–Loredo curve with 1 σ, and gaps."""
    divisors = [n for n in range(1, _MOST_BINS + 1) if N_TIMES % n == 0]
    n = max(d for d in divisors if d == 1 or d <= measured.counts / _COUNTS_A_BIN)
    counts = measured.binned.reshape(n, -1).sum(axis=1)
    live = measured.exposed.reshape(n, -1).mean(axis=1) * measured.length / n
    # A sliver of exposure at the edge of a gap tells no rate.
    shown = live > 0.05 * measured.length / n
    width = measured.length / n / 1000.0
    centres = (np.arange(n) + 0.5)[shown] * width
    rate, error = counts[shown] / live[shown], np.sqrt(counts[shown]) / live[shown]
    ax.errorbar(centres, rate, error, width / 2, fmt="o", ms=3, lw=1, color="#26323f",
                label=f"{measured.counts:,} events, {n} bins")  # fmt: skip
    edges = np.arange(N_TIMES + 1) * measured.length / N_TIMES / 1000.0
    for number in np.flatnonzero(measured.exposed == 0.0):
        ax.axvspan(edges[number], edges[number + 1], color="#dfe5ea", lw=0)
    if measured.curve is not None:
        rates, errors = measured.curve.rates[0], measured.curve.errors[0]
        middle = (edges[:-1] + edges[1:]) / 2
        label = f"Gregory–Loredo, index {measured.columns['var_index_b']:.0f}"
        ax.plot(middle, rates, color="#d1495b", label=label)
        low, high = rates - errors, rates + errors
        ax.fill_between(middle, low, high, color="#d1495b", alpha=0.2, lw=0)
    ax.set(xlabel="time since the first good time (ks)", ylabel="rate at 0.5–7 keV (counts/s)")
    ax.set_xlim(0.0, edges[-1])
    ax.set_ylim(bottom=0.0)
    ax.legend(frameon=False)
    return ax
