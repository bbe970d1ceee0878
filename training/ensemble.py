"""Combine the best trials of a search into one model, as the paper's retrieval curve does.

accelerate launch training/ensemble.py --config paper --dataset DIR --output runs/search
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from specclip_training.data.pairs import (
    PairData,
    TrainingDataError,
    embed_texts,
    load_pairs,
    require_texts,
)
from specclip_training.engine.checkpoint import (
    TRAINING_FILE,
    CheckpointError,
    check_identity,
    fingerprint,
)
from specclip_training.engine.commands import LOGS, Run, call, finish, parser, start
from specclip_training.engine.loop import is_better
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import (
    Code,
    Figure,
    Paragraph,
    Section,
    Study,
    Table,
    to_markdown,
)
from specclip_training.stages.alignment import (
    MODEL,
    build_companions,
    embed_spectra,
    embed_split_texts,
)
from specclip_training.stages.trials import TRIALS
from specclip_training.sweep import RESULTS as SEARCH

from hf_specclip import (
    SpecCLIPEnsembleModel,
    SpecCLIPFeatureExtractor,
    SpecCLIPModel,
    SpecCLIPProcessor,
)
from hf_specclip.evaluation import (
    GroupBootstrap,
    curve_of_ranks,
    evaluate_ranks,
    match_ranks,
    plot_recall_curve,
)
from hf_specclip.models.pipeline_specclip import custom_pipelines, save_code
from hf_specclip.storage import atomic_folder, write_json, write_text

ENSEMBLE = "ensemble"
METRICS, REPORT = "ensemble.json", "ensemble.md"
FIGURES, FIGURE = "figures", "ensemble_recall.png"
CRITERIA = ("mean_log_rank", "median_rank_fraction", "recall@1%", "recall@5%")


@dataclass(frozen=True)
class Embedded:
    """A split where one model puts it: unit vectors of spectra (n, D) and texts (k, D)."""

    spectra: torch.Tensor
    texts: torch.Tensor


@dataclass(frozen=True)
class Step:
    """One step of the selection.

    Attributes:
        added: the candidate that was added.
        figures: of the ensemble with it, on `validation`.
    """

    added: int
    figures: dict[str, float]


def select(
    candidates: Sequence[Embedded], owner: np.ndarray, criterion: str, largest: int
) -> tuple[list[Step], np.ndarray]:
    """Greedy forward selection with repeats (Caruana et al. 2004).

    The best candidate begins; then whichever improves the whole most is added, again if it is in
    already, until none does. How often one was added is its weight.

    Args:
        candidates: `validation` as each of them puts it.
        owner: (n,) text of each spectrum.
        criterion: one of `CRITERIA`.
        largest: the most additions.

    Returns:
        The steps, and the log of the rank of each spectrum's text (n,) for the last of them.
    """
    steps: list[Step] = []
    chosen: list[int] = []
    log_ranks = np.empty(0)
    while len(chosen) < largest:
        tried = []
        for place in range(len(candidates)):
            whole = joined(candidates, [*chosen, place])
            ranks = match_ranks(whole.spectra, whole.texts, owner)["spectrum_to_text"]
            tried.append((figures_of(ranks), np.log(ranks.expected)))
        best = 0
        for place, (figures, _) in enumerate(tried):
            if is_better(figures[criterion], tried[best][0][criterion], criterion):
                best = place
        figures, logs = tried[best]
        if steps and not is_better(figures[criterion], steps[-1].figures[criterion], criterion):
            break
        steps.append(Step(best, figures))
        chosen.append(best)
        log_ranks = logs
    return steps, log_ranks


def joined(candidates: Sequence[Embedded], chosen: Sequence[int]) -> Embedded:
    """The vectors of an ensemble of equal weights, repeats counting (`SpecCLIPEnsembleModel`)."""
    counts = {place: chosen.count(place) / len(chosen) for place in chosen}
    return Embedded(
        *(
            torch.cat([getattr(candidates[p], side) * w**0.5 for p, w in counts.items()], dim=-1)
            for side in ("spectra", "texts")
        )
    )


def figures_of(ranks: Any) -> dict[str, float]:
    """Every criterion of `CRITERIA`."""
    n = ranks.n_gallery
    return {
        "mean_log_rank": float(np.log(ranks.expected).mean()),
        "median_rank_fraction": float(np.median(ranks.expected)) / n,
        **{f"recall@{k}%": float(ranks.hits(math.ceil(k * n / 100)).mean()) for k in (1, 5)},
    }


@torch.no_grad()
def study_ensemble(
    run: Run,
    pairs: PairData,
    candidates: Sequence[Path],
    *,
    criterion: str = CRITERIA[0],
    largest: int = 8,
) -> Study:
    """Choose members on `validation`, leave the ensemble in `ensemble/`, measure it on `test`.

    Args:
        run: where to, and the processes.
        pairs: with embedded texts.
        candidates: folders of trained models on this dataset.
        criterion: what the members are chosen by.
        largest: the most additions.

    Raises:
        CheckpointError: for a folder without a model, or a model of another dataset.
        TrainingDataError: when the dataset has no `test`.
    """
    if not len(pairs.splits["test"]):
        raise TrainingDataError(f"{pairs.name} has no rows in test: there is nothing to measure on")
    for folder in candidates:
        refuse_other_data(folder, pairs)
    split, owner = _embedded(run, pairs, candidates, "validation")
    steps, log_ranks = select(split, owner, criterion, largest)
    chosen = [step.added for step in steps]
    members = list(dict.fromkeys(chosen))
    weights = [chosen.count(place) / len(chosen) for place in members]
    models = [SpecCLIPModel.from_pretrained(candidates[place]).eval() for place in members]
    ensemble = SpecCLIPEnsembleModel.from_members(models, weights).to(run.accelerator.device)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(candidates[members[0]])
    companions = build_companions(ensemble, extractor, pairs, run)
    if run.is_main:
        with atomic_folder(run.output / ENSEMBLE) as partial:
            ensemble.config.custom_pipelines = custom_pipelines()
            ensemble.save_pretrained(partial)
            save_code(partial)
            processor = SpecCLIPProcessor(extractor, sections=pairs.info.domain.sections)
            processor.save_pretrained(partial)
            companions.save(partial)
    run.accelerator.wait_for_everyone()

    single = match_ranks(split[members[0]].spectra, split[members[0]].texts, owner)
    before = np.log(single["spectrum_to_text"].expected)
    bootstrap = GroupBootstrap(
        pairs.splits["validation"].groups, run.preset.evaluation.n_bootstrap, seed=0
    )
    low, high = bootstrap.interval(bootstrap.means(log_ranks - before))
    metrics = {
        "dataset": pairs.info.name if pairs.info.simulated else pairs.name,
        "dataset_fingerprint": pairs.fingerprint,
        "simulated": pairs.info.simulated,
        "text_model": pairs.texts.model,
        "criterion": criterion,
        "candidates": len(candidates),
        "members": [
            {"model": _label(candidates[place], run.output), "weight": weight}
            for place, weight in zip(members, weights, strict=True)
        ],
        "selection": [
            {"added": _label(candidates[step.added], run.output), **step.figures} for step in steps
        ],
        "validation_gain": {
            "mean_log_rank": {
                "value": float((log_ranks - before).mean()), "low": float(low), "high": float(high)
            }
        },
        **_on_test(run, pairs, ensemble, models[0]),
        "encoders": len(ensemble.spectrum_model.encoders),
        "shared_dim": ensemble.config.shared_dim,
        "command": run.command,
        "processes": run.accelerator.num_processes,
    }  # fmt: skip
    section = _section(metrics)
    section.blocks.append(
        Figure(
            run.output / FIGURES / FIGURE,
            "Recall@k% against k on test, the single best model and the ensemble, with 95 % bands "
            "and chance.",
        )
    )
    return Study(metrics, [section])


def refuse_other_data(folder: Path, pairs: PairData) -> None:
    """Refuse a model of another dataset, of whose `test` it may have seen some.

    Raises:
        CheckpointError: also for a folder that training did not leave.
    """
    path = folder / TRAINING_FILE
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))["identity"]
        found = {key: identity[key] for key in ("dataset", "text_embeddings")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): name folders that training/align.py or "
            "training/sweep.py left"
        ) from None
    texts = fingerprint({"texts": torch.from_numpy(pairs.texts.embeddings)})
    check_identity(found, {"dataset": pairs.fingerprint, "text_embeddings": texts}, folder)


def best_trials(output: Path, pairs: PairData, criterion: str, top: int) -> list[Path]:
    """The models of the best trials of a search, best first.

    Raises:
        CheckpointError: when there is no search, or it was on another dataset.
    """
    path = output / SEARCH
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        trials = [trial for point in found["points"] for trial in point["trials"]]
        trials.sort(
            key=lambda t: (
                (-1 if is_better(1, 0, criterion) else 1) * t["validation"][criterion], t["name"]
            )
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): run training/sweep.py with this --output first, or "
            "name models with --members"
        ) from None
    check_identity({"dataset": found["dataset_fingerprint"]}, {"dataset": pairs.fingerprint}, path)
    return [output / TRIALS / trial["name"] / MODEL for trial in trials[:top]]


def _embedded(
    run: Run, pairs: PairData, candidates: Sequence[Path], split: str
) -> tuple[list[Embedded], np.ndarray]:
    result, owner = [], np.empty(0)
    for folder in candidates:
        model = SpecCLIPModel.from_pretrained(folder).to(run.accelerator.device).eval()
        extractor = SpecCLIPFeatureExtractor.from_pretrained(folder)
        spectra = embed_spectra(model, extractor, pairs, split, run.accelerator)
        texts, owner = embed_split_texts(model, pairs, split, run.accelerator)
        result.append(Embedded(spectra, texts))
    return result, owner


def _on_test(run: Run, pairs: PairData, ensemble: Any, single: SpecCLIPModel) -> dict[str, Any]:
    """Retrieval of both on `test`, and the difference, query by query."""
    groups, settings = pairs.splits["test"].groups, run.preset.evaluation
    extractor = SpecCLIPFeatureExtractor.from_pretrained(run.output / ENSEMBLE)
    n_bootstrap = settings.n_bootstrap
    figures, curves, ranks = {}, {}, {}
    for name, model in (("single", single.to(run.accelerator.device)), ("ensemble", ensemble)):
        spectra = embed_spectra(model, extractor, pairs, "test", run.accelerator)
        texts, owner = embed_split_texts(model, pairs, "test", run.accelerator)
        found = match_ranks(spectra, texts, owner)
        figures[name] = evaluate_ranks(found, owner, groups, settings.ks, n_bootstrap)
        label = "single best" if name == "single" else name
        curves[label] = curve_of_ranks(found, owner, groups, n_bootstrap=n_bootstrap)
        ranks[name] = found["spectrum_to_text"]
    if run.is_main:
        (run.output / FIGURES).mkdir(exist_ok=True)
        word = "simulated " if pairs.info.simulated else ""
        title = f"Recall@k%, {word}spectrum → text, {len(ranks['single']):,} queries"
        plot_recall_curve(curves, run.output / FIGURES / FIGURE, title=title)
    bootstrap = GroupBootstrap(groups, settings.n_bootstrap, seed=0)
    n = ranks["single"].n_gallery
    gains = {}
    values = {
        # As a decimal: 1.1 % of 1000 is 11, which binary floats make 12.
        f"recall@{k:g}%": {
            m: r.hits(math.ceil(Fraction(str(k)) * n / 100)) for m, r in ranks.items()
        }
        for k in settings.ks
    }
    values["mean_log_rank"] = {m: np.log(r.expected) for m, r in ranks.items()}
    for name, both in values.items():
        difference = both["ensemble"] - both["single"]
        low, high = bootstrap.interval(bootstrap.means(difference))
        gains[name] = {
            "value": float(difference.mean()), "low": float(low), "high": float(high)
        }  # fmt: skip
    return {"retrieval": figures["ensemble"], "single": figures["single"], "test_gain": gains}


def _label(folder: Path, output: Path) -> str:
    inside = folder.is_relative_to(output)
    # Outside, the name of the run and of the model in it say enough; the rest is this machine's.
    return folder.relative_to(output).as_posix() if inside else "/".join(folder.parts[-2:])


def _section(metrics: dict[str, Any]) -> Section:
    word = "simulated " if metrics["simulated"] else ""
    gain = metrics["validation_gain"]["mean_log_rank"]
    selection = Table(
        ["added", "weight of each", *CRITERIA],
        [
            [
                step["added"],
                f"1/{place}" if place > 1 else "1",
                f"{step['mean_log_rank']:.3f}",
                *(f"{step[name]:.1%}" for name in CRITERIA[1:]),
            ]
            for place, step in enumerate(metrics["selection"], start=1)
        ],
    )
    shown = ("recall@1%", "recall@5%", "median_rank_fraction")
    rows = []
    for title, key in (("single best", "single"), ("ensemble", "retrieval")):
        found = metrics[key]["spectrum_to_text"]
        rows.append([title, *(_interval(found[name]) for name in shown if name in found)])
    found = metrics["retrieval"]["spectrum_to_text"]
    known = [name for name in shown if name in found]
    rows.append(["chance", *(f"{found[name]['chance']:.1%}" for name in known)])
    gains = metrics["test_gain"]
    rows.append(["difference", *(_interval(gains[n]) if n in gains else "" for n in known)])
    return Section(
        "Ensemble",
        [
            Paragraph(
                f"{len(metrics['members'])} of {metrics['candidates']} models, added one by one "
                f"while {metrics['criterion']} on the {word}`validation` split got better (a model "
                "may come again and then counts more). The similarity is the weighted mean of "
                "theirs. The mean log rank on validation changed by "
                f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}); the members "
                "were chosen there, which flatters it."
            ),
            selection,
            Paragraph(
                f"On the {word}`test` split, read once for this table; spectrum to text, 95 % "
                "intervals from resampling groups, the difference query by query."
            ),
            Table(
                ["model", *(n.replace("recall", "Recall").replace("_", " ") for n in known)], rows
            ),
        ],
    )


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [ENSEMBLE, METRICS, REPORT, f"{FIGURES}/{FIGURE}", LOGS])
    with run.stage("data") as made:
        with run.accelerator.main_process_first():
            pairs = load_pairs(run.dataset, run.cache_dir)
        require_texts(pairs)
        made.append(", ".join(f"{name} {rows:,}" for name, rows in pairs.sizes.items()) + " rows")
    with run.stage("text embeddings") as made:
        with run.accelerator.main_process_first():
            embed_texts(pairs, preset.text.embedder, cache_dir=run.cache_dir, progress=run.is_main)
        made.append(f"{len(pairs.texts):,} texts by {pairs.texts.model or 'an unnamed model'}")
    with run.stage("ensemble") as made:
        if arguments.members:
            candidates = [Path(folder) for folder in arguments.members]
        else:
            candidates = best_trials(run.output, pairs, arguments.criterion, arguments.candidates)
        study = study_ensemble(
            run, pairs, candidates, criterion=arguments.criterion, largest=arguments.largest
        )
        if run.is_main:
            write_json(run.output / METRICS, study.metrics)
            sections = [*study.sections, Section("How it was made", [Code(run.command)])]
            write_text(run.output / REPORT, to_markdown("Ensemble", sections, run.output))
        found = study.metrics["retrieval"]["spectrum_to_text"]
        made.append(f"{run.output / ENSEMBLE}: {len(study.metrics['members'])} members")
        made += [
            f"{name} on test {_interval(found[name])}"
            for name in found
            if name.startswith("recall")
        ]
    finish(run)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Combine trained models into one that answers with the mean of their similarities.",
        """\
Takes the best trials of training/sweep.py in DIR (or the models named), adds one after the other
while `validation` gets better, and leaves in DIR:
  ensemble/        a SpecCLIPEnsembleModel with its processor and gallery, for from_pretrained
  ensemble.md      its members, what each added, and retrieval on test beside the single best model
  ensemble.json    the same as figures

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
        type=_positive,
        default=12,
        metavar="N",
        help="how many of a search's trials to choose from (default: %(default)s)",
    )
    command.add_argument(
        "--largest",
        type=_positive,
        default=8,
        metavar="N",
        help="the most additions, repeats included (default: %(default)s)",
    )
    command.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=CRITERIA[0],
        help="what is best on validation (default: %(default)s)",
    )
    return command


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
