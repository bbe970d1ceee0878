"""Run rivals in turn, again and again, and compare them.

Absolute times are those of one machine on one day. What lasts is the ratio of two ways to do the
same work, run interleaved so that both meet the same noise.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Comparison:
    """Times of the rivals at one task.

    Attributes:
        task: what they did.
        size: how many items a call handled by rival, and what an item is.
        seconds: rival → times of its calls; the first rival is ours.
        cpu_seconds: rival → times that its calls kept the processors busy, all threads together.
        peak_mib: rival → memory that a call took beyond what was there before it, MiB.
        absent: rivals that are not installed here, or have no room.
    """

    task: str
    size: tuple[Mapping[str, int], str]
    seconds: Mapping[str, list[float]]
    cpu_seconds: Mapping[str, list[float]]
    peak_mib: Mapping[str, float]
    absent: tuple[str, ...] = field(default=())

    def rows(self) -> list[dict[str, object]]:
        """Return one row a rival: median, spread (half the interquartile range), rates, ratios.

        `times_ours` and `cpu_times_ours` compare the time of one item.
        """
        items, item = self.size
        ours = next(iter(self.seconds))

        def an_item(times: Mapping[str, list[float]], name: str) -> float:
            return statistics.median(times[name]) / items[name]

        rows: list[dict[str, object]] = []
        for name, times in self.seconds.items():
            quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
            rows.append(
                {
                    "task": self.task,
                    "rival": name,
                    "median_s": statistics.median(times),
                    "spread_s": (quartiles[2] - quartiles[0]) / 2,
                    "per_second": 1 / an_item(self.seconds, name),
                    "item": item,
                    "per_cpu_second": 1 / max(an_item(self.cpu_seconds, name), 1e-12),
                    "times_ours": an_item(self.seconds, name) / an_item(self.seconds, ours),
                    "cpu_times_ours": an_item(self.cpu_seconds, name)
                    / max(an_item(self.cpu_seconds, ours), 1e-12),
                    "peak_mib": self.peak_mib[name],
                }
            )
        return rows


def compare(
    task: str,
    size: tuple[int, str],
    rivals: Mapping[str, Callable[[], object] | None],
    repeats: int = 7,
    sizes: Mapping[str, int] | None = None,
) -> Comparison:
    """Time every rival `repeats` times, in turn, after one untimed call each.

    Args:
        task: what they do.
        size: items that a call handles, and what an item is.
        rivals: name → call; None for one that is not installed, or has no room. The first must
            be ours.
        repeats: timed calls of each.
        sizes: items by rival, for those whose calls handle another number.
    """
    present = {name: call for name, call in rivals.items() if call is not None}
    peak = {name: peak_memory(call) for name, call in present.items()}
    seconds: dict[str, list[float]] = {name: [] for name in present}
    busy: dict[str, list[float]] = {name: [] for name in present}
    for _ in range(repeats):
        for name, call in present.items():
            start, start_busy = time.perf_counter(), processor_time()
            call()
            seconds[name].append(time.perf_counter() - start)
            busy[name].append(processor_time() - start_busy)
    items = {name: (sizes or {}).get(name, size[0]) for name in present}
    absent = tuple(n for n in rivals if n not in present)
    return Comparison(task, (items, size[1]), seconds, busy, peak, absent)


def processor_time() -> float:
    """Return processor seconds of this process and of those it started that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def peak_memory(call: Callable[[], object]) -> float:
    """Return MiB of this process during a call beyond what it had before; NaN outside Linux."""
    gc.collect()  # or what one rival left would hide what the next one takes
    _return_free_memory()
    try:
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
    except OSError:
        return float("nan")
    call()
    return max(0.0, _status("VmHWM") - before)


def _return_free_memory() -> None:
    """Return freed heap memory to the operating system, where the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {key}")
