"""Command `evaluate`: a finished model measured on any dataset, split by split.

specclip evaluate runs/mine --dataset DATASET
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from hf_specclip.cli.arguments import choices_of, positive_int
from hf_specclip.describe.describer import Describer
from hf_specclip.evaluation import evaluate_coverage, evaluate_regression
from hf_specclip.formatting import format_metric, format_number, format_with_interval
from hf_specclip.storage import write_json
from specclip_training.data.pairs import SPLITS, PairData, TrainingDataError, load_pairs
from specclip_training.data.shard_job import call_job
from specclip_training.engine.presets import EvaluationSettings
from specclip_training.reports.blocks import Paragraph, Section, Table, metric_title, to_markdown
from specclip_training.reports.retrieval import TITLES
from specclip_training.retrieval import measure_model
from specclip_training.studies.transfer import estimates_of

DESCRIPTION = """\
Measure a finished model on a dataset: retrieval in both directions, and the physical variables
that a spectrum tells where the model has experts. Intervals are 95 % bootstrap intervals over
groups; chance is a gallery in random order, and a variable is compared with the median of `train`.

  specclip evaluate runs/mine --dataset my_pairs
  specclip evaluate default   --dataset my_pairs -o bundled.json
"""
LEVELS = (68, 90)
_FIGURES = ("recall@1%", "recall@5%", "median_rank_fraction")


def measure_variables(
    describer: Describer, pairs: PairData, split: str, n_bootstrap: int = 1000
) -> dict[str, Any] | None:
    """Measure the estimates of the experts on a split, by the spectra alone.

    Returns:
        `regression` (`evaluate_regression`, the guess being the median of `train`, or of the split
        where `train` has no row that knows a variable) and `coverage` (level -> `evaluate_coverage`
        of the intervals); None where no variable is known.
    """
    table, train = pairs.splits[split].table, pairs.splits["train"].table
    columns = [
        name
        for name in describer.moe.config.variables
        # A spectrum holds no times of arrival.
        if name in table.column_names and not name.startswith("var_")
    ]
    targets = {name: _numbers(table, name) for name in columns}
    names = [name for name in columns if np.isfinite(targets[name]).any()]
    if not names:
        return None
    spectra = pairs.splits[split].spectra(slice(None))
    records = [{key: values[row] for key, values in spectra.items()} for row in range(len(table))]
    estimates = estimates_of(describer, records)
    truth = np.stack([targets[name] for name in names], axis=1)
    value = np.stack([estimates.value[name] for name in names], axis=1)
    truth[~np.isfinite(value)] = np.nan
    known = [_numbers(train, name) for name in names]
    guess = [
        np.nanmedian(before if np.isfinite(before).any() else targets[name])
        for name, before in zip(names, known, strict=True)
    ]
    options: dict[str, Any] = {"variables": names, "n_bootstrap": n_bootstrap}
    groups = pairs.splits[split].groups
    coverage = {}
    for level in LEVELS:
        low, high = (np.stack([e[n] for n in names], axis=1) for e in estimates.ends[level])
        low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
        coverage[level] = evaluate_coverage(
            low, high, truth, groups, nominal=level / 100, **options
        )
    regression = evaluate_regression(np.nan_to_num(value), truth, groups, guess=guess, **options)
    return {"regression": regression, "coverage": coverage}


def evaluate(given: argparse.Namespace) -> Accelerator:
    """Measure, print and write."""
    accelerator = Accelerator()
    cache_dir = None if given.cache_dir is None else Path(given.cache_dir)
    with accelerator.main_process_first():
        pairs = load_pairs(given.dataset, cache_dir, needed=())
    splits = [name for name in given.split if len(pairs.splits[name])]
    if not splits:
        raise TrainingDataError(f"{pairs.name} has no rows in {' or '.join(given.split)}")
    settings = EvaluationSettings(n_bootstrap=given.bootstrap)
    describer = Describer.from_pretrained(given.model, parts=("moe",))
    metrics: dict[str, Any] = {"dataset_fingerprint": pairs.fingerprint}
    metrics["splits"] = {}
    for split in splits:
        options = {"embedder": given.embedder, "cache_dir": cache_dir, "settings": settings}
        figures = measure_model(given.model, pairs, split, accelerator, **options)
        metrics["splits"][split] = {"retrieval": figures["all"]}
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
    sizes = [
        [
            split,
            f"{len(pairs.splits[split]):,}",
            f"{len(pairs.texts_of(split)[0]):,}",
            f"{len(set(pairs.splits[split].groups.tolist())):,}",
        ]
        for split in metrics["splits"]
    ]
    data = Table(["split", "spectra", "distinct texts", "groups"], sizes)
    sections = [Section("Data", [Paragraph(about), data])]
    for direction, title in TITLES.items():
        rows = []
        for split, measured in metrics["splits"].items():
            figures = measured["retrieval"][direction]
            cells = (f"{format_with_interval(figures[n], n)}, chance "
                     f"{format_metric(figures[n]['chance'], n)}" for n in _FIGURES)  # fmt: skip
            rows.append([split, *cells])
        sections.append(
            Section(f"Retrieval, {title}", [Table(["split", *map(metric_title, _FIGURES)], rows)])
        )
    for split, measured in metrics["splits"].items():
        if "variables" not in measured:
            continue
        block: Paragraph | Table = Paragraph("The rows know no variable that the experts estimate.")
        if measured["variables"] is not None:
            block = _variables_table(measured["variables"])
        sections.append(Section(f"Physical variables, {split}", [block]))
    if not any("variables" in measured for measured in metrics["splits"].values()):
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
        inside = (measured["coverage"][level]["variables"].get(name) for level in LEVELS)
        rows.append([
            name, f"{entry['n']:,}", format_number(entry["mae"]["value"]),
            format_with_interval(relative, spec=".2f"),
            *(format_metric(None if share is None else share["value"]) for share in inside),
        ])  # fmt: skip
    head = ["variable", "rows", "mean absolute error", "over that of the median",
            *(f"in {level} %" for level in LEVELS)]  # fmt: skip
    return Table(head, rows)


def _numbers(table: Any, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    return table[name].to_numpy().astype(np.float64)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = argparse.ArgumentParser(
        "specclip evaluate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL", help="a run, user/name, or default")
    command.add_argument(
        "--dataset", required=True, metavar="DATASET", help="a dataset folder or Hub id"
    )
    command.add_argument(
        "--split",
        type=choices_of(tuple(SPLITS)),
        default=("validation", "test"),
        metavar="NAME,…",
        help=f"some of {','.join(SPLITS)} (default: validation,test)",
    )
    command.add_argument(
        "--embedder", metavar="NAME", help="embedder of the texts (default: the model's own)"
    )
    command.add_argument(
        "--bootstrap", type=positive_int, default=1000, metavar="N", help="draws (default 1000)"
    )
    command.add_argument("-o", "--output", metavar="FILE", help="also write the figures as JSON")
    command.add_argument("--cache-dir", metavar="DIR", help="cache of text embeddings")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return call_job(evaluate, options().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
