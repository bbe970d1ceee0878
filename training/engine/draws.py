"""Stateless random numbers and the order of rows.

All randomness of training is drawn anew at each step from (seed, stage, step) and, for a row's own
draws, the row's position in the step's batch. So a checkpoint holds no random state, the batch of a
step is the same on one process as on eight, and a run that was killed continues to the bit.
"""

from __future__ import annotations

import zlib
from copy import copy
from typing import Protocol

import numpy as np

# Purposes of the draws: streams of one (seed, stage, step) that never meet.
_EPOCH, _PROCESS, _ROW, _BATCH = 0, 1, 2, 100


class Draws:
    """Random numbers of one step, with a generator for each row of its batch.

    Args:
        seed: of the run, at least 0.
        stage: name of the stage.
        step: counted from 0.
        first: position, in the step's whole batch, of the first row of this process.
    """

    def __init__(self, seed: int, stage: str, step: int, first: int = 0):
        self._key = [seed, zlib.crc32(stage.encode())]
        self.step = step
        self._first = first

    def row(self, index: int, use: int = 0) -> np.random.Generator:
        """Return the generator of this process' row `index`; the same on any number of processes.

        Each `use` has numbers of its own, so that one augmentation never shifts another's.
        """
        return self._generator(self._first + index, _ROW + use)

    def uniform(self, n: int, width: int, use: int = 0) -> np.ndarray:
        """Draw numbers in [0, 1) for n rows of this process: (n, width).

        A row has the same numbers on any number of processes. Use another `use` for each
        augmentation, as for `row`.
        """
        generator = self._generator(0, _BATCH + use)
        return generator.random((self._first + n, width))[self._first :]

    def apart(self, purpose: str) -> Draws:
        """Return the draws of the same step for another purpose, independent of these."""
        other = copy(self)
        other._key = [self._key[0], zlib.crc32(purpose.encode(), self._key[1])]
        return other

    def permutation(self, n: int, part: int = 0) -> np.ndarray:
        """Return a permutation of n rows, another for each `part`; give the epoch as `step`."""
        return self._generator(part, _EPOCH).permutation(n)

    def torch_seed(self, process: int) -> int:
        """Return a seed for the dropout of a process."""
        return int(self._generator(process, _PROCESS).integers(2**62))

    def _generator(self, index: int, purpose: int) -> np.random.Generator:
        # Philox counts upwards from the lowest word, so other words name streams of their own.
        return np.random.Generator(
            np.random.Philox(key=self._key, counter=[0, index, self.step, purpose])
        )


class Order(Protocol):
    """Order of rows in training, the same on any number of processes."""

    def rows(self, step: int, size: int) -> np.ndarray:
        """Return the rows (size,) of the batch of a step (from 0).

        Each process takes a contiguous slice of them (`process_slice`).
        """


class Shuffled:
    """Order in which every epoch is a permutation of all rows.

    The rows left over at the end of an epoch are skipped: a contrastive loss over a smaller batch
    is another loss.

    Args:
        seed: of the run.
        stage: name of the stage.
        n_rows: rows in all.
    """

    def __init__(self, seed: int, stage: str, n_rows: int):
        self._seed, self._stage, self._n = seed, stage, n_rows
        self._epoch, self._rows = -1, np.empty(0, dtype=np.int64)

    def rows(self, step: int, size: int) -> np.ndarray:
        """See `Order.rows`."""
        epoch, batch = divmod(step, self._n // size)
        if epoch != self._epoch:
            draws = Draws(self._seed, self._stage, epoch)
            self._epoch, self._rows = epoch, draws.permutation(self._n)
        return self._rows[batch * size : (batch + 1) * size]


def process_slice(size: int, process: int, processes: int) -> slice:
    """Return the rows of a batch that a process takes."""
    return slice(process * size // processes, (process + 1) * size // processes)
