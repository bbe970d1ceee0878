"""The ideal observer beside a run: the ceiling for retrieval, the floor for errors.

Only simulated data has one (`specclip_datasets.simulation.oracle`). What was found is kept in
the cache, by what the dataset holds, the code, the split and the settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from specclip_datasets.info import code_fingerprint
from specclip_datasets.simulation.oracle.report import describe_ceiling
from specclip_datasets.simulation.oracle.study import MEMBERS, Ceiling, measure_ceiling
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.reports.blocks import Paragraph, Section, Study, Table

from hf_specclip.literature.embedders.cache import default_cache_dir
from hf_specclip.storage import write_json

_FOLDER = "ideal_observer"


def ceiling_of(
    run: Run, pairs: PairData, split: str, *, members: int = MEMBERS, variables: bool = True
) -> Ceiling | None:
    """What the ideal observer reaches on a split; from the cache where it is there.

    Args:
        run: whose cache and evaluation settings to use.
        pairs: the dataset.
        split: of it.
        members: of the observer's bank.
        variables: estimate the variables, too.

    Returns:
        None for data that is not simulated. `truth` and `medians` have the order of the split's
        rows; `ranks` that of `match_ranks` over `pairs.texts_of(split)`.

    Raises:
        specclip_datasets.folder.DatasetFolderError: when this code does not make these rows.
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
        found = measure_ceiling(
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
            _keep(found, *paths)
        return found
    return _kept(*paths)


def study_ceiling(run: Run, pairs: PairData, split: str) -> Study | None:
    """The ideal observer of a split, as a part of a report.

    Args:
        run: whose cache and evaluation settings to use.
        pairs: the dataset.
        split: of it.

    Returns:
        None for data that is not simulated. `metrics` holds `retrieval` and `curve` (in the forms
        of `evaluate_retrieval` and `recall_curve`), `curves` by direction, `monte_carlo`,
        `variables` and `power_laws`.
    """
    found = ceiling_of(run, pairs, split)
    return None if found is None else Study(found.metrics, [ceiling_section(found.metrics)])


def ceiling_section(metrics: Mapping[str, Any]) -> Section:
    """The ideal observer's figures as a section of a report."""
    parts = describe_ceiling(metrics)
    section = Section("The ideal observer (simulated data)", [Paragraph(parts.about)])
    for title, head, rows in parts.tables:
        section.blocks += [Paragraph(title), Table(head, rows)]
    return section


def _keep(found: Ceiling, figures: Path, arrays: Path) -> None:
    figures.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"ranks/{name}": values for name, values in found.ranks.items()}
    tensors |= {f"truth/{name}": values for name, values in found.truth.items()}
    for given, medians in found.medians.items():
        tensors |= {f"median/{given}/{name}": values for name, values in medians.items()}
    partial = arrays.with_name(f".partial-{arrays.name}")
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, partial)
    partial.replace(arrays)
    write_json(figures, found.metrics)


def _kept(figures: Path, arrays: Path) -> Ceiling:
    metrics = json.loads(figures.read_text(encoding="utf-8"))
    ranks: dict[str, np.ndarray] = {}
    truth: dict[str, np.ndarray] = {}
    medians: dict[str, dict[str, np.ndarray]] = {}
    for name, values in load_file(arrays).items():
        kind, _, rest = name.partition("/")
        if kind == "median":
            given, _, variable = rest.partition("/")
            medians.setdefault(given, {})[variable] = values
        else:
            {"ranks": ranks, "truth": truth}[kind][rest] = values
    return Ceiling(metrics, ranks, truth, medians)


def headline(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Recall@1%, Recall@5% and the median rank of the gallery, from spectrum to text."""
    found = metrics["spectrum_to_text"]
    return {name: found[name] for name in ("recall@1%", "recall@5%", "median_rank_fraction")}


__all__ = ["ceiling_of", "ceiling_section", "headline", "study_ceiling"]
