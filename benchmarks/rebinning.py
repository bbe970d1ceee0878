"""Dealing the counts of 1,024 PI channels over 400 bins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_specclip.spectra.rebin import deal_counts_batch, energy_grid, overlap_fractions

from .side_by_side import Comparison, compare


def rebinning() -> Iterator[Comparison]:
    """Ours against numpy's multinomial, channel by channel."""
    n = 2_000
    rng = np.random.default_rng(0)
    channels, bins = 0.0146 * np.arange(1025), energy_grid()
    counts = rng.poisson(rng.lognormal(4.5, 1.2, (n, 1)) * np.exp(-channels[:-1] / 2) / 140)
    fractions = np.asarray(overlap_fractions(channels, bins))
    outside = np.clip(1 - fractions.sum(axis=1, keepdims=True), 0, 1)
    chances = np.hstack([fractions, outside])

    def by_multinomial() -> np.ndarray:
        dealt = np.zeros((n, 400), dtype=np.int64)
        for row, spectrum in enumerate(counts):
            filled = np.flatnonzero(spectrum)
            dealt[row] = rng.multinomial(spectrum[filled], chances[filled]).sum(axis=0)[:-1]
        return dealt

    yield compare(
        "counts of 1,024 channels into 400 bins",
        (n, "spectra"),
        {
            "deal_counts_batch": lambda: deal_counts_batch(counts, channels, bins, np.arange(n)),
            "numpy multinomial, spectrum by spectrum": by_multinomial,
        },
        repeats=5,
    )
