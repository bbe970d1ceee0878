"""Filters on the entries of an index."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import asin, cos, degrees, inf, isfinite, radians, sin, sqrt
from typing import Any

import numpy as np

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
_CONDITION = re.compile(
    rf"(?:(?P<left>{NUMBER})\s*(?P<first>[<>]=?)\s*)?(?P<name>[a-z]\w*)"
    rf"\s*(?P<second>[<>]=?)\s*(?P<right>{NUMBER})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Condition:
    """Inclusive range of a catalogue variable, such as `powlaw_gamma`."""

    variable: str
    low: float = -inf
    high: float = inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"{self.variable} from {self.low:g} to {self.high:g} is empty")

    def __str__(self) -> str:
        if self.low == -inf:
            return f"{self.variable} ≤ {self.high:.3g}"
        if self.high == inf:
            return f"{self.variable} ≥ {self.low:.3g}"
        return f"{self.low:.3g} ≤ {self.variable} ≤ {self.high:.3g}"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Parse `powlaw_gamma<1.9`, `bb_kt >= 0.1` or `1 < apec_kt < 2`.

        Raises:
            ValueError: another syntax.
        """
        match = _CONDITION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a condition: use a form such as powlaw_gamma<1.9")
        low, high = -inf, inf
        # 1 < x means x > 1.
        reversed_sign = (match["first"] or "").translate(str.maketrans("<>", "><"))
        for sign, number in ((match["second"], match["right"]), (reversed_sign, match["left"])):
            if sign.startswith("<"):
                high = min(high, float(number))
            elif sign:
                low = max(low, float(number))
        return cls(match["name"].lower(), low, high)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return True for values in the range, False for unknown values (nan)."""
        return (values >= self.low) & (values <= self.high)


@dataclass(frozen=True)
class IndexFilter:
    """Conditions on the entries of an index; all conditions must hold.

    A text about several sources is kept if one of them meets a condition.

    Args:
        classes: class names, such as `("LMXB", "HMXB")`, case-insensitive.
        counts: minimum and maximum counts in the aperture, None for no limit. For a text, the
            counts of the brightest detection of its sources.
        cone: right ascension, declination and radius, degrees (ICRS).
        names: source names of the index (values of `SpecCLIPIndex.names`).
        hosts: names of host galaxies or star clusters.
        splits: splits of the dataset, such as `("train",)`.
        without_groups: groups (field, host, shared paper) to exclude.
        where: ranges of catalogue variables, or strings such as `"powlaw_gamma<1.9"`. Spectra with
            an unknown value are excluded. A text is kept if one of its spectra meets them.

    Raises:
        ValueError: an empty range or an invalid cone.
    """

    classes: Sequence[str] | None = None
    counts: tuple[float | None, float | None] | None = None
    cone: tuple[float, float, float] | None = None
    names: Sequence[str] = ()
    hosts: Sequence[str] = ()
    splits: Sequence[str] | None = None
    without_groups: Sequence[str] = ()
    where: Sequence[Condition | str] = ()

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Ranges of variables."""
        return tuple(Condition.parse(c) if isinstance(c, str) else c for c in self.where)

    def __post_init__(self) -> None:
        for name in ("classes", "names", "hosts", "splits", "without_groups", "where"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a list, not one string")
        _ = self.conditions  # raises for an invalid string
        if self.counts is not None:
            low, high = self.counts
            if low is not None and high is not None and low > high:
                raise ValueError(f"counts from {low:g} to {high:g} are empty: swap the limits")
        if self.cone is not None:
            ra, dec, radius = self.cone
            if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 180):
                raise ValueError(
                    f"the cone ({ra:g}, {dec:g}, {radius:g}) must be right ascension 0 to 360, "
                    "declination −90 to 90 and a radius above 0, all in degrees"
                )

    def keeps(self, entry: Mapping[str, Any]) -> bool:
        """Return True for an entry that meets all conditions except `where`."""
        if self.splits is not None and entry.get("split") not in self.splits:
            return False
        if self.names and not names_of(entry, "source_name", "source_names") & set(self.names):
            return False
        if self.hosts and not names_of(entry, "host", "hosts") & set(self.hosts):
            return False
        if names_of(entry, "group", "groups") & set(self.without_groups):
            return False
        if self.classes is not None:
            classes = {name.lower() for name in names_of(entry, "class", "classes")}
            if classes.isdisjoint(name.lower() for name in self.classes):
                return False
        if self.counts is not None:
            low, high = self.counts
            counts = entry.get("counts")
            if not isinstance(counts, int | float) or counts < (-inf if low is None else low):
                return False
            if high is not None and counts > high:
                return False
        if self.cone is None:
            return True
        ra, dec, radius = self.cone
        return any(separation(*position, ra, dec) <= radius for position in positions_of(entry))


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the angular separation of two positions, degrees (haversine)."""
    a, b, c, d = (radians(angle) for angle in (ra, dec, other_ra, other_dec))
    half = sin((d - b) / 2) ** 2 + cos(b) * cos(d) * sin((c - a) / 2) ** 2
    return degrees(2 * asin(min(1.0, sqrt(half))))


def names_of(entry: Mapping[str, Any], single: str, several: str) -> set[str]:
    """Collect the names in one field of an entry and in a second field that is a list."""
    names = [entry.get(single), *(entry.get(several) or ())]
    return {name for name in names if isinstance(name, str)}


def positions_of(entry: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Collect right ascension and declination (degrees) of the sources of an entry."""
    return [
        (float(position[0]), float(position[1]))
        for position in ((entry.get("ra"), entry.get("dec")), *(entry.get("positions") or ()))
        if isinstance(position, Sequence)
        and len(position) == 2
        and all(isinstance(angle, int | float) and isfinite(angle) for angle in position)
    ]
