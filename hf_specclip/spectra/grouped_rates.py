"""Count rates of a spectrum in groups of channels, for display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .fitting.groups import group_channels

if TYPE_CHECKING:
    from .spectrum import XRaySpectrum

# About as many points as an eye can tell apart in one panel.
_GROUPS = 80


@dataclass(frozen=True)
class GroupedRates:
    """Groups of channels, g of them; rates are counts/s/keV.

    Attributes:
        energy_range: keV, as asked for or by default.
        part: the channels that were grouped.
        edges: (g + 1,) keV.
        rate: (g,) net, or of the aperture where the background was not taken off.
        errors: (2, g) 1σ down and up.
        limit: (g,) 1σ upper limits, drawn where `weak`.
        found: (g,) whether the rate is above zero by its lower error.
        expected: (g,) rate of the background in the aperture, zeros where there is none.
        background_edges, background_rate: the same background, grouped by its own counts; empty
            where there is none.
    """

    energy_range: tuple[float, float]
    part: slice
    edges: NDArray[np.float64]
    rate: NDArray[np.float64]
    errors: NDArray[np.float64]
    limit: NDArray[np.float64]
    found: NDArray[np.bool_]
    expected: NDArray[np.float64]
    background_edges: NDArray[np.float64]
    background_rate: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        """Geometric mean of the edges, keV, (g,)."""
        return np.sqrt(self.edges[:-1] * self.edges[1:])

    @property
    def sides(self) -> NDArray[np.float64]:
        """Distances from the centre down and up to the edges, keV, (2, g)."""
        return np.array([self.centre - self.edges[:-1], self.edges[1:] - self.centre])

    @property
    def weak(self) -> NDArray[np.bool_]:
        """True where only an upper limit is known, (g,)."""
        return ~self.found & (self.limit > 0)

    @property
    def has_background(self) -> bool:
        """True where there is a background to draw."""
        return bool(self.expected.any())


def group_rates(
    spectrum: XRaySpectrum,
    *,
    group_counts: int | None = None,
    energy_range: tuple[float, float] | None = None,
    subtract_background: bool = True,
) -> GroupedRates:
    """Group channels for display; the arguments are those of `plot_spectrum`.

    Raises:
        ValueError: group_counts below 1, or an energy range that holds no channel.
    """
    if group_counts is not None and group_counts < 1:
        raise ValueError(f"group_counts must be at least 1, not {group_counts}")
    edges = spectrum.channel_edges
    low, high = energy_range or _default_range(spectrum)
    inside = np.flatnonzero((edges[:-1] >= low) & (edges[1:] <= high))
    if not inside.size:
        raise ValueError(f"no channel lies in {low:g}–{high:g} keV")
    part = slice(inside[0], inside[-1] + 1)
    good, borders = spectrum.good[part], edges[part.start : part.stop + 1]

    def grouped(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
        return np.add.reduceat(np.where(good, values, 0), starts)

    def per_rate(starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return s keV of the good channels of groups; infinite where all are bad."""
        widths = grouped(np.diff(borders), starts)
        return spectrum.exposure * np.where(widths > 0, widths, np.inf)

    starts = _starts(np.where(good, np.maximum(spectrum.counts[part], 0), 0), group_counts)
    counts = grouped(spectrum.counts[part], starts)
    lower, upper = poisson_errors(counts)
    if not spectrum.are_poisson and spectrum.stat_error is not None:
        lower = upper = np.sqrt(grouped(spectrum.stat_error[part] ** 2, starts))
    region, scale = (values[part] for values in spectrum.background_observed)
    expected, variance = grouped(region * scale, starts), grouped(region * scale**2, starts)
    drawn = counts.astype(np.float64)
    if subtract_background:
        drawn = drawn - expected
        lower, upper = np.hypot(lower, np.sqrt(variance)), np.hypot(upper, np.sqrt(variance))
    background_edges, background_rate = np.zeros(0), np.zeros(0)
    if spectrum.background_counts is not None and expected.any():
        behind = _starts(np.where(good, spectrum.background_counts[part], 0), group_counts)
        background_edges = borders[np.append(behind, good.size)]
        background_rate = grouped(region * scale, behind) / per_rate(behind)
    limit = np.where(upper > 0, np.maximum(drawn, 0) + upper, 0.0)
    return GroupedRates(
        energy_range=(low, high),
        part=part,
        edges=borders[np.append(starts, good.size)],
        rate=drawn / per_rate(starts),
        errors=np.array([lower, upper]) / per_rate(starts),
        limit=limit / per_rate(starts),
        found=drawn - lower > 0,
        expected=expected / per_rate(starts),
        background_edges=background_edges,
        background_rate=background_rate,
    )


def group_starts(counts: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Return the first channel of each group of neighbours with at least `least` counts.

    What is left at the end joins the last group. There is always one group.
    """
    return np.append(0, group_channels(counts, least).stops[0, :-1])


def _starts(counts: NDArray[np.int64], least: int | None) -> NDArray[np.int64]:
    """Return `group_starts`, for about `_GROUPS` groups where `least` is None."""
    total = int(counts.sum())
    usual = max(min(15, max(3, total // 12)), total // _GROUPS)
    return group_starts(counts, usual if least is None else least)


def poisson_errors(counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return 1σ errors down and up of Poisson counts (Gehrels 1986, ApJ 303, 336)."""
    upper = 1 + np.sqrt(np.maximum(counts, 0) + 0.75)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = counts * (1 - 1 / (9 * counts) - 1 / (3 * np.sqrt(counts))) ** 3
    return np.where(counts > 0, counts - least, 0.0), upper


def _default_range(spectrum: XRaySpectrum) -> tuple[float, float]:
    edges = spectrum.channel_edges
    if spectrum.camera.chandra and edges[0] < 8 and edges[-1] > 0.5:
        return max(0.5, edges[0]), min(8.0, edges[-1])
    counts = np.where(spectrum.good, np.maximum(spectrum.counts, 0), 0)
    share = np.cumsum(counts) / max(counts.sum(), 1)
    first = int(np.searchsorted(share, 0.005))
    last = int(np.searchsorted(share, 0.995))
    if last <= first:
        first, last = 0, edges.size - 2
    low = edges[first] if edges[first] > 0 else edges[first + 1] / 2
    return float(low), float(edges[last + 1])
