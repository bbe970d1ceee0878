"""Ideal observer of a run's dataset: upper limit of retrieval, lower limit of errors.

Only simulated data have one (`specclip_datasets.simulation.oracle`). Results are cached under a key
of dataset, code, split and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from hf_specclip.literature.embedders.cache import default_cache_dir
from hf_specclip.storage import write_json
from specclip_datasets.info import code_fingerprint
from specclip_datasets.simulation.oracle.report import describe_ceiling
from specclip_datasets.simulation.oracle.study import MEMBERS, Ceiling, measure_ceiling
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.reports.blocks import Paragraph, Section, Table
from specclip_training.studies.measure import write_tensors

_FOLDER = "ideal_observer"


def ceiling_of(
    run: Run, pairs: PairData, split: str, *, members: int = MEMBERS, variables: bool = True
) -> Ceiling | None:
    """Measure the ideal observer on a split, or read its result from the cache.

    Args:
        run: run with the cache and evaluation settings to use.
        pairs: the dataset.
        split: split measured on.
        members: size of the observer's bank of simulated sources.
        variables: also estimate the physical variables.

    Returns:
        None for data that is not simulated. `truth` and `medians` have the order of the split's
        rows; `ranks` that of `match_ranks` over `pairs.texts_of(split)`.

    Raises:
        specclip_datasets.info.DatasetFolderError: when this code does not make these rows.
    """
    if not (pairs.info.simulated and pairs.info.builder == "simulated"):
        return None
    settings = run.preset.evaluation
    key = {
        "dataset": pairs.fingerprint,
        "knobs": dict(pairs.info.knobs),
        "code": code_fingerprint(),
        "split": split,
        "members": members,
        "variables": variables,
        "ks": list(settings.ks),
        "n_bootstrap": settings.n_bootstrap,
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=12).hexdigest()
    folder = (run.cache_dir or default_cache_dir()) / _FOLDER
    paths = folder / f"{digest}.json", folder / f"{digest}.safetensors"
    if not all(path.is_file() for path in paths):
        ceiling = measure_ceiling(
            pairs.info,
            pairs.splits[split].table,
            text_of_spectrum=pairs.texts_of(split)[1],
            groups=pairs.splits[split].groups,
            members=members,
            variables=variables,
            ks=settings.ks,
            n_bootstrap=settings.n_bootstrap,
            progress=run.is_main,
        )
        if run.is_main:
            _store(ceiling, *paths)
        return ceiling
    return _load(*paths)


def ceiling_section(metrics: Mapping[str, Any]) -> Section:
    """Write the ideal observer's figures as a section of a report."""
    parts = describe_ceiling(metrics)
    section = Section("The ideal observer (simulated data)", [Paragraph(parts.about)])
    for title, head, rows in parts.tables:
        section.blocks += [Paragraph(title), Table(head, rows)]
    return section


def _store(ceiling: Ceiling, figures: Path, arrays: Path) -> None:
    tensors = {f"ranks/{name}": values for name, values in ceiling.ranks.items()}
    tensors |= {f"truth/{name}": values for name, values in ceiling.truth.items()}
    for given, medians in ceiling.medians.items():
        tensors |= {f"median/{given}/{name}": values for name, values in medians.items()}
    write_tensors(arrays, tensors)
    write_json(figures, ceiling.metrics)


def _load(figures: Path, arrays: Path) -> Ceiling:
    metrics = json.loads(figures.read_text(encoding="utf-8"))
    ranks: dict[str, np.ndarray] = {}
    truth: dict[str, np.ndarray] = {}
    medians: dict[str, dict[str, np.ndarray]] = {}
    for name, values in load_file(arrays).items():
        group, _, rest = name.partition("/")
        if group == "median":
            given, _, variable = rest.partition("/")
            medians.setdefault(given, {})[variable] = values
        else:
            {"ranks": ranks, "truth": truth}[group][rest] = values
    return Ceiling(metrics, ranks, truth, medians)


def headline(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Select Recall@1%, Recall@5% and the median rank fraction, from spectrum to text."""
    retrieval = metrics["spectrum_to_text"]
    return {name: retrieval[name] for name in ("recall@1%", "recall@5%", "median_rank_fraction")}


__all__ = ["ceiling_of", "ceiling_section", "headline"]
