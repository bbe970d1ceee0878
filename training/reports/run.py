"""Report sections on a run itself: its data, texts, training and command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_specclip.formatting import format_metric
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run, format_seconds
from specclip_training.engine.loop import FitResult
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Code, Figure, Paragraph, Section, Table


def run_facts(run: Run, pairs: PairData) -> dict[str, Any]:
    """Collect what identifies a run in its `metrics.json`: data, settings, command."""
    return {
        "dataset": pairs.info.name if pairs.info.simulated else pairs.name,
        "dataset_fingerprint": pairs.fingerprint,
        "simulated": pairs.info.simulated,
        "text_model": pairs.texts.model,
        "preset": run.preset.name,
        "settings": run.preset.to_dict(),
        "seed": run.seed,
        "max_steps": run.max_steps,
        "command": run.command,
        "processes": run.accelerator.num_processes,
    }


def data_section(pairs: PairData) -> Section:
    """Describe the dataset and the size of each split."""
    where = f"`{pairs.info.name}`" + (f" from `{pairs.name}`" if not pairs.info.simulated else "")
    text = f"{sum(pairs.sizes.values()):,} pairs of a spectrum and a text, {where}"
    if pairs.info.simulated:
        text = f"**Simulated.** {text}: sources, spectra and texts are synthetic"
    text += (
        ". **Random split over pairs**: groups are cut by it, so the figures are inflated."
        if pairs.leaky
        else ". Splits keep groups together: no source, observation, host or linking paper is in "
        "two of them."
    )
    return Section("Data", [Paragraph(text), sizes_table(pairs, pairs.splits)])


def sizes_table(pairs: PairData, splits: Iterable[str]) -> Table:
    """Tabulate the numbers of pairs, texts and groups of some splits."""
    rows = []
    for name in splits:
        groups, texts = pairs.splits[name].groups, pairs.texts_of(name)[0]
        sizes = len(groups), len(texts), len(set(groups.tolist()))
        rows.append([name, *(f"{size:,}" for size in sizes)])
    return Table(["split", "pairs", "distinct texts", "groups"], rows)


def texts_section(preset: Preset, pairs: PairData) -> Section:
    """Describe the embedding of the texts."""
    texts, model = pairs.texts, pairs.texts.model or "an unnamed model"
    if texts.sentences is not None:
        text = (
            f"{len(texts.sentences.vectors):,} distinct sentences are embedded by `{model}`; the "
            "quantities that a sentence states are a further input."
        )
        return Section("Texts", [Paragraph(text)])
    sections, width = texts.section_mask.shape[1], texts.embeddings.shape[1]
    text = (
        f"The {sections} sections of each summary are embedded separately by `{model}` and "
        f"concatenated ({width:,} numbers)."
    )
    if pairs.embedded_here and preset.text.embedder == "offline":
        text += (
            " **The offline embedder replaces OpenAI's Ada-002** of the paper: the dataset has no "
            "`text_embedding`, and the offline model requires no API key."
        )
    return Section("Texts", [Paragraph(text)])


def training_section(run: Run, stages: Mapping[str, FitResult], figures: Path) -> Section:
    """Tabulate the training stages and plot their losses into `figures`."""
    rows = [
        [name, f"{stage.steps:,}", f"{stage.best_step:,}", format_metric(stage.best, spec=".4g"),
         format_seconds(stage.seconds)]
        for name, stage in stages.items()
    ]  # fmt: skip
    head = ["stage", "steps", "best step", "best on validation", "time"]
    section = Section("Training", [Table(head, rows)])
    if histories := {name: stage.history for name, stage in stages.items() if stage.history}:
        path = figures / "loss_curves.png"
        _plot_losses(histories, {name: stages[name].best_step for name in histories}, path)
        caption = (
            "Loss against step; the dashed line marks the step whose weights were kept "
            f"(alignment: best {run.preset.align.criterion} on validation)."
        )
        section.blocks.append(Figure(path, caption))
    return section


def command_section(run: Run, metrics: Mapping[str, Any]) -> Section:
    """List command, versions and settings."""
    steps = f", at most {run.max_steps} steps a stage" if run.max_steps else ""
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    about = (
        f"Preset `{run.preset.name}`, seed {run.seed}, {run.accelerator.num_processes} process(es) "
        f"on `{run.accelerator.device}`{steps}. {versions}."
    )
    settings = json.dumps(metrics["settings"], indent=1)
    return Section("Command and settings", [Code(run.command), Paragraph(about), Code(settings)])


def _plot_losses(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    best_steps: Mapping[str, int],
    path: Path,
) -> None:
    """Plot training and validation loss against step, one panel for each stage."""
    # The object interface needs no display and leaves the reader's backend alone.
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(4.6 * len(histories), 3.4), layout="constrained", dpi=110)
    panels = canvas.subplots(1, len(histories), squeeze=False)[0]
    for panel, (stage, history) in zip(panels, histories.items(), strict=True):
        for name, label, colour in (
            ("train_loss", "train", "#1f77b4"),
            ("loss", "validation", "#d95f02"),
        ):
            entries = [entry for entry in history if name in entry]
            points = [[entry[key] for entry in entries] for key in ("step", name)]
            panel.plot(*points, label=label, color=colour, lw=1.6)
        panel.axvline(best_steps[stage], color="0.5", lw=1, ls="--", label="kept")
        panel.set(title=stage, xlabel="step", ylabel="loss")
        panel.grid(alpha=0.25)
        panel.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path)
