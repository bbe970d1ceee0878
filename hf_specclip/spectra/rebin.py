"""Rebinning from detector channels to the model's energy bins.

ACIS PI channels are 14.6 eV wide and the model's bins 18.75 eV: whole channels assigned to bins by
their mid-points make a comb of 32 % rms in a smooth spectrum. Two rules avoid it:

- *counts* are dealt: each count of a channel falls, independently and uniformly in energy, into one
  of the bins the channel overlaps (a multinomial draw with the overlap fractions, as event energies
  are randomised inside a channel). They stay integers and Poisson, and none is lost;
- *models* (expected counts) are split by exact overlap.

Draws are a pure function of the detection's seed, the channel and the count: the same on every
machine, in every process and whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "background_seed",
    "deal_counts",
    "deal_counts_batch",
    "detection_seed",
    "energy_grid",
    "overlap_fractions",
]

# A channel with more counts than this is dealt by binomial draws (the same distribution), so that
# neither time nor memory grows with the counts.
_ONE_BY_ONE = 10_000
# Counts drawn at once: their arrays stay in the processor's cache.
_CHUNK = 1 << 15

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def energy_grid(
    n_bins: int = 400, energy_range: tuple[float, float] = (0.5, 8.0)
) -> NDArray[np.float64]:
    """Return the edges of equal bins.

    Args:
        n_bins: number of bins.
        energy_range: lowest and highest edge, keV.

    Returns:
        (n_bins + 1,) edges, keV.

    Raises:
        ValueError: no bins, or a range that is not ascending, finite and non-negative.
    """
    low, high = (float(edge) for edge in energy_range)
    if int(n_bins) != n_bins or n_bins < 1:
        raise ValueError(f"n_bins must be a positive integer, not {n_bins!r}")
    if not (np.isfinite([low, high]).all() and 0 <= low < high):
        raise ValueError(f"energy_range must be 0 <= low < high in keV, not {energy_range!r}")
    return np.linspace(low, high, int(n_bins) + 1)


def detection_seed(
    obsid: int | str | None,
    obi: int | str | None,
    region_id: int | str | None,
    source_name: str | None = "",
) -> int:
    """Return the seed of a detection's draws in [0, 2**63), the same on every machine.

    Args:
        obsid, obi, region_id: the detection in the Chandra Source Catalog; None where unknown.
        source_name: tells apart sources without catalogue numbers.
    """
    names = (obsid, obi, region_id, source_name)
    parts = ["" if name is None else str(name).strip() for name in names]
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8, person=b"specclip")
    return int.from_bytes(digest.digest(), "little") >> 1


def background_seed(seed: int) -> int:
    """Return the seed of a detection's background, dealt independently of the source."""
    return int(_mix(np.asarray([seed & _MASK], dtype=np.uint64) ^ _MIX_2)[0]) >> 1


def deal_counts(
    counts: ArrayLike,
    channel_edges: ArrayLike,
    bin_edges: ArrayLike,
    seed: int,
) -> NDArray[np.int64]:
    """Deal the integer counts of channels over bins; none is split.

    Args:
        counts: (n,) counts, non-negative integers.
        channel_edges: (n + 1,) ascending edges of the channels, keV.
        bin_edges: (m + 1,) ascending edges of the bins, keV.
        seed: of this detection, see `detection_seed`.

    Returns:
        (m,) counts per bin; those that fall beyond the bins are left out.

    Raises:
        ValueError: counts that are negative or not integers, edges that do not ascend.
    """
    values = np.asarray(counts)
    if values.ndim != 1:
        raise ValueError(f"counts must have shape (n,), not {values.shape}")
    return deal_counts_batch(values[None], channel_edges, bin_edges, [seed])[0]


def deal_counts_batch(
    counts: ArrayLike,
    channel_edges: ArrayLike,
    bin_edges: ArrayLike,
    seeds: ArrayLike,
) -> NDArray[np.int64]:
    """Deal counts (B, n) of detections with the same channels, with a seed for each (B,).

    Row i of the result (B, m) equals ``deal_counts(counts[i], …, seeds[i])`` bit for bit. Raises
    ValueError as `deal_counts` does, or for a number of seeds other than B.
    """
    values = _integer_counts(counts)
    borders = ascending_edges(channel_edges, "channel_edges")
    lows, widths, edges = borders[:-1], np.diff(borders), ascending_edges(bin_edges, "bin_edges")
    if values.ndim != 2 or values.shape[1] != lows.size:
        raise ValueError(f"counts must have shape (B, {lows.size}), not {values.shape}")
    state = _seed_states(seeds)
    if state.shape != (values.shape[0],):
        raise ValueError(f"{values.shape[0]} detections need as many seeds, not {state.shape}")

    n_out = edges.size + 1  # below, the bins, above
    dealt = np.zeros((values.shape[0], n_out), dtype=np.int64)
    rows, channels = np.nonzero(values)
    numbers = values[rows, channels]

    # The first slot that each channel meets (0 is below the bins), and the last. Most channels of a
    # coarse grid lie inside one bin: nothing to draw.
    first = np.searchsorted(edges, lows, side="right")
    inside = (first == np.searchsorted(edges, borders[1:], side="left"))[channels]
    np.add.at(dealt, (rows[inside], first[channels[inside]]), numbers[inside])
    rows, channels, numbers = rows[~inside], channels[~inside], numbers[~inside]

    many = numbers > _ONE_BY_ONE
    for row, channel, number in zip(rows[many], channels[many], numbers[many], strict=True):
        low = lows[channel]
        slot, fractions = _fractions_of(low, low + widths[channel], edges)
        # A generator of its own: its key is the detection and the channel, and nothing else.
        philox = np.random.Philox(key=int(state[row]) << 64 | int(channel))
        drawn = np.random.Generator(philox).multinomial(number, fractions)
        dealt[row, slot : slot + drawn.size] += drawn
    rows, channels, numbers = rows[~many], channels[~many], numbers[~many]

    # Shared by the counts of a channel: the start of their random numbers, and their first slot.
    counters = ((channels.astype(np.uint64) << np.uint64(32)) + np.uint64(1)) * _GOLDEN
    begin, slots = state[rows] + counters, rows * n_out + first[channels]
    crossed, flat = _crossed_edges(lows + widths, edges, first), dealt.reshape(-1)
    for part in _chunks(numbers):
        repeat, source = numbers[part], channels[part]
        starts = np.cumsum(repeat) - repeat
        steps = np.repeat(begin[part] - starts.astype(np.uint64) * _GOLDEN, repeat)
        energy = np.repeat(lows[source], repeat) + _uniform(steps) * np.repeat(
            widths[source], repeat
        )
        # One comparison for each edge inside a channel: there are one or two, and a search of all
        # edges for each count takes several times as long.
        left, last = repeat, flat.size - 1
        for step, edge in enumerate(crossed):
            beyond = energy >= np.repeat(edge[source], repeat)
            above = np.add.reduceat(beyond, starts, dtype=np.int64)
            # Channels that cross fewer edges add nothing, some of it past the end.
            np.add.at(flat, np.minimum(slots[part] + step, last), left - above)
            left = above
        np.add.at(flat, np.minimum(slots[part] + len(crossed), last), left)
    return np.ascontiguousarray(dealt[:, 1:-1])


def overlap_fractions(src_edges: ArrayLike, dst_edges: ArrayLike) -> NDArray[np.float64]:
    """Return the share of each source bin that lies in each destination bin.

    Args:
        src_edges: (n + 1,) ascending edges.
        dst_edges: (m + 1,) ascending edges, same unit.

    Returns:
        (n, m) fractions in [0, 1]; a row sums to 1 where the source bin lies inside the
        destination's range.

    Raises:
        ValueError: edges that do not ascend.
    """
    source = ascending_edges(src_edges, "src_edges")
    target = ascending_edges(dst_edges, "dst_edges")
    below = np.clip((target - source[:-1, None]) / np.diff(source)[:, None], 0.0, 1.0)
    return np.diff(below, axis=1)


def ascending_edges(edges: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return (n + 1,) finite, strictly ascending edges as float64, else raise ValueError."""
    values = np.asarray(edges, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"{name} must hold at least two edges, not shape {values.shape}")
    if not np.isfinite(values).all() or not (np.diff(values) > 0).all():
        raise ValueError(f"{name} must be finite and strictly ascending")
    return values


def _integer_counts(counts: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(counts)
    if values.dtype.kind not in "iub":
        real = np.asarray(values, dtype=np.float64)
        if not (np.abs(real) < 2.0**53).all() or (real != np.rint(real)).any():
            raise ValueError("counts must be whole numbers")
        values = real
    if values.size and values.min() < 0:
        raise ValueError("counts must not be negative")
    return values.astype(np.int64)


def _crossed_edges(
    highs: NDArray[Any], edges: NDArray[Any], first: NDArray[Any]
) -> list[NDArray[np.float64]]:
    """Return the first, second… edge that counts of each channel may lie above, else infinity.

    An edge at the top of a channel is one: energies are rounded.
    """
    number = np.maximum(np.searchsorted(edges, highs, side="right") - first, 0)
    most = int(number.max(initial=0))
    padded = np.append(edges, np.full(most, np.inf))
    return [np.where(step < number, padded[first + step], np.inf) for step in range(most)]


def _fractions_of(low: float, high: float, edges: NDArray[Any]) -> tuple[int, NDArray[np.float64]]:
    """Return the first slot (0 is below the range) of a channel, and its share in each from it."""
    first = int(np.searchsorted(edges, low, side="right"))
    last = int(np.searchsorted(edges, high, side="left"))
    cuts = np.concatenate([[low], edges[first:last], [high]])
    return first, np.diff(cuts) / (high - low)


def _chunks(numbers: NDArray[np.int64]) -> list[slice]:
    """Return slices of about `_CHUNK` counts each."""
    if not numbers.size:
        return []
    block = (np.cumsum(numbers) - 1) // _CHUNK
    cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), numbers.size]
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]


def _seed_states(seeds: ArrayLike) -> NDArray[np.uint64]:
    """Return well-mixed states: neighbouring seeds (0, 1, 2…) give unrelated draws."""
    whole = [int(seed) & _MASK for seed in np.asarray(seeds, dtype=object).reshape(-1)]
    return _mix(np.asarray(whole, dtype=np.uint64) + _GOLDEN)


def _uniform(begin: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return uniform numbers in [0, 1): the n-th is n steps from its beginning (SplitMix64)."""
    bits = _mix(begin + np.arange(begin.size, dtype=np.uint64) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64 (Steele, Lea & Flood 2014); integers wrap around."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))
