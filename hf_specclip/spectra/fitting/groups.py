"""Channel selection and grouping for a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rebin import ascending_edges


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of neighbouring channels for each of B spectra, padded to the largest number.

    Attributes:
        starts, stops: (B, G) int64, first channel and one past the last; 0 and 0 in the padding.
        number: (B,) int64, groups of each spectrum.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    number: NDArray[np.int64]

    def sum(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sum (B, n) values over the groups: (B, G), 0 in the padding."""
        amounts = np.asarray(values, dtype=np.float64)
        below = np.zeros((len(amounts), amounts.shape[1] + 1))
        np.cumsum(amounts, axis=1, out=below[:, 1:])
        rows = np.arange(len(amounts))[:, None]
        return below[rows, self.stops] - below[rows, self.starts]

    def take(self, rows: NDArray[np.int64]) -> Groups:
        """Return the groups of some spectra, padded no further than these need."""
        number = self.number[rows]
        widest = int(number.max(initial=0))
        return Groups(self.starts[rows, :widest], self.stops[rows, :widest], number)


def noticed_channels(channel_edges: ArrayLike, energy_range: tuple[float, float]) -> slice:
    """Select the channels (n + 1 ascending edges) that overlap an energy range, both in keV.

    They are those of Sherpa's `notice(low, high)`. Raises ValueError for a range that is not
    ascending, or that holds no channel.
    """
    edges = ascending_edges(channel_edges, "channel_edges")
    low, high = (float(end) for end in energy_range)
    if not low < high:
        raise ValueError(f"energy_range must be low < high in keV, not {energy_range!r}")
    inside = np.flatnonzero((edges[1:] > low) & (edges[:-1] < high))
    if not inside.size:
        raise ValueError(
            f"no channel lies in {low:g}–{high:g} keV: "
            f"the channels cover {edges[0]:.4g}–{edges[-1]:.4g} keV"
        )
    return slice(int(inside[0]), int(inside[-1]) + 1)


def group_channels(counts: ArrayLike, minimum: int, *, keep_incomplete: bool = False) -> Groups:
    """Join channels, from the lowest energy up, until each group holds `minimum` counts.

    The groups are those of `group_counts(minimum)` of Sherpa 4.16 and later after a `notice`: they
    begin with the first noticed channel, and it is the raw counts (background included) that are
    counted. Earlier versions, and `dmgroup` without tab stops, begin with the first channel of the
    detector instead, which moves the borders of the groups.

    If the last channels do not add up to `minimum`, Sherpa flags them (quality 2): `ignore_bad()`
    leaves them out, a fit without it keeps them. `keep_incomplete` chooses between the two.

    Args:
        counts: (B, n) or (n,) counts of the noticed channels, in ascending energy.
        minimum: counts in a group.
        keep_incomplete: keep the last group although it holds fewer counts, or none.

    Raises:
        ValueError: a minimum below 1.
    """
    if minimum < 1:
        raise ValueError(f"a group must hold at least 1 count, not {minimum}")
    values = np.atleast_2d(np.asarray(counts))
    n_spectra, n_channels = values.shape
    rows = np.arange(n_spectra)
    starts = np.zeros((n_spectra, n_channels), dtype=np.int64)
    stops = np.zeros_like(starts)
    number = np.zeros(n_spectra, dtype=np.int64)
    first = np.zeros(n_spectra, dtype=np.int64)
    held = np.zeros(n_spectra, dtype=np.float64)
    for channel in range(n_channels):
        held += values[:, channel]
        full = rows[held >= minimum]
        starts[full, number[full]] = first[full]
        stops[full, number[full]] = first[full] = channel + 1
        number[full] += 1
        held[full] = 0.0
    if keep_incomplete:
        left = rows[first < n_channels]
        starts[left, number[left]] = first[left]
        stops[left, number[left]] = n_channels
        number[left] += 1
    return Groups(starts, stops, number).take(rows)
