"""The sections of a report that say what a run was: its data, texts, training and command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run, format_seconds
from specclip_training.engine.loop import FitResult
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Code, Figure, Paragraph, Section, Table, plot_history


def data_section(pairs: PairData) -> Section:
    """What the run learned from, and how large each split is."""
    where = f"`{pairs.info.name}`" + (f" from `{pairs.name}`" if not pairs.info.simulated else "")
    text = f"{sum(pairs.sizes.values()):,} pairs of a spectrum and a text, {where}"
    if pairs.info.simulated:
        text = f"**Simulated.** {text}: every source, spectrum and text is invented"
    text += (
        ". **The split cuts groups** (drawn over pairs): what it shows is a warning, no result."
        if pairs.leaky
        else ". Splits keep groups whole: no source, observation, host or linking paper is in two "
        "of them."
    )
    rows = []
    for name, split in pairs.splits.items():
        texts, _ = pairs.texts_of(name)
        groups = len(set(split.groups.tolist()))
        rows.append([name, f"{len(split):,}", f"{len(texts):,}", f"{groups:,}"])
    table = Table(["split", "pairs", "distinct texts", "groups"], rows)
    return Section("Data", [Paragraph(text), table])


def texts_section(preset: Preset, pairs: PairData) -> Section:
    """What embedded the texts."""
    sections, width = pairs.texts.section_mask.shape[1], pairs.texts.embeddings.shape[1]
    text = (
        f"{sections} sections of each summary, embedded apart by `{text_model(pairs)}` and joined "
        f"({width:,} numbers)."
    )
    if pairs.embedded_here and preset.text.embedder == "offline":
        text += (
            " **The offline embedder stood in for OpenAI's Ada-002**, which the paper used: the "
            "dataset brings no `text_embedding`, and the offline model needs no key."
        )
    return Section("Texts", [Paragraph(text)])


def text_model(pairs: PairData) -> str:
    """Name of the embedder, in words."""
    return pairs.texts.model or "a model the dataset does not name"


def training_section(run: Run, stages: Mapping[str, FitResult], figures: Path) -> Section:
    """How the stages of training went; writes the figure of their losses."""
    training: list[Any] = [
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
    return Section("Training", training)


def command_section(run: Run, metrics: Mapping[str, Any]) -> Section:
    """How to make the same again."""
    about = (
        f"Preset `{run.preset.name}`, seed {run.seed}, "
        f"{run.accelerator.num_processes} process(es) on `{run.accelerator.device}`"
        + (f", at most {run.max_steps} steps a stage" if run.max_steps else "")
        + ". "
        + ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
        + "."
    )
    return Section(
        "How it was made",
        [
            Code(run.command),
            Paragraph(about),
            Code(json.dumps(metrics["settings"], indent=1)),
        ],
    )


__all__ = ["command_section", "data_section", "text_model", "texts_section", "training_section"]
