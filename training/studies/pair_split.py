"""The pair split: rows drawn at random into splits, whatever they share. A warning, not a result.

Most published retrieval figures come from such a split. Detections of one source, sources of one
field, host or paper then lie on both sides of it, and a model that remembers the field looks like
one that reads the spectrum. Shown beside the split over groups, it tells how much of a figure is
memory.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
from specclip_training.data.pairs import SPLITS, PairData, SplitArrays, fingerprint_of
from specclip_training.engine.draws import Draws
from specclip_training.reports.blocks import Paragraph, Section, Table

LEAKY = "leaky"


def leaky_split(pairs: PairData, seed: int = 0) -> PairData:
    """The same pairs in splits of the same sizes, drawn over rows in place of groups.

    The result is labelled: its `leaky` is set, its name and that of its dataset say so, and its
    fingerprint is another, so that no comparison takes it for the leak-free split.

    Args:
        pairs: with or without embedded texts; stays as it is.
        seed: of the draw.

    Returns:
        Pairs that train and are measured as any others.
    """
    sizes = pairs.sizes
    total = sum(sizes.values())
    tables = [pairs.splits[name].table for name in SPLITS]
    whole = SplitArrays(
        **{
            field.name: _joined([getattr(pairs.splits[n], field.name) for n in SPLITS])
            for field in dataclasses.fields(SplitArrays)
            if field.name != "table"
        },
        table=pa.concat_tables([table.select(tables[0].column_names) for table in tables]),
    )
    order = Draws(seed, "leaky split", 0).permutation(total)
    splits, start = {}, 0
    for name in SPLITS:
        # In order within the split, as a dataset would be.
        splits[name] = _rows(whole, np.sort(order[start : start + sizes[name]]))
        start += sizes[name]
    home: dict[int, str] = {}
    for name, split in splits.items():
        for text in np.unique(split.text_ids).tolist():
            home.setdefault(text, name)
    entries = [
        {**entry, "split": home.get(place)} for place, entry in enumerate(pairs.texts.entries)
    ]
    return dataclasses.replace(
        pairs,
        name=f"{pairs.name} ({LEAKY} pair split)",
        info=dataclasses.replace(pairs.info, name=f"{pairs.info.name} ({LEAKY} pair split)"),
        splits=splits,
        texts=dataclasses.replace(pairs.texts, entries=entries),
        fingerprint=f"{LEAKY}-{fingerprint_of(splits, entries)}",
        leaky=True,
    )


def shared_with_train(pairs: PairData, split: str = "test") -> dict[str, float]:
    """Share of a split's rows whose source, text or group is in `train`, too; 0 leaves no leak."""
    train, asked = pairs.splits["train"], pairs.splits[split]
    return {
        "source": _known(_sources(train), _sources(asked)),
        "text": _known(train.text_ids, asked.text_ids),
        "group": _known(train.groups, asked.groups),
    }


def leaky_section(
    leak_free: dict[str, Any], leaky: dict[str, Any], shared: dict[str, float], *, simulated: bool
) -> Section:
    """The pair split beside the split over groups, as a warning.

    Args:
        leak_free: `evaluate_retrieval` of `test` under the split over groups.
        leaky: the same of a model trained and measured on `leaky_split`.
        shared: `shared_with_train` of the pair split.
        simulated: whether the data are.
    """
    word = "simulated " if simulated else ""
    text = (
        "**A warning, not a result.** The same preset was trained again on the same "
        f"{word}pairs, split at random over pairs. Of its test pairs "
        f"{shared['source']:.0%} have a detection of the same source in `train`, "
        f"{shared['text']:.0%} their very text, {shared['group']:.0%} something of their group "
        "(source, field, host or paper). What the pair split adds to a figure is memory of these: "
        "it is gone for a source that is new. Quote the left column."
    )
    one, other = leak_free["spectrum_to_text"], leaky["spectrum_to_text"]
    rows = []
    for name in one:
        if name.startswith("recall") or name == "median_rank_fraction":
            title = name.replace("recall", "Recall").replace("_", " ")
            rows.append([title, f"**{_figure(one[name])}**", _figure(other[name]),
                         f"{one[name]['chance']:.1%}"])  # fmt: skip
    head = ["spectrum → text", "split over groups", "pair split (leaky)", "chance"]
    return Section("The pair split, a warning", [Paragraph(text), Table(head, rows)])


def _rows(whole: SplitArrays, rows: np.ndarray) -> SplitArrays:
    return SplitArrays(
        **{
            field.name: None if (values := getattr(whole, field.name)) is None else values[rows]
            for field in dataclasses.fields(SplitArrays)
            if field.name != "table"
        },
        table=whole.table.take(pa.array(rows)),
    )


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _sources(split: SplitArrays) -> np.ndarray:
    return np.array(split.table["source_name"].to_pylist(), dtype=str)


def _known(train: np.ndarray, asked: np.ndarray) -> float:
    return float(np.isin(asked, train).mean()) if len(asked) else 0.0


def _figure(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


__all__ = ["LEAKY", "leaky_section", "leaky_split", "shared_with_train"]
