"""Classes by what they are called against a probe that was shown labels, on a finished run.

accelerate launch training/zero_shot.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from specclip_training.engine.commands import Run, call, parser
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Paragraph, Section, Study, Table, with_interval
from specclip_training.stages.alignment import MODEL
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.run_study import add_split, run_study

from hf_specclip import ZeroShotClasses
from hf_specclip.classify.zero_shot import CONFIG_FILE, ZERO_SHOT_FOLDER, calibration_error
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.latent_probes import ProbeError, class_probe
from hf_specclip.evaluation.roc import weighted_figure

TITLE = "Zero-shot classes"


def study_zero_shot(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """How well the classes that training left are told apart, and how far their probabilities hold.

    Args:
        run: whose `model/` brings the classes.
        reps: by split; the probe learns on `train`.
        split: measured on. The temperature was fitted to `calibration` and `validation`.
        simulated: whether the rows are, which every sentence then says.
        figures: not used; every study takes it.
    """
    word = "simulated " if simulated else ""
    folder = run.output / MODEL
    here, train = reps[split], reps["train"]
    if not (folder / ZERO_SHOT_FOLDER / CONFIG_FILE).is_file():
        return _skipped("the model brings no classes: its dataset has too few, or no embedder was "
                        "at hand when it was aligned")  # fmt: skip
    known = ZeroShotClasses.from_pretrained(folder)
    places = {name: place for place, name in enumerate(known.classes)}
    rows = np.array([name in places for name in here.classes], dtype=bool)
    if not rows.any() or len(set(here.groups[rows].tolist())) < 2:
        return _skipped(f"{split} has no two groups with one of the classes")
    truth = np.array([places[name] for name in here.classes[rows]])
    points, groups = here.shared_spectrum[rows], here.groups[rows]
    draws = {"n_bootstrap": run.preset.evaluation.n_bootstrap, "seed": run.seed}
    bootstrap = GroupBootstrap(groups, draws["n_bootstrap"], draws["seed"])
    probabilities = known.probabilities(points)
    metrics: dict[str, Any] = {
        "split": split,
        "rows": int(rows.sum()),
        "classes": list(known.classes),
        "temperature": known.temperature,
        **_figures(probabilities, truth, bootstrap),
        "calibration_error": calibration_error(probabilities, truth),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
    }
    try:
        probe = class_probe(
            train.shared_spectrum, train.classes, points, here.classes[rows], groups, **draws
        )
        metrics["probe"] = {name: probe[name] for name in ("accuracy", "balanced_accuracy")}
    except ProbeError as error:
        metrics["probe"] = {"skipped": str(error)}
    return Study(metrics, [_section(metrics, word)])


def _figures(
    probabilities: np.ndarray, truth: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, dict[str, float]]:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    n_classes = probabilities.shape[1]
    present = np.unique(truth)
    members = (truth[:, None] == present).astype(np.float64)
    right = (order[:, 0] == truth).astype(np.float64)
    commonest = float(members.mean(axis=0).max())

    def share(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda weights: weights @ values / weights.sum(axis=1)

    def balanced(weights: np.ndarray) -> np.ndarray:
        total, found = weights @ members, weights @ (members * right[:, None])
        # A class that a draw did not take has no recall there.
        recall = np.where(total > 0, found / np.where(total > 0, total, 1.0), np.nan)
        return np.nanmean(recall, axis=1)

    top = {k: (order[:, :k] == truth[:, None]).any(axis=1).astype(np.float64) for k in (1, 3)}
    n = len(truth)
    return {
        "accuracy": {**weighted_figure(share(top[1]), n, bootstrap), "chance": 1 / n_classes,
                     "commonest": commonest},
        "balanced_accuracy": {**weighted_figure(balanced, n, bootstrap), "chance": 1 / n_classes},
        "top_3": {**weighted_figure(share(top[3]), n, bootstrap),
                  "chance": min(3, n_classes) / n_classes},
    }  # fmt: skip


def _section(metrics: dict[str, Any], word: str) -> Section:
    probe = metrics["probe"]
    names = {"accuracy": "accuracy", "balanced_accuracy": "mean recall over the classes",
             "top_3": "true class among the first three"}  # fmt: skip
    rows = [
        [
            title,
            with_interval(metrics[name], "{:.1%}"),
            with_interval(probe[name], "{:.1%}") if name in probe else "–",
            f"{metrics[name]['chance']:.1%}",
        ]
        for name, title in names.items()
    ]
    kinds = len(metrics["classes"])
    return Section(
        TITLE,
        [
            Paragraph(
                f"Each of {kinds} classes is the mean direction of sentences that name it and say "
                f"what is usual of it; a {word}spectrum gets the class it lies closest to. Beside "
                "it a linear probe of the same space that was shown the labels of `train`. 95 % "
                "intervals from resampling groups. Always naming the commonest class would be "
                f"right for {metrics['accuracy']['commonest']:.1%} of the rows; sentences know "
                "nothing of how common a class is."
            ),
            Table(["", "by name", "probe with labels", "chance"], rows),
            Paragraph(
                f"Probabilities (temperature {metrics['temperature']:.3g}, fitted to `calibration` "
                "and `validation`) promise a mean of "
                f"{metrics['mean_confidence']:.1%} for the likeliest class; their expected "
                f"calibration error on these {metrics['rows']:,} {word}rows is "
                f"{metrics['calibration_error']:.1%}."
            ),
        ],
    )


def _skipped(why: str) -> Study:
    return Study({"skipped": why}, [Section(TITLE, [Paragraph(f"Not measured: {why}.")])])


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run_study("zero_shot_study", study_zero_shot, arguments, preset)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Measure the classes of a finished run that are told apart by what they are called.",
        "Leaves DIR/zero_shot_study/: metrics.json, report.html and report.md.",
    )
    add_split(command, "the temperature was fitted to validation")
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
