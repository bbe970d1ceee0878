"""Retrieval measurement of a trained run, and storage of each query's rank."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from hf_specclip.evaluation import GroupBootstrap, MatchRanks, evaluate_ranks, recall_curve
from hf_specclip.evaluation.retrieval import DIRECTIONS, places
from hf_specclip.storage import atomic_file, write_json
from specclip_training.data.pairs import PairData
from specclip_training.data.writers import rows_by_writer
from specclip_training.engine.commands import Run
from specclip_training.engine.presets import EvaluationSettings
from specclip_training.stages.embedding import EmbeddedPairs

EVALUATION = "evaluation"
RANKS, ERRORS, QUERIES = "ranks.safetensors", "errors.safetensors", "queries.json"


def measure(
    embedded: EmbeddedPairs, groups: np.ndarray, settings: EvaluationSettings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure retrieval in both directions.

    Returns:
        `evaluate_ranks`' figures, and `recall_curve`' for each direction.
    """
    ranks, n_bootstrap = embedded.ranks(), settings.n_bootstrap
    figures = evaluate_ranks(ranks, embedded.owner, groups, settings.ks, n_bootstrap)
    options: dict[str, Any] = {"groups": groups, "n_bootstrap": n_bootstrap}
    curves = {d: recall_curve(ranks, embedded.owner, direction=d, **options) for d in DIRECTIONS}
    return figures, curves


class Sample(NamedTuple):
    """A figure for each seed (s,), and what it is on average over them: `value`, and `draws` (b,)
    in each bootstrap draw."""

    seeds: np.ndarray
    value: float
    draws: np.ndarray


def sample_ranks(
    seeds: Sequence[MatchRanks],
    ks: Sequence[float],
    bootstrap: GroupBootstrap,
    average: Callable[..., Any] = np.median,
) -> dict[str, Sample]:
    """Measure retrieval by models of several seeds, in one direction, as `recall@k%`,
    `mean_log_rank`, `median_rank` and `median_rank_fraction`."""
    figures: dict[str, list[tuple[Any, np.ndarray]]] = defaultdict(list)
    for ranks in seeds:
        rank, n = ranks.expected, ranks.n_gallery
        columns = {f"recall@{k:g}%": ranks.hits(places(k, n)) for k in ks}
        for name, column in {**columns, "mean_log_rank": np.log(rank)}.items():
            figures[name].append((column.mean(), bootstrap.means(column)))
        median, medians = np.median(rank), bootstrap.medians(rank)
        figures["median_rank"].append((median, medians))
        figures["median_rank_fraction"].append((median / n, medians / n))
    samples = {}
    for name, pairs in figures.items():
        values, draws = zip(*pairs, strict=True)
        samples[name] = Sample(
            np.array(values), float(average(values)), average(np.stack(draws), axis=0)
        )
    return samples


def measure_by_writer(
    embedded: EmbeddedPairs, pairs: PairData, split: str, settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure retrieval for the rows of each writer, each in a gallery of its own texts.

    Returns:
        `evaluate_ranks`' figures by writer, see `rows_by_writer`; `all` alone where the dataset
        names no writers.
    """
    figures = {}
    for name, rows in rows_by_writer(pairs, split).items():
        part, groups = embedded.subset(rows), pairs.splits[split].groups[rows]
        figures[name] = evaluate_ranks(
            part.ranks(), part.owner, groups, settings.ks, settings.n_bootstrap
        )
    return figures


def save_ranks(
    run: Run,
    pairs: PairData,
    split: str,
    embedded: EmbeddedPairs,
    ideal: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the rank of each query of a split, for paired comparisons between runs.

    `evaluation/ranks.safetensors` has `SPLIT.DIRECTION.rank` (q,), ties at their mean, `.greater`,
    `.tied`, `.tied_right`, `.right` (q,) as in `MatchRanks`, `.gallery` (1,) and, where given,
    `.ideal` (q,); `queries.json` the `ids` and `groups` of the queries under `[SPLIT][DIRECTION]`.

    Args:
        run: run with a trained model.
        pairs: dataset with embedded texts.
        split: split of the queries.
        embedded: its pairs.
        ideal: the ideal observer's ranks of the same queries by direction, where there is one.
    """
    if not run.is_main:
        return
    folder, arrays = run.output / EVALUATION, pairs.splits[split]
    ids = [pairs.texts.entries[row]["id"] for row in pairs.texts_of(split)[0]]
    rows = arrays.table.select(["source_name", "obsid", "obi", "region_id"]).to_pylist()
    detections = ["{source_name} {obsid}.{obi}.{region_id}".format(**row) for row in rows]
    _, first = np.unique(embedded.owner, return_index=True)
    described = {
        "spectrum_to_text": (np.array(detections), arrays.groups),
        "text_to_spectrum": (np.array(ids), arrays.groups[first]),
    }
    tensors, queries = {}, {}
    for direction, ranks in embedded.ranks().items():
        names, groups = described[direction]
        parts = {part: getattr(ranks, part) for part in ("greater", "tied", "tied_right", "right")}
        parts |= {"rank": ranks.expected.astype(np.float64), "gallery": np.array([ranks.n_gallery])}
        if ideal is not None:
            parts["ideal"] = np.asarray(ideal[direction], np.float64)
        tensors |= {f"{split}.{direction}.{part}": values for part, values in parts.items()}
        columns = {"ids": names, "groups": groups}
        queries[direction] = {key: values[ranks.query].tolist() for key, values in columns.items()}
    write_tensors(folder / RANKS, tensors)
    write_json(folder / QUERIES, {split: queries})


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors, atomically."""
    with atomic_file(path) as partial:
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, partial)
