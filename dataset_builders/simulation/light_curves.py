"""Light curves of simulated sources during an observation: noise, pulsations and flares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hf_specclip.spectra.timing import N_TIMES

# Octaves of the noise of a source without period or flares.
N_OCTAVES = 7


class Rows:
    """Record of arrays with one value per row."""

    def take(self, rows: np.ndarray) -> Self:
        """Return some rows, in the order of their indices."""
        columns = vars(self).items()
        return type(self)(
            **{name: c.take(rows) if isinstance(c, Rows) else c[rows] for name, c in columns}
        )


@dataclass(frozen=True)
class LightCurves(Rows):
    """Light curves of sources during observations, arrays (n)."""

    scatter: np.ndarray  # standard deviation of ln(rate), of noise with equal power in each octave
    period: np.ndarray  # s; 0 where there is none
    pulsed: np.ndarray  # amplitude of the modulation, 0 to 1
    phase: np.ndarray  # of the modulation at the start, 0 to 1
    flare: np.ndarray  # height of a flare over the quiescent rate; 0 where there is none
    flare_start: np.ndarray  # fraction of the observation before the flare
    flare_decay: np.ndarray  # exponential time of the flare, s

    def flare_boost(self, exposure: np.ndarray) -> np.ndarray:
        """Return the mean rate over the quiescent one, (n)."""
        left = (1.0 - self.flare_start) * exposure
        decayed = -np.expm1(-left / self.flare_decay)
        return 1.0 + self.flare * self.flare_decay / exposure * decayed

    def rates(self, exposure: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return relative rates with a mean of one, (n, N_TIMES).

        Args:
            exposure: length of each observation, s, (n).
            noise: uniform numbers for frequency and phase of each octave, (n, 2, N_OCTAVES).
        """
        time = (np.arange(N_TIMES) + 0.5) / N_TIMES
        cycles = 0.4 * 2.0 ** (np.arange(N_OCTAVES) + noise[:, 0])
        angle = 2.0 * np.pi * (cycles[:, :, None] * time + noise[:, 1, :, None])
        logs = np.sqrt(2.0 / N_OCTAVES) * self.scatter[:, None] * np.sin(angle).sum(axis=1)
        rate = np.exp(logs)
        turns = np.divide(
            exposure, self.period, out=np.zeros_like(exposure), where=self.period > 0.0
        )
        # Faster than the bins, a modulation averages out.
        depth = self.pulsed * np.sinc(turns / N_TIMES)
        angle = 2.0 * np.pi * (turns[:, None] * time + self.phase[:, None])
        rate *= 1.0 + depth[:, None] * np.sin(angle)
        since = (time - self.flare_start[:, None]) * exposure[:, None]
        fading = np.exp(-np.maximum(since, 0.0) / self.flare_decay[:, None])
        rate *= 1.0 + self.flare[:, None] * np.where(since >= 0.0, fading, 0.0)
        return rate / rate.mean(axis=1, keepdims=True)
