"""Command `ensemble`: combine the best trials of a search into one model.

    accelerate launch training/ensemble.py --config paper --dataset DIR --output runs/search

The paper's retrieval curve is that of an ensemble.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hf_specclip import SpecCLIPEnsembleModel, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.cli.arguments import positive_int
from hf_specclip.formatting import format_with_interval
from hf_specclip.storage import atomic_folder, write_json
from specclip_training.data.pairs import PairData, TrainingDataError, load_embedded_pairs
from specclip_training.data.writers import rows_of_choice
from specclip_training.engine.checkpoint import TRAINING_FILE, CheckpointError, check_identity
from specclip_training.engine.commands import LOGS, Run, call, finish, parser, start
from specclip_training.engine.loop import is_better
from specclip_training.engine.presets import Preset
from specclip_training.reports.run import run_facts
from specclip_training.stages.alignment import MODEL, rank_figures
from specclip_training.stages.companions import build_companions, save_model
from specclip_training.stages.embedding import EmbeddedPairs, embed_pairs
from specclip_training.stages.trials import TRIALS
from specclip_training.studies.measure import measure
from specclip_training.sweep import RESULTS as SEARCH

ENSEMBLE = "ensemble"
METRICS = "ensemble.json"
CRITERIA = ("mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%")


@dataclass(frozen=True)
class Step:
    """Step of the selection.

    Attributes:
        added: index of the candidate that was added.
        figures: figures of the ensemble with it, on `validation`.
    """

    added: int
    figures: dict[str, float]


def select(candidates: Sequence[EmbeddedPairs], criterion: str, largest: int) -> list[Step]:
    """Select members by greedy forward selection with repeats (Caruana et al. 2004).

    The best candidate comes first; then the one that improves the ensemble most is added, repeats
    included, until none does. A member's weight is the number of times it was added.

    Args:
        candidates: `validation` in the space of each candidate.
        criterion: one of `CRITERIA`.
        largest: maximum number of additions.
    """
    steps: list[Step] = []
    while len(steps) < largest:
        members = [step.added for step in steps]
        best: Step | None = None
        for index in range(len(candidates)):
            trial = Step(index, rank_figures(joined(candidates, [*members, index])))
            if best is None or is_better(
                trial.figures[criterion], best.figures[criterion], criterion
            ):
                best = trial
        assert best is not None
        if steps and not is_better(
            best.figures[criterion], steps[-1].figures[criterion], criterion
        ):
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
def combine(
    run: Run,
    pairs: PairData,
    candidates: Sequence[Path],
    *,
    criterion: str = CRITERIA[0],
    largest: int = 8,
) -> dict[str, Any]:
    """Choose members on `validation`, save the ensemble in `ensemble/`, measure it on `test`.

    Members are chosen by the writers that `train` has, where the dataset names writers.

    Args:
        run: output folder and processes.
        pairs: with embedded texts.
        candidates: folders of trained models on this dataset.
        criterion: criterion of the selection.
        largest: maximum number of additions.

    Raises:
        CheckpointError: for a folder without a model, or a model of another dataset.
        TrainingDataError: when the dataset has no `test`.
    """
    if not len(pairs.splits["test"]):
        raise TrainingDataError(f"{pairs.name} has no rows in test: there is nothing to measure on")
    accelerator, embedded = run.accelerator, []
    chosen_by = rows_of_choice(pairs)
    for folder in candidates:
        check_dataset(folder, pairs)
        candidate = SpecCLIPModel.from_pretrained(folder).to(accelerator.device).eval()
        extractor = SpecCLIPFeatureExtractor.from_pretrained(folder)
        points = embed_pairs(candidate, extractor, pairs, "validation", accelerator)
        embedded.append(points.subset(chosen_by))
    steps = select(embedded, criterion, largest)
    added = [step.added for step in steps]
    weights = {index: added.count(index) / len(added) for index in added}
    models = [SpecCLIPModel.from_pretrained(candidates[index]).eval() for index in weights]
    ensemble = SpecCLIPEnsembleModel.from_members(models, list(weights.values()))
    ensemble = ensemble.to(accelerator.device)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(candidates[added[0]])
    companions = build_companions(ensemble, extractor, pairs, run)
    if run.is_main:
        with atomic_folder(run.output / ENSEMBLE) as folder:
            save_model(folder, ensemble, extractor, pairs, companions)
    accelerator.wait_for_everyone()
    labels = [_label(folder, run.output) for folder in candidates]
    return {
        **run_facts(run, pairs),
        "criterion": criterion,
        "candidates": len(candidates),
        "members": [
            {"model": labels[index], "weight": weight} for index, weight in weights.items()
        ],
        "selection": [{"added": labels[step.added], **step.figures} for step in steps],
        **_measure_on_test(run, pairs, ensemble, models[0], extractor),
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
            f"{path} cannot be read ({error}): name folders that training/align.py or "
            "training/sweep.py left"
        ) from None
    texts = pairs.texts.fingerprint()
    check_identity(recorded, {"dataset": pairs.fingerprint, "text_embeddings": texts}, folder)


def best_trials(output: Path, pairs: PairData, criterion: str, top: int) -> list[Path]:
    """Return the model folders of the best trials of a search, best first.

    Raises:
        CheckpointError: when there is no search, or it was on another dataset.
    """
    path = output / SEARCH
    sign = -1 if is_better(1, 0, criterion) else 1
    try:
        search = json.loads(path.read_text(encoding="utf-8"))
        trials = [trial for point in search["points"] for trial in point["trials"]]
        trials.sort(key=lambda trial: (sign * trial["validation"][criterion], trial["name"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): run training/sweep.py with this --output first, or "
            "name models with --members"
        ) from None
    check_identity({"dataset": search["dataset_fingerprint"]}, {"dataset": pairs.fingerprint}, path)
    return [output / TRIALS / trial["name"] / MODEL for trial in trials[:top]]


def _measure_on_test(
    run: Run,
    pairs: PairData,
    ensemble: Any,
    single: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
) -> dict[str, Any]:
    """Measure retrieval of the ensemble (`retrieval`) and of its first member on `test`."""
    groups, settings = pairs.splits["test"].groups, run.preset.evaluation
    figures = {}
    models = {"retrieval": ensemble, "single": single.to(run.accelerator.device)}
    for name, model in models.items():
        embedded = embed_pairs(model, extractor, pairs, "test", run.accelerator)
        figures[name], _ = measure(embedded, groups, settings)
    return figures


def _label(folder: Path, output: Path) -> str:
    # Outside the output, the names of the run and the model suffice; the rest is this machine's.
    inside = folder.is_relative_to(output)
    return folder.relative_to(output).as_posix() if inside else "/".join(folder.parts[-2:])


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [ENSEMBLE, METRICS, LOGS])
    pairs = load_embedded_pairs(run)
    with run.stage("ensemble") as summary:
        criterion = arguments.criterion
        candidates = [Path(folder) for folder in arguments.members or ()]
        candidates = candidates or best_trials(run.output, pairs, criterion, arguments.candidates)
        metrics = combine(run, pairs, candidates, criterion=criterion, largest=arguments.largest)
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
Takes the best trials of training/sweep.py in DIR (or the models named), adds one after the other
while `validation` improves, and writes to DIR:
  ensemble/        a SpecCLIPEnsembleModel with its processor and gallery, for from_pretrained
  ensemble.json    its members, the gain of each, and retrieval on test beside the single best model

  accelerate launch training/ensemble.py --config paper --dataset DATASET --output runs/search
  accelerate launch training/ensemble.py --config best --dataset DATASET --output runs/three \\
      --members runs/best-0/model runs/best-1/model runs/best-2/model""",
    )
    command.add_argument(
        "--members",
        nargs="+",
        metavar="MODEL_DIR",
        help="models to choose from (default: the best trials of the search in the output folder)",
    )
    command.add_argument(
        "--candidates",
        type=positive_int,
        default=12,
        metavar="N",
        help="number of a search's trials to choose from (default: %(default)s)",
    )
    command.add_argument(
        "--largest",
        type=positive_int,
        default=8,
        metavar="N",
        help="maximum number of additions, repeats included (default: %(default)s)",
    )
    command.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=CRITERIA[0],
        help="criterion of the selection on validation (default: %(default)s)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
