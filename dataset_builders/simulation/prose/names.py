"""Invented names of fields, hosts and authors, outside those of real catalogues."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .phrases import read_phrases

_NAMES = read_phrases("names")
AUTHORS = _NAMES.authors


def name_fields(kinds: Sequence[str], random: Random) -> list[str]:
    """Return a unique name for each field or host, by keys of `source_classes.FIELD_KINDS`."""
    names, taken = [], set()
    # As many numbers as leave most of them free, so that drawing again soon finds one.
    most = max(100_000, 4 * len(kinds))
    few, many = max(700, 2 * len(kinds)), max(5000, 2 * len(kinds))
    for kind in kinds:
        while True:
            number = random.randrange(1, most)
            place = random.choice(_NAMES.constellations)
            if kind == "galaxy":
                # NGC ends at 7840, IC at 5386, UGC at 12921.
                catalogue, first = (("NGC", 7841), ("IC", 5387), ("UGC", 12922))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "globular":
                name = f"{('Terzan', 'Palomar', 'Djorg')[number % 3]} {20 + number % few}"
            elif kind == "nursery":
                suffix = ("OB", "cloud", "nebula")[number % 3]
                name = f"{place} {suffix} {10 + number % few}"
            elif kind == "cluster":
                catalogue, first = (("Abell", 5000), ("MACS", 20000), ("ZwCl", 10000))[number % 3]
                name = f"{catalogue} {first + number % many}"
            elif kind == "plane":
                name = f"the {place} plane field {1 + number % few}"
            else:
                name = f"the {place} deep field {1 + number % few}"
            if name not in taken:
                break
        taken.add(name)
        names.append(name)
    return names
