"""Every result of the paper by one command: data, training, evaluation, studies, report.

accelerate launch training/reproduce.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from specclip_training.compare import comparison_study
from specclip_training.data.pairs import (
    PairData,
    TrainingDataError,
    embed_texts,
    load_pairs,
    require_texts,
)
from specclip_training.engine.commands import CHECKPOINTS, LOGS, Run, call, finish, parser, start
from specclip_training.engine.loop import FitResult
from specclip_training.engine.presets import Preset
from specclip_training.experts import study_experts
from specclip_training.latent_space import study_latent_space
from specclip_training.outliers import study_outliers
from specclip_training.questions import study_questions
from specclip_training.reports.blocks import (
    Paragraph,
    Section,
    Study,
    write_report,
)
from specclip_training.reports.retrieval import IDEAL, TITLES, retrieval_sections, retrieval_table
from specclip_training.reports.run import (
    command_section,
    data_section,
    text_model,
    texts_section,
    training_section,
)
from specclip_training.stages.alignment import MODEL, align
from specclip_training.stages.alignment import STAGE as ALIGN
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import describe, pretrain
from specclip_training.studies.card import write_cards
from specclip_training.studies.ceiling import Ceiling, ceiling_of, ceiling_section
from specclip_training.studies.measure import EVALUATION, measure, save_ranks
from specclip_training.studies.pair_split import leaky_section, leaky_split, shared_with_train
from specclip_training.studies.representations import representations_of
from specclip_training.studies.run_study import without_nan
from specclip_training.zero_shot import study_zero_shot

from hf_specclip.hub.cards import MEASURED
from hf_specclip.hub.kinds import CARD_FILE
from hf_specclip.hub.publish import check_login, publish
from hf_specclip.storage import write_json

METRICS = "metrics.json"
FIGURES = "figures"
PAIR_SPLIT = "pair_split"
# Each reads the representations and leaves its own artefacts; the names are what --studies takes.
STUDIES: dict[str, Callable[..., Study]] = {
    "experts": study_experts,
    "latent_space": study_latent_space,
    "outliers": study_outliers,
    "zero_shot": study_zero_shot,
    "questions": study_questions,
}
ARTEFACTS = {"experts": ("moe",), "outliers": ("outliers",)}
CEILING = "ceiling"
# What the ideal observer's best estimate is given.
BOTH = "both"
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "scikit-learn", "numpy")


def reproduce(
    run: Run,
    studies: Sequence[str] = (CEILING, *STUDIES),
    *,
    beside: Sequence[Path] = (),
    also_pair_split: bool = False,
) -> dict[str, Any]:
    """Run the chain; what is finished already is kept.

    Args:
        run: see `Run`.
        studies: which of `STUDIES`, and `ceiling`, follow retrieval.
        beside: folders of finished runs on the same data to compare with.
        also_pair_split: train and measure once more on a split that cuts groups, as a warning.

    Returns:
        What `metrics.json` holds.
    """
    with run.stage("data") as made:
        with run.accelerator.main_process_first():
            pairs = load_pairs(run.dataset, run.cache_dir)
        require_texts(pairs)
        if not len(pairs.splits["test"]):
            raise TrainingDataError(
                f"{pairs.name} has no rows in test: there is nothing to measure on. Split it over "
                "its groups (specclip_datasets.split_groups)"
            )
        sizes = ", ".join(f"{name} {rows:,}" for name, rows in pairs.sizes.items())
        what = "simulated pairs" if pairs.info.simulated else "pairs"
        made.append(f"{sum(pairs.sizes.values()):,} {what} ({sizes}), {len(pairs.texts):,} texts")
    stages = train(run, pairs)
    ceiling = None
    if CEILING in studies and pairs.info.simulated:
        with run.stage("ideal observer") as made:
            with run.accelerator.main_process_first():
                ceiling = ceiling_of(run, pairs, "test")
            if ceiling is None:
                made.append("none: the dataset does not say how it was simulated")
    with run.stage("retrieval") as made:
        validation, _ = measure(run, pairs, "validation")
        test, curves = measure(run, pairs, "test")
        save_ranks(run, pairs, "test", ideal=ceiling.ranks if ceiling else None)
        made += _headline(test, simulated=pairs.info.simulated)
    metrics = _metrics(run, pairs, test, validation)
    metrics["training"] = {
        name: {"steps": fitted.steps, "best_step": fitted.best_step, "best": fitted.best}
        for name, fitted in stages.items()
    }
    if ceiling is not None:
        metrics[CEILING] = ceiling.metrics
    found = _study(run, pairs, studies, metrics, ceiling)
    sections = _retrieval_sections(run, metrics, curves, pairs.info.simulated)
    if ceiling is not None:
        sections.append(ceiling_section(ceiling.metrics))
    sections += [section for study in found for section in study.sections]
    if also_pair_split:
        metrics[PAIR_SPLIT], section = pair_split(run, pairs, test)
        sections.append(section)
    metrics["seconds"] = {name: round(value, 2) for name, value in run.seconds.items()}
    if run.is_main:
        write_json(run.output / METRICS, without_nan(metrics))
        write_cards(run.output, without_nan(metrics))
    if beside:
        with run.stage("comparison"):
            study = comparison_study([*beside, run.output], run.output / FIGURES)
        metrics["comparison"] = study.metrics
        sections = study.sections + sections
        if run.is_main:
            write_json(run.output / METRICS, without_nan(metrics))
    with run.stage("report") as made:
        if run.is_main:
            sections += [
                data_section(pairs),
                texts_section(run.preset, pairs),
                training_section(run, stages, run.output / FIGURES),
                Section(
                    "Retrieval on validation",
                    [
                        Paragraph("Weights were selected on this split: biased upwards."),
                        *(
                            retrieval_table({title: metrics["validation"]["retrieval"]}, direction)
                            for direction, title in TITLES.items()
                        ),
                    ],
                ),
                command_section(run, metrics),
            ]
            title = f"SpecCLIP, preset {run.preset.name}"
            title += " (simulated data)" if pairs.info.simulated else ""
            made += [str(path) for path in write_report(run.output, title, sections)]
            made.append(str(run.output / METRICS))
    return metrics


def _retrieval_sections(
    run: Run, metrics: dict[str, Any], curves: dict[str, Any], simulated: bool
) -> list[Section]:
    ceiling, label = metrics.get(CEILING, {}), run.preset.name
    drawn = {direction: {label: curve} for direction, curve in curves.items()}
    for direction, curve in ceiling.get("curves", {}).items():
        drawn[direction][IDEAL] = curve
    return retrieval_sections(
        {label: metrics["retrieval"]},
        drawn,
        run.output / FIGURES,
        simulated=simulated,
        ideal=ceiling.get("retrieval"),
    )


def train(run: Run, pairs: PairData) -> dict[str, FitResult]:
    """Pretraining, text embeddings and alignment; what is finished already is kept."""
    with run.stage("pretraining") as made:
        pretrained = pretrain(run, pairs)
        made.append(f"{run.output / SPECTRUM}: {describe(pretrained)}")
    with run.stage("text embeddings") as made:
        with run.accelerator.main_process_first():
            embedder = run.preset.text.embedder
            embed_texts(pairs, embedder, cache_dir=run.cache_dir, progress=run.is_main)
        origin = "embedded here" if pairs.embedded_here else "as the dataset brings them"
        made.append(f"{len(pairs.texts):,} texts by {text_model(pairs)}, {origin}")
    with run.stage("alignment") as made:
        aligned = align(run, pairs)
        made.append(f"{run.output / MODEL}: {describe(aligned)}")
    return {SPECTRUM: pretrained, ALIGN: aligned}


def pair_split(
    run: Run, pairs: PairData, leak_free: dict[str, Any]
) -> tuple[dict[str, Any], Section]:
    """The same preset trained and measured on a split at random over pairs, which leaks.

    Returns:
        Its figures, a warning and no result, and the section that says so.
    """
    run.say("── the same on a split that cuts groups, as a warning")
    other = dataclasses.replace(run, output=run.output / PAIR_SPLIT, seconds={})
    other.output.mkdir(exist_ok=True)
    leaky = leaky_split(pairs, run.seed)
    train(other, leaky)
    figures, _ = measure(other, leaky, "test")
    shared = shared_with_train(leaky)
    section = leaky_section(leak_free, figures, shared, simulated=pairs.info.simulated)
    return {"split": leaky.name, "shared_with_train": shared, "retrieval": figures}, section


def _study(
    run: Run,
    pairs: PairData,
    wanted: Sequence[str],
    metrics: dict[str, Any],
    ceiling: Ceiling | None,
) -> list[Study]:
    if not any(name in STUDIES for name in wanted):
        return []
    with run.stage("representations"):
        reps = representations_of(run, pairs)
    found = []
    for name, function in STUDIES.items():
        if name not in wanted:
            continue
        more = {"truth": _truth(ceiling)} if name == "experts" and ceiling is not None else {}
        with run.stage(name.replace("_", " ")) as made:
            study = function(run, reps, simulated=pairs.info.simulated, **more)
            made += [f"{run.output / folder}" for folder in ARTEFACTS.get(name, ())]
        metrics[name] = study.metrics
        found.append(study)
    return found


def _truth(ceiling: Ceiling) -> dict[str, Any]:
    """The values behind the rows, and the ideal observer's errors, as the experts' study asks."""
    floors = {
        name: figures["mae"][BOTH]["truth"]["value"]
        for name, figures in ceiling.metrics.get("variables", {}).items()
        if figures.get("n")
    }
    return {"truth": ceiling.truth, "floor": floors}


def _metrics(
    run: Run, pairs: PairData, test: dict[str, Any], validation: dict[str, Any]
) -> dict[str, Any]:
    return {
        "dataset": pairs.info.name if pairs.info.simulated else pairs.name,
        "preset": run.preset.name,
        "seed": run.seed,
        "splits": pairs.sizes,
        "retrieval": test,
        "validation": {"retrieval": validation},
        "simulated": pairs.info.simulated,
        "text_model": pairs.texts.model,
        "text_embedded_here": pairs.embedded_here,
        "dataset_fingerprint": pairs.fingerprint,
        "max_steps": run.max_steps,
        "settings": run.preset.to_dict(),
        "command": run.command,
        "processes": run.accelerator.num_processes,
        "compute": {"device": _device(run), "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            "hf_specclip": version("hf-specclip"),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _device(run: Run) -> str:
    device = run.accelerator.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.machine() if device.type == "cpu" else device.type


def _headline(figures: dict[str, Any], simulated: bool) -> list[str]:
    found = figures["spectrum_to_text"]
    where = "simulated test spectra" if simulated else "test spectra"
    lines = [f"{found['n_queries']:,} {where} against {found['n_gallery']:,} texts:"]
    for name in [name for name in found if name.startswith("recall")]:
        value = found[name]
        lines.append(
            f"  R{name[1:]:<10} {value['value']:6.1%}  ({value['low']:.1%} to {value['high']:.1%}; "
            f"chance {value['chance']:.1%})"
        )
    return lines


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    made = [
        CHECKPOINTS, LOGS, SPECTRUM, MODEL, FIGURES, EVALUATION, METRICS, PAIR_SPLIT, "moe",
        "outliers", "report.md", "report.html",
    ]  # fmt: skip
    if arguments.push:
        check_login(arguments.push)  # before the work, not after it
    run = start(arguments, preset, made)
    reproduce(
        run,
        arguments.studies,
        beside=arguments.beside,
        also_pair_split=arguments.also_pair_split,
    )
    if arguments.push and run.is_main:
        push(run, arguments.push, private=arguments.private)
    finish(run)


def push(run: Run, name: str, *, private: bool = False) -> None:
    """Publish what the run made: the model as `name`, what goes with it as `name-moe` and so on.

    Raises:
        PublishError: what was published before it stays; the run is kept, and `specclip publish`
            goes on from there.
    """
    with run.stage("push") as made:
        for kind in MEASURED:
            if (run.output / kind / CARD_FILE).is_file():
                repo_id = name if kind == MODEL else f"{name}-{kind}"
                done = publish(kind, run.output / kind, repo_id, private=private)
                made.append(f"{done.url} at {done.commit[:7]}")


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Train SpecCLIP and measure it, from a dataset to a report by one command.",
        """\
Leaves in DIR:
  model/         a SpecCLIPModel with its processor, for from_pretrained, the gallery of texts and
                 spectra, the classes it tells apart, the texts that stand in for questions and a
                 card of what was measured
  spectrum/      the pretrained autoencoder of spectra
  moe/           the mixture of experts that estimates the physical variables
  outliers/      the detectors of unusual sources
  metrics.json   every figure, with its interval and baseline
  report.html    the same as tables and figures (report.md, figures/)
  evaluation/    ranks and errors row by row, for comparisons between runs
  checkpoints/   a rerun of the same command goes on from here, whatever stopped the last one

  python -m specclip_datasets simulate --config demo --output runs/demo/dataset
  accelerate launch training/reproduce.py --config demo --dataset runs/demo/dataset \\
      --output runs/demo
  specclip describe --model runs/demo FILE.pha

The paper and what goes beyond it, side by side:
  accelerate launch training/reproduce.py --config paper --dataset DATASET --output runs/paper
  accelerate launch training/reproduce.py --config best --dataset DATASET --output runs/best \\
      --beside runs/paper""",
    )
    command.add_argument(
        "--studies",
        type=_studies,
        default=(CEILING, *STUDIES),
        metavar="NAME,…",
        help="what follows retrieval: all (the default), none, or some of "
        f"{', '.join((CEILING, *STUDIES))}. {CEILING} is the ideal observer, on simulated data",
    )
    command.add_argument(
        "--beside",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="finished runs on the same data to compare with, such as that of the paper's preset",
    )
    command.add_argument(
        "--push",
        metavar="USER/NAME",
        help="publish the model on the Hugging Face Hub when all is measured, and what goes with "
        "it as USER/NAME-moe, -spectrum and -outliers; needs `hf auth login` or HF_TOKEN",
    )
    command.add_argument(
        "--private", action="store_true", help="with --push: make new repositories private"
    )
    command.add_argument(
        "--also-pair-split",
        action="store_true",
        help="train and measure once more on a split at random over pairs, which cuts sources and "
        "fields: shown beside the result as a warning of what leakage does",
    )
    return command


def _studies(text: str) -> tuple[str, ...]:
    known = (CEILING, *STUDIES)
    if text in ("all", "none"):
        return known if text == "all" else ()
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"no study {name!r}: give all, none, or some of {', '.join(known)}"
            )
    return names


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
