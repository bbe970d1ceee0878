"""Random split over pairs, which leaks: a warning, not a result.

Most published retrieval figures are of such a split. Detections of one source, and sources of one
field, host or paper, are then in `train` and `test` alike, and a model that recognises the field
scores like one that uses the spectrum. The excess over the split over groups measures this leakage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.formatting import format_metric, format_with_interval
from specclip_training.data.pairs import SPLITS, PairData, SplitArrays, fingerprint_of
from specclip_training.engine.draws import Draws
from specclip_training.reports.blocks import Paragraph, Section, Table, metric_title

LEAKY = "leaky"
_COLUMNS = [field.name for field in dataclasses.fields(SplitArrays) if field.name != "table"]
# Retrieval that arXiv 2603.04516 reports; it does not say over what its pairs were split.
PAPER = {"recall@1%": "20%", "recall@5%": "50%", "median_rank_fraction": "4.9%"}


def leaky_split(pairs: PairData, seed: int = 0) -> PairData:
    """Split the pairs at random into splits of the same sizes, ignoring groups.

    The result is labelled: `leaky` is set, its name and that of its dataset contain the word, and
    its fingerprint differs, so that no comparison mistakes it for the leak-free split.
    """
    sizes, all_rows = pairs.sizes, join_splits(pairs)
    order = Draws(seed, "leaky split", 0).permutation(len(all_rows))
    parts = np.split(order, np.cumsum([sizes[name] for name in SPLITS])[:-1])
    # In order within the split, as a dataset would be.
    splits = {
        name: take_rows(all_rows, np.sort(part)) for name, part in zip(SPLITS, parts, strict=True)
    }
    split_of_text: dict[int, str] = {}
    for name, split in splits.items():
        for text in np.unique(split.text_ids).tolist():
            split_of_text.setdefault(text, name)
    entries = [
        {**entry, "split": split_of_text.get(text)}
        for text, entry in enumerate(pairs.texts.entries)
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


def join_splits(pairs: PairData) -> SplitArrays:
    """Return the rows of all splits, one split after the other."""
    parts = [pairs.splits[name] for name in SPLITS]
    tables = [part.table.select(parts[0].table.column_names) for part in parts]
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        values = [getattr(part, name) for part in parts]
        columns[name] = None if any(part is None for part in values) else np.concatenate(values)
    return SplitArrays(**columns, table=pa.concat_tables(tables))


def shared_with_train(pairs: PairData) -> dict[str, float]:
    """Measure the share of the rows of `test` whose source, text or group is also in `train`."""

    def share(column: Callable[[SplitArrays], np.ndarray]) -> float:
        train, test = (column(pairs.splits[split]) for split in ("train", "test"))
        return float(np.isin(test, train).mean()) if len(test) else 0.0

    return {
        "source": share(lambda split: np.array(split.table["source_name"].to_pylist(), str)),
        "text": share(lambda split: split.text_ids),
        "group": share(lambda split: split.groups),
    }


def leaky_section(
    leak_free: dict[str, Any], leaky: dict[str, Any], shared: dict[str, float], *, simulated: bool
) -> Section:
    """Write the section that compares the random split with the split over groups.

    Args:
        leak_free: `evaluate_retrieval` of `test` under the split over groups.
        leaky: the same of a model trained and measured on `leaky_split`.
        shared: `shared_with_train` of the random split.
        simulated: True where the data are.
    """
    word = "simulated " if simulated else ""
    text = (
        "**A warning, not a result.** The same preset was trained again on the same "
        f"{word}pairs, split at random over pairs. Of its test pairs "
        f"{shared['source']:.0%} have a detection of the same source in `train`, "
        f"{shared['text']:.0%} the same text, {shared['group']:.0%} a member of their group "
        "(source, field, host or paper). The excess over the split over groups is leakage, which "
        "a new source does not have. Quote the left column. The paper does not state how it split "
        "its pairs, which are of real spectra."
    )
    before, after = leak_free["spectrum_to_text"], leaky["spectrum_to_text"]
    rows = [
        [
            metric_title(name),
            f"**{format_with_interval(before[name], name)}**",
            format_with_interval(after[name], name),
            PAPER.get(name, ""),
            format_metric(before[name]["chance"], name),
        ]
        for name in before
        if name.startswith("recall") or name == "median_rank_fraction"
    ]
    head = ["spectrum → text", "split over groups", "random split (leaky)", "paper", "chance"]
    return Section("Random split over pairs (a warning)", [Paragraph(text), Table(head, rows)])


def take_rows(arrays: SplitArrays, rows: np.ndarray) -> SplitArrays:
    """Return some rows of a split."""
    columns = {name: getattr(arrays, name) for name in _COLUMNS}
    columns = {name: values if values is None else values[rows] for name, values in columns.items()}
    return SplitArrays(**columns, table=arrays.table.take(pa.array(rows)))
