"""Groups of a user's rows, and the links that join them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import pyarrow as pa

from ..splits import assign_groups

# Sources within this distance are the same: error circles of Chandra, XMM-Newton and Swift.
MATCH_RADIUS_ARCSEC = 5.0


def find_groups(
    rows: pa.Table,
    fields: Sequence[Hashable],
    hosts: Sequence[str | None],
    own: Sequence[str | None],
) -> tuple[np.ndarray, str]:
    """Find the groups of n rows in the contract's columns.

    Rows are linked by source name, position, observation, host, papers, the table's own group, and
    a shared text or spectrum.

    Args:
        rows: rows of the dataset.
        fields: identifier of the observation of each row.
        hosts: host of each row, or None.
        own: group of each row in the table, or None.

    Returns:
        Group of each row (n), and two lines on the number of groups, the largest group, and the
        links.
    """
    names = rows["source_name"].to_pylist()
    number_of = {field: number for number, field in enumerate(dict.fromkeys(fields))}
    counts = rows["counts"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    texts = [" ".join(filter(None, of.values())) for of in rows["summary"].to_pylist()]
    reasons: Counter[tuple[str, str]] = Counter()
    groups = assign_groups(
        names,
        [number_of[field] for field in fields],
        hosts,
        [[str(paper["id"]) for paper in of or ()] for of in rows["papers"].to_pylist()],
        catalogue_groups=own,
        more={
            "name": [["".join(name.split()).casefold()] for name in names],
            "position": _positions(rows),
            "text": [[" ".join(text.split()).casefold()] for text in texts],
            "spectrum": [[row.tobytes()] if row.any() else [] for row in counts],
        },
        reasons=reasons,
    )
    sizes = Counter(groups)
    largest, size = sizes.most_common(1)[0]
    kinds: Counter[str] = Counter()
    for (_, kind), number in reasons.items():
        kinds[kind] += number
    of_largest = Counter({kind: n for (group, kind), n in reasons.items() if group == largest})
    counted = f"{len(rows):,} rows of {len(set(names)):,} sources in {len(sizes):,} groups"
    return groups, (
        f"{counted}{_joined(kinds)}\n"
        f"largest group: {size:,} rows ({size / len(rows):.1%}), {largest}{_joined(of_largest)}"
    )


def _joined(kinds: Counter[str]) -> str:
    links = ", ".join(f"{kind} ({number})" for kind, number in kinds.most_common())
    return f"; sources joined by {links}" if links else ""


def _positions(rows: pa.Table) -> list[list[int]]:
    """Return keys shared by rows at the same position, for each row."""
    from scipy.spatial import cKDTree

    sky = np.stack([rows[name].to_numpy() for name in ("ra", "dec")], axis=1)
    known = np.isfinite(sky).all(axis=1)
    places, place_of = np.unique(np.radians(sky[known]), axis=0, return_inverse=True)
    ra, dec = places.T
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    keys = [[place] for place in range(len(places))]
    chord = np.radians(MATCH_RADIUS_ARCSEC / 3600.0)
    for first, second in cKDTree(vectors).query_pairs(chord) if len(places) else ():
        keys[second].append(first)
    of_row: list[list[int]] = [[] for _ in range(len(rows))]
    for row, place in zip(np.flatnonzero(known), place_of, strict=True):
        of_row[row] = keys[place]
    return of_row
