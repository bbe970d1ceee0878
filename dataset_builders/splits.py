"""Grouped splits: rows that share a source, field, host or paper are in the same split.

Field, host and paper are visible both in the spectrum (exposure, chip, response) and in the text.
If related rows were in different splits, a model could score by recognising the field.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from hf_specclip.literature.source_names import name_key

from .contract import SPLITS

SURVEY_LIMIT = 20
FRACTIONS: Mapping[str, float] = {
    "train": 0.69,
    "calibration": 0.01,
    "validation": 0.15,
    "test": 0.15,
}
# A larger component would dominate a small split.
LARGEST_SHARE = 0.05
# Number of random draws; the one closest to `FRACTIONS` is used.
ATTEMPTS = 4


def count_sources_of_papers(
    source_names: Sequence[str], papers: Sequence[Sequence[str]]
) -> Counter[str]:
    """Count the distinct sources of each paper, from the names and papers of rows."""
    pairs = {
        (paper, source) for source, ids in zip(source_names, papers, strict=True) for paper in ids
    }
    return Counter(paper for paper, _ in pairs)


def assign_groups(
    source_names: Sequence[str],
    obsids: Sequence[int],
    hosts: Sequence[str | None],
    papers: Sequence[Sequence[str]],
    *,
    survey_limit: int = SURVEY_LIMIT,
    catalogue_groups: Sequence[str | None] | None = None,
    more: Mapping[str, Sequence[Sequence[Hashable]]] | None = None,
    reasons: Counter[tuple[str, str]] | None = None,
) -> np.ndarray:
    """Find the connected components over source, shared observation, host and linking paper.

    A paper links at most `survey_limit` sources; papers on more sources are surveys and link none.

    Args:
        source_names: name of the source, per row (n).
        obsids: observation, per row (n).
        hosts: host (galaxy, cluster of stars or of galaxies) or None, per row (n).
        papers: identifiers of the papers behind the summary, per row (n).
        survey_limit: maximum number of sources of a linking paper.
        catalogue_groups: groups of the table that stay together, per row (n).
        more: additional kinds of links; for each, the linking keys of each row (n).
        reasons: filled with the number of joins by (group, kind of link).

    Returns:
        Array (n,) of strings: the group of each row, named after its first source by name.
    """
    sources_of = count_sources_of_papers(source_names, papers)
    outer = [None] * len(source_names) if catalogue_groups is None else catalogue_groups
    links: dict[str, Sequence[Sequence[Hashable]]] = {
        "observation": [[int(obsid)] for obsid in obsids],
        "host": [[] if host is None else [name_key(host)] for host in hosts],
        "group": [[] if group is None else [group] for group in outer],
        "paper": [[paper for paper in ids if sources_of[paper] <= survey_limit] for ids in papers],
        **(more or {}),
    }
    components = DisjointSet(dict.fromkeys(source_names))
    first_of: dict[tuple[str, Hashable], str] = {}
    joins = [
        (source, kind)
        for kind, keys_of_rows in links.items()
        for source, keys in zip(source_names, keys_of_rows, strict=True)
        for key in keys
        if components.merge(first_of.setdefault((kind, key), source), source)
    ]
    roots = [components[source] for source in source_names]
    name_of: dict[Hashable, str] = {}
    for root, source in zip(roots, source_names, strict=True):
        name_of[root] = min(name_of.get(root, source), source)
    if reasons is not None:
        reasons.update((name_of[components[source]], kind) for source, kind in joins)
    return np.array([name_of[root] for root in roots], dtype=object)


def split_groups(
    groups: Sequence[str],
    *,
    seed: int = 0,
    fractions: Mapping[str, float] = FRACTIONS,
) -> np.ndarray:
    """Assign rows to splits by group, with sizes close to `fractions`.

    A group with more than `LARGEST_SHARE` of the rows goes to `train`. The others are drawn in a
    seeded order; each goes to a split with a probability in proportion to what that split lacks.
    With enough groups, no split is empty.

    Args:
        groups: group of each row (n).
        seed: seed of the draw.
        fractions: share of the rows of each split; their sum is 1.

    Returns:
        Array (n,) of names of `SPLITS`.

    Raises:
        ValueError: `fractions` has other splits or another sum.
    """
    if set(fractions) != set(SPLITS) or abs(sum(fractions.values()) - 1.0) > 1e-6:
        raise ValueError(
            f"fractions {dict(fractions)} must name {', '.join(SPLITS)} and add up to 1"
        )
    names, row_group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sizes = np.bincount(row_group, minlength=len(names))
    targets = np.array([fractions[split] for split in SPLITS]) * len(row_group)
    random = np.random.Generator(np.random.Philox(key=[seed, 0x5711]))
    attempts = [
        _draw_splits(sizes, targets, random) for _ in range(ATTEMPTS if len(names) < 20_000 else 1)
    ]

    def misfit(choice: np.ndarray) -> float:
        rows = np.bincount(choice, weights=sizes, minlength=len(SPLITS))
        return float((((rows - targets) ** 2) / np.maximum(targets, 1.0)).sum())

    return np.array(SPLITS, dtype=object)[min(attempts, key=misfit)][row_group]


def hash_splits(groups: Sequence[str]) -> np.ndarray:
    """Assign rows to splits by the hash of their group name, independently of other rows.

    The sha256 of the name modulo 100 is below 69 in `train`, 69 in `calibration`, below 85 in
    `validation`, and 85 or more in `test`. Shares are those of `FRACTIONS` for many groups only.
    """
    ends = np.cumsum([round(100 * FRACTIONS[split]) for split in SPLITS])

    def split_of(group: str) -> str:
        number = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 100
        return SPLITS[int(np.searchsorted(ends, number, side="right"))]

    chosen = {group: split_of(group) for group in set(groups)}
    return np.array([chosen[group] for group in groups], dtype=object)


def _draw_splits(sizes: np.ndarray, targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw a split (index into `SPLITS`) for each group, (g).

    Given are the rows of each group, (g), and the rows wanted in each split, (4).
    """
    choice, lacking = np.full(len(sizes), -1), targets.astype(float)

    def put(group: int, split: int) -> None:
        choice[group] = split
        lacking[split] -= sizes[group]

    for group in np.flatnonzero(sizes > LARGEST_SHARE * sizes.sum()):
        put(int(group), 0)
    order = random.permutation(np.flatnonzero(choice < 0))
    # The smallest split goes first: later, no group left may be small enough for it.
    calibration = SPLITS.index("calibration")
    for group in order:
        if sizes[group] <= lacking[calibration] + 0.5:
            put(int(group), calibration)
    rest = order[choice[order] < 0]
    for group, uniform in zip(rest, random.random(len(rest)), strict=True):
        room = np.where(sizes[group] <= lacking + 0.5, np.maximum(lacking, 0.0), 0.0)
        room[calibration] = 0.0
        if room.sum() > 0.0:
            reached = np.cumsum(room)
            put(int(group), int(np.searchsorted(reached, uniform * reached[-1], side="right")))
        else:
            short = np.where(targets > 0.0, lacking, -np.inf)
            short[calibration] = -np.inf
            put(int(group), int(np.argmax(short)))
    # Few, large groups can leave a split with nothing: hand it the smallest group of the fullest.
    for split in (SPLITS.index("test"), SPLITS.index("validation"), calibration):
        if targets[split] == 0 or (choice == split).any():
            continue
        owners = np.bincount(choice, minlength=len(SPLITS))
        giver = int(np.argmax(owners))
        if owners[giver] > 1:
            members = np.flatnonzero(choice == giver)
            put(int(members[np.argmin(sizes[members])]), split)
    return choice


def describe_splits(groups: Sequence[str], splits: Sequence[str]) -> str:
    """Format the sizes of the splits, and the largest group, as lines of text."""
    groups, splits = np.asarray(groups, dtype=object), np.asarray(splits, dtype=object)
    lines = []
    for split in SPLITS:
        rows = splits == split
        lines.append(
            f"{split:<12} {rows.sum():>7} rows ({rows.mean() if len(rows) else 0:5.1%})"
            f" in {len(set(groups[rows])):>6} groups"
        )
    if len(groups):
        name, size = Counter(groups).most_common(1)[0]
        lines.append(f"largest group: {size} rows ({size / len(groups):.1%}), {name}")
    return "\n".join(lines)
