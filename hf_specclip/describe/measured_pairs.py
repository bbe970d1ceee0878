"""Validation pairs for the evaluation of an exported model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..hub.export import MeasuredPairs
from .index_dataset import (
    BATCH_ROWS,
    TEXT_COLUMNS,
    DistinctTexts,
    open_splits,
    spectrum_columns,
)

if TYPE_CHECKING:
    from .describer import Describer

# `test` is reserved for the final evaluation.
SPLIT = "validation"


def read_pairs(describer: Describer, dataset: str | os.PathLike[str]) -> MeasuredPairs:
    """Read the pairs of `validation` with a text, as inputs of the exported graphs.

    Args:
        describer: the model.
        dataset: a folder or `user/name` in the form of the data contract.

    Raises:
        ImportError: where `datasets` is not installed.
        ValueError: for a dataset without such rows.
    """
    if describer.model.config.text_config.text_encoder_config is not None:
        raise ValueError(
            "this model embeds tokens itself, its text graph takes vectors: leave --dataset out"
        )
    rows = open_splits(dataset, None)[0].get(SPLIT)
    texts = DistinctTexts(describer.queries.sections)
    numbers = np.zeros(0, np.int64)
    if rows is not None:
        others = [name for name in rows.column_names if name not in TEXT_COLUMNS]
        numbers = np.array([texts.add(row, SPLIT) for row in rows.remove_columns(others)], np.int64)
    summaries = [entry["summary"] for entry in texts.entries]
    has_text = np.array([any(summary.values()) for summary in summaries], bool)
    with_text = np.flatnonzero(has_text[numbers])
    if rows is None or not len(with_text):
        raise ValueError(f"{dataset} has no rows with a text in {SPLIT}: split it over its groups")
    _, text_of_spectrum = np.unique(numbers[with_text], return_inverse=True)
    kept = [summary for summary, there in zip(summaries, has_text, strict=True) if there]
    parts = [kept[start : start + BATCH_ROWS] for start in range(0, len(kept), BATCH_ROWS)]
    columns = spectrum_columns(
        rows.with_format("numpy")[with_text.tolist()],
        describer.model.config.spectrum_config.n_bins,
        with_area=True,
    )
    columns.setdefault("effective_area", np.full(columns["counts"].shape, np.nan))
    groups = rows[with_text.tolist()]["group"] if "group" in rows.column_names else None
    return MeasuredPairs(
        f"{Path(dataset).name}, {SPLIT}",
        {name: values.astype(np.float32) for name, values in columns.items()},
        [describer.queries.inputs(part) for part in parts],
        text_of_spectrum,
        groups,
    )
