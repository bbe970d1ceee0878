"""Variability of a source within an observation, from the times of its events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..timing import LEAST_COUNTS, N_TIMES, GregoryLoredo, gregory_loredo, uniformity


@dataclass(frozen=True, eq=False)
class Variability:
    """The catalogue's measures of variability within an observation.

    Attributes:
        counts: events.
        start: of the first good time, s.
        length: from the first good time to the last, s.
        live: s, good time less dead time.
        columns: `var_prob_b`, `var_index_b`, `var_mean_b` and `var_sigma_b` (counts/s), `ks_prob_b`
            and `kp_prob_b`; empty with fewer than `LEAST_COUNTS` events.
        curve: light curve; None with fewer events.
        binned: counts in equal parts of the observation, (N_TIMES,).
        exposed: fraction of each part that was live, (N_TIMES,).
    """

    counts: int
    start: float
    length: float
    live: float
    columns: dict[str, float]
    curve: GregoryLoredo | None
    binned: NDArray[np.int64]
    exposed: NDArray[np.float64]


def measure_variability(
    times: NDArray[np.float64], good: NDArray[np.float64], live_share: float = 1.0
) -> Variability:
    """Measure the variability of events.

    Args:
        times: of arrival within the good times, s, (k).
        good: good times, start and end of each, ascending and apart, s, (g, 2).
        live_share: live time over good time (DTCOR).
    """
    start, length = float(good[0, 0]), float(good[-1, 1] - good[0, 0])
    knots = good.reshape(-1)
    before = np.cumsum(np.diff(good, axis=1)[:, 0])
    elapsed = np.stack([np.append(0.0, before[:-1]), before], axis=1).reshape(-1)
    edges = start + length * np.arange(N_TIMES + 1) / N_TIMES
    exposed = np.diff(np.interp(edges, knots, elapsed)) * N_TIMES / length
    bins = np.clip(((times - start) * N_TIMES / length).astype(np.int64), 0, N_TIMES - 1)
    binned = np.bincount(bins, minlength=N_TIMES)
    # By rounding, an event at the edge of a good time may fall outside it.
    exposed = np.clip(np.where(binned > 0, np.maximum(exposed, 1e-6), exposed), 0.0, 1.0)
    live = float(before[-1]) * live_share
    columns, curve = {}, None
    if len(times) >= LEAST_COUNTS:
        gaps = None if (exposed > 1.0 - 1e-9).all() else exposed[None]
        curve = gregory_loredo(binned[None], np.array([length]), gaps)
        rates = {n: getattr(curve, n) / live_share for n in ("rates", "errors", "mean", "sigma")}
        curve = replace(curve, **rates)
        smirnov, kuiper = uniformity(np.interp(times, knots, elapsed) / before[-1])
        columns = {
            "var_prob_b": float(curve.probability[0]),
            "var_index_b": float(curve.index[0]),
            "var_mean_b": float(curve.mean[0]),
            "var_sigma_b": float(curve.sigma[0]),
            "ks_prob_b": smirnov,
            "kp_prob_b": kuiper,
        }
    return Variability(
        len(times), start, length, live, columns, curve, binned, exposed * live_share
    )
