"""Which entries of an index a search may answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import asin, cos, degrees, isfinite, radians, sin, sqrt
from typing import Any


@dataclass(frozen=True)
class IndexFilter:
    """Conditions on the sources behind an entry; those left out ask for nothing.

    A text may be about several sources: it is kept where one of them meets the conditions.

    Args:
        classes: names of classes, such as `("LMXB", "HMXB")`; upper and lower case are alike.
        counts: smallest and largest number of counts in the aperture, None for no bound. A text is
            measured by the brightest detection of its sources.
        cone: right ascension, declination and radius, degrees (ICRS).
        splits: of the dataset the index was made from, such as `("train",)`. What measures an
            index must ask for those whose answers it may know.
        without_groups: groups (field, host, shared paper) whose entries are left out.

    Raises:
        ValueError: for bounds or a cone that no source can meet.
    """

    classes: Sequence[str] | None = None
    counts: tuple[float | None, float | None] | None = None
    cone: tuple[float, float, float] | None = None
    splits: Sequence[str] | None = None
    without_groups: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "splits", "without_groups"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a list of names, not one string")
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
        """Whether an entry of an index meets the conditions."""
        if self.splits is not None and entry.get("split") not in self.splits:
            return False
        if self.without_groups and _named(entry, "group", "groups") & set(self.without_groups):
            return False
        if self.classes is not None:
            wanted = {name.lower() for name in self.classes}
            if not wanted & {kind.lower() for kind in _named(entry, "class", "classes")}:
                return False
        if self.counts is not None and not self._bright_enough(entry.get("counts")):
            return False
        return self.cone is None or any(self._inside(*place) for place in _places(entry))

    def _bright_enough(self, counts: Any) -> bool:
        low, high = self.counts or (None, None)
        if not isinstance(counts, int | float):
            return False
        return (low is None or counts >= low) and (high is None or counts <= high)

    def _inside(self, ra: float, dec: float) -> bool:
        assert self.cone is not None  # asked for only then
        return separation(ra, dec, self.cone[0], self.cone[1]) <= self.cone[2]


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Angle between two places on the sky, all in degrees (haversine, exact for small ones)."""
    a, b, c, d = (radians(angle) for angle in (ra, dec, other_ra, other_dec))
    half = sin((d - b) / 2) ** 2 + cos(b) * cos(d) * sin((c - a) / 2) ** 2
    return degrees(2 * asin(min(1.0, sqrt(half))))


def _named(entry: Mapping[str, Any], one: str, many: str) -> set[str]:
    found = [entry.get(one), *(entry.get(many) or ())]
    return {name for name in found if isinstance(name, str)}


def _places(entry: Mapping[str, Any]) -> list[tuple[float, float]]:
    found = [(entry.get("ra"), entry.get("dec"))]
    for place in entry.get("positions") or ():
        if isinstance(place, Sequence) and len(place) == 2:
            found.append((place[0], place[1]))
    return [
        (float(ra), float(dec))
        for ra, dec in found
        if isinstance(ra, int | float)
        and isinstance(dec, int | float)
        and isfinite(ra)
        and isfinite(dec)
    ]


__all__ = ["IndexFilter", "separation"]
