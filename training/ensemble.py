"""Command `ensemble`: combine trained models into one, as for the paper's retrieval curve.

    accelerate launch training/ensemble.py --config paper --dataset DIR --output runs/ensemble \\
        --members runs/search/*/model
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hf_specclip import SpecCLIPEnsembleModel, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.formatting import format_with_interval
from hf_specclip.storage import write_json
from specclip_training.data.pairs import PairData, TrainingDataError, load_embedded_pairs
from specclip_training.data.writers import rows_of_choice
from specclip_training.engine.checkpoint import TRAINING_FILE, CheckpointError, check_identity
from specclip_training.engine.commands import LOGS, Run, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.reports.run import run_facts
from specclip_training.stages.alignment import rank_figures
from specclip_training.stages.companions import save_model
from specclip_training.stages.embedding import DatasetEmbedder, EmbeddedPairs
from specclip_training.studies.measure import measure

ENSEMBLE = "ensemble"
METRICS = "ensemble.json"
CRITERION = "mean_log_rank"
# Additions at the most, repeats included.
LARGEST = 8


class Step(NamedTuple):
    """Index of a candidate that was added, and the ensemble's figures with it on `validation`."""

    added: int
    figures: dict[str, float]


def select(candidates: Sequence[EmbeddedPairs]) -> list[Step]:
    """Select members by greedy forward selection with repeats (Caruana et al. 2004).

    The best candidate comes first; then the one that improves the ensemble most is added, repeats
    included, until none does. A member's weight is the number of times it was added.

    Args:
        candidates: `validation` in the space of each candidate.
    """
    steps: list[Step] = []
    while len(steps) < LARGEST:
        members = [step.added for step in steps]
        trials = [
            Step(index, rank_figures(joined(candidates, [*members, index])))
            for index in range(len(candidates))
        ]
        best = min(trials, key=lambda step: step.figures[CRITERION])
        if steps and best.figures[CRITERION] >= steps[-1].figures[CRITERION]:
            break
        steps.append(best)
    return steps


def joined(candidates: Sequence[EmbeddedPairs], members: Sequence[int]) -> EmbeddedPairs:
    """Join the vectors of members, weighted by their repeats, as `SpecCLIPEnsembleModel` does."""
    weights = {index: members.count(index) / len(members) for index in members}
    spectra, texts = (
        torch.cat([getattr(candidates[i], side) * w**0.5 for i, w in weights.items()], dim=-1)
        for side in ("spectra", "texts")
    )
    return EmbeddedPairs(spectra, texts, candidates[0].owner)


@torch.no_grad()
def combine(run: Run, pairs: PairData, candidates: Sequence[Path]) -> dict[str, Any]:
    """Choose members on `validation`, save the ensemble in `ensemble/`, measure it on `test`.

    `retrieval` is that of the ensemble, `single` that of its first member.

    Members are chosen by the writers that `train` has, where the dataset names writers.

    Args:
        run: output folder and processes.
        pairs: with embedded texts.
        candidates: folders of models trained on this dataset.

    Raises:
        CheckpointError: for a folder without a model, or a model of another dataset.
        TrainingDataError: when the dataset has no `test`.
    """
    if not len(pairs.splits["test"]):
        raise TrainingDataError(f"{pairs.name} has no rows in test: evaluation needs them")
    accelerator, embedded = run.accelerator, []
    chosen_by = rows_of_choice(pairs)
    for folder in candidates:
        check_dataset(folder, pairs)
        embedder = DatasetEmbedder.from_pretrained(folder, pairs, accelerator)
        embedded.append(embedder.split("validation").subset(chosen_by))
    steps = select(embedded)
    added = [step.added for step in steps]
    weights = {index: added.count(index) / len(added) for index in added}
    models = [SpecCLIPModel.from_pretrained(candidates[index]).eval() for index in weights]
    ensemble = SpecCLIPEnsembleModel.from_members(models, list(weights.values()))
    ensemble = ensemble.to(accelerator.device)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(candidates[added[0]])
    embedder = DatasetEmbedder(ensemble, extractor, pairs, accelerator)
    save_model(run, run.output / ENSEMBLE, embedder)
    test = {
        name: replace(embedder, model=model.to(accelerator.device)).split("test")
        for name, model in (("retrieval", ensemble), ("single", models[0]))
    }
    groups, settings = pairs.splits["test"].groups, run.preset.evaluation
    labels = [_label(folder, run.output) for folder in candidates]
    return {
        **run_facts(run, pairs),
        "criterion": CRITERION,
        "candidates": len(candidates),
        "members": [
            {"model": labels[index], "weight": weight} for index, weight in weights.items()
        ],
        "selection": [{"added": labels[step.added], **step.figures} for step in steps],
        **{name: measure(each, groups, settings)[0] for name, each in test.items()},
        "shared_dim": ensemble.config.shared_dim,
    }


def check_dataset(folder: Path, pairs: PairData) -> None:
    """Refuse a model of another dataset, whose training may have included rows of `test`.

    Raises:
        CheckpointError: also for a folder that training did not write.
    """
    path = folder / TRAINING_FILE
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))["identity"]
        recorded = {key: identity[key] for key in ("dataset", "text_embeddings")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): name folders that training/align.py left"
        ) from None
    texts = pairs.texts.fingerprint()
    check_identity(recorded, {"dataset": pairs.fingerprint, "text_embeddings": texts}, folder)


def _label(folder: Path, output: Path) -> str:
    # Outside the output, the names of the run and the model suffice; the rest is this machine's.
    inside = folder.is_relative_to(output)
    return folder.relative_to(output).as_posix() if inside else "/".join(folder.parts[-2:])


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [ENSEMBLE, METRICS, LOGS])
    pairs = load_embedded_pairs(run)
    with run.stage("ensemble") as summary:
        metrics = combine(run, pairs, [Path(folder) for folder in arguments.members])
        if run.is_main:
            write_json(run.output / METRICS, metrics)
        summary.append(f"{run.output / ENSEMBLE}: {len(metrics['members'])} members")
        for name, figure in metrics["retrieval"]["spectrum_to_text"].items():
            if name.startswith("recall"):
                single = format_with_interval(metrics["single"]["spectrum_to_text"][name])
                line = f"{name} on test {format_with_interval(figure)}, single best {single}"
                summary.append(line)
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Combine trained models into one whose similarity is the mean of theirs.",
        """\
Adds one model after the other, repeats included, while the mean logarithm of the rank on
`validation` improves, and writes to DIR:
  ensemble/        a SpecCLIPEnsembleModel with its processor and gallery, for from_pretrained
  ensemble.json    its members, the gain of each, and retrieval on test beside the single best model

  accelerate launch training/ensemble.py --config best --dataset DATASET --output runs/three \\
      --members runs/best-0/model runs/best-1/model runs/best-2/model""",
    )
    command.add_argument(
        "--members", nargs="+", required=True, metavar="MODEL_DIR", help="models to choose from"
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
