"""Settings of the simulation, and its streams of random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np

from ..splits import FRACTIONS
from . import prose


@dataclass(frozen=True)
class Knobs:
    """Settings of the simulation; recorded in the dataset."""

    pairs: int = 2000  # number of rows
    seed: int = 0  # of all draws
    # Expected counts of the faintest sources of a field in its usual exposure
    faintest_counts: float = 130.0
    # Names of writers (`prose.WRITERS`), by default all. Unseen ones write for sources of
    # `validation` and `test` only.
    writers: tuple[str, ...] = ()
    # Texts of a source of `train`, each by other writers; those after the first are in the column
    # `further_texts`. Sources of the other splits have one.
    texts: int = 1
    # Fraction of the sufficiently bright spectra fitted with the catalogue's four models
    fits: float = 1.0
    held_out: float = FRACTIONS["test"]  # share of the rows for `validation`, and for `test`

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}: ask for at least one")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}: it must be from 0 to 2**63 − 1")
        if self.texts < 1:
            raise ValueError(f"texts is {self.texts}: a source has at least one")
        if self.faintest_counts <= 0.0:
            raise ValueError("faintest_counts must be above 0")
        if not 0 <= self.fits <= 1:
            raise ValueError(f"fits is {self.fits}: it is a share, from 0 to 1")
        if not 0 < self.held_out < 0.4:
            raise ValueError(f"held_out is {self.held_out}: it is a share, from 0 to 0.4")
        # A dataset's record has a list.
        object.__setattr__(self, "writers", tuple(self.writers))
        names = [writer.name for writer in prose.WRITERS]
        for name in self.writers:
            if name not in names:
                raise ValueError(f"writers holds {name!r}: choose from {', '.join(names)}")
        if all(writer.unseen for writer in self.chosen_writers):
            raise ValueError("writers are all unseen: name at least one to train on")

    @property
    def chosen_writers(self) -> tuple[prose.Writer, ...]:
        """Writers of the simulated literature."""
        chosen = self.writers
        return tuple(writer for writer in prose.WRITERS if not chosen or writer.name in chosen)

    @property
    def fractions(self) -> dict[str, float]:
        """Share of the rows for each split."""
        shares = {**FRACTIONS, "validation": self.held_out, "test": self.held_out}
        return {**shares, "train": 1.0 - shares["calibration"] - 2 * self.held_out}

    def record(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


def stream(seed: int, *purpose: Hashable) -> np.random.Generator:
    """Return a random generator keyed by the seed of the simulation and a purpose."""
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose)))


def text_stream(seed: int, *purpose: Hashable) -> Random:
    """Return a `stream` for single choices, ten times faster at them than NumPy."""
    return Random(_key(seed, purpose))


def _key(seed: int, purpose: tuple[Hashable, ...]) -> int:
    words = "\x1f".join(str(word) for word in (seed, *purpose))
    key = hashlib.blake2b(words.encode(), digest_size=16, person=b"specclip-sim").digest()
    return int.from_bytes(key, "little")
