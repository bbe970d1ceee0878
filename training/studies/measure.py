"""Retrieval measurement of a trained run, and storage of each query's rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.numpy import save_file

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.evaluation import GroupBootstrap, MatchRanks, evaluate_ranks, recall_curve
from hf_specclip.evaluation.retrieval import DIRECTIONS, places
from hf_specclip.storage import atomic_file, to_json, write_json
from specclip_training.data.pairs import PairData
from specclip_training.data.writers import rows_by_writer
from specclip_training.engine.commands import Run
from specclip_training.engine.presets import EvaluationSettings
from specclip_training.stages.embedding import EmbeddedPairs, embed_pairs

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
    curves = {
        direction: recall_curve(
            ranks, embedded.owner, groups, direction=direction, n_bootstrap=n_bootstrap
        )
        for direction in DIRECTIONS
    }
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
    values: dict[str, list[float]] = {}
    draws: dict[str, list[np.ndarray]] = {}
    for ranks in seeds:
        rank, n = ranks.expected, ranks.n_gallery
        columns = {f"recall@{k:g}%": ranks.hits(places(k, n)) for k in ks}
        columns["mean_log_rank"] = np.log(rank)
        for name, column in columns.items():
            values.setdefault(name, []).append(float(column.mean()))
            draws.setdefault(name, []).append(bootstrap.means(column))
        medians = bootstrap.medians(rank)
        for name, scale in (("median_rank", 1), ("median_rank_fraction", n)):
            values.setdefault(name, []).append(float(np.median(rank)) / scale)
            draws.setdefault(name, []).append(medians / scale)
    return {
        name: Sample(np.array(each), float(average(each)), average(draws[name], axis=0))
        for name, each in values.items()
    }


def figure_of(
    value: float, draws: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, float | None]:
    """Return a value with its interval over the finite draws; None in place of nan."""
    finite = draws[np.isfinite(draws)]
    low, high = bootstrap.interval(finite) if len(finite) else (np.nan, np.nan)
    return to_json({"value": float(value), "low": float(low), "high": float(high)})


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


@torch.no_grad()
def embed_split(
    folder: Path, pairs: PairData, split: str, accelerator: Accelerator
) -> EmbeddedPairs:
    """Embed a split by the model in a folder."""
    model = SpecCLIPModel.from_pretrained(folder).to(accelerator.device).eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(folder)
    return embed_pairs(model, extractor, pairs, split, accelerator)


def save_ranks(
    run: Run,
    pairs: PairData,
    split: str,
    embedded: EmbeddedPairs,
    ideal: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write the rank of each query of a split, for paired comparisons between runs.

    Args:
        run: run with a trained model.
        pairs: dataset with embedded texts.
        split: split of the queries.
        embedded: its pairs.
        ideal: the ideal observer's ranks of the same queries by direction, where there is one.

    Returns:
        The folder: `ranks.safetensors` has `SPLIT.DIRECTION.rank` (q,), ties at their mean,
        `.greater`, `.tied`, `.tied_right`, `.right` (q,) as in `MatchRanks`, `.gallery` (1,) and,
        where given, `.ideal` (q,); `queries.json` the `ids` and `groups` of the queries under
        `[SPLIT][DIRECTION]`.
    """
    folder = run.output / EVALUATION
    if not run.is_main:
        return folder
    arrays = pairs.splits[split]
    table = arrays.table
    ids = [pairs.texts.entries[row]["id"] for row in pairs.texts_of(split)[0]]
    detections = [
        f"{name} {obsid}.{obi}.{region}"
        for name, obsid, obi, region in zip(
            *(table[column].to_pylist() for column in ("source_name", "obsid", "obi", "region_id")),
            strict=True,
        )
    ]
    _, first = np.unique(embedded.owner, return_index=True)
    described = {
        "spectrum_to_text": (np.array(detections), arrays.groups),
        "text_to_spectrum": (np.array(ids), arrays.groups[first]),
    }
    tensors, queries = {}, {}
    for direction, ranks in embedded.ranks().items():
        names, groups = described[direction]
        tensors[f"{split}.{direction}.rank"] = ranks.expected.astype(np.float64)
        for part in ("greater", "tied", "tied_right", "right"):
            tensors[f"{split}.{direction}.{part}"] = getattr(ranks, part)
        tensors[f"{split}.{direction}.gallery"] = np.array([ranks.n_gallery])
        if ideal is not None:
            tensors[f"{split}.{direction}.ideal"] = np.asarray(ideal[direction], np.float64)
        queries[direction] = {
            "ids": names[ranks.query].tolist(),
            "groups": groups[ranks.query].tolist(),
        }
    write_tensors(folder / RANKS, tensors)
    write_json(folder / QUERIES, {split: queries})
    return folder


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors, atomically."""
    with atomic_file(path) as partial:
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, partial)
