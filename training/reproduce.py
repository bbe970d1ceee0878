"""Reproduction of the paper by one command: training, evaluation, studies and report.

accelerate launch training/reproduce.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from hf_specclip.cli.arguments import choices_of
from hf_specclip.formatting import format_metric, format_with_interval
from hf_specclip.hub.cards import CARD_FILE, MEASURED, write_cards
from hf_specclip.hub.publish import check_login, publish
from hf_specclip.storage import to_json, write_json
from specclip_training.compare import comparison_study
from specclip_training.data.pairs import PairData, TrainingDataError, load_embedded_pairs
from specclip_training.data.writers import unseen_writers
from specclip_training.engine.commands import CHECKPOINTS, LOGS, Run, call, finish, parser, start
from specclip_training.engine.loop import FitResult
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Paragraph, Section, Study, write_report
from specclip_training.reports.retrieval import (
    IDEAL,
    TITLES,
    retrieval_sections,
    retrieval_table,
    writers_section,
)
from specclip_training.reports.run import (
    command_section,
    data_section,
    run_facts,
    texts_section,
    training_section,
)
from specclip_training.stages.alignment import MODEL, align
from specclip_training.stages.alignment import STAGE as ALIGN
from specclip_training.stages.embedding import DatasetEmbedder
from specclip_training.stages.fine_tuning import find_start, fine_tune, preset_like
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import describe, pretrain
from specclip_training.studies.ceiling import Ceiling, ceiling_of, ceiling_section
from specclip_training.studies.measure import EVALUATION, measure, measure_by_writer, save_ranks
from specclip_training.studies.pair_split import leaky_section, leaky_split, shared_with_train
from specclip_training.studies.representations import RunRepresentations
from specclip_training.studies.subject import Subject
from specclip_training.study import ARTIFACTS, REPORTS, STUDIES

METRICS = "metrics.json"
FIGURES = "figures"
PAIR_SPLIT = "pair_split"
CEILING = "ceiling"
# Everything that a run leaves, of this command and of studies of it.
OUTPUTS = [
    CHECKPOINTS, LOGS, SPECTRUM, MODEL, FIGURES, EVALUATION, METRICS, PAIR_SPLIT, REPORTS,
    "report.md", "report.html", *chain(*ARTIFACTS.values()),
]  # fmt: skip
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "scikit-learn", "numpy")


def reproduce(
    run: Run,
    studies: Sequence[str] = (CEILING, *STUDIES),
    *,
    beside: Sequence[Path] = (),
    also_pair_split: bool = False,
    start_from: str | None = None,
) -> dict[str, Any]:
    """Run the chain of stages; finished stages are kept.

    Args:
        run: see `Run`.
        studies: names of `STUDIES`, and `ceiling`, that follow retrieval.
        beside: folders of finished runs on the same data to compare with.
        also_pair_split: train and measure once more on a random split over pairs, as a warning.
        start_from: aligned model to train further, in place of the two stages (`find_start`).

    Returns:
        The content of `metrics.json`.
    """
    pairs = load_embedded_pairs(run)
    if not len(pairs.splits["test"]):
        raise TrainingDataError(
            f"{pairs.name} has no rows in test: evaluation needs them. Split it over its groups "
            "(specclip_datasets.split_groups)"
        )
    stages = train(run, pairs, start_from)
    ceiling = _ideal_observer(run, pairs) if CEILING in studies else None
    metrics, sections = _measure_retrieval(run, pairs, ceiling)
    if start_from is not None:
        metrics["started_from"] = start_from
    metrics["training"] = {
        name: {"steps": fitted.steps, "best_step": fitted.best_step, "best": fitted.best}
        for name, fitted in stages.items()
    }
    for name, study in _run_studies(run, pairs, studies).items():
        metrics[name] = study.metrics
        sections += study.sections
    if also_pair_split:
        metrics[PAIR_SPLIT], section = pair_split(run, pairs, metrics["retrieval"])
        sections.append(section)
    metrics["seconds"] = {name: round(value, 2) for name, value in run.seconds.items()}
    if run.is_main:
        write_json(run.output / METRICS, metrics)
        write_cards(run.output, to_json(metrics))
    if beside:
        with run.stage("comparison"):
            comparison = comparison_study([*beside, run.output], run.output / FIGURES)
        metrics["comparison"] = comparison.metrics
        sections = comparison.sections + sections
        if run.is_main:
            write_json(run.output / METRICS, metrics)
    if run.is_main:
        with run.stage("report") as summary:
            sections += _closing_sections(run, pairs, stages, metrics)
            title = f"SpecCLIP, preset {run.preset.name}"
            title += " (simulated data)" if pairs.info.simulated else ""
            summary += [str(path) for path in write_report(run.output, title, sections)]
            summary.append(str(run.output / METRICS))
    return metrics


def train(run: Run, pairs: PairData, start_from: str | None = None) -> dict[str, FitResult]:
    """Pretrain the encoder of spectra and align it with the texts; finished stages are kept.

    With `start_from`, train that aligned model further instead.
    """
    if start_from is not None:
        with run.stage("fine-tuning") as summary:
            tuned = fine_tune(run, pairs, find_start(start_from))
            summary.append(f"{run.output / MODEL}: {describe(tuned)}")
        return {ALIGN: tuned}
    with run.stage("pretraining") as summary:
        pretrained = pretrain(run, pairs)
        summary.append(f"{run.output / SPECTRUM}: {describe(pretrained)}")
    with run.stage("alignment") as summary:
        aligned = align(run, pairs)
        summary.append(f"{run.output / MODEL}: {describe(aligned)}")
    return {SPECTRUM: pretrained, ALIGN: aligned}


def pair_split(
    run: Run, pairs: PairData, leak_free: Mapping[str, Any]
) -> tuple[dict[str, Any], Section]:
    """Train and measure the same preset on a random split over pairs, which leaks.

    Returns:
        Its figures, a warning and no result, and the section that says so.
    """
    run.say("── random split over pairs, for the effect of leakage")
    other = dataclasses.replace(run, output=run.output / PAIR_SPLIT, seconds={})
    other.output.mkdir(exist_ok=True)
    leaky = leaky_split(pairs, run.seed)
    train(other, leaky)
    embedder = DatasetEmbedder.from_pretrained(other.output / MODEL, leaky, run.accelerator)
    groups = leaky.splits["test"].groups
    figures, _ = measure(embedder.split("test"), groups, run.preset.evaluation)
    shared = shared_with_train(leaky)
    section = leaky_section(leak_free, figures, shared, simulated=pairs.info.simulated)
    return {"split": leaky.name, "shared_with_train": shared, "retrieval": figures}, section


def push(run: Run, name: str, *, private: bool = False) -> None:
    """Publish the model as `name`, and its companions as `name-moe` and so on.

    Raises:
        PublishError: what was published before it stays; the run is kept, and `specclip publish`
            goes on from there.
    """
    with run.stage("push") as summary:
        for kind in MEASURED:
            if (run.output / kind / CARD_FILE).is_file():
                repo_id = name if kind == MODEL else f"{name}-{kind}"
                done = publish(kind, run.output / kind, repo_id, private=private)
                summary.append(f"{done.url} at {done.commit[:7]}")


def _ideal_observer(run: Run, pairs: PairData) -> Ceiling | None:
    if not pairs.info.simulated:
        return None
    with run.stage("ideal observer") as summary:
        with run.accelerator.main_process_first():
            ceiling = ceiling_of(run, pairs, "test")
        if ceiling is None:
            summary.append("none: the dataset does not record its simulation")
    return ceiling


def _measure_retrieval(
    run: Run, pairs: PairData, ceiling: Ceiling | None
) -> tuple[dict[str, Any], list[Section]]:
    """Measure retrieval on `validation` and `test`, and store the rank of each test query."""
    with run.stage("retrieval") as summary:
        settings = run.preset.evaluation
        embedder = DatasetEmbedder.from_pretrained(run.output / MODEL, pairs, run.accelerator)
        embedded = {split: embedder.split(split) for split in ("validation", "test")}
        validation, _ = measure(embedded["validation"], pairs.splits["validation"].groups, settings)
        test, curves = measure(embedded["test"], pairs.splits["test"].groups, settings)
        by_writer = measure_by_writer(embedded["test"], pairs, "test", settings)
        ideal_ranks = ceiling.ranks if ceiling else None
        save_ranks(run, pairs, "test", embedded["test"], ideal=ideal_ranks)
        summary += _retrieval_lines(test, simulated=pairs.info.simulated)
    device = run.accelerator.device
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    metrics = {
        **run_facts(run, pairs),
        "splits": pairs.sizes,
        "text_embedded_here": pairs.embedded_here,
        "compute": {
            "device": platform.machine() if hardware == "cpu" else hardware,
            "cores": os.cpu_count(),
        },
        "versions": {
            "python": platform.python_version(),
            "hf_specclip": version("hf-specclip"),
            **{name: version(name) for name in _PACKAGES},
        },
        "retrieval": test,
        "retrieval_by_writer": by_writer,
        "validation": {"retrieval": validation},
    }
    by_label = {direction: {run.preset.name: curve} for direction, curve in curves.items()}
    if ceiling is not None:
        metrics[CEILING] = ceiling.metrics
        for direction, curve in ceiling.metrics.get("curves", {}).items():
            by_label[direction][IDEAL] = curve
    sections = retrieval_sections(
        run.preset.name,
        test,
        by_label,
        run.output / FIGURES,
        simulated=pairs.info.simulated,
        ideal=metrics.get(CEILING, {}).get("retrieval"),
    )
    if len(by_writer) > 1:
        ideal_by_writer = metrics.get(CEILING, {}).get("by_writer", {})
        sections.append(writers_section(by_writer, ideal_by_writer, unseen_writers(pairs)))
    if ceiling is not None:
        sections.append(ceiling_section(ceiling.metrics))
    return metrics, sections


def _run_studies(run: Run, pairs: PairData, names: Sequence[str]) -> dict[str, Study]:
    selected = {name: study for name, study in STUDIES.items() if name in names}
    subject = Subject(run, RunRepresentations(run, pairs), simulated=pairs.info.simulated)
    results = {}
    for name, study in selected.items():
        with run.stage(name.replace("_", " ")) as summary:
            results[name] = study(subject)
            if isinstance(skipped := results[name].metrics.get("skipped"), str):
                summary.append(f"none: {skipped}")
            elif name in ARTIFACTS:
                summary.append(f"{run.output / ARTIFACTS[name][0]}")
            if name == "experts":
                summary += _experts_lines(results[name].metrics)
    return results


def _closing_sections(
    run: Run, pairs: PairData, stages: Mapping[str, FitResult], metrics: Mapping[str, Any]
) -> list[Section]:
    """Write the sections on data, training, validation and command, which end the report."""
    text = "The weights were selected on this split, so these figures are biased upwards."
    validation = Section("Retrieval on validation", [Paragraph(text)])
    for direction, title in TITLES.items():
        figures = metrics["validation"]["retrieval"][direction]
        validation.blocks.append(retrieval_table(title, figures))
    return [
        data_section(pairs),
        texts_section(run.preset, pairs),
        training_section(run, stages, run.output / FIGURES),
        validation,
        command_section(run, metrics),
    ]


def _retrieval_lines(figures: Mapping[str, Any], *, simulated: bool) -> list[str]:
    """Write Recall@k% from spectrum to text for the console."""
    retrieval = figures["spectrum_to_text"]
    spectra = "simulated test spectra" if simulated else "test spectra"
    lines = [
        f"spectrum → text: {retrieval['n_queries']:,} {spectra}, gallery of "
        f"{retrieval['n_gallery']:,} texts, 95 % bootstrap interval over groups"
    ]
    for name, figure in retrieval.items():
        if name.startswith("recall"):
            value = format_with_interval(figure, name)
            chance = format_metric(figure["chance"], name)
            lines.append(f"  R{name[1:]:<10} {value}, chance {chance}")
    return lines


def _experts_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Write the errors of the preset's mixture of experts for the console."""
    mode = metrics.get("headline")
    gain = metrics.get(mode, {}).get("mean_gain_over_guess")
    if not gain:
        return []
    return [
        f"physical variables ({mode}): mean absolute errors {format_with_interval(gain)} below "
        "those of the training median, mean over the variables"
    ]


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    if arguments.push:
        check_login(arguments.push)  # before the work, not after it
    if arguments.start_from is not None:
        embedder = getattr(arguments, "embedder", None)
        folder = find_start(arguments.start_from)
        preset = preset_like(folder, preset, arguments.overrides, embedder)
    run = start(arguments, preset, OUTPUTS)
    reproduce(
        run,
        arguments.studies,
        beside=arguments.beside,
        also_pair_split=arguments.also_pair_split,
        start_from=arguments.start_from,
    )
    if arguments.push and run.is_main:
        push(run, arguments.push, private=arguments.private)
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Train SpecCLIP and measure it, from a dataset to a report by one command.",
        """\
Writes to DIR:
  model/         SpecCLIPModel with processor, for from_pretrained; gallery of texts and spectra,
                 zero-shot classes and a model card
  spectrum/      pretrained autoencoder of spectra
  moe/           mixture of experts that estimates the physical variables
  outliers/      outlier detectors
  metrics.json   all results, with intervals and baselines
  report.html    the results as tables and figures (also report.md, figures/)
  evaluation/    ranks and errors per row, for paired comparisons between runs
  checkpoints/   the same command resumes from here

  specclip dataset simulate --config demo --output runs/demo/dataset
  accelerate launch training/reproduce.py --config demo --dataset runs/demo/dataset \\
      --output runs/demo
  specclip describe --model runs/demo FILE.pha

Compare the presets `paper` and `best`:
  accelerate launch training/reproduce.py --config paper --dataset DATASET --output runs/paper
  accelerate launch training/reproduce.py --config best --dataset DATASET --output runs/best \\
      --beside runs/paper""",
    )
    command.add_argument(
        "--from",
        dest="start_from",
        metavar="MODEL",
        help="aligned model to fine-tune with --config fine_tune: a run, user/name, or default "
        "(the bundled model)",
    )
    command.add_argument(
        "--studies",
        type=parse_studies,
        default=(CEILING, *STUDIES),
        metavar="NAME,…",
        help="studies after retrieval: all (the default), none, or some of "
        f"{', '.join((CEILING, *STUDIES))}. {CEILING} is the ideal observer, on simulated data",
    )
    command.add_argument(
        "--beside",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="finished runs on the same data to compare with, such as one of the preset `paper`",
    )
    command.add_argument(
        "--push",
        metavar="USER/NAME",
        help="publish the model on the Hugging Face Hub after the evaluation, with "
        "USER/NAME-moe, -spectrum and -outliers; needs `hf auth login` or HF_TOKEN",
    )
    command.add_argument(
        "--private", action="store_true", help="with --push: make new repositories private"
    )
    command.add_argument(
        "--also-pair-split",
        action="store_true",
        help="also train and evaluate on a random split over pairs, which ignores groups, to show "
        "the effect of leakage",
    )
    return command


def parse_studies(text: str) -> tuple[str, ...]:
    """Parse names of studies with commas between them, `all` or `none`."""
    choices = (CEILING, *STUDIES)
    if text in ("all", "none"):
        return choices if text == "all" else ()
    return choices_of(choices)(text)


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
