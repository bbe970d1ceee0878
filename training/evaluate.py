"""Command `evaluate`: evaluation of a trained model on any dataset, by split.

specclip evaluate runs/mine --dataset DATASET
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip.cli.arguments import choices_of, positive_int
from hf_specclip.describe.describer import Describer
from hf_specclip.describe.load_model import load_dual_encoder
from hf_specclip.evaluation import GroupBootstrap, evaluate_regression
from hf_specclip.formatting import format_metric, format_number, format_with_interval
from hf_specclip.literature.embedders.get_embedder import check_embedder
from hf_specclip.models.trained_run import find_run
from hf_specclip.storage import write_json
from specclip_training.data.pairs import (
    SPLITS,
    PairData,
    SplitArrays,
    TrainingDataError,
    embed_texts,
    load_pairs,
    require_texts,
)
from specclip_training.data.writers import unseen_writers
from specclip_training.engine.commands import call_job, text_parser
from specclip_training.engine.presets import EvaluationSettings
from specclip_training.reports.blocks import Paragraph, Section, Table, metric_title, to_markdown
from specclip_training.reports.retrieval import TITLES, writers_section
from specclip_training.reports.run import sizes_table
from specclip_training.stages.embedding import DatasetEmbedder, EmbeddedPairs
from specclip_training.stages.fine_tuning import text_settings
from specclip_training.studies.measure import measure_by_writer
from specclip_training.studies.pair_split import join_splits
from specclip_training.studies.representations import numbers_of
from specclip_training.studies.transfer import estimates_of

DESCRIPTION = """\
Evaluate a trained model on a dataset: retrieval in both directions and, if the model has a mixture
of experts, the physical variables that a spectrum determines, with 95 % bootstrap intervals over
groups. Baselines are a randomly ordered gallery and, for variables, the median of `train`. If the
dataset names the writers of its texts, each writer is also evaluated in its own gallery.

  specclip evaluate runs/mine --dataset my_pairs
  specclip evaluate default   --dataset my_pairs -o bundled.json
  specclip evaluate default   --dataset my_pairs --split all
"""
EVERY = "all"
_FIGURES = ("recall@1%", "recall@5%", "median_rank_fraction")


@torch.no_grad()
def measure_model(
    name: str, pairs: PairData, accelerator: Accelerator, *, embedder: str | None,
    cache_dir: Path | None, splits: Sequence[str], settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Measure retrieval of a finished model on splits of a dataset, whose texts are embedded here.

    Args:
        name: a run, a model folder, or `user/name` on the Hub.
        pairs: the dataset.
        accelerator: device and processes.
        embedder: of the texts; the model's own where None.
        cache_dir: cache of embeddings.
        splits: splits with rows.
        settings: percentages and draws of the bootstrap.

    Returns:
        Split -> `measure_by_writer`'s figures; those of `all` have `over_sources`.

    Raises:
        TrainingDataError: for texts by another embedder than the model's.
    """
    model, extractor = load_dual_encoder(find_run(name))
    texts = model.config.text_config
    require_texts(pairs)
    text_options = {"cache_dir": cache_dir, "progress": accelerator.is_main_process}
    with accelerator.main_process_first():
        try:
            embed_texts(pairs, text_settings(model.config, embedder), **text_options)
            check_embedder(
                pairs.texts.model, texts.embedder_name, pairs.texts.probe, texts.embedder_probe
            )
        except ValueError as error:
            own = "" if pairs.embedded_here else f"; or drop text_embedding of {pairs.name}"
            raise TrainingDataError(f"{error}{own}") from error
    model.to(accelerator.device)
    result = {}
    for split in splits:
        embedded = DatasetEmbedder(model, extractor, pairs, accelerator).split(split)
        result[split] = measure_by_writer(embedded, pairs, split, settings)
        result[split]["all"]["over_sources"] = median_over_sources(
            embedded, pairs.splits[split], settings.n_bootstrap
        )
    return result


def median_over_sources(
    embedded: EmbeddedPairs, rows: SplitArrays, n_bootstrap: int
) -> dict[str, Any]:
    """Measure the median rank of the right text, each source counted once.

    A source's rank is the median over its spectra, as a share of the gallery.

    Returns:
        `value`, `low`, `high` (95 %, over groups) and `n`, the number of sources.
    """
    ranks = embedded.ranks()["spectrum_to_text"]
    names = np.asarray(rows.table["source_name"].to_pylist())
    sources, first, owner = np.unique(names, return_index=True, return_inverse=True)
    values = [np.median(ranks.expected[owner == i]) / ranks.n_gallery for i in range(len(sources))]
    bootstrap = GroupBootstrap(rows.groups[first], n_bootstrap)
    figure = bootstrap.figure(np.median(values), bootstrap.medians(np.array(values)))
    return {**figure, "n": len(sources)}


def measure_variables(
    describer: Describer, pairs: PairData, split: str, n_bootstrap: int = 1000
) -> dict[str, Any] | None:
    """Measure the estimates of the experts on a split, by the spectra alone.

    Returns:
        `regression` (`evaluate_regression`, the guess being the median of `train`, or of the split
        where a variable is unknown in `train`) and `coverage` (level -> `evaluate_coverage`
        of the intervals); None where no variable is known.
    """
    table, train = pairs.splits[split].table, pairs.splits["train"].table
    # A spectrum holds no times of arrival.
    columns = [name for name in describer.moe.config.variables if not name.startswith("var_")]
    targets = {name: numbers_of(table, name) for name in columns}
    names = [name for name in columns if np.isfinite(targets[name]).any()]
    if not names:
        return None
    spectra = pairs.splits[split].spectra(slice(None))
    records = [{key: values[row] for key, values in spectra.items()} for row in range(len(table))]
    estimates = estimates_of(describer, records)
    truth = np.stack([targets[name] for name in names], axis=1)
    value = np.stack([estimates.value[name] for name in names], axis=1)
    truth[~np.isfinite(value)] = np.nan
    known = [numbers_of(train, name) for name in names]
    guess = [
        np.nanmedian(before if np.isfinite(before).any() else targets[name])
        for name, before in zip(names, known, strict=True)
    ]
    groups = pairs.splits[split].groups
    coverage = estimates.coverage({name: targets[name] for name in names}, groups, n_bootstrap)
    regression = evaluate_regression(
        np.nan_to_num(value), truth, groups, guess=guess, variables=names, n_bootstrap=n_bootstrap
    )
    return {"regression": regression, "coverage": coverage}


def evaluate(given: argparse.Namespace) -> Accelerator:
    """Measure, print and write."""
    accelerator = Accelerator()
    cache_dir = None if given.cache_dir is None else Path(given.cache_dir)
    with accelerator.main_process_first():
        pairs = load_pairs(given.dataset, cache_dir, needed=())
    if EVERY in given.split:
        pairs.splits[EVERY] = join_splits(pairs)
    splits = [name for name in given.split if len(pairs.splits[name])]
    if not splits:
        raise TrainingDataError(f"{pairs.name} has no rows in {' or '.join(given.split)}")
    describer = Describer.from_pretrained(given.model, parts=("moe",))
    retrieval = measure_model(
        given.model, pairs, accelerator, embedder=given.embedder, cache_dir=cache_dir,
        splits=splits, settings=EvaluationSettings(n_bootstrap=given.bootstrap),
    )  # fmt: skip
    metrics: dict[str, Any] = {"dataset_fingerprint": pairs.fingerprint, "splits": {}}
    for split, figures in retrieval.items():
        metrics["splits"][split] = {"retrieval": figures["all"], "by_writer": figures}
        if describer.moe is not None:
            variables = measure_variables(describer, pairs, split, given.bootstrap)
            metrics["splits"][split]["variables"] = variables
    if accelerator.is_main_process:
        print(to_markdown("Evaluation", _sections(given.model, pairs, metrics), Path()))
        if given.output:
            write_json(Path(given.output), metrics)
    return accelerator


def _sections(model: str, pairs: PairData, metrics: Mapping[str, Any]) -> list[Section]:
    word = "simulated rows" if pairs.info.simulated else "rows"
    about = f"`{model}` on the {word} of `{Path(pairs.name).name}`."
    sections = [Section("Data", [Paragraph(about), sizes_table(pairs, metrics["splits"])])]
    for direction, title in TITLES.items():
        rows = []
        for split, measured in metrics["splits"].items():
            figures = measured["retrieval"][direction]
            cells = (f"{format_with_interval(figures[n], n)}, chance "
                     f"{format_metric(figures[n]['chance'], n)}" for n in _FIGURES)  # fmt: skip
            rows.append([split, *cells])
        block = Table(["split", *map(metric_title, _FIGURES)], rows)
        sections.append(Section(f"Retrieval, {title}", [block]))
    for split, measured in metrics["splits"].items():
        once = measured["retrieval"]["over_sources"]
        sections[1].blocks.append(Paragraph(
            f"{split}, each of {once['n']:,} sources counted once: median rank "
            f"{format_with_interval(once)} of the gallery."
        ))  # fmt: skip
        if len(measured["by_writer"]) > 1:
            options = (measured["by_writer"], {}, unseen_writers(pairs))
            sections += [writers_section(*options, direction) for direction in TITLES]
            sections[-2].title += f", {split}"
            sections[-1].title += f", {split}"
    estimated = {name: m["variables"] for name, m in metrics["splits"].items() if "variables" in m}
    for split, variables in estimated.items():
        unknown = Paragraph("No variable of the experts is known for these rows.")
        block = _variables_table(variables) if variables else unknown
        sections.append(Section(f"Physical variables, {split}", [block]))
    if not estimated:
        sections.append(Section("Physical variables", [Paragraph("The model has no experts.")]))
    return sections


def _variables_table(measured: Mapping[str, Any]) -> Table:
    rows = []
    for name, entry in measured["regression"]["variables"].items():
        if not entry["n"]:
            continue
        gain = entry.get("gain_over_guess")
        relative = {key: gain and 1 - gain[other] for key, other in
                    (("value", "value"), ("low", "high"), ("high", "low"))}  # fmt: skip
        inside = (part["variables"].get(name) for part in measured["coverage"].values())
        rows.append([
            name, f"{entry['n']:,}", format_number(entry["mae"]["value"]),
            format_with_interval(relative, spec=".2f"),
            *(format_metric(None if share is None else share["value"]) for share in inside),
        ])  # fmt: skip
    head = ["variable", "rows", "mean absolute error", "over that of the median",
            *(f"in {level} %" for level in measured["coverage"])]  # fmt: skip
    return Table(head, rows)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = text_parser(DESCRIPTION, name="specclip evaluate")
    command.add_argument("model", metavar="MODEL", help="a run, user/name, or default")
    command.add_argument(
        "--dataset", required=True, metavar="DATASET", help="a dataset folder or Hub id"
    )
    command.add_argument(
        "--split",
        type=choices_of((*SPLITS, EVERY)),
        default=("validation", "test"),
        metavar="NAME,…",
        help=f"some of {','.join(SPLITS)},{EVERY} (default: validation,test)",
    )
    command.add_argument(
        "--embedder", metavar="NAME", help="embedder of the texts (default: the model's own)"
    )
    command.add_argument(
        "--bootstrap",
        type=positive_int,
        default=1000,
        metavar="N",
        help="bootstrap draws (default 1000)",
    )
    command.add_argument("-o", "--output", metavar="FILE", help="also write the results as JSON")
    command.add_argument("--cache-dir", metavar="DIR", help="cache of text embeddings")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return call_job(evaluate, options().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
