"""Retrieval measurement of a trained run, and storage of each query's rank."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.evaluation import evaluate_retrieval, match_ranks, recall_curve
from hf_specclip.evaluation.retrieval import DIRECTIONS
from hf_specclip.storage import atomic_file, write_json
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.stages.alignment import MODEL, embed_spectra, embed_split_texts

EVALUATION = "evaluation"
RANKS, ERRORS, QUERIES = "ranks.safetensors", "errors.safetensors", "queries.json"


@torch.no_grad()
def measure(run: Run, pairs: PairData, split: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure retrieval of a split by the run's model, in both directions.

    Returns:
        `evaluate_retrieval`'s figures, and `recall_curve`'s for each direction.
    """
    spectra, texts, owner = embed_split(run, pairs, split)
    groups, settings = pairs.splits[split].groups, run.preset.evaluation
    embedded_split = (spectra, texts, owner, groups)
    draws = {"n_bootstrap": settings.n_bootstrap, "seed": 0}
    figures = evaluate_retrieval(*embedded_split, ks=settings.ks, **draws)
    curves = {
        direction: recall_curve(*embedded_split, direction=direction, **draws)
        for direction in DIRECTIONS
    }
    return figures, curves


def embed_split(
    run: Run, pairs: PairData, split: str
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Embed a split: spectra (n, D), distinct texts (k, D), index of each row's text (n,)."""
    model = SpecCLIPModel.from_pretrained(run.output / MODEL).to(run.accelerator.device).eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(run.output / MODEL)
    spectra = embed_spectra(model, extractor, pairs, split, run.accelerator)
    texts, owner = embed_split_texts(model, pairs, split, run.accelerator)
    return spectra, texts, owner


@torch.no_grad()
def save_ranks(
    run: Run, pairs: PairData, split: str, ideal: Mapping[str, np.ndarray] | None = None
) -> Path:
    """Write the rank of each query of a split, for paired comparisons between runs.

    Args:
        run: run with a trained model.
        pairs: dataset with embedded texts.
        split: split of the queries.
        ideal: the ideal observer's ranks of the same queries by direction, where there is one.

    Returns:
        The folder: `ranks.safetensors` has `SPLIT.DIRECTION.rank` (q,), ties at their mean,
        `.greater`, `.tied`, `.tied_right`, `.right` (q,) as in `MatchRanks`, `.gallery` (1,) and,
        where given, `.ideal` (q,); `queries.json` the `ids` and `groups` of the queries under
        `[SPLIT][DIRECTION]`.
    """
    spectra, texts, owner = embed_split(run, pairs, split)
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
    _, first = np.unique(owner, return_index=True)
    described = {
        "spectrum_to_text": (np.array(detections), arrays.groups),
        "text_to_spectrum": (np.array(ids), arrays.groups[first]),
    }
    tensors, queries = {}, {}
    for direction, ranks in match_ranks(spectra, texts, owner).items():
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


__all__ = [
    "ERRORS",
    "EVALUATION",
    "QUERIES",
    "RANKS",
    "embed_split",
    "measure",
    "save_ranks",
    "write_tensors",
]
