"""Rows of a split by the writer of their text."""

from __future__ import annotations

import numpy as np

from specclip_training.data.pairs import PairData

ALL, SEEN = "all", "seen writers"
# Joins the writers of a text by several.
_TOGETHER = " + "


def unseen_writers(pairs: PairData) -> list[str]:
    """Name the writers of validation and test that `train` lacks, in alphabetical order."""
    known = _writers(pairs, "train")
    return sorted((_writers(pairs, "validation") | _writers(pairs, "test")) - known)


def rows_by_writer(pairs: PairData, split: str) -> dict[str, np.ndarray]:
    """Return the rows of a split by writer, each (k,).

    Returns:
        `all`; where the dataset names writers also `seen writers` (all of a text's are in `train`)
        and each writer's own rows. A text by several has none of these to itself.
    """
    rows = {ALL: np.arange(len(pairs.splits[split]))}
    writers = np.array([_writer(pairs, text) for text in pairs.splits[split].text_ids], dtype=str)
    names = np.unique(writers[writers != ""])
    if not len(names):
        return rows
    unseen = set(unseen_writers(pairs))
    seen = [name for name in names if not unseen & set(name.split(_TOGETHER))]
    rows[SEEN] = np.flatnonzero(np.isin(writers, [*seen, ""]))
    for name in names:
        if _TOGETHER not in name:
            rows[str(name)] = np.flatnonzero(writers == name)
    return {name: chosen for name, chosen in rows.items() if len(chosen)}


def rows_of_choice(pairs: PairData) -> np.ndarray:
    """Return the rows of validation that weights and members are chosen by, (k,).

    Their writers are learned from; all rows where the dataset names none of these.
    """
    rows = rows_by_writer(pairs, "validation")
    return rows.get(SEEN, rows[ALL])


def _writers(pairs: PairData, split: str) -> set[str]:
    names = {_writer(pairs, text) for text in np.unique(pairs.splits[split].text_ids)}
    return {part for name in names for part in name.split(_TOGETHER)} - {""}


def _writer(pairs: PairData, text: int) -> str:
    return pairs.texts.entries[text]["writer"] or ""
