"""Run rivals in turn, again and again, and compare them.

Absolute times are those of one machine on one day. What lasts is the ratio of two ways to do the
same work, run interleaved so that both meet the same noise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Comparison:
    """Times of the rivals at one task.

    Attributes:
        task: what they did.
        size: how many items each call handled, and what an item is.
        seconds: rival → times of its calls; the first rival is ours.
        absent: rivals that are not installed here.
    """

    task: str
    size: tuple[int, str]
    seconds: Mapping[str, list[float]]
    absent: tuple[str, ...] = field(default=())

    def rows(self) -> list[dict[str, object]]:
        """One row a rival: median, spread (half the range of the middle half), rate, ratio."""
        medians = {name: statistics.median(times) for name, times in self.seconds.items()}
        ours = next(iter(medians.values()))
        rows: list[dict[str, object]] = []
        for name, times in self.seconds.items():
            quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
            rows.append(
                {
                    "task": self.task,
                    "rival": name,
                    "median_s": medians[name],
                    "spread_s": (quartiles[2] - quartiles[0]) / 2,
                    "per_second": self.size[0] / medians[name],
                    "item": self.size[1],
                    "times_ours": medians[name] / ours,
                }
            )
        return rows


def compare(
    task: str,
    size: tuple[int, str],
    rivals: Mapping[str, Callable[[], object] | None],
    repeats: int = 7,
) -> Comparison:
    """Time every rival `repeats` times, in turn, after one untimed call each.

    Args:
        rivals: name → call; None for one that is not installed. The first must be ours.
    """
    present = {name: call for name, call in rivals.items() if call is not None}
    for call in present.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in present}
    for _ in range(repeats):
        for name, call in present.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return Comparison(task, size, seconds, tuple(n for n in rivals if n not in present))
