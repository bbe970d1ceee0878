"""Ideal observer of a run's dataset: the upper limit of retrieval.

Only simulated data have one (`specclip_datasets.simulation.oracle`). Results are cached under a key
of dataset, code, split and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from safetensors.numpy import load_file

from hf_specclip.literature.embedders.cache import default_cache_dir
from hf_specclip.storage import read_json, write_json
from specclip_datasets.info import code_fingerprint
from specclip_datasets.simulation.oracle.report import describe_ceiling
from specclip_datasets.simulation.oracle.study import MEMBERS, Ceiling, measure_ceiling
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.reports.blocks import Paragraph, Section, Table
from specclip_training.studies.measure import write_tensors

_FOLDER = "ideal_observer"


def ceiling_of(run: Run, pairs: PairData, split: str, *, members: int = MEMBERS) -> Ceiling | None:
    """Measure the ideal observer on a split, or read its result from the cache.

    Args:
        run: run with the cache and evaluation settings to use.
        pairs: the dataset.
        split: split measured on.
        members: size of the observer's bank of simulated sources.

    Returns:
        None for data that is not simulated. `ranks` have the order of `match_ranks` over
        `pairs.texts_of(split)`.

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
        "ks": list(settings.ks),
        "n_bootstrap": settings.n_bootstrap,
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=12).hexdigest()
    folder = (run.cache_dir or default_cache_dir()) / _FOLDER
    paths = folder / f"{digest}.json", folder / f"{digest}.safetensors"
    if not all(path.is_file() for path in paths):
        rows = pairs.splits[split]
        ceiling = measure_ceiling(
            pairs.info, rows.table, text_of_spectrum=pairs.texts_of(split)[1], groups=rows.groups,
            members=members, ks=settings.ks, n_bootstrap=settings.n_bootstrap,
            progress=run.is_main,
        )  # fmt: skip
        if run.is_main:
            write_tensors(paths[1], ceiling.ranks)
            write_json(paths[0], ceiling.metrics)
        return ceiling
    return Ceiling(read_json(paths[0]), load_file(paths[1]))


def ceiling_section(metrics: Mapping[str, Any]) -> Section:
    """Write the ideal observer's figures as a section of a report."""
    parts = describe_ceiling(metrics)
    section = Section("The ideal observer (simulated data)", [Paragraph(parts.about)])
    for title, head, rows in parts.tables:
        section.blocks += [Paragraph(title), Table(head, rows)]
    return section
