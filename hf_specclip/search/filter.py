"""Conditions on the entries that a search of an index may return."""

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
            raise ValueError(f"{self.variable} from {self.low:g} to {self.high:g} holds nothing")

    def __str__(self) -> str:
        if self.low == -inf:
            return f"{self.variable} ≤ {self.high:.3g}"
        if self.high == inf:
            return f"{self.variable} ≥ {self.low:.3g}"
        return f"{self.low:.3g} ≤ {self.variable} ≤ {self.high:.3g}"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read `powlaw_gamma<1.9`, `bb_kt >= 0.1` or `1 < apec_kt < 2`.

        Raises:
            ValueError: for any other form.
        """
        match = _CONDITION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a condition: use a form such as powlaw_gamma<1.9")
        low, high = -inf, inf
        bounds = [(match["second"], match["right"])]
        if match["left"] is not None:  # 1 < x says x > 1
            turned = match["first"].translate(str.maketrans("<>", "><"))
            bounds.append((turned, match["left"]))
        for sign, number in bounds:
            if sign[0] == "<":
                high = min(high, float(number))
            else:
                low = max(low, float(number))
        return cls(match["name"].lower(), low, high)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return True for values in the range, False for unknown values (nan)."""
        return (values >= self.low) & (values <= self.high)


@dataclass(frozen=True)
class IndexFilter:
    """Conditions on the sources of an entry; omitted conditions accept everything.

    A text about several sources is kept if one of them meets the conditions.

    Args:
        classes: class names, such as `("LMXB", "HMXB")`; case-insensitive.
        counts: smallest and largest number of counts in the aperture, None for no bound. For a text
            those of the brightest detection of its sources.
        cone: right ascension, declination and radius, degrees (ICRS).
        names: of sources, as the index has them (`SpecCLIPIndex.names`).
        hosts: names of the galaxies or star clusters that the sources lie in.
        splits: splits of the dataset the index was made from, such as `("train",)`. An evaluation
            must ask for those whose answers the model may know.
        without_groups: groups (field, host, shared paper) whose entries are left out.
        where: ranges of catalogue variables, or texts such as `"powlaw_gamma<1.9"`. Spectra of
            which the index holds no value are left out. Of a text, a spectrum must meet them.

    Raises:
        ValueError: for bounds or a cone that no source can meet.
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
        _ = self.conditions  # refuses a text that is none
        if self.counts is not None:
            low, high = self.counts
            if low is not None and high is not None and low > high:
                raise ValueError(f"counts from {low:g} to {high:g} hold nothing: swap them")
        if self.cone is not None:
            ra, dec, radius = self.cone
            if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 180):
                raise ValueError(
                    f"the cone ({ra:g}, {dec:g}, {radius:g}) must be right ascension 0 to 360, "
                    "declination −90 to 90 and a radius above 0, all in degrees"
                )

    def keeps(self, entry: Mapping[str, Any]) -> bool:
        """Return True for an entry of an index that meets the conditions, `where` aside."""
        if self.splits is not None and entry.get("split") not in self.splits:
            return False
        if self.names and not names_of(entry, "source_name", "source_names") & set(self.names):
            return False
        if self.hosts and not names_of(entry, "host", "hosts") & set(self.hosts):
            return False
        if self.without_groups and names_of(entry, "group", "groups") & set(self.without_groups):
            return False
        if self.classes is not None:
            wanted = {name.lower() for name in self.classes}
            if not wanted & {name.lower() for name in names_of(entry, "class", "classes")}:
                return False
        if self.counts is not None:
            low, high = self.counts
            counts = entry.get("counts")
            if not isinstance(counts, int | float):
                return False
            if (low is not None and counts < low) or (high is not None and counts > high):
                return False
        if self.cone is None:
            return True
        ra, dec, radius = self.cone
        return any(separation(*position, ra, dec) <= radius for position in positions_of(entry))


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the angle between two positions on the sky, degrees (haversine)."""
    a, b, c, d = (radians(angle) for angle in (ra, dec, other_ra, other_dec))
    half = sin((d - b) / 2) ** 2 + cos(b) * cos(d) * sin((c - a) / 2) ** 2
    return degrees(2 * asin(min(1.0, sqrt(half))))


def names_of(entry: Mapping[str, Any], single: str, several: str) -> set[str]:
    """Collect the names an entry has under a key, and in the list under another."""
    names = [entry.get(single), *(entry.get(several) or ())]
    return {name for name in names if isinstance(name, str)}


def positions_of(entry: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Collect right ascension and declination (degrees) of the sources of an entry."""
    positions = [(entry.get("ra"), entry.get("dec"))]
    for position in entry.get("positions") or ():
        if isinstance(position, Sequence) and len(position) == 2:
            positions.append((position[0], position[1]))
    return [
        (float(ra), float(dec))
        for ra, dec in positions
        if isinstance(ra, int | float)
        and isinstance(dec, int | float)
        and isfinite(ra)
        and isfinite(dec)
    ]


__all__ = ["NUMBER", "Condition", "IndexFilter", "names_of", "positions_of", "separation"]
