"""The whole chain by one command: data, pretraining, texts, alignment, evaluation, report.

accelerate launch training/reproduce.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # run as a file: the repository takes the place of its folder `training`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
import platform
from importlib.metadata import version
from typing import Any

import torch

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.evaluation import evaluate_retrieval, plot_recall_curve, recall_curve
from training.align import MODEL, align, embed_spectra, embed_split_texts, require_texts
from training.align import STAGE as ALIGN
from training.card import write_model_card
from training.checkpoint import write_json
from training.commands import CHECKPOINTS, LOGS, Run, call, finish, format_seconds, parser, start
from training.data import PairData, TrainingDataError, embed_texts, load_pairs
from training.loop import FitResult
from training.presets import Preset
from training.pretrain_spectrum import STAGE as SPECTRUM
from training.pretrain_spectrum import describe, pretrain
from training.report import (
    Code,
    Figure,
    Paragraph,
    Section,
    Table,
    plot_history,
    retrieval_table,
    write_report,
)

METRICS = "metrics.json"
FIGURES = "figures"
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "numpy")


@torch.no_grad()
def evaluate(run: Run, pairs: PairData, split: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Retrieval of a split by the model in the output folder, in both directions.

    Returns:
        What `evaluate_retrieval` gives, and the curve from spectrum to text.
    """
    model = SpecCLIPModel.from_pretrained(run.output / MODEL).to(run.accelerator.device).eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(run.output / MODEL)
    spectra = embed_spectra(model, extractor, pairs, split, run.accelerator)
    texts, owner = embed_split_texts(model, pairs, split, run.accelerator)
    groups, settings = pairs.splits[split].groups, run.preset.evaluation
    figures = evaluate_retrieval(
        spectra, texts, owner, groups, ks=settings.ks, n_bootstrap=settings.n_bootstrap, seed=0
    )
    curve = recall_curve(spectra, texts, owner, groups, n_bootstrap=settings.n_bootstrap, seed=0)
    return figures, curve


def reproduce(run: Run) -> dict[str, Any]:
    """Run the chain; what is finished already is kept.

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
                "its groups (dataset_builders.split_groups)"
            )
        sizes = ", ".join(f"{name} {rows:,}" for name, rows in pairs.sizes.items())
        what = "simulated pairs" if pairs.info.simulated else "pairs"
        made.append(f"{sum(pairs.sizes.values()):,} {what} ({sizes}), {len(pairs.texts):,} texts")
    with run.stage("pretraining") as made:
        pretrained = pretrain(run, pairs)
        made.append(f"{run.output / SPECTRUM}: {describe(pretrained)}")
    with run.stage("text embeddings") as made:
        with run.accelerator.main_process_first():
            embedder = run.preset.text.embedder
            embed_texts(pairs, embedder, cache_dir=run.cache_dir, progress=run.is_main)
        origin = "embedded here" if pairs.embedded_here else "as the dataset brings them"
        made.append(f"{len(pairs.texts):,} texts by {_text_model(pairs)}, {origin}")
    with run.stage("alignment") as made:
        aligned = align(run, pairs)
        made.append(f"{run.output / MODEL}: {describe(aligned)}")
    with run.stage("evaluation") as made:
        validation, _ = evaluate(run, pairs, "validation")
        test, curve = evaluate(run, pairs, "test")
        metrics = _metrics(run, pairs, test, validation)
        if run.is_main:
            write_json(run.output / METRICS, metrics)
            write_model_card(run.output / MODEL, metrics)
        made.append(f"{run.output / METRICS}")
        made += _headline(test, simulated=pairs.info.simulated)
    with run.stage("report") as made:
        if run.is_main:
            stages = {SPECTRUM: pretrained, ALIGN: aligned}
            made += [str(path) for path in _report(run, pairs, metrics, curve, stages)]
    return metrics


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
        "seconds": {name: round(value, 2) for name, value in run.seconds.items()},
        "versions": {
            "python": platform.python_version(),
            "hf_specclip": version("hf-specclip"),
            **{name: version(name) for name in _PACKAGES},
        },
    }


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


def _text_model(pairs: PairData) -> str:
    return pairs.texts.model or "a model the dataset does not name"


def _report(
    run: Run,
    pairs: PairData,
    metrics: dict[str, Any],
    curve: dict[str, Any],
    stages: dict[str, FitResult],
) -> tuple[Path, Path]:
    simulated = pairs.info.simulated
    figures = run.output / FIGURES
    figures.mkdir(exist_ok=True)
    word = "simulated " if simulated else ""
    recall = figures / "recall_curve.png"
    title = f"Recall@k%, {word}spectrum → text, {curve['n_queries']:,} queries"
    plot_recall_curve({run.preset.name: curve}, recall, title=title)

    retrieval = [
        Paragraph(
            f"Measured on the {word}`test` split, which was read once, at the end. A hit is a rank "
            "within the top k % of the gallery, rounded up to whole texts; each distinct text "
            "stands in it once. Intervals (95 %) come from resampling whole groups, and chance is "
            "what a gallery in random order gives."
        ),
        retrieval_table(metrics["retrieval"]),
        Figure(recall, f"Recall@k% against k, with its 95 % band and chance ({word}test spectra)."),
    ]
    if chance := _within_chance(metrics["retrieval"]):
        retrieval.insert(1, Paragraph(chance))
    sections = [
        Section("Result", retrieval),
        Section("Data", [Paragraph(_about_data(pairs)), _split_table(pairs)]),
        Section("Texts", [Paragraph(_about_texts(run.preset, pairs))]),
    ]
    training = [
        Table(
            ["stage", "steps", "kept at step", "best on validation", "time"],
            [
                [
                    name,
                    f"{stage.steps:,}",
                    f"{stage.best_step:,}",
                    "–" if stage.best is None else f"{stage.best:.4g}",
                    format_seconds(stage.seconds),
                ]
                for name, stage in stages.items()
            ],
        )
    ]
    histories = {name: stage.history for name, stage in stages.items() if stage.history}
    if histories:
        kept = {name: stages[name].best_step for name in histories}
        training.append(
            Figure(
                plot_history(histories, kept, figures / "loss_curves.png"),
                f"Loss against step; the dashed line marks the weights that were kept "
                f"(alignment: best {run.preset.align.criterion} on validation).",
            )
        )
    sections.append(Section("Training", training))
    sections.append(
        Section(
            "Validation, for comparison",
            [
                Paragraph("What the weights were chosen by; biased upwards, not a result."),
                retrieval_table(metrics["validation"]["retrieval"]),
            ],
        )
    )
    sections.append(
        Section(
            "How it was made",
            [
                Code(run.command),
                Paragraph(
                    f"Preset `{run.preset.name}`, seed {run.seed}, "
                    f"{run.accelerator.num_processes} process(es) on `{run.accelerator.device}`"
                    + (f", at most {run.max_steps} steps a stage" if run.max_steps else "")
                    + ". "
                    + ", ".join(f"{k} {v}" for k, v in metrics["versions"].items())
                    + "."
                ),
                Code(json.dumps(metrics["settings"], indent=1)),
            ],
        )
    )
    name = f"SpecCLIP, preset {run.preset.name}" + (" (simulated data)" if simulated else "")
    return write_report(run.output, name, sections)


def _about_data(pairs: PairData) -> str:
    where = f"`{pairs.info.name}`" + (f" from `{pairs.name}`" if not pairs.info.simulated else "")
    text = f"{sum(pairs.sizes.values()):,} pairs of a spectrum and a text, {where}"
    if pairs.info.simulated:
        text = f"**Simulated.** {text}: every source, spectrum and text is invented"
    return (
        f"{text}. Splits keep groups whole: no source, observation, host or linking paper is in "
        "two of them."
    )


def _split_table(pairs: PairData) -> Table:
    rows = []
    for name, split in pairs.splits.items():
        texts, _ = pairs.texts_of(name)
        groups = len(set(split.groups.tolist()))
        rows.append([name, f"{len(split):,}", f"{len(texts):,}", f"{groups:,}"])
    return Table(["split", "pairs", "distinct texts", "groups"], rows)


def _about_texts(preset: Preset, pairs: PairData) -> str:
    sections, width = pairs.texts.section_mask.shape[1], pairs.texts.embeddings.shape[1]
    text = (
        f"{sections} sections of each summary, embedded apart by `{_text_model(pairs)}` and joined "
        f"({width:,} numbers)."
    )
    if pairs.embedded_here and preset.text.embedder == "offline":
        text += (
            " **The offline embedder stood in for OpenAI's Ada-002**, which the paper used: the "
            "dataset brings no `text_embedding`, and the offline model needs no key."
        )
    return text


def _within_chance(figures: dict[str, Any]) -> str | None:
    found = figures["spectrum_to_text"]
    names = [name for name in found if name.startswith("recall")]
    inside = [n for n in names if found[n]["low"] <= found[n]["chance"]]
    if not inside:
        return None
    listed = ", ".join(name.replace("recall", "Recall") for name in inside)
    return f"**Not told apart from chance** (the interval reaches down to it): {listed}."


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    made = [
        CHECKPOINTS, LOGS, SPECTRUM, MODEL, FIGURES, METRICS, "report.md", "report.html",
    ]  # fmt: skip
    run = start(arguments, preset, made)
    reproduce(run)
    finish(run)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Train SpecCLIP from a dataset to a report by one command.",
        """\
Leaves in DIR:
  model/         a SpecCLIPModel with its processor, for from_pretrained, the gallery of texts and
                 a card of what was measured
  spectrum/      the pretrained autoencoder of spectra
  metrics.json   Recall@k% and median rank on the test split, with intervals and chance
  report.html    the same with the Recall@k% curve (report.md, figures/)
  checkpoints/   a rerun of the same command goes on from here, whatever stopped the last one

  python -m dataset_builders simulate --config demo --output runs/demo/dataset
  accelerate launch training/reproduce.py --config demo --dataset runs/demo/dataset \\
      --output runs/demo
  specclip retrieve --model runs/demo/model FILE.pha""",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
